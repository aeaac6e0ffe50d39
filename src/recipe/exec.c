/*
 * exec.c - one operation on one account, as a step machine
 *
 * The caller asks what is wanted, does it, and hands the reply back. Nothing here waits, sends or reads a clock. The machine
 * never fails: whatever happens, it ends with the verdict that is certain.
 *
 * create ends at the first step that is not a success. After each effect that succeeded the ids and secrets so far are handed
 * out to be recorded, before anything else is sent; also when an answer could be read only in part. revoke and delete count
 * `gone` as success, go on with the other rows of a list after a failure, and end with the worst verdict.
 */
#include "base/alloc.h"
#include "recipe/run.h"

#include <stdio.h>
#include <string.h>

#define FOUND_BYTES_MAX (4u << 20) /* 4,096 rows of about 1 KiB */

static bool is_teardown(const struct recipe_exec *exec)
{
    return exec->operation->op == RECIPE_REVOKE || exec->operation->op == RECIPE_DELETE;
}

static bool is_failure(enum recipe_verdict verdict)
{
    return verdict == RECIPE_VERDICT_RETRY || verdict == RECIPE_VERDICT_REFUSED || verdict == RECIPE_VERDICT_UNKNOWN;
}

static int rank_of(enum recipe_verdict verdict)
{
    switch (verdict) {
    case RECIPE_VERDICT_GONE:
        return 0;
    case RECIPE_VERDICT_SUCCESS:
        return 1;
    case RECIPE_VERDICT_REFUSED:
        return 2;
    case RECIPE_VERDICT_RETRY:
        return 3;
    case RECIPE_VERDICT_UNKNOWN:
        return 4;
    }
    return 4;
}

static void combine(struct recipe_exec *exec, enum recipe_verdict verdict)
{
    if (!exec->any || rank_of(verdict) > rank_of(exec->worst))
        exec->worst = verdict;
    exec->any = true;
}

/* --- reasons: step, method, path as written, status, the provider's number; never a value --- */

static void reason(struct recipe_exec *exec, const struct recipe_step *step, enum recipe_verdict verdict, const char *detail)
{
    if (rank_of(verdict) <= exec->reason_rank)
        return;
    exec->reason_rank = rank_of(verdict);
    if (step->kind == RECIPE_STEP_HTTP)
        snprintf(exec->result.reason, sizeof exec->result.reason, "%s: %s %.90s: %s", step->name, step->method, step->path_text, detail);
    else
        snprintf(exec->result.reason, sizeof exec->result.reason, "%s: %s", step->name, detail);
}

static void describe(const struct recipe_exec *exec, const struct recipe_answer *answer, char *out, size_t out_bytes)
{
    const struct recipe_reply *reply = answer->reply;
    int64_t code;
    if (reply->kind != RECIPE_REPLY_HTTP || !reply->answered) {
        const char *how = reply->kind == RECIPE_REPLY_HTTP && reply->sent ? "sent, no complete answer" : "not sent";
        snprintf(out, out_bytes, "%s%s%.*s", how, reply->failure.length > 0 ? ": " : "", MF_SPAN_ARGS(reply->failure));
        return;
    }
    uint32_t node = answer->parsed && exec->recipe->error_code.data != NULL ? json_pointer(&answer->document, exec->recipe->error_code) : JSON_NONE;
    if (node != JSON_NONE && json_kind(&answer->document, node) == JSON_NUMBER && json_int(&answer->document, node, &code) == 0)
        snprintf(out, out_bytes, "HTTP %d (code %lld)", reply->status, (long long)code);
    else
        snprintf(out, out_bytes, "HTTP %d", reply->status);
}

/* --- moving on --- */

static void next_step(struct recipe_exec *exec)
{
    exec->step++;
    exec->times = 0;
    exec->row_failed = false;
    exec->values.each = RECIPE_NONE;
    exec->values.row = 0;
    exec->values.page = 1;
    exec->finished = exec->finished || exec->step >= exec->operation->step_count;
}

static void take_teardown_verdict(struct recipe_exec *exec, const struct recipe_step *step, enum recipe_verdict verdict)
{
    if (step->effect || is_failure(verdict))
        combine(exec, verdict); /* that a list could be read says nothing about what is in it */
    if (step->for_each != RECIPE_NONE) {
        exec->row_failed = exec->row_failed || is_failure(verdict);
        exec->values.row++;
        return;
    }
    exec->finished = is_failure(verdict) && !step->go_on;
    next_step(exec);
}

