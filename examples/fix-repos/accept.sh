#!/bin/sh
# accept.sh NAME - verify: runs cases that the agent has not seen on the repaired program. What it prints is what the next
# attempt finds under $MAYFLY_PREVIOUS.
set -eu

tool=$MAYFLY_SUBJECT/workspace/tool.sh
failed=0
try() { # expected output, then the arguments
    expected=$1
    shift
    got=$(sh "$tool" "$@" 2>/dev/null) || got="exit status $?"
    if [ "$got" != "$expected" ]; then
        echo "case '$*': expected '$expected', got '$got'"
        failed=1
    fi
}

case $1 in
    sum)
        try 6 1 2 3
        try 9 08 1
        ;;
    longest)
        try three one two three
        try ""
        ;;
    slug)
        try hello-world Hello World
        try a-b "A  B"
        ;;
esac
exit $failed
