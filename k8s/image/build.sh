#!/usr/bin/env bash
# Builds the image with whichever builder works here: k8s/image/build.sh NAME:TAG
# BUILDER chooses one of docker, podman and buildah; PYTHON_IMAGE another base than python:3.11-slim.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=${1:?which image? as contender:0.1.0}
works() { command -v "$1" >/dev/null && { [[ $1 == buildah ]] || "$1" info >/dev/null 2>&1; }; }
builder=${BUILDER:-}
for candidate in docker podman buildah; do
  [[ -z $builder ]] && works "$candidate" && builder=$candidate
done
[[ -n $builder ]] || { echo "No builder works here: start Docker, or install podman or buildah." >&2; exit 42; }

revision=$(git rev-parse HEAD 2>/dev/null || true)
arguments=(--build-arg "VERSION=${image##*:}" --build-arg "REVISION=$revision" -f k8s/image/Dockerfile -t "$image")
[[ -n ${PYTHON_IMAGE:-} ]] && arguments+=(--build-arg "PYTHON=$PYTHON_IMAGE")
echo "Building $image with $builder (a few minutes the first time) …"
case $builder in
  docker) docker build --quiet "${arguments[@]}" . ;;
  podman) podman build --quiet --format docker "${arguments[@]}" . ;;
  buildah) buildah bud --quiet --layers --format docker "${arguments[@]}" . ;;
  *) echo "BUILDER is $builder; it can be docker, podman or buildah." >&2; exit 42 ;;
esac
echo "$image"
