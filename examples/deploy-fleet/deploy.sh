#!/bin/sh
# deploy.sh NAME TITLE - the agent: makes a Worker from the template and deploys it into the account that was made for it.
set -eu
. ./api.sh

name=$1
title=$2

mkdir -p dist
sed "s/@TITLE@/$title/" template/worker.js >dist/worker.js
printf '{"main_module": "worker.js", "compatibility_date": "2026-01-01"}' >metadata.json

api PUT "/workers/scripts/$name" -F 'metadata=<metadata.json' -F 'worker.js=@dist/worker.js;type=application/javascript+module' >answer.json
api POST "/workers/scripts/$name/subdomain" -H 'Content-Type: application/json' -d '{"enabled": true}' >>answer.json

echo "deployed $name into account $CLOUDFLARE_ACCOUNT_ID"
printf '{"name": "%s", "account": "%s"}\n' "$name" "$CLOUDFLARE_ACCOUNT_ID" >"$MAYFLY_RESULT"
