/*
 * stage.c - an agent's or a verify's life in the runner: furnished, started, captured, ended, collected
 *
 *   SPAWN ──► HELPING ──────────► RUNNING ──► COLLECTING ──► RESULT
 *      │      (only with prompt,     │  EXITED     ▲
 *      │       inputs, previous,     │  at once    │ only with a result file or collect globs
 *      └────── verify) ─────────────►└─────────────┴──► RESULT in the same write as EXITED
 *
 * EXITED goes out when the whole tree is dead, the pipes are drained and the gateway has closed the stage (its tokens died with
 * the main process already; usage and audit head were told); collecting comes after it. Of a sandboxed stage STARTED goes out
 * when its command was executed; a sandbox that ends before is a SPAWN_FAILED.
 */
#include "runner/runner_private.h"

#include "runner/slot.h"

#include <stdio.h>
#include <string.h>

static const struct runner_spawn *spawn_of(const struct stage *stage)
{
    return &stage->spawn.spawn;
}

static void fail_spawn(struct stage *stage, const char *class_name, const char *reason)
{
    struct runner *runner = stage->runner;
    given_close(stage);
    leases_drop_of_stage(runner, stage);
    runner_reply(runner, FRAME_SPAWN_FAILED, stage->id, mf_span(class_name), mf_span(reason));
    if (stage->kind == STAGE_VERIFY)
        slot_give(runner, stage->slot, true, NULL);
    else if (stage->attempt != NULL)
        stage->attempt->dirty = true;
    stage_destroy(stage);
}

/* --- environment --- */

static bool has_prompt(const struct runner_spawn *spawn)
{
    return spawn->prompt.data != NULL || spawn->prompt_file.length > 0;
}

static bool has_inputs(const struct stage *stage)
{
    return spawn_of(stage)->input_count > 0 || stage->spawn.inputs_file.length > 0;
}

static bool needs_furnishing(const struct stage *stage)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    return spawn->verify || has_prompt(spawn) || has_inputs(stage) || spawn->previous_attempt > 0;
}

/* The paths of what a helper furnished. */
static int add_paths(struct stage *stage, struct environment *environment, struct mf_error *error)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    const struct {
        bool there;
        const char *name, *below;
    } paths[] = {
        {!spawn->verify, "MAYFLY_RESULT", SLOT_RESULT},
        {has_prompt(spawn), "MAYFLY_PROMPT", "in/prompt"},
        {has_inputs(stage), "MAYFLY_INPUTS", "in/inputs"},
        {spawn->previous_attempt > 0, "MAYFLY_PREVIOUS", "in/previous"},
        {spawn->verify, "MAYFLY_SUBJECT", "in/subject"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (paths[i].there && process_set_path(stage, environment, paths[i].name, paths[i].below, error) != 0)
            return -1;
    return 0;
}

static const char *class_of(const struct mf_error *error)
{
    return error->code == MF_INPUT || error->code == MF_LIMIT || error->code == MF_PROTOCOL ? "refused"
                                                                                            : "infrastructure";
}

static void start(struct stage *stage)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    struct environment environment;
    struct mf_error error = {.code = MF_NONE};
    environment_init(&environment);
    bool done = process_environment(stage, spawn->environment, spawn->environment_count, &environment, &error) == 0 &&
                given_open(stage, &environment, &error) == 0 && add_paths(stage, &environment, &error) == 0 &&
                process_run(stage, spawn->argv, spawn->argc, &environment, has_prompt(spawn), needs_furnishing(stage),
                            &error) == 0;
    environment_free(&environment);
    if (!done)
        fail_spawn(stage, class_of(&error), error.text);
}

/* --- SPAWN --- */

/* The attempt and the slot; NULL, or why not. */
static const char *take_place(struct stage *stage)
{
    const struct runner_spawn *spawn = spawn_of(stage);
    struct runner *runner = stage->runner;
    stage->kind = spawn->verify ? STAGE_VERIFY : STAGE_AGENT;
    if (!paths_instance_valid(spawn->path))
        return "path: is no instance";
    struct attempt *attempt = attempt_get(runner, spawn->path, spawn->attempt);
    if (attempt == NULL)
        return "no memory for an attempt";
    if (spawn->prepared && attempt->slot == RUNNER_SLOT_NONE)
        return "workspace: was prepared by a runner that is gone";
    stage->attempt = attempt;
    attempt->stages++;
    if (spawn->verify)
        return slot_take(runner, &stage->slot) == 0 ? NULL : "no memory for a slot";
    if (attempt->slot == RUNNER_SLOT_NONE && slot_take(runner, &attempt->slot) != 0)
        return "no memory for a slot";
    stage->slot = attempt->slot;
    return NULL;
}

int runner_on_spawn(struct runner *runner, const struct frame *frame)
{
    if (stage_find(runner, frame->stage) != NULL)
        return -1;
    struct stage *stage = stage_create(runner, frame);
    if (stage == NULL)
        return -1;
    if (message_take_spawn(mf_buf_view(&stage->payload), &stage->spawn, &stage->memory) != 0) {
        stage_destroy(stage);
        return -1;
    }
    const char *trouble = take_place(stage);
    if (trouble != NULL) {
        fail_spawn(stage, "infrastructure", trouble);
    } else if (!needs_furnishing(stage)) {
        start(stage);
    } else {
        stage->state = STAGE_HELPING;
        if (stage->kind == STAGE_AGENT)
            stage->attempt->dirty = true;
        if (process_job(stage, JOB_FURNISH, false) != 0)
            fail_spawn(stage, "refused", "spawn: message longer than 1 MiB");
    }
    return 0;
}

