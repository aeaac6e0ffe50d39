#!/bin/bash
# read_commands.sh - looking at a run while it is going on changes nothing, needs no network and agrees with the end.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent step.sh <<'SH'
#!/bin/sh
# step.sh - says something, leaves a result and a file, and stays until it is told to go.
set -eu
echo "step says hello"
echo "and complains" >&2
mkdir -p out
echo content >out/file.txt
echo '{"answer": 42}' >"$MAYFLY_RESULT"
while [ ! -e "$GATE" ]; do sleep 0.05; done
SH
file=$(graph <<JSON
{"mayfly": 1, "name": "reading", "provider": "emulator", "defaults": {"sandbox": false},
 "tasks": {
   "first": {"files": ["step.sh"], "command": ["./step.sh"], "env": {"GATE": "/dev/null"}, "collect": ["out/**"]},
   "second": {"needs": ["first"], "files": ["step.sh"], "command": ["./step.sh"], "env": {"GATE": "$CASE_DIR/gate"}, "account": {"permissions": []}} } }
JSON
)
mayfly_start run "$file" --json --name looked-at
RUN_OUT=$OUT
second_runs() {
    grep '"type":"task.started"' "$RUN_OUT" | grep -q second
}
wait_for 30 second_runs
descriptors() {
    find "/proc/$PID/fd" -mindepth 1 | wc -l
}
before=$(descriptors)
requests=$(wc -l <"$LEDGER")

mayfly ps
expect_status 0
expect_said looked-at
mayfly ps --json
expect_status 0
jq -e . "$OUT" >/dev/null || fail "ps --json is no JSON"
for run in looked-at last; do
    mayfly show $run
    expect_status 0
    expect_said running
    expect_said succeeded
done
mayfly show looked-at --json
jq -e . "$OUT" >/dev/null || fail "show --json is no JSON"
mayfly logs looked-at first
expect_status 0
expect_said "step says hello"
mayfly logs looked-at first --stderr
expect_said "and complains"
grep -q hello "$OUT" && fail "--stderr shows stdout"
mayfly logs looked-at second
expect_said "step says hello"
mayfly events looked-at --json
expect_status 0
jq -es 'all(.type and .at_ms) and ([.[].at_ms] | . == sort)' "$OUT" >/dev/null || fail "events are not in order"
mayfly accounts looked-at
expect_status 0
grep -qi active "$OUT" || fail "accounts does not show the live one"
mayfly outputs looked-at first
expect_status 0
expect_said out/file.txt
mayfly outputs looked-at first --result
[ "$(jq .answer "$OUT")" = 42 ] || fail "the result is not there"
mayfly outputs looked-at first --to "$CASE_DIR/copy"
[ "$(cat "$(find "$CASE_DIR/copy" -name file.txt)")" = content ] || fail "the copy is wrong"
[ "$(wc -l <"$LEDGER")" = "$requests" ] || fail "a reading command talked to the provider"
mayfly rm looked-at
[ "$status" -ne 0 ] || fail "rm removed a run that is going on"

# Following ends with the run.
"$MAYFLY_BIN" logs looked-at second --follow >"$SAID/follow.out" 2>"$SAID/follow.err" &
follower=$!
"$MAYFLY_BIN" events looked-at --json --follow >"$SAID/events.out" 2>"$SAID/events.err" &
STARTED_PIDS+=("$follower" "$!")
sleep 0.5
[ "$(descriptors)" -le "$((before + 1))" ] || fail "readers cost the orchestrator descriptors"
: >"$CASE_DIR/gate"
OUT=$RUN_OUT
mayfly_wait
expect_status 0
expect_receipt .tasks.succeeded 2
wait "$follower" || fail "logs --follow ended with $?"
wait "$!" || fail "events --follow ended with $?"
grep -q "step says hello" "$SAID/follow.out" || fail "logs --follow missed what was there"
tail -n 1 "$SAID/events.out" | grep -q run.settled || fail "events --follow missed the end"

mayfly show last --machine task
expect_status 0
expect_said digraph
mayfly rm looked-at
expect_status 0
mayfly ps --json
grep -q looked-at "$OUT" && fail "rm left the run"
finish
