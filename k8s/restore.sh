#!/usr/bin/env bash
# Puts a backup back: k8s/restore.sh [NAME], the newest unless one is named. Which there are: k8s/restore.sh --list
# The Job runs the image that the API runs. MANIFEST_FILTER and APPLY_OPTIONS as for k8s/apply.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-}
read -ra filter <<<"${MANIFEST_FILTER:-cat}"
read -ra options <<<"${APPLY_OPTIONS:-}"
image=$(kubectl -n contender get statefulset api --output='jsonpath={.spec.template.spec.containers[0].image}')

words='"python", "-m", "contender.cluster.restore"'
case $name in
  "") ;;
  --list | [0-9]*) words+=", \"$name\"" ;;
  *) echo "$name is no backup's name; k8s/restore.sh --list prints them." >&2; exit 42 ;;
esac

around=$(mktemp -d k8s/.apply.XXXXXX)
trap 'rm -rf "$around"' EXIT
cat >"$around/kustomization.yaml" <<KUSTOMIZATION
namespace: contender
resources: [../restore]
patches:
  - target: {kind: Job, name: restore}
    patch: |-
      - {op: replace, path: /spec/template/spec/containers/0/command, value: [$words]}
      - {op: replace, path: /spec/template/spec/containers/0/image, value: "$image"}
KUSTOMIZATION
rendered=$(kubectl kustomize "$around" | "${filter[@]}")
kubectl -n contender delete job restore --ignore-not-found
kubectl apply "${options[@]}" -f - <<<"$rendered"
until [[ $(kubectl -n contender get job restore --output='jsonpath={.status.conditions[?(@.status=="True")].type}') =~ Complete|Failed ]]; do
  sleep 1
done
kubectl -n contender logs job/restore --container=job
[[ $(kubectl -n contender get job restore --output='jsonpath={.status.conditions[?(@.status=="True")].type}') == *Complete* ]]
