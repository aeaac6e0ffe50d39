#!/bin/sh
# sum.sh - adds up what the parts found.
set -eu

total=0
parts=0
for result in "$MAYFLY_INPUTS"/count/*/result.json; do
    total=$((total + $(cat "$result")))
    parts=$((parts + 1))
done
echo "$total primes in $parts parts"
printf '{"primes": %d, "parts": %d}\n' "$total" "$parts" >"$MAYFLY_RESULT"
