#!/bin/bash
# service_bearer.sh - any API with a bearer token: the operator says where it is and which variables its client reads; the agent
# holds a token of the gateway under that name, and a base URL that is not https is refused before anything starts.
set -eu
. "$(dirname "$0")/../lib/case.sh"

: "${MAYFLY_BUILD:=$(dirname "$MAYFLY_BIN")}"
model_api=$MAYFLY_BUILD/tests/integration/model_api
[ -x "$model_api" ] || fail "no model_api at $model_api: build it"

key=${CANARY}key$$x$RANDOM$RANDOM$RANDOM
printf '%s\n' "$key" >"$HELD/accepted"
cp "$HELD/accepted" "$HELD/key"
chmod 600 "$HELD/key"
"$model_api" "$HELD/accepted" "$HELD/asked.jsonl" >"$HELD/model.out" 2>"$SAID/model.err" </dev/null &
STARTED_PIDS+=("$!")
wait_for 20 grep -q '^listening ' "$HELD/model.out"
url=$(sed -n 's/^listening //p' "$HELD/model.out")

agent ask.sh <<'SH'
#!/bin/sh
set -eu
printf 'authorization: Bearer %s\n' "$EXAMPLE_TOKEN" |
    curl -sS -o "$HOME/answer" -w '%{http_code}' -H @- -H 'content-type: application/json' --data '{"model":"m","max_tokens":1,"messages":[]}' \
        "$EXAMPLE_URL/v1/messages" >"$HOME/status"
printf '{"status": %s, "token": "%.4s"}' "$(cat "$HOME/status")" "$EXAMPLE_TOKEN" >"$MAYFLY_RESULT"
SH
service() { # base url, variable of the token
    cat <<JSON
{"mayfly": 1, "name": "bearer",
 "services": {"example": {"recipe": "bearer", "credential": {"file": "$HELD/key"},
                          "inputs": {"base_url": "$1", "base_url_variable": "EXAMPLE_URL", "token_variable": "$2"}}},
 "tasks": {"ask": {"files": ["ask.sh"], "uses": ["example"], "command": ["./ask.sh"]}}}
JSON
}

file=$(service "$url" EXAMPLE_TOKEN | graph)
mayfly run "$file" --json
expect_status 0
run=$(run_id)
[ "$(cat "$MAYFLY_STATE/runs/$run"/results/*.json | jq -r '"\(.status) \(.token)"')" = "200 mfy_" ] || fail "result: $(cat "$MAYFLY_STATE/runs/$run"/results/*.json)"
expect_receipt .usage.example.requests 1

file=$(service http://api.example.com EXAMPLE_TOKEN | graph)
mayfly run "$file"
expect_status 2
expect_said 'only for this machine'
[ "$(wc -l <"$HELD/asked.jsonl")" = 1 ] || fail "asked: $(cat "$HELD/asked.jsonl")"

finish
