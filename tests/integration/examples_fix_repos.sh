#!/bin/bash
# examples_fix_repos.sh - git workspaces; each agent is refused once, finds the reasons in $MAYFLY_PREVIOUS and succeeds.
set -eu
. "$(dirname "$0")/../lib/case.sh"

"$ROOT/examples/fix-repos/make-repos.sh" "$CASE_DIR/repos" >/dev/null
mayfly run "$ROOT/examples/fix-repos/graph.json" --json --set repos="$CASE_DIR/repos"
expect_status 0
expect_receipt .tasks.succeeded 4
expect_receipt .sandbox.without 0
for name in sum longest slug; do
    mayfly logs last "fix/$name" --attempt 1
    expect_status 0
    expect_said "prompt: The program in this repository"
    mayfly logs last "fix/$name" --attempt 2
    expect_said "the attempt before failed on:"
done
mayfly outputs last gather --to "$CASE_DIR/copy"
expect_status 0
for name in sum longest slug; do
    patch=$(find "$CASE_DIR/copy" -name "$name.patch")
    git -C "$CASE_DIR/repos/$name" apply --check "$patch" || fail "the patch of $name does not apply"
done
finish
