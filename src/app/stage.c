/*
 * stage.c - what the core wants of the runner becomes messages: prepare, lease, spawn, signal, drop, finish
 *
 * A stage that cannot be built (a value that its templates need is missing, an argument is too long) comes back as a failure of
 * class refused with the reason: trying again would not help. Leases are kept until the spawn that they belong to.
 */
#include "app/app_private.h"

#include "app/strings.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"
#include "json/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX                                                                                              \
    (2u << 20) /* what one stage's texts may come to: below the 1 MiB frame after its own checks, with room to say so */

static const struct graph_task *task_of(const struct app *app, uint32_t node)
{
    return &graph_tasks(app->graph)[app_node_task(app, node)];
}

static void fail_stage(struct app *app, const struct core_command *command, enum core_class class, const char *reason)
{
    struct app_payload *payload = app_payload_new();
    app_payload_reason(payload, reason);
    enum core_input_kind kind =
        command->kind == CORE_COMMAND_PREPARE ? CORE_INPUT_PREPARE_FAILED : CORE_INPUT_SPAWN_FAILED;
    app_push(app, &(struct core_input){.kind = kind, .node = command->node, .stage = command->stage, .class = class},
             payload);
}

/* --- parts that prepare and spawn share --- */

struct stage_texts {
    struct strings argv, environment, files, collect, redact, inputs;
    struct template_values values;
    struct mf_buf prompt;
};

static void texts_init(struct stage_texts *texts, struct app *app, uint32_t node)
{
    strings_init(&texts->argv, MESSAGE_BYTES_MAX, false);
    strings_init(&texts->environment, MESSAGE_BYTES_MAX, true);
    strings_init(&texts->files, MESSAGE_BYTES_MAX, false);
    strings_init(&texts->collect, MESSAGE_BYTES_MAX, false);
    strings_init(&texts->redact, MESSAGE_BYTES_MAX, true);
    strings_init(&texts->inputs, GRAPH_LIST_BYTES_MAX, false);
    mf_buf_init(&texts->prompt, GRAPH_PROMPT_BYTES_MAX);
    app_values(app, node, &texts->values);
}

static void texts_free(struct stage_texts *texts)
{
    strings_free(&texts->argv);
    strings_free(&texts->environment);
    strings_free(&texts->files);
    strings_free(&texts->collect);
    strings_free(&texts->redact);
    strings_free(&texts->inputs);
    mf_buf_free(&texts->prompt);
}

/* After the lists of a message were made. */
static int texts_check(const struct stage_texts *texts, struct mf_error *error)
{
    bool missing = texts->argv.no_memory || texts->environment.no_memory || texts->files.no_memory ||
                   texts->collect.no_memory || texts->redact.no_memory || texts->inputs.no_memory;
    return missing ? mf_fail(error, MF_MEMORY, "no memory for a message to the runner") : 0;
}

/* A shortage of memory may be over at the next attempt; what is wrong with a value will not be. */
static enum core_class class_of(const struct mf_error *error)
{
    return error->code == MF_MEMORY ? CORE_CLASS_INFRASTRUCTURE : CORE_CLASS_REFUSED;
}

static int add_command(struct app *app, struct stage_texts *texts, uint32_t node, struct mf_error *error)
{
    return template_expand_command(app->graph, node, &texts->values, &texts->argv.bytes, &texts->argv.count, error);
}

static int add_environment(struct app *app, struct stage_texts *texts, uint32_t node, struct mf_error *error)
{
    uint32_t count = 0;
    if (template_expand_env(app->graph, node, &texts->values, &texts->environment.bytes, &count, error) != 0)
        return -1;
    texts->environment.count += count;
    return 0;
}

