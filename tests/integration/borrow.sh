#!/bin/bash
# borrow.sh - a task works in another task's account: the account lives until the borrower has ended, each has its own token.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent where.sh <<'SH'
#!/bin/sh
# where.sh - says in whose account it is, and whether its token works there.
set -eu
printf '"%s"' "$CLOUDFLARE_ACCOUNT_ID" >"$MAYFLY_RESULT"
printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" | curl -sS --fail -o /dev/null -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "borrow", "provider": "emulator",
 "tasks": {
   "lender": {"files": ["where.sh"], "command": ["./where.sh"], "account": {"permissions": ["workers_scripts:read"]}},
   "borrower": {"needs": ["lender"], "files": ["where.sh"], "command": ["./where.sh"], "account": {"from": "lender", "permissions": ["workers_scripts:read"]}},
   "same": {"needs": ["borrower"], "command": ["test", "{{lender.result}}", "=", "{{borrower.result}}"]} } }
JSON
)
mayfly run "$file" --json
expect_status 0
expect_receipt .tasks.succeeded 3
expect_receipt .accounts.created 1
expect_receipt .accounts.gone 1
finish
