#!/bin/sh
# length.sh [ROOT] - functions of at most 70 lines and files of at most 500 (tests: 1,000).
#
# length.allow lists what may be longer, one entry a line: PATH[:FUNCTION] and a reason. An entry that is no longer needed is
# a fault too, so that the list stays short.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$(cd "$(dirname "$0")" && pwd)
allow=${LENGTH_ALLOW:-$here/length.allow}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

find src include bench examples tests -name '*.[ch]' 2>/dev/null | sort >"$work/files"
[ -s "$work/files" ] || exit 0

while read -r file; do
    lines=$(wc -l <"$file")
    case $file in
        tests/*) most=1000 ;;
        *) most=500 ;;
    esac
    [ "$lines" -le "$most" ] || echo "$file $lines lines, at most $most"
done <"$work/files" >"$work/long"

ctags --languages=C --kinds-C=f --fields=+ne --sort=no -x --_xformat='%F %N %n %{end}' -L "$work/files" |
    awk '$4 - $3 + 1 > 70 { printf "%s:%s %d lines, at most 70\n", $1, $2, $4 - $3 + 1 }' >>"$work/long"

grep -Ev '^[[:space:]]*(#|$)' "$allow" >"$work/allow" || true
awk 'FILENAME == ARGV[1] { if (NF < 2) print $1 ": entry of length.allow without a reason"; allowed[$1] = 1; next }
     { if ($1 in allowed) used[$1] = 1; else print }
     END { for (entry in allowed) if (!(entry in used)) print entry ": in length.allow but no longer too long" }' \
    "$work/allow" "$work/long" >"$work/bad"

if [ -s "$work/bad" ]; then
    cat "$work/bad" >&2
    exit 1
fi
