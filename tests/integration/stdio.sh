#!/bin/bash
# stdio.sh - standard output closed, full, read slowly or given up: no run waits for a reader, none dies of it, and all accounts go; nothing
# is written into a descriptor that took the number of a closed one.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "stdio", "provider": "emulator", "limits": {"running": 8},
 "tasks": {"many": {"for_each": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30], "command": ["true"],
                    "account": {"permissions": []}}}}
JSON
)
settled() { # by its journal
    "$MAYFLY_BIN" show last --json 2>/dev/null | jq -e '.state == "finished"' >/dev/null
}
all_gone() {
    [ "$(ledger_count "$LEDGER" create account)" -eq "$1" ] && [ -z "$(ledger_alive "$LEDGER")" ]
}

# Nobody reads: 30 accounts say more than the 64 KiB of a pipe.
mkfifo "$CASE_DIR/pipe"
sleep 300 3<>"$CASE_DIR/pipe" &
holder=$!
STARTED_PIDS+=("$holder")
"$MAYFLY_BIN" run "$file" --json >"$CASE_DIR/pipe" 2>"$SAID/full.err" </dev/null &
pid=$!
STARTED_PIDS+=("$pid")
wait_for 60 all_gone 30
wait_for 10 settled
kill -0 "$pid" 2>/dev/null || fail "it did not keep what nobody has read yet"
timeout 20 head -c 1000000 "$CASE_DIR/pipe" >"$SAID/full.out" &
reader=$!
status=0
wait "$pid" || status=$?
expect_status 0 "read at last"
kill "$holder" 2>/dev/null || true
wait "$reader" 2>/dev/null || true
tail -n 1 "$SAID/full.out" | jq -e '.type == "receipt" and .accounts.gone == 30' >/dev/null || fail "the last line is not the receipt"
rm "$CASE_DIR/pipe"

# A reader that goes away after the first line, and one that was never there.
status=0
("$MAYFLY_BIN" run "$file" --json 2>"$SAID/gone.err" </dev/null && status=0 || status=$?; echo "$status" >"$CASE_DIR/status") | head -n 1 >"$SAID/gone.out"
wait_for 60 test -s "$CASE_DIR/status"
[ "$(cat "$CASE_DIR/status")" = 0 ] || fail "ended with $(cat "$CASE_DIR/status") when its reader went away"
all_gone 60 || fail "accounts are alive after a reader went away"
for closed in '>&-' '2>&-' '<&-' '<&- >&- 2>&-'; do
    status=0
    eval "\"\$MAYFLY_BIN\" run \"\$file\" --json >\"\$SAID/closed.out\" 2>\"\$SAID/closed.err\" $closed" || status=$?
    expect_status 0 "with $closed"
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive with $closed"
    oracle_database "$MAYFLY_STATE" || fail "with $closed: what it said went into a database"
done

# A slow one gets everything in the end.
"$MAYFLY_BIN" run "$file" --json 2>"$SAID/slow.err" </dev/null | { sleep 2; cat; } >"$SAID/slow.out"
tail -n 1 "$SAID/slow.out" | jq -e '.type == "receipt" and .exit == 0' >/dev/null || fail "a slow reader lost the receipt"
finish
