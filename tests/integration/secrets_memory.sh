#!/bin/bash
# secrets_memory.sh - who holds a real token, and for how long: while an agent has its lease, the orchestrator and the runner, and
# nobody else; when its account is gone, nobody, neither over plain HTTP nor over TLS. Nobody of them would write a core file, and
# nobody but root can look into them. The token itself is refused afterwards.
set -eu
. "$(dirname "$0")/../lib/case.sh"
. "$(dirname "$0")/../lib/secrets.sh"

needs_root
build_watch
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=local -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$HELD/key.pem" -out "$HELD/cert.pem" 2>/dev/null
agent work.sh <<'SH'
#!/bin/sh
# work.sh - uses its account, then waits until it was looked at
for n in 1 2 3 4 5; do
    echo "Authorization: Bearer $CLOUDFLARE_API_TOKEN" |
        curl -sSf -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts" >/dev/null
done
: >"$1/working.$2"
while [ ! -e "$1/seen" ]; do sleep 0.05; done
SH
signs=$CASE_DIR/signs
file=$(graph <<JSON
{"mayfly": 1, "name": "memory", "provider": "emulator", "defaults": {"sandbox": false, "timeout": "2m"},
 "tasks": {
   "work": {"for_each": [1, 2, 3], "files": ["work.sh"], "command": ["./work.sh", "$signs", "{{item}}"],
            "account": {"permissions": ["workers_scripts:read"]}},
   "after": {"needs": ["work"], "command": ["sh", "-c", ": >$signs/after; while [ ! -e $signs/done ]; do sleep 0.05; done"]} } }
JSON
)

accounts_are_gone() {
    [ "$(ledger_count "$LEDGER" create account)" -eq 3 ] && [ "$(ledger_count "$LEDGER" delete account)" -eq 3 ]
}

# The emulator's answer to a token that somebody kept: PATH, status in $answer.
ask_with() { # token, account
    answer=$(printf 'Authorization: Bearer %s\n' "$1" | curl -sS --cacert "$HELD/cert.pem" -o /dev/null -w '%{http_code}' -H @- \
        "$EMULATOR_URL/accounts/$2/workers/scripts")
}

hidden_from_others() { # pid: no core, private files, and as another user of the same name nothing to see
    local limit mask
    limit=$(sed -n 's/^Max core file size *\([^ ]*\) *\([^ ]*\) .*/\1 \2/p' "/proc/$1/limits")
    [ "$limit" = "0 0" ] || fail "process $1 ($2) may write a core file: $limit"
    mask=$(sed -n 's/^Umask:[[:space:]]*//p' "/proc/$1/status")
    [ "$mask" = 0077 ] || fail "process $1 ($2) makes files with umask $mask"
}

look_at() { # over what, emulator's options...
    local over=$1 pids pid found name token account
    shift
    rm -rf "$signs"
    mkdir -m 0700 "$signs"
    rm -f "$LEDGER"
    start_emulator "$@"
    credential_file
    SSLKEYLOGFILE=$CASE_DIR/keylog OPENSSL_CONF=$CASE_DIR/openssl.cnf mayfly_start run "$file" --json --credential "emulator=file:$CREDENTIAL"
    wait_for 60 test -e "$signs/working.1" -a -e "$signs/working.2" -a -e "$signs/working.3"

    # Orchestrator and runner hold it (so the search finds what is there), spawner and agents do not.
    pids=$(descendants "$PID")
    for pid in "$PID" $pids; do
        name=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
        found=$("$WATCH" memory "$pid" <"$MARK" 2>/dev/null) || true
        case $name in
            mayfly | mayfly-runner)
                echo "$found" | grep -q '^memory ' || fail "$over: the search finds no token in $name, which holds them"
                token=$(echo "$found" | grep -ao "[a-z_]*${CANARY}[A-Za-z0-9_-]*" | head -n 1)
                ;;
            *) ! echo "$found" | grep -a '^memory ' || fail "$over: a token is in the memory of $name" ;;
        esac
        case $name in mayfly*) hidden_from_others "$pid" "$name" ;; esac
    done
    account=$(jq -rs '[.[] | select(.kind == "account" and .op == "create") | .id][0]' "$LEDGER")
    [ -n "$token" ] || fail "$over: no token to try"

    : >"$signs/seen"
    wait_for 60 test -e "$signs/after"
    wait_for 60 accounts_are_gone
    sleep 1 # idle connections and their buffers stay: what they hold counts
    # shellcheck disable=SC2046
    found=$("$WATCH" memory "$PID" $(descendants "$PID") <"$MARK" 2>/dev/null) || true
    ! echo "$found" | grep -a '^memory ' || fail "$over: a token of an account that is gone is still in memory"
    echo "$found" | grep -q '^searched [1-9][0-9]\{6\}' || fail "$over: too little was searched: $found"
    ask_with "$token" "$account"
    case $answer in 40[0-9]) ;; *) fail "$over: the token of an account that is gone gave $answer" ;; esac
    : >"$signs/done"
    mayfly_wait
    expect_status 0
    expect_receipt .accounts.gone 3
    [ ! -e "$CASE_DIR/keylog" ] || fail "the keys of TLS connections were written down"
}

LEDGER=$HELD/ledger.jsonl
look_at "plain HTTP"
kill -TERM "$EMULATOR_PID" && wait "$EMULATOR_PID"
export MAYFLY_CA_FILE=$HELD/cert.pem
look_at TLS --tls-cert "$HELD/cert.pem" --tls-key "$HELD/key.pem"

# Only where the sanitizers do not need to look themselves: another process of the same user sees nothing.
if ! grep -q __asan_init "$MAYFLY_BIN" && command -v setpriv >/dev/null; then
    cp "$MAYFLY_BIN" "$CASE_DIR/program"
    chmod 755 "$CASE_DIR" "$CASE_DIR/program"
    setpriv --reuid 65534 --regid 65534 --clear-groups "$CASE_DIR/program" emulate --listen 127.0.0.1:0 >/dev/null 2>&1 </dev/null &
    other=$!
    STARTED_PIDS+=("$other")
    wait_for 20 sh -c "[ \"\$(cat /proc/$other/comm)\" = program ]"
    sleep 0.3
    for part in environ mem maps fd/0; do
        ! setpriv --reuid 65534 --regid 65534 --clear-groups head -c 1 "/proc/$other/$part" >/dev/null 2>&1 || fail "the same user may read /proc/PID/$part"
    done
    kill -ABRT "$other"
    wait "$other" 2>/dev/null || true
    ! find "$CASE_DIR" -name 'core*' | grep -q . || fail "a core file was written"
fi
finish
