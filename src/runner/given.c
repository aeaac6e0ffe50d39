/*
 * given.c - what a stage is given of accounts and services: tokens of the gateway in place of credentials
 *
 * The orchestrator writes marks where an agent expects its credential and the address of its provider; here they become a token
 * that was made for this stage alone and the place of the gateway: inside a sandbox always the same port, else one of its own.
 * The tokens live in this call, in the environment that is on its way to the spawner, and in the redactor; the gateway keeps
 * their hashes.
 */
#include "runner/runner_private.h"

#include "base/alloc.h"
#include "gateway/egress_rules.h"
#include "http1/match.h"
#include "json/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define URL_BYTES_MAX 8300 /* a base path is a path */

static const struct runner_spawn *spawn_of(const struct stage *stage)
{
    return &stage->spawn.spawn;
}

static bool has_grants(const struct stage *stage)
{
    return stage->kind != STAGE_PREPARE && (spawn_of(stage)->lease_count > 0 || spawn_of(stage)->use_count > 0);
}

/* --- doors --- */

static int add_port(uint64_t ports[SANDBOX_PORTS_MAX], uint32_t *count, uint16_t port, struct mf_error *error)
{
    if (port == SANDBOX_GATEWAY_PORT || port == SANDBOX_EGRESS_PORT)
        return mf_fail(error, MF_INPUT, "reach: port %u is the gateway's own", port);
    if (*count == SANDBOX_PORTS_MAX)
        return mf_fail(error, MF_LIMIT, "reach: more than %u ports on loopback", SANDBOX_PORTS_MAX);
    ports[(*count)++] = port;
    return 0;
}

int given_ports(const struct stage *stage, uint64_t ports[SANDBOX_PORTS_MAX], uint32_t *count, struct mf_error *error)
{
    const struct runner_walls *walls = process_walls(stage);
    uint16_t reached[SANDBOX_PORTS_MAX];
    *count = 0;
    if (!walls->sandbox)
        return 0;
    if (has_grants(stage))
        ports[(*count)++] = SANDBOX_GATEWAY_PORT;
    if (egress_needs_proxy(walls->egress_count, walls->reach, walls->reach_count))
        ports[(*count)++] = SANDBOX_EGRESS_PORT;
    uint32_t reach_count = egress_reach_ports(walls->reach, walls->reach_count, reached, SANDBOX_PORTS_MAX);
    if (reach_count > SANDBOX_PORTS_MAX)
        return mf_fail(error, MF_LIMIT, "reach: more than %u ports on loopback", SANDBOX_PORTS_MAX);
    for (uint32_t i = 0; i < reach_count; i++)
        if (add_port(ports, count, reached[i], error) != 0)
            return -1;
    return 0;
}

/* The usual names; the task's own environment may say otherwise. */
int given_proxies(const struct stage *stage, struct environment *environment, struct mf_error *error)
{
    static const char *const names[] = {"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"};
    const struct runner_walls *walls = process_walls(stage);
    char proxy[40];
    if (!walls->sandbox || !egress_needs_proxy(walls->egress_count, walls->reach, walls->reach_count))
        return 0;
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", SANDBOX_EGRESS_PORT);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (environment_set_text(environment, names[i], proxy, error) != 0)
            return -1;
    if (environment_set_text(environment, "NO_PROXY", "127.0.0.1,localhost", error) != 0 ||
        environment_set_text(environment, "no_proxy", "127.0.0.1,localhost", error) != 0)
        return -1;
    return environment_set_text(environment, "NODE_USE_ENV_PROXY", "1", error);
}

/* --- marks --- */

struct marks {
    const char *token;
    char url[URL_BYTES_MAX];
};

static int set_marks(const struct stage *stage, uint64_t policy, uint16_t port, const char *token, struct marks *out,
                     struct mf_error *error)
{
    const struct policy_entry *entry = gate_policy(stage->runner, policy);
    if (entry == NULL)
        return mf_fail(error, MF_INTERNAL, "policy %" PRIu64 ": was not sent", policy);
    if (entry->trouble[0] != '\0')
        return mf_fail(error, MF_INPUT, "%s", entry->trouble);
    out->token = token;
    int length = snprintf(out->url, sizeof out->url, "http://127.0.0.1:%u%s", port, entry->base_path);
    return length < (int)sizeof out->url ? 0 : mf_fail(error, MF_LIMIT, "policy: its base path is too long");
}

