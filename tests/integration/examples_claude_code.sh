#!/bin/bash
# examples_claude_code.sh - the graph for a real coding agent, with its stand-in; the model's key reaches neither agent nor log.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
export ANTHROPIC_API_KEY=${CANARY}-model-key-0123456789
mayfly plan "$ROOT/examples/claude-code/graph.json" --set agent=./stand-in
expect_status 0
expect_said 'uses anthropic'
mayfly run "$ROOT/examples/claude-code/graph.json" --json --set agent=./stand-in
expect_status 0
expect_receipt .tasks.succeeded 2
expect_receipt .sandbox.without 0
expect_receipt .accounts.gone 2
mayfly outputs last build/greeter --to "$CASE_DIR/copy"
grep -rqF "good morning" "$CASE_DIR/copy" || fail "worker.js was not collected"
finish
