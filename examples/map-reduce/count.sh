#!/bin/sh
# count.sh FROM TO - counts the primes p with FROM <= p < TO.
set -eu

awk -v from="$1" -v to="$2" 'BEGIN {
    for (n = from < 2 ? 2 : from; n < to; n++) {
        prime = 1
        for (d = 2; d * d <= n; d++)
            if (n % d == 0) {
                prime = 0
                break
            }
        count += prime
    }
    printf "%d\n", count
}' >"$MAYFLY_RESULT"
