/*
 * recover.c - opening the database of a run: a new one, or an earlier one by replay
 *
 * The run row holds everything that is needed to understand or finish the run without the files it came from: the graph, the
 * parameters, the recipes with their effective addresses, and where credentials come from (never a value).
 */
#include "app/app_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"
#include "runner/tree.h"
#include "store/hash.h"
#include "json/write.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROW_BYTES_MAX (64u << 20)

/* --- what the row says --- */

static void write_provider(struct json_writer *writer, const struct app_provider *provider)
{
    json_open_object(writer);
    json_member_string(writer, "name", provider->name);
    json_member_string(writer, "recipe", recipe_info(provider->recipe)->name);
    json_member_string(writer, "sha256", provider->recipe_sha256);
    json_member_string(writer, "base_url", provider->base_url);
    json_member_string(writer, "origin", provider->origin);
    json_member_bool(writer, "served", provider->served);
    if (provider->service)
        json_member_bool(writer, "service", true);
    json_member_string(writer, "credential", provider->source);
    json_member_span(writer, "text", recipe_text(provider->recipe));
    json_close_object(writer);
}

static void write_providers(const struct app *app, struct mf_buf *out)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_array(&writer);
    for (uint32_t i = 0; i < app->provider_count; i++)
        write_provider(&writer, &app->providers[i]);
    for (uint32_t i = 0; i < app->service_count; i++)
        if (app->services[i].used)
            write_provider(&writer, &app->services[i].source);
    json_close_array(&writer);
}

static void write_options(const struct app *app, struct mf_buf *out)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_string(&writer, "provider", app->options.provider);
    json_member_string(&writer, "base_dir", app->base_dir);
    json_member_bool(&writer, "strict_teardown", app->options.strict_teardown);
    json_member_u64(&writer, "running", app->limits.running_max);
    json_member_i64(&writer, "run_timeout_ms", app->limits.run_timeout_ms);
    json_member_i64(&writer, "agent_uid", app->options.agent_uid);
    json_close_object(&writer);
}

static void write_params(const struct app *app, struct mf_buf *out)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    for (uint32_t i = 0; i < app->options.param_count; i++)
        json_member_string(&writer, app->options.params[i].name, app->options.params[i].value);
    json_close_object(&writer);
}

static void write_terms(const struct app *app, struct mf_buf *out)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_array(&writer);
    for (uint32_t i = 0; i < app->options.accept_terms_count; i++) {
        json_open_object(&writer);
        json_member_string(&writer, "provider", app->options.accept_terms[i]);
        json_member_i64(&writer, "at_ms", app_now(app));
        json_close_object(&writer);
    }
    json_close_array(&writer);
}

static int64_t own_birth(void)
{
    struct tree_process own;
    return tree_read(getpid(), &own) == 0 ? (int64_t)own.birth : 0;
}

int app_open_new(struct app *app, struct mf_error *error)
{
    struct mf_buf providers, options, params, terms;
    mf_buf_init(&providers, ROW_BYTES_MAX);
    mf_buf_init(&options, 65536);
    mf_buf_init(&params, ROW_BYTES_MAX);
    mf_buf_init(&terms, 65536);
    write_providers(app, &providers);
    write_options(app, &options);
    write_params(app, &params);
    write_terms(app, &terms);
    char sha256[65], boot[64];
    store_sha256(graph_text(app->graph), sha256);
    app_boot_id(boot);
    struct journal_run run = {
        .id = mf_span(app->run_id),
        .name = mf_span(app->run_name),
        .owner = mf_span(app->owner),
        .opened_ms = app->opened_ms,
        .graph_path = mf_span(app->options.graph_path),
        .graph_text = graph_text(app->graph),
        .graph_sha256 = mf_span(sha256),
        .params_json = mf_buf_view(&params),
        .providers_json = mf_buf_view(&providers),
        .limits_json = MF_SPAN("{}"),
        .options_json = mf_buf_view(&options),
        .terms_json = mf_buf_view(&terms),
        .socket_path = {"", 0},
        .pid = getpid(),
        .birth = own_birth(),
        .boot_id = mf_span(boot),
    };
    char *key = NULL;
    struct mf_buf path;
    mf_buf_init(&path, 8192);
    mf_buf_printf(&path, "%s/key", state_path(app->state));
    key = mf_buf_take(&path);
    bool failed = providers.failed || options.failed || params.failed || terms.failed || key == NULL;
    int result = failed ? mf_fail(error, MF_LIMIT, "run: its parameters or recipes do not fit")
                        : journal_create(&app->journal, app->run_dir, key, &run, error);
    CRASH_POINT(2);
    mf_free(key);
    mf_buf_free(&providers);
    mf_buf_free(&options);
    mf_buf_free(&params);
    mf_buf_free(&terms);
    return result;
}

