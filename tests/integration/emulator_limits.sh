#!/bin/bash
# emulator_limits.sh - what the local Cloudflare refuses because there is too much of it: requests in a window, temporary accounts in
# a window, accounts of all kinds, products of a temporary account; and event codes
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator --pow-k 1 --pow-g 1 --pow-s 1 --rate-limit 60/5m --provision-limit 2/1m --accounts-max 6 --standalone-max 1
want() { # wanted, got, what
    [ "$1" = "$2" ] || fail "$3: $2, wanted $1"
}
admin() { # path, curl option...
    local path=$1
    shift
    curl -sS --fail --unix-socket "$ADMIN_SOCKET" "$@" "http://emulator/__mayfly$path"
}
# One segment of one hash: the checkpoints are SHA-256 of the seed and SHA-256 of that.
provision() { # further members of the request, curl option...
    local challenge more=$1
    shift
    challenge=$(curl -sS -d '{}' "$EMULATOR_URL/provisioning/previews/challenge")
    printf '%s=' "$(jq -r .result.seed <<<"$challenge" | tr -- '-_' '+/')" | openssl base64 -d -A >"$CASE_DIR/seed"
    openssl dgst -sha256 -binary "$CASE_DIR/seed" >"$CASE_DIR/h0"
    openssl dgst -sha256 -binary "$CASE_DIR/h0" >"$CASE_DIR/h1"
    jq -n --arg token "$(jq -r .result.challengeToken <<<"$challenge")" --arg proof "$(cat "$CASE_DIR/h0" "$CASE_DIR/h1" | openssl base64 -A)" \
        --argjson more "$more" '{termsOfService: "https://www.cloudflare.com/terms/", privacyPolicy: "https://www.cloudflare.com/privacypolicy/",
        acceptTermsOfService: "yes", challengeToken: $token, solution: {checkpoints: $proof}} + $more' |
        curl -sS -d @- "$@" "$EMULATOR_URL/provisioning/previews"
}

# --- events, and accounts in a window of time ---

want 1035 "$(provision '{"eventCode": ""}' | jq '.errors[0].code')" "a malformed event code"
want 1037 "$(provision '{"eventCode": "error-1037"}' | jq '.errors[0].code')" "an event that has not begun"
made=$(provision '{"eventCode": "SPRING"}')
want true "$(jq .result.eventCodeAccepted <<<"$made")" "an event code"
want null "$(provision '{}' | jq .result.eventCodeAccepted)" "no event code"
want 429 "$(provision '{}' -D "$CASE_DIR/head" -o /dev/null -w '%{http_code}')" "a third account in a minute"
seconds=$(sed -n 's/^retry-after: \([0-9]*\).*/\1/p' "$CASE_DIR/head")
[ "$seconds" -ge 1 ] && [ "$seconds" -le 60 ] || fail "Retry-After: $seconds"
admin /clock -d '{"advance": "61s"}' >/dev/null
want true "$(provision '{}' | jq .success)" "an account after that minute"

# --- products of a temporary account ---

token=$(jq -r .result.account.apiToken <<<"$made")
A=/accounts/$(jq -r .result.account.id <<<"$made")
as() { # path, curl option...
    local path=$1
    shift
    printf 'Authorization: Bearer %s\n' "$token" | curl -sS -H @- "$@" "$EMULATOR_URL$path"
}
for n in $(seq 10); do
    want true "$(as "$A/queues" -d "{\"queue_name\": \"q$n\"}" | jq .success)" "queue $n"
done
want false "$(as "$A/queues" -d '{"queue_name": "q11"}' | jq .success)" "an eleventh queue"
for n in 1 2; do
    want true "$(as "$A/hyperdrive/configs" -d "{\"name\": \"h$n\", \"origin\": {\"host\": \"h\"}}" | jq .success)" "Hyperdrive $n"
done
want false "$(as "$A/hyperdrive/configs" -d '{"name": "h3", "origin": {"host": "h"}}' | jq .success)" "a third Hyperdrive configuration"
want true "$(as "$A/d1/database" -d '{"name": "one"}' | jq .success)" "a database"
want 7406 "$(as "$A/d1/database" -d '{"name": "two"}' | jq '.errors[0].code')" "a second database"
want false "$(as "$A/workers/scripts/s/assets-upload-session" -d '{"manifest": {"/big": {"hash": "00000000000000000000000000000000", "size": 5242881}}}' | jq .success)" "a file above 5 MiB"
want 10000 "$(as /zones -d "{\"name\": \"example.test\", \"account\": {\"id\": \"${A#/accounts/}\"}}" | jq '.errors[0].code')" "a zone"

# --- accounts of all kinds ---

standalone() { # key
    operator /accounts -H "Idempotency-Key: $1" -d "{\"name\": \"$1\", \"standalone\": true}"
}
want true "$(standalone first | jq .success)" "a stand-alone account"
want false "$(standalone second | jq .success)" "a second stand-alone account"
for n in 1 2; do
    want true "$(operator /accounts -d "{\"name\": \"t$n\"}" | jq .success)" "account $n of a tenant"
done
want 1006 "$(operator /accounts -d '{"name": "t3"}' | jq '.errors[0].code')" "more accounts than --accounts-max"

# --- requests in a window: each user has its own, and the block is as long as the window ---

until [ "$(as "$A/queues" -D "$CASE_DIR/head" -o /dev/null -w '%{http_code}')" = 429 ]; do
    [ "$(sed -n 's/^x-ratelimit-remaining: \([0-9]*\).*/\1/p' "$CASE_DIR/head")" -lt 60 ] || fail "no count of what remains"
done
grep -qi '^retry-after: 300' "$CASE_DIR/head" || fail "Retry-After: $(grep -i retry-after "$CASE_DIR/head")"
grep -qi '^x-ratelimit-reset: .* GMT' "$CASE_DIR/head" || fail "no X-RateLimit-Reset"
want 200 "$(operator /accounts -o /dev/null -w '%{http_code}')" "somebody else"
admin /clock -d '{"advance": "5m"}' >/dev/null
want 200 "$(as "$A/queues" -o /dev/null -w '%{http_code}')" "the same user after the block"

for id in $(operator '/accounts?per_page=50' | jq -r '.result[].id'); do
    operator "/accounts/$id" -X DELETE -o /dev/null
done
want 0 "$(admin /state | jq .account_count)" "accounts at the end"
finish
