#!/bin/sh
# judge.sh - did any of them get anything?
set -eu

bad=0
for result in "$MAYFLY_INPUTS"/hostile/*/result.json; do
    echo "$(basename "$(dirname "$result")"): $(cat "$result")"
    grep -q '"got": \[\]' "$result" || bad=1
done
for loot in "$MAYFLY_INPUTS"/hostile/*/outputs/loot/*; do
    [ ! -e "$loot" ] && [ ! -L "$loot" ] || {
        echo "loot: $loot"
        bad=1
    }
done
[ "$(ls -d "$MAYFLY_INPUTS"/hostile/*/result.json | wc -l)" = 8 ] || bad=1
exit $bad
