#!/bin/bash
# emulator_flow.sh - the local Cloudflare by hand: a proof of work, a temporary account, a tenant's account, a token that may do
# one thing, the products, a claim, expiry; what is allowed works, what is not is refused, and the ledger knows all of it
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator --pow-k 4 --pow-g 3 --lifetime 60m
admin() { # path, curl option...
    local path=$1
    shift
    curl -sS --fail --unix-socket "$ADMIN_SOCKET" "$@" "http://emulator/__mayfly$path"
}
as() { # token, path, curl option...
    local token=$1 path=$2
    shift 2
    printf 'Authorization: Bearer %s\n' "$token" | curl -sS -H @- "$@" "$EMULATOR_URL$path"
}
status_as() { # token, path, curl option...: only the status
    as "$@" -o /dev/null -w '%{http_code}'
}
want() { # wanted, got, what
    [ "$1" = "$2" ] || fail "$3: $2, wanted $1"
}

# --- a temporary account, solved with nothing but openssl ---

sha256() {
    openssl dgst -sha256 -binary "$1"
}
solve() { # challenge answer: prints the checkpoints
    local work=$CASE_DIR/pow k g segment step
    mkdir -p "$work"
    k=$(jq .result.k <<<"$1")
    g=$(jq .result.g <<<"$1")
    printf '%s=' "$(jq -r .result.seed <<<"$1" | tr -- '-_' '+/')" | openssl base64 -d -A >"$work/h"
    sha256 "$work/h" >"$work/next" && mv "$work/next" "$work/h" && cp "$work/h" "$work/all"
    for segment in $(seq "$k"); do
        for step in $(seq "$g"); do
            sha256 "$work/h" >"$work/next" && mv "$work/next" "$work/h"
        done
        cat "$work/h" >>"$work/all"
    done
    openssl base64 -A -in "$work/all"
}
provision() { # challenge token, checkpoints, acceptTermsOfService
    jq -n --arg token "$1" --arg checkpoints "$2" --arg accept "$3" '{termsOfService: "https://www.cloudflare.com/terms/",
        privacyPolicy: "https://www.cloudflare.com/privacypolicy/", acceptTermsOfService: $accept, challengeToken: $token,
        solution: {checkpoints: $checkpoints}}' | curl -sS -H 'Content-Type: application/json' -d @- "$EMULATOR_URL/provisioning/previews"
}
challenge=$(curl -sS -H 'Content-Type: application/json' -d '{}' "$EMULATOR_URL/provisioning/previews/challenge")
want 16 "$(jq .result.s <<<"$challenge")" "sample of the challenge"
checkpoints=$(solve "$challenge")
token=$(jq -r .result.challengeToken <<<"$challenge")
want terms_of_service_not_accepted "$(provision "$token" "$checkpoints" no | jq -r '.errors[0].message')" "terms"
made=$(provision "$token" "$checkpoints" yes)
want true "$(jq .success <<<"$made")" "a right proof"
want challenge_already_used "$(provision "$token" "$checkpoints" yes | jq -r '.errors[0].message')" "replay"
want invalid_challenge "$(provision "${token%????}AAAA" "$checkpoints" yes | jq -r '.errors[0].message')" "forged challenge"
challenge=$(curl -sS -d '{}' "$EMULATOR_URL/provisioning/previews/challenge")
want invalid_solution "$(provision "$(jq -r .result.challengeToken <<<"$challenge")" "$checkpoints" yes | jq -r '.errors[0].message')" "a proof for another seed"
temporary=$(jq -r .result.account.id <<<"$made")
temporary_token=$(jq -r .result.account.apiToken <<<"$made")
claim=$(jq -r .result.claim.url <<<"$made")
case $temporary_token in cfat_*"$CANARY"*) ;; *) fail "the token lacks its prefix or mark" ;; esac

# --- what its token may do ---

T=/accounts/$temporary
want 200 "$(status_as "$temporary_token" "$T/tokens/verify")" "verify"
want 200 "$(status_as "$temporary_token" "$T/workers/subdomain")" "subdomain"
want 403 "$(status_as "$temporary_token" "$T/tokens")" "tokens"
want 403 "$(status_as "$temporary_token" /accounts -d '{"name": "mine"}')" "an account of its own"
want 403 "$(status_as "$temporary_token" /memberships)" "memberships"
want 1000 "$(as "$temporary_token" /user/tokens/verify | jq '.errors[0].code')" "verify as a user"
want 1 "$(as "$temporary_token" /accounts | jq '.result | length')" "accounts that it sees"
want 9106 "$(curl -sS "$EMULATOR_URL$T" | jq '.errors[0].code')" "no credential"
want 401 "$(status_as "${temporary_token}x" "$T")" "a wrong credential"
want 6003 "$(as 'a b' "$T" | jq '.errors[0].code')" "a credential of no form"
want 7003 "$(as "$temporary_token" /no/such/route | jq '.errors[0].code')" "an unknown route"

