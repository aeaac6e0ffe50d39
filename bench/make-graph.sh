#!/bin/sh
# make-graph.sh TASKS [WIDTH] - prints a graph of TASKS tasks in layers of WIDTH (default 1000), with 1 or 2 needs each
set -eu
tasks=${1:?usage: make-graph.sh TASKS [WIDTH]}
width=${2:-1000}
exec awk -v tasks="$tasks" -v width="$width" 'BEGIN {
    printf "{ \"mayfly\": 1, \"name\": \"bench\", \"tasks\": {\n"
    for (i = 0; i < tasks; i++) {
        printf "  \"task-%d\": { ", i
        if (i >= width) {
            need = i - width
            printf "\"needs\": [\"task-%d\"", need
            if (i % 2 == 1)
                printf ", \"task-%d\"", need - need % width + (need * 7 + 3) % width == need ? need - need % width + (need + 1) % width : need - need % width + (need * 7 + 3) % width
            printf "], "
        }
        printf "\"command\": [\"true\"] }%s\n", i + 1 < tasks ? "," : ""
    }
    printf "} }\n"
}'
