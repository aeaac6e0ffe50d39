# shellcheck shell=bash
# lib.sh - the frame of a bench: sides measured alternately in one run, medians, ratios; sourced
#
#   MAYFLY_BIN  the program (a release build)
#   BENCH_BIN   directory of the bench programs
#   ROUNDS      how often each side is measured (5)
set -eu

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${MAYFLY_BIN:=$ROOT/build/release/mayfly}" "${BENCH_BIN:=$ROOT/build/release/bench}" "${ROUNDS:=5}"
for program in "$MAYFLY_BIN" "$BENCH_BIN/bench_measure"; do
    if [ ! -x "$program" ]; then
        echo "no program at $program: bench/run builds it" >&2
        exit 1
    fi
done
WORK=$(mktemp -d "${TMPDIR:-/tmp}/mfy-bench.XXXXXX")
export MAYFLY_STATE=$WORK/state XDG_RUNTIME_DIR=$WORK/rt NO_COLOR=1
mkdir -m 0700 "$XDG_RUNTIME_DIR"
BENCH_PIDS=()
end_bench() {
    local pid
    for pid in "${BENCH_PIDS[@]}"; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap end_bench EXIT

# One measurement of a side; its output is shown when it fails.
side() { # name, command...
    local name=$1
    shift
    if ! "$BENCH_BIN/bench_measure" "$WORK/$name.figures" "$@" >"$WORK/$name.out" 2>"$WORK/$name.err"; then
        echo "bench: $name failed:" >&2
        tail -n 5 "$WORK/$name.err" >&2
        exit 1
    fi
}

median() { # name, column (1 wall ms, 2 processor ms, 3 KiB)
    cut -d' ' -f"$2" "$WORK/$1.figures" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# The median over the rounds of one side's figure by another's, round by round: what disturbs one round disturbs both.
ratio() { # name, base, column
    paste -d' ' "$WORK/$1.figures" "$WORK/$2.figures" | awk -v c="$3" '{ print $c / $(c + 3) }' | sort -n |
        awk '{ v[NR] = $1 } END { printf "%.2f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

line() { # name, value, unit
    printf '%-44s %12s  %s\n' "$1" "$2" "$3"
}

calculate() { # awk expression
    awk "BEGIN { printf \"%.${2:-2}f\", $1 }"
}
