#!/bin/sh
# check.sh NAME TITLE - verify: reads the Worker back with a token of its own. What the agent says about itself does not count.
set -eu
. ./api.sh

api GET "/workers/scripts/$1" >live
grep -qF "$2" live
api GET "/workers/scripts/$1/subdomain" | grep -q '"enabled": *true'
echo "$1 is live and says: $2"
