#!/bin/bash
# selftest.sh [ROOT [BUILD]] - every lint must be able to fail: plants one violation after the other in a small tree of its own
# and wants it reported, and wants silence about the same tree without it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export BANNED_ALLOW=$work/allow LENGTH_ALLOW=$work/allow
: >"$work/allow"
tree=$work/tree
failed=0

# A tree that every lint likes.
plant() {
    rm -rf "$tree"
    mkdir -p "$tree"/src/{core,json,http1,base,store,app,cmd} "$tree"/{examples,tests,bench,include}
    cat >"$tree/src/core/decide.c" <<'C'
/* SELECT a FROM b; strcpy(x, y) in a comment is no call */
#include "base/str.h"
#include <string.h>
int core_decide(const char *text, int *out);
int core_decide(const char *text, int *out)
{
    *out = (int)strlen(text);
    return 0;
}
C
    printf '#include "core/decide.h"\n#include <sqlite3.h>\nconst char *q = "SELECT a FROM b";\n' >"$tree/src/store/sql.c"
    printf '#include <fcntl.h>\nint f(void);\nint f(void)\n{\n    return open("/dev/null",\n        O_RDONLY | O_CLOEXEC);\n}\n' >"$tree/src/app/files.c"
    printf '#!/bin/sh\n# ok - says what it is\nset -eu\necho "strcpy(a, b)"\n' >"$tree/examples/ok"
    chmod +x "$tree/examples/ok"
}

expect() { # lint, 0 or 1, text in the report, what was planted
    local status=0
    "$here/$1.sh" "$tree" "$work/build" >"$work/report" 2>&1 || status=$?
    if [ "$status" -ne "$2" ] || ! grep -qF -- "$3" <(cat "$work/report"; echo); then
        echo "lint $1 ended with $status on: $4; it said:" >&2
        sed 's/^/    /' "$work/report" >&2
        failed=1
    fi
}

violates() { # lint, file, line to append, text in the report
    plant
    printf '%s\n' "$3" >>"$tree/$2"
    expect "$1" 1 "$4" "$3"
}

plant
: >"$tree/src/store/empty.h"
for lint in includes length banned sql paths scripts; do
    expect "$lint" 0 "" "a clean tree"
done

violates includes src/core/decide.c '#include "store/journal.h"' "src/core/decide.c:10: core may not include store"
violates includes src/core/decide.c '#  include <time.h>' "core is pure and may not see <time.h>"
violates includes src/json/scan.c '#include <sys/socket.h>' "json is pure"
violates includes src/app/files.c '#include <curl/curl.h>' "app may not see <curl/curl.h>"
violates includes src/app/files.c '#include "files.h"' "has no folder"
violates includes src/app/files.c '#include "store/../eval/x.h"' "climbs"
mkdir -p "$tree/src/novel"
: >"$tree/src/novel/a.h"
expect includes 1 "not in the table" "a folder that the table does not know"

violates sql src/app/files.c 'const char *s = "DELETE FROM journal";' "src/app/files.c:8: SQL"
violates sql src/core/decide.c 'int x = sqlite3_step(0);' "SQL outside"

violates paths src/app/files.c "const char *p = \"/$(printf work)/x\";" "src/app/files.c:8"
violates paths examples/ok "curl https://$(printf pypi).org/simple" "examples/ok:5"

violates scripts examples/ok 'if' "does not parse"
plant
chmod -x "$tree/examples/ok"
expect scripts 1 "has no run bit" "a script without a run bit"
plant
printf '#!/bin/sh\n# says it\necho\n' >"$tree/examples/ok"
expect scripts 1 "has no set -eu" "a script without set -eu"

violates banned src/app/files.c 'void g(char *a) { strcpy(a, "x"); }' "src/app/files.c:8: strcpy()"
violates banned src/app/files.c 'int h(void) { return system ("ls"); }' "system()"
violates banned src/app/files.c 'int h(void) { return open("x", O_RDONLY); }' "open(): without O_CLOEXEC"
violates banned src/app/files.c 'FILE *h(void) { return fopen("x", "r"); }' "fopen(): without mode e"
violates banned src/app/files.c 'void *h(void) { return malloc(1); }' "malloc(): use mf_alloc"
violates banned src/app/files.c 'void h(void) { signal(SIGINT, handler); }' "signal(): without SIG_DFL"
violates banned src/app/files.c 'int h(void) { return socket(1, SOCK_STREAM, 0); }' "socket(): without SOCK_CLOEXEC"
plant
echo "src/app/files.c strcpy long gone" >"$work/allow"
expect banned 1 "in banned.allow but not used" "an exception that nobody needs"
: >"$work/allow"

plant
{
    printf 'int long_one(void);\nint long_one(void)\n{\n'
    yes '    ;' | head -n 80
    printf '}\n'
} >"$tree/src/app/long.c"
expect length 1 "src/app/long.c:long_one 83 lines" "a function of 83 lines"
echo "src/app/long.c:long_one a table" >"$work/allow"
expect length 0 "" "the same function with an entry in the allow-list"
: >"$work/allow"
plant
yes '/* line */' | head -n 501 >"$tree/src/app/big.c"
expect length 1 "src/app/big.c 501 lines" "a file of 501 lines"

# symbols: four objects, then one that reads a clock
objects() {
    rm -rf "$work/build"
    for folder in core json http1 base; do
        mkdir -p "$work/build/src/$folder"
        printf '#include <string.h>\nsize_t %s_f(const char *a);\nsize_t %s_f(const char *a) { return strlen(a); }\n' $folder $folder |
            cc -x c -O0 -fno-builtin -c -o "$work/build/src/$folder/a.c.o" -
    done
}
objects
expect symbols 0 "" "four pure objects"
echo '#include <time.h>
long core_now(void); long core_now(void) { return time(0); }' | cc -x c -c -o "$work/build/src/core/clock.c.o" -
expect symbols 1 "src/core: clock.c uses time" "a clock in the core"
objects
echo 'long store_read(void); long json_g(void); long json_g(void) { return store_read(); }' | cc -x c -c -o "$work/build/src/json/x.c.o" -
expect symbols 1 "src/json: x.c uses store_read" "a call out of the pure folders"
rm -r "$work/build/src/http1"
expect symbols 1 "no object files" "a folder without objects"

[ $failed -eq 0 ] && echo "every lint can fail"
exit $failed
