#!/bin/bash
# verify.sh - verify has its own files and token, sees the agent's work read-only, and decides; the agent's token is dead by then.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent work.sh <<'SH'
#!/bin/sh
# work.sh - leaves its token where verify can find it, and a process behind.
set -eu
printf '%s' "$CLOUDFLARE_API_TOKEN" | tr 'A-Za-z' 'N-ZA-Mn-za-m' >token
mkdir -p out
echo "$1" >out/value
(setsid sleep 299 >/dev/null 2>&1 &)
SH
agent look.sh <<'SH'
#!/bin/sh
# look.sh - checks from inside what verify was promised.
set -eu
try() { # token: prints the status of a read
    printf 'Authorization: Bearer %s\n' "$1" | curl -s -o /dev/null -w '%{http_code}' -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts"
}
echo "value: $(cat "$MAYFLY_SUBJECT/outputs/out/value")"
[ ! -e work.sh ] || echo "verify sees the agent's files in its own directory"
echo "own token: $(try "$CLOUDFLARE_API_TOKEN")"
[ "$(cat "$MAYFLY_SUBJECT/outputs/out/value")" = good ]
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "verify", "provider": "emulator",
 "tasks": {"work": {"for_each": ["good", "bad"], "key": "{{item}}", "files": ["work.sh"], "command": ["./work.sh", "{{item}}"], "collect": ["out/**"],
           "account": {"permissions": ["workers_scripts:read"]},
           "verify": {"files": ["look.sh"], "command": ["./look.sh"], "permissions": ["workers_scripts:read"], "timeout": "30s"}}}}
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt .tasks.succeeded 1
expect_receipt .tasks.failed 1
[ "$(events '.type == "task.failed" and .task == "work/bad"' | jq -r .class)" = verify ] || fail "the class is not verify"
mayfly logs last work/good
expect_said "value: good"
expect_said "own token: 200"
grep -q "agent's files" "$OUT" && fail "verify ran in the agent's directory"
mayfly logs last work/bad
expect_said "value: bad"
finish