/* The operator's own variables that the graph passes on: printed by `plan` as held by the agent, given to the redactor. */
static int add_passed(struct app *app, struct stage_texts *texts, uint32_t task, struct mf_error *error)
{
    const struct json_document *document = graph_document(app->graph);
    uint32_t list = graph_part(app->graph, task, GRAPH_PART_PASS_ENV);
    if (list == JSON_NONE)
        return 0;
    for (uint32_t at = json_first(document, list); at != JSON_NONE; at = json_next(document, list, at)) {
        char name[256];
        if (json_copy(document, at, name, sizeof name) != 0)
            return mf_fail(error, MF_INPUT, "pass_env: a name is too long");
        const char *value = getenv(name);
        if (value == NULL)
            return mf_fail(error, MF_NOT_FOUND, "pass_env: `%s` is not set", name);
        if (strings_add_variable(&texts->environment, mf_span(name), mf_span(value)) != 0 ||
            strings_add(&texts->redact, mf_span(value)) != 0)
            return mf_fail(error, MF_LIMIT, "pass_env: `%s` does not fit", name);
    }
    return 0;
}

/* --- prepare --- */

static int build_prepare(struct app *app, const struct core_command *command, struct stage_texts *texts,
                         struct graph_workspace *workspace, struct runner_prepare *out, struct mf_error *error)
{
    uint32_t task = app_node_task(app, command->node);
    const struct graph_profile *profile = &graph_profiles(app->graph)[task_of(app, command->node)->profile];
    uint32_t setup = graph_part(app->graph, task, GRAPH_PART_SETUP);
    if (graph_workspace(app->graph, task, &texts->values, workspace, error) != 0)
        return -1;
    if (strings_add_list(&texts->files, graph_document(app->graph), graph_part(app->graph, task, GRAPH_PART_FILES)) !=
        0)
        return mf_fail(error, MF_LIMIT, "files: the list does not fit");
    if (setup != JSON_NONE && (add_command(app, texts, setup, error) != 0 ||
                               add_environment(app, texts, graph_part(app->graph, task, GRAPH_PART_ENV), error) != 0))
        return -1;
    static const enum runner_workspace_kind kinds[] = {[GRAPH_WORKSPACE_EMPTY] = RUNNER_WORKSPACE_EMPTY,
                                                       [GRAPH_WORKSPACE_COPY] = RUNNER_WORKSPACE_COPY,
                                                       [GRAPH_WORKSPACE_GIT] = RUNNER_WORKSPACE_GIT};
    bool again = command->attempt > 1 && task_of(app, command->node)->continue_workspace;
    *out = (struct runner_prepare){
        .stage = command->stage,
        .path = mf_span(app_node_path(app, command->node)),
        .attempt = command->attempt,
        .kind = again ? RUNNER_WORKSPACE_CONTINUE : kinds[workspace->kind],
        .base = mf_span(app->base_dir),
        .files = strings_spans(&texts->files),
        .file_count = texts->files.count,
        .copy = workspace->kind == GRAPH_WORKSPACE_COPY ? mf_span(workspace->location) : (struct mf_span){NULL, 0},
        .git_url = workspace->kind == GRAPH_WORKSPACE_GIT ? mf_span(workspace->location) : (struct mf_span){NULL, 0},
        .git_ref = workspace->kind == GRAPH_WORKSPACE_GIT ? mf_span(workspace->ref) : (struct mf_span){NULL, 0},
        .setup = strings_spans(&texts->argv),
        .setup_count = texts->argv.count,
        .environment = strings_variables(&texts->environment),
        .environment_count = texts->environment.count,
        .setup_timeout_ms = profile->setup_timeout_ms,
        .workspace_bytes_max = graph_limits(app->graph)->files_bytes_max,
    };
    return texts_check(texts, error);
}

static int start_prepare(struct app *app, const struct core_command *command)
{
    struct stage_texts texts;
    struct graph_workspace workspace = {0};
    struct runner_prepare prepare;
    struct mf_error error;
    int result = 0;
    texts_init(&texts, app, command->node);
    if (build_prepare(app, command, &texts, &workspace, &prepare, &error) != 0) {
        fail_stage(app, command, class_of(&error), error.text);
    } else if (runner_send_prepare(app->runner, &prepare, &error) == 0) {
        app_stage_add(app, command->stage, command->node, command->attempt);
    } else if (error.code == MF_LIMIT && !runner_ready(app->runner)) {
        result = -1;
    } else {
        fail_stage(app, command, class_of(&error), error.text);
    }
    graph_workspace_free(&workspace);
    texts_free(&texts);
    return result;
}

