#!/bin/bash
# service.sh - agents use a model API with a token of their own: the key is never seen, tokens and money are counted, budgets end
# a task or the run, a new key is read when the old one is refused, and the death of the runner loses none of the figures.
set -eu
. "$(dirname "$0")/../lib/case.sh"

: "${MAYFLY_BUILD:=$(dirname "$MAYFLY_BIN")}"
model_api=$MAYFLY_BUILD/tests/integration/model_api
[ -x "$model_api" ] || fail "no model_api at $model_api: build it"

# Keys hold the canary: the oracle looks for them in everything that was said or kept.
key=${CANARY}key$$x$RANDOM$RANDOM$RANDOM
printf '%s\n' "$key" >"$HELD/accepted"
cp "$HELD/accepted" "$HELD/key"
chmod 600 "$HELD/key"
"$model_api" "$HELD/accepted" "$HELD/asked.jsonl" >"$HELD/model.out" 2>"$SAID/model.err" </dev/null &
MODEL_PID=$!
STARTED_PIDS+=("$MODEL_PID")
wait_for 20 grep -q '^listening ' "$HELD/model.out"
ANTHROPIC_BASE_URL=$(sed -n 's/^listening //p' "$HELD/model.out")
export ANTHROPIC_BASE_URL

agent ask.sh <<'SH'
#!/bin/sh
# ask.sh BODY... - one message for each body; prints status and what came back
set -u
for body in "$@"; do
    printf 'x-api-key: %s\nanthropic-version: 2023-06-01\n' "$ANTHROPIC_API_KEY" |
        curl -sS -N -w '\nstatus %{http_code}\n' -H @- -H 'content-type: application/json' --data "$body" "$ANTHROPIC_BASE_URL/v1/messages"
done
SH
services() { # members of the service beside its credential
    printf '"services": {"anthropic": {"credential": {"file": "%s"}%s}}' "$HELD/key" "${1:+, $1}"
}
asked() { # jq condition: so many requests reached the API
    jq -s "[.[] | select($1)] | length" "$HELD/asked.jsonl"
}

# --- counted: 1,000 input and 500 output tokens a request, at $4 and $20 for a million: $0.014 ---

plain='{"model":"claude-opus-5-5","max_tokens":500,"messages":[]}'
stream='{"model":"claude-opus-5-5","max_tokens":500,"messages":[],"stream":true}'
file=$(graph <<JSON
{"mayfly": 1, "name": "used", $(services '"budget_usd": 5'), "limits": {"budget_usd": 10},
 "tasks": {"ask": {"files": ["ask.sh"], "uses": ["anthropic"], "budget_usd": 1,
                   "command": ["./ask.sh", $(jq -Rs . <<<"$plain"), $(jq -Rs . <<<"$stream")]},
           "env": {"uses": ["anthropic"], "command": ["sh", "-c", "env; printf '\"%.4s\"' \"\$ANTHROPIC_API_KEY\" > \"\$MAYFLY_RESULT\""]},
           "none": {"command": ["sh", "-c", "test -z \"\${ANTHROPIC_API_KEY:-}\${ANTHROPIC_BASE_URL:-}\""]}}}
JSON
)
mayfly plan "$file"
expect_status 0
expect_said 'uses anthropic, at most $1.000000'
expect_said 'prices of 20'
mayfly run "$file" --json
expect_status 0
expect_receipt '.usage.anthropic | "\(.requests) \(.input_tokens) \(.output_tokens)"' "2 2000 1000"
expect_receipt '.usage.anthropic.usd * 1000000 | round' 28000
run=$(run_id)
[ "$(asked '.key and .path == "/v1/messages" and .version == "2023-06-01" and (.authorization | not)')" = 2 ] || fail "asked: $(cat "$HELD/asked.jsonl")"
[ "$(cat "$MAYFLY_STATE/runs/$run"/results/*.json)" = '"mfy_"' ] || fail "the agent does not hold a gateway token"
[ "$(jq -s '[.[] | select(.type == "task.usage") | .micro_usd] | max' "$OUT")" = 28000 ] || fail "usage in the journal"
mayfly logs "$run" ask
[ "$(grep -c '^status 200$' "$OUT")" = 2 ] || fail "the agent saw: $(cat "$OUT")"
grep -q 'event: message_stop' "$OUT" || fail "no stream came through: $(cat "$OUT")"

# --- a task's budget: two requests fit, the third does not; no second attempt ---

