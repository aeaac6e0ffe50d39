/*
 * app.c - one run from its options to its receipt: makes everything in order, runs the loop, takes everything down in reverse
 *
 * Called by cmd/run, cmd/rerun and cmd/teardown. Until the journal exists nothing was started or sent, and a failure leaves
 * nothing behind; from then on the core decides how the run ends.
 */
#include "app/app.h"

#include "app/app_private.h"
#include "app/control.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUNNER_LEAVE_MS 5000

/* --- making it --- */

static int find_base_dir(struct app *app, struct mf_error *error)
{
    char path[PATH_MAX];
    const char *file = app->options.graph_path;
    if (file == NULL || strcmp(file, "-") == 0) {
        app->base_dir = getcwd(path, sizeof path) != NULL ? mf_strdup(path) : NULL;
    } else if (realpath(file, path) == NULL) {
        return mf_fail(error, MF_INPUT, "open `%s`: %s", file, strerror(errno));
    } else {
        char *slash = strrchr(path, '/');
        app->base_dir = mf_strndup(path, slash != NULL && slash != path ? (size_t)(slash - path) : 1);
    }
    return app->base_dir != NULL ? 0 : mf_fail(error, MF_MEMORY, "run: no memory");
}

/* As many descriptors as the machine allows: each agent takes four, each connection one. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int open_directory(struct app *app, struct mf_error *error)
{
    bool fresh = app->options.mode == APP_RUN;
    app->run_dir_fd = app->lock_fd = -1;
    if (state_open(&app->state, app->options.state_path, fresh, error) != 0)
        return -1;
    if (fresh) {
        bool generated;
        if (state_owner(app->state, app->options.owner, app->owner, &generated, error) != 0 ||
            state_run_create(app->state, app->run_id, &app->run_dir_fd, error) != 0)
            return -1;
        if (generated)
            app_note(app, "owner: this machine has no usable machine-id; generated `%s` and stored it", app->owner);
    } else {
        snprintf(app->run_id, sizeof app->run_id, "%s", app->options.run);
        if (state_run_open(app->state, app->run_id, &app->run_dir_fd, error) != 0 ||
            state_run_lock(app->state, app->run_id, &app->lock_fd, error) != 0)
            return -1; /* a new run's lock was taken with its directory */
    }
    CRASH_POINT(1);
    app->run_dir = state_run_path(app->state, app->run_id, NULL);
    return app->run_dir != NULL ? 0 : mf_fail(error, MF_MEMORY, "run: no memory");
}

static int name_tasks(struct app *app, struct mf_error *error)
{
    uint32_t count = graph_task_count(app->graph);
    size_t bytes = 0;
    const struct graph_task *tasks = graph_tasks(app->graph);
    for (uint32_t i = 0; i < count; i++)
        bytes += tasks[i].name.length + 1;
    app->task_names = mf_calloc(count, sizeof *app->task_names);
    app->task_name_bytes = mf_alloc(bytes);
    if (app->task_names == NULL || app->task_name_bytes == NULL)
        return mf_fail(error, MF_MEMORY, "run: no memory for %u names", count);
    char *at = app->task_name_bytes;
    for (uint32_t i = 0; i < count; i++) {
        app->task_names[i] = at;
        memcpy(at, tasks[i].name.data, tasks[i].name.length);
        at[tasks[i].name.length] = '\0';
        at += tasks[i].name.length + 1;
    }
    return 0;
}

static void woken(void *context)
{
    provision_collect(((struct app *)context)->provision);
}

/* Provider-wide gates are times of the boot clock; the core's are ours. */
static void on_hold(void *context, uint32_t provider, int64_t until_ms)
{
    struct app *app = context;
    app_push(app,
             &(struct core_input){.kind = CORE_INPUT_PROVIDER_HOLD,
                                  .provider = provider,
                                  .until_ms = until_ms - app->start_ms + app->base_ms},
             NULL);
}

static void on_provision_note(void *context, uint32_t provider, const char *text)
{
    (void)provider;
    app_note(context, "%s", text);
}

