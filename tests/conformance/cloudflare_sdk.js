// cloudflare_sdk.js - see cloudflare_sdk.sh; every step says what it saw when that is not what it wanted. With SDK_AGENT it is an
// agent with the environment that mayfly gives (gateway_clients.sh): only what an account's token may do.
'use strict';
const assert = require('assert');
const Cloudflare = require('cloudflare');

const account_id = process.env.CLOUDFLARE_ACCOUNT_ID;
const operator = new Cloudflare({ maxRetries: 0 });
const all = async (page) => {
  const items = [];
  for await (const item of page) items.push(item);
  return items;
};
const refused = async (status, promise) => {
  const error = await promise.then(
    () => null,
    (reason) => reason,
  );
  assert.ok(error, 'was not refused');
  assert.strictEqual(error.status, status, String(error));
};
const resource = { [`com.cloudflare.api.account.${account_id}`]: '*' };
const groups = {
  scripts: 'e086da7e2179491d91ee5f35b3ca210a',
  kv: 'f7f0eda5697f475c90846e879bab8666',
  d1: '09b2857d1c31407795e75e3fed8617a1',
  queues: '366f57075ffc42689627bcf8242a1b6d',
  r2: 'bf7481a1826f439697cb59a20b22293e',
  hyperdrive: '721b2f51fba74871bd361de65aeb7e03',
  certificates: 'db37e5f1cb1a4e1aabaef8deaea43575',
};
const asAgent = Boolean(process.env.SDK_AGENT);
let agent = asAgent ? operator : undefined; // a client with an account-owned token, as an agent has it

