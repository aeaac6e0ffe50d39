/*
 * accounts.c - the commands that concern accounts: each becomes one job of provision.c, each verdict one input of the core
 *
 *   verdict    create                find         revoke        delete             check
 *   success    CREATED               FOUND        REVOKED       DELETED or SWEPT   STILL_THERE
 *   gone       CREATE_ABSENT (final) NOT_FOUND    REVOKED       GONE               GONE
 *   retry      CREATE_ABSENT         FIND_RETRY   REVOKE_RETRY  DELETE_RETRY       CHECK_RETRY
 *   refused    CREATE_ABSENT (final) FIND_RETRY!  REVOKE_RETRY! DELETE_RETRY!      CHECK_RETRY!     (!: hopeless)
 *   unknown    CREATE_UNKNOWN        FIND_RETRY   REVOKE_RETRY  DELETE_RETRY       CHECK_RETRY
 *
 * Once a step of a create has recorded an id, the core releases the account whatever verdict but success follows.
 */
#include "app/app_private.h"

#include "app/tag.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void app_tag(const struct app *app, uint32_t account, char *out, size_t out_bytes)
{
    char tag[TAG_BYTES];
    tag_format(app->owner, app->run_id, account, tag);
    snprintf(out, out_bytes, "%s", tag);
}

struct account_job { /* context of one provision job; freed in done */
    struct app *app;
    uint32_t account;
    enum recipe_op op;
    uint32_t provider;
    bool too_short; /* the credential ends before the attempt may */
    bool lost;      /* a create: what it made could not be kept */
};

static const enum core_input_kind inputs_of[RECIPE_OP_COUNT][RECIPE_VERDICT_UNKNOWN + 1] = {
    /* success, gone, retry, refused, unknown */
    [RECIPE_CREATE] = {CORE_INPUT_CREATED, CORE_INPUT_CREATE_ABSENT, CORE_INPUT_CREATE_ABSENT, CORE_INPUT_CREATE_ABSENT,
                       CORE_INPUT_CREATE_UNKNOWN},
    [RECIPE_FIND] = {CORE_INPUT_FOUND, CORE_INPUT_NOT_FOUND, CORE_INPUT_FIND_RETRY, CORE_INPUT_FIND_RETRY,
                     CORE_INPUT_FIND_RETRY},
    [RECIPE_CHECK] = {CORE_INPUT_STILL_THERE, CORE_INPUT_GONE, CORE_INPUT_CHECK_RETRY, CORE_INPUT_CHECK_RETRY,
                      CORE_INPUT_CHECK_RETRY},
    [RECIPE_REVOKE] = {CORE_INPUT_REVOKED, CORE_INPUT_REVOKED, CORE_INPUT_REVOKE_RETRY, CORE_INPUT_REVOKE_RETRY,
                       CORE_INPUT_REVOKE_RETRY},
    [RECIPE_DELETE] = {CORE_INPUT_DELETED, CORE_INPUT_GONE, CORE_INPUT_DELETE_RETRY, CORE_INPUT_DELETE_RETRY,
                       CORE_INPUT_DELETE_RETRY},
};

static bool keep(struct mf_buf *buf, struct mf_span value)
{
    if (value.length == 0)
        return true;
    mf_buf_clear(buf);
    return mf_buf_span(buf, value) == 0;
}

/* False when they do not fit or there is no memory: what cannot be recorded must not be told as known, it is to be found by its tag. */
static bool remember(struct app *app, uint32_t account, struct mf_span ids, struct mf_span secrets,
                     struct app_payload *payload)
{
    struct app_account *entry = app_account_at(app, account);
    entry->loaded = true;
    bool kept = keep(&payload->ids, ids) && keep(&payload->secrets, secrets) && keep(&entry->ids, ids) &&
                keep(&entry->secrets, secrets);
    if (!kept) {
        mf_buf_clear(&payload->ids);
        mf_buf_clear(&payload->secrets);
        app_note(app, "account %u: its ids cannot be kept: it will be looked for by its tag", account);
        return false;
    }
    if (ids.length > 2) {
        mf_buf_text(&payload->extra, payload->extra.length > 0 ? ",\"ids\":" : "\"ids\":");
        mf_buf_span(&payload->extra, ids);
    }
    return true;
}

