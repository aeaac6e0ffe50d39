/*
 * pump.c - the turn: drain inputs, step the core, commit once, then start the commands
 *
 * Callbacks of curl, the runner, threads and signals only push inputs. The pump runs once per loop iteration and is the only
 * caller of core_step, so the core is never re-entered. Everything that a turn decided is on disk before anything that it decided
 * happens; when the commit fails nothing of the turn is started, and what is left is torn down from memory.
 */
#include "app/app_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"
#include "json/write.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t app_now(const struct app *app)
{
    return app->base_ms + (net_now_ms() - app->start_ms);
}

struct app_payload *app_payload_new(void)
{
    struct app_payload *payload = mf_calloc(1, sizeof *payload);
    mf_assert(payload != NULL);
    mf_buf_init(&payload->extra, APP_EXTRA_BYTES_MAX);
    mf_buf_init(&payload->ids, APP_VALUES_BYTES_MAX);
    mf_buf_init_secret(&payload->secrets, APP_VALUES_BYTES_MAX);
    mf_buf_init_secret(&payload->claim, APP_VALUES_BYTES_MAX);
    return payload;
}

void app_payload_free(struct app_payload *payload)
{
    if (payload == NULL)
        return;
    mf_buf_free(&payload->extra);
    mf_buf_free(&payload->ids);
    mf_buf_free(&payload->secrets);
    mf_buf_free(&payload->claim);
    for (uint32_t i = 0; i < payload->found_count; i++)
        mf_free(payload->found_ids[i]);
    mf_free(payload->found_ids);
    app_expansion_free(payload->expansion);
    mf_free(payload);
}

void app_payload_reason(struct app_payload *payload, const char *reason)
{
    mf_buf_text(&payload->extra, payload->extra.length > 0 ? ",\"reason\":" : "\"reason\":");
    json_escape(&payload->extra, mf_span(reason));
}

void app_push(struct app *app, const struct core_input *input, struct app_payload *payload)
{
    if (app->input_count == app->input_capacity) {
        size_t capacity = app->input_capacity > 0 ? app->input_capacity * 2 : 64;
        struct app_input *grown = mf_alloc(capacity * sizeof *grown);
        mf_assert(grown != NULL);
        for (size_t i = 0; i < app->input_count; i++)
            grown[i] = app->inputs[(app->input_first + i) % app->input_capacity];
        mf_free(app->inputs);
        app->inputs = grown;
        app->input_capacity = capacity;
        app->input_first = 0;
    }
    app->inputs[(app->input_first + app->input_count) % app->input_capacity] = (struct app_input){*input, payload};
    app->input_count++;
    if (app->loop != NULL)
        net_loop_again(app->loop);
}

static struct app_input pop(struct app *app)
{
    struct app_input input = app->inputs[app->input_first];
    app->input_first = (app->input_first + 1) % app->input_capacity;
    app->input_count--;
    return input;
}

