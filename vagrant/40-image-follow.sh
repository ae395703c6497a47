#!/usr/bin/env bash
# Step 4, workers: a timer that fetches the image from the control plane as soon as there is one, and again when it changes.
# A worker is up before the control plane has built the image, so it polls for it; no step has to distribute it.
set -euo pipefail
# shellcheck source=vagrant/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs CONTROL_IP
changed=no
replace /usr/local/sbin/contender-image 0755 <"$(dirname "${BASH_SOURCE[0]}")/fetch-image.sh"

replace /etc/contender/image.env 0644 <<ENVIRONMENT
IMAGE_URL=https://$CONTROL_IP:6443/static/contender
ENVIRONMENT

replace /etc/systemd/system/contender-image.service 0644 <<UNIT
# Written by vagrant/40-image-follow.sh.
[Unit]
Description=Fetch the image of Contender from the control plane
After=k3s-agent.service

[Service]
Type=oneshot
EnvironmentFile=/etc/contender/image.env
ExecStart=/usr/local/sbin/contender-image
UNIT

replace /etc/systemd/system/contender-image.timer 0644 <<UNIT
# Written by vagrant/40-image-follow.sh.
[Unit]
Description=Ask the control plane for the image of Contender

[Timer]
OnActiveSec=5s
OnBootSec=20s
OnUnitInactiveSec=10s
AccuracySec=1s

[Install]
WantedBy=timers.target
UNIT

if [[ $changed == yes ]]; then
  systemctl daemon-reload
  systemctl enable --quiet contender-image.timer
  systemctl restart contender-image.timer
fi
say "This machine follows the image of the control plane."
