#!/bin/bash
# wrangler.sh - the real wrangler, unpatched, against the emulator: every product's commands with a temporary account, with a token,
# and with a bad token; what it says is compared with what the emulator's ledger says that it did
set -eu
. "$(dirname "$0")/clients.sh"
. "$(dirname "$0")/../lib/case.sh"

start_emulator --pow-k 16 --pow-g 8
BASE=$EMULATOR_URL
mkdir "$CASE_DIR/work"
cd "$CASE_DIR/work"
mkdir public
echo '<p>hello' >public/index.html
echo 'p { }' >public/site.css
echo 'export default { fetch() { return new Response("hello"); } };' >index.js
printf 'name = "hello-mayfly"\nmain = "index.js"\ncompatibility_date = "2026-01-01"\n' >wrangler.toml
printf 'name = "site-mayfly"\ncompatibility_date = "2026-01-01"\n[assets]\ndirectory = "public"\n' >site.toml

# Its configuration holds a temporary account's token by right, so it is kept where the oracle does not look.
wrangler_as() { # who, variable=value... -- argument...
    local who=$1 variables=()
    shift
    while [ "$1" != -- ]; do
        variables+=("$1")
        shift
    done
    shift
    mkdir -p "$HELD/$who"
    env -i PATH="$(dirname "$NODE"):/usr/bin:/bin" HOME="$HELD/$who" XDG_CONFIG_HOME="$HELD/$who/config" CI=1 \
        CLOUDFLARE_API_BASE_URL="$BASE" WRANGLER_SEND_METRICS=false WRANGLER_SEND_ERROR_REPORTS=false DO_NOT_TRACK=1 WRANGLER_HIDE_BANNER=true \
        "${variables[@]}" "$NODE" "$CLIENTS/node_modules/wrangler/bin/wrangler.js" "$@"
}
# What a command wrote is kept where the oracle does not look: wrangler shows claim URLs. A case that goes wrong is written down,
# and the others go on: one run says all that does not fit.
complain() { # name, what
    echo "$1 $2" >>"$CASE_DIR/complaints"
    echo "--- $1 $2:" >&2
    grep -v '^$' "$HELD/$1.said" | tail -n 12 | cut -c 1-300 >&2
}
runs() { # name, text that it must say, whose function, argument...
    local name=$1 text=$2
    shift 2
    if ! "$@" >"$HELD/$name.said" 2>&1; then
        complain "$name" failed
    elif ! grep -qF -- "$text" "$HELD/$name.said"; then
        complain "$name" "does not say \"$text\""
    fi
}
more() { # as runs, for the whole round only
    [ "${1%%-*}" != token ] || runs "$@"
}
refused() { # name, text, whose function, argument...
    local name=$1 text=$2
    shift 2
    if "$@" >"$HELD/$name.said" 2>&1; then
        complain "$name" "was not refused"
    elif ! grep -qF -- "$text" "$HELD/$name.said"; then
        complain "$name" "does not say \"$text\""
    fi
}

# --- the products, for whoever asks: the whole round with a token, the first command of each with a temporary account ---

