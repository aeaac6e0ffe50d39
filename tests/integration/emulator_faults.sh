#!/bin/bash
# emulator_faults.sh - every action of the fault language does what its name says, and only to the requests that it is meant for
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
admin() { # path, curl option...
    local path=$1
    shift
    curl -sS --fail --unix-socket "$ADMIN_SOCKET" "$@" "http://emulator/__mayfly$path"
}
script() { # rules, comma separated
    admin /faults --data-binary "{\"seed\": 1, \"rules\": [$1]}" >/dev/null
}
want() { # wanted, got, what
    [ "$1" = "$2" ] || fail "$3: $2, wanted $1"
}
try() { # path, curl option...: the status; 000 and curl's exit status when there was no whole answer
    local path=$1 code=0
    shift
    operator "$path" -o "$HELD/answer" -D "$HELD/head" -w '%{http_code}' --max-time 3 "$@" 2>/dev/null || code=$?
    [ $code -eq 0 ] || echo "/$code"
}
count() {
    admin /state | jq .account_count
}

id=$(operator /accounts -d '{"name": "subject"}' | jq -r .result.id)

# --- which requests ---
script '{"method": "GET", "path": "/accounts/*", "nth": [2, 4], "action": "status", "status": 503}'
want "200 503 200 503 200" "$(for n in 1 2 3 4 5; do try "/accounts/$id"; echo; done | xargs)" "nth"
script '{"path": "/accounts/*", "every": 3, "action": "status", "status": 500}'
want "200 200 500 200 200 500" "$(for n in 1 2 3 4 5 6; do try "/accounts/$id"; echo; done | xargs)" "every"
script '{"path": "/accounts/**", "after": 1, "times": 2, "action": "status", "status": 500}'
want "200 500 500 200" "$(for n in 1 2 3 4; do try "/accounts/$id"; echo; done | xargs)" "after and times"
script '{"path": "/**", "probability": 0.5, "action": "status", "status": 500}'
first=$(for n in $(seq 20); do try "/accounts/$id"; echo; done | xargs)
script '{"path": "/**", "probability": 0.5, "action": "status", "status": 500}'
want "$first" "$(for n in $(seq 20); do try "/accounts/$id"; echo; done | xargs)" "the same seed"
case $first in *200*500* | *500*200*) ;; *) fail "a probability of one half gave: $first" ;; esac
want 2 "$(admin /faults -d '{"rules": [{"action": "explode"}]}' >/dev/null 2>&1 || echo 2)" "an unknown action"
want 2 "$(admin /faults -d '{"rules": [{"action": "reset", "status": 500}]}' >/dev/null 2>&1 || echo 2)" "a key that the action does not take"

# --- effect or not ---
script '{"method": "POST", "path": "/accounts", "action": "lost_before"}'
before=$(count)
want 000/52 "$(try /accounts -d '{"name": "a"}')" "lost before"
want "$before" "$(count)" "accounts after lost_before"
script '{"method": "POST", "path": "/accounts", "action": "lost_after"}'
want 000/52 "$(try /accounts -d '{"name": "b"}')" "lost after"
want $((before + 1)) "$(count)" "accounts after lost_after"
script '{"method": "POST", "path": "/accounts", "action": "status", "status": 500, "effect": true}'
want 500 "$(try /accounts -d '{"name": "c"}')" "a status with effect"
want $((before + 2)) "$(count)" "accounts after a status with effect"
script '{"path": "/accounts/*", "action": "reset"}'
want 000/56 "$(try "/accounts/$id")" "reset"
script '{"path": "/accounts/*", "action": "truncate"}'
case $(try "/accounts/$id") in 200/18 | 200/56) ;; *) fail "truncate" ;; esac
script '{"path": "/accounts/*", "action": "truncate_head"}'
case $(try "/accounts/$id") in */56 | */8 | */52) ;; *) fail "truncate_head" ;; esac
script '{"path": "/accounts/*", "action": "stall"}'
want 200/28 "$(try "/accounts/$id" --max-time 1)" "stall"
script '{"path": "/accounts/*", "action": "hang"}'
want 000/28 "$(try "/accounts/$id" --max-time 1)" "hang"
script '{"path": "/accounts/*", "action": "garbage"}'
case $(try "/accounts/$id") in 000/1 | 000/8 | 000/56) ;; *) fail "garbage" ;; esac
script '{"path": "/accounts/*", "action": "endless_body"}'
case $(try "/accounts/$id" --max-filesize 1000000 --max-time 3) in 200/*) ;; *) fail "endless body" ;; esac
script '{"path": "/accounts/*", "action": "endless_headers"}'
case $(try "/accounts/$id") in */*) ;; *) fail "endless headers" ;; esac
script '{"path": "/accounts/*", "action": "drip", "bytes": 1000, "interval": "300ms"}'
want 200 "$(try "/accounts/$id")" "drip"

