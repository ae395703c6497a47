#!/usr/bin/env bash
# Step 3, every machine: the pinned k3s, checked before it is installed, as a service that comes back after a halt.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

role=${1:?"server or agent"}
needs NODE_IP NODE_NAME CONTROL_IP
arch=$(architecture)
version=$(locked_version)
[[ $version =~ ^v[0-9.]+\+k3s[0-9]+$ ]] || fail "vagrant/k3s.lock names no version of k3s." "Its line: version v1.36.4+k3s1"
binary=k3s
if [[ $arch == arm64 ]]; then binary=k3s-arm64; fi
images=k3s-airgap-images-$arch.tar.zst
from=${RELEASES:-$RELEASES_OF_K3S}/${version/+/%2B}
service=k3s
if [[ $role == agent ]]; then service=k3s-agent; fi

# F2: beside this address every machine has the same one, 10.0.2.15, behind VirtualBox's NAT; k3s must not take that.
interface=$(addressed "$NODE_IP")
[[ -n $interface ]] || fail "No interface of this machine has the address $NODE_IP." "vagrant reload configures the network again."

# Everything is downloaded and checked before anything is installed.
binary_sum=$(pinned "$binary")
if [[ ${AIRGAP:-no} == yes ]]; then
  images_sum=$(pinned "$images")
  fetch "$from/$images" "$images_sum" "$K3S_DATA/agent/images/$images"
fi
changed=no
if ! has_sum /usr/local/bin/k3s "$binary_sum"; then
  fetch "$from/$binary" "$binary_sum" "$KEPT/$binary"
  install -m 0755 "$KEPT/$binary" /usr/local/bin/k3s.new
  mv -f /usr/local/bin/k3s.new /usr/local/bin/k3s
  rm -f "$KEPT/$binary"
  changed=yes
fi
ln -sfn k3s /usr/local/bin/kubectl

settings() {
  cat <<CONFIG
# Written by vagrant/30-k3s.sh.
token-file: /etc/rancher/k3s/token
node-name: $NODE_NAME
node-ip: $NODE_IP
flannel-iface: $interface
CONFIG
  if [[ $role == server ]]; then
    cat <<CONFIG
advertise-address: $NODE_IP
tls-san: [$NODE_IP]
write-kubeconfig-mode: "0600"
CONFIG
  else
    printf 'server: https://%s:6443\n' "$CONTROL_IP"
  fi
}

unit() {
  cat <<UNIT
# Written by vagrant/30-k3s.sh.
[Unit]
Description=k3s $version ($role)
Wants=network-online.target
After=network-online.target

[Service]
Type=$([[ $role == server ]] && echo notify || echo exec)
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s $role

[Install]
WantedBy=multi-user.target
UNIT
}

replace /etc/rancher/k3s/config.yaml 0600 < <(settings)
replace "/etc/systemd/system/$service.service" 0644 < <(unit)
if [[ $changed == yes ]]; then systemctl daemon-reload; fi
systemctl is-enabled --quiet "$service" || systemctl enable --quiet "$service"
if [[ $changed == yes ]] || ! systemctl is-active --quiet "$service"; then
  systemctl --no-block restart "$service" ||
    fail "$service does not start." "Why: vagrant ssh $NODE_NAME -c 'sudo journalctl -u $service -n 50'"
fi

if [[ $role == server ]]; then
  wait_for 180 "The control plane answers" kubectl get --raw /readyz ||
    fail "The control plane does not answer after 180 s." "Why: vagrant ssh $NODE_NAME -c 'sudo journalctl -u k3s -n 50'"
else
  say "The agent runs; it joins as soon as the control plane, which Vagrant starts last, is up."
fi
say "k3s $version ($role) on $NODE_IP, $interface."