/* --- an earlier run --- */

static int take_provider(struct app_provider *provider, const struct json_document *document, uint32_t entry,
                         struct mf_error *error)
{
    uint32_t source = json_member(document, entry, "credential");
    char *text = json_dup(document, json_member(document, entry, "text"));
    char *base_url = json_dup(document, json_member(document, entry, "base_url"));
    bool served = false;
    json_bool(document, json_member(document, entry, "served"), &served);
    if (source != JSON_NONE && json_kind(document, source) == JSON_STRING)
        provider->source = json_dup(document, source);
    int result = text != NULL ? recipe_load(&provider->recipe, mf_span(text), "recipe of the run", NULL, error)
                              : mf_fail(error, MF_STATE, "run: a recipe is missing");
    if (result == 0 && !served)
        provider->base_url = base_url; /* the address that the run used, whatever the environment says now */
    else
        mf_free(base_url);
    mf_free(text);
    return result;
}

/* A service has never the name of a provider. */
static struct app_provider *provider_named(const struct app *app, const struct json_document *document, uint32_t name)
{
    for (uint32_t i = 0; i < app->provider_count; i++)
        if (json_is(document, name, graph_provider(app->graph, i)->name))
            return &app->providers[i];
    for (uint32_t i = 0; i < app->service_count; i++)
        if (json_is(document, name, graph_service(app->graph, i)->source.name))
            return &app->services[i].source;
    return NULL;
}

static int take_providers(struct app *app, struct mf_span json, struct mf_error *error)
{
    struct json_document document;
    uint32_t count = graph_provider_count(app->graph);
    app->providers = mf_calloc(count, sizeof *app->providers);
    app->provider_count = count;
    app->services = mf_calloc(graph_service_count(app->graph), sizeof *app->services);
    app->service_count = graph_service_count(app->graph);
    if (app->providers == NULL || app->services == NULL ||
        json_scan_error(&document, json, &json_limits_default, error) != 0)
        return mf_wrap(error, "run: providers");
    int result = json_kind(&document, 0) == JSON_ARRAY ? 0 : mf_fail(error, MF_STATE, "run: providers are no list");
    for (uint32_t entry = json_first(&document, 0); result == 0 && entry != JSON_NONE;
         entry = json_next(&document, 0, entry)) {
        struct app_provider *provider = provider_named(app, &document, json_member(&document, entry, "name"));
        if (provider != NULL && provider->recipe == NULL)
            result = take_provider(provider, &document, entry, error);
    }
    json_document_free(&document);
    return result;
}

static int take_options(struct app *app, struct mf_span json, struct mf_error *error)
{
    struct json_document document;
    int64_t number;
    bool strict = false;
    if (json_scan_error(&document, json, &json_limits_default, error) != 0)
        return mf_wrap(error, "run: options");
    mf_free(app->base_dir);
    app->base_dir = json_dup(&document, json_member(&document, 0, "base_dir"));
    if (app->options.running == 0 && json_int(&document, json_member(&document, 0, "running"), &number) == 0 &&
        number > 0 && number <= 100000)
        app->options.running = (uint32_t)number;
    uint32_t uid = json_member(&document, 0, "agent_uid");
    if (app->options.agent_uid == 0 && uid != JSON_NONE && json_int(&document, uid, &number) == 0 && number > 0)
        app->options.agent_uid = number;
    if (json_bool(&document, json_member(&document, 0, "strict_teardown"), &strict) == 0 && strict)
        app->options.strict_teardown = true;
    json_document_free(&document);
    return app->base_dir != NULL ? 0 : mf_fail(error, MF_STATE, "run: base_dir is missing");
}

/* Who works on it now: for `cancel`, which may have to kill a stuck one, and for the next life. */
static int sign(struct app *app, struct mf_error *error)
{
    char boot[64], pid[24], birth[24];
    app_boot_id(boot);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    snprintf(birth, sizeof birth, "%lld", (long long)own_birth());
    return journal_set_run(app->journal, "boot_id", mf_span(boot), error) == 0 &&
                   journal_set_run(app->journal, "pid", mf_span(pid), error) == 0
               ? journal_set_run(app->journal, "birth", mf_span(birth), error)
               : -1;
}

