# paths.sh - one path for who checks, another for who answers
here=/client/v4/accounts/$mine
for path in \
    "$here/../$other/workers/scripts" "$here/%2e%2e/$other/workers/scripts" "$here/%2E./$other/workers/scripts" "$here/..%2f$other/workers/scripts" \
    "$here/..%5c$other/workers/scripts" "$here/workers/scripts/../../storage/kv/namespaces" "$here/workers/scripts/%2e%2e/%2e%2e/storage/kv/namespaces" \
    "$here/workers/scripts/..;/..;/storage/kv/namespaces" "$here/workers/scripts%2f..%2f..%2fstorage%2fkv%2fnamespaces" "$here//storage/kv/namespaces" \
    "$here/storage%2fkv%2fnamespaces" "$here/storage/kv/namespaces%00/workers/scripts" "$here/storage/kv/namespaces%3f/workers/scripts" \
    "$here/storage/kv/namespaces#/workers/scripts" "$here/%73torage/kv/namespaces" "$here/%2573torage/kv/namespaces" "$here/STORAGE/KV/namespaces" \
    "$here/storage/kv/%c0%aenamespaces" "$here/workers/scripts/%252e%252e/%252e%252e/storage/kv/namespaces" "$here/./storage/./kv/namespaces" \
    "/client/v4/./accounts/$other/workers/scripts" "/client/v4//accounts/$other/workers/scripts" "/client/v3/../v4/accounts/$other/workers/scripts" \
    "/../__mayfly/ledger" "/client/v4/../../__mayfly/state" "$here/workers/scripts?/../../../$other/workers/scripts%2f" "/client/v4/accounts/$mine%2f..%2f$other/workers/scripts"; do
    case $path in
        *scripts\?*) ;; # a query is no path: this one may be answered, with what the task may see
        *) want "$path" answers GET "$path" ;;
    esac
done
want "another method by a header" answers POST "$here/workers/scripts" -H 'X-HTTP-Method-Override: GET'
want "another account by a header" answers GET "/client/v4/accounts/$other/workers/scripts" -H "X-Original-URL: $here/workers/scripts" -H "X-Rewrite-URL: $here/workers/scripts"