/* --- what upstream tasks left: $MAYFLY_INPUTS --- */

static int add_input(struct app *app, struct strings *inputs, uint32_t node)
{
    struct core_node_view view;
    const struct app_node *entry = app_node_at(app, node);
    if (!core_node(app->core, node, &view) || !core_task_final(view.state) ||
        !(entry->has_result || entry->has_outputs))
        return 0;
    char hex[65] = "", outputs[256] = "";
    const char *path = app_node_path(app, node);
    if (entry->has_result && view.state == CORE_TASK_STATE_SUCCEEDED)
        mf_hex(entry->sha256, sizeof entry->sha256, hex);
    if (entry->has_outputs)
        snprintf(outputs, sizeof outputs, "%s/%u/outputs", path, entry->result_attempt);
    if (strings_add(inputs, mf_span(path)) != 0 || strings_add(inputs, mf_span(hex)) != 0 ||
        strings_add(inputs, mf_span(outputs)) != 0)
        return -1;
    return 0;
}

static int add_inputs(struct app *app, const struct graph_task *task, struct strings *inputs)
{
    for (uint32_t e = 0; e < task->edge_count; e++) {
        uint32_t from = graph_edges(app->graph)[task->edge_first + e].from, first = from, count = 1;
        core_instances(app->core, from, &first, &count);
        for (uint32_t i = 0; i < count; i++)
            if (add_input(app, inputs, first + i) != 0)
                return -1;
    }
    return 0;
}

/* Three texts an input; the caller frees the array. */
static struct runner_input *make_inputs(struct strings *texts, uint32_t *count)
{
    *count = texts->count / 3;
    const struct mf_span *spans = strings_spans(texts);
    struct runner_input *inputs = spans != NULL ? mf_calloc(*count, sizeof *inputs) : NULL;
    for (uint32_t i = 0; inputs != NULL && i < *count; i++)
        inputs[i] = (struct runner_input){spans[3 * i], spans[3 * i + 1], spans[3 * i + 2]};
    return inputs;
}

/* --- spawn --- */

static int build_texts(struct app *app, const struct core_command *command, struct stage_texts *texts,
                       struct mf_error *error)
{
    uint32_t task = app_node_task(app, command->node);
    bool verify = command->stage_kind == CORE_STAGE_VERIFY;
    const struct json_document *document = graph_document(app->graph);
    uint32_t prompt = graph_part(app->graph, task, GRAPH_PART_PROMPT);
    if (add_command(app, texts, graph_part(app->graph, task, verify ? GRAPH_PART_VERIFY_COMMAND : GRAPH_PART_COMMAND),
                    error) != 0 ||
        add_environment(app, texts, graph_part(app->graph, task, verify ? GRAPH_PART_VERIFY_ENV : GRAPH_PART_ENV),
                        error) != 0)
        return -1;
    if (verify)
        return strings_add_list(&texts->files, document, graph_part(app->graph, task, GRAPH_PART_VERIFY_FILES)) == 0
                   ? 0
                   : mf_fail(error, MF_LIMIT, "files: the list does not fit");
    if (add_passed(app, texts, task, error) != 0)
        return -1;
    if (strings_add_list(&texts->collect, document, graph_part(app->graph, task, GRAPH_PART_COLLECT)) != 0)
        return mf_fail(error, MF_LIMIT, "collect: the list does not fit");
    if (prompt != JSON_NONE)
        return template_expand_node(app->graph, prompt, &texts->values, &texts->prompt, "prompt_bytes_max", error);
    struct mf_span file = app_prompt_file(app, task);
    return file.data != NULL
               ? template_expand(app->graph, file, &texts->values, &texts->prompt, "prompt_bytes_max", error)
               : 0;
}