/* First half: what the providers and the core's arrays are made from. The second half, the replay, needs the core. */
int app_open_existing(struct app *app, struct mf_error *error)
{
    struct journal_run run;
    struct mf_buf hold, path;
    mf_buf_init(&hold, ROW_BYTES_MAX * 10);
    mf_buf_init(&path, 8192);
    mf_buf_printf(&path, "%s/key", state_path(app->state));
    int result = journal_open(&app->journal, app->run_dir, mf_buf_cstr(&path), true, error);
    if (result == 0)
        result = journal_read_run(app->journal, &run, &hold, error);
    if (result == 0) {
        app->opened_ms = run.opened_ms;
        mf_span_copy(run.boot_id, app->left_boot_id, sizeof app->left_boot_id);
        app->run_name = mf_strndup(run.name.data, run.name.length);
        result = mf_span_copy(run.owner, app->owner, sizeof app->owner) == 0
                     ? 0
                     : mf_fail(error, MF_STATE, "run: its owner is not valid");
    }
    if (result == 0)
        result = take_options(app, run.options_json, error);
    if (result == 0)
        result = take_providers(app, run.providers_json, error);
    if (result == 0)
        result = sign(app, error);
    mf_buf_free(&hold);
    mf_buf_free(&path);
    return result;
}

static int apply(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    struct app *app = context;
    app->records_total++;
    if (app_heard_replay(app, record, extra, error) != 0)
        return -1;
    if (record->kind == CORE_RUNNER_STARTED) {
        app->runner_generation = (uint32_t)record->facts[0];
        app->left_runner_pid = record->facts[1];
        app->left_runner_birth = record->facts[2];
    }
    if (core_reserve(app->core, record->kind == CORE_TASK_EXPANDED ? (uint32_t)record->facts[0] : 0, error) != 0)
        return -1;
    if (core_apply(app->core, record, error) != 0)
        return -1;
    if (record->kind == CORE_TASK_SUCCEEDED)
        app_content_take(app, record->node, extra);
    return 0;
}

/* The journal holds under the new graph; from now on the run is that one's. */
int app_revise(struct app *app, struct mf_error *error)
{
    struct mf_buf options;
    char sha256[65];
    store_sha256(graph_text(app->graph), sha256);
    mf_buf_init(&options, 65536);
    write_options(app, &options);
    int result =
        options.failed ? mf_fail(error, MF_LIMIT, "run: its options do not fit") : journal_begin(app->journal, error);
    if (result != 0 || journal_put_graph(app->journal, graph_text(app->graph), error) != 0 ||
        journal_set_run(app->journal, "graph_path", mf_span(app->options.graph_path), error) != 0 ||
        journal_set_run(app->journal, "graph_sha256", mf_span(sha256), error) != 0 ||
        journal_set_run(app->journal, "options_json", mf_buf_view(&options), error) != 0)
        result = -1;
    else
        result = journal_commit(app->journal, error);
    mf_buf_free(&options);
    return result;
}

static int take_node(void *context, uint32_t node, uint32_t template_node, uint32_t ordinal, struct mf_span path,
                     struct mf_span item, struct mf_error *error)
{
    (void)template_node;
    (void)ordinal;
    struct app *app = context;
    struct app_expansion *one = mf_calloc(1, sizeof *one);
    if (node != app->core_graph.task_count + app->instance_count || one == NULL)
        return mf_fail(error, MF_STATE, "run: instance %u is out of order", node);
    one->paths = mf_calloc(1, sizeof *one->paths);
    one->items = mf_calloc(1, sizeof *one->items);
    if (one->paths != NULL && one->items != NULL) {
        one->paths[0] = mf_strndup(path.data, path.length);
        one->items[0] = mf_strndup(item.data, item.length);
        one->count = 1;
        app_instances_add(app, one, node);
    }
    app_expansion_free(one);
    return 0;
}

static int take_results(struct app *app, struct mf_error *error)
{
    for (uint32_t node = 0; node < core_node_count(app->core); node++) {
        struct core_node_view view;
        struct mf_buf sha256, outputs;
        if (!core_node(app->core, node, &view) || !core_task_final(view.state))
            continue;
        mf_buf_init(&sha256, 128);
        mf_buf_init(&outputs, 4096);
        int result = journal_get_result(app->journal, node, &sha256, &outputs, error);
        struct app_node *entry = app_node_at(app, node);
        entry->has_result = result == 0 && mf_unhex(mf_buf_view(&sha256), entry->sha256, sizeof entry->sha256) == 0;
        entry->has_outputs = result == 0 && outputs.length > 0;
        entry->result_attempt = view.attempt;
        mf_buf_free(&sha256);
        mf_buf_free(&outputs);
        if (result != 0)
            return -1;
    }
    return 0;
}

int app_replay(struct app *app, struct mf_error *error)
{
    if (journal_replay(app->journal, apply, app, error) != 0 ||
        journal_nodes(app->journal, take_node, app, error) != 0 || take_results(app, error) != 0)
        return mf_wrap(error, "run %s", app->run_id);
    if (app_end_leftovers(app, error) != 0)
        return -1;
    int64_t last = core_time(app->core);
    if (app->base_ms < last) /* the wall clock went back since: core time never does */
        app->base_ms = last;
    return 0;
}
