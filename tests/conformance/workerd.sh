#!/bin/bash
# workerd.sh - deployed Workers answer: files without anything else, scripts through the real workerd with their KV, D1, secret and
# asset bindings; a script without workerd is 501; what is deleted is gone
set -eu
. "$(dirname "$0")/clients.sh"
. "$(dirname "$0")/../lib/case.sh"
[ -x "$WORKERD" ] || skip "needs workerd, which wrangler brings along"

start_emulator --workerd "$WORKERD"
ORIGIN=${EMULATOR_URL%/client/v4}
account=$(operator /accounts -d '{"name": "mayfly-case-000000000000-1"}' | jq -r .result.id)
A=/accounts/$account
subdomain=$(operator "$A/workers/subdomain" | jq -r .result.subdomain)
namespace=$(operator "$A/storage/kv/namespaces" -d '{"title": "store"}' | jq -r .result.id)
database=$(operator "$A/d1/database" -d '{"name": "base"}' | jq -r .result.uuid)
cat >"$CASE_DIR/index.js" <<'JS'
import { greeting } from './lib.js';
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === '/throw') throw new Error('on purpose');
    if (url.pathname === '/file') return env.ASSETS.fetch('http://assets/page');
    await env.KV.put('a/b c', 'from the script', { metadata: { n: 1 } });
    const { value, metadata } = await env.KV.getWithMetadata('a/b c');
    const { keys } = await env.KV.list({ prefix: 'a' });
    await env.DB.exec('CREATE TABLE IF NOT EXISTS t (a, b)');
    await env.DB.batch([env.DB.prepare('INSERT INTO t VALUES (?, ?)').bind(1, 'x'), env.DB.prepare('INSERT INTO t VALUES (2, ?)').bind(null)]);
    const { results } = await env.DB.prepare('SELECT count(*) AS n FROM t').all();
    const wrong = await env.DB.prepare('SELECT nonsense').all().catch((reason) => String(reason));
    const away = await fetch('http://192.0.2.1/').then(() => 'reached', () => 'refused');
    return Response.json({ greeting, method: request.method, body: await request.text(), path: url.pathname + url.search, who: env.WHO,
      secret: env.SECRET, value, metadata, keys: keys.map((key) => key.name), count: results[0].n, wrong, away });
  },
};
JS
echo 'export const greeting = "hello";' >"$CASE_DIR/lib.js"
session=$(operator "$A/workers/scripts/full/assets-upload-session" -d '{"manifest": {"/page.html": {"hash": "17453d0cfb9bacc76d9f30d3cb9ca048", "size": 5}}}' | jq -r .result.jwt)
jwt=$(printf 'Authorization: Bearer %s\n' "$session" | curl -sS -H @- -F "17453d0cfb9bacc76d9f30d3cb9ca048=cGFnZQ==;type=text/html" "$EMULATOR_URL$A/workers/assets/upload?base64=true" | jq -r .result.jwt)
deploy() { # name, metadata
    operator "$A/workers/scripts/$1" -X PUT -F "metadata=$2" -F "index.js=@$CASE_DIR/index.js;type=application/javascript+module" \
        -F "lib.js=@$CASE_DIR/lib.js;type=application/javascript+module" -o /dev/null
    operator "$A/workers/scripts/$1/subdomain" -d '{"enabled": true}' -o /dev/null
}
deploy full "{\"main_module\": \"index.js\", \"compatibility_date\": \"2026-01-01\", \"assets\": {\"jwt\": \"$jwt\"}, \"bindings\": [
    {\"type\": \"plain_text\", \"name\": \"WHO\", \"text\": \"you \\\"quoted\\\"\"}, {\"type\": \"assets\", \"name\": \"ASSETS\"},
    {\"type\": \"kv_namespace\", \"name\": \"KV\", \"namespace_id\": \"$namespace\"}, {\"type\": \"d1\", \"name\": \"DB\", \"id\": \"$database\"}]}"
operator "$A/workers/scripts/full/secrets" -X PUT -d '{"name": "SECRET", "text": "first", "type": "secret_text"}' -o /dev/null

at() { # path below the worker, curl option...
    local path=$1
    shift
    curl -sS "$@" "$ORIGIN/__workers/$subdomain/full$path"
}
want page "$(at /page)" "a file"
got=$(at '/x/y?z=1' -d 'a body')
want '{"greeting":"hello","method":"POST","body":"a body","path":"/x/y?z=1","who":"you \"quoted\"","secret":"first","value":"from the script","metadata":{"n":1},"keys":["a/b c"],"count":2,"wrong":"Error: D1_ERROR: no such column: nonsense: SQLITE_ERROR","away":"refused"}' \
    "$(jq -c . <<<"$got")" "a script with its bindings"
want 'from the script' "$(operator "$A/storage/kv/namespaces/$namespace/values/a%2Fb%20c")" "what the script put"
want 2 "$(operator "$A/d1/database/$database/query" -d '{"sql": "select count(*) n from t"}' | jq '.result[0].results[0].n')" "what the script inserted"
want page "$(at /file)" "a file through the binding"
want 500 "$(at /throw -o /dev/null -w '%{http_code}')" "a script that throws"
want hello "$(curl -sS -H "Host: full.$subdomain.localhost:1" "$ORIGIN/" | jq -r .greeting)" "the worker's own host name"
operator "$A/workers/scripts/full/secrets" -X PUT -d '{"name": "SECRET", "text": "second", "type": "secret_text"}' -o /dev/null
want second "$(at / | jq -r .secret)" "a changed secret"
sed -i 's/hello/goodbye/' "$CASE_DIR/lib.js"
deploy full "{\"main_module\": \"index.js\", \"compatibility_date\": \"2026-01-01\", \"bindings\": [
    {\"type\": \"kv_namespace\", \"name\": \"KV\", \"namespace_id\": \"$namespace\"}, {\"type\": \"d1\", \"name\": \"DB\", \"id\": \"$database\"}]}"
want goodbye "$(at / | jq -r .greeting)" "a new version"
printf 'nonsense (' >"$CASE_DIR/index.js"
deploy broken '{"main_module": "index.js"}'
want 500 "$(curl -sS -o /dev/null -w '%{http_code}' "$ORIGIN/__workers/$subdomain/broken/")" "a script that does not start"
want 404 "$(curl -sS -o /dev/null -w '%{http_code}' "$ORIGIN/__workers/$subdomain/none/")" "a worker that is not there"
operator "$A/workers/scripts/full" -X DELETE -o /dev/null
want 404 "$(at / -o /dev/null -w '%{http_code}')" "a deleted worker"
operator "$A" -X DELETE -o /dev/null
finish