static void on_step(void *context, struct provision_job *job, uint32_t step, struct mf_span ids, struct mf_span secrets)
{
    struct account_job *owner = context;
    struct app_payload *payload = app_payload_new();
    CRASH_POINT(7);
    if (!remember(owner->app, owner->account, ids, secrets, payload)) {
        app_payload_free(payload);
        owner->lost = true;
        provision_cancel(job); /* sends nothing more; what it did is told as unknown */
        provision_continue(job);
        return;
    }
    /* The next request goes out after the commit of this turn: CREATE_STEP is answered by provision_continue in tell order. */
    app_account_at(owner->app, owner->account)->job = job;
    app_push(owner->app, &(struct core_input){.kind = CORE_INPUT_CREATE_STEP, .account = owner->account, .step = step},
             payload);
}

static void take_found(const struct provision_job *job, const struct recipe_result *result, struct account_job *owner,
                       struct app_payload *payload, struct core_input *input)
{
    struct mf_span ids, tag;
    input->count = result->found_count > 0 ? result->found_count : 1;
    if (input->count > CORE_FOUND_MAX)
        input->count = CORE_FOUND_MAX;
    if (!provision_found(job, 0, &ids, &tag))
        ids = result->ids_json;
    if (!remember(owner->app, owner->account, ids, (struct mf_span){NULL, 0}, payload)) {
        input->kind = CORE_INPUT_FIND_RETRY;
        return;
    }
    if (input->count < 2)
        return;
    payload->found_ids = mf_calloc(input->count - 1, sizeof *payload->found_ids);
    mf_assert(payload->found_ids != NULL);
    for (uint32_t i = 1; i < input->count && provision_found(job, i, &ids, &tag); i++) {
        payload->found_ids[payload->found_count] = mf_strndup(ids.data, ids.length);
        mf_assert(payload->found_ids[payload->found_count] != NULL);
        payload->found_count++;
    }
}

static int64_t to_core_ms(int64_t epoch_ms)
{
    return epoch_ms; /* core time starts as the wall clock and runs by boot time: the provider's times were already moved by its Date offset */
}

/* Core time at which the attempt of an account must be over, counted from now: the rule of leases. */
static int64_t credential_need(const struct app *app, uint32_t account)
{
    struct core_account_view view;
    if (!core_account(app->core, account, &view))
        return 0;
    const struct core_task *task = &app->core_graph.tasks[app_node_task(app, view.node)];
    const struct core_profile *profile = &app->core_graph.profiles[task->profile];
    return app_now(app) + profile->timeout_ms + (task->verify ? profile->verify_timeout_ms : 0) + profile->grace_ms +
           app->limits.lease_margin_ms;
}

static void take_created(struct account_job *owner, const struct recipe_result *result, struct app_payload *payload,
                         struct core_input *input)
{
    struct app_account *entry = app_account_at(owner->app, owner->account);
    if (!remember(owner->app, owner->account, result->ids_json, result->secrets_json, payload) ||
        !keep(&entry->claim, result->claim_url) || !keep(&payload->claim, result->claim_url)) {
        owner->lost = true;
        return;
    }
    /* What a create answers is the end of the credential. Where accounts have no end of life of their own, the account outlives it:
     * taking it for the account's end would call a leak `expiring`. */
    const struct recipe_info *info = recipe_info(owner->app->providers[owner->provider].recipe);
    bool ends = info->lifetime_ms > 0 || info->kind == RECIPE_KIND_CREDENTIAL;
    input->expires_ms = ends && result->expires_ms > 0 ? to_core_ms(result->expires_ms) : 0;
    owner->too_short =
        !ends && result->expires_ms > 0 && to_core_ms(result->expires_ms) < credential_need(owner->app, owner->account);
}

