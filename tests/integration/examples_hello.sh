#!/bin/bash
# examples_hello.sh - the smallest graph: three tasks, one account, everything gone; with the built-in emulator and no setting.
set -eu
. "$(dirname "$0")/../lib/case.sh"

mayfly run "$ROOT/examples/hello/graph.jsonc" --json
expect_status 0
expect_receipt .tasks.succeeded 3
expect_receipt .sandbox.without 0
expect_receipt .accounts.created 1
expect_receipt .accounts.gone 1
expect_balanced
ledger=$(own_ledger "$(run_id)")
[ "$(ledger_count "$ledger" create account)" = 1 ] || fail "the ledger has not seen one account"

mayfly logs last visit
expect_status 0
grep -qE '^(.* )?hello world, from account [0-9a-f]{32}$' "$OUT" || fail "visit did not get the result of greet and an account"

# For people: the same run in plain lines ends with a receipt that says what became of the account.
mayfly run "$ROOT/examples/hello/graph.jsonc"
expect_status 0
grep -qiE 'created +1|1 created' "$OUT" || fail "no receipt in plain words on stdout"
finish
