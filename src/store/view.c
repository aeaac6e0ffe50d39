/* view.c - a run as its journal tells it: for the commands that only read */
#include "store/view.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "json/scan.h"
#include "store/journal_private.h"

#include <stdio.h>
#include <string.h>

/* A graph has at most a million tasks, an expansion 100,000 instances: numbers above come from a damaged file. */
#define VIEW_NODES_MAX (8u << 20)
#define VIEW_ACCOUNTS_MAX (8u << 20)
#define RUN_ROW_BYTES_MAX (512u << 20)
#define GRAPH_NODES_MAX (32u << 20) /* a million tasks with 30 values each: 640 MiB while they are looked at */
#define PROVIDERS_MAX 64

/* target + 1 by state and record; 0: no such row */
static const uint8_t task_rows[CORE_TASK_STATE_COUNT][CORE_RECORD_COUNT] = {
#define X(from, record, to) [CORE_TASK_STATE_##from][CORE_##record] = CORE_TASK_STATE_##to + 1,
    CORE_TASK_ROWS(X)
#undef X
};
static const uint8_t account_rows[CORE_ACCOUNT_STATE_COUNT][CORE_RECORD_COUNT] = {
#define X(from, record, to) [CORE_ACCOUNT_STATE_##from][CORE_##record] = CORE_ACCOUNT_STATE_##to + 1,
    CORE_ACCOUNT_ROWS(X)
#undef X
};

struct view {
    struct view_run run;
    struct mf_buf hold;         /* texts of the run row */
    struct view_task *tasks;    /* owned, with path and reason */
    size_t task_count, task_capacity;
    struct view_account *accounts; /* owned, with reason; number - 1 */
    size_t account_count, account_capacity;
    char *providers[PROVIDERS_MAX]; /* owned */
    uint32_t named_count;       /* rows of names below this node were read */
    const char *path;           /* of the database, for messages; during an update, as the next two */
    view_each *each;
    void *context;
};

/* --- tables that grow --- */

static int add_task(struct view *view)
{
    char name[24];
    snprintf(name, sizeof name, "#%zu", view->task_count);
    char *path = mf_strdup(name);
    if (path == NULL)
        return -1;
    view->tasks[view->task_count++] = (struct view_task){.path = path, .template_node = CORE_NONE};
    return 0;
}

static struct view_task *task_at(struct view *view, uint32_t node, struct mf_error *error)
{
    if (node >= VIEW_NODES_MAX) {
        mf_fail(error, MF_STATE, "journal: task number %u is out of range: is it damaged?", node);
        return NULL;
    }
    if (mf_grow((void **)&view->tasks, &view->task_capacity, (size_t)node + 1, sizeof view->tasks[0], 64) != 0) {
        mf_fail(error, MF_MEMORY, "journal: no memory");
        return NULL;
    }
    while (view->task_count <= node)
        if (add_task(view) != 0) {
            mf_fail(error, MF_MEMORY, "journal: no memory");
            return NULL;
        }
    return &view->tasks[node];
}

static struct view_account *account_at(struct view *view, uint32_t number, struct mf_error *error)
{
    if (number == 0 || number > VIEW_ACCOUNTS_MAX) {
        mf_fail(error, MF_STATE, "journal: account number %u is out of range: is it damaged?", number);
        return NULL;
    }
    if (mf_grow((void **)&view->accounts, &view->account_capacity, number, sizeof view->accounts[0], 64) != 0) {
        mf_fail(error, MF_MEMORY, "journal: no memory");
        return NULL;
    }
    while (view->account_count < number)
        view->accounts[view->account_count++] = (struct view_account){.node = CORE_NONE};
    return &view->accounts[number - 1];
}

static void replace_text(const char **text, char *with)
{
    mf_free((void *)(uintptr_t)*text); /* owned by the view, const for its readers */
    *text = with;
}

/* --- folding --- */

/* "reason" among a record's own members. Rare, so the whole text is scanned. */
static char *reason_of(struct mf_span extra)
{
    if (extra.length == 0 || memmem(extra.data, extra.length, "\"reason\"", 8) == NULL)
        return NULL;
    struct mf_buf text;
    struct json_document document;
    char *reason = NULL;
    mf_buf_init(&text, RECORD_EXTRA_BYTES_MAX + 2);
    mf_buf_char(&text, '{');
    mf_buf_span(&text, extra);
    mf_buf_char(&text, '}');
    if (!text.failed && json_scan(&document, mf_buf_view(&text), &json_limits_default, NULL) == 0) {
        uint32_t member = json_member(&document, 0, "reason");
        reason = member != JSON_NONE ? json_dup(&document, member) : NULL;
        json_document_free(&document);
    }
    mf_buf_free(&text);
    return reason;
}