void app_note(struct app *app, const char *format, ...)
{
    char text[MF_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (uint32_t i = 0; i < app->options.observer_count; i++)
        if (app->options.observers[i].note != NULL)
            app->options.observers[i].note(app->options.observers[i].context, app, text);
}

/* --- the journal's side of a turn --- */

static void journal_failed(struct app *app, const struct mf_error *error)
{
    if (app->journal_broken)
        return;
    app->journal_broken = true;
    journal_rollback(app->journal);
    app->in_transaction = false;
    app_note(app, "journal: %s; nothing new is started, accounts are torn down from memory", error->text);
    app_push(app, &(struct core_input){.kind = CORE_INPUT_SIGNAL, .level = 1}, NULL);
}

static bool journal_ready(struct app *app)
{
    if (app->journal_broken)
        return false;
    if (app->in_transaction)
        return true;
    struct mf_error error;
    if (journal_begin(app->journal, &error) != 0) {
        journal_failed(app, &error);
        return false;
    }
    app->in_transaction = true;
    return true;
}

/* A failed attempt may leave collected files, never a result. */
static int store_result(struct app *app, uint32_t node, bool succeeded, struct mf_error *error)
{
    struct app_node *entry = app_node_at(app, node);
    char hex[65] = "", outputs[512] = "";
    entry->has_result = entry->has_result && succeeded;
    if (!entry->has_result && !entry->has_outputs)
        return 0;
    if (entry->has_result)
        mf_hex(entry->sha256, sizeof entry->sha256, hex);
    if (entry->has_outputs)
        snprintf(outputs, sizeof outputs, "%s/%u/outputs", app_node_path(app, node), entry->result_attempt);
    return journal_put_result(app->journal, node, entry->result_attempt, mf_span(hex), mf_span(outputs), error);
}

/* What a record does to the tables beside the journal, in the same transaction. */
static int store_side_effects(struct app *app, const struct core_record *record, const struct app_payload *payload,
                              struct mf_error *error)
{
    switch ((int)record->kind) {
    case CORE_ACCOUNT_GONE:
    case CORE_ACCOUNT_ABSENT:
    case CORE_ACCOUNT_EXPIRING:
    case CORE_ACCOUNT_EXPIRED:
        return journal_drop_secrets(app->journal, record->account, NULL, error);
    case CORE_ACCOUNT_CLAIMABLE:
        return journal_drop_secrets(app->journal, record->account, "secrets", error);
    case CORE_TASK_PREPARE:
    case CORE_TASK_SPAWN:
        app_content_begin(app, record->node, record->kind == CORE_TASK_PREPARE);
        return 0;
    case CORE_TASK_SUCCEEDED:
        return store_result(app, record->node, true, error);
    case CORE_TASK_FAILED:
    case CORE_TASK_TIMED_OUT:
        return store_result(app, record->node, false, error);
    case CORE_TASK_EXPANDED:
        for (uint32_t i = 0; payload != NULL && payload->expansion != NULL && i < payload->expansion->count; i++) {
            uint32_t node = core_node_count(app->core) - payload->expansion->count + i;
            if (journal_put_node(app->journal, node, record->node, i, mf_span(payload->expansion->paths[i]),
                                 mf_span(payload->expansion->items[i]), error) != 0)
                return -1;
        }
        return 0;
    default:
        return 0;
    }
}

static int store_values(struct app *app, const struct app_input *input, struct mf_error *error)
{
    const struct app_payload *payload = input->payload;
    if (payload == NULL || input->core.account == 0)
        return 0;
    if (payload->ids.length > 0 &&
        journal_put_ids(app->journal, input->core.account, mf_buf_view(&payload->ids), error) != 0)
        return -1;
    if (payload->secrets.length > 0 &&
        journal_put_secret(app->journal, input->core.account, "secrets", mf_buf_view(&payload->secrets), error) != 0)
        return -1;
    if (payload->claim.length > 0 &&
        journal_put_secret(app->journal, input->core.account, "claim", mf_buf_view(&payload->claim), error) != 0)
        return -1;
    return 0;
}

/* Does the record say what the input told, so that its text belongs to it? */
static bool concerns(const struct core_record *record, const struct core_input *input)
{
    switch ((int)input->kind) {
    case CORE_INPUT_RUNNER_DIED:
        return record->kind == CORE_RUNNER_DIED;
    case CORE_INPUT_AUDIT:
        return record->kind == CORE_RUN_AUDIT;
    case CORE_INPUT_VIOLATION:
        return record->kind == CORE_TASK_VIOLATION || record->kind == CORE_TASK_ANOMALY ||
               record->kind == CORE_RUN_ANOMALY;
    case CORE_INPUT_USAGE:
        return record->kind == CORE_TASK_USAGE;
    case CORE_INPUT_BUDGET:
        if (input->node == CORE_NONE)
            return record->kind == CORE_RUN_DRAINING;
        break;
    default:
        break;
    }
    if (record->account != CORE_NONE && record->account != 0)
        return record->account == input->account;
    return record->node != CORE_NONE && record->node == input->node;
}

static void keep_record(struct app *app, const struct core_record *record, const struct app_payload *payload)
{
    int grown = mf_grow((void **)&app->records, &app->record_capacity, app->record_count + 1, sizeof *app->records, 64);
    mf_assert(grown == 0);
    app->records[app->record_count++] = (struct app_turn_record){*record, payload};
    app->records_total++;
}

/* The ids of further accounts that FIND returned go to the accounts that the core adopts, in order. */
static int take_adopted(struct app *app, const struct core_record *record, struct app_payload *payload,
                        uint32_t *adopted, struct mf_error *error)
{
    if (record->kind != CORE_ACCOUNT_ADOPTED || payload == NULL || *adopted >= payload->found_count)
        return 0;
    const char *ids = payload->found_ids[(*adopted)++];
    struct app_account *account = app_account_at(app, record->account);
    mf_buf_clear(&account->ids);
    mf_buf_text(&account->ids, ids);
    return journal_put_ids(app->journal, record->account, mf_span(ids), error);
}

/* Names must be there before anybody asks for them. The core ignores the list of a template that was cancelled meanwhile. */
static void take_instances(struct app *app, const struct app_input *input, const struct core_batch *batch)
{
    if (input->payload == NULL || input->payload->expansion == NULL || input->core.kind != CORE_INPUT_EXPANDED)
        return;
    for (uint32_t i = 0; i < batch->record_count; i++)
        if (batch->records[i].kind == CORE_TASK_EXPANDED && batch->records[i].node == input->core.node)
            app_instances_add(app, input->payload->expansion,
                              core_node_count(app->core) - input->payload->expansion->count);
}

/* The payload's members, and what a success stands for. */
static int append_record(struct app *app, const struct core_record *record, const struct app_payload *payload,
                         struct mf_error *error)
{
    struct mf_buf extra;
    mf_buf_init(&extra, APP_EXTRA_BYTES_MAX + 128);
    if (payload != NULL)
        mf_buf_span(&extra, mf_buf_view(&payload->extra));
    if (record->kind == CORE_TASK_SUCCEEDED)
        app_content_end(app, record->node, &extra);
    int result = extra.failed ? mf_fail(error, MF_MEMORY, "journal: no memory for a record")
                              : journal_append(app->journal, record, mf_buf_view(&extra), error);
    mf_buf_free(&extra);
    return result;
}

static void take_batch(struct app *app, const struct app_input *input, const struct core_batch *batch)
{
    struct mf_error error;
    bool told = false;
    uint32_t adopted = 0;
    take_instances(app, input, batch);
    for (uint32_t i = 0; i < batch->record_count; i++) {
        const struct core_record *record = &batch->records[i];
        const struct app_payload *payload =
            !told && input->payload != NULL && concerns(record, &input->core) ? input->payload : NULL;
        told = told || payload != NULL;
        keep_record(app, record, payload);
        if (!journal_ready(app))
            continue;
        if (append_record(app, record, payload, &error) != 0 || store_side_effects(app, record, payload, &error) != 0 ||
            take_adopted(app, record, input->payload, &adopted, &error) != 0)
            journal_failed(app, &error);
    }
    if (batch->record_count > 0 && input->payload != NULL && journal_ready(app) &&
        store_values(app, input, &error) != 0)
        journal_failed(app, &error);
    if (batch->command_count == 0)
        return;
    int grown = mf_grow((void **)&app->commands, &app->command_capacity, app->command_count + batch->command_count,
                        sizeof *app->commands, 64);
    mf_assert(grown == 0);
    memcpy(app->commands + app->command_count, batch->commands, batch->command_count * sizeof *batch->commands);
    app->command_count += batch->command_count;
}

/* --- the turn --- */

static void step(struct app *app, struct app_input *input)
{
    struct mf_error error;
    uint32_t instances = input->core.kind == CORE_INPUT_EXPANDED ? input->core.count : 0;
    if (core_reserve(app->core, instances, &error) != 0) {
        mf_assert(instances > 0); /* without instances the core asks for little: no memory for that is the end */
        input->core.kind = CORE_INPUT_EXPAND_FAILED;
        mf_assert(core_reserve(app->core, 0, &error) == 0);
    }
    input->core.now_ms = app_now(app);
    if (input->payload != NULL && input->payload->extra.failed) /* half an object would spoil the record */
        mf_buf_clear(&input->payload->extra);
    take_batch(app, input, core_step(app->core, &input->core));
    if (input->payload != NULL) {
        input->payload->next = app->spent;
        app->spent = input->payload;
    }
}

/* After a failed commit nothing of the turn may start: its creating commands come back as failures. */
static bool may_start(struct app *app, const struct core_command *command)
{
    if (!app->journal_broken)
        return true;
    switch ((int)command->kind) {
    case CORE_COMMAND_CREATE:
        app_push(app, &(struct core_input){.kind = CORE_INPUT_CREATE_ABSENT, .account = command->account, .flag = true},
                 NULL);
        return false;
    case CORE_COMMAND_PREPARE:
        app_push(app,
                 &(struct core_input){.kind = CORE_INPUT_PREPARE_FAILED,
                                      .node = command->node,
                                      .stage = command->stage,
                                      .class = CORE_CLASS_REFUSED},
                 NULL);
        return false;
    case CORE_COMMAND_SPAWN:
        app_push(app,
                 &(struct core_input){.kind = CORE_INPUT_SPAWN_FAILED,
                                      .node = command->node,
                                      .stage = command->stage,
                                      .class = CORE_CLASS_REFUSED},
                 NULL);
        return false;
    case CORE_COMMAND_LEASE:
        return false;
    default:
        return true;
    }
}

static void commit(struct app *app)
{
    if (!app->in_transaction)
        return;
    struct mf_error error;
    app->in_transaction = false;
    if (journal_commit(app->journal, &error) != 0)
        journal_failed(app, &error);
}

static void tell(struct app *app)
{
    for (size_t r = 0; r < app->record_count; r++) {
        const struct app_turn_record *turn = &app->records[r];
        struct mf_span extra = turn->payload != NULL ? mf_buf_view(&turn->payload->extra) : (struct mf_span){"", 0};
        for (uint32_t i = 0; i < app->options.observer_count; i++)
            if (app->options.observers[i].record != NULL)
                app->options.observers[i].record(app->options.observers[i].context, app, &turn->record, extra);
        switch ((int)turn->record.kind) { /* what memory may forget once the record is durable */
        case CORE_ACCOUNT_CREATED:
            CRASH_POINT(6);
            break;
        case CORE_TASK_STARTED:
            CRASH_POINT(10);
            break;
        case CORE_ACCOUNT_GONE:
        case CORE_ACCOUNT_ABSENT:
        case CORE_ACCOUNT_EXPIRING:
        case CORE_ACCOUNT_EXPIRED:
            app_account_forget(app, turn->record.account, false);
            break;
        case CORE_RUN_AUDIT: /* what is journaled binds the next runner */
            app->audit_count = (uint64_t)turn->record.facts[0];
            if (turn->payload != NULL)
                memcpy(app->audit_head, turn->payload->sha256, sizeof app->audit_head);
            break;
        case CORE_ACCOUNT_CLAIMABLE:
            app_account_forget(app, turn->record.account, true);
            break;
        case CORE_ACCOUNT_STEP: /* its ids are durable: the next request of this create may go out */
            if (app_account_at(app, turn->record.account)->job != NULL)
                provision_continue(app_account_at(app, turn->record.account)->job);
            break;
        default:
            break;
        }
    }
    app->record_count = 0;
    while (app->spent != NULL) {
        struct app_payload *payload = app->spent;
        app->spent = payload->next;
        app_payload_free(payload);
    }
}

/* Commands that the runner cannot take yet stay, in their order; the others of the turn go out. */
static void start_commands(struct app *app)
{
    size_t kept = 0;
    bool runner_full = false;
    size_t count = app->command_count;
    struct core_command *commands = app->commands;
    app->commands = NULL; /* starting a command may only push inputs, but must never see a half-shifted list */
    app->command_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!may_start(app, &commands[i]))
            continue;
        bool waits = commands[i].kind == CORE_COMMAND_LEASE || commands[i].kind == CORE_COMMAND_SPAWN ||
                     commands[i].kind == CORE_COMMAND_PREPARE;
        if (waits && (runner_full || app_execute_stage(app, &commands[i]) != 0)) {
            runner_full = true;
            commands[kept++] = commands[i];
        } else if (!waits) {
            app_execute(app, &commands[i]);
        }
    }
    mf_assert(app->command_count == 0);
    app->commands = commands;
    app->command_count = kept;
}