static int open_network(struct app *app, struct mf_error *error)
{
    static const struct provision_events events = {.hold = on_hold, .note = on_provision_note};
    struct net_client_options client = {.ca_file = getenv("MAYFLY_CA_FILE")};
    if (net_client_create(&app->client, app->loop, &client, error) != 0)
        return -1;
    struct provision_provider *providers = mf_calloc(app->provider_count, sizeof *providers);
    if (providers == NULL)
        return mf_fail(error, MF_MEMORY, "providers: no memory");
    for (uint32_t i = 0; i < app->provider_count; i++)
        providers[i] =
            (struct provision_provider){.recipe = app->providers[i].recipe,
                                        .base_url = app->providers[i].base_url,
                                        .inputs = app->providers[i].inputs,
                                        .input_count = app->providers[i].input_count,
                                        .credential = app_provider_credential,
                                        .credential_context = &app->providers[i],
                                        .rate_file = app->providers[i].served ? NULL : app->providers[i].rate_path};
    int result = provision_create(&app->provision, app->loop, app->client, providers, app->provider_count, 0, &events,
                                  app, error);
    mf_free(providers);
    net_loop_on_wake(app->loop, woken, app);
    return result;
}

static void on_signal(void *context, int signal_number)
{
    struct app *app = context;
    struct core_totals totals;
    if (signal_number == SIGHUP) {
        app_note(app, "the terminal went away; the run goes on");
        return;
    }
    app->signals++;
    if (app->signal_number == 0)
        app->signal_number = signal_number;
    core_totals(app->core, &totals);
    if (app->signals <= 2) {
        app_note(
            app,
            app->signals == 1
                ? "stopping: agents are asked to end, then every account is torn down (Ctrl-C again: kill them now)"
                : "killing the agents; the teardown goes on");
        app_push(app, &(struct core_input){.kind = CORE_INPUT_SIGNAL, .level = app->signals, .signal = signal_number}, NULL);
        return;
    }
    uint32_t open = 0;
    for (int state = CORE_ACCOUNT_STATE_CREATING; state <= CORE_ACCOUNT_STATE_DELETING; state++)
        open += totals.accounts[state];
    app_note(
        app,
        "still open: %u agents, %u accounts; teardown goes on (only SIGKILL skips it, then run `mayfly teardown %s`)",
        totals.live, open, app->run_id);
}

static void on_refresh(void *context)
{
    struct app *app = context;
    net_loop_again(app->loop);
    net_timer_set(app->refresh, net_now_ms() + app->options.refresh_ms);
}

static int open_loop(struct app *app, struct mf_error *error)
{
    if (app->options.refresh_ms > 0) {
        if (net_timer_create(&app->refresh, app->loop, on_refresh, app, error) != 0)
            return -1;
        net_timer_set(app->refresh, net_now_ms() + app->options.refresh_ms);
    }
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (net_loop_on_signal(app->loop, signals[i], on_signal, app, error) != 0)
            return -1;
    net_loop_on_turn(app->loop, app_pump_turn, app);
    return app_control_open(app, error);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getentropy(&seed, sizeof seed) != 0)
        seed = (uint64_t)net_now_ms();
    return seed;
}

/* Without the operator's credential a clean-up leaves all states as they are: MF_PROVIDER, exit 4 when something may exist. */
static int check_cleanable(const struct app *app, struct mf_error *error)
{
    struct core_totals totals;
    core_totals(app->core, &totals);
    uint32_t left = totals.accounts[CORE_ACCOUNT_STATE_LEAKED];
    for (int state = CORE_ACCOUNT_STATE_CREATING; state <= CORE_ACCOUNT_STATE_DELETING; state++)
        left += totals.accounts[state];
    if (!app->missing_credential || left == 0)
        return 0;
    return mf_fail(error, MF_PROVIDER,
                   "run %s: %u accounts may still exist, and an operator's credential is missing; give --credential "
                   "NAME=file:PATH",
                   app->run_id, left);
}

static int open_core(struct app *app, struct mf_error *error)
{
    if (app_build_core_graph(app, error) != 0 ||
        core_create(&app->core, &app->core_graph, &app->limits, random_seed(), error) != 0 ||
        name_tasks(app, error) != 0)
        return -1;
    if (app->options.mode == APP_RUN)
        return app_open_new(app, error);
    if (app_replay(app, error) != 0 || (app->options.previous != NULL && app_revise(app, error) != 0))
        return -1;
    return check_cleanable(app, error);
}

static int check_faults(const struct app *app, struct mf_error *error)
{
    if (app->options.faults == NULL || app->emulator.pid != 0)
        return 0;
    return mf_fail(error, MF_USAGE,
                   "--faults: it is for the built-in emulator; give the script to your own `mayfly emulate`");
}

