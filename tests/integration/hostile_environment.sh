#!/bin/bash
# hostile_environment.sh - what others may have put into the environment changes nothing: no proxy, no key log, no configuration of a library, no
# locale, no HOME, no TMPDIR; and an agent gets none of it.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent show.sh <<'SH'
#!/bin/sh
env >seen
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "hostile", "provider": "emulator",
 "tasks": {"show": {"files": ["show.sh"], "command": ["./show.sh"], "collect": ["seen"], "timeout": "1m30s", "account": {"permissions": []}}}}
JSON
)
cat >"$CASE_DIR/curlrc" <<'RC'
proxy = "http://127.0.0.1:1"
RC
cp "$CASE_DIR/curlrc" "$HOME/.curlrc"
printf 'machine 127.0.0.1 login me password %s\n' not-a-secret >"$HOME/.netrc"
printf 'openssl_conf = nothing\n[nothing]\nengines = none\n' >"$CASE_DIR/openssl.cnf"
hostile=(http_proxy=http://127.0.0.1:1 HTTP_PROXY=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 ALL_PROXY=socks5://127.0.0.1:1 all_proxy=socks5://127.0.0.1:1
    "SSLKEYLOGFILE=$CASE_DIR/keys" "CURL_HOME=$CASE_DIR" "OPENSSL_CONF=$CASE_DIR/openssl.cnf" "SSL_CERT_FILE=$CASE_DIR/curlrc" SSL_CERT_DIR=/nonexistent
    "NETRC=$HOME/.netrc" "LD_LIBRARY_PATH=$CASE_DIR" TMPDIR=/nonexistent LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 LC_NUMERIC=de_DE.UTF-8
    MALLOC_PERTURB_=42 RES_OPTIONS=nonsense HOSTALIASES=/dev/zero LOCALDOMAIN=example.com GCONV_PATH=/nonexistent "SQLITE_TMPDIR=/nonexistent"
    BASH_ENV=/nonexistent ENV=/nonexistent PATH="$PATH" MAYFLY_SPAWN=forged MAYFLY_RUN=forged MAYFLY_RESULT=/nonexistent COLUMNS=0 TERM=nonsense TZ=:/dev/zero)
calls=$((calls + 1))
OUT=$SAID/$calls.out
ERR=$SAID/$calls.err
status=0
env -u HOME "${hostile[@]}" "$MAYFLY_BIN" run "$file" --json >"$OUT" 2>"$ERR" </dev/null || status=$?
expect_status 0
expect_receipt '.accounts | .created == 1 and .gone == 1' true
[ ! -e "$CASE_DIR/keys" ] || fail "TLS keys were written down"
seen=$(find "$MAYFLY_STATE/runs/$(run_id)/show" -path '*outputs*' -name seen)
[ -s "$seen" ] || fail "the agent's environment was not collected"
for variable in "${hostile[@]}"; do
    case ${variable%%=*} in
    PATH | LANG | TERM) continue ;; # it has ones of its own
    esac
    ! grep -qxF -- "$variable" "$seen" || fail "the agent got $variable"
done
grep -qx 'MAYFLY_TASK=show' "$seen" || fail "the agent did not get its own variables"

# An environment that is not there at all: the state directory has to be named then.
status=0
env -i MAYFLY_EMULATOR_URL="$MAYFLY_EMULATOR_URL" MAYFLY_EMULATOR_TOKEN="$MAYFLY_EMULATOR_TOKEN" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" "$MAYFLY_BIN" run "$file" --json --state "$MAYFLY_STATE" \
    >"$OUT" 2>"$ERR" </dev/null || status=$?
expect_status 0 "an empty environment"
finish
