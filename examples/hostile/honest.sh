#!/bin/sh
# honest.sh NAME - deploys one Worker, as its task says.
set -eu
. ./api.sh

deploy "$1"
echo "deployed $1"
