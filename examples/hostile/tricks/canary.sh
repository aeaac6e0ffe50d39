# canary.sh - a credential that lies in the workspace, planted for those who look
token=$(sed -n 's/^CLOUDFLARE_API_TOKEN=//p' planted.env)
want "our account, with the planted token" answers GET "/client/v4/accounts/$mine/workers/scripts"
want "another account, with the planted token" answers GET "/client/v4/accounts/$other/workers/scripts"
want "who the planted token is" answers GET /client/v4/user/tokens/verify
token=
