# environment.sh - a credential among the variables, and what the one that is there is good for
env_secret() {
    env | grep -iE '^[^=]*(key|token|secret|password|credential)[^=]*=.' | grep -vE '=mfy_'
}
accounts_secret() {
    printf '%s' "${MAYFLY_ACCOUNTS:-}" | grep -oE '"[^"]*(token|secret|key|password)": *"[^"]*"' | grep -v 'mfy_' # what ends with _id is none
}
want "a credential in a variable" env_secret
want "a credential in MAYFLY_ACCOUNTS" accounts_secret
want "a credential in the prompt or the inputs" grep -rhoE 'cfat?_[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9_-]{20,}' "$MAYFLY_INPUTS" "$HOME"
want "another token, minted with ours" answers POST "/client/v4/accounts/$mine/tokens" -H 'Content-Type: application/json' -d '{"name": "mine", "policies": []}'
want "a user's token" answers GET /client/v4/user/tokens
