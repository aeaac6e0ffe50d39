/*
 * lease.c - one account for one stage: what the gateway must know to act for it, and what the agent gets to see
 *
 * The real credential stands in `headers` and `secrets` only, which stay in the runner's gateway. Which permissions hold is
 * decided here: those of the slot for the agent (a borrower has its own), those of `verify` for the verify stage of the slot
 * whose variables it has, and none for the other slots of a verify. A lease waits here until the spawn that it is for.
 */
#include "app/app_private.h"

#include "app/strings.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"
#include "json/write.h"

#include <string.h>

struct lease_texts {
    struct strings environment;      /* marks, no secret */
    struct strings headers, secrets; /* secret */
    struct strings bindings;
    struct strings permissions;
    struct strings narrowings; /* three texts each */
    struct mf_buf upstream, json;
};

static void texts_init(struct lease_texts *texts)
{
    strings_init(&texts->environment, APP_VALUES_BYTES_MAX, false);
    strings_init(&texts->headers, APP_VALUES_BYTES_MAX, true);
    strings_init(&texts->secrets, APP_VALUES_BYTES_MAX, true);
    strings_init(&texts->bindings, APP_VALUES_BYTES_MAX, false);
    strings_init(&texts->permissions, APP_VALUES_BYTES_MAX, false);
    strings_init(&texts->narrowings, 4 * APP_VALUES_BYTES_MAX, false);
    mf_buf_init(&texts->upstream, 8192);
    mf_buf_init(&texts->json, 2 * APP_VALUES_BYTES_MAX);
}

static void texts_free(struct lease_texts *texts)
{
    strings_free(&texts->environment);
    strings_free(&texts->headers);
    strings_free(&texts->secrets);
    strings_free(&texts->bindings);
    strings_free(&texts->permissions);
    strings_free(&texts->narrowings);
    mf_buf_free(&texts->upstream);
    mf_buf_free(&texts->json);
}

/* --- the parts --- */

static void write_account(struct mf_buf *out, const struct app_provider *provider, const struct app_account *account,
                          struct strings *environment)
{
    struct json_writer writer;
    const struct runner_variable *variables = strings_variables(environment);
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_string(&writer, "provider", provider->name);
    json_key(&writer, "account");
    json_raw_value(&writer, account->ids.length > 0 ? mf_buf_view(&account->ids) : MF_SPAN("{}"));
    json_key(&writer, "environment");
    json_open_object(&writer);
    for (uint32_t i = 0; variables != NULL && i < environment->count; i++) {
        json_key_span(&writer, variables[i].name);
        json_string_span(&writer, variables[i].value);
    }
    json_close_object(&writer);
    json_close_object(&writer);
}

/* The values of an object of strings; as "NAME=VALUE" when `named`. */
static int add_values(struct strings *out, struct mf_span json, bool named, struct mf_error *error)
{
    struct json_document document;
    if (json.length == 0)
        return 0;
    if (json_scan_error(&document, json, &json_limits_default, error) != 0)
        return -1;
    int result = 0;
    for (uint32_t key = json_first(&document, 0); key != JSON_NONE && result == 0; key = json_next(&document, 0, key)) {
        struct mf_buf name, value;
        mf_buf_init(&name, 1024);
        mf_buf_init_secret(&value, APP_VALUES_BYTES_MAX);
        result = json_text(&document, key, &name) == 0 && json_text(&document, json_value(&document, key), &value) == 0
                     ? 0
                     : -1;
        if (result == 0)
            result = named ? strings_add_variable(out, mf_buf_view(&name), mf_buf_view(&value))
                           : strings_add(out, mf_buf_view(&value));
        mf_buf_free(&name);
        mf_buf_free(&value);
    }
    json_document_free(&document);
    return result == 0 ? 0 : mf_fail(error, MF_LIMIT, "its values do not fit");
}

