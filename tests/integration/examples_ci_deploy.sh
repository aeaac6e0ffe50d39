#!/bin/bash
# examples_ci_deploy.sh - scoped tokens in an account that exists: twelve are minted and revoked, what was deployed stays.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
account=$(operator /accounts -H 'Content-Type: application/json' -d '{"name": "production", "type": "standard"}' | jq -r .result.id)
cp -r "$ROOT/examples/ci-deploy" "$CASE_DIR/graph/ci"
sed -i "s/0\{32\}/$account/" "$CASE_DIR/graph/ci/graph.json"
export CLOUDFLARE_API_BASE_URL=$EMULATOR_URL CLOUDFLARE_DEPLOY_TOKEN=$EMULATOR_TOKEN
mayfly run "$CASE_DIR/graph/ci/graph.json" --json --set version=1.4.2 --accept-terms cloudflare-token --junit "$SAID/report.xml"
expect_status 0
expect_receipt .tasks.succeeded 14
expect_receipt .sandbox.without 0
expect_receipt .accounts.created 12
expect_receipt .accounts.gone 12

ACCOUNTS_END=alive # the account is not ours to end
[ -z "$(ledger_tokens "$LEDGER")" ] || fail "tokens are alive: $(ledger_tokens "$LEDGER")"
[ "$(ledger_count "$LEDGER" create token)" -ge 12 ] || fail "the ledger has not seen twelve tokens"
[ "$(ledger_resources "$LEDGER" | grep -c '^worker ')" = 12 ] || fail "the twelve workers did not stay"
[ "$(grep -o '<testcase' "$SAID/report.xml" | wc -l)" -ge 14 ] || fail "the JUnit report does not name fourteen tasks"
finish