static int open_all(struct app *app, struct mf_error *error)
{
    raise_descriptors();
    app->contents = contents_create();
    if (app->contents == NULL)
        return mf_fail(error, MF_MEMORY, "run: no memory");
    if (app->options.mode == APP_RUN && find_base_dir(app, error) != 0)
        return -1;
    if (open_directory(app, error) != 0 || net_loop_create(&app->loop, error) != 0)
        return -1;
    if (app->options.mode != APP_RUN && app_open_existing(app, error) != 0)
        return -1;
    if (app->options.previous != NULL) {
        mf_free(app->base_dir);
        app->base_dir = NULL;
        if (find_base_dir(app, error) != 0)
            return -1;
    }
    if (app->options.mode != APP_TEARDOWN && app_walls_check(app, error) != 0)
        return -1;
    if (app_providers_open(app, error) != 0 || app_services_open(app, error) != 0 || check_faults(app, error) != 0)
        return -1;
    if (app->options.mode != APP_TEARDOWN && app_prompts_open(app, error) != 0)
        return -1;
    return open_core(app, error) == 0 && open_network(app, error) == 0 ? open_loop(app, error) : -1;
}

/* A run is found by its --name, else by its graph's: `mayfly show deploy-fleet` is the last one of it. */
static char *default_name(const struct app_options *options)
{
    struct mf_span name = options->name != NULL ? mf_span(options->name) : graph_name(options->graph);
    return graph_is_key(name) ? mf_strndup(name.data, name.length) : NULL;
}

int app_create(struct app **out, const struct app_options *options, struct mf_error *error)
{
    struct app *app = mf_calloc(1, sizeof *app);
    if (app == NULL)
        return mf_fail(error, MF_MEMORY, "run: no memory");
    app->options = *options;
    app->graph = options->graph;
    if (options->mode == APP_RUN)
        app->run_name = default_name(options);
    app->start_ms = net_now_ms();
    app->base_ms = app->opened_ms = provision_wall_ms();
    if (open_all(app, error) != 0) {
        bool empty = options->mode == APP_RUN && app->run_dir_fd > 0;
        char id[STATE_RUN_ID_BYTES];
        memcpy(id, app->run_id, sizeof id);
        app_destroy(app);
        struct state_dir *state;
        if (empty &&
            state_open(&state, options->state_path, false, NULL) == 0) { /* nothing was started: leave nothing */
            state_run_remove(state, id, NULL);
            state_close(state);
        }
        return -1;
    }
    *out = app;
    return 0;
}

/* --- running it --- */

static int push_reruns(struct app *app)
{
    for (uint32_t i = 0; i < app->options.task_count; i++) {
        bool found = false;
        for (uint32_t node = 0; node < core_node_count(app->core) && !found; node++) {
            found = strcmp(app_node_path(app, node), app->options.tasks[i]) == 0;
            if (found)
                app_push(
                    app,
                    &(struct core_input){.kind = CORE_INPUT_RERUN, .node = node, .flag = app->options.with_dependents},
                    NULL);
        }
        if (!found) {
            app_note(app, "rerun: run %s has no task `%s`", app->run_id, app->options.tasks[i]);
            return -1;
        }
    }
    return 0;
}

/* It succeeded, and would not be the same today. */
static bool changed(struct app *app, uint32_t node)
{
    struct core_node_view view;
    uint8_t now[32];
    const struct app_node *entry = app_node_at(app, node);
    if (app->options.previous == NULL || !core_node(app->core, node, &view) || view.state != CORE_TASK_STATE_SUCCEEDED)
        return false;
    return !entry->has_content || !app_content_key(app, node, now) || memcmp(now, entry->content, sizeof now) != 0;
}

static uint32_t push_resume(struct app *app, uint32_t node, bool again)
{
    app_push(app, &(struct core_input){.kind = CORE_INPUT_RESUME, .node = node, .flag = again}, NULL);
    return again;
}

/* In topological order: what a task needs is looked at before the task. A template with another list makes it anew. */
static void push_resumes(struct app *app)
{
    const uint32_t *order = graph_order(app->graph);
    uint32_t again = 0;
    for (uint32_t i = 0; i < app->core_graph.task_count; i++) {
        uint32_t first, count = 0, task = order[i];
        bool template = app->core_graph.tasks[task].template;
        bool other_list = template && app->options.previous != NULL && !app_content_same_list(app->options.previous, app->graph, task);
        if (!other_list && core_instances(app->core, task, &first, &count))
            for (uint32_t k = 0; k < count; k++)
                again += push_resume(app, first + k, changed(app, first + k));
        again += push_resume(app, task, other_list || (!template && changed(app, task)));
    }
    if (app->options.previous != NULL)
        app_note(app, "resume: %u tasks had succeeded and have changed; they run again, with what depends on them", again);
}

