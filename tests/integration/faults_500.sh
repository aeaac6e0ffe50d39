#!/bin/bash
# faults_500.sh - 500 agents while the provider answers one request in ten with 429, one in twenty with 5xx, and loses one
# answer in fifty, half of them after the effect: every account that ever existed is gone in the provider's own ledger.
set -eu
. "$(dirname "$0")/../lib/case.sh"

cat >"$CASE_DIR/faults.json" <<'JSON'
{"seed": 7, "rules": [
  {"name": "rate", "path": "/**", "probability": 0.10, "action": "status", "status": 429, "headers": {"Retry-After": "1"}},
  {"name": "broken", "path": "/**", "probability": 0.025, "action": "status", "status": 500},
  {"name": "gateway", "path": "/**", "probability": 0.025, "action": "status", "status": 503},
  {"name": "lost", "path": "/**", "probability": 0.01, "action": "lost_before"},
  {"name": "lost with effect", "path": "/**", "probability": 0.01, "action": "lost_after"}
]}
JSON
start_emulator --faults "$CASE_DIR/faults.json" --seed 7
agent visit.sh <<'SH'
#!/bin/sh
# visit.sh - looks at its own account; the provider is in trouble, so it tries again.
set -eu
printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
    curl -sS --fail --retry 8 --retry-all-errors --retry-delay 1 -o /dev/null -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts"
SH
items=$(seq -s, 500)
file=$(graph <<JSON
{"mayfly": 1, "name": "faults", "provider": "emulator", "limits": {"running": 50},
 "tasks": {"visit": {"for_each": [$items], "files": ["visit.sh"], "command": ["./visit.sh"], "attempts": 3, "timeout": "2m",
                     "account": {"permissions": ["workers_scripts:read"]}}}}
JSON
)
mayfly run "$file" --json
expect_status 0
expect_receipt .tasks.succeeded 500
expect_receipt .accounts.leaked 0
expect_receipt '.accounts | .created == .gone' true
[ "$(receipt .accounts.created)" -ge 500 ] || fail "fewer than 500 accounts"
[ "$(ledger_count "$LEDGER" create account)" -gt 500 ] || fail "no answer of a create was lost: the faults did nothing"
finish
