#!/bin/sh
# check.sh LINE - verify: does the script print the line?
set -eu

[ "$("$MAYFLY_SUBJECT/workspace/greet.sh")" = "$1" ]
echo "greet.sh says: $1"