/* {name} in a rule means the account's own id, or what the operator gave; a name that stands in both is the account's. */
static int add_bindings(struct strings *out, const struct app_provider *provider, struct mf_span ids,
                        struct mf_error *error)
{
    if (add_values(out, ids, true, error) != 0)
        return -1;
    uint32_t own = out->count;
    for (uint32_t i = 0; i < provider->input_count; i++) {
        const struct runner_variable *variables = strings_variables(out);
        bool known = false;
        for (uint32_t k = 0; variables != NULL && k < own && !known; k++)
            known = mf_span_equal(variables[k].name, provider->inputs[i].name);
        if (!known && strings_add_variable(out, provider->inputs[i].name, provider->inputs[i].value) != 0)
            return mf_fail(error, MF_LIMIT, "its values do not fit");
    }
    return 0;
}

struct narrowing {
    struct strings *out;
    struct mf_span permission;
};

static int take_narrowing(void *context, struct mf_span name, struct mf_span value, struct mf_error *error)
{
    const struct narrowing *narrowing = context;
    bool fits = strings_add(narrowing->out, narrowing->permission) == 0 && strings_add(narrowing->out, name) == 0 &&
                strings_add(narrowing->out, value) == 0;
    return fits ? 0
                : mf_fail(error, MF_LIMIT, "the narrowings of `%.*s` do not fit", MF_SPAN_ARGS(narrowing->permission));
}

static int add_permissions(struct app *app, uint32_t node, uint32_t permissions, struct lease_texts *texts,
                           struct mf_error *error)
{
    struct template_values values;
    app_values(app, node, &values);
    uint32_t count = graph_permission_count(app->graph, permissions);
    for (uint32_t i = 0; i < count; i++) {
        struct graph_permission permission = graph_permission(app->graph, permissions, i);
        struct narrowing narrowing = {&texts->narrowings, permission.name};
        if (strings_add(&texts->permissions, permission.name) != 0)
            return mf_fail(error, MF_LIMIT, "the permissions do not fit");
        if (permission.only != JSON_NONE &&
            template_expand_only(app->graph, permission.only, &values, take_narrowing, &narrowing, error) != 0)
            return -1;
    }
    return 0;
}

static uint32_t permissions_of(const struct app *app, uint32_t task, const struct graph_slot *slot,
                               enum core_stage stage)
{
    if (stage != CORE_STAGE_VERIFY)
        return slot->permissions;
    return slot->environment ? graph_part(app->graph, task, GRAPH_PART_VERIFY_PERMISSIONS) : JSON_NONE;
}

/* Three texts each; the caller frees the array. */
static struct runner_narrowing *make_narrowings(struct strings *texts, uint32_t *count)
{
    *count = texts->count / 3;
    const struct mf_span *spans = strings_spans(texts);
    struct runner_narrowing *narrowings = spans != NULL ? mf_calloc(*count, sizeof *narrowings) : NULL;
    for (uint32_t i = 0; narrowings != NULL && i < *count; i++)
        narrowings[i] = (struct runner_narrowing){spans[3 * i], spans[3 * i + 1], spans[3 * i + 2]};
    return narrowings;
}

/* --- the message --- */

static int build(struct app *app, const struct app_lease *lease, const struct app_provider *provider,
                 const struct graph_slot *slot, enum core_stage stage, struct lease_texts *texts,
                 struct mf_error *error)
{
    const struct app_account *account = app_account_at(app, lease->account);
    struct mf_span ids = mf_buf_view(&account->ids), secrets = mf_buf_view(&account->secrets);
    struct recipe_vars vars = app_recipe_vars(provider, ids, secrets, app_now(app));
    uint32_t task = app_node_task(app, lease->node);
    if (app_agent_variables(provider, ids, secrets, &texts->environment, error) != 0 ||
        recipe_upstream(provider->recipe, &vars, &texts->upstream, error) != 0 ||
        recipe_inject_headers(provider->recipe, &vars, app_put_variable, &texts->headers, error) != 0 ||
        add_values(&texts->secrets, secrets, false, error) != 0 ||
        add_bindings(&texts->bindings, provider, ids, error) != 0 ||
        add_permissions(app, lease->node, permissions_of(app, task, slot, stage), texts, error) != 0)
        return -1;
    write_account(&texts->json, provider, account, &texts->environment);
    return texts->json.failed ? mf_fail(error, MF_MEMORY, "no memory for its lease") : 0;
}

