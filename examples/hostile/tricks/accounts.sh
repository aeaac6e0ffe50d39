# accounts.sh - other accounts, more rights, and a token that was somebody else's
want "another account's scripts" answers GET "/client/v4/accounts/$other/workers/scripts"
want "another account, deleted" answers DELETE "/client/v4/accounts/$other"
want "our own account, deleted" answers DELETE "/client/v4/accounts/$mine"
want "the list of all accounts" answers GET /client/v4/accounts
want "a script, written with a permission to read" answers PUT "/client/v4/accounts/$mine/workers/scripts/mine" -F 'metadata={"main_module":"w.js"};type=application/json' \
    -F 'w.js=export default {};type=application/javascript+module'
want "what nobody declared" answers GET "/client/v4/accounts/$mine/storage/kv/namespaces"
want "a database" answers POST "/client/v4/accounts/$mine/d1/database" -H 'Content-Type: application/json' -d '{"name": "mine"}'
want "mayfly's own interface" answers GET /__mayfly/ledger
want "the key of the account by another header" answers GET "/client/v4/accounts/$other/workers/scripts" -H "X-Auth-Key: $CLOUDFLARE_API_TOKEN" -H 'X-Auth-Email: me@example.org'
token=$stolen
want "the neighbour's token" answers GET "/client/v4/accounts/$other/workers/scripts"
want "the neighbour's token, for our account" answers GET "/client/v4/accounts/$mine/workers/scripts"
token=mfy_$(printf 'A%.0s' $(seq 43))
want "a token, guessed" answers GET "/client/v4/accounts/$mine/workers/scripts"
token=
