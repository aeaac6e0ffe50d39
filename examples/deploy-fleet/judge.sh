#!/bin/sh
# judge.sh - collects what the agents brought: their results, and the code that each one deployed.
set -eu

live=0
mkdir -p report
for result in "$MAYFLY_INPUTS"/deploy/*/result.json; do
    [ -e "$result" ] || continue
    site=$(basename "$(dirname "$result")")
    live=$((live + 1))
    cp "$(dirname "$result")/outputs/dist/worker.js" "report/$site.js"
    echo "$site: $(cat "$result")"
done
echo "$live sites live"
printf '{"live": %d}\n' "$live" >"$MAYFLY_RESULT"
