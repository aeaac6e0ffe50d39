#!/bin/bash
# oracle_itself.sh - the oracle must be able to object: plants one thing after the other that should not be there.
set -eu
. "$(dirname "$0")/../lib/case.sh"
CANARY=MFYITSELF # as long as the real one, which the cases that run beside this one search all command lines for

objects() { # what was planted, text of the objection, oracle function and its arguments
    local what=$1 text=$2
    shift 2
    if "$@" >"$CASE_DIR/objection" 2>&1; then fail "no objection to $what"; fi
    grep -qF -- "$text" "$CASE_DIR/objection" || fail "wrong objection to $what: $(cat "$CASE_DIR/objection")"
}
silent() { # what, oracle function and its arguments
    local what=$1
    shift
    "$@" >"$CASE_DIR/objection" 2>&1 || fail "objection to $what: $(cat "$CASE_DIR/objection")"
}

# O1
ledger=$CASE_DIR/ledger
line() { # op kind id account
    printf '{"at_ms":1,"op":"%s","kind":"%s","id":"%s","account":%s,"status":200}\n' "$1" "$2" "$3" "${4:-null}" >>"$ledger"
}
line create account A
line create token T '"A"'
line create worker w '"A"'
objects "a living account" "accounts alive in the ledger: A" oracle_ledger "$ledger" gone
objects "a living token" "tokens alive in the ledger: T" oracle_ledger "$ledger" gone
objects "a worker in a living account" "worker w" oracle_ledger "$ledger" expiring
line delete worker w '"A"'
silent "an empty account that expires" oracle_ledger "$ledger" expiring
line revoke token T '"A"'
line delete account A
silent "a deleted account" oracle_ledger "$ledger" gone
line create account B
line create token U '"B"'
line expire account B
silent "an account that ended with its token" oracle_ledger "$ledger" gone

# O2
token="cfat_x${CANARY}0123456789"
mkdir "$CASE_DIR/search"
for spell in "cat" "rev" "base64 -w0" "od -An -v -tx1 | tr -d ' \n'" "od -An -v -tx1 | tr -d '\n' | tr ' ' %" "(printf a; cat) | base64 -w0" "(printf ab; cat) | base64 -w0"; do
    printf 'before '"%s"' after' "$(printf '%s' "$token" | sh -c "$spell")" >"$CASE_DIR/search/file"
    objects "a token by $spell" "$CASE_DIR/search/file" oracle_canary "$CASE_DIR/search"
done
echo "nothing here" >"$CASE_DIR/search/file"
silent "a file without a token" oracle_canary "$CASE_DIR/search"
(exec -a "agent --token=$token" sleep 30) &
STARTED_PIDS+=("$!")
canary_watch "$CASE_DIR/stop" "$CASE_DIR/watched" &
watcher=$!
sleep 0.3
: >"$CASE_DIR/stop"
wait "$watcher"
[ -s "$CASE_DIR/watched" ] || fail "a token in a command line was not seen"

# O3
run=aaaaaaaaaaaa
mkdir -p "$MAYFLY_STATE/runs/$run/.work"
silent "a run with nothing left" oracle_residue "$MAYFLY_STATE"
MAYFLY_RUN=$run sleep 30 &
left=$!
STARTED_PIDS+=("$left")
sleep 0.1
objects "a process of a run" "$left sleep 30" oracle_residue "$MAYFLY_STATE"
kill "$left"
wait "$left" || true
touch "$MAYFLY_STATE/runs/$run/.work/file"
objects "a workspace" "workspaces of run $run" oracle_residue "$MAYFLY_STATE"
rm "$MAYFLY_STATE/runs/$run/.work/file"
mkfifo "$XDG_RUNTIME_DIR/fifo"
objects "a socket or a pipe" "sockets are left" oracle_residue "$MAYFLY_STATE"
rm "$XDG_RUNTIME_DIR/fifo"
touch "$TMPDIR/file"
objects "a temporary file" "temporary files" oracle_residue "$MAYFLY_STATE"
rm "$TMPDIR/file"

# O4
db=$MAYFLY_STATE/runs/$run/run.db
sqlite3 "$db" 'CREATE TABLE a(x); INSERT INTO a SELECT value FROM generate_series(1, 20000);' 2>/dev/null ||
    sqlite3 "$db" 'CREATE TABLE a(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO a SELECT i FROM n;'
silent "a good database" oracle_database "$MAYFLY_STATE"
dd if=/dev/zero of="$db" bs=4096 seek=3 count=2 conv=notrunc 2>/dev/null
objects "a damaged database" "run.db" oracle_database "$MAYFLY_STATE"
rm "$db"

# O6
echo "==1==ERROR: AddressSanitizer: heap-use-after-free" >"$CASE_DIR/search/file"
objects "a sanitizer's report" "O6" oracle_sanitizers "$CASE_DIR/search"
rm -r "$MAYFLY_STATE"
finish
