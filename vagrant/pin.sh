#!/usr/bin/env bash
# On a host that reaches the release: pins another version of k3s by the checksums that the release publishes.
#   vagrant/pin.sh v1.36.4+k3s1
# CONTENDER_K3S_RELEASES names a mirror. What is written is to be read and committed by a person.
set -euo pipefail

version=${1:-}
if [[ ! $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+\+k3s[0-9]+$ ]]; then
  echo "Which version? For example: $0 v1.36.4+k3s1" >&2
  exit 2
fi
from=${CONTENDER_K3S_RELEASES:-https://github.com/k3s-io/k3s/releases/download}/${version/+/%2B}
lock=$(dirname "${BASH_SOURCE[0]}")/k3s.lock
draft=$(mktemp)
sums=$(mktemp)
trap 'rm -f "$draft" "$sums"' EXIT

pin() { # ARCHITECTURE FILE: its line, or the end
  local line
  line=$(awk -v file="$2" '{ name = $2; sub(/^\*/, "", name) } name == file { print $1 "  " file }' "$sums")
  if [[ ! $line =~ ^[0-9a-f]{64}\ \  ]]; then
    echo "sha256sum-$1.txt of $version has no checksum of $2; vagrant/k3s.lock stays as it was." >&2
    exit 1
  fi
  printf '%s\n' "$line" >>"$draft"
}

grep '^#' "$lock" >"$draft"
printf 'version %s\n' "$version" >>"$draft"
for architecture in amd64 arm64; do
  if ! curl --fail --silent --show-error --location --output "$sums" "$from/sha256sum-$architecture.txt"; then
    echo "$from/sha256sum-$architecture.txt cannot be read; vagrant/k3s.lock stays as it was." >&2
    exit 1
  fi
  if [[ $architecture == amd64 ]]; then pin amd64 k3s; else pin arm64 k3s-arm64; fi
  pin "$architecture" "k3s-airgap-images-$architecture.tar.zst"
done
cat "$draft" >"$lock"
echo "Pinned k3s $version in $lock; look at what changed: git diff $lock"