deploys() { # name of the run, who's function
    runs "$1-deploy" 'Deployed hello-mayfly triggers' "$2" deploy
    runs "$1-redeploy" 'Current Version ID:' "$2" deploy
    runs "$1-assets" 'Uploaded' "$2" deploy --config site.toml
    more "$1-assets-again" 'No updated asset files to upload' "$2" deploy --config site.toml
    more "$1-versions-upload" 'Worker Version ID:' "$2" versions upload --message second
    runs "$1-versions-list" 'Version ID:' "$2" versions list
    local version=
    [ "$1" != token ] || version=$(sed -n 's/^Worker Version ID: //p' "$HELD/$1-versions-upload.said")
    more "$1-versions-view" "$version" "$2" versions view "$version"
    more "$1-versions-deploy" 'SUCCESS' "$2" versions deploy "$version@100%" -y
    runs "$1-deployments-list" 'Version(s):' "$2" deployments list
    more "$1-deployments-status" "$version" "$2" deployments status
    more "$1-rollback" 'SUCCESS' "$2" rollback -y --message back
    printf s3cret >secret-of-$1
    runs "$1-secret-put" 'Success' "$2" secret put MY_SECRET <secret-of-$1
    runs "$1-secret-list" 'MY_SECRET' "$2" secret list
    echo '{"ONE": "1", "TWO": "2"}' >secrets.json
    more "$1-secret-bulk" 'successfully' "$2" secret bulk secrets.json
    more "$1-secret-delete" 'Success' "$2" secret delete MY_SECRET
}
stores() { # name of the run, who's function
    local id
    runs "$1-kv-create" 'id = "' "$2" kv namespace create MYKV
    id=$(sed -n 's/^id = "\(.*\)"/\1/p' "$HELD/$1-kv-create.said")
    runs "$1-kv-list" "$id" "$2" kv namespace list
    runs "$1-kv-put" 'Writing' "$2" kv key put --remote --namespace-id "$id" greeting 'hallo you'
    runs "$1-kv-get" 'hallo you' "$2" kv key get --remote --namespace-id "$id" greeting
    printf '\001\002binary' >bytes
    more "$1-kv-put-file" 'Writing' "$2" kv key put --remote --namespace-id "$id" 'a/b c' --path bytes --metadata '{"a": 1}'
    more "$1-kv-keys" 'a/b c' "$2" kv key list --remote --namespace-id "$id"
    echo '[{"key": "x", "value": "1"}, {"key": "y", "value": "2"}]' >bulk.json
    more "$1-kv-bulk-put" 'Success' "$2" kv bulk put --remote --namespace-id "$id" bulk.json
    more "$1-kv-key-delete" 'Deleting' "$2" kv key delete --remote --namespace-id "$id" greeting
    more "$1-kv-rename" 'uccess' "$2" kv namespace rename --namespace-id "$id" --new-name RENAMED
    runs "$1-kv-delete" 'Deleted' "$2" kv namespace delete -y --namespace-id "$id"
    runs "$1-d1-create" 'mydb' "$2" d1 create mydb
    more "$1-d1-list" 'mydb' "$2" d1 list
    more "$1-d1-info" 'num_tables' "$2" d1 info mydb --json
    runs "$1-d1-execute" '"one": 1' "$2" d1 execute mydb --remote --json --command 'select 1 as one'
    printf 'CREATE TABLE t (a, b);\nINSERT INTO t VALUES (1, %s), (2, %s);\n' "'it''s'" "x'00ff'" >dump.sql
    more "$1-d1-import" 'uccess' "$2" d1 execute mydb --remote --yes --file dump.sql
    more "$1-d1-export" 'uccess' "$2" d1 export mydb --remote --output exported.sql
    [ "$1" != token ] || grep -q "'it''s'" exported.sql || fail "the export lacks what was inserted: $(cat exported.sql)"
    runs "$1-d1-delete" 'Deleted' "$2" d1 delete mydb -y
    runs "$1-queues-create" 'Created queue' "$2" queues create myq
    more "$1-queues-list" 'myq' "$2" queues list
    more "$1-queues-info" 'myq' "$2" queues info myq
    runs "$1-queues-delete" 'Deleted queue' "$2" queues delete myq
    runs "$1-r2-create" 'Created bucket' "$2" r2 bucket create mybucket
    more "$1-r2-list" 'mybucket' "$2" r2 bucket list
    more "$1-r2-info" 'mybucket' "$2" r2 bucket info mybucket
    more "$1-r2-object-put" 'Upload complete' "$2" r2 object put --remote mybucket/file --file bytes
    more "$1-r2-object-get" 'Download complete' "$2" r2 object get --remote mybucket/file --file bytes.back
    [ "$1" != token ] || cmp -s bytes bytes.back || fail "an object came back different"
    more "$1-r2-object-delete" 'Delete complete' "$2" r2 object delete --remote mybucket/file
    runs "$1-r2-delete" 'Deleted bucket' "$2" r2 bucket delete mybucket
    runs "$1-hyperdrive-create" 'Created' "$2" hyperdrive create myhd --connection-string 'postgres://user:password@db.example:5432/base'
    id=$(grep -oE '[0-9a-f]{32}' "$HELD/$1-hyperdrive-create.said" | head -n 1)
    runs "$1-hyperdrive-list" 'myhd' "$2" hyperdrive list
    more "$1-hyperdrive-get" 'db.example' "$2" hyperdrive get "$id"
    more "$1-hyperdrive-update" 'Updated' "$2" hyperdrive update "$id" --caching-disabled true
    runs "$1-hyperdrive-delete" 'Deleted' "$2" hyperdrive delete "$id"
}
deletes() { # name of the run, who's function
    runs "$1-delete" 'Successfully deleted hello-mayfly' "$2" delete --force
    runs "$1-delete-site" 'Successfully deleted site-mayfly' "$2" delete --force --config site.toml
}