printf 'export default { fetch() { return new Response("hello") } }' >"$CASE_DIR/index.js"
deploy() { # token, account, name
    as "$1" "/accounts/$2/workers/scripts/$3" -X PUT -F 'metadata={"main_module":"index.js","compatibility_date":"2026-01-01"}' \
        -F "index.js=@$CASE_DIR/index.js;type=application/javascript+module"
}
want 10007 "$(as "$temporary_token" "$T/workers/scripts/hello/deployments" | jq '.errors[0].code')" "deployments of nothing"
want 10090 "$(as "$temporary_token" "$T/workers/services/hello" | jq '.errors[0].code')" "service of nothing"
want true "$(deploy "$temporary_token" "$temporary" hello | jq .success)" "deploy"
want hello "$(as "$temporary_token" "$T/workers/scripts" | jq -r '.result[0].id')" "list of scripts"
want 1 "$(as "$temporary_token" "$T/workers/scripts/hello/deployments" | jq '.result.deployments | length')" "deployments"
want 10021 "$(as "$temporary_token" "$T/workers/scripts/bad" -X PUT -F 'metadata={"main_module":"none.js"}' | jq '.errors[0].code')" "upload without its module"
namespace=$(as "$temporary_token" "$T/storage/kv/namespaces" -d '{"title": "store"}' | jq -r .result.id)
K=$T/storage/kv/namespaces/$namespace
want 10014 "$(as "$temporary_token" "$T/storage/kv/namespaces" -d '{"title": "store"}' | jq '.errors[0].code')" "the same title"
for key in a%2Fb%20c b c; do
    want 200 "$(status_as "$temporary_token" "$K/values/$key" -X PUT --data-binary "value of $key")" "put $key"
done
want "value of a%2Fb%20c" "$(as "$temporary_token" "$K/values/a%2Fb%20c")" "get a key with a slash"
want "a/b c" "$(as "$temporary_token" "$K/keys" | jq -r '.result[0].name')" "list of keys"
want 10009 "$(as "$temporary_token" "$K/values/none" | jq '.errors[0].code')" "get of nothing"
database=$(as "$temporary_token" "$T/d1/database" -d '{"name": "base"}' | jq -r .result.uuid)
want 7406 "$(as "$temporary_token" "$T/d1/database" -d '{"name": "second"}' | jq '.errors[0].code')" "a second database"
query() { # sql, params
    as "$temporary_token" "$T/d1/database/$database/query" -d "$(jq -n --arg sql "$1" --argjson params "${2:-[]}" '{sql: $sql, params: $params}')"
}
want true "$(query 'CREATE TABLE t (a, b)' | jq .success)" "create a table"
want 1 "$(query 'INSERT INTO t VALUES (?1, ?2)' '["x", 2]' | jq '.result[0].meta.changes')" "insert"
want '{"a":"x","b":2}' "$(query 'SELECT * FROM t' | jq -c '.result[0].results[0]')" "select"
want 7500 "$(query "ATTACH '/etc/passwd' AS p" | jq '.errors[0].code')" "attach"
want 7500 "$(query 'SELECT nonsense' | jq '.errors[0].code')" "bad sql"
want 201 "$(status_as "$temporary_token" "$T/queues" -d '{"queue_name": "work"}')" "queue"
want 200 "$(status_as "$temporary_token" "$T/r2/buckets" -d '{"name": "bucket"}')" "bucket"
want 200 "$(status_as "$temporary_token" "$T/hyperdrive/configs" -d '{"name": "h", "origin": {"host": "h", "password": "p"}}')" "hyperdrive"
want null "$(as "$temporary_token" "$T/hyperdrive/configs" | jq '.result[0].origin.password')" "password of an origin"

# --- a tenant's account, a token with one permission ---

tenant=$(operator /accounts -d '{"name": "mayfly-case-000000000000-1"}' | jq -r .result.id)
want "$tenant" "$(operator '/accounts?name=mayfly-case-000000000000-1' | jq -r '.result[0].id')" "find by name"
want 0 "$(operator '/accounts?name=mayfly-case-000000000000-2' | jq '.result | length')" "find another name"
create_token() { # group id, further members
    operator "/accounts/$tenant/tokens" -d "$(jq -n --arg account "com.cloudflare.api.account.$tenant" --arg group "$1" --argjson more "${2:-null}" \
        '{name: "agent", policies: [{effect: "allow", resources: {($account): "*"}, permission_groups: [{id: $group}]}]} + ($more // {})')"
}
KV_WRITE=f7f0eda5697f475c90846e879bab8666
narrow=$(create_token $KV_WRITE)
narrow_id=$(jq -r .result.id <<<"$narrow")
narrow=$(jq -r .result.value <<<"$narrow")
N=/accounts/$tenant
want 200 "$(status_as "$narrow" "$N/storage/kv/namespaces")" "what it may"
for path in workers/scripts d1/database queues r2/buckets hyperdrive/configs tokens; do
    want 403 "$(status_as "$narrow" "$N/$path")" "what it may not: $path"
