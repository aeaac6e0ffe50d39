#!/bin/sh
# schema.sh SOURCE_DIR BUILD_DIR - the schemas of task graphs and recipes agree with their loaders on tests/data/{graphs,recipes}:
# each takes every good file and refuses every bad one but those in bad/beyond-schema.txt, where more than a schema is needed.
# Needs node and npm; exits 77 (skipped) where ajv cannot be had.
set -eu
source=${1:?usage: schema.sh SOURCE_DIR BUILD_DIR}
build=${2:?usage: schema.sh SOURCE_DIR BUILD_DIR}
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "SKIP: schema.sh needs node and npm"
    exit 77
fi
mkdir -p "$build/ajv"
if [ ! -d "$build/ajv/node_modules/ajv" ] &&
    ! timeout 120 npm install --no-save --no-audit --no-fund --silent --prefix "$build/ajv" ajv@8.17.1 >"$build/ajv/npm.log" 2>&1; then
    echo "SKIP: schema.sh could not install ajv, is the npm registry reachable? (see $build/ajv/npm.log)"
    exit 77
fi
NODE_PATH="$build/ajv/node_modules" exec node "$source/tests/conformance/schema.js" "$source"
