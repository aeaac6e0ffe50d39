#!/bin/bash
# torture.sh - the n-th allocation of the orchestrator fails, once or for good, in a run and in a clean-up. It may end as it likes, but
# not with 0 while something is left, not with a fault that a sanitizer sees; and one clean-up with memory leaves nothing.
#
#   TORTURE_LIST      only these, for example "937:0 938:1"
#   MAYFLY_TEST_FULL  every TORTURE_STEP-th (10) n from a random one on, each in both ways; every n (TORTURE_STEP=1) takes a day. Otherwise
#                     about TORTURE_POINTS (40) of them
set -eu
. "$(dirname "$0")/../lib/case.sh"

points=${TORTURE_POINTS:-40}
start_emulator
agent work.sh <<'SH'
#!/bin/sh
set -eu
mkdir -p out
echo one >out/one
echo '["x", "y"]' >"$MAYFLY_RESULT"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "torture", "provider": "emulator", "limits": {"running": 3},
 "tasks": {"list": {"files": ["work.sh"], "command": ["./work.sh"]},
           "work": {"needs": ["list"], "for_each": "{{list.result}}", "key": "{{item}}", "files": ["work.sh"], "command": ["./work.sh"], "collect": ["out/*"],
                    "account": {"permissions": ["workers_scripts:write"]},
                    "verify": {"command": ["true"], "timeout": "20s"}}}}
JSON
)
allowed() { # what was done
    case $status in
    0 | 1 | 2 | 3 | 4 | 5 | 7) ;;
    *) fail "$1: ended with $status" ;;
    esac
    if [ "$status" != 4 ] && [ -n "$(ledger_alive "$LEDGER")" ]; then
        fail "$1: ended with $status, and accounts are alive"
    fi
    oracle_sanitizers "$SAID" || fail "$1"
}
one() { # n:times
    MFY_FAIL_ALLOC=$1 mayfly run "$file" --json
    allowed "run with allocation $1 failing"
    if [ -d "$MAYFLY_STATE/runs" ] && [ -n "$(ls "$MAYFLY_STATE/runs")" ]; then
        MFY_FAIL_ALLOC=$((${1%:*} % 3000 + 1)):${1#*:} mayfly teardown --all
        allowed "teardown with allocation $1 failing"
        mayfly teardown --all
        expect_status 0 "after allocation $1 failed"
    fi
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "allocation $1: accounts are alive after the clean-up"
    [ -z "$(ledger_tokens "$LEDGER")" ] || fail "allocation $1: tokens are alive after the clean-up"
    rm -rf "$MAYFLY_STATE"
}

MFY_FAIL_ALLOC=count mayfly run "$file" --json
expect_status 0
total=$(sed -n 's/^allocations //p' "$ERR")
[ "${total:-0}" -gt 0 ] || { echo "this is no test build (MAYFLY_CRASHPOINTS)"; exit 77; }
rm -rf "$MAYFLY_STATE"
step=$((total / points + 1))
[ -z "${MAYFLY_TEST_FULL:-}" ] || step=${TORTURE_STEP:-10}
tried=0
for n in ${TORTURE_LIST:-}; do
    one "$n"
    tried=$((tried + 1))
done
[ -z "${TORTURE_LIST:-}" ] || total=0
for n in $(seq $((step > 1 ? RANDOM % step + 1 : 1)) $step "$total"); do
    one "$n:1"
    one "$n:0"
    tried=$((tried + 2))
done
echo "$tried runs with a failing allocation, of $total"
finish
