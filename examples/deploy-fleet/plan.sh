#!/bin/sh
# plan.sh "NAME NAME ..." - the planner: says which sites are to be deployed; each becomes one agent with its own account.
set -eu

list=
# The argument is a list of words on purpose.
for name in $1; do
    list="$list${list:+, }{\"name\": \"$name\", \"title\": \"Welcome to $name\"}"
    echo "planned: $name"
done
printf '{"sites": [%s]}\n' "$list" >"$MAYFLY_RESULT"