static void fill_spawn(struct app *app, const struct core_command *command, struct stage_texts *texts,
                       struct runner_spawn *out)
{
    const struct graph_limits *limits = graph_limits(app->graph);
    bool has_prompt = graph_part(app->graph, app_node_task(app, command->node), GRAPH_PART_PROMPT) != JSON_NONE ||
                      app_prompt_file(app, app_node_task(app, command->node)).data != NULL;
    bool verify = command->stage_kind == CORE_STAGE_VERIFY;
    struct core_node_view view = {0};
    core_node(app->core, command->node, &view);
    *out = (struct runner_spawn){
        .stage = command->stage,
        .verify = verify,
        .path = mf_span(app_node_path(app, command->node)),
        .attempt = command->attempt,
        .prepared =
            !verify && (task_of(app, command->node)->prepare || task_of(app, command->node)->continue_workspace),
        .base = mf_span(app->base_dir),
        .argv = strings_spans(&texts->argv),
        .argc = texts->argv.count,
        .environment = strings_variables(&texts->environment),
        .environment_count = texts->environment.count,
        .prompt = has_prompt && !verify ? mf_buf_view(&texts->prompt) : (struct mf_span){NULL, 0},
        .previous_attempt = verify || command->attempt < 2 ? 0 : command->attempt - 1,
        .previous_outcome = mf_span(core_class_name(view.class)),
        .files = strings_spans(&texts->files),
        .file_count = texts->files.count,
        .collect = strings_spans(&texts->collect),
        .collect_count = texts->collect.count,
        .outputs_bytes_max = limits->outputs_bytes_max,
        .outputs_files_max = limits->outputs_files_max,
        .log_bytes_max = APP_LOG_BYTES_MAX,
        .redact = strings_spans(&texts->redact),
        .redact_count = texts->redact.count,
    };
}

/* --- leases --- */

static int put_variable(void *context, struct mf_span name, struct mf_span value)
{
    return strings_add_variable(context, name, value);
}

