# shellcheck shell=bash
# case.sh - the frame of an integration case; sourced with `. "$(dirname "$0")/../lib/case.sh"`, ended with `finish`
#
# A case has a directory of its own: state, runtime directory, temporary directory, everything that the programs said. What it
# starts in the background is killed by pid when it ends. `finish` asks the oracle. A case that fails shows what was said.
#
#   MAYFLY_BIN   the program under test (ctest sets it)
#   MAYFLY_KEEP  not empty: the directory stays, for looking
set -eu

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${MAYFLY_BIN:=$ROOT/build/dev/mayfly}"
if [ ! -x "$MAYFLY_BIN" ]; then
    echo "no program at $MAYFLY_BIN: build first" >&2
    exit 1
fi
CASE=$(basename "$0" .sh)
CASE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/mfy-$CASE.XXXXXX")
SAID=$CASE_DIR/said # what programs wrote: searched by the oracle
HELD=$CASE_DIR/held # what the case's own emulator writes: holds tokens by right, not searched
export XDG_RUNTIME_DIR=$CASE_DIR/rt MAYFLY_STATE=$CASE_DIR/state TMPDIR=$CASE_DIR/tmp HOME=$CASE_DIR/home NO_COLOR=1 LC_ALL=C.UTF-8
mkdir -m 0700 "$SAID" "$HELD" "$XDG_RUNTIME_DIR" "$TMPDIR" "$HOME" "$CASE_DIR/graph"
unset MAYFLY_EMULATOR_URL MAYFLY_EMULATOR_TOKEN CLOUDFLARE_API_BASE_URL CLOUDFLARE_API_TOKEN GITHUB_ACTIONS GITHUB_STEP_SUMMARY || true
. "$ROOT/tests/lib/oracle.sh"

calls=0           # of mayfly, for names of what it said
status=0          # of the last call
OUT=/dev/null     # stdout and stderr of the last call
ERR=/dev/null
LEDGER=           # of the case's own emulator
STARTED_PIDS=()
ACCOUNTS_END=gone # what the oracle wants of accounts: gone, expiring, or alive (the case looks itself)

fail() {
    echo "FAIL $CASE: $*" >&2
    exit 1
}

on_exit() {
    local code=$? pid
    set +e
    for pid in "${STARTED_PIDS[@]}"; do
        kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    if [ $code -ne 0 ] && [ $code -ne 77 ]; then
        echo "--- the last call wrote ($OUT, $ERR):" >&2
        tail -n 15 "$OUT" | cut -c 1-400 >&2
        tail -n 25 "$ERR" | cut -c 1-400 >&2
        echo "--- to look at it: MAYFLY_KEEP=1 MAYFLY_BIN=$MAYFLY_BIN $0" >&2
    fi
    if [ -n "${MAYFLY_KEEP:-}" ]; then
        echo "kept: $CASE_DIR" >&2
    else
        chmod -R u+rwX "$CASE_DIR" 2>/dev/null
        rm -rf "$CASE_DIR"
    fi
    exit $code
}
trap on_exit EXIT

# Runs the program to its end; its exit status is in $status and is not an error here.
mayfly() {
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    status=0
    "$MAYFLY_BIN" "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
}

# Runs it in the background, in a process group of its own; its pid is in $PID.
mayfly_start() {
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    set -m
    "$MAYFLY_BIN" "$@" >"$OUT" 2>"$ERR" </dev/null &
    set +m
    PID=$!
    STARTED_PIDS+=("$PID")
}

mayfly_wait() { # waits for mayfly_start's process; its exit status is in $status
    status=0
    wait "$PID" || status=$?
}

expect_status() { # wanted [why]
    [ "$status" -eq "$1" ] || fail "exit status $status, wanted $1${2:+ ($2)}"
}

expect_said() { # text that must stand on stderr or stdout of the last call
    grep -qF -- "$1" "$OUT" "$ERR" || fail "nothing says \"$1\""
}

