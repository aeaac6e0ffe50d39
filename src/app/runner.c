/* runner.c - the runner process of a run: started on command, its messages become inputs */
#include "app/app_private.h"

#include "base/alloc.h"
#include "base/crash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int class_named(const char *name)
{
    int class = core_class_of(name);
    return class >= 0 ? class : CORE_CLASS_INFRASTRUCTURE;
}

/* The node of a stage, or false when the stage is none of ours any more: the core would ignore it. */
static bool node_of(struct app *app, uint64_t stage, struct core_input *input)
{
    const struct app_stage *entry = app_stage_find(app, stage);
    if (entry == NULL)
        return false;
    input->node = entry->node;
    input->stage = stage;
    return true;
}

static void push_death(struct app *app, const char *reason)
{
    struct app_payload *payload = app_payload_new();
    app_payload_reason(payload, reason);
    app->runner_dead = true;
    app_note(app, "runner: %s", reason);
    app_push(app, &(struct core_input){.kind = CORE_INPUT_RUNNER_DIED, .generation = app->runner_generation}, payload);
}

static void on_up(void *context, int64_t pid, int64_t birth)
{
    struct app *app = context;
    struct mf_error error;
    if (app_policies_send(app, &error) != 0) {
        push_death(app, error.text);
        return;
    }
    app_push(app,
             &(struct core_input){
                 .kind = CORE_INPUT_RUNNER_UP, .generation = app->runner_generation, .pid = pid, .birth = birth},
             NULL);
}

static void on_prepared(void *context, uint64_t stage, const char *git_commit)
{
    struct core_input input = {.kind = CORE_INPUT_PREPARED};
    struct app_payload *payload = NULL;
    if (!node_of(context, stage, &input))
        return;
    if (git_commit != NULL) {
        payload = app_payload_new();
        mf_buf_printf(&payload->extra, "\"git_commit\":\"%s\"", git_commit);
    }
    app_stage_remove(context, stage);
    app_push(context, &input, payload);
}

static void push_failure(struct app *app, enum core_input_kind kind, uint64_t stage, const char *class_name,
                         const char *reason)
{
    struct core_input input = {.kind = kind, .class = (enum core_class)class_named(class_name)};
    if (!node_of(app, stage, &input))
        return;
    struct app_payload *payload = app_payload_new();
    app_payload_reason(payload, reason);
    app_stage_remove(app, stage);
    app_push(app, &input, payload);
}

static void on_prepare_failed(void *context, uint64_t stage, const char *class_name, const char *reason)
{
    push_failure(context, CORE_INPUT_PREPARE_FAILED, stage, class_name, reason);
}

static void on_spawn_failed(void *context, uint64_t stage, const char *class_name, const char *reason)
{
    push_failure(context, CORE_INPUT_SPAWN_FAILED, stage, class_name, reason);
}

static void on_started(void *context, uint64_t stage, int64_t pid, int64_t birth)
{
    struct app *app = context;
    struct core_input input = {.kind = CORE_INPUT_STARTED, .pid = pid, .birth = birth};
    if (!node_of(app, stage, &input))
        return;
    struct app_payload *payload = NULL;
    if (!app_stage_find(app, stage)->walled) { /* for the receipt: its token was the only guard */
        payload = app_payload_new();
        mf_buf_text(&payload->extra, "\"sandbox\":false");
        app->stages_without_sandbox++;
    }
    app_push(app, &input, payload);
}

static void on_exited(void *context, const struct runner_exit *exit)
{
    struct core_input input = {.kind = CORE_INPUT_EXITED, .code = exit->code, .signal = exit->signal};
    CRASH_POINT(11);
    if (!node_of(context, exit->stage, &input))
        return;
    struct app_payload *payload = app_payload_new();
    mf_buf_printf(&payload->extra, "\"user_ms\":%lld,\"system_ms\":%lld,\"rss_bytes_max\":%lld",
                  (long long)exit->user_ms, (long long)exit->system_ms, (long long)exit->rss_bytes_max);
    app_push(context, &input, payload);
}

