/* evidence_take.c - one line of the log into the counts */
#include "report/evidence_private.h"

#include "base/alloc.h"

#include <string.h>

static int no_memory(struct mf_error *error)
{
    return mf_fail(error, MF_MEMORY, "audit: no memory");
}

static void add_key(struct evidence *evidence, struct mf_span text)
{
    mf_buf_span(&evidence->key, text);
    mf_buf_char(&evidence->key, '\0'); /* stands in no text: the log has none */
}

static void add_number(struct evidence *evidence, uint64_t number)
{
    mf_buf_append(&evidence->key, &number, sizeof number);
}

/* 1: *number is it, *fresh when its entry is still to be made; 0: too many different ones; -1. */
static int number_of(struct evidence *evidence, struct tally *tally, size_t max, uint32_t *number, bool *fresh,
                     struct mf_error *error)
{
    struct mf_span key = mf_buf_view(&evidence->key);
    *fresh = false;
    if (evidence->key.failed)
        return no_memory(error);
    if (tally->count >= max && !tally_known(tally, key, number)) {
        evidence->left_out++;
        return 0;
    }
    return tally_number(tally, key, number, fresh) == 0 ? 1 : no_memory(error);
}

static char *copy(struct mf_span text)
{
    return text.length > 0 ? mf_strndup(text.data, text.length) : mf_strdup("");
}

/* --- who --- */

/* The slot of the task that the account is for: its own, or the one that borrows it. */
static uint32_t slot_of(const struct evidence *evidence, uint32_t task, int64_t number)
{
    const struct graph *graph = evidence->sources.graph;
    if (task == GRAPH_NONE || number < 1 || number > evidence->account_count)
        return GRAPH_NONE;
    const struct view_account *account = view_account(evidence->view, (uint32_t)number);
    if (account->node >= view_task_count(evidence->view))
        return GRAPH_NONE;
    uint32_t owner = evidence_task_of(evidence, mf_span(view_task(evidence->view, account->node)->path));
    const struct graph_task *user = &graph_tasks(graph)[task];
    for (uint32_t i = 0; i < user->slot_count; i++) {
        const struct graph_slot *slot = &graph_slots(graph)[user->slot_first + i];
        bool own = slot->lender == GRAPH_NONE && owner == task && i == account->slot;
        if (own || (slot->lender != GRAPH_NONE && slot->lender == owner && slot->lender_slot == account->slot))
            return i;
    }
    return GRAPH_NONE;
}

static struct evidence_subject subject_of(const struct evidence *evidence, const struct trail_line *line)
{
    uint32_t task = evidence_task_of(evidence, line->task);
    return (struct evidence_subject){task, slot_of(evidence, task, line->account), mf_span_is(line->stage, "verify")};
}

/* --- requests --- */

static const struct policy *policy_of(const struct evidence *evidence, struct mf_span provider)
{
    const struct graph *graph = evidence->sources.graph;
    for (uint32_t i = 0; i < graph_provider_count(graph); i++) {
        if (mf_span_is(provider, graph_provider(graph, i)->name))
            return evidence->sources.providers[i].policy;
    }
    return NULL;
}

static int make_use(struct evidence *evidence, uint32_t number, const struct trail_line *line,
                    const struct evidence_subject *subject, struct mf_error *error)
{
    struct mf_buf example;
    if (mf_grow((void **)&evidence->uses, &evidence->use_capacity, (size_t)number + 1, sizeof *evidence->uses, 64) != 0)
        return no_memory(error);
    mf_buf_init(&example, AUDIT_LINE_BYTES_MAX);
    mf_buf_printf(&example, "%.*s %.*s", MF_SPAN_ARGS(line->method), MF_SPAN_ARGS(line->path));
    struct evidence_use *use = &evidence->uses[number];
    *use = (struct evidence_use){
        .subject = *subject,
        .provider = copy(line->provider),
        .permission = copy(line->permission),
        .rule = copy(line->rule),
        .reason = copy(line->reason),
        .example = mf_buf_take(&example),
        .lines_first = line->n,
    };
    evidence->use_count++;
    mf_buf_free(&example);
    if (use->provider == NULL || use->permission == NULL || use->rule == NULL || use->reason == NULL ||
        use->example == NULL)
        return no_memory(error);
    return 0;
}

