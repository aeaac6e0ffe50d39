#!/bin/bash
# kill_thousand.sh - a run of 1,000 accounts is killed at a random moment and cleaned by one `teardown --all`; then the same with the
# state directory deleted, and one `teardown --sweep emulator`. The time of each clean-up is printed.
#
#   MAYFLY_TEST_FULL  twenty kills instead of three
set -eu
. "$(dirname "$0")/../lib/case.sh"

kills=3
[ -z "${MAYFLY_TEST_FULL:-}" ] || kills=20
start_emulator
file=$(graph <<JSON
{"mayfly": 1, "name": "thousand", "provider": "emulator", "limits": {"running": 1000},
 "tasks": {"agent": {"for_each": [$(seq -s, 1 1000)], "command": ["sleep", "300"], "account": {"permissions": []}}}}
JSON
)
started() { # how many agents have been started
    grep -c '"type":"task.started"' "$OUT" || true
}
nobody() {
    [ -z "$(run_processes "$run")" ]
}
milliseconds() {
    date +%s%3N
}

# Kills it as soon as so many agents run, or a random moment later than the start.
kill_run() { # agents
    local before
    before=$(ls "$MAYFLY_STATE/runs" 2>/dev/null | wc -l)
    mayfly_start run "$file" --json --owner thousand
    begun() {
        [ "$(ls "$MAYFLY_STATE/runs" 2>/dev/null | wc -l)" -gt "$before" ]
    }
    wait_for 20 begun
    enough() {
        [ "$(started)" -ge "$1" ]
    }
    if [ "$1" -gt 0 ]; then
        wait_for 120 enough "$1"
    else
        sleep "0.0$((RANDOM % 10))"
    fi
    kill -KILL "$PID"
    mayfly_wait
    alive=$(ledger_alive "$LEDGER" | wc -l)
    run=$(ls -t "$MAYFLY_STATE/runs" | head -n 1)
    running=$(started)
}

for kill in $(seq 1 $kills); do
    case $kill in
    1) kill_run 1000 ;;
    2) kill_run 0 ;;
    *) kill_run $((RANDOM % 999 + 1)) ;;
    esac
    from_ms=$(milliseconds)
    mayfly teardown --all
    expect_status 0
    ms=$(($(milliseconds) - from_ms))
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive after one teardown --all"
    [ -z "$(ledger_tokens "$LEDGER")" ] || fail "tokens are alive after one teardown --all"
    wait_for 10 nobody
    echo "killed with $running agents and $alive accounts: clean after $ms ms"
    oracle_database "$MAYFLY_STATE" || fail "the database is damaged"
done

kill_run $((RANDOM % 999 + 1))
wait_for 10 nobody
rm -rf "$MAYFLY_STATE"
mayfly teardown --sweep emulator --owner thousand
expect_status 0
[ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive after one sweep"
[ -z "$(ledger_tokens "$LEDGER")" ] || fail "tokens are alive after one sweep"
echo "state directory deleted with $alive accounts alive: $(sed -n 's/^receipt *//p' "$OUT")"
finish
