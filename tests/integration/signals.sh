#!/bin/bash
# signals.sh - what becomes of a run for each signal that a terminal, a session manager or a person sends: SIGHUP goes on, SIGTERM and SIGINT
# end it with its accounts gone, others do not kill it behind its back, and after SIGKILL its agents die by themselves.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<JSON
{"mayfly": 1, "name": "signals", "provider": "emulator", "defaults": {"sandbox": false},
 "tasks": {"work": {"command": ["sh", "-c", "while [ ! -e '$CASE_DIR/go' ]; do sleep 0.05; done"], "account": {"permissions": []}}}}
JSON
)
ulimit -c unlimited 2>/dev/null || true # a core would be left behind
begin() {
    rm -f "$CASE_DIR/go"
    mayfly_start run "$file" --json
    started() {
        grep -q '"type":"task.started"' "$OUT"
    }
    wait_for 30 started
    run=$(ls -t "$MAYFLY_STATE/runs" | head -n 1)
}
nobody() {
    [ -z "$(run_processes "$run")" ]
}

for name in HUP PIPE USR1 USR2 WINCH CONT URG IO; do
    begin
    kill "-$name" "$PID"
    sleep 0.1
    case $name in
    USR1 | USR2 | IO) # these end a process that knows nothing of them: then a clean-up has to do
        : >"$CASE_DIR/go"
        mayfly_wait
        [ "$status" = 0 ] || { mayfly teardown "$run"; expect_status 0 "teardown after SIG$name"; }
        ;;
    *)
        kill -0 "$PID" || fail "SIG$name ended the run"
        : >"$CASE_DIR/go"
        mayfly_wait
        expect_status 0 "SIG$name"
        ;;
    esac
    wait_for 10 nobody
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "SIG$name: accounts are alive"
done

for name in INT TERM; do
    begin
    kill "-$name" "$PID"
    mayfly_wait
    expect_status $((128 + $(kill -l $name))) "SIG$name"
    expect_receipt '.accounts | .created == .gone' true
    wait_for 10 nobody
done

# These two end it as they should; nothing of its memory is written down, its agents die, and a clean-up finds the account.
for name in QUIT KILL; do
    begin
    kill "-$name" "$PID"
    mayfly_wait
    expect_status $((128 + $(kill -l $name))) "SIG$name"
    wait_for 10 nobody
    mayfly teardown "$run"
    expect_status 0 "teardown after SIG$name"
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "SIG$name: accounts are alive after a teardown"
done
[ -z "$(find . "$CASE_DIR" -maxdepth 2 -name 'core*' -newer "$file" -type f 2>/dev/null)" ] || fail "a core was written"
finish
