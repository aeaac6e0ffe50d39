#!/bin/bash
# collect.sh - what is collected, what is refused, limits, retained workspaces; also after failure.
set -eu
. "$(dirname "$0")/../lib/case.sh"

agent leave.sh <<'SH'
#!/bin/sh
# leave.sh - leaves good files and bad ones.
set -eu
mkdir -p dist/deep
echo one >dist/one.txt
echo two >dist/deep/two.txt
echo no >other.txt
ln -s /etc/passwd dist/link
ln dist/one.txt dist/hard
mkfifo dist/pipe
exit "$1"
SH
file=$(graph <<'JSON'
{"mayfly": 1, "name": "collect",
 "tasks": {
   "good": {"files": ["leave.sh"], "command": ["./leave.sh", "0"], "collect": ["dist/**"]},
   "bad": {"files": ["leave.sh"], "command": ["./leave.sh", "1"], "collect": ["dist/**"], "retain": "on_failure"},
   "result": {"command": ["sh", "-c", "echo '{\"a\": 1, \"a\": 2}' >\"$MAYFLY_RESULT\""]},
   "huge": {"command": ["sh", "-c", "head -c 1100000 /dev/zero | tr '\\0' 1 >\"$MAYFLY_RESULT\""]},
   "linked": {"command": ["sh", "-c", "ln -s /etc/hostname \"$MAYFLY_RESULT\""]} } }
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt .tasks.succeeded 1
expect_receipt .tasks.failed 4
for task in good bad; do
    rm -rf "$CASE_DIR/copy"
    mayfly outputs last $task --to "$CASE_DIR/copy"
    expect_status 0
    [ "$(cat "$(find "$CASE_DIR/copy" -name two.txt)")" = two ] || fail "$task: a file in a directory was not collected"
    [ -z "$(find "$CASE_DIR/copy" \( -name other.txt -o -name link -o -name pipe \))" ] || fail "$task: something was collected that should not be"
    [ -z "$(find "$CASE_DIR/copy" ! -type f ! -type d)" ] || fail "$task: something that is no regular file was collected"
done
run=$(basename "$MAYFLY_STATE"/runs/*)
[ -n "$(find "$MAYFLY_STATE/runs/$run/bad" -name other.txt)" ] || fail "the workspace of the failed task was not retained"
[ -z "$(find "$MAYFLY_STATE/runs/$run/good" -name other.txt)" ] || fail "the workspace of the good task was retained"
finish
