/*
 * stage.c - what the core wants of the runner becomes messages: prepare, lease, spawn, signal, drop, finish
 *
 * A stage that cannot be built (a value that its templates need is missing, an argument is too long) comes back as a failure of
 * class refused with the reason: trying again would not help.
 */
#include "app/app_private.h"

#include "app/strings.h"
#include "app/walls.h"
#include "base/alloc.h"

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
    struct walls_texts walls;
    struct graph_workspace workspace = {0};
    struct runner_prepare prepare;
    struct mf_error error;
    int result = 0;
    texts_init(&texts, app, command->node);
    walls_texts_init(&walls);
    if (build_prepare(app, command, &texts, &workspace, &prepare, &error) != 0 ||
        walls_make(app, command->node, false, &walls, &prepare.walls, &error) != 0) {
        fail_stage(app, command, class_of(&error), error.text);
    } else if (runner_send_prepare(app->runner, &prepare, &error) == 0) {
        app_stage_add(app, command->stage, command->node, command->attempt, CORE_STAGE_PREPARE);
    } else if (error.code == MF_LIMIT && !runner_ready(app->runner)) {
        result = -1;
    } else {
        fail_stage(app, command, class_of(&error), error.text);
    }
    graph_workspace_free(&workspace);
    walls_texts_free(&walls);
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

/* --- services --- */

struct stage_uses {
    struct runner_use *uses;   /* owned */
    struct strings *variables; /* owned; one for each */
    uint32_t count;
};

static void uses_free(struct stage_uses *uses)
{
    for (uint32_t i = 0; uses->variables != NULL && i < uses->count; i++)
        strings_free(&uses->variables[i]);
    mf_free(uses->variables);
    mf_free(uses->uses);
}

/* What the stage sees of each of its services: marks, which the runner replaces. */
static int make_uses(struct app *app, uint32_t task, struct stage_uses *out, struct mf_error *error)
{
    uint32_t count = graph_use_count(app->graph, task);
    *out = (struct stage_uses){.uses = mf_calloc(count, sizeof *out->uses),
                               .variables = mf_calloc(count, sizeof *out->variables)};
    if (out->uses == NULL || out->variables == NULL)
        return mf_fail(error, MF_MEMORY, "services: no memory");
    for (; out->count < count; out->count++) {
        uint32_t service = graph_use(app->graph, task, out->count);
        struct strings *variables = &out->variables[out->count];
        struct mf_span none = {"", 0};
        strings_init(variables, APP_VALUES_BYTES_MAX, false);
        if (app_agent_variables(&app->services[service].source, none, none, variables, error) != 0) {
            out->count++;
            return -1;
        }
        out->uses[out->count] = (struct runner_use){.service = app_service_id(service),
                                                    .environment = strings_variables(variables),
                                                    .environment_count = variables->count};
        if (variables->no_memory) {
            out->count++;
            return mf_fail(error, MF_MEMORY, "services: no memory");
        }
    }
    return 0;
}

/* A task's money is for the attempt: what the agent used up is not there for its verify. */
static int64_t budget_of(const struct app *app, const struct core_command *command)
{
    int64_t budget = graph_task_budget_micro_usd(app->graph, app_node_task(app, command->node));
    if (budget < 0 || command->stage_kind != CORE_STAGE_VERIFY)
        return budget;
    int64_t spent = usage_book_spent(&app->usage, command->node, command->attempt, CORE_STAGE_AGENT);
    return spent < budget ? budget - spent : 0;
}

/* --- sending it --- */

struct spawn_parts {
    struct stage_texts texts;
    struct walls_texts walls;
    struct stage_uses uses;
    struct runner_input *inputs; /* owned */
    uint64_t *leases;            /* owned */
};

static void parts_free(struct spawn_parts *parts)
{
    mf_free(parts->leases);
    mf_free(parts->inputs);
    uses_free(&parts->uses);
    walls_texts_free(&parts->walls);
    texts_free(&parts->texts);
}

static int build_spawn(struct app *app, const struct core_command *command, struct spawn_parts *parts,
                       struct runner_spawn *spawn, struct mf_error *error)
{
    bool agent = command->stage_kind == CORE_STAGE_AGENT;
    if (build_texts(app, command, &parts->texts, error) != 0)
        return -1;
    if (agent && add_inputs(app, task_of(app, command->node), &parts->texts.inputs) != 0)
        return mf_fail(error, MF_LIMIT, "inputs: the list does not fit");
    fill_spawn(app, command, &parts->texts, spawn);
    if (walls_make(app, command->node, true, &parts->walls, &spawn->walls, error) != 0 ||
        make_uses(app, app_node_task(app, command->node), &parts->uses, error) != 0)
        return -1;
    spawn->uses = parts->uses.uses;
    spawn->use_count = parts->uses.count;
    spawn->budget_micro_usd = budget_of(app, command);
    spawn->inputs = parts->inputs = make_inputs(&parts->texts.inputs, &spawn->input_count);
    if (parts->inputs == NULL)
        parts->texts.inputs.no_memory = true;
    return texts_check(&parts->texts, error);
}

static int start_spawn(struct app *app, const struct core_command *command)
{
    struct spawn_parts parts = {0};
    struct runner_spawn spawn;
    struct mf_error error = {0};
    uint32_t lease_count = 0;
    if (!runner_ready(app->runner))
        return -1;
    texts_init(&parts.texts, app, command->node);
    walls_texts_init(&parts.walls);
    bool built = build_spawn(app, command, &parts, &spawn, &error) == 0;
    if (built)
        parts.leases = app_leases_send(app, command, &lease_count, &error);
    else
        app_leases_forget(app, command->node);
    built = built && parts.leases != NULL;
    if (built) {
        spawn.leases = parts.leases;
        spawn.lease_count = lease_count;
        app_stage_add(app, command->stage, command->node, command->attempt, command->stage_kind)->walled =
            spawn.walls.sandbox;
        if (runner_send_spawn(app->runner, &spawn, &error) != 0) {
            app_stage_remove(app, command->stage);
            built = false;
        }
    }
    if (!built)
        fail_stage(app, command, class_of(&error), error.text);
    parts_free(&parts);
    return 0;
}

int app_execute_stage(struct app *app, const struct core_command *command)
{
    if (command->kind == CORE_COMMAND_LEASE)
        return app_lease_keep(app, command);
    if (app->runner == NULL) {
        fail_stage(app, command, CORE_CLASS_INFRASTRUCTURE, "the runner is not there");
        return 0;
    }
    return command->kind == CORE_COMMAND_PREPARE ? start_prepare(app, command) : start_spawn(app, command);
}
