#!/bin/bash
# sweep.sh - the orchestrator is killed and its state directory is gone: `teardown --sweep` finds the owner's accounts by the
# provider's list and deletes them, and nothing that bears another name; a run that is going on keeps its accounts.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "swept", "provider": "emulator",
 "tasks": {"wait": {"for_each": [1, 2, 3, 4, 5, 6], "command": ["sleep", "300"], "account": {"permissions": []}}}}
JSON
)
alive() {
    ledger_alive "$LEDGER" | wc -l
}
six_run() {
    [ "$(grep -c '"type":"task.started"' "$OUT")" = 6 ]
}
run_six() { # option...
    mayfly_start run "$file" --json "$@"
    wait_for 30 six_run
    run=$(basename "$MAYFLY_STATE"/runs/*)
}
end_six() {
    kill -KILL "$PID"
    mayfly_wait
    nobody() {
        [ -z "$(run_processes "$run")" ]
    }
    wait_for 10 nobody
    rm -rf "$MAYFLY_STATE"
}
make_account() { # name
    operator /accounts -f -X POST -H 'Content-Type: application/json' -d "{\"name\": \"$1\", \"type\": \"standard\"}" | jq -r .result.id
}

# While the run goes on, with and without the state directory, its accounts are its own.
run_six --owner tester
mayfly teardown --sweep emulator --owner tester
expect_status 4 "the run is going on"
expect_said "is going on: mayfly cancel $run"
mayfly teardown --sweep emulator --owner tester --state "$CASE_DIR/elsewhere"
expect_status 4 "the control socket answers"
[ "$(alive)" = 6 ] || fail "a sweep took accounts of a run that is going on"
end_six

# Names that are not this owner's tags, whole.
foreign=()
for name in tester mayfly-tester mayfly-testerx-aaaaaaaaaaaa-1 mayfly-tester-aaaaaaaaaaaa mayfly-tester-aaaaaaaaaaaa-1x \
    mayfly-tester-aaaaaaaaaaaa-01 mayfly-tester-aaaaaaaaaaaa-0 mayfly-tester-AAAAAAAAAAAA-1 mayfly-tester-short-1 \
    xmayfly-tester-aaaaaaaaaaaa-1 mayfly-tester-aaaaaaaaaaaa-1-2 "mayfly-tester-aaaaaaaaaaaa-4294967296"; do
    id=$(make_account "$name")
    [ -n "$id" ] && [ "$id" != null ] || fail "the emulator made no account $name"
    foreign+=("$id")
done
total=$((6 + ${#foreign[@]}))
[ "$(alive)" = $total ] || fail "$(alive) accounts, wanted $total"

mayfly teardown --sweep emulator --owner somebody
expect_status 0 "somebody else has nothing here"
mayfly teardown --sweep emulator --owner tester --older-than 1h
expect_status 0 "all of them are young"
expect_said "6 left alone"
mayfly teardown --sweep emulator --owner tester --dry-run
expect_status 4 "there are six"
[ "$(grep -c '^listed ' "$OUT")" = 6 ] || fail "the dry run does not list six accounts"
[ "$(alive)" = $total ] || fail "a dry run deleted something"

# A sweep that is killed is begun again: the list is all that it needs.
MFY_CRASH=K15:3 mayfly teardown --sweep emulator --owner tester
[ "$status" = 137 ] || [ "$status" = 0 ] || fail "the killed sweep ended with $status" # 0: no test build
rest=$(($(alive) - ${#foreign[@]}))
mayfly teardown --sweep emulator --owner tester --json
expect_status 0
[ "$(jq -r '.totals | "\(.found) \(.gone) \(.leaked)"' "$OUT")" = "$rest $rest 0" ] || fail "wanted $rest found and gone: $(cat "$OUT")"
[ "$(ledger_alive "$LEDGER" | sort | tr '\n' ' ')" = "$(printf '%s\n' "${foreign[@]}" | sort | tr '\n' ' ')" ] || fail "what is left is not what was not ours"
mayfly teardown --sweep emulator --owner tester
expect_status 0 "a second sweep has nothing to do"
expect_said "0 found"
for id in "${foreign[@]}"; do
    operator "/accounts/$id" -f -X DELETE >/dev/null
done

# Without --owner the name comes from machine and user, where the machine has an id.
if grep -qE '^[0-9a-f]{32}$' /etc/machine-id 2>/dev/null; then
    run_six
    end_six
    mayfly teardown --sweep emulator
    expect_status 0
    expect_said "6 gone"
fi

# What cannot work says so, and sends nothing.
mayfly teardown --sweep cloudflare-temporary
expect_status 2
expect_said "expires by itself at the latest"
mayfly teardown --sweep emulator --all
expect_status 2
mayfly teardown --dry-run
expect_status 2
mayfly teardown --sweep emulatr --owner tester
expect_status 2
MAYFLY_EMULATOR_URL='' mayfly teardown --sweep emulator --owner tester
expect_status 2
MAYFLY_EMULATOR_URL=http://192.0.2.1/client/v4 mayfly teardown --sweep emulator --owner tester
expect_status 2
finish
