#!/bin/sh
# check.sh SERVICE VERSION - verify: is that version there?
set -eu
. ./api.sh

api GET "/workers/scripts/$1" | grep -qF "version: \"$2\""
