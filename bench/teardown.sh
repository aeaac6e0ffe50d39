#!/bin/bash
# teardown.sh - how fast a fleet is torn down: accounts a second against the limit of the same requests sent by h2load to the same
# emulator; from the decision to the last token revoked; from kill -9 of a run with 1,000 agents to a clean provider
#
#   ACCOUNTS  of the comparison with h2load (3000)
#   SIZES     of fleets that are stopped ("100 1000 10000")
set -eu
. "$(dirname "$0")/lib.sh"

accounts=${ACCOUNTS:-3000}
sizes=${SIZES:-100 1000 10000}
clients=8 # of h2load: one process each, because every client of one process begins at the first address
MAYFLY_EMULATOR_TOKEN=bench-operator-$RANDOM$RANDOM$RANDOM$RANDOM
export MAYFLY_EMULATOR_TOKEN
mkfifo "$WORK/ready"
"$MAYFLY_BIN" emulate --listen 127.0.0.1:0 --ledger "$WORK/ledger" >"$WORK/ready" 2>"$WORK/emulator.err" &
EMULATOR=$!
BENCH_PIDS+=("$EMULATOR")
read -r _ MAYFLY_EMULATOR_URL <"$WORK/ready"
export MAYFLY_EMULATOR_URL

milliseconds() {
    date +%s%3N
}

# A graph whose N accounts are alive while no agent runs but one: 10 accounts a task, lent to a task that waits for `hold`.
holding() { # accounts
    awk -v n="$1" 'BEGIN {
        print "{\"mayfly\": 1, \"name\": \"fleet\", \"provider\": \"emulator\", \"limits\": {\"running\": 64}, \"defaults\": {\"sandbox\": false}, \"tasks\": {"
        print "\"hold\": {\"command\": [\"sleep\", \"600\"]}"
        for (first = 1; first <= n; first += 10) {
            own = lent = ""
            for (i = first; i < first + 10 && i <= n; i++) {
                own = own (i > first ? ", " : "") "\"a" i "\": {\"permissions\": []}"
                lent = lent (i > first ? ", " : "") "\"a" i "\": {\"from\": \"l" first ".a" i "\", \"permissions\": []}"
            }
            print ", \"l" first "\": {\"command\": [\"true\"], \"accounts\": {" own "}}"
            print ", \"b" first "\": {\"needs\": [\"l" first "\", \"hold\"], \"command\": [\"true\"], \"accounts\": {" lent "}}"
        }
        print "} }"
    }'
}

# Starts a run of N accounts that are held and waits until all of them are there; its pid in RUN.
start_held() { # accounts
    local tasks=$((($1 + 9) / 10))
    holding "$1" >"$WORK/held.json"
    : >"$WORK/held.out"
    "$MAYFLY_BIN" run "$WORK/held.json" --json >"$WORK/held.out" 2>"$WORK/held.err" &
    RUN=$!
    BENCH_PIDS+=("$RUN")
    until [ "$(grep -c '"type":"task.succeeded"' "$WORK/held.out" || true)" -ge $tasks ]; do
        if ! kill -0 "$RUN" 2>/dev/null; then
            echo "bench: the run of $1 accounts ended:" >&2
            tail -n 3 "$WORK/held.err" "$WORK/held.out" >&2
            exit 1
        fi
        sleep 0.05
    done
}
kill_run() {
    kill -KILL "$RUN"
    wait "$RUN" 2>/dev/null || true
}

# The three requests of each account, one file of addresses for each of the clients.
addresses() { # accounts --json
    rm -f "$WORK"/revoke.* "$WORK"/delete.*
    jq -r --arg url "$MAYFLY_EMULATOR_URL" '.accounts[].ids | "\($url)/accounts/\(.account_id)/tokens/\(.token_id) \($url)/accounts/\(.account_id)"' "$1" |
        awk -v work="$WORK" -v clients="$clients" '{ print $1 > (work "/revoke." NR % clients); print $2 > (work "/delete." NR % clients) }'
}
send() { # method, kind of address, requests of each client (0: all of its file): wall milliseconds to stdout
    local from client requests pids=()
    from=$(date +%s%N)
    for client in $(seq 0 $((clients - 1))); do
        requests=$3
        [ "$requests" -gt 0 ] || requests=$(wc -l <"$WORK/$2.$client")
        h2load --h1 -c 1 -t 1 -n "$requests" -i "$WORK/$2.$client" -H ":method: $1" -H "Authorization: Bearer $MAYFLY_EMULATOR_TOKEN" \
            >"$WORK/h2load.$client" 2>&1 &
        pids+=("$!")
    done
    wait "${pids[@]}"
    calculate "($(date +%s%N) - $from) / 1000000" 1
    # what is read back is answered with 404, which h2load calls failed
    if grep -q '[1-9][0-9]* \(errored\|timeout\)' "$WORK"/h2load.? || { [ "$1" != GET ] && grep -q ', [1-9][0-9]* failed' "$WORK"/h2load.?; }; then
        echo "bench: h2load failed" >&2
        exit 1
    fi
}

