#!/bin/bash
# gateway_clients.sh - the real wrangler and Cloudflare's own TypeScript client as agents: in a sandbox, through the gateway, with the
# environment that mayfly gives. Each does its work with exactly the permissions that its task declares, and is refused one step
# beyond them; the record shows that nothing of a list was unused.
set -eu
. "$(dirname "$0")/clients.sh"
. "$(dirname "$0")/../lib/case.sh"

start_emulator
wrangler=$CLIENTS/node_modules/wrangler/bin/wrangler.js
agent work.sh <<'SH'
#!/bin/sh
# work.sh - a project as its author has it, and commands that must succeed
set -eu
mkdir -p public
echo '<p>hello' >public/index.html
echo 'p { }' >public/site.css
echo 'export default { fetch() { return new Response("hello"); } };' >index.js
printf 'name = "hello-mayfly"\nmain = "index.js"\ncompatibility_date = "2026-01-01"\n' >wrangler.toml
printf 'name = "site-mayfly"\ncompatibility_date = "2026-01-01"\n[assets]\ndirectory = "public"\n' >site.toml
says() { # text, wrangler's arguments
    text=$1
    shift
    "$NODE" "$WRANGLER" "$@" >said 2>&1 </dev/null || {
        cat said
        exit 1
    }
    grep -qF -- "$text" said || {
        echo "$* does not say \"$text\":"
        cat said
        exit 1
    }
    echo "ok: $*"
}
refused() { # wrangler's arguments
    if "$NODE" "$WRANGLER" "$@" >said 2>&1 </dev/null; then
        echo "was not refused: $*"
        cat said
        exit 1
    fi
    grep -qiE 'Authentication error|permission|10000' said || {
        echo "$* was refused with other words:"
        cat said
        exit 1
    }
    echo "refused: $*"
}
SH
agent deploy.sh <<'SH'
#!/bin/sh
set -eu
. ./work.sh
says 'Deployed hello-mayfly triggers' deploy
says 'Current Version ID:' deploy
says 'Uploaded' deploy --config site.toml
says 'Version ID:' versions list
echo s3cret | "$NODE" "$WRANGLER" secret put MY_SECRET >said 2>&1
says 'MY_SECRET' secret list
SH
agent beyond.sh <<'SH'
#!/bin/sh
set -eu
. ./work.sh
says 'Deployed hello-mayfly triggers' deploy
refused kv namespace create MYKV
refused d1 create mydb
refused queues create myq
refused r2 bucket create mybucket
says 'Current Version ID:' deploy
says 'Successfully deleted hello-mayfly' delete --force # it looks for namespaces of old sites, and goes on without
SH
agent only.sh <<'SH'
#!/bin/sh
# only.sh - its list is narrowed to another name
set -eu
. ./work.sh
refused deploy
sed -i 's/hello-mayfly/mine/' wrangler.toml
says 'Deployed mine triggers' deploy
SH
agent kv.sh <<'SH'
#!/bin/sh
set -eu
. ./work.sh
says 'id = "' kv namespace create MYKV
id=$(sed -n 's/^id = "\(.*\)"/\1/p' said)
says 'Writing' kv key put --remote --namespace-id "$id" greeting 'hallo you'
says 'hallo you' kv key get --remote --namespace-id "$id" greeting
says 'Writing' kv key put --remote --namespace-id "$id" 'a/b c' hallo
says 'a/b c' kv key list --remote --namespace-id "$id"
refused deploy
says 'Deleted' kv namespace delete -y --namespace-id "$id"
SH
agent nothing.sh <<'SH'
#!/bin/sh
set -eu
. ./work.sh
refused deploy
refused kv namespace list
SH
cp "$ROOT/tests/conformance/cloudflare_sdk.js" "$CASE_DIR/graph"
file=$(jq --arg clients "$CLIENTS" --arg node "$NODE" --arg wrangler "$wrangler" '
    .defaults.sandbox.read = [$clients]
    | .tasks[] |= (.env = {NODE: $node, WRANGLER: $wrangler, NODE_PATH: ($clients + "/node_modules"), CI: "1", WRANGLER_SEND_METRICS: "false",
        WRANGLER_SEND_ERROR_REPORTS: "false", DO_NOT_TRACK: "1", WRANGLER_HIDE_BANNER: "true", SDK_AGENT: "1"}
        | if .files then . else .files = ["work.sh", .command[1]] end)
    | .tasks.sdk.command[0] = $node' <<'JSON' | graph
{ "mayfly": 1, "name": "clients", "provider": "emulator", "limits": { "running": 2 }, "defaults": { "timeout": "4m" },
  "tasks": {
    "deploy":  { "command": ["sh", "deploy.sh"], "account": { "permissions": ["workers_scripts:write"] } },
    "beyond":  { "command": ["sh", "beyond.sh"], "account": { "permissions": ["workers_scripts:write"] } },
    "only":    { "command": ["sh", "only.sh"], "account": { "permissions": [{ "name": "workers_scripts:write", "only": { "script": "mine" } }] } },
    "kv":      { "command": ["sh", "kv.sh"], "account": { "permissions": ["workers_kv:write"] } },
    "nothing": { "command": ["sh", "nothing.sh"], "account": { "permissions": [] } },
    "sdk":     { "command": ["node", "cloudflare_sdk.js"], "files": ["cloudflare_sdk.js"],
                 "account": { "permissions": ["workers_scripts:write", "workers_kv:write", "d1:write", "queues:write", "r2:write", "hyperdrive:write"] } } } }
JSON
)
mayfly run "$file" --json
[ "$status" -ne 6 ] || skip "no sandbox on this machine: $(head -n 3 "$ERR")"
run=$(run_id)
for name in deploy beyond only kv nothing sdk; do
    if [ "$(events ".type == \"task.succeeded\" and .task == \"$name\"" | wc -l)" != 1 ]; then
        echo "--- $name:" >&2
        tail -n 30 "$MAYFLY_STATE/runs/$run/$name/1"/*.log | cut -c 1-300 >&2
    fi
done
expect_status 0
expect_receipt .tasks.succeeded 6
expect_receipt .sandbox.without 0

# Exactly what each declared: nothing of it was unused, and what was refused is what was to be refused.
mayfly audit "$run" --json
expect_status 0
cp "$OUT" "$CASE_DIR/audit.json"
[ "$(jq -c .patch "$CASE_DIR/audit.json")" = '[]' ] || fail "a list could be smaller: $(jq -c .patch "$CASE_DIR/audit.json")"
for name in deploy sdk; do # the client also tries a token that nobody was given
    got=$(jq -c --arg task "$name" '[.refused[] | select(.task == $task and .reason != "benign" and .reason != "unknown_token") | {reason, example}]' "$CASE_DIR/audit.json")
    [ "$got" = '[]' ] || fail "$name was refused: $got"
done
for needed in beyond:workers_kv beyond:d1 beyond:queues beyond:r2 kv:workers_scripts nothing:workers_scripts nothing:workers_kv; do
    jq -e --arg task "${needed%:*}" --arg needed "${needed#*:}:" 'any(.refused[]; .task == $task and (.needed | startswith($needed)))' "$CASE_DIR/audit.json" >/dev/null ||
        fail "no refusal that ${needed%:*} lacked ${needed#*:}"
done
jq -e 'any(.refused[]; .task == "only" and .reason == "narrowed")' "$CASE_DIR/audit.json" >/dev/null || fail "no refusal for another name"
mayfly audit "$run" --check-chain
expect_status 0
want 0 "$(ledger_count "$LEDGER" create kv | tr -d ' ' | awk '{ print ($1 > 2) }')" "namespaces of others than kv and sdk"
finish