struct core_input app_account_answer(const struct recipe_info *info, enum recipe_op op, uint32_t account,
                                     const struct recipe_result *result)
{
    struct core_input input = {.kind = inputs_of[op][result->verdict],
                               .account = account,
                               .after_ms = result->after_ms,
                               .flag = result->verdict == RECIPE_VERDICT_REFUSED};
    if (op == RECIPE_CREATE && result->verdict == RECIPE_VERDICT_GONE)
        input.flag = true;
    /* A provider may say "not there" of what it only does not see yet: where the recipe can look, it is looked for. */
    if (op == RECIPE_DELETE && result->verdict == RECIPE_VERDICT_GONE && info->has[RECIPE_CHECK])
        input.kind = CORE_INPUT_DELETED;
    if (op == RECIPE_DELETE && result->verdict == RECIPE_VERDICT_SUCCESS && info->delete_ends_expiring)
        input.kind = CORE_INPUT_SWEPT;
    if (op == RECIPE_DELETE && result->verdict == RECIPE_VERDICT_SUCCESS && !info->delete_ends_expiring &&
        !info->has[RECIPE_CHECK])
        input.kind = CORE_INPUT_GONE;
    return input;
}

static void on_done(void *context, struct provision_job *job, const struct recipe_result *result)
{
    struct account_job *owner = context;
    struct app *app = owner->app;
    if (owner->op == RECIPE_CREATE)
        CRASH_POINT(5);
    else if (owner->op == RECIPE_DELETE || owner->op == RECIPE_CHECK)
        CRASH_POINT(15);
    struct app_payload *payload = app_payload_new();
    struct core_input input =
        app_account_answer(recipe_info(app->providers[owner->provider].recipe), owner->op, owner->account, result);
    app_account_at(app, owner->account)->job = NULL;
    if (input.kind == CORE_INPUT_CREATED)
        take_created(owner, result, payload, &input);
    else if (input.kind == CORE_INPUT_FOUND)
        take_found(job, result, owner, payload, &input);
    if (owner->lost)
        input = (struct core_input){.kind = CORE_INPUT_CREATE_UNKNOWN, .account = owner->account};
    if (result->verdict != RECIPE_VERDICT_SUCCESS && result->reason[0] != '\0')
        app_payload_reason(payload, result->reason);
    app_push(app, &input, payload);
    if (owner->too_short) { /* its credential would die under the agent */
        struct app_payload *why = app_payload_new();
        app_payload_reason(why, "the credential that the provider gave ends before the attempt may");
        app_push(app, &(struct core_input){.kind = CORE_INPUT_ACCOUNT_DEAD, .account = owner->account}, why);
    }
    mf_free(owner);
}

static const struct provision_calls calls = {.step = on_step, .done = on_done};

/* --- what a job needs to know --- */

static void load_values(struct app *app, uint32_t account)
{
    struct app_account *entry = app_account_at(app, account);
    if (entry->loaded || app->journal_broken)
        return;
    struct mf_error error;
    entry->loaded = true;
    if (journal_get_ids(app->journal, account, &entry->ids, &error) != 0)
        app_note(app, "account %u: %s", account, error.text);
    if (journal_get_secret(app->journal, account, "secrets", &entry->secrets, &error) != 0 &&
        error.code != MF_NOT_FOUND)
        app_note(app, "account %u: %s", account, error.text);
}

/* The provider's token carries the union of the task's, its verify's and its borrowers' permissions; verify and borrowers are
 * subsets of the task's (the loader sees to it), so the union is the task's. */
