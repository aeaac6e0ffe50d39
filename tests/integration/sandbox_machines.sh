#!/bin/bash
# sandbox_machines.sh - machines that give no sandbox or less of it: exit 6 with the command that helps, nothing started, and a task that
# says false runs; ordinary users and root of a user namespace get the same sandbox.
set -eu
. "$(dirname "$0")/../lib/case.sh"

[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || exit 77
# where every uid finds it
bin=$(mktemp -d /tmp/mfy-bin.XXXXXX)
cp "$MAYFLY_BIN" "$bin/mayfly"
cp "$(dirname "$MAYFLY_BIN")/mayfly-init" "$bin/mayfly-init"
chmod 0755 "$bin" "$bin/mayfly" "$bin/mayfly-init"
remove_bin() {
    rm -rf "$bin"
}
trap 'remove_bin; on_exit' EXIT

walled=$(graph walled.json <<'JSON'
{"mayfly": 1, "name": "walled", "tasks": {"one": {"command": ["sh", "-c", "id -u; cat /etc/hostname; ls -A /mayfly/ws"]}}}
JSON
)
limited=$(graph limited.json <<'JSON'
{"mayfly": 1, "name": "limited", "tasks": {"one": {"command": ["true"], "sandbox": {"memory": "64M"}}}}
JSON
)
bounded=$(graph bounded.json <<'JSON'
{"mayfly": 1, "name": "bounded", "tasks": {"one": {"command": ["true"], "sandbox": {"disk": "64M"}}}}
JSON
)
bare=$(graph bare.json <<'JSON'
{"mayfly": 1, "name": "bare", "tasks": {"one": {"command": ["true"], "sandbox": false}}}
JSON
)
# Runs a command line on a machine that a command of the shell made, or as somebody else.
on_machine() { # setup, mayfly arguments...
    local setup=$1
    shift
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    status=0
    unshare -m sh -c "$setup"' && exec "$@"' sh "$bin/mayfly" "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
}
as() { # wrapper..., then -- and mayfly arguments
    local wrapper=()
    while [ "$1" != -- ]; do
        wrapper+=("$1")
        shift
    done
    shift
    calls=$((calls + 1))
    OUT=$SAID/$calls.out
    ERR=$SAID/$calls.err
    status=0
    "${wrapper[@]}" "$bin/mayfly" "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
}
refused() { # words of the remedy
    expect_status 6 "$1"
    expect_said "$1"
    [ -z "$(ls "$MAYFLY_STATE/runs" 2>/dev/null)" ] || fail "a run was left"
}
fine() {
    expect_status 0
    as env -- logs last one
    [ "$(grep -v '^==>' "$OUT" | tr '\n' ' ')" = "1000 agent " ] || fail "the agent says: $(cat "$OUT")"
    as env -- rm --all
    rm -rf "$MAYFLY_STATE"
}

# --- no bubblewrap ---

no_bwrap='mount --bind /dev/null "$(command -v bwrap)"'
on_machine "$no_bwrap" run "$walled"
refused "apt-get install bubblewrap"
on_machine "$no_bwrap" plan "$walled"
expect_said "apt-get install bubblewrap"
on_machine "$no_bwrap" doctor
expect_status 6
expect_said "apt-get install bubblewrap"
on_machine "$no_bwrap" run "$bare"
expect_status 0
rm -rf "$MAYFLY_STATE"

# --- no user namespaces: the switch of a namespace is its own ---

as unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh -- run "$walled"
refused "sysctl -w user.max_user_namespaces=15000"

# --- no cgroup that limits: what was not stated is no trouble ---

no_cgroup='umount -R /sys/fs/cgroup'
on_machine "$no_cgroup" run "$limited"
refused "systemd-run --user --scope -p Delegate=yes"
on_machine "$no_cgroup" run "$walled"
fine

# --- an ordinary user; root of a user namespace, who is one ---

as unshare -Ur -- run "$walled"
fine
mkdir "$CASE_DIR/user"
cp "$walled" "$bounded" "$CASE_DIR/user/"
chown -R 65534:65534 "$CASE_DIR/user"
chmod 0711 "$CASE_DIR"
user=(setpriv --reuid 65534 --regid 65534 --clear-groups env "HOME=$CASE_DIR/user" "MAYFLY_STATE=$CASE_DIR/user/state"
    "XDG_RUNTIME_DIR=$CASE_DIR/user" TMPDIR=/tmp)
as "${user[@]}" -- run "$CASE_DIR/user/walled.json"
expect_status 0
as "${user[@]}" -- logs last one
[ "$(grep -v '^==>' "$OUT" | tr '\n' ' ')" = "1000 agent " ] || fail "the agent says: $(cat "$OUT")"
as "${user[@]}" -- run "$CASE_DIR/user/bounded.json"
expect_status 6
expect_said "run mayfly as root"

# --- root, with another uid for agents ---

as env -- run "$walled" --agent-uid 4242
fine
finish
