#!/bin/bash
# emulator_cases.sh - every provider fault of the fault list, one script each (tests/data/faults), against a small run: what the run
# says, how it ends, and what the provider's own ledger says afterwards
#
# Cases that take minutes run with MAYFLY_FULL only. DNS (35) is not the server's doing: dns.sh.
set -eu
. "$(dirname "$0")/../lib/case.sh"
FAULTS=$ROOT/tests/data/faults
FAILED=$CASE_DIR/failed # names of cases

# file | exit status | receipt as created/gone/expiring/leaked; - is any number | options of the run
CASES='
16-retry-after           0 -/-/0/0
16-retry-after-ages      8 0/0/0/0 --run-timeout 3s
17-5xx-once              0 -/-/0/0
17-5xx-for-good          3 0/0/0/0
18-before-head           0 -/-/0/0
18-mid-head              0 -/-/0/0
18-mid-body              0 -/-/0/0
18-after-effect          0 -/-/0/0
19-answer-lost           0 3/3/0/0
20-id-twice              0 -/-/0/0
21-id-empty              0 3/3/0/0
21-id-dots               0 3/3/0/0
21-id-path               0 3/3/0/0
21-id-slash              0 3/3/0/0
21-id-query              0 3/3/0/0
21-id-encoded            0 3/3/0/0
21-id-newline            0 3/3/0/0
21-id-long               0 3/3/0/0
22-json-half             0 3/3/0/0
22-json-and-more         0 3/3/0/0
22-json-html             0 3/3/0/0
22-json-type             0 2/2/0/0
22-json-empty            0 3/3/0/0
22-json-bom              0 3/3/0/0
22-json-utf16            0 3/3/0/0
23-drip                  0 -/-/0/0
23-stall                 0 -/-/0/0
23-hang                  0 -/-/0/0
24-endless-body          0 3/3/0/0
24-endless-headers       0 3/3/0/0
24-huge-header           0 3/3/0/0
24-gzip-bomb             0 3/3/0/0
25-wrong-certificate     3 0/0/0/0
25-expired-certificate   3 0/0/0/0
25-wrong-name            3 0/0/0/0
25-good-certificate      0 2/2/0/0
26-redirect-301          3 0/0/0/0
26-redirect-302          3 0/0/0/0
26-redirect-307          3 0/0/0/0
26-redirect-308          3 0/0/0/0
27-delete-later          0 2/2/0/0
27-delete-204            0 2/2/0/0
27-delete-404            0 2/2/0/0
27-delete-410            0 2/2/0/0
28-delete-409            4 2/0/0/2
28-delete-403            4 2/0/0/2
29-late-lists            0 3/3/0/0 --provider cloudflare-tenant
31-end-past              1 6/6/0/0
31-end-1970              1 6/6/0/0
31-end-9999              0 -/-/0/0
31-end-no-zone           0 -/-/0/0
31-end-number            0 -/-/0/0
31-end-nonsense          0 -/-/0/0
31-end-missing           0 -/-/0/0
32-work-absurd           3 0/0/0/0 --provider cloudflare-temporary --accept-terms cloudflare-temporary
32-work-heavy            3 0/0/0/0 --provider cloudflare-temporary --accept-terms cloudflare-temporary
32-work-seed             3 0/0/0/0 --provider cloudflare-temporary --accept-terms cloudflare-temporary
33-quota                 3 1/1/0/0
34-quotes-token          3 -/-/0/0
36-misdirected           0 -/-/0/0
36-h2-goaway             0 -/-/0/0
36-h2-refused            0 -/-/0/0
36-h2-reset              0 -/-/0/0
36-h2-informational      0 -/-/0/0
36-h2-misdirected        0 -/-/0/0
'
LONG_CASES='
28-delete-500            4 2/0/0/2
28-delete-hangs          4 2/0/0/2
30-revoke-fails          0 2/2/0/0
30-delete-fails          4 2/0/0/2
36-h2-goaway-for-good    4 -/0/0/-
'

GRAPH=$(graph <<'JSON'
{"mayfly": 1, "name": "case", "limits": {"running": 1}, "tasks": {
  "first": {"command": ["/bin/true"], "account": {"permissions": []}},
  "second": {"command": ["/bin/true"], "account": {"permissions": []}}}}
JSON
)

complain() {
    echo "$name: $*"
    tail -n 5 "$ERR" | cut -c 1-300
    wrong=1
}

# A certificate for 127.0.0.1 of an authority that mayfly is told to trust, and three that must not do.
make_certificates() {
    local key="$1/key.pem"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1/ca-key.pem" -out "$1/ca.pem" -days 1 -subj /CN=authority.test
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$key" -out "$1/wrong.pem" -days 1 -subj /CN=elsewhere.test
    openssl req -new -key "$key" -out "$1/request.pem" -subj /CN=provider.test
    printf 'subjectAltName=IP:127.0.0.1\n' >"$1/good.cnf"
    printf 'subjectAltName=DNS:elsewhere.test\n' >"$1/name.cnf"
    for each in good name; do
        openssl x509 -req -in "$1/request.pem" -CA "$1/ca.pem" -CAkey "$1/ca-key.pem" -CAcreateserial -days 1 -extfile "$1/$each.cnf" -out "$1/$each.pem"
    done
    : >"$1/index"
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s/index\nnew_certs_dir=%s\nserial=%s/serial\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName=IP:127.0.0.1\n' \
        "$1" "$1" "$1" >"$1/ca.cnf"
    openssl ca -batch -config "$1/ca.cnf" -create_serial -cert "$1/ca.pem" -keyfile "$1/ca-key.pem" -in "$1/request.pem" -out "$1/expired.pem" \
        -startdate 20200101000000Z -enddate 20200102000000Z -notext
}

