#!/bin/bash
# secrets_places.sh - where a real token may never stand: command lines, environments, logs, the database and its write-ahead log,
# results, reports, temporary files. Agents give away all that they can find, while every process of the run is watched from
# outside; the agents' own tokens (mfy_...) are looked for as well.
set -eu
. "$(dirname "$0")/../lib/case.sh"
. "$(dirname "$0")/../lib/secrets.sh"

needs_root
build_watch
start_emulator
credential_file
agent loud.sh <<'SH'
#!/bin/sh
# loud.sh - gives away everything that it can read, on both outputs, in its result and in a file that is collected.
{
    env
    pid=$$
    while [ "${pid:-0}" -gt 1 ]; do # itself, the spawner, the runner, the orchestrator
        cat "/proc/$pid/environ" "/proc/$pid/cmdline"
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    done
    echo "$MAYFLY_ACCOUNTS"
    head -c 65536 "$STATE_OF_THE_RUN"/runs/*/run.db* "$STATE_OF_THE_RUN"/runs/*/secrets/* "$STATE_OF_THE_RUN"/key
    echo "Authorization: Bearer $CLOUDFLARE_API_TOKEN" |
        curl -sS -v -H @- "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/workers/scripts"
    curl -sS "$CLOUDFLARE_API_BASE_URL/user?token=$CLOUDFLARE_API_TOKEN"
    curl -sS -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_API_TOKEN"
} 2>&1 | tr -d '\000' >all
cat all
cat all >&2
base64 -w0 all
rev all
jq -Rs '{all: .}' all >"$MAYFLY_RESULT" 2>/dev/null || true
sleep 0.3
exit "${1:-0}"
SH
file=$(graph <<JSON
{"mayfly": 1, "name": "loud", "provider": "emulator", "defaults": {"timeout": "1m", "attempts": 2},
 "tasks": {
   "loud": {"for_each": [0, 0, 3], "files": ["loud.sh"], "setup": {"command": ["env"]}, "command": ["./loud.sh", "{{item}}"],
            "env": {"STATE_OF_THE_RUN": "$MAYFLY_STATE"}, "account": {"permissions": ["workers_scripts:read"]},
            "verify": {"files": ["loud.sh"], "command": ["./loud.sh"], "permissions": ["workers_scripts:read"]}},
   "alone": {"files": ["loud.sh"], "command": ["./loud.sh"], "env": {"STATE_OF_THE_RUN": "$MAYFLY_STATE"}} } }
JSON
)

# Files are looked at while the run writes them: what a checkpoint or the end takes away was still on the disk.
watch_files() {
    while [ ! -e "$CASE_DIR/stop" ]; do
        grep -rlaF -f "$MARK" "$MAYFLY_STATE" "$XDG_RUNTIME_DIR" "$TMPDIR" "$HOME" /dev/shm 2>/dev/null || true
        sleep 0.02
    done >"$CASE_DIR/files"
}
umask 0 # what is private is so by itself
mayfly_start run "$file" --json --junit "$SAID/report.xml" --credential "emulator=file:$CREDENTIAL"
umask 077
"$WATCH" tree "$PID" "$CASE_DIR/stop" <"$MARK" >"$CASE_DIR/tree" &
watcher=$!
watch_files &
files=$!
STARTED_PIDS+=("$watcher" "$files")
mayfly_wait
expect_status 1 "one of the agents fails"
: >"$CASE_DIR/stop"
wait "$watcher" || true
wait "$files"

# Command lines and environments of the orchestrator, the runner, the spawner, and all agents.
said=$(grep -v '^samples ' "$CASE_DIR/tree" || true)
[ -z "$said" ] || fail "a token stood in: $said"
read -r _ samples _ processes <"$CASE_DIR/tree"
[ "$samples" -ge 100 ] && [ "$processes" -ge 4 ] || fail "only $samples samples of at most $processes processes"
[ ! -s "$CASE_DIR/files" ] || fail "a token stood for a while in: $(sort -u "$CASE_DIR/files")"

# What people look at afterwards.
for command in "show last" "show last --json" "logs last" "logs last loud/0" "events last --json" "accounts last --json" "ps --json" \
    "audit last" "audit last --json" "audit last --csv" "audit last --certificate" "audit last --patch --with-refused" doctor; do
    # shellcheck disable=SC2086
    mayfly $command
done

# A copy of the database, what sqlite3 brings back of it, its text.
db=$(echo "$MAYFLY_STATE"/runs/*/run.db)
sqlite3 "$db" ".backup $SAID/backup.db" 2>/dev/null || true
sqlite3 "$SAID/backup.db" .dump >"$SAID/dump.sql"
sqlite3 "$SAID/backup.db" .recover >"$SAID/recovered.sql" 2>/dev/null || true
[ -s "$SAID/dump.sql" ] || fail "the database has no text"

# The tokens that agents had are kept nowhere either, but in their results, which are theirs and which nobody reads before they die.
found=$(grep -rlaE --exclude-dir=results 'mfy_[A-Za-z0-9_-]{43}' "$SAID" "$MAYFLY_STATE" || true)
[ -z "$found" ] || fail "an agent's token stands in: $found"

# Everything is for its owner alone.
found=$(find "$MAYFLY_STATE" "$XDG_RUNTIME_DIR" "$TMPDIR" -perm /077 -not -type l -not -path '*/outputs/*' 2>/dev/null | head -n 5)
[ -z "$found" ] || fail "others may read or write: $found"
finish
