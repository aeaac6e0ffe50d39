#!/bin/bash
# kill9_run.sh - the orchestrator is killed in the middle: agents die by themselves, `ps` and `accounts` say what is open,
# `teardown` ends it, `rm` refuses before and works after.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "kill9run", "provider": "emulator",
 "tasks": {"wait": {"for_each": [1, 2, 3, 4, 5, 6], "command": ["sleep", "300"], "account": {"permissions": []}}}}
JSON
)
mayfly_start run "$file" --json
running() {
    [ "$(grep -c '"type":"task.started"' "$OUT")" = 6 ]
}
wait_for 30 running
run=$(basename "$MAYFLY_STATE"/runs/*)
kill -KILL "$PID"
mayfly_wait
expect_status 137
nobody() {
    [ -z "$(run_processes "$run")" ]
}
wait_for 10 nobody
[ "$(ledger_alive "$LEDGER" | wc -l)" = 6 ] || fail "the accounts should still be there"

mayfly ps
expect_status 0
expect_said "$run"
mayfly accounts --json --open
expect_status 0
[ "$(grep -o 'mayfly-[a-z0-9]*-[a-z0-9]*-[0-9]*' "$OUT" | sort -u | wc -l)" = 6 ] || fail "accounts does not list the six open ones"
mayfly rm "$run"
[ "$status" -ne 0 ] || fail "rm removed a run whose accounts are open"
[ -e "$MAYFLY_STATE/runs/$run/run.db" ] || fail "rm removed the database"

mayfly teardown "$run" --json
expect_status 0 "everything is gone now"
[ -z "$(ledger_alive "$LEDGER")" ] || fail "teardown left accounts"
mayfly teardown "$run" --json
expect_status 0 "a second teardown has nothing to do"
mayfly rm "$run"
expect_status 0
[ ! -e "$MAYFLY_STATE/runs/$run" ] || fail "rm left something"
finish