# --- what the answer says ---
script '{"path": "/accounts/*", "action": "status", "status": 429, "code": 971, "message": "slow down", "headers": {"Retry-After": ["2", "{{date+5}}"]}}'
want 429 "$(try "/accounts/$id")" "429"
want "971 slow down" "$(jq -r '"\(.errors[0].code) \(.errors[0].message)"' "$HELD/answer")" "its code and message"
want 2 "$(grep -ic '^retry-after: ' "$HELD/head")" "two values of one header"
grep -qi '^retry-after: .*GMT' "$HELD/head" || fail "an HTTP date"
script '{"path": "/accounts/*", "action": "status", "status": 200, "body": "<html>{{token}}</html>"}'
want 200 "$(try "/accounts/$id")" "a page"
grep -q "$EMULATOR_TOKEN" "$HELD/answer" || fail "the answer does not quote the credential"
script '{"path": "/accounts/*", "action": "redirect", "status": 302, "location": "http://127.0.0.1:1/x"}'
want 302 "$(try "/accounts/$id")" "redirect"
script '{"path": "/accounts/*", "action": "edit", "pointer": "/result/id", "value": "../../other"}, {"path": "/accounts/*", "action": "remove", "pointer": "/result/name"}'
want 200 "$(try "/accounts/$id")" "edit"
want '{"id":"../../other","name":null}' "$(jq -c '{id: .result.id, name: .result.name}' "$HELD/answer")" "edited fields"
script '{"method": "POST", "path": "/accounts", "action": "edit", "pointer": "/result/id", "previous": true}'
one=$(operator /accounts -d '{"name": "one"}' | jq -r .result.id)
want "$one" "$(operator /accounts -d '{"name": "two"}' | jq -r .result.id)" "an id twice"
script '{"path": "/accounts/*", "action": "cut", "bytes": 20}, {"path": "/accounts/*", "action": "suffix", "text": "}}garbage"}, {"path": "/accounts/*", "action": "prefix", "text": "\ufeff"}, {"path": "/accounts/*", "action": "headers", "headers": {"content-type": "text/html"}}'
want 200 "$(try "/accounts/$id")" "bytes"
want 32 "$(wc -c <"$HELD/answer")" "length of a mangled answer"
grep -qi '^content-type: text/html' "$HELD/head" || fail "another content type"
script '{"path": "/accounts/*", "action": "utf16"}'
want 200 "$(try "/accounts/$id")" "utf16"
want fffe "$(head -c 2 "$HELD/answer" | od -An -tx1 | tr -d ' \n')" "byte-order mark"
script '{"path": "/accounts/*", "action": "huge_headers", "bytes": 200000}'
try "/accounts/$id" >/dev/null
script '{"path": "/accounts/*", "action": "gzip_bomb", "bytes": 10000000}'
want 200 "$(try "/accounts/$id")" "bomb"
[ "$({ gzip -dc <"$HELD/answer" 2>/dev/null || true; } | wc -c)" -ge 10000000 ] || fail "the bomb is too small"

# --- time ---
script '{"path": "/accounts/*", "action": "latency", "delay": "700ms"}'
start=$(date +%s%3N)
want 200 "$(try "/accounts/$id")" "latency"
[ $(($(date +%s%3N) - start)) -ge 700 ] || fail "the delay did not happen"
script '{"method": "POST", "path": "/accounts", "action": "latency", "delay": "10s", "before": true}'
before=$(count)
want 000/28 "$(try /accounts -d '{"name": "late"}' --max-time 1)" "latency before the effect"
want "$before" "$(count)" "accounts when the client left before the effect"
admin /faults -d '{"list_lag": "1h", "rules": []}' >/dev/null
lagging=$(operator /accounts -d '{"name": "lagging"}' | jq -r .result.id)
want 0 "$(operator '/accounts?name=lagging' | jq '.result | length')" "a list that lags"
want 200 "$(try "/accounts/$lagging")" "reading it does not lag"
admin /clock -d '{"advance": "1h"}' >/dev/null
want 1 "$(operator '/accounts?name=lagging' | jq '.result | length')" "a list after the lag"
operator "/accounts/$lagging" -X DELETE -o /dev/null
want 1 "$(operator '/accounts?name=lagging' | jq '.result | length')" "a deleted account in the list"
want 404 "$(try "/accounts/$lagging")" "a deleted account itself"
script '{"method": "DELETE", "path": "/accounts/*", "action": "pending", "delay": "30s"}'
want 202 "$(try "/accounts/$id" -X DELETE)" "a pending deletion"
want 200 "$(try "/accounts/$id")" "the account before its end"
admin /clock -d '{"advance": "31s"}' >/dev/null
want 404 "$(try "/accounts/$id")" "the account after its end"
script '{"method": "POST", "path": "/accounts", "action": "second_id"}'
twice() {
    operator /accounts -H 'Idempotency-Key: k' -d '{"name": "twice", "standalone": true}' | jq -r .result.id
}
[ "$(twice)" != "$(twice)" ] || fail "one id for one key in spite of second_id"

script ''
for left in $(operator '/accounts?per_page=50' | jq -r '.result[].id') $(admin /state | jq -r '.accounts[].id'); do
    operator "/accounts/$left" -X DELETE -o /dev/null
done
finish
