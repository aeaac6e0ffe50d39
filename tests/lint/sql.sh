#!/bin/sh
# sql.sh [ROOT] - SQL and sqlite3 only where the databases live: src/store (the journal) and src/emulator (its own data).
# src/cmd/memory.c gives the library its allocator, before anybody opens a database.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$(cd "$(dirname "$0")" && pwd)
found=$(mktemp)
trap 'rm -f "$found"' EXIT
cd "$root"

statement='"[^"]*(SELECT .*(FROM|\?)|INSERT (OR [A-Z]+ )?INTO |UPDATE [a-z_]+ SET |DELETE FROM |CREATE (UNIQUE |TEMP )?(TABLE|INDEX|VIEW|TRIGGER) |PRAGMA [a-z_]+|BEGIN (IMMEDIATE|EXCLUSIVE|DEFERRED)|ATTACH )'
find src include -name '*.[ch]' ! -path 'src/store/*' ! -path 'src/emulator/*' ! -path src/cmd/memory.c | sort | while read -r file; do
    awk -v strings=1 -f "$here/../lib/strip.awk" "$file" | grep -nE "$statement|(^|[^A-Za-z0-9_])sqlite3(_[a-z]|\.h)" | sed "s|^\([0-9]*\):|$file:\1: SQL outside src/store and src/emulator: |"
done >"$found"

if [ -s "$found" ]; then
    cat "$found" >&2
    exit 1
fi
