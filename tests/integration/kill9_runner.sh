#!/bin/bash
# kill9_runner.sh - the runner is killed: its agents die, their attempts end as infrastructure, a new runner takes over and the
# run comes to its end.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent once.sh <<'SH'
#!/bin/sh
# once.sh DIR - hangs on the first attempt, ends on the next
set -eu
[ "$MAYFLY_ATTEMPT" = 1 ] || exit 0
echo hanging
sleep 300
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "kill9", "provider": "emulator",
 "tasks": {"once": {"for_each": [1, 2, 3, 4], "files": ["once.sh"], "command": ["./once.sh"], "account": {"permissions": []}}}}
JSON
)
mayfly_start run "$file" --json
running() {
    [ "$(grep -c '"type":"task.started"' "$OUT")" = 4 ]
}
wait_for 30 running
runner=
for status_file in /proc/[0-9]*/stat; do
    pid=${status_file#/proc/}
    pid=${pid%/stat}
    if [ "$(cut -d' ' -f4 "$status_file" 2>/dev/null)" = "$PID" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q ' runner '; then
        runner=$pid
    fi
done
[ -n "$runner" ] || fail "no child of the orchestrator is a runner"
kill -KILL "$runner"

run=$(head -n 1 "$OUT" | jq -r .run)
none_of_the_first() { # agents of this run's first attempts: other cases have first attempts too
    local environ
    for environ in /proc/[0-9]*/environ; do
        ! tr '\0' '\n' <"$environ" 2>/dev/null | grep -xE "MAYFLY_ATTEMPT=1|MAYFLY_RUN=$run" | sort -u | grep -c . | grep -qx 2 || return 1
    done 2>/dev/null
}
wait_for 10 none_of_the_first
mayfly_wait
expect_status 0
expect_receipt .tasks.succeeded 4
expect_receipt .accounts.created 8
expect_receipt .accounts.gone 8
[ "$(events '.type == "runner.died"' | wc -l)" = 1 ] || fail "the runner's death is not in the journal"
finish
