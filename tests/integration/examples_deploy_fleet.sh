#!/bin/bash
# examples_deploy_fleet.sh - the graph of the quickstart: six agents deploy into six accounts, are verified, and nothing is left.
set -eu
. "$(dirname "$0")/../lib/case.sh"

cat >"$CASE_DIR/faults.json" <<'JSON'
{"rules": [{"method": "PUT", "path": "/accounts/*/workers/scripts/broken", "action": "status", "status": 403}]}
JSON
start_emulator --faults "$CASE_DIR/faults.json"
mayfly run "$ROOT/examples/deploy-fleet/graph.json" --json
expect_status 0
expect_receipt .tasks.succeeded 9 # plan, six sites, judge, release
expect_receipt .sandbox.without 0
expect_receipt .accounts.created 6
expect_receipt .accounts.gone 6
expect_balanced
! grep -q 'anomaly' "$OUT" || fail "six agents that do the same look odd: $(grep -m 1 anomaly "$OUT")"
[ "$(ledger_count "$LEDGER" create account)" = 6 ] || fail "the ledger has not seen six accounts"
[ "$(ledger_count "$LEDGER" create worker)" = 6 ] || fail "the ledger has not seen six workers"

mayfly outputs last judge --result
expect_status 0
[ "$(jq -r .live "$OUT")" = 6 ] || fail "the judge did not count six sites"
mayfly outputs last judge --to "$CASE_DIR/copy"
expect_status 0
[ "$(find "$CASE_DIR/copy" -name '*.js' | wc -l)" = 6 ] || fail "the judge's collected files are not there"

# One site of six cannot be deployed, twice: judge and release still run, the run says that a task failed, and nothing is left.
mayfly run "$ROOT/examples/deploy-fleet/graph.json" --json --set sites="docs shop blog status search broken"
expect_status 1
expect_receipt .tasks.succeeded 8
expect_receipt .tasks.failed 1
expect_receipt .accounts.created 7
expect_receipt .accounts.gone 7
mayfly outputs last judge --result
[ "$(jq -r .live "$OUT")" = 5 ] || fail "the judge did not count five sites"

# Two of three: fewer than three quarters, so nothing is released.
mayfly run "$ROOT/examples/deploy-fleet/graph.json" --json --set sites="a b broken"
expect_status 1
expect_receipt .tasks.skipped 1
finish
