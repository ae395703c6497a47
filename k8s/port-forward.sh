#!/usr/bin/env bash
# Brings the cluster's pages and services to this machine, until Ctrl-C: the API, features, ingestion, MLflow, and Argo's
# pages where they are installed. A port that is taken here can be moved: MLFLOW_PORT=5001 k8s/port-forward.sh
set -euo pipefail

there=$(kubectl -n contender get services --output=name) || { echo "No cluster answers: see KUBECONFIG, and kubectl get nodes." >&2; exit 75; }
grep -qx service/api <<<"$there" || { echo "Contender is not on this cluster: make apply" >&2; exit 42; }

children=()
leave() { trap - EXIT; ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true; }
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

keep() { # SERVICE LOCAL REMOTE: forwards it, again whenever the pod behind it goes away
  local child=
  trap '[[ -z $child ]] || kill "$child" 2>/dev/null; exit 0' TERM
  while true; do
    kubectl -n contender port-forward "service/$1" "$2:$3" >/dev/null 2>&1 & child=$!
    wait "$child" || true
    sleep 1
  done
}

forward() { # SERVICE LOCAL REMOTE WHAT VARIABLE [SCHEME]
  grep -qx "service/$1" <<<"$there" || return 0
  if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then
    echo "Port $2 is taken here. Choose another for $4: $5=$(($2 + 10000)) k8s/port-forward.sh" >&2
    exit 42
  fi
  keep "$1" "$2" "$3" & children+=($!)
  printf '%-12s %s://127.0.0.1:%s\n' "$4" "${6:-http}" "$2"
}

forward api "${API_PORT:-8000}" 8000 API API_PORT
forward features "${FEATURES_PORT:-8001}" 8001 features FEATURES_PORT
forward ingestion "${INGESTION_PORT:-8002}" 8002 ingestion INGESTION_PORT
forward mlflow "${MLFLOW_PORT:-5000}" 5000 MLflow MLFLOW_PORT
forward argo-server "${ARGO_PORT:-2746}" 2746 Argo ARGO_PORT https
wait
