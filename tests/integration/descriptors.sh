#!/bin/bash
# descriptors.sh - two waves of 310 short tasks, 60 of them with an account and collected outputs, 60 at a time: none is lost, and after the second every
# process of the run has as many descriptors as after the first (O7), but for connections that are kept to be used again. What is kept in
# pools was made by the first wave.
set -eu
. "$(dirname "$0")/../lib/case.sh"

start_emulator
agent wait.sh <<SH
#!/bin/sh
while [ ! -e "$CASE_DIR/\$1" ]; do sleep 0.05; done
SH
agent leave.sh <<'SH'
#!/bin/sh
mkdir out && echo x >out/x && echo 1 >"$MAYFLY_RESULT"
SH
short="{\"for_each\": [$(seq -s, 250)], \"command\": [\"true\"]}"
long="{\"for_each\": [$(seq -s, 60)], \"files\": [\"leave.sh\"], \"command\": [\"./leave.sh\"], \"collect\": [\"out/*\"], \"verify\": {\"command\": [\"true\"]}, \"account\": {\"permissions\": []}}"
file=$(graph <<JSON
{"mayfly": 1, "name": "descriptors", "provider": "emulator", "limits": {"running": 60}, "defaults": {"sandbox": false},
 "tasks": {"short1": $short, "long1": $long,
           "before": {"needs": ["short1", "long1"], "files": ["wait.sh"], "command": ["./wait.sh", "go-on"]},
           "short2": {"needs": ["before"], ${short#\{}, "long2": {"needs": ["before"], ${long#\{},
           "after":  {"needs": ["short2", "long2"], "files": ["wait.sh"], "command": ["./wait.sh", "end"]}}}
JSON
)
mayfly_start run "$file" --json
reached() { # task
    grep -q "\"type\":\"task.started\".*\"task\":\"$1\"" "$OUT"
}
gone() { # how many
    [ "$(grep -c '"type":"account.gone"' "$OUT")" -ge "$1" ]
}
wait_for 100 reached before
wait_for 60 gone 60
sleep 0.5
oracle_descriptors "$PID" >"$CASE_DIR/before"
: >"$CASE_DIR/go-on"
wait_for 200 reached after
wait_for 60 gone 120
sleep 0.5
oracle_descriptors "$PID" >"$CASE_DIR/after"
: >"$CASE_DIR/end"
mayfly_wait
expect_status 0
expect_receipt .tasks.succeeded 622
expect_receipt '.accounts | "\(.created) \(.gone)"' "120 120"
[ -s "$CASE_DIR/before" ] || fail "no descriptors were counted"
# Groups are kept for the next agents: two for each that may run, agent and verify, made when they are needed first.
awk '/ \/sys\/fs\/cgroup/ && $2 > 120 { exit 1 }' "$CASE_DIR/after" || fail "O7: more groups than agents can have: $(grep /sys/fs/cgroup "$CASE_DIR/after")"
sed -i '/ \/sys\/fs\/cgroup/d' "$CASE_DIR/before" "$CASE_DIR/after"
diff "$CASE_DIR/before" "$CASE_DIR/after" >"$CASE_DIR/changed" || { cat "$CASE_DIR/changed" >&2; fail "O7: descriptors are left"; }
finish
