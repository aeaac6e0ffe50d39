#!/bin/bash
# two_orchestrators.sh - one run, two that want to work on it: the second is refused while the first lives; one that was stopped, and whose lock was
# taken from it meanwhile, finds a newer epoch when it goes on, writes nothing more, and nothing is left behind by either.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<JSON
{"mayfly": 1, "name": "two", "provider": "emulator", "limits": {"running": 4}, "defaults": {"sandbox": false},
 "tasks": {"work": {"for_each": [1, 2, 3, 4], "command": ["sh", "-c", "while [ ! -e '$CASE_DIR/go' ]; do sleep 0.05; done"], "account": {"permissions": []}}}}
JSON
)
mayfly_start run "$file" --json
first=$PID
FIRST_OUT=$OUT
FIRST_ERR=$ERR
four() {
    [ "$(grep -c '"type":"task.started"' "$FIRST_OUT")" = 4 ]
}
wait_for 30 four
run=$(basename "$MAYFLY_STATE"/runs/*)
for command in resume teardown "rerun work/0"; do
    # shellcheck disable=SC2086
    mayfly ${command%% *} "$run" ${command#"${command%% *}"} --json
    expect_status 5 "$command while it goes on"
done
mayfly teardown --all
expect_status 4 "it goes on, and its accounts are alive"
[ "$(ledger_alive "$LEDGER" | wc -l)" = 4 ] || fail "somebody else deleted accounts of a run that goes on"

# The lock goes with its file: the worst that a person or a clean-up script can do.
kill -STOP "$first"
rm "$MAYFLY_STATE/runs/$run/run.lock"
: >"$CASE_DIR/go"
mayfly resume "$run" --json
second=$status
kill -CONT "$first"
status=0
wait "$first" || status=$?
case $status in
4 | 5) ;;
*) fail "the first one, which was overtaken, ended with $status" ;;
esac
grep -qF 'another mayfly has taken it over' "$FIRST_OUT" "$FIRST_ERR" || fail "the first one does not say that it was overtaken"
[ "$second" = 0 ] || [ "$second" = 1 ] || fail "the second one ended with $second"
mayfly teardown --all
expect_status 0
[ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive after both"
nobody() {
    [ -z "$(run_processes "$run")" ]
}
wait_for 10 nobody
[ "$(sqlite3 "file:$MAYFLY_STATE/runs/$run/run.db?mode=ro" 'SELECT count(*) = max(seq) FROM journal')" = 1 ] || fail "the journal has a gap"
find "$XDG_RUNTIME_DIR" -name "$run.sock" -delete # whose it was, two could tell
finish
