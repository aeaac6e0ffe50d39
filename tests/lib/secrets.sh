# shellcheck shell=bash
# secrets.sh - for cases that look for tokens where none may stand; sourced after case.sh
#
# The operator's credential of these cases comes from a private file, so that no environment holds it: EMULATOR_TOKEN stays a
# variable of the case, and CREDENTIAL names the file.

# Only root may look into processes that hide themselves.
needs_root() {
    [ "$(id -u)" = 0 ] || {
        echo "needs root, to look into processes that hide themselves"
        exit 77
    }
}

# Builds secret_watch; its path is in $WATCH, the mark that it reads in the file $MARK.
build_watch() {
    WATCH=$CASE_DIR/secret_watch
    MARK=$CASE_DIR/mark
    cc -std=c17 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -o "$WATCH" "$ROOT/tests/lib/secret_watch.c" || fail "secret_watch does not build"
    printf '%s\n' "$CANARY" >"$MARK"
}

# Takes the operator's credential out of the environment and into a file.
credential_file() {
    CREDENTIAL=$CASE_DIR/credential
    (umask 077 && printf '%s' "$EMULATOR_TOKEN" >"$CREDENTIAL")
    unset MAYFLY_EMULATOR_TOKEN
}

# The children of a process, one pid a line, and theirs.
descendants() { # pid
    local child
    for child in $(cat "/proc/$1/task"/*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}
