#!/bin/bash
# examples_map_reduce.sh - fifty parts and their sum; a graph without any account provisions nothing.
set -eu
. "$(dirname "$0")/../lib/case.sh"

mayfly run "$ROOT/examples/map-reduce/graph.json" --json
expect_status 0
expect_receipt .tasks.succeeded 52
expect_receipt .sandbox.without 0
expect_receipt .accounts.created 0
mayfly outputs last sum --result
[ "$(jq -c . "$OUT")" = '{"primes":5133,"parts":50}' ] || fail "the sum is wrong: $(cat "$OUT")"
[ ! -e "$MAYFLY_STATE/runs/$(basename "$MAYFLY_STATE"/runs/*)/emulator" ] || fail "an emulator was started for nobody"
finish
