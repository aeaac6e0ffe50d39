#!/bin/bash
# canary.sh - a token never shows: agents print it in every way they can think of, requests fail with it, the run is watched from
# outside all the time; every token holds MFYCANARY, and the oracle looks for it everywhere.
set -eu
. "$(dirname "$0")/../lib/case.sh"

cat >"$CASE_DIR/faults.json" <<'JSON'
{"seed": 3, "rules": [
  {"path": "/**", "probability": 0.05, "action": "status", "status": 500},
  {"path": "/**", "probability": 0.05, "action": "truncate"},
  {"path": "/**", "probability": 0.05, "action": "garbage"}
]}
JSON
start_emulator --faults "$CASE_DIR/faults.json"
agent loud.sh <<'SH'
#!/bin/sh
# loud.sh - prints its credential on both outputs: as it is, encoded, cut over two writes, in the result and in a file.
env
echo "$CLOUDFLARE_API_TOKEN" >&2
printf '%s' "$CLOUDFLARE_API_TOKEN" | base64 -w0
echo
printf '%s' "$CLOUDFLARE_API_TOKEN" | od -An -v -tx1 | tr -d ' \n' >/dev/null
half=$((${#CLOUDFLARE_API_TOKEN} / 2))
printf '%s' "$CLOUDFLARE_API_TOKEN" | cut -c "1-$half" | tr -d '\n'
sleep 0.2
printf '%s' "$CLOUDFLARE_API_TOKEN" | cut -c "$((half + 1))-"
echo "Authorization: Bearer $CLOUDFLARE_API_TOKEN" | curl -sS -v -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID" >/dev/null
exit "$1"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "canary", "provider": "emulator", "defaults": {"attempts": 2, "timeout": "1m"},
 "tasks": {
   "loud": {"for_each": [0, 0, 0, 1], "files": ["loud.sh"], "command": ["./loud.sh", "{{item}}"],
            "account": {"permissions": ["workers_scripts:write"]},
            "verify": {"command": ["env"], "permissions": ["workers_scripts:read"]}},
   "passed": {"command": ["sh", "-c", "echo $SECRET_OF_MINE; echo $SECRET_OF_MINE >&2"], "pass_env": ["SECRET_OF_MINE"]} } }
JSON
)
export SECRET_OF_MINE=${CANARY}-of-my-own-0123456789
canary_watch "$CASE_DIR/stop" "$CASE_DIR/watched" &
watcher=$!
STARTED_PIDS+=("$watcher")
mayfly run "$file" --json --junit "$SAID/report.xml"
: >"$CASE_DIR/stop"
wait "$watcher"
case $status in 1 | 3) ;; *) fail "exit status $status: one of the agents fails" ;; esac
[ ! -s "$CASE_DIR/watched" ] || fail "a token stood in a command line"

# What people look at afterwards.
for command in "show last" "show last --json" "logs last" "events last" "events last --json" "accounts last" "accounts last --json" "outputs last loud/0" "ps --json" doctor; do
    # shellcheck disable=SC2086
    mayfly $command
done
mayfly logs last passed
expect_status 0
[ -s "$OUT" ] || fail "the redactor ate the whole log"
finish
