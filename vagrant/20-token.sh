#!/usr/bin/env bash
# Step 2, every machine: takes the join token that Vagrant has uploaded into a file that only root reads.
# It is the same for every machine and does not expire: a machine that was off for weeks joins again.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

uploaded=${1:?"the file that was uploaded"}
kept=/etc/rancher/k3s/token

install -d -m 0700 /etc/rancher/k3s "$KEPT"
trap 'rm -f "$uploaded"' EXIT
[[ -s $uploaded || -s $kept ]] || fail "No join token was uploaded to $uploaded." "vagrant up --provision uploads it."
if [[ -s $uploaded ]]; then
  [[ $(<"$uploaded") =~ ^[0-9a-f]{64}$ ]] ||
    fail "What was uploaded is no join token." "Delete .vagrant/contender-token on the host, then: vagrant destroy && vagrant up"
  if [[ -s $kept ]] && ! cmp -s "$uploaded" "$kept"; then
    fail "This machine has joined with another token than the one in .vagrant/contender-token." \
      "The token on the host was replaced: vagrant destroy && vagrant up"
  fi
  replace "$kept" 0600 <"$uploaded"
fi
touch "$KEPT/token-taken"
say "The join token is kept in $kept."
