# shellcheck shell=bash
# oracle.sh - what must hold after every integration case, whatever the case was about; sourced by case.sh
#
#   O1 ledger     the emulator's own log: every account and token that was made is gone again (or, with `allow expiring`, empty)
#   O2 canary     every token that the emulator issues holds MFYCANARY: no spelling of it in output, logs, state or command lines
#   O3 residue    no process of a run, no cgroup, no socket, no workspace is left
#   O4 database   integrity and foreign keys of every run.db; no open account behind a run that said it was done
#   O7 descriptors a run in the middle has as many as before (oracle_descriptors, for cases that look twice)
#   O6 sanitizers nothing from ASan, UBSan, LSan on any stderr
#
# Each check prints what it found and returns 1; oracle runs them all.

CANARY=MFYCANARY

# Accounts that the ledger has seen made and not ended, one id a line.
ledger_alive() {
    jq -rs '([.[] | select(.kind == "account" and .op == "create") | .id]
             - [.[] | select(.kind == "account" and (.op == "delete" or .op == "expire")) | .id])[]' "$1"
}

# Tokens that still work: made, neither revoked nor ended, in an account that is alive. The operator's own ones have no account.
ledger_tokens() {
    jq -rs '([.[] | select(.kind == "account" and (.op == "delete" or .op == "expire")) | .id]) as $ended
            | ([.[] | select(.kind == "token" and (.op == "revoke" or .op == "delete" or .op == "expire")) | .id]) as $dead
            | .[] | select(.kind == "token" and .op == "create" and .account != null)
            | select((.id as $id | $dead | index($id) | not) and (.account as $a | $ended | index($a) | not)) | .id' "$1"
}

# Resources (workers, namespaces, databases ...) that are left in accounts that are alive: "kind id".
ledger_resources() {
    jq -rs '([.[] | select(.kind == "account" and (.op == "delete" or .op == "expire")) | .id]) as $ended
            | ([.[] | select(.op == "delete") | [.kind, .id, .account]]) as $gone
            | [.[] | select(.op == "create" and .kind != "account" and .kind != "token") | [.kind, .id, .account]] - $gone
            | .[] | select(.[2] as $a | $ended | index($a) | not) | "\(.[0]) \(.[1])"' "$1"
}

ledger_count() { # ledger, op, kind
    jq -s --arg op "$2" --arg kind "$3" '[.[] | select(.op == $op and .kind == $kind)] | length' "$1"
}

oracle_ledger() { # ledger, `gone` or `expiring`
    local alive tokens resources bad=0
    [ -s "$1" ] || return 0
    alive=$(ledger_alive "$1")
    tokens=$(ledger_tokens "$1")
    resources=$(ledger_resources "$1")
    if [ "$2" = gone ] && [ -n "$alive" ]; then
        echo "O1: accounts alive in the ledger:" $alive
        bad=1
    fi
    if [ "$2" = gone ] && [ -n "$tokens" ]; then
        echo "O1: tokens alive in the ledger:" $tokens
        bad=1
    fi
    if [ -n "$resources" ]; then
        echo "O1: resources left in accounts that are alive:" $resources
        bad=1
    fi
    return $bad
}

# Every spelling of the canary that a program could make of a token by copying or encoding it, one a line.
canary_spellings() {
    local hex
    echo "$CANARY"
    printf '%s' "$CANARY" | rev
    echo
    hex=$(printf '%s' "$CANARY" | od -An -tx1 | tr -d ' \n')
    echo "$hex"
    echo "$hex" | tr a-f A-F
    printf '%s' "$hex" | sed 's/../%&/g'
    echo
    printf '%s' "$hex" | tr a-f A-F | sed 's/../%&/g'
    echo
    # base64: nine bytes at the three places in a group of three; cut off what depends on the neighbours
    printf '%s' "$CANARY" | base64
    printf 'x%s' "$CANARY" | base64 | cut -c 3-12
    printf 'xx%s' "$CANARY" | base64 | cut -c 4-12
}

oracle_canary() { # file or directory...
    local found
    canary_spellings >"$CASE_DIR/.spellings"
    found=$(grep -rlaF -f "$CASE_DIR/.spellings" "$@" 2>/dev/null | grep -v '/\.spellings$' || true)
    if [ -n "$found" ]; then
        echo "O2: a token, or an encoding of it, stands in:"
        echo "$found" | sed 's/^/    /'
        return 1
    fi
}