file=$(graph <<JSON
{"mayfly": 1, "name": "task-budget", $(services),
 "tasks": {"spend": {"files": ["ask.sh"], "uses": ["anthropic"], "budget_usd": 0.03, "attempts": 3,
                     "command": ["sh", "-c", "./ask.sh \"\$0\" \"\$0\" \"\$0\"; exec sleep 300", $(jq -Rs . <<<"$plain")]},
           "other": {"command": ["true"]}}}
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt .tasks.succeeded 1
[ "$(events '.type == "task.failed" and .task == "spend"' | jq -r '"\(.attempt) \(.class)"')" = "1 budget" ] || fail "spend: $(events '.task == "spend"')"
expect_receipt .usage.anthropic.requests 2

# --- a service's budget is the run's: it drains ---

file=$(graph <<JSON
{"mayfly": 1, "name": "run-budget", $(services '"budget_usd": 0.03'), "limits": {"running": 2},
 "tasks": {"spend": {"files": ["ask.sh"], "uses": ["anthropic"], "command": ["sh", "-c", "./ask.sh \"\$0\" \"\$0\" \"\$0\"; exec sleep 300", $(jq -Rs . <<<"$plain")]},
           "after": {"needs": ["spend"], "command": ["true"]}}}
JSON
)
mayfly run "$file" --json
expect_status 8
events '.type == "run.draining" and .drain == "budget"' | grep -q anthropic || fail "no reason: $(events '.type == "run.draining"')"
mayfly show last --json
[ "$(jq -r .exit "$OUT")" = 8 ] || fail "show says another exit code: $(cat "$OUT")"

# --- the key changes: it is read again when the old one is refused ---

agent key.sh <<SH
#!/bin/sh
# key.sh - what a key manager would be
echo read >>"$HELD/reads"
cat "$HELD/key"
SH
printf '%s\n' "${key}new" >"$HELD/accepted" # the API knows the new one already
agent patient.sh <<'SH'
#!/bin/sh
# patient.sh BODY - asks until it is answered
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    ./ask.sh "$1" | grep -q '^status 200$' && exit 0
    sleep 0.2
done
exit 1
SH
file=$(graph <<JSON
{"mayfly": 1, "name": "new-key", "services": {"anthropic": {"credential": {"command": ["$CASE_DIR/graph/key.sh"]}}},
 "tasks": {"ask": {"files": ["ask.sh", "patient.sh"], "uses": ["anthropic"], "command": ["./patient.sh", $(jq -Rs . <<<"$plain")]}}}
JSON
)
mayfly_start run "$file" --json
refused_once() { [ "$(asked '.key | not')" -ge 1 ]; }
wait_for 30 refused_once
cp "$HELD/accepted" "$HELD/key"
mayfly_wait
expect_status 0 "the new key is used"
[ "$(wc -l <"$HELD/reads")" -ge 2 ] || fail "the command was not run again"
key=${key}new

# --- the runner dies with a request open: it is charged in full, the log goes on, and says what nobody had journaled ---

slow='{"model":"claude-opus-5-5","max_tokens":500,"messages":[],"wait":60000}'
agent die.sh <<'SH'
#!/bin/sh
# die.sh - the first attempt waits for an answer that never comes, the second asks once
if [ "$MAYFLY_ATTEMPT" = 1 ]; then ./ask.sh "$1" "$2"; else ./ask.sh "$1"; fi
SH
file=$(graph <<JSON
{"mayfly": 1, "name": "orphaned", $(services '"budget_usd": 5'),
 "tasks": {"ask": {"files": ["ask.sh", "die.sh"], "uses": ["anthropic"], "command": ["./die.sh", $(jq -Rs . <<<"$plain"), $(jq -Rs . <<<"$slow")]}}}
JSON
)
before=$(wc -l <"$HELD/asked.jsonl")
mayfly_start run "$file" --json
both_asked() { [ "$(wc -l <"$HELD/asked.jsonl")" -ge $((before + 2)) ]; }
wait_for 30 both_asked
runner=$(jq -r 'select(.type == "runner.started") | .pid' "$OUT" | head -n 1)
kill -KILL "$runner"
mayfly_wait
expect_status 0
run=$(run_id)
log=$MAYFLY_STATE/runs/$run/audit.log
# the open one at its most: 500 output tokens, and its body as input; the other two as they were answered
open=$(jq -s '([.[] | select(.event == "answered") | .request]) as $done
              | [.[] | select(.event == "allowed" and (.request as $r | $done | index($r) | not)) | .reserved_micro_usd] | add' "$log")
[ "$open" -ge 10000 ] || fail "no open request in the log: $(cat "$log")"
expect_receipt .usage.anthropic.requests 3
expect_receipt '.usage.anthropic.usd * 1000000 | round' $((28000 + open))
[ "$(jq -rs '[.[] | select(.event == "opened") | .life] | join(" ")' "$log")" = "1 2" ] || fail "lives: $(cat "$log")"
mayfly audit "$run" --check-chain
expect_status 0
jq -es 'any(.event == "unanchored")' "$log" >/dev/null || fail "nothing is marked: $(cat "$log")"

# --- money that nobody can count ---

file=$(graph <<'JSON'
{"mayfly": 1, "name": "blind", "services": {"tracker": {"recipe": "bearer", "credential": {"env": "NO_SUCH_KEY"}, "inputs": {"base_url": "http://127.0.0.1:9"}, "budget_usd": 5}},
 "tasks": {"ask": {"uses": ["tracker"], "command": ["true"]}}}
JSON
)
mayfly plan "$file"
expect_status 2
expect_said 'budget_usd cannot be kept'
mayfly run "$file" --json
expect_status 2

kill -TERM "$MODEL_PID"
wait "$MODEL_PID" || fail "model_api ended with status $?: $(cat "$SAID/model.err")"
finish
