#!/bin/sh
# The same lives and deaths of agents on a machine without a cgroup v2 that we may use: trees are found through /proc.
set -eu
program="${MAYFLY_BUILD:?}/tests/integration/integration_runner_life"
[ -x "$program" ] || exit 77
unshare -m sh -c 'umount -R /sys/fs/cgroup' 2>/dev/null || exit 77
exec unshare -m sh -c 'umount -R /sys/fs/cgroup && exec "$1"' sh "$program"
