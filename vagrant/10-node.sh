#!/usr/bin/env bash
# Step 1, every machine: the packages of Debian that the later steps call, and room on the disk.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

role=${1:?"server or agent"}
tools=(curl:curl ip:iproute2 awk:mawk)
free_gib=6
if [[ $role == server ]]; then
  tools+=(buildah:buildah) # builds the image
  free_gib=12              # its layers, its archive, and the copies that containerd unpacks
fi

missing=()
for tool in "${tools[@]}"; do
  command -v "${tool%%:*}" >/dev/null || missing+=("${tool#*:}")
done
[[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
if ((${#missing[@]})); then
  say "Installing ${missing[*]} …"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || fail "The package lists of Debian cannot be read." "Look at this machine's way out, then: vagrant up --provision"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "Debian's packages ${missing[*]} cannot be installed." "What apt-get says above tells why; then: vagrant up --provision"
fi

free=$(($(df --output=avail -k / | tail -n 1) / 1024 / 1024))
if ((free < free_gib)) && [[ ! -e $KEPT/token-taken ]]; then
  fail "The disk has $free GiB free, and $free_gib are needed here." "vagrant destroy, then a larger CONTENDER_NODE_DISK."
fi
say "Packages are there; $free GiB free."
