#!/bin/bash
# fault_points.sh - the n-th write, sync, fork, SQLite step or curl add of the orchestrator or of the runner fails, once or for good, in six
# scenarios (tests/lib/fault_points.c). Whatever became of it: no crash, no hang, no report of a sanitizer, exit 4 when an account is
# left, and one clean-up without faults leaves nothing.
#
#   FAULT_LIST        only these, for example "retry/write@main:17:1 resume/fork@runner:2:0"
#   FAULT_SECONDS     as many random ones as fit into this time (45)
#   MAYFLY_TEST_FULL  every n of every scenario (FAULT_STEP: every so many)
set -eu
. "$(dirname "$0")/../lib/case.sh"

seconds=${FAULT_SECONDS:-45}
start_emulator
agent work.sh <<'SH'
#!/bin/sh
set -eu
mkdir -p out
echo "attempt $MAYFLY_ATTEMPT" | tee out/one
echo '["x", "y"]' >"$MAYFLY_RESULT"
[ "${1-}" != again ] || [ "$MAYFLY_ATTEMPT" -gt 1 ]
SH
scenario() { # name, tasks
    graph "$1.json" >/dev/null <<JSON
{"mayfly": 1, "name": "$1", "provider": "emulator", "limits": {"running": 3}, "defaults": {"sandbox": false}, "tasks": {$2}}
JSON
}
account='"account": {"permissions": ["workers_scripts:write"]}'
work='"files": ["work.sh"], "command": ["./work.sh"]'
scenario plain "\"one\": {$work}, \"two\": {\"needs\": [\"one\"], $work}"
scenario fan "\"list\": {$work}, \"each\": {\"needs\": [\"list\"], \"for_each\": \"{{list.result}}\", \"key\": \"{{item}}\", $work, $account}"
scenario verify "\"one\": {$work, $account, \"collect\": [\"out/*\"], \"verify\": {\"command\": [\"true\"], \"timeout\": \"20s\"}}"
scenario retry "\"one\": {\"files\": [\"work.sh\"], \"command\": [\"./work.sh\", \"again\"], \"attempts\": 2, $account}"
scenario resume "\"one\": {$work, $account}, \"two\": {\"needs\": [\"one\"], $work, $account}"
scenario teardown "\"one\": {$work, $account}, \"two\": {$work, $account}"
scenarios="plain fan verify retry resume teardown"

# Does what the scenario is about, with MFY_CRASH as it is; what went before is not in the way of the faults.
act() { # scenario, MFY_CRASH
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    local command=(run "$CASE_DIR/graph/$1.json")
    case $1 in
    resume | teardown)
        MFY_CRASH=K10:1 "$MAYFLY_BIN" run "$CASE_DIR/graph/$1.json" >"$OUT" 2>"$ERR" </dev/null && fail "K10 was not reached"
        command=("$1" last)
        ;;
    esac
    status=0
    # without a connection for good it goes on trying for minutes, as it should: that one is killed in the middle of it
    case $2 in
    add@main:*:0) limit=(--foreground -s KILL 3) ;;
    *) limit=(-k 5 60) ;;
    esac
    MFY_CRASH=$2 timeout "${limit[@]}" "$MAYFLY_BIN" "${command[@]}" --json >"$OUT" 2>"$ERR" </dev/null || status=$?
}

# What was left for a clean-up may stay when it could not even be begun: then it says why.
expect_known_end() { # what was done, scenario
    case $1:$status in
    *:[0123457]) ;;
    */add@main:*:0:137) return 0 ;;
    *) fail "$1: ended with $status" ;;
    esac
    [ "$status" != 4 ] || return 0
    [ -n "$(ledger_alive "$LEDGER")" ] || return 0
    case $2:$status in
    resume:[257] | teardown:[25]) [ -s "$ERR" ] || fail "$1: ended with $status without a word" ;;
    *) fail "$1: ended with $status, and accounts are alive" ;;
    esac
}

one() { # scenario/kind@role:n:times
    local what=$1 run
    act "${what%%/*}" "${what#*/}"
    expect_known_end "$what" "${what%%/*}"
    oracle_sanitizers "$ERR" "$OUT" || fail "$what"
    mayfly teardown --all
    expect_status 0 "teardown --all after $what"
    oracle_sanitizers "$ERR" "$OUT" || fail "teardown after $what"
    [ -z "$(ledger_alive "$LEDGER")" ] || fail "$what: accounts are alive after the clean-up"
    [ -z "$(ledger_tokens "$LEDGER")" ] || fail "$what: tokens are alive after the clean-up"
    for run in "$MAYFLY_STATE"/runs/*/; do
        nobody() {
            [ -z "$(run_processes "$(basename "$run")")" ]
        }
        wait_for 10 nobody
    done
    oracle_database "$MAYFLY_STATE" || fail "$what: database"
    oracle_residue "$MAYFLY_STATE" || fail "$what: residue"
    rm -rf "$MAYFLY_STATE" "$SAID/$((calls - 1))".* "$SAID/$calls".*
    : >"$LEDGER"
    tried=$((tried + 1))
}

# --- how often each of them happens when nothing fails ---

: >"$CASE_DIR/points"
for name in $scenarios; do
    rm -f "$CASE_DIR/counts"
    act "$name" "count@$CASE_DIR/counts"
    [ -s "$CASE_DIR/counts" ] || { echo "this is no test build (MAYFLY_CRASHPOINTS)"; exit 77; }
    od -An -v -tu4 -w20 "$CASE_DIR/counts" | awk -v name="$name" '{
        split("write sync fork step add", kind)
        for (k = 1; k <= 5; k++)
            if ($k > 0)
                print name, kind[k] "@" (NR == 1 ? "main" : "runner"), $k
    }' >>"$CASE_DIR/points"
    mayfly teardown --all
    rm -rf "$MAYFLY_STATE"
done
for kind in write@main sync@main fork@main step@main add@main fork@runner write@runner; do
    grep -q " $kind " "$CASE_DIR/points" || fail "no $kind in any scenario: does the linker still wrap them?"
done

# --- and when it fails ---

tried=0
every() { # prints all of them
    awk -v step="${FAULT_STEP:-1}" '{ for (n = 1; n <= $3; n += step) { print $1 "/" $2 ":" n ":1"; print $1 "/" $2 ":" n ":0" } }' "$CASE_DIR/points"
}
total=$(every | wc -l)
if [ -n "${FAULT_LIST:-}" ]; then
    for what in $FAULT_LIST; do
        one "$what"
    done
elif [ -n "${MAYFLY_TEST_FULL:-}" ]; then
    every >"$CASE_DIR/every"
    while read -r what; do
        one "$what"
    done <"$CASE_DIR/every"
else
    # first one of each scenario and kind, then whatever comes, until the time is over
    until=$((SECONDS + seconds))
    while read -r name kind count; do
        echo "$name/$kind:$(((RANDOM * 32768 + RANDOM) % count + 1)):$((RANDOM % 2))"
    done <"$CASE_DIR/points" | shuf >"$CASE_DIR/some"
    every | shuf | head -n 1000 >>"$CASE_DIR/some"
    while read -r what && [ $SECONDS -lt $until ]; do
        one "$what"
    done <"$CASE_DIR/some"
fi
echo "$tried faults of $total"
finish
