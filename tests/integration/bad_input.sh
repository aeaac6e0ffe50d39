#!/bin/bash
# bad_input.sh - files that are wrong (cases 1 to 15 of the fault list): exit 2, a message that names the place, no run, no
# request, quickly and in little memory.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
cases=0

# Both commands that read a graph refuse it, with a message that holds the given text, and nothing was begun.
refuses() { # file, text, what it is
    local command
    cases=$((cases + 1))
    for command in validate run; do
        mayfly $command "$1"
        expect_status 2 "$command: $3"
        grep -qiE -- "$2" "$ERR" "$OUT" || fail "$command on $3 does not say \"$2\": $(head -n 3 "$ERR")"
        if grep -qaP '[\x00-\x08\x0b-\x1f\x7f]' "$ERR"; then fail "$command on $3 wrote control characters"; fi
    done
    [ ! -d "$MAYFLY_STATE/runs" ] || [ -z "$(ls "$MAYFLY_STATE/runs")" ] || fail "$3: a run was begun"
    [ ! -s "$LEDGER" ] || fail "$3: something was sent"
}
text() { # text, what the message holds, what it is
    printf '%b' "$1" >"$CASE_DIR/graph/bad.json"
    refuses "$CASE_DIR/graph/bad.json" "$2" "$3"
}
task() { # members of a task, what the message holds, what it is
    text "{\"mayfly\": 1, \"provider\": \"emulator\", \"tasks\": {\"a\": {\"command\": [\"true\"], $1}}}" "$2" "$3"
}
tasks() { # members of tasks, ...
    text "{\"mayfly\": 1, \"provider\": \"emulator\", \"tasks\": {$1}}" "$2" "$3"
}
accepts() { # tasks
    printf '%s' "{\"mayfly\": 1, \"provider\": \"emulator\", \"tasks\": {$1}}" >"$CASE_DIR/graph/good.json"
    mayfly validate "$CASE_DIR/graph/good.json"
    expect_status 0 "$1"
}
place='bad\.json:[0-9]+:[0-9]+'

# 1 not JSON
for bad in '{' '[1,]' '{"a":}' '{"a" 1}' "{'a': 1}" '{"a": 01}' '{"a": +1}' '{"a": .5}' '{"a": 1e}' '{"a": NaN}' '{"a": tru}' '{} {}' '{"a": "\\x"}' '{"a": "\t"}' '[' ']' '"' '{"a": 1,}' '// x\n{}'; do
    text "$bad" "$place" "JSON: $bad"
done
text '' 'end of the text' "an empty file"
# 2 duplicate keys, also spelled in two ways
task '"account": {"permissions": ["workers_scripts:write"], "permissions": []}' 'duplicate key' "duplicate permissions"
task '"account": {"permissions": ["workers_scripts:write"], "\\u0070ermissions": []}' 'duplicate key' "duplicate permissions, escaped"
tasks '"a": {"command": ["true"]}, "a": {"command": ["false"]}' 'duplicate key' "duplicate task"
# 3 bytes that are no text
task '"description": "\\u0000"' "$place" "a NUL"
task '"description": "\\ud800"' "$place" "a lone surrogate"
task '"description": "\xc0\xaf"' "$place" "overlong UTF-8"
task '"description": "\xff"' "$place" "no UTF-8"
text '\xef\xbb\xbf{"mayfly": 1, "tasks": {}}' "$place" "a byte order mark"
# 4 shapes and sizes
printf '%0.s[' $(seq 33) >"$CASE_DIR/graph/bad.json"
refuses "$CASE_DIR/graph/bad.json" "$place" "depth 33"
head -c 100000 /dev/zero | tr '\0' '[' >"$CASE_DIR/graph/bad.json"
refuses "$CASE_DIR/graph/bad.json" "$place" "100,000 brackets"
mkfifo "$CASE_DIR/graph/fifo"
quickly() { # file, what it is: refused within two seconds of processor time, which a busy machine does not stretch, without waiting
    local command code
    for command in validate run; do
        code=0
        (ulimit -t 2 && exec timeout 30 "$MAYFLY_BIN" $command "$1") >"$SAID/shape" 2>&1 </dev/null || code=$?
        [ $code -eq 2 ] || fail "$2: $command ended with status $code, wanted 2 (124: waited, 137 or 152: computed too long)"
    done
    [ -s "$SAID/shape" ] || fail "no word about $2"
}
quickly "$CASE_DIR/graph/fifo" "a FIFO"
rm "$CASE_DIR/graph/fifo"
quickly "$CASE_DIR/graph" "a directory"
quickly /dev/zero "a device without end"
truncate -s 1G "$CASE_DIR/graph/big.json"
quickly "$CASE_DIR/graph/big.json" "a file of 1 GiB"
rm "$CASE_DIR/graph/big.json"
{
    printf '{"mayfly": 1, "tasks": {"a": {"command": ["true"], "description": "'
    head -c 67108864 /dev/zero | tr '\0' 'x'
    printf '"}}}'
} >"$CASE_DIR/graph/long.json"
quickly "$CASE_DIR/graph/long.json" "a string of 64 MiB"
rm "$CASE_DIR/graph/long.json"
# 5 edges and names
tasks '"a": {"needs": ["b"], "command": ["true"]}, "b": {"needs": ["c"], "command": ["true"]}, "c": {"needs": ["a"], "command": ["true"]}' \
    'a.*b.*c.*a|a.*c.*b.*a|b.*c.*a.*b|b.*a.*c.*b|c.*a.*b.*c|c.*b.*a.*c' "a cycle, printed as a way"
