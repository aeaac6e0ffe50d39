#!/bin/bash
# doctor_left.sh - what a killed run left is found by `doctor` with the command that cleans it: accounts, a stray process, an
# unfinished journal; after that command it finds nothing.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "left", "provider": "emulator",
 "tasks": {"wait": {"for_each": [1, 2], "command": ["sleep", "300"], "account": {"permissions": []}}}}
JSON
)
finding() { # jq filter over findings about the run
    jq -r --arg run "$run" ".findings[] | select(.what == \$run) | $1" "$OUT"
}
mayfly_start run "$file" --json
both() {
    [ "$(grep -c '"type":"task.started"' "$OUT")" = 2 ]
}
wait_for 30 both
run=$(basename "$MAYFLY_STATE"/runs/*)
mayfly doctor --json
[ -z "$(finding 'select(.grade == "problem") | .text')" ] || fail "a run that is going on is no problem"
kill -KILL "$PID"
mayfly_wait
# a process that got away, for example by leaving its pid namespace
MAYFLY_SPAWN=$run-1 sleep 300 >/dev/null 2>&1 &
STARTED_PIDS+=($!)
stray=$!

mayfly doctor --json
expect_status 4
finding .text >"$SAID/findings"
grep -q "did not finish: run mayfly resume $run" "$SAID/findings" || fail "doctor does not name the unfinished run"
grep -q "2 accounts may still exist: run mayfly teardown $run" "$SAID/findings" || fail "doctor does not name the accounts"
grep -q "processes and .* cgroups are left: run mayfly teardown $run" "$SAID/findings" || fail "doctor does not name the process"
mayfly ps
expect_said "run mayfly resume $run"

mayfly teardown "$run"
expect_status 0
! kill -0 "$stray" 2>/dev/null || [ "$(cut -d' ' -f3 /proc/$stray/stat)" = Z ] || fail "the stray process lives"
mayfly doctor --json
[ -z "$(finding 'select(.grade == "problem") | .text')" ] || fail "doctor still finds: $(finding .text)"
finish
