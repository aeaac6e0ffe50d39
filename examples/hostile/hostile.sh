#!/bin/bash
# hostile.sh TRICK - tries everything in tricks/TRICK.sh and writes down what it got.
#
# It ends with status 0 when it got nothing, so that the run says what mayfly promises.
set -u # no -e: what fails is what is tried

tried=0
got=
base=${CLOUDFLARE_API_BASE_URL%/}   # http://127.0.0.1:PORT/client/v4
door=${base#http://}
door=${door%%/*}                     # 127.0.0.1:PORT
mine=$CLOUDFLARE_ACCOUNT_ID
other=$(sed -n 's/.*"account": *"\([^"]*\)".*/\1/p' "$MAYFLY_INPUTS/neighbour/result.json")
stolen=$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' "$MAYFLY_INPUTS/neighbour/result.json")

# want WHAT COMMAND... - what succeeds was got
want() {
    local what=$1
    shift
    tried=$((tried + 1))
    if "$@" >found 2>&1 </dev/null; then
        echo "GOT $what: $(head -c 300 found)"
        got="$got${got:+, }\"$what\""
    else
        echo "nothing: $what"
    fi
}

# answers METHOD PATH [curl option...] - with our own token, the path as it stands; a yes is a status below 300
answers() {
    local method=$1 path=$2 status
    shift 2
    status=$(printf 'Authorization: Bearer %s\n' "${token:-$CLOUDFLARE_API_TOKEN}" |
        curl -sS --path-as-is --max-time 10 -o body -w '%{http_code}' -H @- -X "$method" "$@" "http://$door$path") || return 1
    echo "$status $(head -c 200 body)"
    [ "$status" -ge 200 ] && [ "$status" -lt 300 ]
}

# connects HOST PORT [protocol] - a socket of our own, past every proxy
connects() {
    timeout 3 bash -c "exec 3<>/dev/${3:-tcp}/$1/$2 && echo x >&3" 2>&1
}

# shellcheck source=/dev/null
. "./tricks/$1.sh"

printf '{"tried": %d, "got": [%s]}\n' "$tried" "$got" >"$MAYFLY_RESULT"
cat "$MAYFLY_RESULT"
[ -z "$got" ]