static void take_verdict(struct recipe_exec *exec, const struct recipe_step *step, enum recipe_verdict verdict)
{
    if (is_teardown(exec)) {
        take_teardown_verdict(exec, step, verdict);
        return;
    }
    exec->worst = verdict;
    exec->any = true;
    if (verdict != RECIPE_VERDICT_SUCCESS)
        exec->finished = true;
    else if (step->for_each != RECIPE_NONE)
        exec->values.row++;
    else
        next_step(exec);
}

static void fail_step(struct recipe_exec *exec, const struct recipe_step *step, enum recipe_verdict verdict, const struct recipe_why *why)
{
    char detail[120];
    snprintf(detail, sizeof detail, "%s %s", why->name, why->text);
    reason(exec, step, verdict, detail);
    take_verdict(exec, step, verdict);
}

/* --- replies --- */

static void note_clock(struct recipe_exec *exec, const struct recipe_reply *reply)
{
    int64_t date_ms;
    exec->received_ms = reply->received_ms;
    if (mf_parse_http_date_ms(recipe_reply_header(reply, "date", 0), &date_ms) == 0)
        exec->offset_ms = date_ms - reply->received_ms;
    if (exec->offset_ms > CLOCKS_AGREE_MS || exec->offset_ms < -CLOCKS_AGREE_MS)
        recipe_values_clock(&exec->values, exec->offset_ms);
}

/* A success of a step with repeat: is it the last one? */
static enum recipe_verdict take_repeat(struct recipe_exec *exec, const struct recipe_step *step, const struct recipe_answer *answer, bool *again)
{
    if (step->repeat.times_max == 0 || recipe_matches(&step->repeat.until, answer))
        return RECIPE_VERDICT_SUCCESS;
    exec->values.page++;
    if (++exec->times < step->repeat.times_max) {
        *again = true;
        exec->wait_due = step->repeat.every_ms > 0;
        return RECIPE_VERDICT_SUCCESS;
    }
    exec->cut = true;
    return exec->operation->op == RECIPE_CREATE ? RECIPE_VERDICT_RETRY : RECIPE_VERDICT_SUCCESS;
}

static enum recipe_verdict read_answer(struct recipe_exec *exec, const struct recipe_step *step, const struct recipe_answer *answer, bool *again)
{
    char detail[160];
    size_t used;
    struct recipe_why why = {0};
    bool rate_limited = false;
    enum recipe_verdict verdict = recipe_verdict_of(exec, step, answer, &rate_limited);
    describe(exec, answer, detail, sizeof detail);
    used = strlen(detail);
    if (verdict == RECIPE_VERDICT_SUCCESS && !recipe_extract(exec, step, answer, &why)) {
        verdict = step->effect ? RECIPE_VERDICT_UNKNOWN : RECIPE_VERDICT_RETRY;
        snprintf(detail + used, sizeof detail - used, ": %s %s", why.name, why.text);
    } else if (verdict == RECIPE_VERDICT_SUCCESS) {
        verdict = take_repeat(exec, step, answer, again);
        if (verdict != RECIPE_VERDICT_SUCCESS)
            snprintf(detail + used, sizeof detail - used, ": not ready after %u tries", exec->times);
    }
    if (verdict == RECIPE_VERDICT_RETRY) {
        int64_t after_ms = recipe_retry_after_ms(answer->reply);
        exec->result.after_ms = after_ms > exec->result.after_ms ? after_ms : exec->result.after_ms;
        exec->result.rate_limited = exec->result.rate_limited || rate_limited;
    }
    if (is_failure(verdict) || verdict == RECIPE_VERDICT_GONE)
        reason(exec, step, verdict, detail);
    return verdict;
}

/* Is there a further request after this step? Only then what is known is handed out apart from the result. */
static bool sends_more(const struct recipe_exec *exec)
{
    for (uint32_t i = exec->step + 1; i < exec->operation->step_count; i++)
        if (exec->operation->steps[i].kind == RECIPE_STEP_HTTP)
            return true;
    return false;
}

/* Did the answer to this very step name something, although it could not be read in full? */
static bool is_named_by_step(const struct recipe_exec *exec)
{
    for (uint32_t i = 0; i < exec->recipe->id_count; i++)
        if (exec->values.ids[i].present && exec->recipe->ids[i].known_after == exec->step + 1)
            return true;
    return false;
}

