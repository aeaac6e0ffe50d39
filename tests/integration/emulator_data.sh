#!/bin/bash
# emulator_data.sh - the data directory: what was answered before kill -9 is there afterwards, at the same port, and no token
# stands on the disk; TLS with a certificate of the case's own
set -eu
. "$(dirname "$0")/../lib/case.sh"

DATA=$HELD/data
start_emulator --data "$DATA"
admin() { # path, curl option...
    local path=$1
    shift
    curl -sS --fail --unix-socket "$ADMIN_SOCKET" "$@" "http://emulator/__mayfly$path"
}
want() { # wanted, got, what
    [ "$1" = "$2" ] || fail "$3: $2, wanted $1"
}
as() { # token, path, curl option...
    local token=$1 path=$2
    shift 2
    printf 'Authorization: Bearer %s\n' "$token" | curl -sS -H @- "$@" "$EMULATOR_URL$path"
}

id=$(operator /accounts -d '{"name": "keeper"}' | jq -r .result.id)
gone=$(operator /accounts -d '{"name": "gone"}' | jq -r .result.id)
made=$(operator "/accounts/$id/tokens" -d '{"name": "t", "policies": [{"effect": "allow", "resources": {"com.cloudflare.api.account.'"$id"'": "*"},
    "permission_groups": [{"id": "f7f0eda5697f475c90846e879bab8666"}, {"id": "09b2857d1c31407795e75e3fed8617a1"}]}]}')
token=$(jq -r .result.value <<<"$made")
namespace=$(as "$token" "/accounts/$id/storage/kv/namespaces" -d '{"title": "kept"}' | jq -r .result.id)
as "$token" "/accounts/$id/storage/kv/namespaces/$namespace/values/key" -X PUT -d 'the value' -o /dev/null
database=$(as "$token" "/accounts/$id/d1/database" -d '{"name": "kept"}' | jq -r .result.uuid)
as "$token" "/accounts/$id/d1/database/$database/query" -d '{"sql": "CREATE TABLE t AS SELECT 42 AS answer"}' -o /dev/null
operator /accounts -H 'Idempotency-Key: once' -d '{"name": "alone", "standalone": true}' >"$HELD/alone.json"
operator "/accounts/$gone" -X DELETE -o /dev/null
instance=$(admin /instance | jq -r .instance)
url=$EMULATOR_URL
kill -KILL "$EMULATOR_PID"
wait "$EMULATOR_PID" 2>/dev/null || true

found=$(grep -rlaF "$CANARY" "$DATA" || true)
[ -z "$found" ] || fail "a token stands in $found"

start_emulator --data "$DATA"
want "$url" "$EMULATOR_URL" "the port after a restart"
want "$instance" "$(admin /instance | jq -r .instance)" "the instance after a restart"
want keeper "$(operator "/accounts/$id" | jq -r .result.name)" "an account after a restart"
want 404 "$(operator "/accounts/$gone" -o /dev/null -w '%{http_code}')" "a deleted account after a restart"
want "the value" "$(as "$token" "/accounts/$id/storage/kv/namespaces/$namespace/values/key")" "a value after a restart, with the old token"
want 403 "$(as "$token" "/accounts/$id/workers/scripts" -o /dev/null -w '%{http_code}')" "what it may not, after a restart"
want 42 "$(as "$token" "/accounts/$id/d1/database/$database/query" -d '{"sql": "SELECT answer FROM t"}' | jq '.result[0].results[0].answer')" "a row after a restart"
want "$(jq -r .result.id "$HELD/alone.json")" "$(operator /accounts -H 'Idempotency-Key: once' -d '{"name": "alone", "standalone": true}' | jq -r .result.id)" "a key after a restart"
MAYFLY_EMULATOR_TOKEN=x mayfly emulate --data "$DATA"
expect_status 5 "a second emulator on the same data"
operator "/accounts/$id" -X DELETE -o /dev/null
want "" "$(find "$DATA/d1" -name "$database*")" "files of a deleted account's database"
operator "/accounts/$(jq -r .result.id "$HELD/alone.json")" -X DELETE -o /dev/null

# --- TLS ---
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$HELD/key.pem" -out "$HELD/cert.pem" -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=IP:127.0.0.1' 2>/dev/null
MAYFLY_EMULATOR_TOKEN=${CANARY}tls "$MAYFLY_BIN" emulate --listen 127.0.0.1:0 --tls-cert "$HELD/cert.pem" --tls-key "$HELD/key.pem" >"$HELD/tls.out" 2>"$SAID/tls.err" &
STARTED_PIDS+=($!)
wait_for 20 grep -q '^listening https://' "$HELD/tls.out"
tls=$(sed -n 's/^listening //p' "$HELD/tls.out")
head -c 3000000 /dev/zero | tr '\0' 'x' >"$HELD/large"
for n in 1 2; do
    tls_id=$(printf 'Authorization: Bearer %stls' "$CANARY" | curl -sS --cacert "$HELD/cert.pem" -H @- "$tls/accounts" -d '{"name": "over tls"}' | jq -r .result.id)
    want 200 "$(printf 'Authorization: Bearer %stls' "$CANARY" | curl -sS --cacert "$HELD/cert.pem" -H @- "$tls/accounts/$tls_id" -o /dev/null -w '%{http_code}')" "a request over TLS"
done
bucket=$(printf 'Authorization: Bearer %stls' "$CANARY" | curl -sS --cacert "$HELD/cert.pem" -H @- "$tls/accounts/$tls_id/r2/buckets" -d '{"name": "big"}' | jq -r .result.name)
printf 'Authorization: Bearer %stls' "$CANARY" | curl -sS --cacert "$HELD/cert.pem" -H @- "$tls/accounts/$tls_id/r2/buckets/$bucket/objects/a/b" -T "$HELD/large" -o /dev/null
want 3000000 "$(printf 'Authorization: Bearer %stls' "$CANARY" | curl -sS --cacert "$HELD/cert.pem" -H @- "$tls/accounts/$tls_id/r2/buckets/$bucket/objects/a/b" | wc -c)" "three megabytes over TLS and back"
curl -sS "$tls/accounts" -o /dev/null 2>/dev/null && fail "an unknown certificate was accepted"
curl -sS --cacert "$HELD/cert.pem" --tls-max 1.1 "$tls/accounts" -o /dev/null 2>/dev/null && fail "TLS 1.1 was accepted"
finish
