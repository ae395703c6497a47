#!/usr/bin/env bash
# Step 4, control plane: builds the image in this machine, imports it, and offers it to the workers over k3s's own port.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

image=$(contender_image)
offered=$K3S_DATA/server/static/contender
began=$SECONDS

say "Building $image; the first time this installs 1.3 GB of Python packages …"
options=(--isolation chroot --network host --layers --tag "$image" --file "$REPOSITORY/k8s/image/Dockerfile")
if [[ -n ${BASE_IMAGE:-} ]]; then options+=(--build-arg "PYTHON=$BASE_IMAGE"); fi
if [[ -n ${REVISION:-} ]]; then options+=(--build-arg "REVISION=$REVISION"); fi
buildah bud "${options[@]}" "$REPOSITORY" >"$KEPT/build.log" 2>&1 || {
  tail -n 20 "$KEPT/build.log" >&2
  fail "The image cannot be built; the whole log is in $KEPT/build.log." "Mostly a download: vagrant provision control goes on."
}
identity=$(buildah inspect --type image --format '{{.FromImageID}}' "$image")
[[ -n $identity ]] || fail "buildah does not know the image that it has built." "vagrant provision control builds it again."

if [[ -f $KEPT/image.id && $(<"$KEPT/image.id") == "$identity $image" && -s $offered/contender.tar.sha256 ]]; then
  say "The image is the one that was imported before."
  exit 0
fi
install -d "$offered" "$K3S_DATA/agent/images"
rm -f "$offered/contender.tar.part" "$offered/contender.tar.sha256"
buildah push --quiet "$image" "docker-archive:$offered/contender.tar.part:$image"
sum=$(sha256sum <"$offered/contender.tar.part")
mv -f "$offered/contender.tar.part" "$offered/contender.tar"
ln -f "$offered/contender.tar" "$K3S_DATA/agent/images/contender.tar" # k3s imports it again when it starts
k3s ctr images import "$offered/contender.tar" >/dev/null
printf '%s  contender.tar\n' "${sum%% *}" >"$offered/contender.tar.sha256" # last: workers wait for it
printf '%s %s\n' "$identity" "$image" >"$KEPT/image.id"
say "Built and imported $image in $((SECONDS - began)) s."
