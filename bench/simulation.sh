#!/bin/bash
# simulation.sh - what a night of the soak is worth: seeds and events a second of the simulated world with all its checks, and what the
# core alone costs an event of it (tests/sim/scale) on the same machine
#
#   SEEDS  of one round (1000)
set -eu
. "$(dirname "$0")/lib.sh"

seeds=${SEEDS:-1000}
for round in $(seq "$ROUNDS"); do
    side soak "$BENCH_BIN/bench_soak" --from $((round * seeds)) --seeds "$seeds"
    sed -n 's/.*: \([0-9]*\) seeds.s, \([0-9]*\) events.s$/\1 \2 0/p' "$WORK/soak.out" >>"$WORK/speed.figures"
    side core "$BENCH_BIN/bench_scale" 100000
    sed -n 's/.* independent .* \([0-9]*\) ns.task.*/\1 0 0/p' "$WORK/core.out" >>"$WORK/task.figures"
done
[ "$(wc -l <"$WORK/speed.figures")" -eq "$ROUNDS" ] && [ "$(wc -l <"$WORK/task.figures")" -eq "$ROUNDS" ] || exit 1

echo "# simulation: $seeds seeds a round, one thread, virtual time, faults, crashes and all checks on; medians of $ROUNDS rounds"
line simulation.seeds "$(median speed 1)" seeds/s
line simulation.events "$(median speed 2)" events/s
line simulation.night "$(calculate "$(median speed 1) * 8 * 3600 / 1000000" 2)" "million seeds in 8 hours"
line simulation.core.task "$(median task 1)" "ns/task (the core alone, 100,000 independent tasks)"