static bool replace_here(struct mf_span *rest, const char *mark, const char *text, struct mf_buf *out)
{
    size_t length = strlen(mark);
    if (!mf_span_starts(*rest, mark))
        return false;
    mf_buf_text(out, text);
    *rest = (struct mf_span){rest->data + length, rest->length - length};
    return true;
}

/* Appends `text` with the marks replaced, in one pass. */
static void fill(struct mf_span rest, const struct marks *marks, struct mf_buf *out)
{
    while (rest.length > 0) {
        const char *brace = memchr(rest.data, '{', rest.length);
        size_t plain = brace != NULL ? (size_t)(brace - rest.data) : rest.length;
        mf_buf_append(out, rest.data, plain);
        rest = (struct mf_span){rest.data + plain, rest.length - plain};
        if (rest.length == 0 || replace_here(&rest, GATEWAY_TOKEN_MARK, marks->token, out) ||
            replace_here(&rest, GATEWAY_URL_MARK, marks->url, out))
            continue;
        mf_buf_char(out, '{');
        rest = (struct mf_span){rest.data + 1, rest.length - 1};
    }
}

static int set_filled(struct environment *environment, const struct runner_variable *variables, uint32_t count,
                      const struct marks *marks, struct mf_error *error)
{
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        struct mf_buf value;
        mf_buf_init_secret(&value, ENVIRONMENT_ENTRY_BYTES_MAX);
        fill(variables[i].value, marks, &value);
        result = value.failed ? mf_fail(error, MF_LIMIT, "environment: a value is longer than argument_bytes_max")
                              : environment_set(environment, variables[i].name, mf_buf_view(&value), error);
        mf_buf_free(&value);
    }
    return result;
}

/* --- leases --- */

struct lease_lists { /* owned; the shapes that the gateway wants */
    struct gateway_header *headers;
    struct http1_binding *bindings;
    struct gateway_narrowing *narrowings;
};

static void lists_free(struct lease_lists *lists)
{
    mf_free(lists->headers);
    mf_free(lists->bindings);
    mf_free(lists->narrowings);
}

static int lists_make(struct lease_lists *lists, const struct runner_lease *lease)
{
    *lists = (struct lease_lists){mf_calloc(lease->header_count, sizeof *lists->headers),
                                  mf_calloc(lease->binding_count, sizeof *lists->bindings),
                                  mf_calloc(lease->narrowing_count, sizeof *lists->narrowings)};
    if (lists->headers == NULL || lists->bindings == NULL || lists->narrowings == NULL)
        return -1;
    for (uint32_t i = 0; i < lease->header_count; i++)
        lists->headers[i] = (struct gateway_header){lease->headers[i].name, lease->headers[i].value};
    for (uint32_t i = 0; i < lease->binding_count; i++)
        lists->bindings[i] = (struct http1_binding){lease->bindings[i].name, lease->bindings[i].value};
    for (uint32_t i = 0; i < lease->narrowing_count; i++)
        lists->narrowings[i] = (struct gateway_narrowing){lease->narrowings[i].permission, lease->narrowings[i].name,
                                                          lease->narrowings[i].value};
    return 0;
}

static int open_lease(struct stage *stage, const struct lease *lease, char token[GATEWAY_TOKEN_BYTES],
                      struct mf_error *error)
{
    const struct runner_lease *message = &lease->message;
    struct lease_lists lists;
    int result = lists_make(&lists, message);
    if (result != 0)
        mf_fail(error, MF_MEMORY, "lease: no memory");
    struct gateway_lease opened = {
        .lease = lease->id,
        .stage = stage->id,
        .policy = message->policy,
        .account = message->account,
        .upstream = message->upstream,
        .headers = lists.headers,
        .header_count = message->header_count,
        .permissions = message->permissions,
        .permission_count = message->permission_count,
        .bindings = lists.bindings,
        .binding_count = message->binding_count,
        .narrowings = lists.narrowings,
        .narrowing_count = message->narrowing_count,
        .secrets = message->secrets,
        .secret_count = message->secret_count,
    };
    if (result == 0)
        result = gateway_open_lease(stage->runner->gateway, &opened, token, error);
    lists_free(&lists);
    return result;
}