task '"needs": ["a"]' 'a' "an edge to itself"
tasks '"build": {"command": ["true"]}, "b": {"needs": ["biuld"], "command": ["true"]}' 'build' "an unknown task, with a suggestion"
for id in '../x' 'a\\nb' 'a\\u001b[31m' 'a/b' '' '1a' 'a b' '-a' "$(head -c 10240 /dev/zero | tr '\0' 'a')"; do
    tasks "\"$id\": {\"command\": [\"true\"]}" "$place" "the task id $(printf %.20s "$id")"
done
mayfly run "$(graph empty.json <<<'{"mayfly": 1, "tasks": {}}')"
expect_status 0 "an empty graph is done"
rm -rf "$MAYFLY_STATE"
# 6 letters that look alike
tasks '"d\\u0435ploy": {"command": ["true"]}' "$place" "a Cyrillic letter in an id"
task '"account": {"permissions": ["workers_scripts:writ\\u0435"]}' "$place" "a Cyrillic letter in a permission"
tasks '"a\\u200db": {"command": ["true"]}' "$place" "a zero-width joiner"
tasks '"a\\uff0fb": {"command": ["true"]}' "$place" "a wide slash"
# 7 numbers
for number in -1 0 1e308 99999999999999999999 '"5"' 5.5 '"-1s"' '"0s"' '"99999999999h"' 'null' 'true' '"1 fortnight"'; do
    task "\"timeout\": $number" "timeout" "timeout $number"
done
for number in 0 -1 1000000000 '"4"' 1.5 null; do
    text "{\"mayfly\": 1, \"limits\": {\"running\": $number}, \"tasks\": {\"a\": {\"command\": [\"true\"]}}}" "running" "running $number"
    task "\"attempts\": $number" "attempts" "attempts $number"
done
# 8 permissions: a missing list and an empty one mean nothing is allowed; everything else must be a name that the recipe has
accepts '"a": {"command": ["true"], "account": {}}, "b": {"command": ["true"], "account": {"permissions": []}}'
for permission in 'null' '"*"' '["*"]' '["GET /**"]' '["workers_scripts:frobnicate"]' '["Workers_Scripts:Write"]' '[null]' '[["workers_scripts:write"]]' '"workers_scripts:write"' '{}'; do
    task "\"account\": {\"permissions\": $permission}" "permission" "permissions $permission"
done
task '"account": {"permissions": ["workers_scripts:wrte"]}' 'workers_scripts:write' "a misspelled permission, with a suggestion"
# 9 and 11 recipes: where requests may go
shipped=$("$MAYFLY_BIN" provider show emulator --json 2>/dev/null || true)
for url in 'file:///etc/passwd' 'http://example.com' 'https://user@example.com' 'https://exa%2Fmple.com' 'https://example.com:0' 'https://example.com:65536' 'ftp://127.0.0.1'; do
    if jq -e .base_url >/dev/null 2>&1 <<<"$shipped"; then
        jq --arg url "$url" '.base_url = $url' <<<"$shipped" >"$CASE_DIR/graph/recipe.json"
        mayfly provider check "$CASE_DIR/graph/recipe.json"
        expect_status 2 "the recipe's base URL $url"
        cases=$((cases + 1))
    fi
    # the address from outside obeys the same rules
    MAYFLY_EMULATOR_URL=$url mayfly run "$(graph url.json <<<'{"mayfly": 1, "provider": "emulator", "tasks": {"a": {"command": ["true"], "account": {}}}}')"
    expect_status 2 "MAYFLY_EMULATOR_URL=$url"
    cases=$((cases + 1))
