#!/usr/bin/env bash
# Step 5, control plane: when every worker has joined and has the image: secrets, the overlay, the first run of the loop.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs WORKERS
namespace=contender
image=$(contender_image)
nodes=$((WORKERS + 1))

wait_for 300 "$nodes machines are Ready" all_ready "$nodes" ||
  fail "$(ready_nodes) of $nodes machines are Ready after 300 s." \
    "vagrant status: do all run? Why one does not join: vagrant ssh worker-1 -c 'sudo journalctl -u k3s-agent -n 50'"

holders() { kubectl get nodes -o jsonpath='{range .items[*]}{.status.images[*].names}{"\n"}{end}' | grep -cF "\"$image\"" || true; }
all_hold() { (($(holders) >= nodes)); }
wait_for 300 "$nodes machines have the image" all_hold ||
  say "Not every machine reports $image yet; its pods wait for it." \
    "Why: vagrant ssh worker-1 -c 'sudo journalctl -u contender-image -n 20'"

# The command `contender` of this machine is the image's. It makes the secrets, once, in a folder that only root enters;
# nothing of them is ever in git or on the host.
install -d -m 0700 "$KEPT/secrets"
replace /usr/local/sbin/contender 0755 <<COMMAND
#!/usr/bin/env bash
# Written by vagrant/50-deploy.sh: the command of the image; what it keeps lies in $KEPT/secrets.
set -euo pipefail
container=\$(buildah from --pull-never "$image")
trap 'buildah rm "\$container" >/dev/null' EXIT
buildah run --isolation chroot --user 0 --volume "$KEPT/secrets:/secrets" --env CONTENDER_HOME=/secrets \\
  "\$container" -- python -m contender "\$@"
COMMAND
CONTENDER=/usr/local/sbin/contender KUBECONFIG=/etc/rancher/k3s/k3s.yaml "$REPOSITORY/k8s/apply.sh" vagrant

# A new image under the same name: pods with the old one are restarted, one after the other.
if [[ -f $KEPT/image.applied ]] && ! cmp -s "$KEPT/image.id" "$KEPT/image.applied"; then
  kubectl -n "$namespace" rollout restart statefulset,deployment
fi
cp "$KEPT/image.id" "$KEPT/image.applied"

state_of_bootstrap() {
  kubectl -n "$namespace" get job bootstrap -o jsonpath='{range .status.conditions[?(@.status=="True")]}{.type} {end}'
}
say "The bootstrap Job takes the tasks from ingestion to a champion …"
began=$SECONDS
until [[ $(state_of_bootstrap) == *Complete* ]]; do
  if [[ $(state_of_bootstrap) == *Failed* ]]; then
    fail "The bootstrap Job has failed." "Why: vagrant ssh control -c 'sudo kubectl -n $namespace logs job/bootstrap --tail=50'"
  fi
  if ((SECONDS - began >= 900)); then
    fail "The bootstrap Job is not done after 900 s." "What it waits for: vagrant ssh control -c 'sudo kubectl -n $namespace get pods'"
  fi
  sleep 5
done
say "A champion after $((SECONDS - began)) s."
