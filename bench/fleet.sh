#!/bin/bash
# fleet.sh - 2,000 tasks of /bin/true without account and sandbox: mayfly, make and ninja by a bare posix_spawn loop, the same number at a time
set -eu
. "$(dirname "$0")/lib.sh"

tasks=${TASKS:-2000}
jobs=$((4 * $(nproc)))

awk -v n="$tasks" 'BEGIN {
    print "{ \"mayfly\": 1, \"name\": \"fleet\", \"defaults\": {\"sandbox\": false}, \"tasks\": {"
    for (i = 1; i <= n; i++)
        printf "\"t%d\": {\"command\": [\"/bin/true\"]}%s\n", i, i < n ? "," : ""
    print "} }"
}' >"$WORK/graph.json"
awk -v n="$tasks" 'BEGIN {
    printf "all:"
    for (i = 1; i <= n; i++)
        printf " t%d", i
    print "\n.PHONY: all"
    for (i = 1; i <= n; i++)
        printf ".PHONY: t%d\nt%d:\n\t@/bin/true\n", i, i
}' >"$WORK/Makefile"
awk -v n="$tasks" 'BEGIN {
    print "rule true\n  command = /bin/true"
    for (i = 1; i <= n; i++)
        printf "build t%d: true\n", i
}' >"$WORK/build.ninja"

mkdir "$WORK/ninja"
for _ in $(seq "$ROUNDS"); do
    side bare "$BENCH_BIN/bench_baseline_spawn" "$tasks" "$jobs" /bin/true
    side mayfly "$MAYFLY_BIN" run "$WORK/graph.json" --running "$jobs"
    side make make -s -j "$jobs" -f "$WORK/Makefile"
    rm -f "$WORK/ninja/.ninja_log"
    side ninja ninja -C "$WORK/ninja" -f "$WORK/build.ninja" --quiet -j "$jobs"
done

echo "# fleet: $tasks tasks of /bin/true, $jobs at a time, no account, no sandbox; medians of $ROUNDS rounds, all sides in each round"
line fleet.bare.wall "$(median bare 1)" ms
for name in mayfly make ninja; do
    line "fleet.$name.wall" "$(median $name 1)" ms
    line "fleet.$name.by_bare" "$(ratio $name bare 1)" "x"
done
for name in mayfly make ninja; do # what a busy machine does not distort
    line "fleet.$name.cpu_by_bare" "$(ratio $name bare 2)" "x"
done
line fleet.mayfly.per_task "$(calculate "$(median mayfly 1) * 1000 / $tasks" 0)" us
