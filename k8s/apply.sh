#!/usr/bin/env bash
# Puts an overlay onto the cluster that kubectl talks to: k8s/apply.sh OVERLAY [IMAGE]
#
#   OVERLAY  a folder below k8s/overlays
#   IMAGE    NAME:TAG that its nodes have or can pull; the overlay's own, unless given
#
# It may be run again at any time: secrets and the replay's beginning are made once, and the bootstrap Job, which cannot
# be changed in place, is made anew. CONTENDER names the command that prints the secrets (contender).
# MANIFEST_FILTER, APPLY_OPTIONS: a command for the manifests to go through, and options for kubectl apply, for old clusters.
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=${1:?which overlay? one of: $(cd k8s/overlays && echo *)}
image=${2:-}
read -ra filter <<<"${MANIFEST_FILTER:-cat}"
read -ra options <<<"${APPLY_OPTIONS:-}"
[[ -d k8s/overlays/$overlay ]] || { echo "There is no overlay $overlay: $(cd k8s/overlays && echo *)" >&2; exit 42; }

render() { # FOLDER: its manifests, with the image asked for
  local folder=$1
  if [[ -z $image ]]; then kubectl kustomize "$folder"; return; fi
  local around; around=$(mktemp -d k8s/.apply.XXXXXX)
  printf 'resources: [../../%s]\nimages: [{name: contender, newName: %s, newTag: "%s"}]\n' \
    "$folder" "${image%:*}" "${image##*:}" >"$around/kustomization.yaml"
  kubectl kustomize "$around"
  rm -r "$around"
}

rendered=$(render "k8s/overlays/$overlay" | "${filter[@]}")
kubectl apply -f k8s/base/namespace.yaml
for secret in contender-secrets contender-tls; do
  kubectl -n contender get secret "$secret" >/dev/null 2>&1 || "${CONTENDER:-contender}" secrets --only "$secret" | kubectl apply -f -
done
if grep -q 'name: clock$' <<<"$rendered" && ! kubectl -n contender get configmap clock >/dev/null 2>&1; then
  minute=$((10#$(date -u +%M) / 5 * 5))
  kubectl -n contender create configmap clock --from-literal=CONTENDER_CLOCK_SINCE="$(date -u +%FT%H):$(printf %02d $minute):00Z"
fi
kubectl -n contender delete job bootstrap --ignore-not-found
kubectl apply "${options[@]}" -f - <<<"$rendered"
