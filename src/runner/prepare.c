/*
 * prepare.c - PREPARE: a workspace brought by a helper, then the setup command in it
 *
 *   PREPARE ──► HELPING (files, copy, git, continue) ──► RUNNING (setup, with its timeout) ──► PREPARED
 *
 * Setup is started like an agent: own slot, own tree, captured into setup.log; it gets no account. A stage that has
 * only a setup skips the helper.
 */
#include "runner/runner_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void over(struct stage *stage, const char *class_name, const char *reason)
{
    struct runner *runner = stage->runner;
    if (class_name != NULL)
        runner_reply(runner, FRAME_PREPARE_FAILED, stage->id, mf_span(class_name), mf_span(reason));
    else
        runner_reply(runner, FRAME_PREPARED, stage->id, mf_span(stage->commit), MF_SPAN(""));
    stage_destroy(stage);
}

static void on_timeout(void *context)
{
    struct stage *stage = context;
    stage->timed_out = true;
    process_kill(stage, 2);
}

static void start_setup(struct stage *stage)
{
    const struct runner_prepare *prepare = &stage->prepare;
    struct environment environment;
    struct mf_error error = {.code = MF_NONE};
    environment_init(&environment);
    bool done =
        net_timer_create(&stage->timer, stage->runner->loop, on_timeout, stage, &error) == 0 &&
        process_environment(stage, prepare->environment, prepare->environment_count, &environment, &error) == 0 &&
        given_open(stage, &environment, &error) == 0 &&
        process_run(stage, prepare->setup, prepare->setup_count, &environment, false, false, &error) == 0;
    environment_free(&environment);
    if (done && prepare->setup_timeout_ms > 0)
        net_timer_set(stage->timer, net_now_ms() + prepare->setup_timeout_ms);
    if (!done)
        over(stage, error.code == MF_INPUT || error.code == MF_LIMIT ? "refused" : "infrastructure", error.text);
}

/* Takes the slot of the attempt that is to be continued. True: there was one. */
static bool continue_previous(struct stage *stage)
{
    struct attempt *previous = attempt_kept(stage->runner, stage->prepare.path);
    if (stage->prepare.kind != RUNNER_WORKSPACE_CONTINUE || previous == NULL)
        return false;
    if (previous != stage->attempt) {
        slot_give(stage->runner, stage->attempt->slot, stage->attempt->dirty, NULL);
        stage->attempt->slot = previous->slot;
        attempt_forget(stage->runner, previous);
    }
    stage->attempt->kept = false;
    return true;
}

/* The attempt and an empty slot, or the continued one. NULL, or why not. */
static const char *take_place(struct stage *stage, bool *again)
{
    struct runner *runner = stage->runner;
    if (!paths_instance_valid(stage->prepare.path))
        return "path: is no instance";
    struct attempt *attempt = attempt_get(runner, stage->prepare.path, stage->prepare.attempt);
    if (attempt == NULL)
        return "no memory for an attempt";
    stage->attempt = attempt;
    attempt->stages++;
    *again = continue_previous(stage);
    if (!*again && attempt->slot != RUNNER_SLOT_NONE && attempt->dirty) { /* prepared once more: from nothing */
        slot_give(runner, attempt->slot, true, NULL);
        attempt->slot = RUNNER_SLOT_NONE;
    }
    if (attempt->slot == RUNNER_SLOT_NONE && slot_take(runner, &attempt->slot) != 0)
        return "no memory for a slot";
    attempt->dirty = true;
    stage->slot = attempt->slot;
    return NULL;
}

int runner_on_prepare(struct runner *runner, const struct frame *frame)
{
    if (stage_find(runner, frame->stage) != NULL)
        return -1;
    struct stage *stage = stage_create(runner, frame);
    if (stage == NULL)
        return -1;
    stage->kind = STAGE_PREPARE;
    if (message_take_prepare(mf_buf_view(&stage->payload), &stage->prepare, &stage->memory) != 0) {
        stage_destroy(stage);
        return -1;
    }
    bool again = false;
    const char *trouble = take_place(stage, &again);
    const struct runner_prepare *prepare = &stage->prepare;
    bool help = again || prepare->file_count > 0 || prepare->copy.length > 0 || prepare->git_url.length > 0;
    if (trouble != NULL)
        over(stage, "infrastructure", trouble);
    else if (help && process_job(stage, JOB_WORKSPACE, again) != 0)
        over(stage, "refused", "prepare: message longer than 1 MiB");
    else if (!help && prepare->setup_count > 0)
        start_setup(stage);
    else if (!help)
        over(stage, NULL, NULL);
    return 0;
}

void prepare_on_run_failed(struct stage *stage, uint64_t step, int os_errno)
{
    char reason[RUNNER_REASON_BYTES_MAX];
    const char *class_name = process_failure(stage, step, os_errno, reason);
    over(stage, strcmp(class_name, "agent") == 0 ? "setup" : class_name, reason);
}

void prepare_on_job_ended(struct stage *stage, const struct message_job_ended *ended)
{
    char reason[RUNNER_REASON_BYTES_MAX], class_name[24];
    if (stage->level > 0) {
        over(stage, "infrastructure", "prepare: was stopped");
    } else if (!ended->done) {
        if (mf_span_copy(ended->class_name, class_name, sizeof class_name) != 0)
            snprintf(class_name, sizeof class_name, "infrastructure");
        if (mf_span_copy(ended->reason, reason, sizeof reason) != 0)
            snprintf(reason, sizeof reason, "helper: failed");
        over(stage, class_name, reason);
    } else {
        if (mf_span_copy(ended->text, stage->commit, sizeof stage->commit) != 0)
            stage->commit[0] = '\0';
        if (stage->prepare.setup_count > 0)
            start_setup(stage);
        else
            over(stage, NULL, NULL);
    }
}

/* "setup: exited with status 3: last lines". */
static void describe(const struct stage *stage, const struct message_ended *ended, struct mf_buf *reason)
{
    char duration[32];
    if (stage->timed_out)
        mf_buf_printf(reason, "setup: still ran after %s",
                      mf_format_duration(stage->prepare.setup_timeout_ms, duration));
    else if (ended->signal != 0)
        mf_buf_printf(reason, "setup: ended by signal %" PRId64, ended->signal);
    else
        mf_buf_printf(reason, "setup: exited with status %" PRId64, ended->code);
    process_tail(&stage->out_log, reason);
}

/* A sandbox that ended before setup was executed. */
static void not_executed(struct stage *stage, const struct message_ended *ended)
{
    char reason[RUNNER_REASON_BYTES_MAX];
    const char *class_name = process_not_executed(stage, ended, reason);
    over(stage, strcmp(class_name, "agent") == 0 ? "setup" : class_name, reason);
}

void prepare_on_ended(struct stage *stage, const struct message_ended *ended)
{
    process_drain(stage);
    if (stage->prepare.walls.sandbox && !stage->inside.started && stage->level == 0 && !stage->timed_out) {
        not_executed(stage, ended);
        return;
    }
    if (ended->code == 0 && !stage->timed_out && stage->level == 0) {
        over(stage, NULL, NULL);
        return;
    }
    struct mf_buf reason;
    mf_buf_init(&reason, RUNNER_REASON_BYTES_MAX);
    describe(stage, ended, &reason);
    over(stage, stage->level > 0 ? "infrastructure" : "setup", mf_buf_cstr(&reason));
    mf_buf_free(&reason);
}
