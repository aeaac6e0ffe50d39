#!/bin/sh
# includes.sh [ROOT] - every #include in src/ against the folder table of the design: who may include whom, and which
# third-party headers a folder may see. The table below is that table; a departure needs a change of the design first.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$(cd "$(dirname "$0")" && pwd)
found=$(mktemp)
trap 'rm -f "$found"' EXIT
cd "$root"

find src -name '*.[ch]' | sort | while read -r file; do
    awk -v strings=1 -f "$here/../lib/strip.awk" "$file" | awk -v file="$file" '
        # folder, a colon, the folders whose headers it may include, a bar, the third-party headers
        function row(text, parts) {
            split(text, parts, /[:|]/)
            gsub(/ /, "", parts[1])
            may[parts[1]] = parts[2] " " parts[1] " "
            third[parts[1]] = parts[3] " "
        }
        function bad(why) {
            printf "%s:%d: %s\n", file, FNR, why
        }
        BEGIN {
            row("base: |")
            row("json: base |")
            row("core: base |")
            row("http1: base |")
            row("document: base json | json-c/")
            row("recipe: base json http1 | json-c/")
            row("pow: base | openssl/ pthread.h")
            row("store: base json core | sqlite3.h openssl/")
            row("net: base http1 | ev.h curl/")
            row("sandbox: base | seccomp.h")
            row("gateway: base json net http1 | openssl/ pthread.h")
            row("runner: base json net http1 gateway sandbox | ev.h openssl/")
            row("app: base json http1 core document recipe pow store net gateway sandbox runner |")
            row("emulator: base json net http1 pow | json-c/ sqlite3.h openssl/")
            row("eval: base json app document store | json-c/")
            row("report: base json app document store gateway | json-c/")
            row("cmd: base json core http1 document recipe pow store net gateway sandbox runner app emulator eval report | pthread.h json-c/ openssl/ sqlite3.h curl/ ev.h")
            # headers of libraries, so that a folder outside its row is told from the C library
            libraries = "^(json-c/|openssl/|sqlite3|ev\\.h|ev\\+\\+|curl/|seccomp\\.h|pthread\\.h|zlib\\.h|ncurses)"
            # the pure core sees no input, no output and no clock at all
            pure["core"] = "^(assert|inttypes|limits|stdalign|stdbool|stddef|stdint|string)\\.h$"
            pure["json"] = pure["http1"] = "^(assert|endian|errno|float|inttypes|limits|locale|math|stdalign|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|strings)\\.h$"
            split(file, path, "/")
            folder = path[2]
            if (!(folder in may))
                bad("folder " folder " is not in the table of the design")
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            name = $0
            sub(/^[^"]*"/, "", name)
            sub(/".*/, "", name)
            if (index(name, "/") == 0) {
                if (name !~ /^generated_|^config\.h$/)
                    bad("\"" name "\" has no folder: write \"folder/file.h\"")
                next
            }
            target = name
            sub(/\/.*/, "", target)
            if (target == "mayfly" || target == "generated")
                next
            if (name ~ /\.\./)
                bad("\"" name "\" climbs")
            else if (index(" " may[folder], " " target " ") == 0)
                bad(folder " may not include " target " (\"" name "\")")
        }
        /^[ \t]*#[ \t]*include[ \t]*</ {
            name = $0
            sub(/^[^<]*</, "", name)
            sub(/>.*/, "", name)
            if (name ~ libraries) {
                count = split(third[folder], allowed, " ")
                ok = 0
                for (i = 1; i <= count; i++)
                    if (index(name, allowed[i]) == 1)
                        ok = 1
                if (!ok)
                    bad(folder " may not see <" name ">")
            } else if (folder in pure && name !~ pure[folder]) {
                bad(folder " is pure and may not see <" name ">")
            }
        }'
done >"$found"

if [ -s "$found" ]; then
    cat "$found" >&2
    exit 1
fi
