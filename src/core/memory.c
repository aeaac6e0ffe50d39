/*
 * memory.c - the core's memory: taken at core_create and core_reserve, never inside a step
 *
 * core_reserve gives a step its worst case: so many instances as the input brings, and as many accounts and leases as a batch
 * has records. A step therefore cannot fail, and a record that the shell committed can always be applied.
 */
#include "base/alloc.h"
#include "core/core_private.h"

#include <string.h>

const struct core_limits core_limits_default = {
    .running_max = 8,
    .accounts_max = 0,
    .run_timeout_ms = 0,
    .leaked_max = 3,
    .infrastructure_tries_max = 3,
    .unknown_creates_max = 3,
    .refused_for_now_max = 10,
    .find_tries_max = 6,
    .delete_tries_max = 6,
    .backoff_ms_min = 1000,
    .backoff_ms_max = 60 * 1000,
    .teardown_ms_min = 1000,
    .teardown_ms_max = 90 * 1000,
    .retry_after_ms_max = 300 * 1000,
    .start_wait_ms = 30 * 1000,
    .collect_wait_ms = 120 * 1000,
    .drop_wait_ms = 30 * 1000,
    .kill_wait_ms = 10 * 1000,
    .lease_margin_ms = 60 * 1000,
    .runner_starts_max = 3,
    .remarks_max = 1000,
};

static const struct queue queue_empty = {CORE_NONE, CORE_NONE};

void core_queue_push(struct queue *queue, uint32_t *links, uint32_t item)
{
    links[item] = CORE_NONE;
    if (queue->first == CORE_NONE)
        queue->first = item;
    else
        links[queue->last] = item;
    queue->last = item;
}

bool core_queue_pop(struct queue *queue, const uint32_t *links, uint32_t *item)
{
    if (queue->first == CORE_NONE)
        return false;
    *item = queue->first;
    queue->first = links[*item];
    return true;
}

void core_notice_node(struct core *core, uint32_t node)
{
    if ((core->nodes[node].flags & NODE_ATTENTION) != 0)
        return;
    core->nodes[node].flags |= NODE_ATTENTION;
    core_queue_push(&core->attention_nodes, core->node_attention, node);
}

void core_notice_account(struct core *core, uint32_t account)
{
    struct account *item = core_account_at(core, account);
    if ((item->flags & ACCOUNT_ATTENTION) != 0)
        return;
    item->flags |= ACCOUNT_ATTENTION;
    core_queue_push(&core->attention_accounts, core->account_attention, account - 1);
}

void core_ready_push(struct core *core, uint32_t node)
{
    if ((core->nodes[node].flags & NODE_QUEUED) != 0)
        return;
    core->nodes[node].flags |= NODE_QUEUED;
    core_queue_push(&core->ready, core->node_queue, node);
}

static int grow(void **array, uint32_t capacity, size_t element_bytes)
{
    void *grown = mf_realloc(*array, capacity, element_bytes);
    if (grown == NULL)
        return -1;
    *array = grown;
    return 0;
}

static uint32_t doubled(uint32_t capacity, uint64_t needed, uint32_t first)
{
    if (capacity == 0)
        capacity = needed > first ? (uint32_t)needed : first;
    while (capacity < needed)
        capacity = capacity > UINT32_MAX / 2 ? UINT32_MAX - 1 : capacity * 2;
    return capacity;
}

static int reserve_nodes(struct core *core, uint64_t needed)
{
    if (needed <= core->node_capacity)
        return 0;
    uint32_t capacity = doubled(core->node_capacity, needed, 16);
    if (grow((void **)&core->nodes, capacity, sizeof *core->nodes) != 0 ||
        grow((void **)&core->node_attention, capacity, sizeof *core->node_attention) != 0 ||
        grow((void **)&core->node_queue, capacity, sizeof *core->node_queue) != 0 ||
        mf_heap_reserve(&core->node_heap, capacity) != 0)
        return -1;
    core->node_capacity = capacity;
    return 0;
}

static int reserve_accounts(struct core *core, uint64_t needed)
{
    if (needed <= core->account_capacity)
        return 0;
    uint32_t capacity = doubled(core->account_capacity, needed, 64);
    if (grow((void **)&core->accounts, capacity, sizeof *core->accounts) != 0 ||
        grow((void **)&core->account_attention, capacity, sizeof *core->account_attention) != 0 ||
        grow((void **)&core->account_queue, capacity, sizeof *core->account_queue) != 0 ||
        mf_heap_reserve(&core->account_heap, capacity) != 0)
        return -1;
    core->account_capacity = capacity;
    return 0;
}

/* A graph without accounts never needs one: its million tasks pay nothing for them. */
static int reserve_for_slots(struct core *core, uint32_t instances)
{
    if (core->graph->slot_count == 0)
        return 0;
    uint64_t accounts = (uint64_t)core->account_count + CORE_STEP_ACCOUNTS_MAX;
    uint64_t holds = core->hold_count + (uint64_t)instances * core->template_slots_max;
    if (accounts >= CORE_NONE || reserve_accounts(core, accounts) != 0)
        return -1;
    if (mf_grow((void **)&core->leases, &core->lease_capacity, core->lease_count + CORE_STEP_ACCOUNTS_MAX, sizeof *core->leases, 64) != 0)
        return -1;
    return mf_grow((void **)&core->holds, &core->hold_capacity, holds, sizeof *core->holds, 16);
}

