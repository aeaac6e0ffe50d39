#!/bin/bash
# group_again.sh - an agent whose leftovers were killed leaves its place to the next one, which must live: a kernel may kill
# everything that is cloned into a group that was killed once.
set -eu
. "$(dirname "$0")/../lib/case.sh"

file=$(graph <<'JSON'
{"mayfly": 1, "name": "again", "limits": {"running": 1},
 "tasks": {"leave": {"for_each": [1, 2, 3, 4, 5, 6], "command": ["sh", "-c", "sleep 300 & sleep 301 & exit 0"]},
           "killed": {"for_each": [1, 2], "timeout": "1s", "command": ["sh", "-c", "trap '' TERM; sleep 300; sleep 300"], "allow_failure": true},
           "after": {"needs": [{"task": "killed", "on": "ended"}, "leave"], "for_each": [1, 2, 3], "command": ["sh", "-c", "sleep 0.01 | cat"]}},
 "defaults": {"grace": "200ms"}}
JSON
)
mayfly run "$file" --json
expect_status 0
expect_receipt .tasks.succeeded 9
expect_receipt .tasks.timed_out 2
finish
