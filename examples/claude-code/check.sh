#!/bin/sh
# check.sh NAME WISH - verify: the Worker is deployed and answers what was wished for.
set -eu
. ./api.sh

api GET "/workers/scripts/$1" | grep -qF "$2"
