#!/bin/bash
# resume.sh - a run is killed in the middle; `resume` finishes it without running again what had succeeded, and again after a failure.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent step.sh <<SH
#!/bin/sh
# step.sh NAME - notes that it ran; waits as long as the file \`hold\` is there; fails as long as \`fail-NAME\` is
set -eu
echo "\$1" >>"$CASE_DIR/ran"
while [ -e "$CASE_DIR/hold" ] && [ "\$1" != first ] && [ "\$1" != a ]; do sleep 0.05; done
[ ! -e "$CASE_DIR/fail-\$1" ]
printf '"%.1s"' "\$1" >"\$MAYFLY_RESULT"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "resumed", "provider": "emulator", "limits": {"running": 8}, "defaults": {"sandbox": false},
 "tasks": {"last":  {"needs": ["each"], "files": ["step.sh"], "command": ["./step.sh", "last{{each.result}}"]},
           "each":  {"needs": ["first"], "for_each": ["a", "b", "c"], "key": "{{item}}", "files": ["step.sh"], "command": ["./step.sh", "{{item}}"],
                     "account": {"permissions": []}},
           "first": {"files": ["step.sh"], "command": ["./step.sh", "first"], "account": {"permissions": []}}}}
JSON
)
: >"$CASE_DIR/hold"
mayfly_start run "$file" --json
waiting() { # a has ended, b and c wait
    [ "$(grep -c '"type":"task.succeeded"' "$OUT")" = 2 ] && grep -qx b "$CASE_DIR/ran" && grep -qx c "$CASE_DIR/ran"
}
wait_for 30 waiting
kill -KILL "$PID"
mayfly_wait
expect_status 137
run=$(basename "$MAYFLY_STATE"/runs/*)

# while somebody works on it there is no second one
rm "$CASE_DIR/hold"
: >"$CASE_DIR/fail-c"
mayfly resume "$run" --json
expect_status 1 "c fails"
expect_receipt .tasks.succeeded 3
expect_receipt .tasks.failed 1
expect_receipt .tasks.skipped 1
expect_receipt '.accounts | .created == .gone' true
[ "$(grep -cx first "$CASE_DIR/ran")" = 1 ] || fail "first ran again"
[ "$(grep -cx a "$CASE_DIR/ran")" = 1 ] || fail "a ran again"
[ "$(grep -cx b "$CASE_DIR/ran")" = 2 ] || fail "b did not run again"

rm "$CASE_DIR/fail-c"
mayfly resume "$run" --json
expect_status 0
expect_receipt .tasks.succeeded 5
[ "$(grep -cx b "$CASE_DIR/ran")" = 2 ] || fail "b ran again though it had succeeded"
grep -qxF 'last["a","b","c"]' "$CASE_DIR/ran" || fail "last did not get all results"

# nothing is left to do
before=$(wc -l <"$CASE_DIR/ran")
mayfly resume "$run" --json
expect_status 0
[ "$(wc -l <"$CASE_DIR/ran")" = "$before" ] || fail "something ran again"

# after a teardown of a run that was killed, too
rm "$CASE_DIR/ran"
: >"$CASE_DIR/hold"
mayfly_start run "$file" --json
wait_for 30 waiting
kill -KILL "$PID"
mayfly_wait
mayfly teardown last
expect_status 0
[ -z "$(ledger_alive "$LEDGER")" ] || fail "teardown left accounts"
rm "$CASE_DIR/hold"
mayfly resume last --json
expect_status 0
expect_receipt .tasks.succeeded 5
[ "$(grep -cx first "$CASE_DIR/ran")" = 1 ] || fail "first ran again after a teardown"
finish
