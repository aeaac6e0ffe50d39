#!/bin/bash
# install.sh - what is installed: the program, its man page, the recipes, schemas and headers; and that the three places which explain
# options and exit codes (README, --help, man page) say the same.
set -eu
. "$(dirname "$0")/../lib/case.sh"

[ -f "${MAYFLY_BUILD:-}/CMakeCache.txt" ] || {
    echo "MAYFLY_BUILD does not name a build directory" >&2
    exit 77
}
to=$CASE_DIR/installed
cmake --install "$MAYFLY_BUILD" --prefix "$to" >"$SAID/install.out" 2>&1 || fail "cmake --install: $(tail -n 3 "$SAID/install.out")"
"$to/bin/mayfly" --version >"$SAID/version" || fail "the installed program does not start"
"$to/bin/mayfly" run - >"$SAID/run.out" 2>"$SAID/run.err" <<<'{"mayfly": 1, "tasks": {"walled": {"command": ["grep", "-q", "agent", "/etc/hostname"]}}}' ||
    fail "the installed program runs no agent in its sandbox: $(tail -n 3 "$SAID/run.err")"
cmp -s "$to/share/man/man1/mayfly.1" <("$to/bin/mayfly" --man) || fail "the installed man page is not the program's"
for folder in include/mayfly:include/mayfly:h schemas:share/mayfly/schemas:json src/recipe/shipped:share/mayfly/recipes:json; do
    IFS=: read -r from there ending <<<"$folder"
    for file in "$ROOT/$from"/*."$ending"; do
        cmp -s "$file" "$to/$there/$(basename "$file")" || fail "$there/$(basename "$file") is not installed"
    done
done
for recipe in "$to"/share/mayfly/recipes/*.json; do
    jq -e 'has("recipe")' "$recipe" >/dev/null || continue # a permission table that recipes share
    mayfly provider check "$recipe"
    expect_status 0 "$recipe"
done
for header in "$to"/include/mayfly/*.h; do
    printf '#include <mayfly/%s>\nint main(void) { return 0; }\n' "$(basename "$header")" |
        cc -std=c17 -Wall -Wextra -Werror -I "$to/include" -x c -fsyntax-only - || fail "$(basename "$header") does not stand alone"
done
! find "$to" -perm /022 -not -type l | grep -q . || fail "something is installed that others can write"

# The man page renders without a warning.
man=$to/share/man/man1/mayfly.1
if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww "$man" >"$SAID/man.txt" 2>"$SAID/man.warnings" || fail "groff refuses the man page"
    [ ! -s "$SAID/man.warnings" ] || fail "the man page: $(head -n 3 "$SAID/man.warnings")"
fi

# Exit codes: the README's table, the man page and exit_codes.sh know the same ones.
man_codes() {
    sed -n "/^\.SH \"EXIT STATUS\"/,/^\.SH \"ENV/s/^.fB\(.*\).fR\$/\1/p" "$man" | tr -d '\\' | sort
}
sed -n '/^## Exit codes/,/^## /s/^| *\**\([0-9][0-9+n]*\)\** *|.*/\1/p' "$ROOT/README.md" | sort >"$CASE_DIR/readme.codes"
man_codes >"$CASE_DIR/man.codes"
[ -s "$CASE_DIR/readme.codes" ] || fail "no exit codes found in the README"
diff "$CASE_DIR/readme.codes" "$CASE_DIR/man.codes" >&2 || fail "README and man page list other exit codes"

# Commands and options: all that the table declares are in --help and in the man page, and the README invents none.
sed -n 's/^COMMAND(\([a-z]*\),.*/\1/p' "$ROOT/src/cmd/options.def" | sort -u >"$CASE_DIR/commands"
[ -s "$CASE_DIR/commands" ] || fail "no commands found in options.def"
"$to/bin/mayfly" --help >"$SAID/help" || fail "--help ends with status $?"
while read -r command; do
    grep -q "^ *$command\b" "$SAID/help" || fail "--help does not know $command"
    grep -q "^\.SS \"mayfly $command\b" "$man" || fail "the man page does not know $command"
    "$to/bin/mayfly" "$command" --help >"$SAID/help.$command" || fail "$command --help ends with status $?"
    sed -n "s/^OPTION($command, \"\([a-z-]*\)\".*/\1/p" "$ROOT/src/cmd/options.def" | while read -r option; do
        grep -q -- "--$option\b" "$SAID/help.$command" || fail "$command --help does not know --$option"
        grep -qF -- "$(printf '%s' "--$option" | sed 's/-/\\-/g')" "$man" || fail "the man page does not know --$option"
    done
done <"$CASE_DIR/commands"
# The README names them as `mayfly NAME ...` in a line, and as "    mayfly NAME | NAME ..." in the block of commands.
{
    grep -o '`mayfly [a-z][a-z]*' "$ROOT/README.md" | cut -d' ' -f2
    sed -n 's/^    mayfly \([a-z][a-z |]*[a-z]\) .*/\1/p' "$ROOT/README.md" | sed 's/  .*//' | tr -s ' |' '\n'
} | sort -u | comm -23 - "$CASE_DIR/commands" >"$CASE_DIR/invented"
[ ! -s "$CASE_DIR/invented" ] || fail "the README names commands that there are not: $(tr '\n' ' ' <"$CASE_DIR/invented")"
grep -oE -- '`(mayfly [^`]*)?--[a-z-]+' "$ROOT/README.md" | grep -o -- '--[a-z-]*' | sort -u | while read -r option; do
    grep -q "\"${option#--}\"" "$ROOT/src/cmd/options.def" || [ "$option" = --help ] || fail "the README names $option, which there is not"
done
finish
