# api.sh - api METHOD PATH [curl option...]: one call below this agent's own account, with this agent's own token
api() {
    method=$1
    path=$2
    shift 2
    printf 'Authorization: Bearer %s\n' "$CLOUDFLARE_API_TOKEN" |
        curl -sS --fail-with-body -H @- -X "$method" "$@" "$CLOUDFLARE_API_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID$path"
}

# deploy NAME - a Worker that says its name
deploy() {
    printf '{"main_module": "worker.js", "compatibility_date": "2026-01-01"}' >metadata.json
    printf 'export default { fetch() { return new Response("%s"); } };\n' "$1" >worker.js
    api PUT "/workers/scripts/$1" -F 'metadata=<metadata.json' -F 'worker.js=@worker.js;type=application/javascript+module' >answer.json
}
