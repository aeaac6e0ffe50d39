#!/bin/sh
# fix.sh NAME - stands in for a coding agent. It reads its prompt on stdin, repairs what is plain to see, and on a second
# attempt reads why the first one was refused and repairs that too.
set -eu

sed 's/^/prompt: /'

case $1 in
    sum) sed -i 's/total - number/total + number/' tool.sh ;;
    longest) sed -i 's/ -lt / -gt /' tool.sh ;;
    slug) sed -i "s/'a-z_'/'a-z-'/" tool.sh ;;
esac

if [ -n "${MAYFLY_PREVIOUS:-}" ]; then
    echo "the attempt before failed on:"
    grep -rh '^case ' "$MAYFLY_PREVIOUS"
    case $1 in
        sum) sed -i 's/^    total=/    while [ "${number#0?}" != "$number" ]; do number=${number#0}; done\n&/' tool.sh ;;
        longest) sed -i 's/^longest=$1/longest=${1:-}/' tool.sh ;;
        slug) sed -i "/^echo/s/$/ | tr -s -/" tool.sh ;;
    esac
fi

git diff >fix.patch
echo "changed: $(git diff --stat | tail -n 1)"
