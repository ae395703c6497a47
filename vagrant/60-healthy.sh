#!/usr/bin/env bash
# Step 6, control plane, after every `vagrant up`: every machine Ready, the API answering; then what to type.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs WORKERS FIRST_WORKER_IP
nodes=$((WORKERS + 1))
url=http://$FIRST_WORKER_IP:30951/predictionForTomorrow

wait_for 300 "$nodes machines are Ready" all_ready "$nodes" ||
  fail "$(ready_nodes) of $nodes machines are Ready after 300 s." "vagrant status: do all run? docs/vagrant.md: what can get stuck"
wait_for 600 "The API answers" answers "$url" ||
  fail "$url does not answer after 600 s." "Which pod is not Ready: vagrant ssh control -c 'sudo kubectl -n contender get pods'"
say "" "  curl $url" ""
