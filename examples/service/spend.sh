#!/bin/sh
# spend.sh MODEL - asks for a million tokens with a budget for a few.
set -eu

printf 'x-api-key: %s\nanthropic-version: 2023-06-01\n' "$ANTHROPIC_API_KEY" |
    curl -sS -w '\nstatus %{http_code}\n' -H @- -H 'content-type: application/json' "$ANTHROPIC_BASE_URL/v1/messages" \
        -d "{\"model\": \"$1\", \"max_tokens\": 1000000, \"messages\": [{\"role\": \"user\", \"content\": \"Tell me everything.\"}]}"
sleep 30