static void note_result(struct app *app, const struct app_stage *stage, const struct runner_result *result)
{
    struct app_node *node = app_node_at(app, stage->node);
    node->has_result =
        result->sha256 != NULL && mf_unhex(mf_span(result->sha256), node->sha256, sizeof node->sha256) == 0;
    node->has_outputs = result->output_files > 0;
    node->result_attempt = stage->attempt;
}

static void on_result(void *context, const struct runner_result *result)
{
    struct app *app = context;
    struct core_input input = {.kind = CORE_INPUT_RESULT};
    const struct app_stage *stage = app_stage_find(app, result->stage);
    struct core_node_view view;
    if (stage == NULL || !node_of(app, result->stage, &input))
        return;
    struct app_payload *payload = app_payload_new();
    mf_buf_printf(&payload->extra, "\"stdout_bytes\":%llu,\"stderr_bytes\":%llu",
                  (unsigned long long)result->stdout_bytes, (unsigned long long)result->stderr_bytes);
    if (result->sha256 != NULL)
        mf_buf_printf(&payload->extra, ",\"result_sha256\":\"%s\",\"result_bytes\":%llu", result->sha256,
                      (unsigned long long)result->result_bytes);
    if (result->output_files > 0)
        mf_buf_printf(&payload->extra, ",\"output_files\":%u,\"output_bytes\":%llu", result->output_files,
                      (unsigned long long)result->output_bytes);
    if (core_node(app->core, stage->node, &view) && view.stage == result->stage && view.stage_kind == CORE_STAGE_AGENT)
        note_result(app, stage, result);
    if (!result->valid) {
        input.class = (enum core_class)class_named(result->class_name != NULL ? result->class_name : "agent");
        app_payload_reason(payload, result->reason != NULL ? result->reason : "the result is not valid");
    }
    app_stage_remove(app, result->stage);
    app_push(app, &input, payload);
}

static void on_dropped(void *context, uint64_t lease)
{
    app_push(context, &(struct core_input){.kind = CORE_INPUT_DROPPED, .lease = lease}, NULL);
}

static void on_died(void *context, const char *reason)
{
    push_death(context, reason);
}

static const struct runner_handlers handlers = {
    .up = on_up,
    .prepared = on_prepared,
    .prepare_failed = on_prepare_failed,
    .started = on_started,
    .spawn_failed = on_spawn_failed,
    .exited = on_exited,
    .result = on_result,
    .dropped = on_dropped,
    .anomaly = app_heard_anomaly,
    .account_dead = app_heard_account_dead,
    .service_refused = app_heard_service_refused,
    .budget = app_heard_budget,
    .usage = app_heard_usage,
    .audit_head = app_heard_audit_head,
    .died = on_died,
};

static void forget_stages(struct app *app)
{
    memset(app->stages, 0, app->stage_capacity * sizeof *app->stages);
    app->stage_count = 0;
    app->lease_count = 0;
}

int app_start_runner(struct app *app)
{
    struct mf_error error;
    if (app->runner != NULL) {
        runner_stop(app->runner, 0);
        app->runner = NULL;
        if (app->stage_capacity > 0)
            forget_stages(app);
        if (runner_sweep(app->run_id, app->run_dir, &error) < 0)
            app_note(app, "runner: %s", error.text);
    }
    if (app->runner_generation > 0)
        app_usage_rebuild(app);
    app->runner_dead = false;
    app->runner_generation++;
    struct runner_options options = {
        .program = app->options.program,
        .run_dir_fd = app->run_dir_fd,
        .run_dir = app->run_dir,
        .run_id = app->run_id,
        .path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        .running_max = app->limits.running_max,
        .agent_uid = app->options.agent_uid > 0 ? app->options.agent_uid : -1,
        .anchored_count = app->audit_count,
        .anchored_head = app->audit_head,
        .ca_file = getenv("MAYFLY_CA_FILE"),
#ifdef MAYFLY_CRASHPOINTS
        .crash_points = true,
#endif
    };
    if (runner_start(&app->runner, app->loop, &options, &handlers, app, &error) == 0)
        return 0;
    app->runner = NULL;
    push_death(app, error.text);
    return -1;
}
