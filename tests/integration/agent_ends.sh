#!/bin/bash
# agent_ends.sh - agents that end by each signal, with each kind of exit status, that cannot be executed, and that leave hostile result files: the cause is
# told exactly, what they left is refused by name, and every account goes.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
has() { # jq condition: an event of the last call
    [ -n "$(events "$1")" ]
}
signals="1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 19 20 21 22 23 24 25 26 27 28 29 30 31" # not 17 and 18: nobody ends of them
agent die.sh <<'SH'
#!/bin/sh
# die.sh SIGNAL - by its own hand; a stop is a hang, ended by the deadline
ulimit -c 0
kill -"$1" $$
case $1 in
19 | 20 | 21 | 22) sleep 300 ;; # stopped, or ignored without a terminal
esac
exit 99
SH
list=
for signal in $signals; do
    list="$list${list:+, }\"$signal\""
done
file=$(graph <<JSON
{"mayfly": 1, "name": "signals", "provider": "emulator", "limits": {"running": 16}, "defaults": {"grace": "1s"},
 "tasks": {"die": {"for_each": [$list], "key": "{{item}}", "files": ["die.sh"], "command": ["./die.sh", "{{item}}"], "timeout": "4s", "account": {"permissions": []}}}}
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt '.accounts | .created == .gone' true
for signal in $signals; do
    exited=$(jq -c "select(.type == \"task.exited\" and .task == \"die/$signal\") | [.code, .signal]" "$OUT" | tail -n 1)
    case $signal in
    19 | 20 | 21 | 22)
        has ".type == \"task.timed_out\" and .task == \"die/$signal\"" || fail "signal $signal: it did not end at its deadline ($exited)"
        ;;
    23 | 28) [ "$exited" = "[99,0]" ] || fail "signal $signal: $exited, though nobody ends of it" ;;
    *) [ "$(echo "$exited" | jq '.[1]')" = "$signal" ] || [ "$exited" = "[$((128 + signal)),0]" ] || fail "signal $signal: told as $exited" ;;
    esac
done

# exit statuses, and what cannot be executed
printf '#!/no/such/interpreter\n' | agent interpreter.sh
printf '\177ELFnonsense' | agent nonsense
printf '#!/bin/sh\n' >"$CASE_DIR/graph/plain.sh" # not executable
file=$(graph exits.json <<'JSON'
{"mayfly": 1, "name": "exits", "provider": "emulator", "limits": {"running": 16},
 "tasks": {"e255": {"command": ["sh", "-c", "exit 255"], "account": {"permissions": []}},
           "e1": {"command": ["sh", "-c", "exit 1"]},
           "e127": {"command": ["sh", "-c", "exit 127"]},
           "missing": {"command": ["./not-there"], "account": {"permissions": []}},
           "interpreter": {"files": ["interpreter.sh"], "command": ["./interpreter.sh"]},
           "nonsense": {"files": ["nonsense"], "command": ["./nonsense"]},
           "plain": {"files": ["plain.sh"], "command": ["./plain.sh"]},
           "directory": {"command": ["/tmp"]}}}
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt .tasks.failed 8
expect_receipt '.accounts | .created == .gone' true
for name in e255 e1 e127; do
    [ "$(jq -r "select(.type == \"task.exited\" and .task == \"$name\") | .code" "$OUT")" = "${name#e}" ] || fail "$name: its status is not told"
done
for name in missing interpreter nonsense plain directory; do
    has ".type == \"task.failed\" and .task == \"$name\" and .class == \"agent\" and (.reason | length) > 0" ||
        fail "$name: $(jq -c "select(.type == \"task.failed\" and .task == \"$name\")" "$OUT")"
done

# --- results and outputs ---

echo "$CANARY" >"$CASE_DIR/secret"
agent leave.sh <<SH
#!/bin/sh
# leave.sh WHAT - as the result, or among the outputs
set -eu
mkdir -p out
case \$1 in
link) ln -s "$CASE_DIR/secret" "\$MAYFLY_RESULT" ;;
hard) ln "$CASE_DIR/secret" "\$MAYFLY_RESULT" 2>/dev/null || ln -s "$CASE_DIR/secret" "\$MAYFLY_RESULT" ;;
fifo) mkfifo "\$MAYFLY_RESULT" ;;
directory) mkdir "\$MAYFLY_RESULT" ;;
sparse) truncate -s 1T "\$MAYFLY_RESULT" ;;
nojson) echo '{"a": }' >"\$MAYFLY_RESULT" ;;
twice) echo '{"a": 1, "a": 2}' >"\$MAYFLY_RESULT" ;;
deep) head -c 100000 /dev/zero | tr '\0' '[' >"\$MAYFLY_RESULT" ;;
outputs)
    echo fine >out/fine
    ln -s "$CASE_DIR/secret" out/link
    mkfifo out/fifo
    truncate -s 1T out/sparse 2>/dev/null || true
    ;;
names)
    echo fine >out/fine
    printf x >"out/new
line"
    printf x >"\$(printf 'out/\377\376')"
    mkdir -p out/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z
    echo deep >out/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/file
    ;;
growing) (while :; do echo x >>out/grows; done) & sleep 0.2 ;;
esac
SH
what="link hard fifo directory sparse nojson twice deep outputs names growing"
list=
for name in $what; do
    list="$list${list:+, }\"$name\""
done
file=$(graph leave.json <<JSON
{"mayfly": 1, "name": "leave", "provider": "emulator", "limits": {"running": 8},
 "tasks": {"leave": {"for_each": [$list], "key": "{{item}}", "files": ["leave.sh"], "command": ["./leave.sh", "{{item}}"], "collect": ["out/**"], "timeout": "60s",
                     "account": {"permissions": []}}}}
JSON
)
mayfly run "$file" --json
expect_status 1
expect_receipt '.accounts | .created == .gone' true
for name in link hard fifo directory sparse nojson twice deep; do
    has ".type == \"task.failed\" and .task == \"leave/$name\" and (.reason | length) > 0" || fail "a result that is a $name was taken"
done
outputs=$(find "$MAYFLY_STATE/runs/$(run_id)/leave" -path '*/outputs/*' ! -type d)
[ -z "$(find "$MAYFLY_STATE/runs/$(run_id)/leave" -path '*/outputs/*' ! -type d ! -type f)" ] || fail "something that is no file was collected"
echo "$outputs" | grep -q '/names/.*/fine$' || fail "what is fine beside hostile names was not collected: $outputs"
rm -f "$CASE_DIR/secret" # the oracle looks for its word
finish
