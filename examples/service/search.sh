#!/bin/sh
# search.sh - looks for the model's key wherever an agent can look; fails when it finds one that is not mayfly's token.
set -u # no -e: to find nothing is the point

case $ANTHROPIC_API_KEY in
    mfy_*) echo "what I hold is a token of mayfly's: $(printf %.8s "$ANTHROPIC_API_KEY")..." ;;
    *) exit 1 ;;
esac
case $ANTHROPIC_BASE_URL in
    http://127.0.0.1:*) echo "and I am sent to $ANTHROPIC_BASE_URL" ;;
    *) exit 1 ;;
esac
{
    env
    cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'
    cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n'
} >seen
found=$(grep -E 'API_KEY=.|sk-[a-z]+-[0-9A-Za-z_-]{8}' seen | grep -v 'API_KEY=mfy_' || true)
[ -z "$found" ] || {
    echo "found: $found"
    exit 1
}
# What the provider says about who we are comes through; the key that it answers to does not.
printf 'x-api-key: %s\nanthropic-version: 2023-06-01\n' "$ANTHROPIC_API_KEY" | curl -sS -i -H @- "$ANTHROPIC_BASE_URL/v1/models" >answer
grep -i 'sk-' answer && exit 1
# And what its administrators may do, we may not.
status=$(printf 'x-api-key: %s\nanthropic-version: 2023-06-01\n' "$ANTHROPIC_API_KEY" |
    curl -sS -o /dev/null -w '%{http_code}' -H @- "$ANTHROPIC_BASE_URL/v1/organizations/api_keys")
[ "$status" = 403 ]
echo "no key, anywhere"
