#!/bin/sh
# check.sh NAME - verify: is it there?
set -eu
. ./api.sh

api GET "/workers/scripts/$1" | grep -qF "$1"
