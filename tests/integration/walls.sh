#!/bin/bash
# walls.sh - what the graph asks of the sandbox is checked before anything is started: what cannot be given is exit 6 with a
# remedy, a path that would show mayfly's own state is exit 2; the plan says what stands around whom.
set -eu
. "$(dirname "$0")/../lib/case.sh"

one() { # members of the task
    graph <<JSON
{"mayfly": 1, "name": "walls", "provider": "emulator",
 "tasks": {"one": {"command": ["true"], "account": {"permissions": []}, $1}}}
JSON
}
nothing_happened() {
    [ -z "$(ls "$MAYFLY_STATE/runs" 2>/dev/null)" ] || fail "a run was left: $(ls "$MAYFLY_STATE/runs")"
    [ "$(ledger_count "$LEDGER" create account)" = 0 ] || fail "an account was made"
}
start_emulator
mkdir -p "$CASE_DIR/shown" "$MAYFLY_STATE"

# --- the state directory: itself, what holds it, a part of it, and by a link ---

ln -s "$MAYFLY_STATE" "$CASE_DIR/shown/link"
mkdir -p "$MAYFLY_STATE/runs"
chmod 700 "$MAYFLY_STATE" "$MAYFLY_STATE/runs"
for path in "$MAYFLY_STATE" "$CASE_DIR" "$MAYFLY_STATE/runs" "$CASE_DIR/shown/link"; do
    file=$(one "\"sandbox\": {\"read\": [\"$path\"]}")
    mayfly run "$file"
    expect_status 2 "reads $path"
    expect_said "state directory"
    nothing_happened
done
file=$(one "\"sandbox\": {\"root\": \"$CASE_DIR\"}")
mayfly run "$file"
expect_status 2 "its root holds the state directory"
nothing_happened
file=$(one "\"sandbox\": {\"read\": [\"$CASE_DIR/no-such-place\"]}")
mayfly run "$file"
expect_status 2 "nothing is there"
nothing_happened

# --- a program without its mayfly-init beside it: exit 6, and what to do ---

mkdir "$CASE_DIR/bin"
cp "$MAYFLY_BIN" "$CASE_DIR/bin/mayfly"
file=$(one '"sandbox": true')
calls=$((calls + 1))
OUT=$SAID/$calls.out
ERR=$SAID/$calls.err
status=0
"$CASE_DIR/bin/mayfly" run "$file" >"$OUT" 2>"$ERR" </dev/null || status=$?
rm -r "${CASE_DIR:?}/bin"
expect_status 6 "there is no mayfly-init"
expect_said "mayfly-init"
nothing_happened

# --- no sandbox: the plan, the run and the receipt say so ---

file=$(one '"sandbox": false, "on_violation": "stop"')
mayfly plan "$file"
expect_status 0
expect_said "NO SANDBOX"
expect_said "stopped at its first violation"
mayfly run "$file" --json
expect_status 0
expect_receipt .sandbox.without 1
[ "$(events '.type == "task.started"' | jq -r .sandbox)" = false ] || fail "the journal does not say that it had no sandbox"
mayfly show last --json
expect_status 0

# --- a limit that nobody can give ---

file=$(one '"sandbox": {"cpus": 1000}')
mayfly plan "$file"
expect_status 0
expect_said "sandbox"
finish
