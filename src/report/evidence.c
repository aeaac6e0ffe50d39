/* evidence.c - reads journal and log of a run and keeps what they say */
#include "report/evidence_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "json/scan.h"

#include <string.h>

#define KEY_BYTES_MAX (4u * AUDIT_LINE_BYTES_MAX)

static void free_text(const char *text)
{
    mf_free((void *)(uintptr_t)text); /* owned by the evidence, const for its readers */
}

void evidence_destroy(struct evidence *evidence)
{
    if (evidence == NULL)
        return;
    for (uint32_t i = 0; i < evidence_use_count(evidence); i++) {
        const struct evidence_use *use = &evidence->uses[i];
        const char *const texts[] = {use->provider, use->permission, use->rule, use->reason, use->example};
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++)
            free_text(texts[j]);
    }
    for (uint32_t i = 0; i < evidence_anomaly_count(evidence); i++) {
        free_text(evidence->anomalies[i].task);
        free_text(evidence->anomalies[i].kind);
        free_text(evidence->anomalies[i].detail);
    }
    for (uint32_t i = 0; i < evidence_connection_count(evidence); i++) {
        free_text(evidence->connections[i].host);
        free_text(evidence->connections[i].address);
    }
    for (uint32_t i = 0; i < evidence->account_count && evidence->hashes != NULL; i++)
        store_hash_destroy(evidence->hashes[i]);
    struct tally *const tallies[] = {&evidence->use_keys, &evidence->anomaly_keys, &evidence->connection_keys,
                                     &evidence->service_keys};
    for (size_t i = 0; i < sizeof tallies / sizeof tallies[0]; i++)
        tally_free(tallies[i]);
    mf_free(evidence->uses);
    mf_free(evidence->anomalies);
    mf_free(evidence->connections);
    mf_free(evidence->services);
    mf_free(evidence->accounts);
    mf_free(evidence->hashes);
    mf_free(evidence->tasks);
    mf_free(evidence->first_use);
    mf_free(evidence->next_use);
    mf_free(evidence->open);
    mf_free(evidence->anchors);
    mf_buf_free(&evidence->key);
    view_free(evidence->view);
    mf_free(evidence);
}

/* --- the journal --- */

/* run.audit: the count is its fact, the head stands among its own members. */
static int take_anchor(struct evidence *evidence, const struct core_record *record, struct mf_span extra,
                       struct mf_error *error)
{
    struct mf_buf text;
    struct json_document document;
    struct trail_anchor anchor = {.count = (uint64_t)record->facts[0], .seq = record->seq, .at_ms = record->at_ms};
    mf_buf_init(&text, extra.length + 2);
    mf_buf_char(&text, '{');
    mf_buf_span(&text, extra);
    mf_buf_char(&text, '}');
    int status = text.failed ? mf_fail(error, MF_MEMORY, "audit: no memory")
                             : json_scan_error(&document, mf_buf_view(&text), &json_limits_default, error);
    if (status == 0) {
        status = json_copy(&document, json_member(&document, 0, "head"), anchor.head, sizeof anchor.head);
        json_document_free(&document);
        if (status != 0)
            mf_fail(error, MF_STATE, "journal: record %llu (run.audit) has no head", (unsigned long long)record->seq);
    }
    mf_buf_free(&text);
    if (status != 0)
        return -1;
    if (mf_grow((void **)&evidence->anchors, &evidence->anchor_capacity, evidence->anchor_count + 1,
                sizeof *evidence->anchors, 64) != 0)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    evidence->anchors[evidence->anchor_count++] = anchor;
    return 0;
}

static int take_record(void *context, const struct view *view, const struct core_record *record, struct mf_span extra,
                       struct mf_error *error)
{
    (void)view;
    return record->kind == CORE_RUN_AUDIT ? take_anchor(context, record, extra, error) : 0;
}

/* What became of each task of the graph: of all its instances together. */
static void take_tasks(struct evidence *evidence)
{
    for (uint32_t node = 0; node < view_task_count(evidence->view); node++) {
        const struct view_task *task = view_task(evidence->view, node);
        uint32_t graph_task = evidence_task_of(evidence, mf_span(task->path));
        if (graph_task == GRAPH_NONE)
            continue;
        if (task->attempt > 0)
            evidence->tasks[graph_task] |= EVIDENCE_RAN;
        if (task->state == CORE_TASK_STATE_SUCCEEDED && !task->is_template)
            evidence->tasks[graph_task] |= EVIDENCE_SUCCEEDED;
    }
}

static int index_uses(struct evidence *evidence, struct mf_error *error)
{
    size_t tasks = graph_task_count(evidence->sources.graph);
    evidence->first_use = mf_calloc(tasks, sizeof *evidence->first_use);
    evidence->next_use = mf_calloc(evidence->use_count, sizeof *evidence->next_use);
    if (evidence->first_use == NULL || evidence->next_use == NULL)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    for (size_t i = 0; i < tasks; i++)
        evidence->first_use[i] = GRAPH_NONE;
    for (size_t i = evidence->use_count; i-- > 0;) {
        uint32_t task = evidence->uses[i].subject.task;
        if (task == GRAPH_NONE)
            continue;
        evidence->next_use[i] = evidence->first_use[task];
        evidence->first_use[task] = (uint32_t)i;
    }
    return 0;
}