int core_reserve(struct core *core, uint32_t instances, struct mf_error *error)
{
    uint64_t nodes = (uint64_t)core->node_count + instances;
    if (nodes >= CORE_NONE)
        return mf_fail(error, MF_LIMIT, "more than %u tasks", CORE_NONE - 1);
    if (reserve_nodes(core, nodes) != 0 || reserve_for_slots(core, instances) != 0 ||
        mf_grow((void **)&core->expansions, &core->expansion_capacity, core->expansion_count + 1, sizeof *core->expansions, 4) != 0)
        return mf_fail(error, MF_MEMORY, "no memory for %u more tasks", instances);
    return 0;
}

static int create_tables(struct core *core)
{
    size_t providers = core->graph->provider_count + (size_t)1;
    core->providers = mf_calloc(providers, sizeof *core->providers);
    core->records = mf_alloc(CORE_BATCH_RECORDS_MAX * sizeof *core->records);
    core->commands = mf_alloc(CORE_BATCH_RECORDS_MAX * sizeof *core->commands);
    if (core->providers == NULL || core->records == NULL || core->commands == NULL)
        return -1;
    for (size_t p = 0; p < providers; p++) {
        struct provider_state *provider = &core->providers[p];
        provider->again = provider->fresh = provider->revokes = provider->others = queue_empty;
        provider->bucket_us = INT64_MIN / 4;
        provider->hold_until_ms = INT64_MIN;
    }
    core->ready = core->attention_nodes = core->attention_accounts = queue_empty;
    core->batch.records = core->records;
    core->batch.commands = core->commands;
    core->run_deadline_ms = CORE_NEVER;
    return 0;
}

static void create_holds(struct core *core, uint32_t node)
{
    uint32_t slots = core_slot_count(core, node);
    if (slots == 0)
        return;
    core->nodes[node].detail = (uint32_t)core->hold_count;
    for (uint32_t s = 0; s < slots; s++)
        core->holds[core->hold_count++] = (struct hold){.account = CORE_NONE};
}

void core_nodes_add(struct core *core, uint32_t count, uint32_t expansion, int64_t at_ms)
{
    mf_assert((uint64_t)core->node_count + count <= core->node_capacity);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = core->node_count++;
        core->nodes[node] = (struct node){.state = CORE_TASK_STATE_BLOCKED, .since_ms = at_ms, .expansion = expansion, .detail = CORE_NONE};
        core->open_nodes++;
        if (!core_is_template(core, node))
            core->node_totals[CORE_TASK_STATE_BLOCKED]++;
        create_holds(core, node);
    }
}

static int create_nodes(struct core *core, struct mf_error *error)
{
    const struct core_graph *graph = core->graph;
    uint64_t holds = 0;
    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct core_task *task = &graph->tasks[t];
        if (!task->template)
            holds += task->slot_count;
        else if (task->slot_count > core->template_slots_max)
            core->template_slots_max = task->slot_count;
    }
    if (holds >= CORE_NONE)
        return mf_fail(error, MF_LIMIT, "more than %u accounts in the graph", CORE_NONE - 1);
    if (mf_grow((void **)&core->holds, &core->hold_capacity, holds, sizeof *core->holds, holds > 0 ? holds : 1) != 0 ||
        core_reserve(core, graph->task_count, NULL) != 0)
        return mf_fail(error, MF_MEMORY, "no memory for %u tasks", graph->task_count);
    core_nodes_add(core, graph->task_count, CORE_NONE, 0);
    return 0;
}

int core_create(struct core **out, const struct core_graph *graph, const struct core_limits *limits, uint64_t seed, struct mf_error *error)
{
    *out = NULL;
    if (core_graph_check(graph, limits, error) != 0)
        return -1;
    struct core *core = mf_calloc(1, sizeof *core);
    if (core == NULL)
        return mf_fail(error, MF_MEMORY, "no memory for the core");
    core->graph = graph;
    core->limits = *limits;
    mf_rng_seed(&core->rng, seed);
    mf_heap_init(&core->node_heap);
    mf_heap_init(&core->account_heap);
    if (create_tables(core) != 0)
        mf_fail(error, MF_MEMORY, "no memory for the core's tables");
    else if (core_graph_index(core, error) == 0 && create_nodes(core, error) == 0) {
        *out = core;
        return 0;
    }
    core_destroy(core);
    return -1;
}

void core_destroy(struct core *core)
{
    if (core == NULL)
        return;
    mf_heap_free(&core->node_heap);
    mf_heap_free(&core->account_heap);
    void *blocks[] = {core->nodes,         core->node_attention, core->node_queue,  core->holds,      core->expansions,
                      core->accounts,      core->account_attention, core->account_queue, core->leases, core->edge_owner,
                      core->dependent_first, core->dependents,   core->edge_status, core->unmet,      core->dead,
                      core->slot_borrowers, core->providers,     core->records,     core->commands,   core};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        mf_free(blocks[b]);
}