for _ in $(seq "$ROUNDS"); do
    start_held "$accounts"
    kill_run
    side mayfly "$MAYFLY_BIN" teardown last --json
    tail -n 1 "$WORK/mayfly.out" >>"$WORK/receipts"
    start_held "$accounts"
    kill_run
    "$MAYFLY_BIN" accounts last --json >"$WORK/accounts.json" 2>/dev/null
    addresses "$WORK/accounts.json"
    start=$(send GET delete 1) # what it costs to start the processes
    sent="$(send DELETE revoke 0) $(send DELETE delete 0) $(send GET delete 0)"
    echo "$sent" | awk -v start="$start" '{ print $1 + $2 + $3 - 3 * start, 0, 0 }' >>"$WORK/h2load.figures"
    "$MAYFLY_BIN" teardown last --json >"$WORK/out" 2>&1
done
requests=$(jq .provider.requests "$WORK/receipts" | sort -n | tail -n 1)
[ "$(jq -s 'all(.accounts.leaked == 0 and .accounts.gone == .accounts.created)' "$WORK/receipts")" = true ] || exit 1

echo "# teardown: $accounts accounts of a run that was killed, revoked, deleted and read back; medians of $ROUNDS rounds; h2load: $clients connections, its start not counted"
line teardown.wall "$(median mayfly 1)" ms
line teardown.requests "$requests" requests
line teardown.rate "$(calculate "$accounts / $(median mayfly 1) * 1000" 0)" accounts/s
line teardown.limit.wall "$(median h2load 1)" ms
line teardown.limit.rate "$(calculate "$accounts / $(median h2load 1) * 1000" 0)" accounts/s
line teardown.by_limit "$(ratio mayfly h2load 1)" "x (budget 1.20)"

echo "# from the decision (mayfly cancel --all) to the last token revoked; to the last account read back as gone; medians of 3"
for size in $sizes; do
    for _ in 1 2 3; do
        start_held "$size"
        from=$(milliseconds)
        "$MAYFLY_BIN" cancel --all --json >"$WORK/cancel.out"
        wait "$RUN" || true
        clean=$(($(milliseconds) - from))
        jq -r --arg clean "$clean" '"\(.dead_ms) \($clean) \(.tokens)"' "$WORK/cancel.out" >>"$WORK/stop$size.figures"
        [ "$(tail -n 1 "$WORK/stop$size.figures" | cut -d' ' -f3)" = "$size" ] || { echo "bench: not $size tokens" >&2; exit 1; }
    done
    line "teardown.revoked.$size" "$(median "stop$size" 1)" ms
    line "teardown.gone.$size" "$(median "stop$size" 2)" ms
    line "teardown.revoked.$size.rate" "$(calculate "$size / $(median "stop$size" 1) * 1000" 0)" tokens/s
done

echo "# a run of 1,000 agents with an account each is killed with SIGKILL; one mayfly teardown --all; medians of 3"
awk 'BEGIN {
    printf "{\"mayfly\": 1, \"name\": \"killed\", \"provider\": \"emulator\", \"limits\": {\"running\": 1000}, \"defaults\": {\"sandbox\": false}, \"tasks\": {\"t\": {\"for_each\": [0"
    for (i = 1; i < 1000; i++)
        printf ",%d", i
    print "], \"command\": [\"sleep\", \"600\"], \"account\": {\"permissions\": []}}}}"
}' >"$WORK/killed.json"
for _ in 1 2 3; do
    "$MAYFLY_BIN" run "$WORK/killed.json" --json >"$WORK/held.out" 2>"$WORK/held.err" &
    RUN=$!
    BENCH_PIDS+=("$RUN")
    until [ "$(grep -c '"type":"task.started"' "$WORK/held.out")" -ge 1000 ]; do sleep 0.05; done
    kill_run
    side killed "$MAYFLY_BIN" teardown --all --json
    grep '"type":"receipt"' "$WORK/killed.out" | jq -s 'map(.provider.requests) | add' >>"$WORK/killed.requests"
done
requests=$(sort -n "$WORK/killed.requests" | sed -n 2p)
line teardown.killed.wall "$(median killed 1)" ms
line teardown.killed.requests "$requests" requests
line teardown.killed.rate "$(calculate "$requests / $(median killed 1) * 1000" 0)" requests/s
