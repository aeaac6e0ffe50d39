#!/bin/bash
# agent_output.sh - what agents write: more than the log may hold, without a line end, with bytes that a terminal obeys, with lines that look like
# ours; and agents that exit while a child holds their output. The log is capped and says so, memory stays small, nobody waits, and only
# our own records say how a task ended.
#
#   MAYFLY_TEST_FULL  four gigabytes instead of 200 megabytes
set -eu
. "$(dirname "$0")/../lib/case.sh"

megabytes=200
[ -z "${MAYFLY_TEST_FULL:-}" ] || megabytes=4096
start_emulator
agent flood.sh <<SH
#!/bin/sh
# no line end, NULs, one line of all of it; and on the other stream at the same time
head -c ${megabytes}M /dev/zero &
head -c 3000000 /dev/urandom >&2
wait
SH
agent forge.sh <<'SH'
#!/bin/sh
cat <<'TEXT'
{"type":"receipt","at_ms":1,"run":"aaaaaaaaaaaa","tasks":{"succeeded":99},"accounts":{"created":0,"gone":0,"expired":0,"expiring":0,"claimable":0,"leaked":0},"exit":0}
{"type":"task.succeeded","at_ms":1,"seq":1,"task":"forge","attempt":1}
receipt   run aaaaaaaaaaaa  1ms
  accounts  1 created = 1 gone + 0 expired + 0 expiring + 0 claimable + 0 leaked
mayfly: teardown complete
TEXT
printf '\033]0;title\007\033[2J\033[31mred\033[0m \302\233 \342\200\256 \360\237' # title, clear, C1, bidi, half a character
exit 3
SH
agent hold.sh <<'SH'
#!/bin/sh
# the main process ends; a grandchild in a session of its own keeps both streams
setsid sh -c 'sleep 300; echo late' &
echo parent
exit 0
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "output", "provider": "emulator", "limits": {"running": 4}, "defaults": {"timeout": "250s"},
 "tasks": {"flood": {"files": ["flood.sh"], "command": ["./flood.sh"], "account": {"permissions": []}},
           "forge": {"files": ["forge.sh"], "command": ["./forge.sh"], "account": {"permissions": []}},
           "hold":  {"files": ["hold.sh"],  "command": ["./hold.sh"],  "account": {"permissions": []}}}}
JSON
)
mayfly_start run "$file" --json
RUN_OUT=$OUT
peak=0
while kill -0 "$PID" 2>/dev/null; do
    for child in "$PID" $(pgrep -P "$PID" || true); do
        kib=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$child/status" 2>/dev/null || true)
        [ "${kib:-0}" -le $peak ] || peak=$kib
    done
    sleep 0.05
done
mayfly_wait
expect_status 1 "forge fails, whatever it says"
expect_receipt '.tasks | "\(.succeeded) \(.failed)"' "2 1"
expect_receipt '.accounts | "\(.created) \(.gone)"' "3 3"
run=$(run_id)
[ "$(events '.type == "task.succeeded" and .task == "forge"' | wc -l)" = 0 ] || fail "a forged event is among ours"
[ "$(grep -c '"type":"receipt"' "$RUN_OUT")" = 1 ] || fail "there are several receipts"
[ "$peak" -lt 300000 ] || fail "a process of ours took $peak KiB" # a sanitizer's shadow included

dir=$MAYFLY_STATE/runs/$run
bytes=$(stat -c %s "$dir/flood/1/stdout.log")
[ "$bytes" -le $((17 << 20)) ] && [ "$bytes" -ge $((8 << 20)) ] || fail "the log of $megabytes MiB has $bytes bytes"
[ "$(events '.type == "task.succeeded" and .task == "flood"' | jq .stdout_bytes)" = $((megabytes << 20)) ] || fail "the bytes that it wrote were not counted"
[ "$(events '.type == "task.succeeded" and .task == "flood"' | jq .stderr_bytes)" = 3000000 ] || fail "the bytes on stderr were not counted"

# For a terminal every byte that it would obey is escaped; in a pipe, too, nothing of it is a control sequence.
script -qec "'$MAYFLY_BIN' logs $run forge" /dev/null >"$SAID/terminal" </dev/null || true
! grep -qaP '\x1b\]0;title|\x1b\[2J|\xc2\x9b|\xe2\x80\xae' "$SAID/terminal" || fail "a terminal would obey what the agent wrote"
grep -qa 'teardown complete' "$SAID/terminal" || fail "its lines are not shown at all"
mayfly show "$run"
expect_status 0
! grep -qa 'aaaaaaaaaaaa' "$OUT" || fail "a forged receipt is shown as ours"

# The grandchild is gone with its task.
OUT=$RUN_OUT
ended=$(events '.type == "task.succeeded" and .task == "hold"' | jq .at_ms)
began=$(events '.type == "task.started" and .task == "hold"' | jq .at_ms)
[ $((ended - began)) -lt 15000 ] || fail "it waited $((ended - began)) ms for a child that held the pipe"
nobody() {
    [ -z "$(run_processes "$run")" ]
}
wait_for 10 nobody
finish
