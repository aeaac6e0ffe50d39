#!/bin/bash
# readme.sh - the graph that the README shows on one screen runs as it stands there, beside the files of examples/deploy-fleet.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
cp -r "$ROOT/examples/deploy-fleet/." "$CASE_DIR/graph/"
sed -n '/^```json$/,/^```$/p' "$ROOT/README.md" | sed '/^```/d' >"$CASE_DIR/graph/readme.json"
[ -s "$CASE_DIR/graph/readme.json" ] || fail "no graph in the README"
mayfly run "$CASE_DIR/graph/readme.json" --json
expect_status 0
expect_receipt .tasks.succeeded 5
expect_receipt .accounts.created 3
expect_receipt .accounts.gone 3

# A provider of one's own begins as a copy of a shipped one.
cp "$ROOT"/src/recipe/shipped/{emulator,permissions-cloudflare}.json "$CASE_DIR/graph/"
jq '.name = "mine"' "$ROOT/src/recipe/shipped/emulator.json" >"$CASE_DIR/graph/mine.json"
mayfly provider check "$CASE_DIR/graph/mine.json"
expect_status 0
jq '.provider = "mine" | .providers = {"mine": {"recipe": "mine.json", "credential": {"env": "MAYFLY_EMULATOR_TOKEN"}}}' "$CASE_DIR/graph/readme.json" >"$CASE_DIR/graph/own.json"
mayfly run "$CASE_DIR/graph/own.json" --json
expect_status 0
expect_receipt .accounts.gone 3
finish