done
want 403 "$(status_as "$narrow" "$T/storage/kv/namespaces")" "another account"
want 403 "$(status_as "$temporary_token" "$N")" "another account, the other way"
want 9109 "$(as "$narrow" "$T" | jq '.errors[0].code')" "another account itself"
rolled=$(operator "$N/tokens/$narrow_id/value" -X PUT -d '{}' | jq -r .result)
want 401 "$(status_as "$narrow" "$N/tokens/verify")" "the old value after a roll"
want 200 "$(status_as "$rolled" "$N/tokens/verify")" "the new value"
want 200 "$(operator "$N/tokens/$narrow_id" -X DELETE -o /dev/null -w '%{http_code}')" "revoke"
want 401 "$(status_as "$rolled" "$N/tokens/verify")" "a revoked token"
elsewhere=$(create_token $KV_WRITE '{"condition": {"request_ip": {"in": ["192.0.2.0/24"]}}}' | jq -r .result.value)
want 9109 "$(as "$elsewhere" "$N" | jq '.errors[0].code')" "a token for another address"
later=$(create_token $KV_WRITE '{"not_before": "2999-01-01T00:00:00Z"}' | jq -r .result.value)
want 401 "$(status_as "$later" "$N")" "a token of the future"
now=$(admin /instance | jq .now_ms)
short=$(create_token $KV_WRITE "{\"expires_on\": \"$(jq -rn --argjson at "$now" '($at / 1000 + 60) | floor | todate')\"}" | jq -r .result.value)
want 200 "$(status_as "$short" "$N/storage/kv/namespaces")" "a token that lives for a minute"
admin /clock -d '{"advance": "2m"}' >/dev/null
want 401 "$(status_as "$short" "$N/storage/kv/namespaces")" "a token that has expired"
want expired "$(as "$short" "$N/tokens/verify" | jq -r .result.status)" "its own word for it"

# --- stand-alone accounts and their keys ---

standalone() { # key, name
    operator /accounts -H "Idempotency-Key: $1" -d "{\"name\": \"$2\", \"type\": \"standard\", \"standalone\": true}"
}
first=$(standalone key-1 alone | jq -r .result.id)
want "$first" "$(standalone key-1 alone | jq -r .result.id)" "the same key"
want 409 "$(standalone key-1 other -o /dev/null | jq -r '.errors[0].code' | sed 's/1002/409/')" "the same key for something else"
want false "$(operator /accounts -d '{"name": "alone", "standalone": true}' | jq .success)" "no key"
operator "/accounts/$first" -X DELETE >/dev/null
want 404 "$(operator "/accounts/$first" -o /dev/null -w '%{http_code}')" "a deleted account"

# --- pages ---

for n in $(seq 57); do
    operator /accounts -d "{\"name\": \"page-$n\"}" -o /dev/null
done
want 59 "$(for page in 1 2 3 4; do operator "/accounts?page=$page&per_page=20" | jq -r '.result[].id'; done | sort -u | wc -l)" "accounts over all pages"
want 3 "$(operator '/accounts?per_page=20' | jq .result_info.total_pages)" "number of pages"
for id in $(for page in 1 2; do operator "/accounts?page=$page&per_page=50" | jq -r '.result[] | select(.name | startswith("page-")) | .id'; done); do
    operator "/accounts/$id" -X DELETE -o /dev/null
done

# --- claim one, let one expire ---

want 200 "$(curl -sS -o "$HELD/page.html" -w '%{http_code}' "$claim")" "claim page"
want 200 "$(curl -sS -o /dev/null -w '%{http_code}' -X POST "$claim")" "claim"
want 404 "$(curl -sS -o /dev/null -w '%{http_code}' -X POST "$claim")" "claim again"
want 401 "$(status_as "$temporary_token" "$T")" "the token of a claimed account"
challenge=$(curl -sS -d '{}' "$EMULATOR_URL/provisioning/previews/challenge")
made=$(provision "$(jq -r .result.challengeToken <<<"$challenge")" "$(solve "$challenge")" yes)
second=$(jq -r .result.account.id <<<"$made")
admin /clock -d '{"advance": "61m"}' >/dev/null
want 401 "$(status_as "$(jq -r .result.account.apiToken <<<"$made")" "/accounts/$second")" "an expired account"
want 200 "$(operator "$T" -o /dev/null -w '%{http_code}')" "the claimed account, after its time"
want 1 "$(ledger_count "$LEDGER" expire account)" "expired accounts in the ledger"

operator "$T" -X DELETE -o /dev/null
operator "$N" -X DELETE -o /dev/null
want 0 "$(admin /state | jq .account_count)" "accounts at the end"
grep -q "$CANARY" "$LEDGER" && fail "a token stands in the ledger"
finish
