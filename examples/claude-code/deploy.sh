#!/bin/sh
# deploy.sh - deploys worker.js of the working directory under this task's name, into the account that was made for the agent.
set -eu
. ./api.sh

printf '{"main_module": "worker.js", "compatibility_date": "2026-01-01"}' >metadata.json
api PUT "/workers/scripts/$WORKER_NAME" -F 'metadata=<metadata.json' -F 'worker.js=@worker.js;type=application/javascript+module'
