#!/bin/sh
# split.sh LIMIT PARTS - cuts the numbers below LIMIT into PARTS ranges.
set -eu

awk -v limit="$1" -v parts="$2" 'BEGIN {
    printf "["
    for (i = 0; i < parts; i++)
        printf "%s{\"from\": %d, \"to\": %d}", i ? ", " : "", int(limit * i / parts), int(limit * (i + 1) / parts)
    print "]"
}' >"$MAYFLY_RESULT"
