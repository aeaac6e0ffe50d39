#!/bin/bash
# timeouts.sh - a deadline is enforced within 100 ms of its time, also for an agent that does not listen to SIGTERM.
set -eu
. "$(dirname "$0")/../lib/case.sh"

file=$(graph <<'JSON'
{"mayfly": 1, "name": "timeouts", "defaults": {"timeout": "1s", "grace": "1s"}, "limits": {"running": 4},
 "tasks": {
   "sleeper": {"command": ["sleep", "60"]},
   "deaf": {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 60; done"]},
   "family": {"command": ["sh", "-c", "sleep 61 & (setsid sleep 62 &) ; sleep 63"]},
   "quick": {"command": ["true"]} } }
JSON
)
at() { # record, task, further jq condition
    events ".type == \"$1\" and .task == \"$2\" and (${3:-true})" | head -n 1 | jq -r .at_ms
}
within() { # what, milliseconds that passed, wanted
    [ $(($2 - $3)) -ge -5 ] || fail "$1 took $2 ms, wanted at least $3"
    [ $(($2 - $3)) -le 100 ] || late="$1 took $2 ms, wanted $3 to $(($3 + 100))"
}
measure() {
    local task started
    for task in sleeper deaf family; do
        started=$(at task.started $task)
        within "the deadline of $task" $(($(at task.stop $task '.level == 1') - started)) 1000
    done
    for task in sleeper family; do
        within "the end of $task after SIGTERM" $(($(at task.exited $task) - $(at task.stop $task '.level == 1'))) 0
    done
    within "SIGKILL after the grace of deaf" $(($(at task.stop deaf '.level == 2') - $(at task.stop deaf '.level == 1'))) 1000
    within "the end of deaf after SIGKILL" $(($(at task.exited deaf) - $(at task.stop deaf '.level == 2'))) 0
}

# Nothing is ever early. Late may also be a machine that had no time for us: one of three runs must be in time throughout.
for try in 1 2 3; do
    late=
    mayfly run "$file" --json
    expect_status 1
    expect_receipt .tasks.timed_out 3
    expect_receipt .tasks.succeeded 1
    measure
    [ -n "$late" ] || break
    echo "try $try: $late" >&2
done
[ -z "$late" ] || fail "$late"
finish
