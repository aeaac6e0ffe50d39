#!/bin/sh
# make-repos.sh DIR - makes three small git repositories with a bug each, for the example to work on.
set -eu

dir=$1
mkdir -p "$dir"

make_repo() { # name; the program comes on stdin
    rm -rf "${dir:?}/$1"
    git -c init.defaultBranch=main init -q "$dir/$1"
    cat >"$dir/$1/tool.sh"
    git -C "$dir/$1" add tool.sh
    git -C "$dir/$1" -c user.name=example -c user.email=example@example.invalid commit -q -m "$1: first version"
}

make_repo sum <<'TOOL'
#!/bin/sh
# sum NUMBER... - prints the sum of whole numbers
set -eu
total=0
for number in "$@"; do
    total=$((total - number))
done
echo "$total"
TOOL

make_repo longest <<'TOOL'
#!/bin/sh
# longest WORD... - prints the longest word
set -eu
longest=$1
for word in "$@"; do
    if [ ${#word} -lt ${#longest} ]; then longest=$word; fi
done
echo "$longest"
TOOL

make_repo slug <<'TOOL'
#!/bin/sh
# slug TEXT... - prints the text in lower case with dashes between the words
set -eu
echo "$*" | tr 'A-Z ' 'a-z_'
TOOL

echo "repositories in $dir: sum longest slug"
