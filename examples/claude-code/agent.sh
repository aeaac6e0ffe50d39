#!/bin/sh
# agent.sh PROGRAM - runs a coding agent in print mode: the prompt comes on stdin, the answer goes to the log as JSON.
#
# A program name may not be a parameter in a task graph, an argument may: so this script is the command, and PROGRAM its argument.
set -eu

"$1" --print --output-format json --permission-mode acceptEdits --allowedTools 'Read,Edit,Write,Bash(./deploy.sh:*)' --max-turns 30 >answer.json
cat answer.json
