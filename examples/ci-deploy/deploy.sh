#!/bin/sh
# deploy.sh SERVICE VERSION - deploys one service with a token that may write this one Worker and lives as long as this script.
set -eu
. ./api.sh

sed "s/@SERVICE@/$1/; s/@VERSION@/$2/" worker.js >built.js
printf '{"main_module": "worker.js", "compatibility_date": "2026-01-01"}' >metadata.json
api PUT "/workers/scripts/$1" -F 'metadata=<metadata.json' -F 'worker.js=@built.js;filename=worker.js;type=application/javascript+module' >answer.json
echo "$1 is at $2"
