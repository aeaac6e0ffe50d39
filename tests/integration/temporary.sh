#!/bin/bash
# temporary.sh - accounts that cannot be deleted: proof of work, terms, purge, forgotten credentials; created = expiring, and the
# accounts are empty.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator --pow-k 4 --pow-g 50
unset MAYFLY_EMULATOR_URL MAYFLY_EMULATOR_TOKEN
export CLOUDFLARE_API_BASE_URL=$EMULATOR_URL
set -- "$ROOT/examples/deploy-fleet/graph.json" --json --provider cloudflare-temporary

# Nobody accepts terms but the operator: without it nothing is sent.
mayfly run "$@"
expect_status 2 "terms are not accepted"
expect_said --accept-terms
[ ! -s "$LEDGER" ] || fail "something was sent before the terms were accepted"

mayfly run "$@" --accept-terms cloudflare-temporary
expect_status 0
expect_receipt .accounts.created 6
expect_receipt .accounts.expiring 6
expect_receipt .accounts.gone 0
expect_balanced
[ "$(ledger_count "$LEDGER" create worker)" = 6 ] || fail "the ledger has not seen six workers"
[ -z "$(ledger_resources "$LEDGER")" ] || fail "left in the accounts: $(ledger_resources "$LEDGER")"

# No credential is left on disk: the accounts can only be waited for.
db=$MAYFLY_STATE/runs/$(run_id)/run.db
[ "$(sqlite3 "file:$db?mode=ro" 'SELECT count(*) FROM secret')" = 0 ] || fail "sealed secrets are left"
mayfly accounts last
expect_status 0
grep -qi expiring "$OUT" || fail "accounts does not say that they are expiring"

mayfly run "$@" --accept-terms cloudflare-temporary --strict-teardown
expect_status 4 "strict: what only expires counts as leaked"
ACCOUNTS_END=expiring
finish
