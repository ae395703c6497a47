#!/usr/bin/env bash
# One observation through ingestion, features and model, to watch: scripts/try-pipeline.sh [SERIES]
#
# Works after `make up` and after `make port-forward`. Where the services are stands in the environment, if not on this
# machine: INGESTION, FEATURES, API. With tokens in force, CONTENDER_TRAINER_TOKEN is sent.
set -euo pipefail

ingestion=${INGESTION:-http://127.0.0.1:8002}
features=${FEATURES:-http://127.0.0.1:8001}
api=${API:-http://127.0.0.1:8000}
series=${1:-airline}

for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "This needs $tool, which is not installed." >&2; exit 42; }
done
token=()
[[ -z ${CONTENDER_TRAINER_TOKEN:-} ]] || token=(--header "Authorization: Bearer $CONTENDER_TRAINER_TOKEN")
if [[ -t 1 ]]; then bold=$(tput bold || true) plain=$(tput sgr0 || true); else bold='' plain=''; fi

answer='' # of the last request
ask() { # TITLE METHOD URL [BODY [WHAT TO SHOW OF THE ANSWER]]
  local title=$1 method=$2 url=$3 body=${4:-} show=${5:-.} status sent=()
  printf '\n%s%s%s\n%s %s\n' "$bold" "$title" "$plain" "$method" "$url"
  if [[ -n $body ]]; then
    jq . <<<"$body"
    sent=(--header 'Content-Type: application/json' --data "$body")
  fi
  if ! answer=$(curl --silent --max-time 30 --request "$method" ${token[@]+"${token[@]}"} ${sent[@]+"${sent[@]}"} \
      --write-out '\n%{http_code}' "$url"); then
    echo "Nothing answers at $url. Start the services with make up, or reach a cluster's with make port-forward." >&2
    exit 75
  fi
  status=${answer##*$'\n'} answer=${answer%$'\n'*}
  printf '→ %s\n' "$status"
  [[ -z $answer ]] || jq "$show" <<<"$answer" 2>/dev/null || printf '%s\n' "$answer"
  case $status in
    2??) ;;
    401 | 403) echo "Training needs a token here: set CONTENDER_TRAINER_TOKEN." >&2; exit 42 ;;
    429 | 5??) echo "Try again in a while." >&2; exit 75 ;;
    *) echo "This was refused; see above why." >&2; exit 43 ;;
  esac
}

ask "1. Ingestion hands out the next observation" GET "$ingestion/next?series=$series"
if [[ -z $answer ]]; then
  echo "There are no more observations of $series. To begin anew: curl --request POST $ingestion/reset"
  exit 0
fi
observation=$answer

# As the stream does it: the value joins the series, and the row has the observation's number, by which it is learned once.
ask "2. Features makes it a row: the values before it" POST "$features/add" \
  "$(jq --arg series "$series" '{series_id: $series, value: .target}' <<<"$observation")"
row=$answer

ask "3. The model predicts it, and only then learns it" POST "$api/predict_learn" \
  "$(jq --argjson row "$row" '{id: (.observation_id | tostring), features: $row.features, target}' <<<"$observation")"
prediction=$answer

ask "4. How good its predictions have been" GET "$api/model_metrics" '' \
  '{default: (.default | {count, mae, rmse, mape}), model_info: (.model_info | {model_name, rows_learned})}'
printf '\n%s%s: predicted %s, was %s.%s\n' "$bold" "$(jq -r .input <<<"$observation")" \
  "$(jq -r '.prediction // "nothing yet"' <<<"$prediction")" "$(jq -r .target <<<"$observation")" "$plain"
