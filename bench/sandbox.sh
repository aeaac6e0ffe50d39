#!/bin/bash
# sandbox.sh - starting agents in a sandbox, through the runner, by bare bubblewrap with the same walls running the same program: one
# after the other, and as many at a time as a fleet has
#
#   TASKS  how many (300)
#
# The bare side has no filter of system calls and no files of /etc made for it (both are given by descriptor), nobody who reaps
# inside, no limits, no captured output: it is the least that the same namespaces and mounts can cost. Both sides run as the uid that
# agents have.
set -eu
. "$(dirname "$0")/lib.sh"

tasks=${TASKS:-300}
shown=()
for path in /usr /bin /sbin /lib /lib32 /lib64 /libx32 /etc/alternatives /etc/ssl/certs /etc/ssl/openssl.cnf /etc/ca-certificates \
    /etc/ca-certificates.conf /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime; do
    if [ -L "$path" ]; then
        shown+=(--symlink "$(readlink "$path")" "$path")
    elif [ -e "$path" ]; then
        shown+=(--ro-bind "$path" "$path")
    fi
done
slot=$WORK/slot
mkdir "$slot" "$slot/ws"
walls=(--unshare-all --unshare-user --disable-userns --uid 1000 --gid 1000 --cap-drop ALL --die-with-parent --new-session --as-pid-1
    --hostname agent --proc /proc --dev /dev --perms 1777 --size 67108864 --tmpfs /dev/shm --remount-ro /dev --size 16777216
    --tmpfs /run "${shown[@]}" --perms 1777 --size 1073741824 --tmpfs /tmp --bind "$slot" /mayfly --remount-ro / --)
as=()
if [ "$(id -u)" = 0 ]; then
    chmod 0711 "$WORK"
    chown -R 65534:65534 "$slot"
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
cp "$BENCH_BIN/bench_baseline_spawn" "$WORK/spawn" # where that uid finds it
chmod 0755 "$WORK/spawn"
for jobs in 1 $((4 * $(nproc))); do
    for _ in $(seq "$ROUNDS"); do
        side "bare$jobs" "${as[@]}" "$WORK/spawn" "$tasks" "$jobs" /usr/bin/bwrap "${walls[@]}" /bin/true
        side "mayfly$jobs" "$BENCH_BIN/bench_runner_spawn" "$tasks" "$jobs" /bin/true sandbox
    done
done

echo "# sandbox: $tasks times /bin/true in a sandbox; medians of $ROUNDS rounds, both sides in each round"
for jobs in 1 $((4 * $(nproc))); do
    line "sandbox.$jobs.bare" "$(calculate "$(median "bare$jobs" 1) / $tasks")" "ms each"
    line "sandbox.$jobs.mayfly" "$(calculate "$(median "mayfly$jobs" 1) / $tasks")" "ms each"
    line "sandbox.$jobs.by_bare" "$(ratio "mayfly$jobs" "bare$jobs" 1)" "x"
    line "sandbox.$jobs.cpu_by_bare" "$(ratio "mayfly$jobs" "bare$jobs" 2)" "x"
    line "sandbox.$jobs.rate" "$(calculate "$tasks * 1000 / $(median "mayfly$jobs" 1)" 0)" "agents/s"
done