static void maybe_stop(struct app *app)
{
    if (!core_settled(app->core) || app->input_count > 0 || app->command_count > 0 || app->stopping)
        return;
    app->stopping = true;
    net_loop_stop(app->loop);
}

void app_pump_turn(void *context)
{
    struct app *app = context;
#ifdef MAYFLY_CRASHPOINTS
    provision_crash_points(app->provision);
#endif
    for (uint32_t i = 0; i < APP_TURN_INPUTS_MAX && app->input_count > 0; i++) {
        struct app_input input = pop(app);
        step(app, &input);
    }
    if (core_deadline(app->core) <= app_now(app)) {
        struct app_input tick = {.core = {.kind = CORE_INPUT_TICK}};
        step(app, &tick);
    }
    commit(app);
    tell(app);
    start_commands(app);
    for (uint32_t i = 0; i < app->options.observer_count; i++)
        if (app->options.observers[i].turn != NULL)
            app->options.observers[i].turn(app->options.observers[i].context, app);
    maybe_stop(app);
    int64_t deadline = core_deadline(app->core);
    net_loop_deadline(app->loop, deadline == CORE_NEVER ? MF_NEVER : deadline - app->base_ms + app->start_ms);
    if (app->input_count > 0)
        net_loop_again(app->loop);
}
