#!/bin/bash
# kill_points.sh - a process of mayfly is killed at each of the points K1 to K16 (src/base/crash.h), and the clean-up that follows is
# killed too; after one more `mayfly teardown --all` nothing is left, by the ledger of an emulator that outlived all of it.
#
#   MAYFLY_TEST_FULL  fifty passes of each point instead of three
#   KILL_POINTS       only these points, for example "4 5"
set -eu
. "$(dirname "$0")/../lib/case.sh"

passes=3
[ -z "${MAYFLY_TEST_FULL:-}" ] || passes=50
start_emulator
agent work.sh <<'SH'
#!/bin/sh
set -eu
mkdir -p out
echo one >out/one
echo two >out/two
echo '{"ok": true}' >"$MAYFLY_RESULT"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "killpoints", "provider": "emulator", "limits": {"running": 3},
 "tasks": {"work": {"for_each": [1, 2, 3, 4, 5, 6], "files": ["work.sh"], "command": ["./work.sh"], "collect": ["out/*"], "attempts": 2,
                    "account": {"permissions": ["workers_scripts:write"]},
                    "verify": {"command": ["true"], "timeout": "20s"}},
           "after": {"needs": ["work"], "files": ["work.sh"], "command": ["./work.sh"]}}}
JSON
)

crash() { # point:pass, mayfly arguments...
    local point=$1
    shift
    MFY_CRASH=K$point mayfly "$@"
}

# What must hold after a clean-up, whatever was killed.
expect_clean() { # what was done
    local alive run left
    alive=$(ledger_alive "$LEDGER")
    [ -z "$alive" ] || fail "$1: accounts are alive: $alive"
    [ -z "$(ledger_tokens "$LEDGER")" ] || fail "$1: tokens are alive"
    for run in "$MAYFLY_STATE"/runs/*/; do
        run=$(basename "$run")
        nobody() {
            [ -z "$(run_processes "$run")" ]
        }
        wait_for 10 nobody
        left=$(mayfly_open "$run")
        [ "$left" = 0 ] || fail "$1: run $run has $left open accounts by its own journal"
    done
}

mayfly_open() { # run: accounts that are not settled, by `accounts --open`; 0 for a run that never began
    [ -e "$MAYFLY_STATE/runs/$1/run.db" ] || { echo 0; return; }
    "$MAYFLY_BIN" accounts "$1" --open --json 2>/dev/null | { grep -o '"tag"' || true; } | wc -l
}

killed=0
one() { # point, pass
    local what="K$1:$2" code point
    crash "$1:$2" run "$file" --json
    code=$status
    [ "$code" != 137 ] || killed=$((killed + 1))
    # K9 and K12 kill the spawner and its helper: there the runner's end, or a second attempt, shows that it was reached
    case $code:$1 in
    137:* | [1347]:9 | [1347]:12) reached=1 ;;
    esac
    [ "$code" != 0 ] || ! grep -qE '"type":"(runner.died|task.backoff)"' "$OUT" || reached=1
    case $code in
    0 | 1 | 3 | 4 | 7 | 137) ;;
    *) fail "$what: run ended with $code" ;;
    esac
    if [ "$code" = 0 ]; then
        [ -z "$(ledger_alive "$LEDGER")" ] || fail "$what: exit 0, and accounts are alive"
    fi
    # every other time somebody goes on with it first, and that is killed too
    [ $((RANDOM % 2)) = 0 ] || crash "$((RANDOM % 14 + 3)):$((RANDOM % 3 + 1))" resume last
    # the clean-up is killed three times running, each time somewhere else
    for point in $(((RANDOM % 3) + 13)):1 1:1 16:1; do
        crash "$point" teardown last
    done
    mayfly teardown --all
    expect_status 0 "teardown --all after $what"
    expect_clean "$what"
    rm -rf "$MAYFLY_STATE.$$"
    oracle_database "$MAYFLY_STATE" || fail "$what: database"
    oracle_residue "$MAYFLY_STATE" || fail "$what: residue"
    rm -rf "$MAYFLY_STATE"
}

# A point that no pass reaches any more tests nothing.
for point in ${KILL_POINTS:-1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16}; do
    reached=0
    for pass in $(seq 1 $passes); do
        case $point in
        1 | 2 | 16) one "$point" 1 ;; # passed once in a process
        *) one "$point" $((pass <= 6 ? pass : RANDOM % 6 + 1)) ;;
        esac
    done
    [ $reached = 1 ] || fail "K$point was not reached in $passes passes"
done
echo "$killed orchestrators were killed at their point"
[ $killed -gt 0 ] || fail "no kill point was reached: is this a test build (MAYFLY_CRASHPOINTS)?"
finish
