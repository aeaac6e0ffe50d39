#!/bin/sh
# gather.sh - puts the patches of all agents into one place.
set -eu

count=0
mkdir -p patches
for patch in "$MAYFLY_INPUTS"/fix/*/outputs/fix.patch; do
    name=$(basename "$(dirname "$(dirname "$patch")")")
    cp "$patch" "patches/$name.patch"
    count=$((count + 1))
done
cat patches/*.patch
printf '{"patches": %d}\n' "$count" >"$MAYFLY_RESULT"