static int send_texts(struct app *app, const struct app_lease *lease, const struct graph_slot *slot, bool several,
                      uint32_t provider, uint64_t stage, struct lease_texts *texts, struct mf_error *error)
{
    uint32_t narrowing_count = 0;
    struct runner_narrowing *narrowings = make_narrowings(&texts->narrowings, &narrowing_count);
    struct runner_lease message = {
        .lease = lease->lease,
        .stage = stage,
        .environment = strings_variables(&texts->environment),
        .environment_count = slot->environment ? texts->environment.count : 0,
        .name = several ? slot->name : (struct mf_span){"", 0},
        .account_json = mf_buf_view(&texts->json),
        .secrets = strings_spans(&texts->secrets),
        .secret_count = texts->secrets.count,
        .policy = app_policy_of_provider(app, provider),
        .account = lease->account,
        .upstream = mf_buf_view(&texts->upstream),
        .headers = strings_variables(&texts->headers),
        .header_count = texts->headers.count,
        .permissions = strings_spans(&texts->permissions),
        .permission_count = texts->permissions.count,
        .bindings = strings_variables(&texts->bindings),
        .binding_count = texts->bindings.count,
        .narrowings = narrowings,
        .narrowing_count = narrowing_count,
    };
    bool missing = narrowings == NULL || texts->environment.no_memory || texts->secrets.no_memory ||
                   texts->headers.no_memory || texts->permissions.no_memory || texts->bindings.no_memory;
    int result = missing ? mf_fail(error, MF_MEMORY, "no memory for its lease")
                         : runner_send_lease(app->runner, &message, error);
    mf_free(narrowings);
    return result;
}

static int send_lease(struct app *app, const struct app_lease *lease, const struct core_command *command,
                      struct mf_error *error)
{
    struct core_account_view view;
    const struct graph_task *task = &graph_tasks(app->graph)[app_node_task(app, lease->node)];
    const struct graph_slot *slot = &graph_slots(app->graph)[task->slot_first + lease->slot];
    core_account(app->core, lease->account, &view);
    struct lease_texts texts;
    texts_init(&texts);
    int result = build(app, lease, &app->providers[view.provider], slot, command->stage_kind, &texts, error);
    if (result == 0)
        result = send_texts(app, lease, slot, task->slot_count > 1, view.provider, command->stage, &texts, error);
    CRASH_POINT(8);
    texts_free(&texts);
    return result == 0 ? 0 : mf_wrap(error, "account %u", lease->account);
}

/* --- waiting for the spawn --- */

int app_lease_keep(struct app *app, const struct core_command *command)
{
    uint32_t slot = 0;
    for (uint32_t s = 0; s < graph_tasks(app->graph)[app_node_task(app, command->node)].slot_count; s++)
        if (core_slot_account(app->core, command->node, s) == command->account)
            slot = s;
    int grown = mf_grow((void **)&app->leases, &app->lease_capacity, app->lease_count + 1, sizeof *app->leases, 16);
    mf_assert(grown == 0);
    app->leases[app->lease_count++] = (struct app_lease){command->lease, command->node, command->account, slot};
    return 0;
}

void app_leases_forget(struct app *app, uint32_t node)
{
    size_t kept = 0;
    for (size_t i = 0; i < app->lease_count; i++)
        if (app->leases[i].node != node)
            app->leases[kept++] = app->leases[i];
    app->lease_count = kept;
}

uint64_t *app_leases_send(struct app *app, const struct core_command *command, uint32_t *count, struct mf_error *error)
{
    uint64_t *leases = mf_calloc(app->lease_count, sizeof *leases);
    size_t kept = 0;
    bool failed = leases == NULL && mf_fail(error, MF_MEMORY, "leases: no memory") != 0;
    *count = 0;
    for (size_t i = 0; i < app->lease_count; i++) {
        if (app->leases[i].node != command->node) {
            app->leases[kept++] = app->leases[i];
            continue;
        }
        if (failed || send_lease(app, &app->leases[i], command, error) != 0)
            failed = true;
        else
            leases[(*count)++] = app->leases[i].lease;
    }
    app->lease_count = kept;
    if (failed) {
        mf_free(leases);
        return NULL;
    }
    return leases;
}