/* Returns the verdict: something that exists and cannot be named in full is unknown, it has to be found by its tag. */
static enum recipe_verdict note_names(struct recipe_exec *exec, const struct recipe_step *step, enum recipe_verdict verdict)
{
    bool named = recipe_settle_names(exec), success = verdict == RECIPE_VERDICT_SUCCESS;
    if (!step->effect || !(success || (verdict == RECIPE_VERDICT_UNKNOWN && is_named_by_step(exec))))
        return verdict;
    exec->effect_done = true;
    exec->commit_due = named && !exec->names_lost && (!success || sends_more(exec));
    return exec->names_lost ? RECIPE_VERDICT_UNKNOWN : verdict;
}

static void take_http(struct recipe_exec *exec, const struct recipe_reply *reply)
{
    static const struct recipe_reply nothing = {0};
    const struct recipe_step *step = &exec->operation->steps[exec->step];
    struct recipe_answer answer;
    bool again = false;
    if (reply == NULL)
        reply = &nothing;
    int read = recipe_answer_read(&answer, reply); /* without memory the body counts as unreadable */
    if (read != 0)
        answer.parsed = false;
    if (reply->kind == RECIPE_REPLY_HTTP && reply->answered)
        note_clock(exec, reply);
    enum recipe_verdict verdict = read_answer(exec, step, &answer, &again);
    recipe_answer_free(&answer);
    if (exec->operation->op == RECIPE_CREATE)
        verdict = note_names(exec, step, verdict);
    if (!again || verdict == RECIPE_VERDICT_UNKNOWN)
        take_verdict(exec, step, verdict);
}

static void take_proof(struct recipe_exec *exec, const struct recipe_reply *reply)
{
    const struct recipe_step *step = &exec->operation->steps[exec->step];
    if (reply == NULL || reply->kind != RECIPE_REPLY_PROOF || reply->proof.length == 0)
        fail_step(exec, step, RECIPE_VERDICT_REFUSED, &(struct recipe_why){"could not be solved", "challenge"});
    else if (recipe_cell_set(&exec->values.slots[step->slot_first], reply->proof, JSON_STRING) != 0)
        fail_step(exec, step, RECIPE_VERDICT_RETRY, &(struct recipe_why){"needs more memory", "solution"});
    else
        take_verdict(exec, step, RECIPE_VERDICT_SUCCESS);
}

/* --- what is wanted --- */

static bool is_skipped(const struct recipe_exec *exec, const struct recipe_step *step)
{
    for (uint32_t i = 0; i < step->only_with_count; i++)
        if (!recipe_resolve(&exec->values, step->only_with[i]).present)
            return true;
    return false;
}

/* False when the step needs nothing from outside: it was skipped, is over, or was computed. */
static bool start_step(struct recipe_exec *exec, struct recipe_want *want)
{
    const struct recipe_step *step = &exec->operation->steps[exec->step];
    struct recipe_why why = {"failed", "step"};
    bool rows_over = step->for_each != RECIPE_NONE && exec->values.row >= exec->values.lists[step->for_each].count;
    if (rows_over || is_skipped(exec, step)) {
        exec->finished = exec->row_failed && !step->go_on;
        next_step(exec);
        return false;
    }
    exec->values.each = step->for_each;
    snprintf(exec->values.page_text, sizeof exec->values.page_text, "%u", exec->values.page);
    if (step->kind == RECIPE_STEP_BASE64) {
        if (recipe_base64_run(exec, step, &why) == 0)
            next_step(exec);
        else
            fail_step(exec, step, RECIPE_VERDICT_REFUSED, &why);
        return false;
    }
    bool http = step->kind == RECIPE_STEP_HTTP;
    if ((http ? recipe_request_build(exec, step, &want->http, &why) : recipe_proof_build(exec, step, &want->proof, &why)) != 0) {
        fail_step(exec, step, RECIPE_VERDICT_REFUSED, &why);
        return false;
    }
    exec->at = http ? RECIPE_AT_HTTP : RECIPE_AT_PROOF;
    return true;
}

