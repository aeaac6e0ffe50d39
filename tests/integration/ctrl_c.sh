#!/bin/bash
# ctrl_c.sh - Ctrl-C in a real terminal, in the middle of a run: agents end, accounts are deleted, nothing is left; exit 130.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "ctrlc", "provider": "emulator", "limits": {"running": 8},
 "tasks": {"wait": {"for_each": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "command": ["sleep", "300"],
                    "account": {"permissions": ["workers_scripts:read"]}}}}
JSON
)
# script(1) gives a terminal; what is typed into it comes through a pipe, so \003 is what the Ctrl-C key sends.
mkfifo "$CASE_DIR/keys"
calls=1
OUT=$SAID/1.out
ERR=$SAID/1.err
script -qefc "'$MAYFLY_BIN' run '$file'" "$OUT" <"$CASE_DIR/keys" >/dev/null 2>"$ERR" &
terminal=$!
STARTED_PIDS+=("$terminal")
exec 3>"$CASE_DIR/keys"
rm "$CASE_DIR/keys"

eight_accounts() {
    [ "$(ledger_count "$LEDGER" create account)" = 8 ]
}
wait_for 30 eight_accounts
sleep 0.3 # some agents are running now, some are about to
printf '\003' >&3
status=0
wait "$terminal" || status=$?
exec 3>&-
expect_status 130 "ended by SIGINT"

mayfly show last --json
expect_status 0
grep -q '"exit":130' "$OUT" || fail "show says another exit code than the process: $(cat "$OUT")"
mayfly accounts last --open --json
grep -q mayfly- "$OUT" && fail "accounts are open: $(cat "$OUT")"
finish
