#!/bin/bash
# disk_full.sh - files of the run may not grow beyond n KiB, or only n descriptors may be open, for many n: what cannot be written is
# not begun, accounts are torn down from memory, and the exit code is 0 only when all went well. Then one clean-up without the limit.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent work.sh <<'SH'
#!/bin/sh
set -eu
echo '["x", "y"]' >"$MAYFLY_RESULT"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "full", "provider": "emulator", "limits": {"running": 3}, "defaults": {"sandbox": false},
 "tasks": {"list": {"files": ["work.sh"], "command": ["./work.sh"]},
           "work": {"needs": ["list"], "for_each": "{{list.result}}", "key": "{{item}}", "files": ["work.sh"], "command": ["./work.sh"],
                    "account": {"permissions": ["workers_scripts:write"]}}}}
JSON
)
limited() { # ulimit's letter, value, mayfly arguments...
    local letter=$1 value=$2
    shift 2
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    status=0
    # what it says goes through pipes: they are no files that grow
    {
        {
            (ulimit "-$letter" "$value" && exec "$MAYFLY_BIN" "$@") </dev/null 2>&3 3>&- && status=0 || status=$?
            echo "$status" >"$CASE_DIR/status"
        } | cat >"$OUT"
    } 3>&1 | cat >"$ERR"
    status=$(cat "$CASE_DIR/status")
}
tried=0
try() { # letter, value
    local what="ulimit -$1 $2"
    limited "$1" "$2" run "$file" --json
    tried=$((tried + 1))
    case $status in
    0 | 1 | 2 | 3 | 4 | 5 | 7) ;;
    *) fail "$what: ended with $status" ;;
    esac
    if [ "$status" != 4 ] && [ -n "$(ledger_alive "$LEDGER")" ]; then
        fail "$what: ended with $status, and accounts are alive"
    fi
    echo "$what: $status"
    if [ -d "$MAYFLY_STATE/runs" ] && [ -n "$(ls "$MAYFLY_STATE/runs")" ]; then
        mayfly teardown --all
        expect_status 0 "after $what"
    fi
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "$what: accounts are alive after the clean-up"
    oracle_database "$MAYFLY_STATE" || fail "$what: database"
    rm -rf "$MAYFLY_STATE"
}
for kib in 1 16 32 48 64 96 128 192 256 512; do
    try f "$kib"
done
for descriptors in 5 8 11 14 17 20 24 28 32 40 48; do
    try n "$descriptors"
done
[ "$status" = 0 ] || fail "48 descriptors should be enough for three agents"
finish