# The certificate of a case; empty for one that speaks plain HTTP.
certificate_of() {
    case $1 in
    25-wrong-certificate) echo wrong.pem ;;
    25-expired-certificate) echo expired.pem ;;
    25-wrong-name) echo name.pem ;;
    25-* | 36-h2-*) echo good.pem ;;
    esac
}

# The emulator of a case: with its certificate where it has one, with its faults where it has some.
start_case() {
    local certificate
    certificate=$(certificate_of "$name")
    set --
    [ -z "$certificate" ] || set -- --tls-cert "$TLS/$certificate" --tls-key "$TLS/key.pem"
    [ ! -e "$FAULTS/$name.json" ] || set -- "$@" --faults "$FAULTS/$name.json"
    start_emulator --pow-k 4 --pow-g 4 "$@"
}

TLS=$CASE_DIR/tls
mkdir "$TLS"
make_certificates "$TLS" >"$TLS/log" 2>&1 || fail "no certificates: $(tail -n 3 "$TLS/log")"
export MAYFLY_CA_FILE=$TLS/ca.pem

# One case in directories of its own; prints what is wrong, and nothing when all is well.
one_case() { # file, exit status, receipt, option...
    local name=$1 wanted=$2 numbers=$3 wrong=0 got
    shift 3
    CASE_DIR=$CASE_DIR/$name # the oracle keeps its patterns there, too
    HELD=$CASE_DIR/held SAID=$CASE_DIR/said MAYFLY_STATE=$CASE_DIR/state XDG_RUNTIME_DIR=$CASE_DIR/rt
    mkdir "$CASE_DIR"
    mkdir -m 0700 "$HELD" "$SAID" "$XDG_RUNTIME_DIR"
    trap 'kill "$EMULATOR_PID" 2>/dev/null || true' EXIT # also when the case breaks off
    start_case
    export MAYFLY_STATE XDG_RUNTIME_DIR CLOUDFLARE_API_BASE_URL=$EMULATOR_URL CASE_TOKEN=$EMULATOR_TOKEN
    case "$*" in
    *tenant*) set -- "$@" --credential cloudflare-tenant=env:CASE_TOKEN ;;
    *provider*) ;;
    *) set -- "$@" --provider emulator ;;
    esac
    mayfly run "$GRAPH" --json "$@"
    [ "$status" = "$wanted" ] || complain "exit status $status, wanted $wanted"
    got=$(receipt '.accounts | "\(.created)/\(.gone)/\(.expiring)/\(.leaked)"')
    # shellcheck disable=SC2254
    case $got in ${numbers//-/*}) ;; *) complain "accounts $got, wanted $numbers" ;; esac
    [ "$(receipt '.accounts | .created == .gone + .expired + .expiring + .claimable + .leaked')" = true ] || complain "the receipt's numbers do not add up: $got"
    [ ! -e "$FAULTS/$name.json" ] || [ "$(curl -sS --unix-socket "$ADMIN_SOCKET" http://emulator/__mayfly/faults | jq "[.rules[].fired] | min > 0")" = true ] ||
        complain "a rule of the script never hit"
    if [ "$wanted" = 4 ]; then # what leaked is really there, and goes when the provider comes to its senses
        curl -sS --unix-socket "$ADMIN_SOCKET" -o /dev/null http://emulator/__mayfly/faults -d '{"rules": []}'
        mayfly teardown last
        [ "$status" = 0 ] || complain "teardown after the fault: exit status $status"
    fi
    oracle_ledger "$LEDGER" gone || complain "the ledger disagrees"
    oracle_canary "$SAID" "$MAYFLY_STATE" || complain "a credential was written down"
    oracle_sanitizers "$SAID" || complain "a sanitizer spoke"
    kill -TERM "$EMULATOR_PID" && wait "$EMULATOR_PID" || complain "the emulator did not end well"
    return $wrong
}

# Most of a case is waiting: eight at a time.
[ -z "${MAYFLY_FULL:-}" ] || CASES=$CASES$LONG_CASES
running=0
while read -r name rest; do
    [ -n "$name" ] || continue
    # shellcheck disable=SC2254
    case $name in ${ONLY:-*}) ;; *) continue ;; esac
    # shellcheck disable=SC2086
    (one_case "$name" $rest >"$CASE_DIR/$name.log" 2>&1 || echo "$name" >>"$FAILED") &
    running=$((running + 1))
    if [ $running -ge 8 ]; then
        wait -n || true
        running=$((running - 1))
    fi
done <<<"$CASES"
wait
if [ -e "$FAILED" ]; then
    while read -r name; do cat "$CASE_DIR/$name.log"; done <"$FAILED" >&2
    fail "$(wc -l <"$FAILED") cases"
fi
for script in "$FAULTS"/*.json; do
    name=$(basename "$script" .json)
    grep -q "^$name " <<<"$CASES$LONG_CASES" || fail "nothing runs $name"
done
finish
