#!/bin/sh
# neighbour.sh - deploys, and then tells everybody what nobody should tell: its account and its token.
set -eu
. ./api.sh

deploy secret-plans
printf '{"account": "%s", "token": "%s"}\n' "$CLOUDFLARE_ACCOUNT_ID" "$CLOUDFLARE_API_TOKEN" >"$MAYFLY_RESULT"
