#!/bin/sh
# paths.sh [ROOT] - no file of the project knows a place of one machine (a home directory, a build place) or the host name of
# a package registry: a checkout must work wherever it lies.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
found=$(mktemp)
trap 'rm -f "$found"' EXIT
cd "$root"

# Bracketed, so that this file does not find itself.
places='(^|[^A-Za-z0-9_.~-])/([w]ork|[h]ome|[r]oot|[U]sers|[o]pt|tmp/[b]-)/[A-Za-z0-9]'
registries='[r]egistry\.npmjs|[r]egistry\.yarnpkg|[p]ypi\.org|[p]ythonhosted\.org|[d]eb\.debian\.org|[s]ecurity\.debian\.org|[c]rates\.io|[p]roxy\.golang\.org|[g]hcr\.io|[d]ocker\.io|[q]uay\.io|[r]ubygems\.org'

if [ -e .git ] && command -v git >/dev/null; then
    git ls-files --cached --others --exclude-standard
else
    find . -type f ! -path './.git/*' ! -path './build/*' | sed 's|^\./||'
fi | sort | while read -r file; do
    [ -f "$file" ] || continue
    grep -InE "$places|$registries" "$file" | sed "s|^|$file:|" || true
done >"$found"

if [ -s "$found" ]; then
    cat "$found" >&2
    exit 1
fi
