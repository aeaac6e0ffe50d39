#!/bin/sh
# symbols.sh [ROOT [BUILD]] - proves from the object files that the pure folders are pure.
#
# core, json and http1 may call string and memory functions, each other's ground (base) and themselves; base, on which they
# stand, may also allocate, format and abort. A clock, a socket, a file or a random source shows here as a symbol.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${2:-$root/build/dev}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What the compiler and the sanitizers put in by themselves.
compiler='^(_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__(asan|ubsan|tsan|msan|lsan|sanitizer|sancov|gcov|gcc|cfi)_.*|llvm_gc(da|ov)_.*|_Unwind_.*|__gcov.*|__(start|stop)___sancov.*)$'
# The C library for pure code: also in the fortified spelling.
pure='^(__)?(isoc99_)?(mem|str)[a-z_]*$|^__(mem|str)[a-z]*_chk$|^__assert_fail$|^bcmp$|^__ctype_(b|tolower|toupper)_loc$'
# base also gives memory, text and the end of the program; its error texts need errno, its tests' allocator a thread's own flag.
base='^(malloc|calloc|realloc|free|abort|__errno_location|explicit_bzero|__explicit_bzero_chk|(__)?v?snprintf(_chk)?|strtod|strtod_l|newlocale|uselocale|freelocale|frexp|ldexp|pow|fmod|floor|isnan|isinf)$|^(__)?v?fprintf(_chk)?$|^(fputs|fwrite|fflush|stderr|write|raise|qsort|bsearch|__tls_get_addr)$'

folder_objects() {
    find "$build/src/$1" -name '*.o' 2>/dev/null | sort
}

# What a folder defines for others, one symbol a line.
defined_in() {
    for folder in "$@"; do
        folder_objects "$folder" | while read -r object; do
            nm --defined-only --extern-only --format=posix "$object" | cut -d' ' -f1
        done
    done | sort -u
}

check() {
    folder=$1
    allowed=$2
    shift 2
    if [ -z "$(folder_objects "$folder")" ]; then
        echo "$folder: no object files under $build/src/$folder: build first" >&2
        return 1
    fi
    defined_in "$folder" "$@" >"$work/defined"
    # base/crash.c kills the program on purpose and is empty but in test builds.
    folder_objects "$folder" | grep -v '/base/.*/crash\.c\.o$' | while read -r object; do
        nm --undefined-only --format=posix "$object" | cut -d' ' -f1 | grep -Ev "$compiler" | grep -Ev "$allowed" | while read -r symbol; do
            grep -qxF "$symbol" "$work/defined" || echo "src/$folder: $(basename "$object" .o) uses $symbol"
        done
    done >>"$work/bad"
}

: >"$work/bad"
check core "$pure" base
check json "$pure" base
check http1 "$pure" base
check base "$pure|$base"
if [ -s "$work/bad" ]; then
    cat "$work/bad" >&2
    exit 1
fi