static int take_use(struct evidence *evidence, const struct trail_line *line, uint32_t *out, struct mf_error *error)
{
    struct evidence_subject subject = subject_of(evidence, line);
    const struct policy *policy = policy_of(evidence, line->provider);
    bool fresh;
    mf_buf_clear(&evidence->key);
    add_number(evidence, (uint64_t)subject.task << 32 | subject.slot);
    add_number(evidence, subject.verify);
    add_key(evidence, line->provider);
    add_key(evidence, line->permission);
    add_key(evidence, line->rule);
    add_key(evidence, line->reason);
    int listed = number_of(evidence, &evidence->use_keys, EVIDENCE_USES_MAX, out, &fresh, error);
    if (listed <= 0)
        return listed;
    if (fresh && make_use(evidence, *out, line, &subject, error) != 0)
        return -1;
    struct evidence_use *use = &evidence->uses[*out];
    use->count++;
    use->lines_last = line->n;
    if (policy != NULL)
        evidence_allowing(policy, line, use, !fresh);
    return 1;
}

/* --- services --- */

static int take_service(struct evidence *evidence, const struct trail_line *line, uint32_t *out, struct mf_error *error)
{
    const struct graph *graph = evidence->sources.graph;
    uint32_t service = 0;
    bool fresh;
    while (service < graph_service_count(graph) &&
           !mf_span_is(line->provider, graph_service(graph, service)->source.name))
        service++;
    if (service == graph_service_count(graph))
        return 0;
    uint32_t task = evidence_task_of(evidence, line->task);
    mf_buf_clear(&evidence->key);
    add_number(evidence, (uint64_t)task << 32 | service);
    int listed = number_of(evidence, &evidence->service_keys, EVIDENCE_USES_MAX, out, &fresh, error);
    if (listed <= 0 || !fresh)
        return listed;
    if (mf_grow((void **)&evidence->services, &evidence->service_capacity, (size_t)*out + 1, sizeof *evidence->services,
                16) != 0)
        return no_memory(error);
    evidence->services[*out] =
        (struct evidence_service){.task = task, .service = service, .name = graph_service(graph, service)->source.name};
    evidence->service_count++;
    return 1;
}

static void count_usage(struct evidence_service *service, const struct trail_line *line)
{
    service->input_tokens += (uint64_t)line->input_tokens;
    service->output_tokens += (uint64_t)line->output_tokens;
    service->cached_tokens += (uint64_t)line->cached_tokens;
    service->cache_write_tokens += (uint64_t)line->cache_write_tokens;
    service->unpriced += line->has_usage && line->micro_usd < 0;
    service->charged_micro_usd += line->charged_micro_usd;
}

/* --- what is open --- */

/* Where a request without a number, or with one that is too large, is kept: nothing is known of it later. */
static int open_at(struct evidence *evidence, const struct trail_line *line, struct evidence_open **out,
                   struct mf_error *error)
{
    static struct evidence_open nowhere;
    size_t before = evidence->open_capacity;
    nowhere = (struct evidence_open){0};
    *out = &nowhere;
    if (line->request < 1 || line->request > (int64_t)EVIDENCE_REQUESTS_MAX)
        return 0;
    if (mf_grow((void **)&evidence->open, &evidence->open_capacity, (size_t)line->request + 1, sizeof *evidence->open,
                1024) != 0)
        return no_memory(error);
    memset(evidence->open + before, 0, (evidence->open_capacity - before) * sizeof *evidence->open);
    *out = &evidence->open[line->request];
    return 0;
}

static int take_allowed(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    uint32_t use = 0;
    uint32_t service = 0;
    int listed = take_use(evidence, line, &use, error);
    int served = listed >= 0 ? take_service(evidence, line, &service, error) : -1;
    struct evidence_open *open;
    if (listed < 0 || served < 0 || open_at(evidence, line, &open, error) != 0)
        return -1;
    if (served > 0)
        evidence->services[service].requests++;
    evidence->unanswered++;
    *open = (struct evidence_open){.use = listed > 0 ? use + 1 : 0, .service = served > 0 ? service + 1 : 0};
    return 0;
}

static int take_answered(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    struct evidence_open *open;
    if (open_at(evidence, line, &open, error) != 0)
        return -1;
    evidence->unanswered -= evidence->unanswered > 0;
    if (open->use > 0) {
        evidence->uses[open->use - 1].succeeded += line->status > 0 && line->status < 400;
        evidence->uses[open->use - 1].failed += line->status >= 400;
    }
    if (open->service > 0)
        count_usage(&evidence->services[open->service - 1], line);
    *open = (struct evidence_open){0};
    return 0;
}

static int take_refused(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    uint32_t number;
    if (take_use(evidence, line, &number, error) < 0)
        return -1;
    int served = take_service(evidence, line, &number, error);
    if (served > 0)
        evidence->services[number].refused++;
    return served < 0 ? -1 : 0;
}

/* --- egress --- */

