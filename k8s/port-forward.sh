#!/usr/bin/env bash
# Brings the cluster's pages and services to this machine, until Ctrl-C: the API, features, ingestion, MLflow, and Argo's
# pages where they are installed. A port that is taken here can be moved: MLFLOW_PORT=5001 k8s/port-forward.sh
set -euo pipefail

forward() { # SERVICE LOCAL REMOTE WHAT [SCHEME]
  kubectl -n contender get service "$1" >/dev/null 2>&1 || return 0
  printf '%-12s %s://127.0.0.1:%s\n' "$4" "${5:-http}" "$2"
  while true; do
    kubectl -n contender port-forward "service/$1" "$2:$3" >/dev/null || true
    sleep 1  # the pod behind it went away; the next one is taken
  done &
}

kubectl -n contender get service api >/dev/null
trap 'trap - EXIT; kill 0' EXIT INT TERM
forward api "${API_PORT:-8000}" 8000 "API"
forward features "${FEATURES_PORT:-8001}" 8001 "features"
forward ingestion "${INGESTION_PORT:-8002}" 8002 "ingestion"
forward mlflow "${MLFLOW_PORT:-5000}" 5000 "MLflow"
forward argo-server "${ARGO_PORT:-2746}" 2746 "Argo" https
wait
