#!/bin/bash
# scripts.sh [ROOT] - every script parses, stops at the first error (set -eu), says in its second line what it is, and has its
# run bit; with shellcheck installed, that is content too.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root"
bad=0
complain() {
    echo "$1: $2" >&2
    bad=1
}

while IFS= read -r -d '' file; do
    IFS= read -r first <"$file" || true
    case $first in
        '#!'*/sh | '#!'*/bash | '#!/usr/bin/env bash') ;;
        *) continue ;;
    esac
    [ -x "$file" ] || complain "$file" "has no run bit"
    "${first##*[/ ]}" -n "$file" || complain "$file" "does not parse"
    grep -qE '^set -[a-z]*e[a-z]*u|^set -[a-z]*u[a-z]*e|^set -u # no -e: ' "$file" || complain "$file" "has no set -eu"
    [[ $(sed -n 2p "$file") == '# '* ]] || complain "$file" "does not say in its second line what it is"
    if command -v shellcheck >/dev/null; then
        # SC2034, SC2154: variables that a sourced frame sets or reads
        shellcheck -S warning -e SC2034,SC2154 -f gcc "$file" >&2 || bad=1
    fi
done < <(find examples tests bench .ci -type f -print0 2>/dev/null | sort -z)
exit $bad