static int misfit(const struct core_record *record, const char *state, struct mf_error *error)
{
    return mf_fail(error, MF_STATE, "journal: record %llu (%s) does not follow state %s: is it damaged, or of a newer mayfly?",
                   (unsigned long long)record->seq, view_record_name(record->kind), state);
}

static void take_stage(struct view_task *task, const struct core_record *record)
{
    int64_t value;
    if (record->kind == CORE_TASK_EXITED) {
        task->exited = true;
        task->code = (int32_t)record->facts[1];
        task->signal = (int32_t)record->facts[2];
    } else if (record_fact(record, CORE_FACT_STAGE, &value)) {
        task->stage = (enum core_stage)value;
        task->exited = false;
    }
}

static int fold_task(struct view *view, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    struct view_task *task = task_at(view, record->node, error);
    if (task == NULL)
        return -1;
    if (record_remark(record->kind)) {
        task->known = true;
        return 0;
    }
    uint8_t target = task_rows[task->state][record->kind];
    if (target == 0)
        return misfit(record, view_task_state_name(task->state), error);
    if ((enum core_task_state)(target - 1) != task->state || task->since_ms == 0)
        task->since_ms = record->at_ms;
    task->state = (enum core_task_state)(target - 1);
    task->known = true;
    int64_t value;
    if (record_fact(record, CORE_FACT_ATTEMPT, &value) && (uint32_t)value > task->attempt) {
        task->attempt = (uint32_t)value;
        task->started_ms = record->at_ms;
    }
    if (record_fact(record, CORE_FACT_CLASS, &value))
        task->class = (enum core_class)value;
    if (record_fact(record, CORE_FACT_STOP, &value))
        task->stop = (enum core_stop)value;
    if (record_fact(record, CORE_FACT_STALE, &value))
        task->stale = value != 0;
    if (record->kind == CORE_TASK_EXPANDED)
        task->is_template = true;
    take_stage(task, record);
    char *reason = reason_of(extra);
    if (reason != NULL || task->state == CORE_TASK_STATE_SUCCEEDED || task->state == CORE_TASK_STATE_READY)
        replace_text(&task->reason, reason);
    return 0;
}

static void take_lease(struct view_account *account, enum core_record_kind kind)
{
    if (kind == CORE_LEASE_GRANT)
        account->leases++;
    else if (kind == CORE_LEASE_DROPPED && account->leases > 0)
        account->leases--;
}

static int fold_account(struct view *view, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    struct view_account *account = account_at(view, record->account, error);
    if (account == NULL)
        return -1;
    uint8_t target = account_rows[account->state][record->kind];
    if (target == 0)
        return misfit(record, view_account_state_name(account->state), error);
    if (account->state == CORE_ACCOUNT_STATE_NEW) { /* account.create and account.adopted have the same facts */
        account->created_ms = record->at_ms;
        account->node = (uint32_t)record->facts[0];
        account->slot = (uint32_t)record->facts[1];
        account->provider = (uint32_t)record->facts[2];
    }
    if ((enum core_account_state)(target - 1) != account->state)
        account->since_ms = record->at_ms;
    account->state = (enum core_account_state)(target - 1);
    int64_t value;
    if (record_fact(record, CORE_FACT_EXPIRES_MS, &value) && value != 0)
        account->expires_ms = value;
    if (record_fact(record, CORE_FACT_CLASS, &value))
        account->class = (enum core_class)value;
    take_lease(account, record->kind);
    account->has_id = account->has_id || record->kind == CORE_ACCOUNT_STEP || record->kind == CORE_ACCOUNT_CREATED ||
                      record->kind == CORE_ACCOUNT_FOUND || record->kind == CORE_ACCOUNT_ADOPTED;
    account->revoked = account->revoked || record->kind == CORE_ACCOUNT_REVOKED;
    char *reason = reason_of(extra);
    if (reason != NULL)
        replace_text(&account->reason, reason);
    return 0;
}

static void fold_run(struct view_run *run, const struct core_record *record)
{
    run->settled = record->kind == CORE_RUN_SETTLED;
    if (record->kind == CORE_RUN_SETTLED)
        run->exit_code = (int32_t)record->facts[0];
    else if (record->kind == CORE_RUN_DRAINING)
        run->drain = (enum core_drain)record->facts[0];
    else if (record->kind == CORE_RUN_RESTARTED) {
        run->drain = CORE_DRAIN_NONE;
        run->restarts++;
    }
}

