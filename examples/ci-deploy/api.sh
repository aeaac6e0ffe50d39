# api.sh - api METHOD PATH [curl option...]: one call below this agent's own account, with this agent's own token
#
# The token goes to curl on stdin: a command line can be read by everybody on the machine.
api() {
    method=$1
    path=$2
    shift 2
    printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
        curl -sS --fail-with-body --retry 5 --retry-max-time 60 -H @- -X "$method" "$@" \
            "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID$path"
}
