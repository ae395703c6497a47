#!/usr/bin/env bash
# One observation of `airline` through ingestion, features and model, to watch: scripts/try-pipeline.sh
#
# Works after `make up` and after `make port-forward`. The environment names the services' addresses, if they are not on this
# machine: INGESTION, FEATURES, API. With tokens in force, CONTENDER_TRAINER_TOKEN is sent.
set -euo pipefail

ingestion=${INGESTION:-http://127.0.0.1:8002}
features=${FEATURES:-http://127.0.0.1:8001}
api=${API:-http://127.0.0.1:8000}
series=airline

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
    401 | 403)
      echo "Training needs a token here: set CONTENDER_TRAINER_TOKEN. A cluster's is in its Secret:" >&2
      echo "kubectl -n contender get secret contender-secrets --output 'go-template={{.data.CONTENDER_TRAINER_TOKEN | base64decode}}'" >&2
      exit 42 ;;
    429 | 5??) echo "Try again in a while." >&2; exit 75 ;;
    *) echo "This was refused; see above why." >&2; exit 43 ;;
  esac
}

ask "1. Ingestion hands out the next observation" GET "$ingestion/next?series=$series&lease=120&in_order=true"
if [[ -z $answer ]]; then
  ask "   Nothing now; how far is it?" GET "$ingestion/status?series=$series"
  if [[ $(jq .completed <<<"$answer") == true ]]; then
    echo "There are no more observations of $series. To start again from the first, with a trainer's token where one is required:"
    echo "curl --request POST $ingestion/reset?series=$series"
    exit 0
  fi
  echo "One is leased already; if it is not learned, it is handed out again within two minutes." >&2
  exit 75
fi
observation=$answer

# What the series holds already (an earlier try, or the stream after a reset) is not added again; its lags are as they were.
read_from() { curl --silent --max-time 30 "$1" || echo '{}'; }
lags=$(read_from "$features/info" | jq '.n_lags // 12')
row=$(read_from "$features/series/$series" | jq --argjson seen "$observation" --argjson lags "$lags" '
  select(.count != null) | (.count - $seen.observation_id) as $later | ((.values | length) - 1 - $later) as $place
  | select($later >= 0 and $place >= 0 and .values[$place] == $seen.target)
  | .values[:$place] | reverse | .[:$lags] | to_entries | map({key: "in_\(.key + 1)", value}) | {features: from_entries}')
if [[ -n $row ]]; then
  printf '\n%s%s%s\n' "$bold" "2. Features has it already: the values before it" "$plain"
  jq . <<<"$row"
else
  ask "2. Features makes it a row: the values before it" POST "$features/add" \
    "$(jq --arg series "$series" '{series_id: $series, value: .target}' <<<"$observation")"
  row=$answer
fi

ask "3. The model predicts it, and only then learns it" POST "$api/predict_learn" \
  "$(jq --argjson row "$row" '{id: (.observation_id | tostring), features: $row.features, target}' <<<"$observation")"
prediction=$answer

ask "4. How good its predictions have been" GET "$api/model_metrics" '' \
  '{default: (.default | {count, mae, rmse, mape}), model_info: (.model_info | {model_name, rows_learned})}'
printf '\n%s%s: predicted %s, was %s.%s\n' "$bold" "$(jq -r .input <<<"$observation")" \
  "$(jq -r '.prediction // "nothing yet"' <<<"$prediction")" "$(jq -r .target <<<"$observation")" "$plain"