/* The lease's variables, and its member of $MAYFLY_ACCOUNTS. */
static int give_lease(struct stage *stage, const struct lease *lease, const struct given_tokens *granted, char *token,
                      struct environment *environment, struct json_writer *accounts, struct mf_error *error)
{
    const struct runner_lease *message = &lease->message;
    struct marks marks;
    if (set_marks(stage, message->policy, granted->port, token, &marks, error) != 0 ||
        open_lease(stage, lease, token, error) != 0 ||
        set_filled(environment, message->environment, message->environment_count, &marks, error) != 0)
        return -1;
    if (message->account_json.length == 0)
        return 0;
    struct mf_buf json;
    mf_buf_init_secret(&json, ENVIRONMENT_ENTRY_BYTES_MAX);
    fill(message->account_json, &marks, &json);
    json_key_span(accounts, message->name.length > 0 ? message->name : MF_SPAN("account"));
    json_raw_value(accounts, mf_buf_view(&json));
    int result = json.failed ? mf_fail(error, MF_LIMIT, "MAYFLY_ACCOUNTS: longer than argument_bytes_max") : 0;
    mf_buf_free(&json);
    return result;
}

static int give_leases(struct stage *stage, struct given_tokens *granted, struct environment *environment,
                       struct mf_error *error)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    struct mf_buf text;
    struct json_writer accounts;
    int result = 0;
    if (spawn->lease_count == 0)
        return 0;
    mf_buf_init_secret(&text, ENVIRONMENT_ENTRY_BYTES_MAX);
    json_begin(&accounts, &text);
    json_open_object(&accounts);
    for (uint32_t i = 0; i < spawn->lease_count && result == 0; i++) {
        const struct lease *lease = lease_find(stage->runner, spawn->leases[i]);
        if (lease == NULL || lease->stage != stage->id)
            result = mf_fail(error, MF_NOT_FOUND, "lease %" PRIu64 ": is not held for this stage", spawn->leases[i]);
        else
            result = give_lease(stage, lease, granted, granted->tokens[i], environment, &accounts, error);
    }
    json_close_object(&accounts);
    if (result == 0 && text.failed)
        result = mf_fail(error, MF_LIMIT, "MAYFLY_ACCOUNTS: longer than argument_bytes_max");
    if (result == 0)
        result = environment_set(environment, MF_SPAN("MAYFLY_ACCOUNTS"), mf_buf_view(&text), error);
    mf_buf_free(&text);
    return result;
}

/* --- services --- */

static int give_use(struct stage *stage, const struct runner_use *use, struct given_tokens *granted, char *token,
                    struct environment *environment, struct mf_error *error)
{
    const struct service_entry *service = gate_service(stage->runner, use->service);
    struct marks marks;
    if (service == NULL)
        return mf_fail(error, MF_INTERNAL, "service %" PRIu64 ": was not sent", use->service);
    if (service->trouble[0] != '\0')
        return mf_fail(error, MF_INPUT, "%s", service->trouble);
    if (set_marks(stage, service->message.policy, granted->port, token, &marks, error) != 0 ||
        gateway_open_use(stage->runner->gateway, stage->id, use->service, token, error) != 0)
        return -1;
    return set_filled(environment, use->environment, use->environment_count, &marks, error);
}

static int give_uses(struct stage *stage, struct given_tokens *granted, struct environment *environment,
                     struct mf_error *error)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    for (uint32_t i = 0; i < spawn->use_count; i++)
        if (give_use(stage, &spawn->uses[i], granted, granted->tokens[spawn->lease_count + i], environment, error) != 0)
            return -1;
    return 0;
}

/* --- what must never be seen in a log --- */

static size_t secret_count(const struct stage *stage, const struct given_tokens *granted)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    size_t count = spawn->redact_count + granted->count;
    for (uint32_t i = 0; i < spawn->lease_count; i++)
        count += lease_find(stage->runner, spawn->leases[i])->message.secret_count;
    for (uint32_t i = 0; i < spawn->use_count; i++)
        count += gate_service(stage->runner, spawn->uses[i].service)->message.secret_count;
    return count;
}

