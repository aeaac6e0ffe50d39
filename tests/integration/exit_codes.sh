#!/bin/bash
# exit_codes.sh - every exit code of the table in the README that a shell can bring about.
set -eu
. "$(dirname "$0")/../lib/case.sh"

cat >"$CASE_DIR/faults.json" <<'JSON'
{"rules": []}
JSON
start_emulator --faults "$CASE_DIR/faults.json"
faults() { # script: replaces the emulator's
    curl -sS --fail --unix-socket "$ADMIN_SOCKET" --data-binary "$1" http://emulator/__mayfly/faults >/dev/null
}
one() { # members of the task: a graph of one task
    graph <<JSON
{"mayfly": 1, "name": "exit", "provider": "emulator", "limits": {"run_timeout": "30s"}, "defaults": {"timeout": "20s"}, "tasks": {"only": {$1}}}
JSON
}

mayfly run "$(one '"command": ["true"]')" --json
expect_status 0
mayfly run "$(one '"command": ["false"]')" --json
expect_status 1 "a task failed"
mayfly run "$(one '"command": ["false"], "allow_failure": true')" --json
expect_status 0 "its failure is allowed"
mayfly run
expect_status 2 "usage"
mayfly frobnicate
expect_status 2 "no such command"
mayfly run --frobnicate x
expect_status 2 "no such option"
mayfly run "$CASE_DIR/none.json"
expect_status 2 "no such file"
mayfly show nobody
expect_status 2 "no such run"

account='"command": ["true"], "account": {"permissions": []}'
faults '{"rules": [{"method": "POST", "path": "/accounts", "action": "status", "status": 403}]}'
mayfly run "$(one "$account")" --json
expect_status 3 "provisioning refused"
expect_receipt .accounts.created 0
faults '{"rules": [{"method": "DELETE", "path": "/accounts/*", "action": "status", "status": 403}]}'
mayfly run "$(one "$account")" --json
expect_status 4 "the account cannot be deleted"
expect_receipt .accounts.leaked 1
faults '{"rules": []}'
mayfly teardown last
expect_status 0 "a later teardown deletes it"

chmod 0500 "$MAYFLY_STATE"
mayfly run "$(one '"command": ["true"]')" --json --state "$CASE_DIR/graph/graph.json"
expect_status 5 "the state directory is a file"
chmod 0700 "$MAYFLY_STATE"

mayfly run "$(one '"command": ["sleep", "60"]')" --json --run-timeout 1s
expect_status 8 "run timeout"
mayfly_start run "$(one '"command": ["sleep", "60"]')" --json
started() {
    grep -q '"type":"task.started"' "$OUT"
}
wait_for 20 started
kill -TERM "$PID"
mayfly_wait
expect_status 143 "signal"

for command in "" run validate plan ps show logs events accounts outputs cancel teardown rerun claim rm provider emulate doctor; do
    # shellcheck disable=SC2086
    mayfly $command --help
    expect_status 0 "--help"
    [ -s "$OUT" ] && [ ! -s "$ERR" ] || fail "the help of '$command' is not on stdout alone"
done
mayfly --version
expect_status 0
finish
