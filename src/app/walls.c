/*
 * walls.c - what stands around the agents: what the graph says of a task becomes the runner's walls, and is checked before
 * anything is started
 *
 * The check asks the machine once (a trial start of the sandbox) and then each different demand of the graph. What cannot be
 * given ends the run before it begins, with the remedy: nothing is downgraded silently.
 */
#include "app/app_private.h"

#include "app/walls.h"
#include "base/alloc.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool app_walled(const struct graph *graph, uint32_t task)
{
    return !graph_sandbox(graph, task).off;
}

/* --- for one stage --- */

void walls_texts_init(struct walls_texts *texts)
{
    strings_init(&texts->read, SANDBOX_READ_MAX * (PATH_MAX + 1u), false);
    strings_init(&texts->egress, 256u * 1024u, false);
    strings_init(&texts->reach, 256u * 1024u, false);
}

void walls_texts_free(struct walls_texts *texts)
{
    strings_free(&texts->read);
    strings_free(&texts->egress);
    strings_free(&texts->reach);
}

static int add_egress(const struct graph *graph, uint32_t task, struct strings *out)
{
    for (uint32_t i = 0; i < graph_egress_count(graph, task); i++) {
        if (graph_egress(graph, task, i, &out->bytes) != 0 || mf_buf_char(&out->bytes, '\0') != 0)
            return -1;
        out->count++;
    }
    return 0;
}

static int put_origin(void *context, struct mf_span origin)
{
    return strings_add(context, origin);
}

/* What the stage's accounts deploy may be looked at by the stage. */
static int add_reach(struct app *app, uint32_t node, struct strings *out, struct mf_error *error)
{
    const struct graph_task *task = &graph_tasks(app->graph)[app_node_task(app, node)];
    for (uint32_t s = 0; s < task->slot_count; s++) {
        const struct app_provider *provider = &app->providers[graph_slots(app->graph)[task->slot_first + s].provider];
        uint32_t account = core_slot_account(app->core, node, s);
        if (account == CORE_NONE)
            continue;
        struct mf_span ids = mf_buf_view(&app_account_at(app, account)->ids);
        struct recipe_vars vars = app_recipe_vars(provider, ids, (struct mf_span){"", 0}, app_now(app));
        if (recipe_reach(provider->recipe, &vars, put_origin, out, error) != 0)
            return -1;
    }
    return 0;
}

int walls_make(struct app *app, uint32_t node, bool has_accounts, struct walls_texts *texts, struct runner_walls *out,
               struct mf_error *error)
{
    uint32_t task = app_node_task(app, node);
    struct graph_sandbox sandbox = graph_sandbox(app->graph, task);
    if (strings_add_list(&texts->read, graph_document(app->graph), sandbox.read) != 0 ||
        add_egress(app->graph, task, &texts->egress) != 0)
        return mf_fail(error, MF_LIMIT, "sandbox: its lists do not fit");
    if (has_accounts && add_reach(app, node, &texts->reach, error) != 0)
        return -1;
    *out = (struct runner_walls){
        .sandbox = app_walled(app->graph, task),
        .read = strings_spans(&texts->read),
        .read_count = texts->read.count,
        .root = sandbox.root,
        .memory_bytes = sandbox.memory_bytes,
        .disk_bytes = sandbox.disk_bytes,
        .pids = sandbox.pids,
        .cpu_millis = sandbox.cpu_millis,
        .egress = strings_spans(&texts->egress),
        .egress_count = texts->egress.count,
        .reach = strings_spans(&texts->reach),
        .reach_count = texts->reach.count,
    };
    bool missing = texts->read.no_memory || texts->egress.no_memory || texts->reach.no_memory;
    return missing ? mf_fail(error, MF_MEMORY, "sandbox: no memory") : 0;
}

/* --- before anything is started --- */

static bool lies_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/' || length == 1);
}

