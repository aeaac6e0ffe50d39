#!/bin/sh
# install-deps.sh SET... - installs what is missing from Debian, so that the two commands of the README work on a fresh machine.
#
# Sets: build (compile mayfly), run (what the examples' agents call), tests, full (the long loops), bench.
# Nothing is touched, and nothing is downloaded, when every package is there already.
set -eu

packages_of() {
    case $1 in
        build) echo gcc libc6-dev cmake ninja-build pkg-config libcurl4-openssl-dev libev-dev libjson-c-dev libssl-dev libsqlite3-dev libseccomp-dev ;;
        run) echo ca-certificates curl git bubblewrap ;;
        tests) echo libcmocka-dev clang-14 libclang-rt-14-dev universal-ctags jq sqlite3 openssl nghttp2-server bsdutils shellcheck iproute2 perl-base ;;
        full) echo gcovr ;;
        bench) echo make ninja-build jq nghttp2-client nginx-light util-linux ;;
        *)
            echo "install-deps: no such set: $1" >&2
            return 2
            ;;
    esac
}

installed() {
    dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

wanted=
for set in "$@"; do
    names=$(packages_of "$set")
    wanted="$wanted $names"
done

if ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system; these packages, under the names that your system has for them, are needed:$wanted" >&2
    exit 0
fi

missing=
for package in $wanted; do
    installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

become="env"
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps: packages are missing and this is not root; run as root:" >&2
        echo "    apt-get update && apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
    become="sudo env"
fi

echo "installing:$missing" >&2
# Both variables are lists of words on purpose.
# shellcheck disable=SC2086
{
    $become apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
    $become DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >&2
}