static int take_connected(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    uint32_t number;
    bool fresh;
    uint32_t task = evidence_task_of(evidence, line->task);
    struct mf_buf host;
    mf_buf_clear(&evidence->key);
    add_number(evidence, task);
    add_number(evidence, (uint64_t)line->port);
    add_key(evidence, line->host);
    int listed = number_of(evidence, &evidence->connection_keys, EVIDENCE_USES_MAX, &number, &fresh, error);
    if (listed <= 0)
        return listed;
    if (mf_grow((void **)&evidence->connections, &evidence->connection_capacity, (size_t)number + 1,
                sizeof *evidence->connections, 16) != 0)
        return no_memory(error);
    struct evidence_connection *connection = &evidence->connections[number];
    if (fresh) {
        mf_buf_init(&host, AUDIT_LINE_BYTES_MAX);
        mf_buf_printf(&host, "%.*s:%lld", MF_SPAN_ARGS(line->host), (long long)line->port);
        *connection = (struct evidence_connection){.task = task, .host = mf_buf_take(&host)};
        evidence->connection_count++;
        mf_buf_free(&host);
    }
    mf_free((void *)(uintptr_t)connection->address);
    connection->address = copy(line->address);
    connection->count++;
    if (connection->host == NULL || connection->address == NULL)
        return no_memory(error);
    struct evidence_open *open;
    if (open_at(evidence, line, &open, error) != 0)
        return -1;
    *open = (struct evidence_open){.connection = number + 1};
    return 0;
}

static int take_closed(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    struct evidence_open *open;
    if (open_at(evidence, line, &open, error) != 0)
        return -1;
    if (open->connection == 0)
        return 0;
    evidence->connections[open->connection - 1].sent_bytes += (uint64_t)line->sent_bytes;
    evidence->connections[open->connection - 1].received_bytes += (uint64_t)line->received_bytes;
    *open = (struct evidence_open){0};
    return 0;
}

/* --- anomalies --- */

static int take_anomaly(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    uint32_t number;
    bool fresh;
    mf_buf_clear(&evidence->key);
    add_key(evidence, line->task);
    add_key(evidence, line->kind);
    add_key(evidence, line->detail);
    int listed = number_of(evidence, &evidence->anomaly_keys, EVIDENCE_ANOMALIES_MAX, &number, &fresh, error);
    if (listed <= 0)
        return listed;
    if (mf_grow((void **)&evidence->anomalies, &evidence->anomaly_capacity, (size_t)number + 1,
                sizeof *evidence->anomalies, 16) != 0)
        return no_memory(error);
    struct evidence_anomaly *anomaly = &evidence->anomalies[number];
    if (fresh) {
        *anomaly = (struct evidence_anomaly){.task = copy(line->task),
                                             .kind = copy(line->kind),
                                             .detail = copy(line->detail),
                                             .attempt = (uint32_t)line->attempt};
        evidence->anomaly_count++;
    }
    anomaly->count++;
    return anomaly->task != NULL && anomaly->kind != NULL && anomaly->detail != NULL ? 0 : no_memory(error);
}

/* --- accounts --- */

static int take_account(struct evidence *evidence, const struct trail_line *line, struct mf_error *error)
{
    if (line->account < 1 || line->account > evidence->account_count)
        return 0;
    size_t at = (size_t)line->account - 1;
    struct evidence_account *account = &evidence->accounts[at];
    if (evidence->hashes[at] == NULL && (evidence->hashes[at] = store_hash_create()) == NULL)
        return no_memory(error);
    store_hash_add(evidence->hashes[at], line->raw);
    store_hash_add(evidence->hashes[at], MF_SPAN("\n"));
    if (account->lines++ == 0) {
        account->line_first = line->n;
        account->at_first_ms = line->at_ms;
    }
    account->line_last = line->n;
    account->at_last_ms = line->at_ms;
    account->allowed += line->event == TRAIL_ALLOWED;
    account->refused += line->event == TRAIL_REFUSED;
    account->anomalies += line->event == TRAIL_ANOMALY;
    account->succeeded += line->event == TRAIL_ANSWERED && line->status > 0 && line->status < 400;
    account->failed += line->event == TRAIL_ANSWERED && line->status >= 400;
    return 0;
}

int evidence_take(void *context, const struct trail_line *line, struct mf_error *error)
{
    struct evidence *evidence = context;
    if (take_account(evidence, line, error) != 0)
        return -1;
    switch (line->event) {
    case TRAIL_ALLOWED:
        return take_allowed(evidence, line, error);
    case TRAIL_ANSWERED:
        return take_answered(evidence, line, error);
    case TRAIL_REFUSED:
        return take_refused(evidence, line, error);
    case TRAIL_CONNECTED:
        return take_connected(evidence, line, error);
    case TRAIL_CLOSED:
        return take_closed(evidence, line, error);
    case TRAIL_ANOMALY:
        return take_anomaly(evidence, line, error);
    case TRAIL_OPENED:
    case TRAIL_UNANCHORED:
    case TRAIL_OTHER:
    default:
        return 0;
    }
}
