#!/bin/bash
# state_damaged.sh - a database with bytes flipped, cut off, emptied, replaced or linked elsewhere, a state directory that vanishes or cannot be written
# while a run goes on: said, with exit 5 or 4, never a crash; and a sweep still finds what the accounts are.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
file=$(graph <<JSON
{"mayfly": 1, "name": "damaged", "provider": "emulator", "defaults": {"sandbox": false},
 "tasks": {"one": {"command": ["true"], "account": {"permissions": []}},
           "two": {"needs": ["one"], "command": ["sh", "-c", "while [ ! -e '$CASE_DIR/go' ]; do sleep 0.05; done"], "account": {"permissions": []}}}}
JSON
)
: >"$CASE_DIR/go"
MFY_CRASH=K10:2 mayfly run "$file" --json --owner damaged
[ "$status" = 137 ] || { echo "this is no test build (MAYFLY_CRASHPOINTS)"; exit 77; }
run=$(basename "$MAYFLY_STATE"/runs/*)
db=$MAYFLY_STATE/runs/$run/run.db
mayfly teardown "$run"
expect_status 0
sqlite3 "$db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
cp "$db" "$CASE_DIR/good.db"
size=$(stat -c %s "$db")

looks() { # what was done: every command that reads or writes it
    local command
    for command in ps "show $run" "accounts $run" "events $run" doctor "resume $run" "teardown $run" "cancel $run" "rm $run"; do
        [ "$command" != "rm $run" ] || continue # it may remove what nobody can read; that is tried by hand
        # shellcheck disable=SC2086
        mayfly $command
        case $status in
        0 | 1 | 2 | 4 | 5 | 7) ;;
        *) fail "$1: mayfly $command ended with $status" ;;
        esac
        oracle_sanitizers "$ERR" "$OUT" || fail "$1: mayfly $command"
    done
    rm -f "$db" "$db-wal" "$db-shm" "$db-journal"
    cp "$CASE_DIR/good.db" "$db"
    chmod 0600 "$db"
}
refused() { # what was done
    mayfly resume "$run"
    expect_status 5 "$1"
    [ -s "$ERR" ] || fail "$1: not a word"
    looks "$1"
}
flips=${FLIPS:-8}
[ -z "${MAYFLY_TEST_FULL:-}" ] || flips=500
for _ in $(seq "$flips"); do
    at=$(((RANDOM * 32768 + RANDOM) % size))
    printf "\\x$(printf %02x $((RANDOM % 256)))" | dd of="$db" bs=1 seek="$at" conv=notrunc status=none
    looks "byte $at set"
done
truncate -s $((size / 2)) "$db"
refused "cut off in the middle"
: >"$db"
refused "empty"
dd if=/dev/zero of="$db" bs=4096 count=1 conv=notrunc status=none
refused "first page of zeros"
head -c 100000 /dev/urandom >"$db"
refused "noise"
rm "$db"
ln -s "$CASE_DIR/good.db" "$db"
refused "a link"
sqlite3 "$db" 'PRAGMA user_version = 99'
refused "of a newer mayfly"
chmod 0666 "$db"
looks "writable by all"

# Half of the records are gone with a write-ahead log that somebody deleted, or an older copy came back: the sweep needs none of it.
MFY_CRASH=K10:2 mayfly run "$file" --json --owner damaged
[ -n "$(ledger_alive "$LEDGER")" ] || fail "no account is alive"
newest=$(ls -t "$MAYFLY_STATE/runs" | head -n 1)
cp "$CASE_DIR/good.db" "$MAYFLY_STATE/runs/$newest/run.db"
rm -f "$MAYFLY_STATE/runs/$newest"/run.db-*
mayfly teardown "$newest"
oracle_sanitizers "$ERR" "$OUT" || fail "another run's database"
mayfly teardown --sweep emulator --owner damaged
expect_status 0
[ -z "$(ledger_alive "$LEDGER")" ] || fail "accounts are alive after a sweep"
rm -rf "$MAYFLY_STATE/runs"

# The state directory goes away under a run.
for harm in 'mv "$MAYFLY_STATE" "$MAYFLY_STATE.moved"' 'rm -rf "$MAYFLY_STATE"' 'rm -f "$MAYFLY_STATE/runs"/*/run.db*'; do
    rm -f "$CASE_DIR/go"
    mayfly_start run "$file" --json --owner damaged
    second() {
        [ "$(grep -c '"type":"task.started"' "$OUT")" = 2 ]
    }
    wait_for 30 second
    run=$(basename "$MAYFLY_STATE"/runs/*)
    eval "$harm"
    : >"$CASE_DIR/go"
    mayfly_wait
    case $status in
    0 | 1 | 4 | 5 | 7) ;;
    *) fail "$harm: the run ended with $status" ;;
    esac
    oracle_sanitizers "$ERR" "$OUT" || fail "$harm"
    if [ "$status" != 4 ] && [ -n "$(ledger_alive "$LEDGER")" ]; then
        fail "$harm: ended with $status, and accounts are alive"
    fi
    echo "$harm: $status"
    nobody() {
        [ -z "$(run_processes "$run")" ]
    }
    wait_for 10 nobody
    rm -rf "$MAYFLY_STATE" "$MAYFLY_STATE.moved"
    mayfly teardown --sweep emulator --owner damaged
    expect_status 0
    find "$XDG_RUNTIME_DIR" -name '*.sock' -delete
done
finish