void stage_on_started(struct stage *stage)
{
    struct frame_writer writer;
    if (stage->kind == STAGE_PREPARE)
        return; /* nobody asked */
    stage->told = true;
    channel_begin(stage->runner->orchestrator, &writer, FRAME_STARTED, stage->id, 0);
    frame_put_i64(&writer, stage->pid);
    frame_put_i64(&writer, stage->birth);
    channel_end(stage->runner->orchestrator, &writer, NULL);
}

void stage_on_run_failed(struct stage *stage, uint64_t step, int os_errno)
{
    char reason[RUNNER_REASON_BYTES_MAX];
    const char *class_name = process_failure(stage, step, os_errno, reason);
    fail_spawn(stage, class_name, reason);
}

/* A sandbox that ended before its command was executed. */
static void not_executed(struct stage *stage, const struct message_ended *ended)
{
    char reason[RUNNER_REASON_BYTES_MAX];
    if (stage->level > 0) {
        fail_spawn(stage, "infrastructure", "spawn: was stopped before it started");
        return;
    }
    const char *class_name = process_not_executed(stage, ended, reason);
    fail_spawn(stage, class_name, reason);
}

/* --- the end --- */

static void tell_exited(struct stage *stage, const struct message_ended *ended)
{
    struct message_exited exited = {
        .code = ended->code,
        .signal = ended->signal,
        .ended_ms = ended->ended_ms,
        .user_ms = ended->user_us / 1000,
        .system_ms = ended->system_us / 1000,
        .rss_bytes_max = ended->rss_bytes_max,
    };
    struct frame_writer writer;
    channel_begin(stage->runner->orchestrator, &writer, FRAME_EXITED, stage->id, 0);
    message_put_exited(&writer, &exited);
    channel_end(stage->runner->orchestrator, &writer, NULL);
}

static void tell_result(struct stage *stage, const struct message_job_ended *collected)
{
    struct message_result result = {
        .valid = collected->done,
        .class_name = collected->class_name,
        .reason = collected->reason,
        .sha256 = collected->text,
        .result_bytes = collected->result_bytes,
        .output_files = collected->output_files,
        .output_bytes = collected->output_bytes,
        .stdout_bytes = stage->out_bytes,
        .stderr_bytes = stage->err_bytes,
    };
    struct frame_writer writer;
    channel_begin(stage->runner->orchestrator, &writer, FRAME_RESULT, stage->id, 0);
    message_put_result(&writer, &result);
    channel_end(stage->runner->orchestrator, &writer, NULL);
    stage_destroy(stage);
}

void stage_on_ended(struct stage *stage, const struct message_ended *ended)
{
    process_drain(stage);
    given_close(stage);
    if (!stage->told) {
        not_executed(stage, ended);
        return;
    }
    process_ended(stage);
    leases_drop_of_stage(stage->runner, stage);
    tell_exited(stage, ended);
    if (stage->kind == STAGE_VERIFY)
        slot_give(stage->runner, stage->slot, true, NULL); /* it was furnished */
    else if (!ended->pristine)
        stage->attempt->dirty = true;
    if (ended->stuck) {
        tell_result(stage,
                    &(struct message_job_ended){.class_name = MF_SPAN("infrastructure"),
                                                .reason = MF_SPAN("a process of it would not die after SIGKILL")});
        return;
    }
    bool collect = stage->kind == STAGE_AGENT && (ended->has_result || spawn_of(stage)->collect_count > 0);
    if (collect) {
        stage->state = STAGE_COLLECTING;
        if (process_job(stage, JOB_COLLECT, false) == 0)
            return;
    }
    tell_result(stage, &(struct message_job_ended){.done = !collect,
                                                   .class_name = MF_SPAN("infrastructure"),
                                                   .reason = MF_SPAN("collect: message longer than 1 MiB")});
}

void stage_on_job_ended(struct stage *stage, const struct message_job_ended *ended)
{
    char reason[RUNNER_REASON_BYTES_MAX], class_name[24];
    if (stage->state == STAGE_COLLECTING) {
        if (ended->done && mf_span_copy(ended->text, stage->attempt->result, sizeof stage->attempt->result) != 0)
            stage->attempt->result[0] = '\0';
        tell_result(stage, ended);
    } else if (stage->level > 0) {
        fail_spawn(stage, "infrastructure", "spawn: was stopped before it started");
    } else if (!ended->done) {
        if (mf_span_copy(ended->class_name, class_name, sizeof class_name) != 0)
            snprintf(class_name, sizeof class_name, "infrastructure");
        if (mf_span_copy(ended->reason, reason, sizeof reason) != 0)
            snprintf(reason, sizeof reason, "helper: failed");
        fail_spawn(stage, class_name, reason);
    } else {
        start(stage);
    }
}