const steps = {
  async user() {
    assert.ok((await operator.user.get()).id);
    assert.strictEqual((await operator.user.tokens.verify()).status, 'active');
    assert.ok((await all(operator.memberships.list())).length >= 1);
    const accounts = await all(operator.accounts.list());
    assert.ok(accounts.some((each) => each.id === account_id));
    assert.strictEqual((await operator.accounts.get({ account_id })).id, account_id);
  },
  async accounts() {
    const made = await operator.accounts.create({ name: 'second', type: 'standard' });
    assert.strictEqual((await operator.accounts.update({ account_id: made.id, id: made.id, name: 'renamed', type: 'standard' })).name, 'renamed');
    await operator.accounts.delete({ account_id: made.id });
    await refused(404, operator.accounts.get({ account_id: made.id }));
  },
  async tokens() {
    const known = await all(operator.accounts.tokens.permissionGroups.list({ account_id }));
    const ids = Object.values(groups).filter((id) => known.some((each) => each.id === id));
    const made = await operator.accounts.tokens.create({
      account_id,
      name: 'agent',
      policies: [{ effect: 'allow', resources: resource, permission_groups: ids.map((id) => ({ id })) }],
    });
    agent = new Cloudflare({ apiToken: made.value, maxRetries: 0 });
    assert.strictEqual((await agent.accounts.tokens.verify({ account_id })).status, 'active');
    assert.ok((await all(operator.accounts.tokens.list({ account_id }))).some((each) => each.id === made.id));
    const other = await operator.accounts.tokens.create({
      account_id,
      name: 'narrow',
      policies: [{ effect: 'allow', resources: resource, permission_groups: [{ id: groups.kv }] }],
    });
    const narrow = new Cloudflare({ apiToken: other.value, maxRetries: 0 });
    assert.deepStrictEqual(await all(narrow.kv.namespaces.list({ account_id })), []);
    await refused(403, all(narrow.d1.database.list({ account_id })));
    const rolled = await operator.accounts.tokens.value.update(other.id, { account_id, body: {} });
    await refused(401, narrow.accounts.tokens.verify({ account_id }));
    assert.ok(String(rolled).startsWith('cfat_'));
    await operator.accounts.tokens.delete(other.id, { account_id });
    await refused(401, new Cloudflare({ apiToken: String(rolled), maxRetries: 0 }).accounts.tokens.verify({ account_id }));
  },
  async workers() {
    const module = () => new File(['export default { fetch() { return new Response("hello"); } };'], 'index.js', { type: 'application/javascript+module' });
    const metadata = { main_module: 'index.js', compatibility_date: '2026-01-01', bindings: [{ type: 'plain_text', name: 'WHO', text: 'you' }] };
    const put = await agent.workers.scripts.update('hello', { account_id, metadata, files: [module()] });
    assert.strictEqual(put.id, 'hello');
    assert.ok((await all(agent.workers.scripts.list({ account_id }))).some((each) => each.id === 'hello'));
    assert.ok((await agent.workers.scripts.settings.get('hello', { account_id })) !== undefined);
    await agent.workers.scripts.scriptAndVersionSettings.get('hello', { account_id });
    const version = await agent.workers.scripts.versions.create('hello', { account_id, metadata, files: [module()] });
    assert.ok((await all(agent.workers.scripts.versions.list('hello', { account_id }))).some((each) => each.id === version.id));
    assert.strictEqual((await agent.workers.scripts.versions.get(version.id, { account_id, script_name: 'hello' })).id, version.id);
    await agent.workers.scripts.deployments.create('hello', { account_id, strategy: 'percentage', versions: [{ version_id: version.id, percentage: 100 }] });
    // the client looks for result.items here, the service answers result.deployments: the page keeps the whole answer
    assert.ok((await agent.workers.scripts.deployments.list('hello', { account_id })).result.deployments.length >= 2);
    await agent.workers.scripts.secrets.update('hello', { account_id, name: 'KEY', text: 'value', type: 'secret_text' });
    assert.strictEqual((await all(agent.workers.scripts.secrets.list('hello', { account_id })))[0].name, 'KEY');
    await agent.workers.scripts.secrets.delete('KEY', { account_id, script_name: 'hello' });
    await agent.workers.scripts.schedules.update('hello', { account_id, body: [{ cron: '*/5 * * * *' }] });
    assert.strictEqual((await agent.workers.scripts.schedules.get('hello', { account_id })).schedules[0].cron, '*/5 * * * *');
    await agent.workers.scripts.subdomain.create('hello', { account_id, enabled: true });
    assert.strictEqual((await agent.workers.scripts.subdomain.get('hello', { account_id })).enabled, true);
    assert.ok((await agent.workers.subdomains.get({ account_id })).subdomain);
    await agent.workers.scripts.delete('hello', { account_id, force: true });
    await refused(404, agent.workers.scripts.versions.list('hello', { account_id }));
  },
  async assets() {
    const hash = '17453d0cfb9bacc76d9f30d3cb9ca048';
    const session = await agent.workers.scripts.assets.upload.create('site', { account_id, manifest: { '/index.html': { hash, size: 5 } } });
    assert.deepStrictEqual(session.buckets, [[hash]]);
    const uploaded = await new Cloudflare({ apiToken: session.jwt, maxRetries: 0 }).workers.assets.upload.create({ account_id, base64: true, body: { [hash]: Buffer.from('hello').toString('base64') } });
    await agent.workers.scripts.update('site', { account_id, metadata: { compatibility_date: '2026-01-01', assets: { jwt: uploaded.jwt } } });
    await agent.workers.scripts.delete('site', { account_id });
  },
  async kv() {
    const made = await agent.kv.namespaces.create({ account_id, title: 'store' });
    const of = { account_id, namespace_id: made.id };
    assert.ok((await all(agent.kv.namespaces.list({ account_id }))).some((each) => each.id === made.id));
    await agent.kv.namespaces.values.update('a/b c', { ...of, value: 'text', metadata: '{"n":1}' });
    assert.strictEqual(await (await agent.kv.namespaces.values.get('a/b c', of)).text(), 'text');
    assert.deepStrictEqual(await agent.kv.namespaces.metadata.get('a/b c', of), { n: 1 });
    await agent.kv.namespaces.bulkUpdate(made.id, { account_id, body: [{ key: 'x', value: '1' }, { key: 'y', value: '2' }] });
    assert.strictEqual((await all(agent.kv.namespaces.keys.list(made.id, { account_id }))).length, 3);
    assert.strictEqual((await agent.kv.namespaces.bulkGet(made.id, { account_id, keys: ['x', 'y'] })).values.x, '1');
    await agent.kv.namespaces.bulkDelete(made.id, { account_id, body: ['x'] });
    await agent.kv.namespaces.values.delete('y', of);
    await agent.kv.namespaces.update(made.id, { account_id, title: 'renamed' });
    assert.strictEqual((await agent.kv.namespaces.get(made.id, { account_id })).title, 'renamed');
    await agent.kv.namespaces.delete(made.id, { account_id });
    await refused(404, agent.kv.namespaces.get(made.id, { account_id }));
  },
  async d1() {
    const made = await agent.d1.database.create({ account_id, name: 'base' });
    assert.ok((await all(agent.d1.database.list({ account_id }))).some((each) => each.uuid === made.uuid));
    const run = async (sql, params) => all(agent.d1.database.query(made.uuid, { account_id, sql, params }));
    await run('CREATE TABLE t (a, b)');
    assert.strictEqual((await run('INSERT INTO t VALUES (?, ?)', ['x', '2']))[0].meta.changes, 1);
    assert.deepStrictEqual((await run('SELECT * FROM t'))[0].results, [{ a: 'x', b: '2' }]);
    const raw = await all(agent.d1.database.raw(made.uuid, { account_id, sql: 'SELECT * FROM t' }));
    assert.deepStrictEqual(raw[0].results, { columns: ['a', 'b'], rows: [['x', '2']] });
    await refused(400, run('SELECT nonsense'));
    const dump = await agent.d1.database.export(made.uuid, { account_id, output_format: 'polling' });
    if (!asAgent) // a place of the provider's own, which no agent reaches
      assert.match(await (await fetch(dump.result.signed_url)).text(), /INSERT INTO "t" \("a","b"\) VALUES\('x','2'\);/);
    assert.strictEqual((await agent.d1.database.get(made.uuid, { account_id })).num_tables, 1);
    await agent.d1.database.delete(made.uuid, { account_id });
  },
  async queues() {
    const made = await agent.queues.create({ account_id, queue_name: 'work' });
    assert.ok((await all(agent.queues.list({ account_id }))).some((each) => each.queue_id === made.queue_id));
    await agent.queues.messages.push(made.queue_id, { account_id, body: 'hello', content_type: 'text' });
    const consumer = await agent.queues.consumers.create(made.queue_id, { account_id, type: 'http_pull' });
    const pulled = await agent.queues.messages.pull(made.queue_id, { account_id, batch_size: 5, visibility_timeout_ms: 5000 });
    assert.strictEqual(pulled.messages.length, 1);
    await agent.queues.messages.ack(made.queue_id, { account_id, acks: [{ lease_id: pulled.messages[0].lease_id }] });
    await agent.queues.consumers.delete(consumer.consumer_id, { account_id, queue_id: made.queue_id });
    assert.strictEqual((await agent.queues.get(made.queue_id, { account_id })).queue_name, 'work');
    await agent.queues.delete(made.queue_id, { account_id });
  },
  async r2() {
    await agent.r2.buckets.create({ account_id, name: 'bucket' });
    assert.ok((await agent.r2.buckets.list({ account_id })).buckets.some((each) => each.name === 'bucket'));
    assert.strictEqual((await agent.r2.buckets.get('bucket', { account_id })).name, 'bucket');
    await agent.r2.buckets.delete('bucket', { account_id });
    await refused(404, agent.r2.buckets.get('bucket', { account_id }));
  },
  async hyperdrive() {
    const origin = { scheme: 'postgres', host: 'db.example', port: 5432, database: 'base', user: 'user', password: 'password' };
    const made = await agent.hyperdrive.configs.create({ account_id, name: 'pool', origin });
    assert.strictEqual(made.origin.password, undefined);
    assert.ok((await all(agent.hyperdrive.configs.list({ account_id }))).some((each) => each.id === made.id));
    assert.strictEqual((await agent.hyperdrive.configs.edit(made.id, { account_id, name: 'other' })).name, 'other');
    assert.strictEqual((await agent.hyperdrive.configs.get(made.id, { account_id })).id, made.id);
    await agent.hyperdrive.configs.delete(made.id, { account_id });
  },
  async zones() {
    const zone = await operator.zones.create({ account: { id: account_id }, name: 'example.test', type: 'full' });
    assert.ok((await all(operator.zones.list({ name: 'example.test' }))).some((each) => each.id === zone.id));
    const zone_id = zone.id;
    const record = await operator.dns.records.create({ zone_id, name: 'www.example.test', type: 'A', content: '192.0.2.1', ttl: 1 });
    assert.strictEqual((await all(operator.dns.records.list({ zone_id, type: 'A' }))).length, 1);
    assert.strictEqual((await all(operator.dns.records.list({ zone_id, type: 'TXT' }))).length, 0);
    assert.strictEqual((await operator.dns.records.edit(record.id, { zone_id, name: 'www.example.test', type: 'A', content: '192.0.2.2', ttl: 1 })).content, '192.0.2.2');
    assert.strictEqual((await operator.dns.records.get(record.id, { zone_id })).content, '192.0.2.2');
    await operator.dns.records.delete(record.id, { zone_id });
    assert.strictEqual((await operator.zones.get({ zone_id })).status, 'active');
    await refused(403, agent.zones.get({ zone_id }));
    await operator.zones.delete({ zone_id });
    await refused(404, operator.zones.get({ zone_id }));
  },
  async badToken() {
    const bad = new Cloudflare({ apiToken: 'cfat_wrongwrongwrongwrong', maxRetries: 0 });
    await refused(401, all(bad.kv.namespaces.list({ account_id })));
    await refused(401, bad.user.tokens.verify());
  },
};

const forOperator = ['user', 'accounts', 'tokens', 'zones'];
(async () => {
  let failures = 0;
  for (const [name, step] of Object.entries(steps).filter(([each]) => !asAgent || !forOperator.includes(each)))
    await step().catch((reason) => {
      failures++;
      console.error(`${name}: ${reason && reason.stack ? reason.stack : reason}`);
    });
  console.log(`${Object.keys(steps).length} products, ${failures} failures`);
  process.exit(failures > 0 ? 1 : 0);
})();