# Waits until a command succeeds, at most so many seconds.
wait_for() { # seconds, command...
    local until=$((SECONDS + $1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || fail "waited in vain for: $*"
        sleep 0.02
    done
}

# An emulator of the case's own, so that ledger and tokens are at hand: all of its tokens hold the canary.
start_emulator() { # option...
    local operator
    LEDGER=$HELD/ledger.jsonl
    ADMIN_SOCKET=$HELD/admin.sock
    operator=${CANARY}operator$$x$RANDOM$RANDOM$RANDOM$RANDOM
    rm -f "$HELD/emulator.out" # what an earlier one said must not be taken for the new one's
    MAYFLY_EMULATOR_TOKEN=$operator "$MAYFLY_BIN" emulate --listen 127.0.0.1:0 --ledger "$LEDGER" --admin-socket "$ADMIN_SOCKET" \
        --token-mark "$CANARY" "$@" >"$HELD/emulator.out" 2>"$SAID/emulator.err" </dev/null &
    EMULATOR_PID=$!
    STARTED_PIDS+=("$EMULATOR_PID")
    wait_for 20 grep -q '^listening ' "$HELD/emulator.out"
    EMULATOR_URL=$(sed -n 's/^listening //p' "$HELD/emulator.out")
    EMULATOR_TOKEN=$operator
    export MAYFLY_EMULATOR_URL=$EMULATOR_URL MAYFLY_EMULATOR_TOKEN=$EMULATOR_TOKEN
}

# A request as the operator, for looking behind the program's back: PATH below the base URL, then curl options.
operator() {
    local path=$1
    shift
    printf 'Authorization: Bearer %s\n' "$EMULATOR_TOKEN" | curl -sS -H @- "$@" "$EMULATOR_URL$path"
}

# --- reading what `run --json` said ---

receipt() { # jq path in the receipt, for example .accounts.created
    tail -n 1 "$OUT" | jq -r "select(.type == \"receipt\") | $1"
}

expect_receipt() { # jq path, wanted value
    local got
    got=$(receipt "$1")
    [ "$got" = "$2" ] || fail "receipt $1 is \"$got\", wanted \"$2\""
}

# created = gone + expired + expiring + claimable + leaked: the receipt's own arithmetic
expect_balanced() {
    expect_receipt '.accounts | .created == .gone + .expired + .expiring + .claimable + .leaked' true
}

run_id() {
    receipt .run
}

# The ledger of an emulator that the run itself started.
own_ledger() {
    echo "$MAYFLY_STATE/runs/$1/.emulator/ledger.jsonl"
}

# Events of the last call, one JSON line each, by a jq filter.
events() {
    jq -c "select($1)" "$OUT"
}

# --- graphs ---

# A graph file from stdin in the case's own directory; prints its path.
graph() {
    cat >"$CASE_DIR/graph/${1:-graph.json}"
    echo "$CASE_DIR/graph/${1:-graph.json}"
}

# A program for an agent from stdin, beside the graph.
agent() { # name
    cat >"$CASE_DIR/graph/$1"
    chmod +x "$CASE_DIR/graph/$1"
}

# Ends a case that came to its end: the oracle has the last word.
finish() {
    local bad=0 ledger
    if [ -n "$LEDGER" ]; then
        # The emulator leaves cleanly, so its sanitizers speak too.
        kill -TERM "$EMULATOR_PID" 2>/dev/null || fail "the emulator is dead"
        wait "$EMULATOR_PID" || fail "the emulator ended with status $?"
    fi
    {
        if [ "$ACCOUNTS_END" != alive ]; then
            [ -z "$LEDGER" ] || oracle_ledger "$LEDGER" "$ACCOUNTS_END" || bad=1
            for ledger in "$MAYFLY_STATE"/runs/*/.emulator/ledger.jsonl; do
                [ ! -e "$ledger" ] || oracle_ledger "$ledger" "$ACCOUNTS_END" || bad=1
            done
        fi
        oracle_canary "$SAID" "$MAYFLY_STATE" "$HOME" "$TMPDIR" || bad=1
        oracle_residue "$MAYFLY_STATE" || bad=1
        oracle_database "$MAYFLY_STATE" || bad=1
        oracle_sanitizers "$SAID" || bad=1
    } >"$CASE_DIR/oracle" 2>&1
    if [ $bad -ne 0 ]; then
        cat "$CASE_DIR/oracle" >&2
        fail "the oracle objects"
    fi
    echo "ok $CASE"
}
