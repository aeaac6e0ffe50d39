#!/bin/bash
# provision.sh - 500 accounts made and deleted: requests a second and processor time a request, against a bare curl-multi + libev
# loop that sends as many requests to the same server; records by commit
set -eu
. "$(dirname "$0")/lib.sh"

accounts=${ACCOUNTS:-500}
running=${RUNNING:-64}

MAYFLY_EMULATOR_TOKEN=bench-operator-$RANDOM$RANDOM$RANDOM$RANDOM
export MAYFLY_EMULATOR_TOKEN
"$MAYFLY_BIN" emulate --listen 127.0.0.1:0 >"$WORK/emulator.out" 2>"$WORK/emulator.err" &
BENCH_PIDS+=("$!")
until grep -q '^listening ' "$WORK/emulator.out"; do sleep 0.02; done
MAYFLY_EMULATOR_URL=$(sed -n 's/^listening //p' "$WORK/emulator.out")
export MAYFLY_EMULATOR_URL

graph() { # account member or nothing
    printf '{"mayfly": 1, "name": "provision", "provider": "emulator", "defaults": {"sandbox": false}, "tasks": {"t": {"for_each": [%s], "command": ["/bin/true"]%s}}}\n' \
        "$(seq -s, "$accounts")" "$1"
}
graph ', "account": {"permissions": []}' >"$WORK/with.json"
graph '' >"$WORK/without.json"

for _ in $(seq "$ROUNDS"); do
    side with "$MAYFLY_BIN" run "$WORK/with.json" --running "$running" --json
    tail -n 1 "$WORK/with.out" >>"$WORK/receipts"
    side without "$MAYFLY_BIN" run "$WORK/without.json" --running "$running" --json
    if [ -x "$BENCH_BIN/bench_http_client" ]; then
        requests=$(tail -n 1 "$WORK/receipts" | jq .provider.requests)
        side bare "$BENCH_BIN/bench_http_client" --bare "$MAYFLY_EMULATOR_URL/accounts" "$requests"
    fi
done
of_receipts() { # jq path: the median
    jq -r "$1" "$WORK/receipts" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
requests=$(of_receipts .provider.requests)

echo "# provision: $accounts accounts made and deleted, $running agents of /bin/true at a time; medians of $ROUNDS rounds"
line provision.wall "$(median with 1)" ms
line provision.requests "$requests" requests
line provision.rate "$(calculate "$requests / ($(median with 1) - $(median without 1)) * 1000" 0)" requests/s
line provision.cpu "$(calculate "($(median with 2) - $(median without 2)) * 1000 / $requests" 0)" us/request
if [ -e "$WORK/bare.figures" ]; then
    line provision.bare.rate "$(calculate "$requests / $(median bare 1) * 1000" 0)" requests/s
    line provision.bare.cpu "$(calculate "$(median bare 2) * 1000 / $requests" 0)" us/request
    line provision.rate_by_bare "$(calculate "$(median bare 1) / ($(median with 1) - $(median without 1))")" x
    line provision.cpu_by_bare "$(calculate "($(median with 2) - $(median without 2)) / $(median bare 2)")" x
fi
line provision.records "$(of_receipts .journal.records)" records
line provision.commits "$(of_receipts .journal.commits)" commits
line provision.records_by_commit "$(calculate "$(of_receipts .journal.records) / $(of_receipts .journal.commits)")" records
