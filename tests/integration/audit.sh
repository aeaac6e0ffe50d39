#!/bin/bash
# audit.sh - mayfly audit: what was granted, used and refused; the smallest lists, applied with `patch` and run again; the chain,
# changed, cut off, missing and written anew; a run that goes on; certificates and tables that can be checked without mayfly.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent act.sh <<'SH'
#!/bin/sh
# act.sh METHOD PATH... - requests below this agent's own account; refused ones are no failure here
set -eu
printf '{"main_module": "worker.js", "compatibility_date": "2026-01-01"}' >metadata.json
printf 'export default {};\n' >worker.js
while [ $# -gt 0 ]; do
    method=$1
    path=$2
    shift 2
    if [ "$method" = PUT ]; then
        set -- "$@" -- -F 'metadata=<metadata.json' -F 'worker.js=@worker.js;type=application/javascript+module'
    else
        set -- "$@" --
    fi
    requests=
    while [ "$1" != -- ]; do
        requests="$requests $1"
        shift
    done
    shift
    printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
        curl -sS -o answer -w "%{http_code} $method $path\n" -H @- -X "$method" "$@" "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID$path"
    # shellcheck disable=SC2086 # neither methods nor paths have spaces
    set -- $requests
done
SH
agent must.sh <<'SH'
#!/bin/sh
# must.sh METHOD PATH... - as act.sh, but every request must be allowed
set -eu
sh act.sh "$@" >said
cat said
! grep -v '^2' said
SH
agent wait.sh <<'SH'
#!/bin/sh
# wait.sh FILE... - one request, then waits
set -eu
sh act.sh GET /workers/scripts
touch started
while [ ! -e "$1" ]; do sleep 0.05; done
SH
state_of() { # run
    printf '%s/runs/%s' "$MAYFLY_STATE" "$1"
}

# --- granted against used ---
fleet=$(graph fleet.json <<'JSON'
{ "mayfly": 1, "name": "fleet", "provider": "emulator",
  "tasks": {
    "make": { "for_each": ["a", "b", "c"], "key": "{{item}}", "files": ["act.sh", "must.sh"],
              "command": ["sh", "must.sh", "PUT", "/workers/scripts/{{item}}", "GET", "/workers/scripts/{{item}}"],
              "account": { "permissions": [
                "workers_scripts:write",
                "workers_kv:write",
                "d1:write"
              ] },
              "verify": { "files": ["act.sh", "must.sh"], "command": ["sh", "must.sh", "GET", "/workers/scripts/{{item}}"], "permissions": ["workers_scripts:read", "d1:read"] } },
    "look": { "files": ["act.sh", "must.sh"], "command": ["sh", "must.sh", "GET", "/storage/kv/namespaces"], "account": { "permissions": ["workers_kv:write", "workers_scripts:read"] } },
    "reach": { "files": ["act.sh"], "command": ["sh", "act.sh", "GET", "/d1/database", "DELETE", "/nothing/of/the/kind"], "account": { "permissions": ["workers_kv:read"] } } } }
JSON
)
mayfly run "$fleet" --json
expect_status 0
run=$(run_id)
mayfly audit "$run"
expect_status 0
for wanted in 'make +agent +account +workers_scripts:write +6 +0 +0' 'make +agent +account +workers_kv:write +0 +0 +0 +unused' 'make +verify +account +workers_scripts:read +3 ' \
    'look +agent +account +workers_kv:write +1 ' 'reach +agent +account +1 +not_granted +d1:(read|write) +GET ' 'reach +agent +account +1 +no_rule +- +DELETE ' 'reach +1 +outside_permissions'; do
    grep -qE "^$wanted" "$OUT" || fail "audit does not say: $wanted"
done
expect_said "mayfly audit $run --patch"

# --- the smallest lists, applied and run again ---
mayfly audit "$run" --patch
expect_status 0
cp "$OUT" "$CASE_DIR/patch.diff"
cp "$fleet" "$CASE_DIR/before.json"
(cd "$CASE_DIR/graph" && patch -s -p1 <"$CASE_DIR/patch.diff") || fail "the patch does not apply"
[ "$(jq -c '[.tasks.make.account.permissions, .tasks.make.verify.permissions, .tasks.look.account.permissions, .tasks.reach.account.permissions]' "$fleet")" = \
    '[["workers_scripts:write"],["workers_scripts:read"],["workers_kv:read"],[]]' ] || fail "other lists: $(jq -c .tasks "$fleet")"
mayfly audit "$run" --json
expect_status 0
jq -e --slurpfile graph "$fleet" '[.patch[] | {path, value}] | length == 4 and all(.path as $path | .value == ($graph[0] | getpath($path | split("/")[1:])))' "$OUT" >/dev/null ||
    fail "the JSON patch is another one"
mayfly run "$fleet" --json
expect_status 0 "with the smallest lists"
expect_receipt .tasks.succeeded 5
mayfly audit last --patch
expect_status 0
[ ! -s "$OUT" ] || fail "the smallest lists are not the smallest"
mayfly audit "$run" --patch
expect_said 'was changed since the run'

# What is refused makes a task fail; with what it lacked it succeeds.
short=$(graph short.jsonc <<'JSON'
{ // nothing is allowed to `none`, too little to `some`
  "mayfly": 1, "provider": "emulator",
  "tasks": {
    "none": { "files": ["act.sh", "must.sh"], "command": ["sh", "must.sh", "GET", "/workers/scripts"], "account": {} },
    "some": { "files": ["act.sh", "must.sh"], "command": ["sh", "must.sh", "GET", "/workers/scripts", "GET", "/d1/database"], "account": { "permissions": ["workers_scripts:read"], "keep": "never" } } } }
JSON
)
mayfly run "$short" --json
expect_status 1
mayfly audit last --patch
expect_status 0
[ ! -s "$OUT" ] || fail "lists of failed tasks were changed"
expect_said '1 lists were left alone'
mayfly audit last --patch --with-refused
expect_status 0
(cd "$CASE_DIR/graph" && patch -s -p1 <"$OUT") || fail "the second patch does not apply"
mayfly run "$short" --json
expect_status 0 "with what was refused"
run=$(run_id)

# --- the chain ---
log=$(state_of "$run")/audit.log
lines=$(wc -l <"$log")
mayfly audit "$run" --check-chain
expect_status 0
expect_said "whole, $lines lines, head $(tail -n 1 "$log" | tr -d '\n' | sha256sum | cut -c 1-64)"
cp "$log" "$CASE_DIR/audit.log"
bad_chain() { # what is wrong, what is said
    mayfly audit "$run" --check-chain
    expect_status 5 "$1"
    expect_said "$2"
    mayfly audit "$run" --json
    expect_status 5 "$1: every form says it"
    mayfly audit "$run" --csv
    expect_status 5 "$1: every form says it"
    cp "$CASE_DIR/audit.log" "$log"
}
sed -i '2s/"attempt":1/"attempt":7/' "$log"
bad_chain "a line was changed" 'line 3 does not follow'
sed -i "${lines}s/\"outcome\":\"complete\"/\"outcome\":\"COMPLETE\"/" "$log"
bad_chain "the last line was changed" 'is not the one that was journaled'
sed -i 2d "$log"
bad_chain "a line was taken out" 'line 2 is none of ours'
sed -i '$d' "$log"
bad_chain "the last line was taken" 'ends too early'
: >"$log"
bad_chain "everything was taken" 'ends too early'
rm "$log"
bad_chain "the file was taken" 'is missing'
printf '{"n":' >>"$log"
mayfly audit "$run" --check-chain
expect_status 0 "a torn line at the end"
expect_said '5 bytes of an unfinished line'
cp "$CASE_DIR/audit.log" "$log"

# A run whose agents had nothing to ask has nothing to prove; one from before there was a record says so.
mayfly run "$(graph bare.json <<<'{"mayfly": 1, "tasks": {"a": {"command": ["true"]}}}')" --json
expect_status 0
mayfly audit last --check-chain
expect_status 0
rm -f "$(state_of "$(tail -n 1 "$SAID/$((calls - 1)).out" | jq -r .run)")/audit.log"
mayfly audit last
if [ "$status" -eq 0 ]; then
    expect_said 'record: none'
else # some head was journaled: then a file must be there
    expect_status 5
    expect_said 'is missing'
fi

# --- tables and certificates that need no mayfly to be checked ---
[ "$(sqlite3 "$(state_of "$run")/run.db" "SELECT count(*), count(DISTINCT task), (SELECT facts ->> '$.chain' FROM request ORDER BY seq DESC LIMIT 1) FROM request")" = \
    "$lines|2|$(tail -n 1 "$log" | jq -r .chain)" ] || fail "the table request is not the record"
mayfly audit "$run" --csv
expect_status 0
[ "$(wc -l <"$OUT")" = $((lines + 1)) ] || fail "the table has other rows than the log"
[ "$(head -n 1 "$OUT" | tr -d '\r' | cut -d , -f 1-5)" = n,at,event,journaled,task ] || fail "the table has another head"
mayfly audit "$run" --certificate --json
expect_status 0
[ "$(jq '.certificates | length' "$OUT")" = 2 ] || fail "not two certificates"
for number in 1 2; do
    said=$(jq -r ".certificates[] | select(.number == $number) | .proof.sha256" "$OUT")
    [ "$said" = "$(grep -F "\"account\":$number," "$log" | sha256sum | cut -c 1-64)" ] || fail "certificate $number: another hash"
    jq -e ".certificates[] | select(.number == $number) | .state == \"gone\" and (.verified | startswith(\"read back\")) and .proof.journaled and .proof.chain == \"whole\" and .revoked.record > .created.record and .gone.record > .revoked.record" \
        "$OUT" >/dev/null || fail "certificate $number: $(jq -c .certificates "$OUT")"
    covered=$(jq -r ".certificates[] | select(.number == $number) | .proof.journaled_lines" "$OUT")
    [ "$(jq -r ".certificates[] | select(.number == $number) | .proof.head" "$OUT")" = "$(sed -n "${covered}p" "$log" | tr -d '\n' | sha256sum | cut -c 1-64)" ] ||
        fail "certificate $number: another head"
done
some=$(jq -r '.certificates[] | select(.task == "some") | .number' "$OUT") # which account is whose is decided by who was ready first
mayfly audit "$run" "$some" --certificate
expect_status 0
expect_said 'could do     workers_scripts:read, d1:read'
expect_said "grep -F '\"account\":$some,' audit.log | sha256sum"
mayfly audit "$run" 3 --certificate
expect_status 2
mayfly audit "$run" --csv --patch
expect_status 2
mayfly audit "$run" 1
expect_status 2
mayfly audit nothing
expect_status 2

# --- a graph that this version would refuse: the record is proven and counted all the same ---
cp -r "$(state_of "$run")" "$CASE_DIR/kept"
sqlite3 "$(state_of "$run")/run.db" "UPDATE graph SET text = '{\"mayfly\": 1, \"tasks\": {\"some\": 5}}'"
mayfly audit "$run"
expect_status 0
expect_said 'cannot be read by this mayfly'
expect_said "whole, $lines lines"
sqlite3 "$(state_of "$run")/run.db" "UPDATE graph SET text = $(sqlite3 "$CASE_DIR/kept/run.db" 'SELECT quote(text) FROM graph')"
rm -r "$CASE_DIR/kept"

# --- the runner dies in the middle: the next one goes on with the same record ---
agent again.sh <<'SH'
#!/bin/sh
# again.sh - one request in each attempt; the first one waits to be killed
set -eu
sh act.sh GET /workers/scripts
[ "$MAYFLY_ATTEMPT" != 1 ] || { touch started && exec sleep 300; }
SH
again=$(graph again.json <<'JSON'
{"mayfly": 1, "provider": "emulator", "tasks": {"a": {"files": ["act.sh", "again.sh"], "command": ["sh", "again.sh"], "account": {"permissions": ["workers_scripts:read"]}}}}
JSON
)
mayfly_start run "$again" --json
wait_for 30 sh -c "ls $MAYFLY_STATE/runs/*/.work/*/ws/started"
kill -KILL "$(events '.type == "runner.started"' | jq -r .pid)"
mayfly_wait
expect_status 0 "after the runner's death"
run=$(run_id)
mayfly audit "$run" --json
expect_status 0
jq -e '.log.chain == "whole" and .log.lives == 2 and .log.journaled_lines == .log.lines and ([.used[].count] | add) == 2' "$OUT" >/dev/null || fail "two lives: $(jq -c '[.log, .used]' "$OUT")"
late=$(jq .log.late_lines "$OUT")
mayfly audit "$run" --check-chain
expect_status 0
[ "$late" -eq 0 ] || expect_said "found without a journaled head when a runner had died"

# --- a run that goes on: it only looks ---
waiting=$(graph waiting.json <<JSON
{"mayfly": 1, "provider": "emulator", "tasks": {"a": {"files": ["act.sh", "wait.sh"], "command": ["sh", "wait.sh", "go"], "sandbox": false, "account": {"permissions": ["workers_scripts:read"]}, "timeout": "60s"}}}
JSON
)
mayfly_start run "$waiting" --json --name waiting
running=$OUT
wait_for 30 sh -c "ls $MAYFLY_STATE/runs/*/.work/*/ws/started"
before=$(find "$MAYFLY_STATE/runs" -name run.db -newer "$waiting" -exec sha256sum {} +)
mayfly audit waiting
expect_status 0
expect_said ', running'
grep -qE '^a +agent +account +workers_scripts:read +1 ' "$OUT" || fail "what is going on is not seen"
mayfly audit waiting --certificate
expect_status 0
expect_said 'NOT verified: it is still open'
[ "$before" = "$(find "$MAYFLY_STATE/runs" -name run.db -newer "$waiting" -exec sha256sum {} +)" ] || fail "reading changed the database"
for work in "$MAYFLY_STATE"/runs/*/.work/*/ws; do
    touch "$work/go"
done
OUT=$running
mayfly_wait
expect_status 0
finish
