#!/bin/bash
# cloudflare_sdk.sh - Cloudflare's own TypeScript client, unpatched, against the emulator: create, list, read, change and delete for
# every product, as an agent would with the environment that mayfly injects (CLOUDFLARE_BASE_URL is its name for the base URL)
set -eu
. "$(dirname "$0")/clients.sh"
. "$(dirname "$0")/../lib/case.sh"

start_emulator
account=$(operator /accounts -d '{"name": "mayfly-case-000000000000-1"}' | jq -r .result.id)
env -i PATH=/usr/bin:/bin HOME="$HELD" NODE_PATH="$CLIENTS/node_modules" CLOUDFLARE_BASE_URL="$EMULATOR_URL" \
    CLOUDFLARE_API_TOKEN="$EMULATOR_TOKEN" CLOUDFLARE_ACCOUNT_ID="$account" "$NODE" "$ROOT/tests/conformance/cloudflare_sdk.js" || fail "the client does not get what it wants"
want '' "$(ledger_resources "$LEDGER")" "resources left"
operator "/accounts/$account" -X DELETE -o /dev/null
finish
