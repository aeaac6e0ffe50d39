#!/bin/bash
# cancel_rerun.sh - cancel a task, cancel a run from another terminal, run a task again, with and without what depends on it.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "cancel", "provider": "emulator",
 "tasks": {
   "slow": {"for_each": ["a", "b"], "key": "{{item}}", "command": ["sleep", "300"], "account": {"permissions": []}},
   "after": {"needs": ["slow"], "command": ["true"]} } }
JSON
)
mayfly_start run "$file" --json
RUN_OUT=$OUT
both() {
    [ "$(grep -c '"type":"task.started"' "$RUN_OUT")" = 2 ]
}
wait_for 30 both
mayfly cancel last slow/a
expect_status 0
one_cancelled() {
    grep -q '"type":"task.cancelled"' "$RUN_OUT"
}
wait_for 15 one_cancelled
mayfly cancel last
expect_status 0
OUT=$RUN_OUT
mayfly_wait
expect_status 1 "a cancelled run"
expect_receipt .tasks.cancelled 2
expect_receipt .accounts.gone 2

agent flag.sh <<'SH'
#!/bin/sh
# flag.sh FILE - succeeds when FILE is there
set -eu
echo "attempt $MAYFLY_ATTEMPT"
[ -e "$1" ]
SH
file=$(graph again.json <<JSON
{"mayfly": 1, "name": "again", "provider": "emulator", "defaults": {"sandbox": false},
 "tasks": {
   "first": {"files": ["flag.sh"], "command": ["./flag.sh", "$CASE_DIR/flag"], "account": {"permissions": []}},
   "next": {"needs": ["first"], "command": ["true"]} } }
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt .tasks.skipped 1
: >"$CASE_DIR/flag"
mayfly rerun last first --with-dependents --json
expect_status 0
expect_receipt .tasks.succeeded 2
expect_receipt '.accounts | .created == .gone' true
mayfly logs last first
expect_said "attempt 2"
finish
