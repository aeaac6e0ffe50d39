#!/bin/bash
# gateway_run.sh - a run whose agents go through the gateway: they hold no credential, can do what their task declares and not one
# step more, and what the audit log says is what the provider saw.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent try.sh <<'SH'
#!/bin/sh
# try.sh NAME - what its permission allows, what it does not, a sibling's account, another script's name
set -u
ask() { # method, path, curl options...
    method=$1
    path=$2
    shift 2
    printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
        curl -sS -o answer -w '%{http_code}' -H @- -X "$method" "$@" "$CLOUDFLARE_API_BASE_URL$path"
}
mine=/accounts/$CLOUDFLARE_ACCOUNT_ID
{
    printf '{"token":"%.4s"' "$CLOUDFLARE_API_TOKEN"
    printf ',"put":%s' "$(ask PUT "$mine/workers/scripts/$1" -F 'metadata={"main_module":"w.js"};type=application/json' -F 'w.js=export default {};type=application/javascript+module')"
    printf ',"get":%s' "$(ask GET "$mine/workers/scripts/$1/settings")"
    printf ',"list":%s' "$(ask GET "$mine/workers/scripts")"
    printf ',"beyond":%s' "$(ask GET "$mine/storage/kv/namespaces")"
    cp answer refusal
    printf ',"narrowed":%s' "$(ask PUT "$mine/workers/scripts/other" -H 'Content-Type: application/javascript' --data 'export default {}')"
    printf ',"foreign":%s' "$(ask GET "/accounts/00000000000000000000000000000000/workers/scripts")"
    printf ',"refusal":%s' "$(cat refusal)"
    printf '}'
} >"$MAYFLY_RESULT"
SH
agent check.sh <<'SH'
#!/bin/sh
# check.sh - verify may read, and nothing else; its token is another one
set -u
status=$(printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
    curl -sS -o /dev/null -w '%{http_code}' -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts/$1/settings")
echo "read: $status"
[ "$status" = 200 ] || exit 1
status=$(printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
    curl -sS -o /dev/null -w '%{http_code}' -H @- -X DELETE "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts/$1")
echo "delete: $status"
[ "$status" = 403 ]
SH
agent stopped.sh <<'SH'
#!/bin/sh
# stopped.sh - one step beyond, and it is over
printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
    curl -sS -o /dev/null -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/storage/kv/namespaces"
exec sleep 300
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "gated", "provider": "emulator", "defaults": {"timeout": "1m"},
 "tasks": {
   "try": {"for_each": ["a", "b"], "key": "{{item}}", "files": ["try.sh"], "command": ["./try.sh", "{{item}}"],
           "account": {"permissions": [{"name": "workers_scripts:write", "only": {"script": "{{item}}"}}]},
           "verify": {"files": ["check.sh"], "command": ["./check.sh", "{{item}}"], "permissions": [{"name": "workers_scripts:read", "only": {"script": "{{item}}"}}]}},
   "env": {"command": ["sh", "-c", "env; echo \"$MAYFLY_ACCOUNTS\""], "account": {"permissions": ["workers_scripts:read"]}},
   "stopped": {"files": ["stopped.sh"], "command": ["./stopped.sh"], "attempts": 3, "on_violation": "stop",
               "account": {"permissions": ["workers_scripts:read"]}}}}
JSON
)
mayfly run "$file" --json
expect_status 1 "one task is stopped"
expect_receipt .tasks.succeeded 3
expect_receipt .tasks.failed 1
expect_balanced
run=$(run_id)
directory=$MAYFLY_STATE/runs/$run

# What the agent saw: a gateway token, yes to what it declared, no to everything else, in the provider's own words.
said=$(cat "$directory"/results/*.json) # both say the same, so there is one file
[ "$(jq -c 'del(.refusal)' <<<"$said")" = '{"token":"mfy_","put":200,"get":200,"list":403,"beyond":403,"narrowed":403,"foreign":403}' ] || fail "$said"
[ "$(jq -c '.refusal | [.success, (.errors | length)]' <<<"$said")" = '[false,1]' ] || fail "refusal: $said"

# Violations are told live, in the journal, and the one that stops is of its own class and is not tried again.
[ "$(events '.type == "task.violation" and .task == "stopped"' | wc -l)" = 1 ] || fail "no violation of stopped"
[ "$(events '.type == "task.failed" and .task == "stopped"' | jq -r '"\(.attempt) \(.class)"')" = "1 violation" ] || fail "stopped was not stopped"
for kind in outside_permissions foreign_account; do
    [ "$(events '.type == "task.violation" and .task == "try/a" and .anomaly == "'$kind'"' | wc -l)" -ge 1 ] || fail "no $kind of try/a"
done
jq -es 'any(.type == "task.stop" and .stop == "violation")' "$OUT" >/dev/null || fail "no stop for violation"

# What the audit log allowed is what the provider saw of the agents, and every request has its answer.
jq -r 'select(.event == "allowed") | "\(.stage) \(.method) \(.path | sub("accounts/[0-9a-f]+"; "accounts/MINE"))"' "$directory/audit.log" | sort >"$CASE_DIR/allowed"
cat >"$CASE_DIR/wanted" <<'TEXT'
agent GET /accounts/MINE/workers/scripts/a/settings
agent GET /accounts/MINE/workers/scripts/b/settings
agent PUT /accounts/MINE/workers/scripts/a
agent PUT /accounts/MINE/workers/scripts/b
verify GET /accounts/MINE/workers/scripts/a/settings
verify GET /accounts/MINE/workers/scripts/b/settings
TEXT
cmp "$CASE_DIR/allowed" "$CASE_DIR/wanted" || fail "allowed: $(cat "$CASE_DIR/allowed")"
[ "$(jq -r 'select(.event == "answered") | .status' "$directory/audit.log" | sort | uniq -c | tr -s ' ')" = ' 6 200' ] || fail "answers"
# The ledger notes each use of a token: those of the accounts' own tokens are the agents' requests.
[ "$(jq -rs '([.[] | select(.kind == "token" and .op == "create" and .account != null) | .id]) as $theirs
             | [.[] | select(.op == "use" and .kind == "token") | select(.id as $id | $theirs | index($id))] | length' "$LEDGER")" = 6 ] ||
    fail "the provider saw other requests of the agents: $(jq -c 'select(.op == "use")' "$LEDGER")"
[ "$(ledger_count "$LEDGER" create worker)" = 2 ] || fail "scripts in the ledger: $(jq -c . "$LEDGER")"

# The receipt's head is the last line that was journaled, and the chain holds.
count=$(receipt .audit.count)
[ "$(sed -n "${count}p" "$directory/audit.log" | tr -d '\n' | sha256sum | cut -d' ' -f1)" = "$(receipt .audit.head)" ] || fail "the head is another one"
expect_receipt .not_enforced 0
mayfly audit "$run" --check-chain
expect_status 0
mayfly events "$run" --json
jq -es 'any(.type == "run.audit" and .head != null)' "$OUT" >/dev/null || fail "no head in the journal"

# The agent's own log: tokens of the gateway are redacted too, real ones were never there (the oracle looks for them).
mayfly logs "$run" env
expect_status 0
grep -q 'CLOUDFLARE_API_BASE_URL=http://127.0.0.1:' "$OUT" || fail "the agent does not talk to the gateway: $(cat "$OUT")"
finish