static size_t put_secrets(struct mf_span *values, size_t at, const struct mf_span *secrets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        values[at++] = secrets[i];
    return at;
}

/* After leases and uses were opened: each of them is there. */
static int make_redactor(struct stage *stage, const struct given_tokens *granted, struct mf_error *error)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    size_t count = secret_count(stage, granted), at = 0;
    struct mf_span *values = mf_calloc(count, sizeof *values);
    if (values == NULL)
        return mf_fail(error, MF_MEMORY, "redactor: no memory");
    at = put_secrets(values, at, spawn->redact, spawn->redact_count);
    for (uint32_t i = 0; i < granted->count; i++)
        values[at++] = mf_span(granted->tokens[i]);
    for (uint32_t i = 0; i < spawn->lease_count; i++) {
        const struct runner_lease *lease = &lease_find(stage->runner, spawn->leases[i])->message;
        at = put_secrets(values, at, lease->secrets, lease->secret_count);
    }
    for (uint32_t i = 0; i < spawn->use_count; i++) {
        const struct runner_service *service = &gate_service(stage->runner, spawn->uses[i].service)->message;
        at = put_secrets(values, at, service->secrets, service->secret_count);
    }
    int result = redactor_create(&stage->redactor, values, count, error);
    mf_free(values);
    return result;
}

/* --- the stage --- */

static int open_stage(struct stage *stage, struct mf_error *error)
{
    const struct runner_walls *walls = process_walls(stage);
    bool setup = stage->kind == STAGE_PREPARE;
    struct gateway_stage opened = {
        .stage = stage->id,
        .task = mf_span(stage->attempt->path),
        .attempt = stage->attempt->number,
        .kind = setup                         ? "setup"
                : stage->kind == STAGE_VERIFY ? "verify"
                                              : "agent",
        .budget_micro_usd = setup ? -1 : spawn_of(stage)->budget_micro_usd,
        .egress = walls->egress,
        .egress_count = walls->egress_count,
        .reach = walls->reach,
        .reach_count = walls->reach_count,
    };
    if (gateway_open_stage(stage->runner->gateway, &opened, error) != 0)
        return -1;
    stage->gated = true;
    return 0;
}

static int give_all(struct stage *stage, struct given_tokens *granted, struct environment *environment,
                    struct mf_error *error)
{
    bool sandbox = process_walls(stage)->sandbox;
    granted->port = SANDBOX_GATEWAY_PORT;
    if (has_grants(stage) && !sandbox &&
        gateway_open_loopback(stage->runner->gateway, stage->id, &granted->port, error) != 0)
        return -1;
    if (give_leases(stage, granted, environment, error) != 0 || give_uses(stage, granted, environment, error) != 0)
        return -1;
    return make_redactor(stage, granted, error);
}

int given_open(struct stage *stage, struct environment *environment, struct mf_error *error)
{
    const struct runner_walls *walls = process_walls(stage);
    bool leads_out = walls->sandbox && (walls->egress_count > 0 || walls->reach_count > 0);
    if ((has_grants(stage) || leads_out) && open_stage(stage, error) != 0)
        return -1;
    if (stage->kind == STAGE_PREPARE)
        return 0;
    const struct runner_spawn *spawn = spawn_of(stage);
    struct given_tokens granted = {.count = spawn->lease_count + spawn->use_count};
    size_t bytes = (size_t)granted.count * sizeof granted.tokens[0];
    granted.tokens = mf_calloc(granted.count, sizeof granted.tokens[0]);
    int result = granted.tokens == NULL ? mf_fail(error, MF_MEMORY, "tokens: no memory")
                                        : give_all(stage, &granted, environment, error);
    mf_free_secret(granted.tokens, bytes);
    return result;
}

void given_close(struct stage *stage)
{
    if (stage->gated && stage->runner->gateway != NULL) /* an ending runner closes its gateway first */
        gateway_close_stage(stage->runner->gateway, stage->id);
    stage->gated = false;
}
