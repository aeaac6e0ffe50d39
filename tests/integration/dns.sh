#!/bin/bash
# dns.sh - what a name may do to a run: no such name, one of two addresses dead, an answer that points to this machine, also when it
# does so only later. In a network and a mount namespace of its own: names come from a hosts file of the case's, and nothing leaves.
set -eu
if [ -z "${DNS_INSIDE:-}" ]; then
    set -- unshare --net --mount
    [ "$(id -u)" = 0 ] || set -- unshare --map-root-user --net --mount
    "$@" true 2>/dev/null || { echo "skipped: no namespaces of one's own here"; exit 77; }
    command -v ip >/dev/null || { echo "skipped: ip (iproute2) is missing"; exit 77; }
    DNS_INSIDE=1 exec "$@" -- "$0"
fi
. "$(dirname "$0")/../lib/case.sh"

ip link set lo up
ip addr add 198.51.100.7/32 dev lo # RFC 5737: an address that belongs to nobody, and is not loopback
hosts() { # line...
    printf '127.0.0.1 localhost\n' >"$CASE_DIR/hosts"
    for line in "$@"; do printf '%s\n' "$line" >>"$CASE_DIR/hosts"; done
}
hosts
printf 'hosts: files\n' >"$CASE_DIR/nsswitch"
mount --bind "$CASE_DIR/hosts" /etc/hosts
mount --bind "$CASE_DIR/nsswitch" /etc/nsswitch.conf

GRAPH=$(graph <<'JSON'
{"mayfly": 1, "name": "names", "provider": "emulator", "tasks": {
  "first": {"command": ["/bin/true"], "account": {"permissions": []}},
  "second": {"command": ["/bin/true"], "account": {"permissions": []}}}}
JSON
)
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$HELD/key.pem" -out "$HELD/cert.pem" -days 1 -subj /CN=provider.test \
    -addext subjectAltName=DNS:provider.test 2>/dev/null
export MAYFLY_CA_FILE=$HELD/cert.pem

# Two addresses, the first one dead: curl itself gives ::1 and 127.0.0.1 for localhost, and nothing listens at ::1.
start_emulator
PLAIN_PORT=${EMULATOR_URL##*:} PLAIN_PORT=${PLAIN_PORT%%/*}
export MAYFLY_EMULATOR_URL=http://localhost:$PLAIN_PORT/client/v4
mayfly run "$GRAPH" --json
expect_status 0 "one of two addresses is dead"
expect_receipt .accounts.gone 2
oracle_ledger "$LEDGER" gone || fail "the ledger disagrees"
kill -TERM "$EMULATOR_PID" && wait "$EMULATOR_PID"

rm -f "$LEDGER"
start_emulator --tls-cert "$HELD/cert.pem" --tls-key "$HELD/key.pem"
PORT=${EMULATOR_URL##*:} PORT=${PORT%%/*}
export MAYFLY_EMULATOR_URL=https://provider.test:$PORT/client/v4
perl "$ROOT/tests/lib/relay.pl" "198.51.100.7:$PORT" "127.0.0.1:$PORT" &
STARTED_PIDS+=($!)

# A name that is not there may be there soon: it is asked for again, as long as the run has time.
mayfly run "$GRAPH" --json --allow-base-url --run-timeout 3s
expect_status 8 "no such name"
expect_receipt .accounts.created 0

hosts "127.0.0.1 provider.test"
mayfly run "$GRAPH" --json --allow-base-url
expect_status 3 "a provider elsewhere whose name points to this machine"
expect_receipt .accounts.created 0
[ ! -s "$LEDGER" ] || fail "something was sent to this machine: $(head -n 1 "$LEDGER")"

hosts "198.51.100.7 provider.test"
mayfly run "$GRAPH" --json --allow-base-url
expect_status 0 "the same name with an address elsewhere"
expect_receipt .accounts.gone 2

# The answer changes while accounts are alive: nothing is sent to the new address, and all is deleted once the name is right again.
SLOW=$(graph <<'JSON'
{"mayfly": 1, "name": "slow", "provider": "emulator", "tasks": {"wait": {"command": ["/bin/sleep", "60"], "account": {"permissions": []}}}}
JSON
)
"$MAYFLY_BIN" run "$SLOW" --allow-base-url >"$SAID/slow.out" 2>"$SAID/slow.err" &
victim=$!
STARTED_PIDS+=("$victim")
wait_for 20 eval '[ "$(ledger_count "$LEDGER" create account)" = 3 ]'
kill -KILL "$victim"
wait "$victim" 2>/dev/null || true
sent=$(wc -l <"$LEDGER")
hosts "127.0.0.1 provider.test"
mayfly teardown last --allow-base-url
expect_status 4 "teardown while the name points to this machine"
[ "$(wc -l <"$LEDGER")" = "$sent" ] || fail "teardown sent something to this machine"
hosts "198.51.100.7 provider.test"
mayfly teardown last --allow-base-url
expect_status 0 "teardown with the right address"
finish
