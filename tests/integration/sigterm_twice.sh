#!/bin/bash
# sigterm_twice.sh - the second signal kills at once instead of after the grace; teardown happens all the same; exit 143.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<'JSON'
{"mayfly": 1, "name": "sigterm", "provider": "emulator", "defaults": {"grace": "60s"},
 "tasks": {"deaf": {"for_each": [1, 2, 3, 4], "command": ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 60; done"],
                    "account": {"permissions": []}}}}
JSON
)
mayfly_start run "$file" --json
running() {
    [ "$(grep -c '"type":"task.started"' "$OUT")" = 4 ]
}
wait_for 30 running
sleep 0.2
kill -TERM "$PID"
sleep 0.5
[ -d "/proc/$PID" ] || fail "it did not wait for its agents after the first signal"
kill -TERM "$PID"
began=$(date +%s%N)
mayfly_wait
took=$((($(date +%s%N) - began) / 1000000))
expect_status 143 "ended by SIGTERM"
[ $took -lt 5000 ] || fail "teardown took $took ms after the second signal"
expect_receipt .tasks.cancelled 4
expect_receipt .accounts.gone 4
finish
