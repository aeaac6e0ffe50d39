#!/bin/bash
# clocks.sh - the wall clock jumps by a day, back and forth, and an orchestrator is stopped for longer than its deadlines: no deadline fires for
# a clock that was set, time in the journal never goes back, and what passed while it slept is noticed at once.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<JSON
{"mayfly": 1, "name": "clocks", "provider": "emulator", "defaults": {"timeout": "60s", "sandbox": false},
 "tasks": {"first": {"command": ["sleep", "0.3"], "account": {"permissions": []}},
           "second": {"needs": ["first"], "command": ["sh", "-c", "[ ! -e '$CASE_DIR/fail' ]"], "account": {"permissions": []}}}}
JSON
)
in_order() { # times in the journal
    sqlite3 "file:$MAYFLY_STATE/runs/$1/run.db?mode=ro" 'SELECT count(*) FROM journal AS a JOIN journal AS b ON b.seq = a.seq + 1 WHERE b.at_ms < a.at_ms'
}
day=86400000
for jump in $day -$day; do
    # from the start, and in the middle of the run: after so many looks at the clock
    for after in 0 2 5 10 20; do
        MFY_CLOCK=$jump:$after mayfly run "$file" --json
        expect_status 0 "the clock jumps by $jump ms after $after looks"
        expect_receipt '.accounts | .created == 2 and .gone == 2' true
        [ "$(in_order "$(run_id)")" = 0 ] || fail "time goes back in the journal when the clock jumps by $jump"
        if [ "$(receipt .wall_ms)" -gt 60000 ] || [ "$(receipt .wall_ms)" -lt 0 ]; then
            fail "it says that it took $(receipt .wall_ms) ms"
        fi
    done
done

# Another day when it is taken up again.
: >"$CASE_DIR/fail"
mayfly run "$file" --json
expect_status 1
run=$(run_id)
rm "$CASE_DIR/fail"
MFY_CLOCK=-$day:0 mayfly resume "$run" --json
expect_status 0 "resumed a day earlier"
[ "$(in_order "$run")" = 0 ] || fail "time goes back in the journal of a run that was resumed earlier than it was begun"
MFY_CRASH=K10:1 mayfly run "$file" --json
expect_status 137
run=$(head -n 1 "$OUT" | jq -r .run) # "last" is one that was opened tomorrow
MFY_CLOCK=$day:0 mayfly teardown "$run" --json
expect_status 0 "torn down a day later"
[ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive"

# Stopped for longer than a deadline; in an earlier life the machine may have slept for hours.
file=$(graph sleepy.json <<'JSON'
{"mayfly": 1, "name": "sleepy", "provider": "emulator", "defaults": {"timeout": "2s", "grace": "1s"}, "limits": {"running": 20},
 "tasks": {"late": {"for_each": [1,2,3,4,5,6,7,8,9,10], "command": ["sleep", "300"], "account": {"permissions": []}}}}
JSON
)
mayfly_start run "$file" --json
ten() {
    [ "$(grep -c '"type":"task.started"' "$OUT")" = 10 ]
}
wait_for 30 ten
kill -STOP "$PID"
sleep 5
from_ms=$(date +%s%3N)
kill -CONT "$PID"
mayfly_wait
took_ms=$(($(date +%s%3N) - from_ms))
expect_status 1
expect_receipt .tasks.timed_out 10
expect_receipt '.accounts | .created == .gone' true
[ "$took_ms" -lt 5000 ] || fail "it took $took_ms ms after it went on"
[ "$(grep -c '"type":"task.stop"' "$OUT")" -le 20 ] || fail "a storm of timers: $(grep -c '"type":"task.stop"' "$OUT") stops"
finish