# --- a tenant's account: the operator's token, a token of the account, a bad one ---

account=$(operator /accounts -d '{"name": "mayfly-case-000000000000-1"}' | jq -r .result.id)
groups='[{"id":"e086da7e2179491d91ee5f35b3ca210a"},{"id":"f7f0eda5697f475c90846e879bab8666"},{"id":"09b2857d1c31407795e75e3fed8617a1"},
    {"id":"366f57075ffc42689627bcf8242a1b6d"},{"id":"bf7481a1826f439697cb59a20b22293e"},{"id":"721b2f51fba74871bd361de65aeb7e03"}]'
token=$(operator "/accounts/$account/tokens" -d "{\"name\": \"agent\", \"policies\": [{\"effect\": \"allow\",
    \"resources\": {\"com.cloudflare.api.account.$account\": \"*\"}, \"permission_groups\": $groups}]}" | jq -r .result.value)

by_token() {
    wrangler_as token CLOUDFLARE_API_TOKEN="$token" CLOUDFLARE_ACCOUNT_ID="$account" -- "$@"
}
by_operator() {
    wrangler_as operator CLOUDFLARE_API_TOKEN="$EMULATOR_TOKEN" -- "$@"
}
by_nobody() {
    wrangler_as nobody CLOUDFLARE_API_TOKEN=cfat_wrongwrongwrongwrongwrong CLOUDFLARE_ACCOUNT_ID="$account" -- "$@"
}
without() {
    wrangler_as without -- "$@"
}
by_temporary() {
    wrangler_as temporary -- "$@" --temporary
}

# Four streams of commands: each waits for Node most of the time.
streams=()
stream() { # command...
    ("$@") &
    streams+=($!)
}
who_and_bad() {
    refused nocred 'CLOUDFLARE_API_TOKEN' without deploy
    refused bad-token 'Authentication error' by_nobody deploy
    refused bad-token-kv 'Authentication error' by_nobody kv namespace list
    runs whoami "$account" by_operator whoami
    runs whoami-json "$account" by_operator whoami --json
    runs whoami-account "$account" wrangler_as agent CLOUDFLARE_API_TOKEN="$token" -- whoami
    refused other-account 'Authentication error' wrangler_as other CLOUDFLARE_API_TOKEN="$token" CLOUDFLARE_ACCOUNT_ID=00000000000000000000000000000000 -- kv namespace list
}
workers() { # name of the run, whose function
    deploys "$@"
    deletes "$@"
}
stream workers token by_token
stream stores token by_token
# The first command makes the temporary account and keeps it in wrangler's configuration: the others find it there.
runs temporary-first 'Deployed hello-mayfly triggers' by_temporary deploy
stream stores temporary by_temporary
stream workers temporary by_temporary
who_and_bad
for pid in "${streams[@]}"; do
    wait "$pid" || fail "a stream of commands broke off"
done
temporary=$(sed -n 's/^id = "\(.*\)"$/\1/p' "$HELD"/temporary/config/.wrangler/wrangler-temporary-account.toml)
refused temporary-with-token 'authenticated' wrangler_as temporary CLOUDFLARE_API_TOKEN="$token" -- deploy --temporary
want 2 "$(ledger_count "$LEDGER" create account)" "accounts made in all"
want '' "$(ledger_resources "$LEDGER")" "resources left"

[ ! -e "$CASE_DIR/complaints" ] || fail "$(wc -l <"$CASE_DIR/complaints") commands, see above"
operator "/accounts/$account" -X DELETE -o /dev/null
operator "/accounts/$temporary" -X DELETE -o /dev/null
finish
