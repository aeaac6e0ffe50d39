#!/bin/sh
# banned.sh [ROOT] - calls that nobody may make in src/: unbounded copies, shells, hidden state, descriptors that an agent would
# inherit, memory behind the back of base/alloc.h, and json-c without the strict scanner before it.
#
# banned.allow lists exceptions, one a line: PATH CALL and a reason.
set -eu

root=${1:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$(cd "$(dirname "$0")" && pwd)
allow=${BANNED_ALLOW:-$here/banned.allow}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

# call, then what to use instead; `needs X` = the statement must name X.
cat >"$work/rules" <<'RULES'
strcpy mf_buf or memcpy with a known length
strcat mf_buf
stpcpy mf_buf
strncpy memcpy with a known length
strncat mf_buf
sprintf snprintf
vsprintf vsnprintf
gets fgets
strtok spans
atoi base's number functions
atol base's number functions
atoll base's number functions
atof base's number functions
alloca base/alloc.h
mktemp mkostemp
tmpnam mkostemp
tempnam mkostemp
mkstemp mkostemp with O_CLOEXEC
system posix_spawn or the spawner
popen posix_spawn or the spawner
rand base/rng.h or getrandom
srand base/rng.h
random base/rng.h or getrandom
drand48 base/rng.h
setjmp an error return
longjmp an error return
localtime localtime_r
gmtime gmtime_r
ctime strftime
asctime strftime
inet_ntoa inet_ntop
gethostbyname getaddrinfo
vfork posix_spawn or the spawner
readdir_r readdir
json_tokener_parse json/ first, then json_tokener_parse_ex
json_tokener_parse_verbose json/ first, then json_tokener_parse_ex
json_object_from_file json/ first, then json_tokener_parse_ex
json_object_from_fd json/ first, then json_tokener_parse_ex
malloc mf_alloc
calloc mf_calloc
realloc mf_realloc
reallocarray mf_realloc
strdup mf_strdup
strndup mf_strndup
asprintf mf_buf
vasprintf mf_buf
free mf_free
creat open with O_CLOEXEC
pipe pipe2 with O_CLOEXEC
accept accept4 with SOCK_CLOEXEC
dup fcntl with F_DUPFD_CLOEXEC
dup2 dup3 with O_CLOEXEC (dup2 only between fork and exec)
epoll_create epoll_create1 with EPOLL_CLOEXEC
inotify_init inotify_init1 with IN_CLOEXEC
open needs O_CLOEXEC
openat needs O_CLOEXEC
mkostemp needs O_CLOEXEC
pipe2 needs O_CLOEXEC
dup3 needs O_CLOEXEC
socket needs SOCK_CLOEXEC
socketpair needs SOCK_CLOEXEC
accept4 needs SOCK_CLOEXEC
epoll_create1 needs EPOLL_CLOEXEC
eventfd needs EFD_CLOEXEC
timerfd_create needs TFD_CLOEXEC
signalfd needs SFD_CLOEXEC
memfd_create needs MFD_CLOEXEC
inotify_init1 needs IN_CLOEXEC
signal needs SIG_
fopen needs e
freopen needs e
RULES
grep -Ev '^[[:space:]]*(#|$)' "$allow" >"$work/allow" || true
: >"$work/found"

find src include -name '*.[ch]' | sort | while read -r file; do
    awk -v strings=1 -f "$here/../lib/strip.awk" "$file" >"$work/text"
    awk -v strings=0 -f "$here/../lib/strip.awk" "$file" >"$work/code"
    awk -v file="$file" '
        FILENAME ~ /rules$/ {
            name = $1
            if ($2 == "needs")
                needs[name] = $3
            else
                instead[name] = substr($0, length(name) + 2)
            next
        }
        FILENAME ~ /text$/ { text[FNR] = $0; next }
        { code[FNR] = $0; lines = FNR }
        # The statement that starts on this line, with its strings, up to the semicolon.
        function statement(line, all, end) {
            end = line + 8
            for (; line <= lines && line < end; line++) {
                all = all " " text[line]
                if (code[line] ~ /;/)
                    break
            }
            return all
        }
        function fine(call, line, all, before) {
            all = statement(line)
            if (call == "fopen" || call == "freopen")
                return all ~ (call "\\([^;]*\"[rwa][b+]*e[bx+]*\"")
            if (index(all, needs[call]) > 0)
                return 1
            # or a variable that was given the flag a few lines before
            for (before = line - 10; before < line; before++)
                if (needs[call] != "SIG_" && text[before] ~ / = / && index(text[before], needs[call]) > 0)
                    return 1
            return 0
        }
        END {
            for (line = 1; line <= lines; line++) {
                rest = code[line]
                before = " "
                while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
                    call = substr(rest, RSTART, RLENGTH - 1)
                    sub(/[ \t]+$/, "", call)
                    previous = RSTART > 1 ? substr(rest, RSTART - 1, 1) : before
                    before = "("
                    rest = substr(rest, RSTART + RLENGTH)
                    if (previous ~ /[A-Za-z0-9_.>]/)
                        continue
                    if (call in instead)
                        printf "%s %s %d use %s\n", file, call, line, instead[call]
                    else if (call in needs && !fine(call, line))
                        printf "%s %s %d without %s\n", file, call, line, needs[call] == "e" ? "mode e (close on exec)" : needs[call] == "SIG_" ? "SIG_DFL or SIG_IGN: a handler is set with sigaction" : needs[call]
                }
            }
        }' "$work/rules" "$work/text" "$work/code" >>"$work/found"
done

awk 'FILENAME == ARGV[1] { if (NF < 3) print $1 ": entry of banned.allow without a reason"; allowed[$1 " " $2] = 1; next }
     { key = $1 " " $2
       if (key in allowed) { used[key] = 1; next }
       why = $0
       sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", why)
       printf "%s:%s: %s(): %s\n", $1, $3, $2, why }
     END { for (key in allowed) if (!(key in used)) print key ": in banned.allow but not used" }' \
    "$work/allow" "$work/found" >"$work/bad"

if [ -s "$work/bad" ]; then
    cat "$work/bad" >&2
    exit 1
fi
