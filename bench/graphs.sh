#!/bin/bash
# graphs.sh - load, check and order graphs of 100,000 and 1,000,000 tasks: `mayfly validate` against ninja with the same edges
#
# ninja is measured twice: -t query (reads the manifest) and -n (reads it, finds what is to be done and prints it).
set -eu
. "$(dirname "$0")/lib.sh"

for tasks in ${SIZES:-1000 100000 1000000}; do
    "$ROOT/bench/make-graph.sh" "$tasks" >"$WORK/graph.json"
    # the same edges: one line of the graph is one task
    awk 'BEGIN { print "rule true\n  command = true" }
        /"task-[0-9]+":/ {
            count = split($0, part, "\"")
            out = "build " part[2] ": true"
            for (i = 4; i <= count; i += 2) {
                if (part[i] == "command")
                    break
                if (part[i] != "needs")
                    out = out " " part[i]
            }
            print out
        }' "$WORK/graph.json" >"$WORK/build.ninja"
    mkdir -p "$WORK/ninja"
    rm -f "$WORK"/*.figures
    for _ in $(seq "$ROUNDS"); do
        side validate "$MAYFLY_BIN" validate "$WORK/graph.json"
        side ninja-load ninja -C "$WORK/ninja" -f "$WORK/build.ninja" -t query task-0
        side ninja-plan ninja -C "$WORK/ninja" -f "$WORK/build.ninja" -n
    done
    [ "$(grep -c '^\[' "$WORK/ninja-plan.out")" -ge 1 ] || [ "$tasks" = 0 ]
    echo "# graphs: $tasks tasks, $(grep -c '^build' "$WORK/build.ninja") edges in ninja's words; medians of $ROUNDS rounds"
    line "graph.$tasks.validate.wall" "$(median validate 1)" ms
    line "graph.$tasks.validate.memory" "$(calculate "$(median validate 3) / 1024" 0)" MiB
    line "graph.$tasks.validate.per_task" "$(calculate "$(median validate 1) * 1000 / $tasks")" us
    line "graph.$tasks.ninja_load.wall" "$(median ninja-load 1)" ms
    line "graph.$tasks.ninja_plan.wall" "$(median ninja-plan 1)" ms
    line "graph.$tasks.ninja_plan.memory" "$(calculate "$(median ninja-plan 3) / 1024" 0)" MiB
    line "graph.$tasks.by_ninja_load" "$(ratio validate ninja-load 1)" x
    line "graph.$tasks.by_ninja_plan" "$(ratio validate ninja-plan 1)" x
    line "graph.$tasks.validate.cpu" "$(median validate 2)" ms
    line "graph.$tasks.cpu_by_ninja_load" "$(ratio validate ninja-load 2)" x
    line "graph.$tasks.cpu_by_ninja_plan" "$(ratio validate ninja-plan 2)" x
done
