#!/bin/bash
# retry.sh - attempts, classes, back-off, a new account for each attempt, the workspace fresh or kept, and what the next one knows.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent second.sh <<'SH'
#!/bin/sh
# second.sh - fails on the first attempt and leaves things behind; tells on the second what it found of them.
set -eu
if [ "$MAYFLY_ATTEMPT" = 1 ]; then
    [ -z "${MAYFLY_PREVIOUS:-}" ] || echo "the first attempt has a previous one"
    mkdir -p out
    echo "left by the first, account $CLOUDFLARE_ACCOUNT_ID" | tee out/note kept
    exit 1
fi
[ ! -e kept ] || echo "workspace: kept"
grep -rqs "left by the first" "$MAYFLY_PREVIOUS" && echo "previous: found"
grep -rqsF "$CLOUDFLARE_ACCOUNT_ID" "$MAYFLY_PREVIOUS" && echo "the account is the same"
exit 0
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "retry", "provider": "emulator",
 "tasks": {
   "fresh": {"files": ["second.sh"], "command": ["./second.sh"], "attempts": 3, "collect": ["out/**"], "account": {"permissions": []}},
   "continue": {"files": ["second.sh"], "command": ["./second.sh"], "attempts": 3, "collect": ["out/**"], "account": {"permissions": []}, "retry": {"workspace": "continue"}},
   "never": {"command": ["false"], "attempts": 3, "retry": {"on": ["timeout"]}},
   "always": {"command": ["false"], "attempts": 3},
   "busy": {"command": ["sh", "-c", "[ $MAYFLY_ATTEMPT -ge 2 ] || exit 75"]} } }
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt .tasks.succeeded 3
expect_receipt .tasks.failed 2
expect_receipt .accounts.created 4
expect_receipt .accounts.gone 4
attempts() {
    events ".type == \"task.spawn\" and .task == \"$1\"" | wc -l
}
for pair in fresh:2 continue:2 never:1 always:3 busy:2; do
    [ "$(attempts "${pair%:*}")" = "${pair#*:}" ] || fail "${pair%:*} ran $(attempts "${pair%:*}") times, wanted ${pair#*:}"
done
for task in fresh continue; do
    mayfly logs last $task --attempt 2
    expect_said "previous: found"
    grep -q "account is the same" "$OUT" && fail "an account was used twice"
    if [ $task = continue ]; then
        expect_said "workspace: kept"
    else
        grep -q "workspace: kept" "$OUT" && fail "a fresh workspace was not"
    fi
done
finish