static void write_account(struct mf_buf *out, const struct app *app, const struct app_provider *provider,
                          const struct app_account *account, struct strings *environment)
{
    (void)app;
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

static int add_secrets(struct strings *secrets, struct mf_span json)
{
    struct json_document document;
    if (json.length == 0 || json_scan(&document, json, &json_limits_default, NULL) != 0)
        return 0;
    int result = 0;
    for (uint32_t key = json_first(&document, 0); key != JSON_NONE && result == 0; key = json_next(&document, 0, key)) {
        result = json_text(&document, json_value(&document, key), &secrets->bytes);
        if (result == 0)
            result = mf_buf_char(&secrets->bytes, '\0');
        secrets->count += result == 0;
    }
    json_document_free(&document);
    return result;
}

static int send_lease(struct app *app, const struct app_lease *lease, uint64_t stage, struct mf_error *error)
{
    struct core_account_view view;
    const struct graph_task *task = task_of(app, lease->node);
    core_account(app->core, lease->account, &view);
    const struct app_provider *provider = &app->providers[view.provider];
    struct app_account *account = app_account_at(app, lease->account);
    const struct graph_slot *slot = &graph_slots(app->graph)[task->slot_first + lease->slot];
    struct strings environment, secrets;
    struct mf_buf json;
    strings_init(&environment, APP_VALUES_BYTES_MAX, true);
    strings_init(&secrets, APP_VALUES_BYTES_MAX, true);
    mf_buf_init_secret(&json, 2 * APP_VALUES_BYTES_MAX);
    struct recipe_vars vars = {.base_url = mf_span(provider->base_url),
                               .inputs = provider->inputs,
                               .input_count = provider->input_count,
                               .ids_json = mf_buf_view(&account->ids),
                               .secrets_json = mf_buf_view(&account->secrets),
                               .now_ms = app_now(app)};
    int result = recipe_inject(provider->recipe, &vars, put_variable, &environment, error);
    if (result == 0 && add_secrets(&secrets, mf_buf_view(&account->secrets)) != 0)
        result = mf_fail(error, MF_LIMIT, "account %u: its secrets do not fit", lease->account);
    if (result == 0) {
        write_account(&json, app, provider, account, &environment);
        struct runner_lease message = {.lease = lease->lease,
                                       .stage = stage,
                                       .environment = strings_variables(&environment),
                                       .environment_count = slot->environment ? environment.count : 0,
                                       .name = task->slot_count > 1 ? slot->name : (struct mf_span){"", 0},
                                       .account_json = mf_buf_view(&json),
                                       .secrets = strings_spans(&secrets),
                                       .secret_count = secrets.count};
        result = environment.no_memory || secrets.no_memory || json.failed
                     ? mf_fail(error, MF_MEMORY, "account %u: no memory for its lease", lease->account)
                     : runner_send_lease(app->runner, &message, error);
        CRASH_POINT(8);
    }
    mf_buf_free(&json);
    strings_free(&secrets);
    strings_free(&environment);
    return result;
}

static int keep_lease(struct app *app, const struct core_command *command)
{
    uint32_t slot = 0;
    for (uint32_t s = 0; s < task_of(app, command->node)->slot_count; s++)
        if (core_slot_account(app->core, command->node, s) == command->account)
            slot = s;
    int grown = mf_grow((void **)&app->leases, &app->lease_capacity, app->lease_count + 1, sizeof *app->leases, 16);
    mf_assert(grown == 0);
    app->leases[app->lease_count++] = (struct app_lease){command->lease, command->node, command->account, slot};
    return 0;
}

/* Takes the node's leases out of the waiting list; the caller frees the result. */
static uint64_t *take_leases(struct app *app, const struct core_command *command, uint32_t *count,
                             struct mf_error *error)
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
        if (failed || send_lease(app, &app->leases[i], command->stage, error) != 0)
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

static int start_spawn(struct app *app, const struct core_command *command)
{
    struct stage_texts texts;
    struct runner_spawn spawn;
    struct mf_error error = {0};
    uint32_t lease_count = 0;
    struct runner_input *inputs = NULL;
    uint64_t *leases = NULL;
    if (!runner_ready(app->runner))
        return -1;
    texts_init(&texts, app, command->node);
    bool built = build_texts(app, command, &texts, &error) == 0;
    if (built && command->stage_kind == CORE_STAGE_AGENT &&
        add_inputs(app, task_of(app, command->node), &texts.inputs) != 0)
        built = mf_fail(&error, MF_LIMIT, "inputs: the list does not fit") == 0;
    leases = take_leases(app, command, &lease_count, &error);
    if (built && leases != NULL) {
        fill_spawn(app, command, &texts, &spawn);
        spawn.leases = leases;
        spawn.lease_count = lease_count;
        spawn.inputs = inputs = make_inputs(&texts.inputs, &spawn.input_count);
        app_stage_add(app, command->stage, command->node, command->attempt);
        if (inputs == NULL)
            texts.inputs.no_memory = true;
        if (texts_check(&texts, &error) != 0 || runner_send_spawn(app->runner, &spawn, &error) != 0) {
            app_stage_remove(app, command->stage);
            built = false;
        }
    }
    if (!built || leases == NULL)
        fail_stage(app, command, class_of(&error), error.text);
    mf_free(leases);
    mf_free(inputs);
    texts_free(&texts);
    return 0;
}

int app_execute_stage(struct app *app, const struct core_command *command)
{
    if (command->kind == CORE_COMMAND_LEASE)
        return keep_lease(app, command);
    if (app->runner == NULL) {
        fail_stage(app, command, CORE_CLASS_INFRASTRUCTURE, "the runner is not there");
        return 0;
    }
    return command->kind == CORE_COMMAND_PREPARE ? start_prepare(app, command) : start_spawn(app, command);
}