static void finish(struct recipe_exec *exec, struct recipe_want *want)
{
    if (exec->at != RECIPE_AT_END)
        recipe_settle(exec, exec->any ? exec->worst : RECIPE_VERDICT_SUCCESS);
    exec->at = RECIPE_AT_END;
    want->kind = RECIPE_WANT_DONE;
    want->result = exec->result;
}

void recipe_next(struct recipe_exec *exec, const struct recipe_reply *reply, struct recipe_want *want)
{
    *want = (struct recipe_want){0};
    if (exec->at == RECIPE_AT_HTTP)
        take_http(exec, reply);
    else if (exec->at == RECIPE_AT_PROOF)
        take_proof(exec, reply);
    if (exec->commit_due) {
        exec->commit_due = false;
        exec->at = RECIPE_AT_COMMIT;
        want->kind = RECIPE_WANT_COMMIT;
        want->result = exec->result;
        want->step_index = exec->finished ? exec->step : exec->step - 1;
        return;
    }
    if (exec->wait_due) {
        exec->wait_due = false;
        exec->at = RECIPE_AT_WAIT;
        want->kind = RECIPE_WANT_WAIT;
        want->wait_ms = exec->operation->steps[exec->step].repeat.every_ms;
        return;
    }
    while (!exec->finished)
        if (start_step(exec, want)) {
            want->kind = exec->at == RECIPE_AT_HTTP ? RECIPE_WANT_HTTP : RECIPE_WANT_PROOF;
            return;
        }
    finish(exec, want);
}

enum recipe_verdict recipe_judge(const struct recipe_exec *exec, const struct recipe_reply *reply)
{
    struct recipe_answer answer;
    bool rate_limited;
    if (exec->at != RECIPE_AT_HTTP || recipe_answer_read(&answer, reply) != 0)
        return RECIPE_VERDICT_RETRY;
    enum recipe_verdict verdict = recipe_verdict_of(exec, &exec->operation->steps[exec->step], &answer, &rate_limited);
    recipe_answer_free(&answer);
    return verdict;
}

bool recipe_rebuild(struct recipe_exec *exec, struct mf_span credential, struct recipe_want *want)
{
    struct recipe_why why = {0};
    if (exec->at != RECIPE_AT_HTTP)
        return false;
    exec->vars.credential = credential;
    want->kind = RECIPE_WANT_HTTP;
    return recipe_request_build(exec, &exec->operation->steps[exec->step], &want->http, &why) == 0;
}

/* --- begin and end --- */

static bool is_conditional(const struct recipe_step *step, struct recipe_reference reference)
{
    for (uint32_t i = 0; i < step->only_with_count; i++)
        if (step->only_with[i].source == reference.source && step->only_with[i].index == reference.index)
            return true;
    return false;
}

/* What the caller must have given; values of steps come later. */
static int check_use(const struct recipe_exec *exec, const struct recipe_use *use, struct mf_error *error)
{
    enum recipe_source source = use->reference.source;
    const char *op = recipe_op_name(exec->operation->op);
    bool recorded = source == RECIPE_SOURCE_ID || source == RECIPE_SOURCE_SECRET;
    bool given = source == RECIPE_SOURCE_TAG || source == RECIPE_SOURCE_OWNER_PREFIX || source == RECIPE_SOURCE_CREDENTIAL ||
                 source == RECIPE_SOURCE_RANDOM || source == RECIPE_SOURCE_INPUT;
    if ((!recorded && !given) || recipe_resolve(&exec->values, use->reference).present)
        return 0;
    if (recorded && (exec->operation->op == RECIPE_CREATE || use->step == RECIPE_NONE ||
                     is_conditional(&exec->operation->steps[use->step], use->reference)))
        return 0;
    if (source == RECIPE_SOURCE_CREDENTIAL)
        return mf_fail(error, MF_INPUT, "%s of provider %s needs the operator's credential", op, exec->recipe->info.name);
    if (source == RECIPE_SOURCE_INPUT)
        return mf_fail(error, MF_INPUT, "%s of provider %s needs input `%s`", op, exec->recipe->info.name,
                       exec->recipe->info.inputs[use->reference.index]);
    if (recorded)
        return mf_fail(error, MF_INPUT, "%s of provider %s needs `%s`, which was not recorded", op, exec->recipe->info.name,
                       source == RECIPE_SOURCE_ID ? exec->recipe->ids[use->reference.index].name : exec->recipe->secrets[use->reference.index].name);
    return mf_fail(error, MF_INPUT, "%s of provider %s lacks a value", op, exec->recipe->info.name);
}

