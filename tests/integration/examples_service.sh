#!/bin/bash
# examples_service.sh - an agent works with a scripted model API and never sees its key; one looks for it, one spends too much.
set -eu
. "$(dirname "$0")/../lib/case.sh"

if ! perl -MJSON::PP -MHTTP::Tiny -MIO::Socket::INET -e 1 2>/dev/null; then
    echo "SKIP: the example needs perl with its own modules"
    exit 77
fi
# The key holds the canary: the oracle looks for it in everything that was said or kept.
export ANTHROPIC_API_KEY=sk-example-${CANARY}0123456789abcdef
printf '%s\n' "$ANTHROPIC_API_KEY" >"$HELD/key"
"$ROOT/examples/service/model-api" "$HELD/key" >"$HELD/model.out" 2>"$SAID/model.err" </dev/null &
STARTED_PIDS+=($!)
wait_for 20 grep -q '^listening ' "$HELD/model.out"
ANTHROPIC_BASE_URL=$(sed -n 's/^listening //p' "$HELD/model.out")
export ANTHROPIC_BASE_URL
mayfly run "$ROOT/examples/service/graph.json" --json
if [ "$status" -eq 6 ]; then
    echo "SKIP: no sandbox on this machine: $(head -n 3 "$ERR")"
    exit 77
fi
expect_status 0
expect_receipt .tasks.succeeded 3
expect_receipt .tasks.failed 1 # spend, whose failure is allowed
expect_receipt .sandbox.without 0
expect_receipt '.usage.anthropic | .requests >= 6 and .output_tokens >= 360 and .usd > 0 and .usd < 0.01' true
[ "$(events '.type == "task.failed" and .task == "spend"' | jq -r '"\(.attempt) \(.class)"')" = "1 budget" ] || fail "spend: $(events '.task == "spend"')"
run=$(run_id)
mayfly logs "$run" search
expect_said "no key, anywhere"
mayfly outputs "$run" write/0 --to "$CASE_DIR/copy"
expect_status 0
[ "$(sh "$(find "$CASE_DIR/copy" -name greet.sh)")" = "good morning" ] || fail "the agent's script is another one"
mayfly audit "$run" --json
expect_status 0
jq -e '[.services[] | select(.task == "write")] | length == 1 and .[0].requests == 6 and .[0].charged_micro_usd > 0' "$OUT" >/dev/null || fail "services: $(jq -c .services "$OUT")"
jq -e 'any(.refused[]; .task == "search") and all(.anomalies[]; .task != "write/0" and .task != "write/1" or .kind == "peer")' "$OUT" >/dev/null ||
    fail "refused: $(jq -c '[.refused, .anomalies]' "$OUT")"

# The demo starts and ends the stand-in by itself.
MAYFLY=$MAYFLY_BIN "$ROOT/examples/service/demo" --name demo >"$SAID/demo.out" 2>&1 || fail "demo: $(tail -n 5 "$SAID/demo.out")"
mayfly show demo
expect_status 0
finish