done
# 10 templates
task '"command": ["{{params.x}}"]' "$place" "a template in command[0]"
task '"command": ["true", "{{params.x}}"]' 'x' "an unknown parameter"
task '"account": {"permissions": ["{{params.x}}"]}' "$place" "a template in permissions"
task '"env": {"X": "{{nobody.result}}"}' 'nobody' "a template that names no task"
task '"env": {"X": "{{params."}' "$place" "a template that does not end"
task '"egress": ["{{params.x}}:443"]' "$place" "a template in egress"
task '"sandbox": {"read": ["/{{params.x}}"]}' "$place" "a template in sandbox"
# where agents may connect to: one spelling each, nothing private by accident
for host in example.org https://example.org:443 good.example@evil.example:443 example.org:0 example.org:65536 '*:443' '*.org:443' 127.0.0.1:80 127.1:80 0x7f.1:80 2130706433:80 017700000001:80 169.254.169.254:80 localhost:80 '[::1]:80' '[::ffff:127.0.0.1]:80' 'exa%6dple.org:443' EXAMPLE.org:443 example.org.:443 'example.org:443 ' 'example.org\t:443'; do
    task "\"egress\": [\"$host\"]" "$place" "egress $host"
done
accepts '"a": {"command": ["true"], "egress": ["example.org:443", {"host": "127.0.0.1:80", "private": true}]}'
# the sandbox: sizes with a unit, paths of the host in one form
for sandbox in 1 '"no"' '{"memory": 2}' '{"memory": "2Q"}' '{"pids": -1}' '{"cpus": 0}' '{"disk": "1P"}' '{"read": ["/"]}' '{"read": ["/proc"]}' '{"read": ["/usr/../etc"]}' '{"read": ["etc"]}' '{"read": ["--bind"]}' '{"root": "/"}' '{"root": "-x"}' '{"network": true}'; do
    task "\"sandbox\": $sandbox" "$place" "sandbox $sandbox"
done
# services: declared before use, and a limit is a number of dollars
task '"uses": ["anthropic"]' 'no service .anthropic' "a service that is not declared"
text '{"mayfly": 1, "services": {"anthropic": {"credential": {"env": "X"}}}, "tasks": {"a": {"command": ["true"], "uses": ["antropic"]}}}' 'did you mean .anthropic' "a misspelled service"
text '{"mayfly": 1, "services": {"anthropic": {"credential": "sekret-value"}}, "tasks": {}}' 'never stands in a file' "a service's key as text"
if grep -q sekret-value "$ERR" "$OUT"; then fail "the refused key is shown"; fi
for budget in -1 '"5"' 1e3 0.0000001 null; do
    text "{\"mayfly\": 1, \"limits\": {\"budget_usd\": $budget}, \"tasks\": {}}" 'budget_usd' "a budget of $budget"
done
# 13 files: relative, below the graph, no links
for path in /etc/shadow ../../x '' ./../x 'a/../../x'; do
    task "\"files\": [\"$path\"]" "$place" "the file $path"
done
# 15 secrets in the graph
task '"account": {"token": "x"}' 'token' "a key that nobody knows"
text '{"mayfly": 1, "providers": {"emulator": {"credential": "sekret-value"}}, "tasks": {"a": {"command": ["true"]}}}' 'env|file' "a credential as text"
grep -q sekret-value "$ERR" "$OUT" && fail "the refused credential is shown"
task '"pass_env": {"X": "y"}' 'pass_env' "a value in pass_env"
# the rest of the frame
for bad in '[]' '1' '{}' '{"mayfly": 2, "tasks": {}}' '{"mayfly": "1", "tasks": {}}' '{"mayfly": 1}' '{"mayfly": 1, "tasks": []}' '{"mayfly": 1, "tasks": {"a": {}}}' '{"mayfly": 1, "tasks": {"a": {"command": []}}}' '{"mayfly": 1, "tasks": {"a": {"command": "true"}}}' '{"mayfly": 1, "tasks": {"a": {"comand": ["true"]}}}'; do
    text "$bad" "$place" "the graph $bad"
done
# every problem at once
printf '{"mayfly": 1,\n "tasks": {\n  "a": {"comand": ["true"]},\n  "b": {"command": ["true"], "needs": ["c"]}}}' >"$CASE_DIR/graph/bad.json"
mayfly validate "$CASE_DIR/graph/bad.json"
expect_status 2
for line in 3 4; do
    grep -q "bad.json:$line:" "$ERR" || fail "not every problem is named: line $line"
done
echo "$cases bad inputs refused"
finish
