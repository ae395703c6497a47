#!/usr/bin/env bash
# Puts an overlay onto the cluster that kubectl talks to: k8s/apply.sh OVERLAY [IMAGE]
#
#   OVERLAY  a folder below k8s/overlays
#   IMAGE    NAME:TAG that its nodes have or can pull; the overlay's own, unless given
#
# It may be run again at any time: secrets and the replay's beginning are made once, and the bootstrap Job, which cannot be
# changed in place, is created again.
#
# COMPONENTS="argo redis" adds folders of k8s/components. CONTENDER names the command that prints the secrets: that of
# .venv, or the one on the path.
# MANIFEST_FILTER, APPLY_OPTIONS: a command for the manifests to go through, and options for kubectl apply, for old clusters.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() { echo "$*" >&2; exit 42; }
overlays=$(cd k8s/overlays && echo *)
overlay=${1:-}
image=${2:-}
[[ -n $overlay && -d k8s/overlays/$overlay ]] || refuse "k8s/apply.sh OVERLAY [IMAGE]; the overlay is one of: $overlays"
[[ -z $image || ${image##*/} == *:* ]] || refuse "$image names no tag: write it as $image:0.1.0"
for component in ${COMPONENTS:-}; do
  [[ -d k8s/components/$component ]] || refuse "There is no component $component: $(cd k8s/components && echo *)"
done
if [[ -z ${CONTENDER:-} ]]; then
  CONTENDER=contender
  [[ ! -x .venv/bin/contender ]] || CONTENDER=.venv/bin/contender
fi
command -v "$CONTENDER" >/dev/null || refuse "The secrets are made by the command contender, which is not here: make .venv/run"
kubectl version >/dev/null 2>&1 || { echo "No cluster answers: see KUBECONFIG, and kubectl get nodes." >&2; exit 75; }
read -ra filter <<<"${MANIFEST_FILTER:-cat}"
read -ra options <<<"${APPLY_OPTIONS:-}"
read -ra components <<<"${COMPONENTS:-}"

render() { # FOLDER: its manifests, with the requested image and components
  local around; around=$(mktemp -d k8s/.apply.XXXXXX)
  {
    printf 'namespace: contender\nresources: [../../%s]\n' "$1"
    [[ -z $image ]] || printf 'images: [{name: contender, newName: %s, newTag: "%s"}]\n' "${image%:*}" "${image##*:}"
    ((${#components[@]} == 0)) || { printf 'components:\n'; printf -- '- ../components/%s\n' "${components[@]}"; }
  } >"$around/kustomization.yaml"
  kubectl kustomize "$around" || { rm -r "$around"; return 1; }
  rm -r "$around"
}

is_absent() { # KIND NAME; a cluster that does not answer ends the script
  local found; found=$(kubectl -n contender get "$1" "$2" --ignore-not-found --output=name) || exit 1
  [[ -z $found ]]
}

rendered=$(render "k8s/overlays/$overlay" | "${filter[@]}")
kubectl apply -f k8s/base/namespace.yaml
for secret in contender-secrets contender-tls contender-s3 contender-redis; do
  if is_absent secret "$secret"; then "$CONTENDER" secrets --only "$secret" | kubectl apply -f -; fi
done
if grep -q 'name: clock$' <<<"$rendered" && is_absent configmap clock; then
  minute=$((10#$(date -u +%M) / 5 * 5))
  kubectl -n contender create configmap clock --from-literal=CONTENDER_CLOCK_SINCE="$(date -u +%FT%H):$(printf %02d $minute):00Z"
fi
kubectl -n contender delete job bootstrap --ignore-not-found
kubectl apply "${options[@]}" -f - <<<"$rendered"
echo "The first answer takes a few minutes: kubectl -n contender logs -f job/bootstrap"