static int fold_subject(struct view *view, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    view->run.last_ms = record->at_ms;
    view->run.last_seq = record->seq;
    enum core_subject subject = record_subject(record->kind);
    if (subject != CORE_SUBJECT_RUN)
        view->run.settled = false; /* something came after the end: it goes on */
    if (subject == CORE_SUBJECT_TASK)
        return fold_task(view, record, extra, error);
    if (subject == CORE_SUBJECT_ACCOUNT)
        return fold_account(view, record, extra, error);
    fold_run(&view->run, record);
    return 0;
}

static int fold(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    struct view *view = context;
    if (fold_subject(view, record, extra, error) != 0)
        return mf_wrap(error, "%s", view->path);
    return view->each != NULL ? view->each(view->context, view, record, extra, error) : 0;
}

/* --- names --- */

static int name_task(struct view *view, uint32_t node, struct mf_span path, struct mf_error *error)
{
    struct view_task *task = task_at(view, node, error);
    char *text = task != NULL ? mf_strndup(path.data, path.length) : NULL;
    if (task == NULL)
        return -1;
    if (text == NULL)
        return mf_fail(error, MF_MEMORY, "journal: no memory");
    replace_text(&task->path, text);
    task->known = true;
    return 0;
}

static int take_node(void *context, uint32_t node, uint32_t template_node, uint32_t ordinal, struct mf_span path, struct mf_span item_json,
                     struct mf_error *error)
{
    (void)item_json;
    ((struct view *)context)->named_count = node + 1;
    if (name_task(context, node, path, error) != 0)
        return -1;
    struct view_task *task = &((struct view *)context)->tasks[node];
    task->is_template = template_node == node;
    task->template_node = task->is_template ? CORE_NONE : template_node;
    task->ordinal = ordinal;
    return 0;
}

/* Tasks of the graph stand in the order of its text. Only for names that have no row. */
static int take_graph_names(struct view *view, const struct json_document *document, struct mf_error *error)
{
    uint32_t tasks = json_member(document, 0, "tasks"), node = 0;
    if (tasks == JSON_NONE || json_kind(document, tasks) != JSON_OBJECT)
        return 0;
    for (uint32_t key = json_first(document, tasks); key != JSON_NONE; key = json_next(document, tasks, key), node++) {
        char name[128];
        if (node < view->task_count && view->tasks[node].known)
            continue;
        if (json_copy(document, key, name, sizeof name) != 0)
            continue;
        if (name_task(view, node, mf_span(name), error) != 0)
            return -1;
        view->tasks[node].is_template |= json_member(document, json_value(document, key), "for_each") != JSON_NONE;
    }
    return 0;
}

static int names_from_graph(struct view *view, struct mf_span graph_text, struct mf_error *error)
{
    struct json_limits limits = json_limits_default;
    struct json_document document;
    limits.comments = true;
    limits.text_bytes_max = RUN_ROW_BYTES_MAX;
    limits.nodes_max = GRAPH_NODES_MAX;
    if (json_scan(&document, graph_text, &limits, NULL) != 0)
        return 0; /* numbers must do */
    int status = take_graph_names(view, &document, error);
    json_document_free(&document);
    return status;
}

static void take_providers(struct view *view, struct mf_span providers_json)
{
    struct json_document document;
    if (json_scan(&document, providers_json, &json_limits_default, NULL) != 0)
        return;
    uint32_t list = json_kind(&document, 0) == JSON_ARRAY ? 0 : JSON_NONE;
    for (uint32_t i = 0; list != JSON_NONE && i < PROVIDERS_MAX; i++) {
        uint32_t name = json_member(&document, json_element(&document, list, i), "name");
        view->providers[i] = name != JSON_NONE ? json_dup(&document, name) : NULL;
    }
    json_document_free(&document);
}

/* --- loading --- */

static int load_run(struct view *view, struct journal *journal, struct journal_run *run, struct mf_error *error)
{
    *run = (struct journal_run){0};
    if (journal_read_run(journal, run, &view->hold, error) != 0)
        return -1;
    view->run = (struct view_run){.id = run->id, .name = run->name, .owner = run->owner, .graph_path = run->graph_path,
                                  .options_json = run->options_json, .socket_path = run->socket_path,
                                  .opened_ms = run->opened_ms, .last_ms = run->opened_ms};
    take_providers(view, run->providers_json);
    return 0;
}