static int read_all(struct evidence *evidence, struct mf_error *error)
{
    const struct evidence_sources *sources = &evidence->sources;
    if (view_read(&evidence->view, sources->journal, take_record, evidence, error) != 0)
        return -1;
    evidence->account_count = view_account_count(evidence->view);
    evidence->accounts = mf_calloc(evidence->account_count, sizeof *evidence->accounts);
    evidence->hashes = mf_calloc(evidence->account_count, sizeof(struct store_hash *));
    evidence->tasks = mf_calloc(graph_task_count(sources->graph), 1);
    if (evidence->accounts == NULL || evidence->hashes == NULL || evidence->tasks == NULL)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    take_tasks(evidence);
    if (trail_read(sources->run_dir_fd, evidence->anchors, evidence->anchor_count, evidence_take, evidence,
                   &evidence->trail, error) != 0)
        return -1;
    for (uint32_t i = 0; i < evidence->account_count; i++) {
        if (evidence->hashes[i] != NULL)
            store_hash_end(evidence->hashes[i], evidence->accounts[i].sha256);
    }
    return index_uses(evidence, error);
}

int evidence_create(struct evidence **out, const struct evidence_sources *sources, struct mf_error *error)
{
    struct evidence *evidence = mf_calloc(1, sizeof *evidence);
    if (evidence == NULL)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    evidence->sources = *sources;
    mf_buf_init(&evidence->key, KEY_BYTES_MAX);
    if (read_all(evidence, error) != 0) {
        evidence_destroy(evidence);
        return -1;
    }
    *out = evidence;
    return 0;
}

/* --- looking --- */

const struct trail_result *evidence_trail(const struct evidence *evidence)
{
    return &evidence->trail;
}

const struct view *evidence_view(const struct evidence *evidence)
{
    return evidence->view;
}

const struct graph *evidence_graph(const struct evidence *evidence)
{
    return evidence->sources.graph;
}

/* By name: a later graph of the run may have its tasks at other places. */
uint32_t evidence_task_of(const struct evidence *evidence, struct mf_span path)
{
    const char *slash = path.length > 0 ? memchr(path.data, '/', path.length) : NULL;
    if (slash != NULL)
        path.length = (size_t)(slash - path.data);
    return graph_find(evidence->sources.graph, path);
}

int evidence_run_dir(const struct evidence *evidence)
{
    return evidence->sources.run_dir_fd;
}

int evidence_each(const struct evidence *evidence, trail_each *each, void *context, struct mf_error *error)
{
    struct trail_result again;
    return trail_read(evidence->sources.run_dir_fd, evidence->anchors, evidence->anchor_count, each, context, &again,
                      error);
}

const struct trail_anchor *evidence_anchor(const struct evidence *evidence, uint64_t line)
{
    for (size_t i = 0; i < evidence->trail.anchors; i++) { /* only those that were found in the file */
        if (evidence->anchors[i].count >= line)
            return &evidence->anchors[i];
    }
    return NULL;
}

const struct evidence_provider *evidence_provider(const struct evidence *evidence, uint32_t provider)
{
    mf_assert(provider < graph_provider_count(evidence->sources.graph));
    return &evidence->sources.providers[provider];
}

uint32_t evidence_use_count(const struct evidence *evidence)
{
    return (uint32_t)evidence->use_count;
}

const struct evidence_use *evidence_use(const struct evidence *evidence, uint32_t index)
{
    mf_assert(index < evidence->use_count);
    return &evidence->uses[index];
}

uint32_t evidence_first_use(const struct evidence *evidence, uint32_t task)
{
    mf_assert(task < graph_task_count(evidence->sources.graph));
    return evidence->first_use[task];
}

uint32_t evidence_next_use(const struct evidence *evidence, uint32_t use)
{
    mf_assert(use < evidence->use_count);
    return evidence->next_use[use];
}

uint32_t evidence_anomaly_count(const struct evidence *evidence)
{
    return (uint32_t)evidence->anomaly_count;
}

const struct evidence_anomaly *evidence_anomaly(const struct evidence *evidence, uint32_t index)
{
    mf_assert(index < evidence->anomaly_count);
    return &evidence->anomalies[index];
}

uint32_t evidence_connection_count(const struct evidence *evidence)
{
    return (uint32_t)evidence->connection_count;
}

const struct evidence_connection *evidence_connection(const struct evidence *evidence, uint32_t index)
{
    mf_assert(index < evidence->connection_count);
    return &evidence->connections[index];
}

uint32_t evidence_service_count(const struct evidence *evidence)
{
    return (uint32_t)evidence->service_count;
}

const struct evidence_service *evidence_service(const struct evidence *evidence, uint32_t index)
{
    mf_assert(index < evidence->service_count);
    return &evidence->services[index];
}

const struct evidence_account *evidence_account(const struct evidence *evidence, uint32_t number)
{
    mf_assert(number >= 1 && number <= evidence->account_count);
    return &evidence->accounts[number - 1];
}

uint64_t evidence_left_out(const struct evidence *evidence)
{
    return evidence->left_out;
}

uint64_t evidence_unanswered(const struct evidence *evidence)
{
    return evidence->unanswered;
}

bool evidence_ran(const struct evidence *evidence, uint32_t task)
{
    return (evidence->tasks[task] & EVIDENCE_RAN) != 0;
}

bool evidence_succeeded(const struct evidence *evidence, uint32_t task)
{
    return (evidence->tasks[task] & EVIDENCE_SUCCEEDED) != 0;
}
