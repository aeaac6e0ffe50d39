#!/bin/sh
# stopped.sh - one step beyond what the task declares; what follows never happens.
set -eu

printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
    curl -sS -o answer -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/d1/database"
sleep 60
echo "still here" # never printed