/* An agent must not see the state directory: neither itself, nor what holds it, nor a part of it. Links are followed. */
static int check_place(const struct app *app, struct mf_span task, const char *path, struct mf_error *error)
{
    char state[PATH_MAX], real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return mf_fail(error, MF_INPUT, "task `%.*s`: sandbox: `%s`: %s", MF_SPAN_ARGS(task), path, strerror(errno));
    if (app->state == NULL || realpath(state_path(app->state), state) == NULL)
        return 0;
    if (lies_in(state, real) || lies_in(real, state))
        return mf_fail(error, MF_INPUT, "task `%.*s`: sandbox: `%s` would show mayfly's state directory %s to an agent",
                       MF_SPAN_ARGS(task), path, state);
    return 0;
}

static int check_places(const struct app *app, const struct graph_task *task, const struct graph_sandbox *sandbox,
                        struct mf_error *error)
{
    const struct json_document *document = graph_document(app->graph);
    char path[PATH_MAX];
    if (sandbox->root.length > 0 &&
        (mf_span_copy(sandbox->root, path, sizeof path) != 0 || check_place(app, task->name, path, error) != 0))
        return -1;
    for (uint32_t at = sandbox->read == JSON_NONE ? JSON_NONE : json_first(document, sandbox->read); at != JSON_NONE;
         at = json_next(document, sandbox->read, at))
        if (json_copy(document, at, path, sizeof path) != 0 || check_place(app, task->name, path, error) != 0)
            return -1;
    return 0;
}

static bool same_demand(const struct graph_sandbox *left, const struct graph_sandbox *right)
{
    return left->read == right->read && left->root.data == right->root.data &&
           left->memory_bytes == right->memory_bytes && left->disk_bytes == right->disk_bytes &&
           left->pids == right->pids && left->cpu_millis == right->cpu_millis;
}

static int check_demand(const struct app *app, const struct graph_task *task, const struct graph_sandbox *sandbox,
                        const struct sandbox_report *report, struct mf_error *error)
{
    struct walls_texts texts;
    if (check_places(app, task, sandbox, error) != 0)
        return -1;
    walls_texts_init(&texts);
    int result = strings_add_list(&texts.read, graph_document(app->graph), sandbox->read) == 0
                     ? 0
                     : mf_fail(error, MF_LIMIT, "sandbox: its paths do not fit");
    struct sandbox_spec spec = {
        .read = strings_spans(&texts.read),
        .read_count = texts.read.count,
        .root = sandbox->root,
        .limits = {sandbox->memory_bytes, sandbox->pids, sandbox->cpu_millis, sandbox->disk_bytes},
    };
    if (result == 0 && sandbox_check_spec(report, &spec, error) != 0) {
        result = mf_wrap(error, "task `%.*s`", MF_SPAN_ARGS(task->name));
        error->code = MF_SANDBOX; /* the machine cannot give what the graph asks for: exit 6 */
    }
    walls_texts_free(&texts);
    return result;
}

int app_walls_check(struct app *app, struct mf_error *error)
{
    struct sandbox_report report = {0};
    struct graph_sandbox last = {0};
    bool asked = false;
    for (uint32_t t = 0; t < graph_task_count(app->graph); t++) {
        struct graph_sandbox sandbox = graph_sandbox(app->graph, t);
        if (!app_walled(app->graph, t) || (asked && same_demand(&sandbox, &last)))
            continue;
        if (!asked) {
            struct sandbox_options options = {.agent_uid = app->options.agent_uid > 0 ? app->options.agent_uid : -1};
            if (sandbox_check(&options, &report, error) != 0)
                return mf_wrap(error, "sandbox");
            if (!report.available)
                return mf_fail(error, MF_SANDBOX, "sandbox: %s", report.reason);
        }
        asked = true;
        last = sandbox;
        if (check_demand(app, &graph_tasks(app->graph)[t], &sandbox, &report, error) != 0)
            return -1;
    }
    return 0;
}
