#!/bin/bash
# examples_hostile.sh - agents that want out get nothing, are reported, and their siblings finish; the provider saw only what was
# allowed, and no real credential was ever where an agent could read it (the oracle looks for it).
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
export ANTHROPIC_API_KEY=${CANARY}-of-the-operator-0123456789 # in mayfly's own environment, and nobody passes it on
mayfly run "$ROOT/examples/hostile/graph.json" --json
if [ "$status" -eq 6 ]; then
    echo "SKIP: no sandbox on this machine: $(head -n 3 "$ERR")"
    exit 77
fi
run=$(run_id)
directory=$MAYFLY_STATE/runs/$run
for result in "$directory"/hostile/*/1/stdout.log; do
    grep -q '"got": \[\]' "$result" || fail "$(dirname "$result"): $(grep '^GOT' "$result")"
done
expect_status 0 "nothing was got, and the siblings finished"
expect_receipt .tasks.succeeded 13 # neighbour, three honest, eight hostile, judge
expect_receipt .tasks.failed 1     # stopped
expect_receipt .sandbox.without 0
expect_balanced
[ "$(events '.type == "task.failed" and .task == "stopped"' | jq -r .class)" = violation ] || fail "stopped was not stopped"
mayfly logs "$run" stopped
if grep -q 'still here' "$OUT"; then fail "stopped went on"; fi

# Each one is reported as what it did.
mayfly audit "$run" --json
expect_status 0
cp "$OUT" "$CASE_DIR/audit.json"
for wanted in accounts:foreign_account accounts:outside_permissions accounts:replay accounts:unknown_token paths:trick smuggling:malformed network:egress canary:canary \
    environment:outside_permissions; do
    jq -e --arg task "hostile/${wanted%:*}" --arg kind "${wanted#*:}" 'any(.anomalies[]; .task == $task and .kind == $kind)' "$CASE_DIR/audit.json" >/dev/null ||
        fail "no ${wanted#*:} of hostile/${wanted%:*}: $(jq -c '[.anomalies[] | select(.task | startswith("hostile")) | {task, kind}] | unique' "$CASE_DIR/audit.json")"
done
jq -e 'all(.used[]; .task != "hostile" and .task != "stopped")' "$CASE_DIR/audit.json" >/dev/null || fail "something of theirs was allowed: $(jq -c .used "$CASE_DIR/audit.json")"
jq -e 'any(.anomalies[]; .task | startswith("honest")) | not' "$CASE_DIR/audit.json" >/dev/null || fail "an honest one is reported"
mayfly audit "$run" --check-chain
expect_status 0

# The provider: four scripts of the honest ones, no database, no namespace, no token beyond those that mayfly asked for, and no
# request with a token of an agent that the record does not have.
[ "$(ledger_count "$LEDGER" create worker)" = 4 ] || fail "scripts in the ledger"
for kind in kv d1; do
    [ "$(ledger_count "$LEDGER" create $kind)" = 0 ] || fail "$kind in the ledger"
done
allowed=$(jq -s '[.[] | select(.event == "allowed")] | length' "$directory/audit.log")
used=$(jq -rs '([.[] | select(.kind == "token" and .op == "create" and .account != null) | .id]) as $theirs
    | [.[] | select(.op == "use" and .kind == "token") | select(.id as $id | $theirs | index($id))] | length' "$LEDGER")
[ "$allowed" = "$used" ] || fail "the record has $allowed requests, the provider saw $used"
# What was collected of `files`: no link, nothing of the host.
[ ! -e "$directory/hostile/files/1/outputs/loot" ] || [ -z "$(ls -A "$directory/hostile/files/1/outputs/loot")" ] || fail "loot was collected"
finish
