#!/bin/bash
# cancel_all.sh - the emergency stop: one command ends the agents and the tokens of every run on this machine, of another state directory,
# of an orchestrator that is stuck and of one that was killed, and says how many there were and when the last was dead.
set -eu
. "$(dirname "$0")/../lib/case.sh"

cat >"$CASE_DIR/faults.json" <<'JSON'
{"rules": []}
JSON
start_emulator --faults "$CASE_DIR/faults.json"
faults() { # script: replaces the emulator's
    curl -sS --fail --unix-socket "$ADMIN_SOCKET" --data-binary "$1" http://emulator/__mayfly/faults >/dev/null
}
agent deaf.sh <<'SH'
#!/bin/sh
trap '' TERM
while :; do sleep 300; done
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "stop", "provider": "emulator", "defaults": {"grace": "60s"}, "limits": {"running": 8},
 "tasks": {"work": {"for_each": [1, 2, 3], "files": ["deaf.sh"], "command": ["./deaf.sh"], "account": {"permissions": []}},
           "next": {"needs": ["work"], "command": ["true"], "account": {"permissions": []}}}}
JSON
)
pids=()
begin() { # option...
    mayfly_start run "$file" --json "$@"
    pids+=("$PID")
    three() {
        [ "$(grep -c '"type":"task.started"' "$OUT")" = 3 ]
    }
    wait_for 30 three
}
ended() { # pid index, wanted status
    PID=${pids[$1]}
    mayfly_wait
    expect_status "$2" "orchestrator $1"
}
said() { # jq filter of the last line
    tail -n 1 "$OUT" | jq -r "$1"
}
nobody() {
    local run
    for run in "$MAYFLY_STATE"/runs/* "$CASE_DIR"/other/runs/*; do
        [ -z "$(run_processes "$(basename "$run")")" ] || return 1
    done
}

mayfly cancel --all
expect_status 0 "there is nothing"
expect_said "cancelled 0 runs"
mayfly cancel --all last
expect_status 2 "all of them, and one of them"

# Two that answer, one of them of another state directory, and one whose orchestrator was killed.
begin
kill -KILL "$PID"
mayfly_wait
begin
begin --state "$CASE_DIR/other"
from_ms=$(date +%s%3N)
mayfly cancel --all --json
took_ms=$(($(date +%s%3N) - from_ms))
expect_status 0
[ "$(said '"\(.type) \(.count) \(.processes) \(.tokens) \(.tokens_left) \(.tokens_expiring)"')" = "cancelled 3 6 9 0 0" ] || fail "it said $(said .)"
[ "$(said '[.runs[] | select(.taken_over)] | length')" = 1 ] || fail "the run that was killed was not taken over: $(said .)"
[ -z "$(ledger_tokens "$LEDGER")" ] || fail "tokens are alive although it said that none is"
nobody || fail "agents live on"
dead_ms=$(said .dead_ms) # since the program began: a loaded machine takes a moment to get there
last_ms=$(jq -s '[.[] | select(.kind == "token" and .op == "revoke") | .at_ms] | max' "$LEDGER")
[ "$dead_ms" -le "$took_ms" ] || fail "the last token was dead after $dead_ms ms, the command took $took_ms ms"
[ $((from_ms + dead_ms + 500)) -ge "$last_ms" ] || fail "dead after $dead_ms ms, the ledger has a revocation after $((last_ms - from_ms)) ms"
[ "$took_ms" -lt 20000 ] || fail "it waited for the grace of agents that do not listen: $took_ms ms"
ended 1 1
ended 2 1
[ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive"

# One that is stuck is killed and taken over; in words.
begin
kill -STOP "$PID"
mayfly cancel --all
expect_status 0
expect_said "cancelled 1 run: 3 processes, the last ended after "
expect_said "; 3 tokens, the last was dead after "
ended 3 137
[ -z "$(ledger_alive "$LEDGER")" ] || fail "the stuck run left accounts"
[ -z "$(ledger_tokens "$LEDGER")" ] || fail "the stuck run left tokens"

# What cannot be stopped is said, with the exit code for it; a second stop tries again.
faults '{"rules": [{"method": "DELETE", "path": "/accounts/*", "action": "status", "status": 403},
                   {"method": "DELETE", "path": "/accounts/*/tokens/*", "action": "status", "status": 403}]}'
begin
mayfly cancel --all
expect_status 4
expect_said "3 TOKENS MAY STILL WORK"
ended 4 4
faults '{"rules": []}'
mayfly cancel --all --json
expect_status 0
[ "$(said '"\(.processes) \(.tokens) \(.tokens_left)"')" = "0 3 0" ] || fail "it said $(said .)"
mayfly cancel --all
expect_said "cancelled 0 runs"
wait_for 10 nobody
finish