# Watches command lines of all processes until the file $1 appears; what it sees goes to $2. To be run in the background.
canary_watch() {
    local cmdline
    printf '%s\n' "$CANARY" >"$2.pattern"
    while [ ! -e "$1" ]; do
        # One line for each process; the emulator is told the mark on its own command line, and the pattern comes from a file so that
        # this search does not find itself.
        for cmdline in /proc/[0-9]*/cmdline; do
            tr '\0' ' ' <"$cmdline" 2>/dev/null && echo
        done 2>/dev/null | grep -av -- --token-mark | grep -aFf "$2.pattern" >>"$2" || true
        sleep 0.005
    done
}

# Processes whose environment names a run, "pid command": agents and what they left behind.
run_processes() { # run id
    local environ pid
    for environ in /proc/[0-9]*/environ; do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        if tr '\0' '\n' <"$environ" 2>/dev/null | grep -qxF "MAYFLY_RUN=$1"; then
            echo "$pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
        fi
    done 2>/dev/null
}

oracle_residue() { # state directory
    local bad=0 run left dir
    for dir in "$1"/runs/*/; do
        [ -d "$dir" ] || continue
        run=$(basename "$dir")
        left=$(run_processes "$run")
        if [ -n "$left" ]; then
            echo "O3: processes of run $run are left:"
            echo "$left" | sed 's/^/    /'
            bad=1
        fi
        left=$(find /sys/fs/cgroup -type d -name "*$run*" 2>/dev/null | head -n 3)
        if [ -n "$left" ]; then
            echo "O3: cgroups of run $run are left:" $left
            bad=1
        fi
        left=$(find "$dir/.work" -mindepth 1 2>/dev/null | head -n 5)
        if [ -n "$left" ]; then
            echo "O3: workspaces of run $run are left:" $left
            bad=1
        fi
    done
    # `emulator.*` is what the case itself listens on
    left=$(find "$XDG_RUNTIME_DIR" "$1" "$TMPDIR" \( -type s -o -type p \) -not -path "*/workspace/*" 2>/dev/null | head -n 5)
    if [ -n "$left" ]; then
        echo "O3: sockets are left:" $left
        bad=1
    fi
    left=$(find "$TMPDIR" -mindepth 1 2>/dev/null | head -n 5)
    if [ -n "$left" ]; then
        echo "O3: temporary files are left:" $left
        bad=1
    fi
    return $bad
}

oracle_database() { # state directory
    local bad=0 db said
    for db in "$1"/runs/*/run.db; do
        [ -e "$db" ] || continue
        # A copy: looking must not leave -wal and -shm files of our own.
        rm -rf "$CASE_DIR/.db"
        mkdir "$CASE_DIR/.db"
        cp "$db"* "$CASE_DIR/.db/"
        said=$(sqlite3 "$CASE_DIR/.db/run.db" 'PRAGMA integrity_check; PRAGMA foreign_key_check;' 2>&1)
        if [ "$said" != ok ]; then
            echo "O4: $db: $said"
            bad=1
        fi
    done
    rm -rf "$CASE_DIR/.db"
    return $bad
}

oracle_sanitizers() { # file or directory...
    local found
    found=$(grep -rlaE 'ERROR: (Address|Leak|Thread)Sanitizer|UndefinedBehaviorSanitizer|: runtime error: |assertion .* failed' "$@" 2>/dev/null || true)
    if [ -n "$found" ]; then
        echo "O6: a sanitizer or an assertion spoke in:" $found
        grep -haE -A 20 'Sanitizer|runtime error: |assertion .* failed' $found | head -n 40
        return 1
    fi
}

# What a run's processes have open, one line for each process and kind with their number: orchestrator, runner and spawner, told apart
# by their depth; agents have descriptors of their own. Connections over TCP are not counted: they are kept to be used again.
oracle_descriptors() { # pid of the orchestrator
    local pid level=$1 depth next child
    for depth in 0 1 2; do
        next=
        for pid in $level; do
            [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$(readlink -f "$MAYFLY_BIN")" ] || continue
            awk '$4 != "st" { print "socket:[" $10 "]" }' "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null >"$CASE_DIR/.tcp"
            find "/proc/$pid/fd" -mindepth 1 -printf '%l\n' 2>/dev/null | grep -vxFf "$CASE_DIR/.tcp" |
                sed -E 's/:\[[0-9]*\]$//; s/[0-9]+/N/g' | sort | uniq -c | sed "s/^ */$depth /"
            for child in $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
                next="$next $child"
            done
        done
        level=$next
    done
}