static uint32_t permissions_of(struct app *app, const struct core_account_view *view, struct mf_span *out, uint32_t max)
{
    const struct graph_task *task = &graph_tasks(app->graph)[app_node_task(app, view->node)];
    const struct graph_slot *slot = &graph_slots(app->graph)[task->slot_first + view->slot];
    uint32_t count = graph_permission_count(app->graph, slot->permissions);
    mf_assert(count <= max); /* checked by app_providers_open */
    for (uint32_t i = 0; i < count; i++)
        out[i] = graph_permission(app->graph, slot->permissions, i).name;
    return count;
}

/* The credential dies by itself soon after the attempt must be over, also when nobody can revoke it any more. */
static int64_t credential_end(const struct app *app, uint32_t account)
{
    const int64_t slack_ms =
        600000; /* creates may wait for their turn and for siblings; teardown uses another credential */
    return credential_need(app, account) + slack_ms;
}

enum recipe_op app_account_op(enum core_command_kind kind)
{
    switch ((int)kind) {
    case CORE_COMMAND_CREATE:
        return RECIPE_CREATE;
    case CORE_COMMAND_FIND:
        return RECIPE_FIND;
    case CORE_COMMAND_REVOKE:
        return RECIPE_REVOKE;
    case CORE_COMMAND_DELETE:
        return RECIPE_DELETE;
    default:
        return RECIPE_CHECK;
    }
}

/* `hopeless`: what the operation needs was never recorded, or is forgotten; another try would not find it either. */
static void refuse(struct app *app, enum recipe_op op, uint32_t account, bool hopeless, const char *reason)
{
    struct app_payload *payload = app_payload_new();
    app_payload_reason(payload, reason);
    app_push(app,
             &(struct core_input){.kind = inputs_of[op][RECIPE_VERDICT_RETRY], .account = account, .flag = hopeless},
             payload);
}

/* A kind `credential` recipe has no delete: its DELETING is the revoke. */
enum recipe_op app_recipe_op(const struct recipe_info *info, enum recipe_op op)
{
    return op == RECIPE_DELETE && !info->has[RECIPE_DELETE] ? RECIPE_REVOKE : op;
}

void app_execute_account(struct app *app, const struct core_command *command)
{
    struct core_account_view view;
    bool known = core_account(app->core, command->account, &view);
    mf_assert(known);
    enum recipe_op op = app_account_op(command->kind);
    if (op == RECIPE_CREATE)
        CRASH_POINT(3);
    else if (op == RECIPE_DELETE)
        CRASH_POINT(13);
    load_values(app, command->account);
    struct app_account *entry = app_account_at(app, command->account);
    struct account_job *owner = mf_alloc(sizeof *owner);
    mf_assert(owner != NULL);
    *owner = (struct account_job){.app = app, .account = command->account, .op = op, .provider = view.provider};
    char tag[96];
    app_tag(app, command->account, tag, sizeof tag);
    struct mf_span permissions[APP_PERMISSIONS_MAX];
    struct provision_spec spec = {
        .provider = view.provider,
        .op = app_recipe_op(recipe_info(app->providers[view.provider].recipe), op),
        .tag = mf_span(tag),
        .ids_json = mf_buf_view(&entry->ids),
        .secrets_json = mf_buf_view(&entry->secrets),
        .permissions = permissions,
        .permission_count = op == RECIPE_CREATE ? permissions_of(app, &view, permissions, APP_PERMISSIONS_MAX) : 0,
        .expires_ms = op == RECIPE_CREATE ? credential_end(app, command->account) : 0,
        .expired = view.expires_ms > 0 && view.expires_ms <= app_now(app),
        .teardown = op != RECIPE_CREATE,
    };
    struct mf_error error;
    if (provision_start(app->provision, &spec, &calls, owner, &entry->job, &error) != 0) {
        mf_free(owner);
        entry->job = NULL;
        refuse(app, op, command->account, error.code == MF_INPUT, error.text);
    }
}