static int push_first(struct app *app)
{
    switch (app->options.mode) {
    case APP_RUN:
        app_push(app, &(struct core_input){.kind = CORE_INPUT_OPEN}, NULL);
        return 0;
    case APP_RERUN:
        app_push(app, &(struct core_input){.kind = CORE_INPUT_RESTARTED}, NULL);
        return push_reruns(app);
    case APP_RESUME:
        app_push(app, &(struct core_input){.kind = CORE_INPUT_RESTARTED}, NULL);
        push_resumes(app);
        return 0;
    case APP_TEARDOWN:
        app_push(app, &(struct core_input){.kind = CORE_INPUT_RESTARTED, .flag = true}, NULL);
        app_push(app, &(struct core_input){.kind = CORE_INPUT_TEARDOWN, .flag = app->options.include_kept}, NULL);
        return 0;
    }
    return -1;
}

static int exit_code_of(const struct app *app)
{
    struct app_receipt receipt;
    app_receipt(app, &receipt);
    int code = core_exit_code(app->core, app->options.strict_teardown, app->signal_number);
    if (!app->journal_broken || code == 4)
        return code;
    return receipt.open + receipt.leaked > 0 ? 4 : 5;
}

static const struct app *running_app; /* only for app_accounts_may_be_open */

bool app_accounts_may_be_open(void)
{
    struct core_totals totals;
    if (running_app == NULL)
        return false;
    core_totals(running_app->core, &totals);
    uint32_t open = totals.accounts[CORE_ACCOUNT_STATE_LEAKED];
    for (int state = CORE_ACCOUNT_STATE_CREATING; state <= CORE_ACCOUNT_STATE_DELETING; state++)
        open += totals.accounts[state];
    return open > 0;
}

int app_run(struct app *app)
{
    running_app = app;
    for (uint32_t i = 0; i < app->options.observer_count; i++)
        if (app->options.observers[i].opened != NULL)
            app->options.observers[i].opened(app->options.observers[i].context, app);
    if (push_first(app) != 0)
        return 2;
    net_loop_run(app->loop);
    app->exit_code = exit_code_of(app);
    if (app->runner_dead) /* its last second is in its log only; the journal has its end already */
        app_usage_rebuild(app);
    CRASH_POINT(16);
    app_remove_leftovers(app);
    struct app_receipt receipt;
    app_receipt(app, &receipt);
    for (uint32_t i = 0; i < app->options.observer_count; i++)
        if (app->options.observers[i].closed != NULL)
            app->options.observers[i].closed(app->options.observers[i].context, app, &receipt);
    return app->exit_code;
}

void app_destroy(struct app *app)
{
    running_app = NULL;
    if (app == NULL)
        return;
    runner_stop(app->runner, RUNNER_LEAVE_MS);
    if (app->journal != NULL) /* the record is complete now; what cannot be copied stays in its file */
        journal_take_requests(app->journal, app->run_dir_fd, NULL);
    app_control_close(app);
    provision_destroy(app->provision);
    net_client_destroy(app->client);
    journal_close(app->journal);
    app_emulator_stop(app);
    core_destroy(app->core);
    while (app->input_count > 0) {
        app_payload_free(app->inputs[app->input_first].payload);
        app->input_first = (app->input_first + 1) % app->input_capacity;
        app->input_count--;
    }
    app_tables_free(app);
    contents_destroy(app->contents);
    app_prompts_free(app);
    app_free_core_graph(app);
    app_services_close(app);
    app_providers_close(app);
    net_timer_destroy(app->refresh);
    net_loop_destroy(app->loop);
    mf_free(app->task_names);
    mf_free(app->task_name_bytes);
    mf_free(app->run_name);
    mf_free(app->base_dir);
    mf_free(app->run_dir);
    if (app->run_dir_fd > 0)
        close(app->run_dir_fd);
    if (app->lock_fd > 0)
        state_unlock(app->lock_fd);
    state_close(app->state);
    mf_free(app);
}