static int load(struct view *view, struct journal *journal, struct mf_error *error)
{
    struct journal_run run;
    if (load_run(view, journal, &run, error) != 0 || journal_nodes(journal, take_node, view, error) != 0 ||
        names_from_graph(view, run.graph_text, error) != 0)
        return -1;
    return journal_replay(journal, fold, view, error);
}

static int update(struct view *view, struct journal *journal, struct mf_error *error)
{
    uint64_t last;
    if (journal_nodes_from(journal, view->named_count, take_node, view, error) != 0)
        return -1;
    return journal_read_from(journal, view->run.last_seq, fold, view, &last, error);
}

/* One snapshot of the database for all that is read. */
static int in_snapshot(struct view *view, struct journal *journal, int (*read)(struct view *view, struct journal *journal, struct mf_error *error),
                       view_each *each, void *context, struct mf_error *error)
{
    if (database_run(journal->database, STATEMENT_READ_BEGIN, error) != 0)
        return -1;
    view->path = journal->database->path;
    view->each = each;
    view->context = context;
    int status = read(view, journal, error);
    database_run(journal->database, STATEMENT_READ_END, NULL);
    return status;
}

int view_read(struct view **out, struct journal *journal, view_each *each, void *context, struct mf_error *error)
{
    struct view *view = mf_calloc(1, sizeof *view);
    if (view == NULL)
        return mf_fail(error, MF_MEMORY, "journal: no memory");
    mf_buf_init(&view->hold, RUN_ROW_BYTES_MAX);
    if (in_snapshot(view, journal, load, each, context, error) != 0) {
        view_free(view);
        return -1;
    }
    *out = view;
    return 0;
}

int view_load(struct view **out, struct journal *journal, struct mf_error *error)
{
    return view_read(out, journal, NULL, NULL, error);
}

int view_update(struct view *view, struct journal *journal, view_each *each, void *context, struct mf_error *error)
{
    return in_snapshot(view, journal, update, each, context, error);
}

void view_free(struct view *view)
{
    if (view == NULL)
        return;
    for (size_t i = 0; i < view->task_count; i++) {
        replace_text(&view->tasks[i].path, NULL);
        replace_text(&view->tasks[i].reason, NULL);
    }
    for (size_t i = 0; i < view->account_count; i++)
        replace_text(&view->accounts[i].reason, NULL);
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        mf_free(view->providers[i]);
    mf_free(view->tasks);
    mf_free(view->accounts);
    mf_buf_free(&view->hold);
    mf_free(view);
}

/* --- looking --- */

const struct view_run *view_run(const struct view *view)
{
    return &view->run;
}

uint32_t view_task_count(const struct view *view)
{
    return (uint32_t)view->task_count;
}

const struct view_task *view_task(const struct view *view, uint32_t node)
{
    mf_assert(node < view->task_count);
    return &view->tasks[node];
}

uint32_t view_account_count(const struct view *view)
{
    return (uint32_t)view->account_count;
}

const struct view_account *view_account(const struct view *view, uint32_t number)
{
    mf_assert(number >= 1 && number <= view->account_count);
    return &view->accounts[number - 1];
}

void view_totals(const struct view *view, struct view_totals *out)
{
    *out = (struct view_totals){0};
    for (size_t i = 0; i < view->task_count; i++) {
        const struct view_task *task = &view->tasks[i];
        if (task->is_template || !task->known)
            continue;
        out->tasks[task->state]++;
        out->task_count++;
        out->final_count += view_task_final(task->state);
    }
    for (size_t i = 0; i < view->account_count; i++) {
        enum core_account_state state = view->accounts[i].state;
        out->accounts[state]++;
        bool exists = state != CORE_ACCOUNT_STATE_NEW && state != CORE_ACCOUNT_STATE_ABSENT;
        out->created += exists;
        out->open += exists && view_account_openness(state) == VIEW_OPEN;
    }
}

uint32_t view_find(const struct view *view, const char *path)
{
    for (size_t i = 0; i < view->task_count; i++)
        if (strcmp(view->tasks[i].path, path) == 0)
            return (uint32_t)i;
    return CORE_NONE;
}

const char *view_provider(const struct view *view, uint32_t provider)
{
    return provider < PROVIDERS_MAX && view->providers[provider] != NULL ? view->providers[provider] : "?";
}

void view_tag(const struct view *view, uint32_t number, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "mayfly-%.*s-%.*s-%u", MF_SPAN_ARGS(view->run.owner), MF_SPAN_ARGS(view->run.id), number);
}
