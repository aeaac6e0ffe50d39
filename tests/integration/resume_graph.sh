#!/bin/bash
# resume_graph.sh - a changed graph for an existing run: what is the same is not run again, whatever its place in the file; what changed in
# definition, named file, parameter or list is, with what depends on it; what the run cannot take is refused by name.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
for name in plain each; do
    agent $name.sh <<SH
#!/bin/sh
# notes that it ran, and fails while the file \`fail-NAME\` is there
set -eu
echo "\$1" >>"$CASE_DIR/ran"
[ ! -e "$CASE_DIR/fail-\$1" ]
printf '"%s"' "\$1" >"\$MAYFLY_RESULT"
SH
done
declare -A task
task[a]='{"files": ["plain.sh"], "command": ["./plain.sh", "a"], "account": {"permissions": []}}'
task[b]='{"needs": ["a"], "files": ["plain.sh"], "command": ["./plain.sh", "b", "{{params.word}}"]}'
task[each]='{"needs": ["a"], "for_each": ["x", "y", "x"], "files": ["each.sh"], "command": ["./each.sh", "{{item}}"], "account": {"permissions": []}}'
task[last]='{"needs": ["b", "each"], "files": ["plain.sh"], "command": ["./plain.sh", "last"]}'
word=one
write() { # tasks in their order: the graph's path in $file
    local name text=
    for name in "$@"; do
        text="$text${text:+, }\"$name\": ${task[$name]}"
    done
    file=$(graph <<<"{\"mayfly\": 1, \"name\": \"revised\", \"provider\": \"emulator\", \"defaults\": {\"sandbox\": false}, \"params\": {\"word\": \"$word\"}, \"tasks\": {$text}}")
}
again() { # what ran since, sorted, in one line
    sort "$CASE_DIR/ran" | tr '\n' ' ' | sed 's/ $//'
}
resume() { # wanted exit status, what must have run
    : >"$CASE_DIR/ran"
    mayfly resume last "$file" --json
    expect_status "$1" "$2"
    [ "$(again)" = "$2" ] || fail "ran again: $(again); wanted: $2"
    expect_receipt '.accounts | .created == .gone' true
}
revisions() {
    sqlite3 "file:$MAYFLY_STATE/runs/$run/run.db?mode=ro" 'SELECT count(*) FROM graph'
}

: >"$CASE_DIR/ran"
: >"$CASE_DIR/fail-last"
write a b each last
mayfly run "$file" --json
expect_status 1 "last fails"
run=$(run_id)
[ "$(again)" = "a b last x x y" ] || fail "the run itself ran: $(again)"

resume 1 "last"
rm "$CASE_DIR/fail-last"
task[b]='{"timeout": "99s", "description": "other words", "command": ["./plain.sh", "b", "{{params.word}}"], "files": ["plain.sh"], "needs": ["a"]}'
write last each b a
resume 0 "last"
resume 0 ""
[ "$(revisions)" = 4 ] || fail "$(revisions) revisions of the graph, wanted 4"

# a definition, a parameter, a file, a list
task[b]='{"needs": ["a"], "files": ["plain.sh"], "command": ["./plain.sh", "b", "{{params.word}}"], "env": {"NEW": "1"}}'
write each b a last
resume 0 "b last"
word=two
write a b each last
resume 0 "b last"
echo '# another line' >>"$CASE_DIR/graph/each.sh"
resume 0 "last x x y"
task[each]='{"needs": ["a"], "for_each": ["x", "z"], "files": ["each.sh"], "command": ["./each.sh", "{{item}}"], "account": {"permissions": []}}'
write a b each last
resume 0 "last x z"
expect_receipt .tasks.succeeded 5
resume 0 ""

# the first of all: everything behind it
task[a]='{"files": ["plain.sh"], "command": ["./plain.sh", "a", "once more"], "account": {"permissions": []}}'
write a b each last
resume 0 "a b last x z"

# a later resume without a file, and the commands that look, stand on the last revision
: >"$CASE_DIR/ran"
mayfly resume last --json
expect_status 0
[ "$(again)" = "" ] || fail "a plain resume ran: $(again)"
mayfly show last
expect_status 0
mayfly accounts last --json
expect_status 0
mayfly rerun last b --json
expect_status 0

# what needs a run of its own is refused by name, and nothing is changed or sent
before=$(revisions)
refused() { # what is said
    mayfly resume last "$file" --json
    expect_status 2 "$1"
    expect_said "$1"
    [ "$(revisions)" = "$before" ] || fail "a refused graph was kept"
}
task[new]='{"command": ["true"]}'
write a b each last new
refused 'task `new`: the run has no such task'
write a b each
refused 'task `last`: the graph has it no more'
task[b]='{"needs": ["a"], "command": ["true"], "account": {"permissions": []}}'
write a b each last
refused 'task `b`: it has another number of accounts than in the run'
task[b]='{"needs": ["a"], "for_each": [1], "command": ["true"]}'
write a b each last
refused 'task `b`: it has `for_each` in one of both only'
task[b]='{"needs": ["a", "last"], "command": ["true"]}'
write a b each last
refused 'cycle'
finish