static int check_vars(const struct recipe_exec *exec, struct mf_error *error)
{
    const struct recipe_vars *vars = &exec->vars;
    const struct recipe_info *info = &exec->recipe->info;
    if (vars->base_url.length == 0)
        return mf_fail(error, MF_INPUT, "provider %s has no base url", info->name);
    if (vars->op == RECIPE_CREATE && info->terms_count > 0 && !vars->terms_accepted)
        return mf_fail(error, MF_INPUT, "terms of provider %s are not accepted", info->name);
    for (uint32_t i = 0; i < vars->permission_count; i++)
        if (!recipe_has_permission(exec->recipe, vars->permissions[i]))
            return mf_fail(error, MF_INPUT, "provider %s has no permission `%.*s`", info->name,
                           (int)(vars->permissions[i].length > 64 ? 64 : vars->permissions[i].length), vars->permissions[i].data);
    for (size_t i = 0; i < exec->operation->use_count; i++)
        if (check_use(exec, &exec->operation->uses[i], error) != 0)
            return -1;
    return 0;
}

static int prepare(struct recipe_exec *exec, struct mf_error *error)
{
    size_t slots = exec->operation->slot_count > 0 ? exec->operation->slot_count : 1;
    mf_buf_init(&exec->url, RECIPE_URL_BYTES_MAX);
    mf_buf_init_secret(&exec->body, RECIPE_BODY_BYTES_MAX);
    mf_buf_init_secret(&exec->headers_text, RECIPE_HEADERS_MAX * RECIPE_VALUE_BYTES_MAX);
    mf_buf_init(&exec->ids_json, RECIPE_NAMES_MAX * RECIPE_VALUE_BYTES_MAX * 2);
    mf_buf_init_secret(&exec->secrets_json, RECIPE_NAMES_MAX * RECIPE_VALUE_BYTES_MAX * 2);
    mf_buf_init_secret(&exec->claim_url, RECIPE_VALUE_BYTES_MAX);
    mf_buf_init(&exec->found, FOUND_BYTES_MAX);
    recipe_values_init(&exec->values, exec->recipe, exec->operation, &exec->vars);
    exec->reason_rank = -1;
    exec->values.slots = mf_calloc(slots, sizeof *exec->values.slots);
    exec->values.lists = mf_calloc(slots, sizeof *exec->values.lists);
    if (exec->values.slots == NULL || exec->values.lists == NULL)
        return mf_fail(error, MF_MEMORY, "no memory for a request to provider %s", exec->recipe->info.name);
    if (exec->operation->op == RECIPE_CREATE)
        recipe_settle_names(exec); /* ids that are inputs or the tag are known from the start */
    else if (recipe_values_read(&exec->values, error) != 0)
        return -1;
    return check_vars(exec, error);
}

int recipe_begin(struct recipe_exec **out, const struct recipe *recipe, const struct recipe_vars *vars, struct mf_error *error)
{
    *out = NULL;
    if ((uint32_t)vars->op >= RECIPE_OP_COUNT || !recipe->operations[vars->op].present)
        return mf_fail(error, MF_INPUT, "provider %s has no %s", recipe->info.name, recipe_op_name(vars->op));
    struct recipe_exec *exec = mf_calloc(1, sizeof *exec);
    if (exec == NULL)
        return mf_fail(error, MF_MEMORY, "no memory for a request to provider %s", recipe->info.name);
    exec->recipe = recipe;
    exec->operation = &recipe->operations[vars->op];
    exec->vars = *vars;
    exec->received_ms = vars->now_ms;
    if (prepare(exec, error) != 0) {
        recipe_exec_destroy(exec);
        return -1;
    }
    *out = exec;
    return 0;
}

void recipe_exec_destroy(struct recipe_exec *exec)
{
    if (exec == NULL)
        return;
    recipe_values_free(&exec->values);
    mf_buf_free(&exec->url);
    mf_buf_free(&exec->body);
    mf_buf_free(&exec->headers_text);
    mf_buf_free(&exec->ids_json);
    mf_buf_free(&exec->secrets_json);
    mf_buf_free(&exec->claim_url);
    mf_buf_free(&exec->found);
    mf_free(exec->founds);
    mf_free_secret(exec, sizeof *exec);
}
