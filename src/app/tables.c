/* tables.c - what the shell keeps beside the core: values of accounts, names and results of nodes, stages of the runner */
#include "app/app_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

struct app_account *app_account_at(struct app *app, uint32_t account)
{
    size_t before = app->account_capacity;
    int grown =
        mf_grow((void **)&app->accounts, &app->account_capacity, (size_t)account + 1, sizeof *app->accounts, 64);
    mf_assert(grown == 0);
    for (size_t i = before; i < app->account_capacity; i++) {
        app->accounts[i] = (struct app_account){0};
        mf_buf_init(&app->accounts[i].ids, APP_VALUES_BYTES_MAX);
        mf_buf_init_secret(&app->accounts[i].secrets, APP_VALUES_BYTES_MAX);
        mf_buf_init_secret(&app->accounts[i].claim, APP_VALUES_BYTES_MAX);
    }
    return &app->accounts[account];
}

void app_account_forget(struct app *app, uint32_t account, bool keep_claim)
{
    struct app_account *entry = app_account_at(app, account);
    mf_buf_free(&entry->secrets);
    if (!keep_claim)
        mf_buf_free(&entry->claim);
}

struct app_node *app_node_at(struct app *app, uint32_t node)
{
    size_t before = app->node_capacity;
    int grown = mf_grow((void **)&app->nodes, &app->node_capacity, (size_t)node + 1, sizeof *app->nodes, 64);
    mf_assert(grown == 0);
    if (app->node_capacity > before)
        memset(app->nodes + before, 0, (app->node_capacity - before) * sizeof *app->nodes);
    return &app->nodes[node];
}

/* --- stages: linear probing over a power of two, at most half full --- */

static size_t slot_of(const struct app *app, uint64_t seq)
{
    return (size_t)((seq * 0x9e3779b97f4a7c15u) >> 32) & (app->stage_capacity - 1);
}

struct app_stage *app_stage_find(struct app *app, uint64_t seq)
{
    if (app->stage_capacity == 0)
        return NULL;
    for (size_t i = slot_of(app, seq); app->stages[i].seq != 0; i = (i + 1) & (app->stage_capacity - 1))
        if (app->stages[i].seq == seq)
            return &app->stages[i];
    return NULL;
}

static size_t free_slot(const struct app *app, uint64_t seq)
{
    size_t i = slot_of(app, seq);
    while (app->stages[i].seq != 0)
        i = (i + 1) & (app->stage_capacity - 1);
    return i;
}

static void stages_grow(struct app *app)
{
    struct app_stage *old = app->stages;
    size_t old_capacity = app->stage_capacity;
    app->stage_capacity = old_capacity > 0 ? old_capacity * 2 : 64;
    app->stages = mf_calloc(app->stage_capacity, sizeof *app->stages);
    mf_assert(app->stages != NULL);
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].seq != 0)
            app->stages[free_slot(app, old[i].seq)] = old[i];
    app->stage_count = 0;
    for (size_t i = 0; i < app->stage_capacity; i++)
        app->stage_count += app->stages[i].seq != 0;
    mf_free(old);
}

struct app_stage *app_stage_add(struct app *app, uint64_t seq, uint32_t node, uint32_t attempt, enum core_stage kind)
{
    struct app_stage *known = app_stage_find(app, seq);
    if (known != NULL)
        return known;
    if ((app->stage_count + 1) * 2 > app->stage_capacity)
        stages_grow(app);
    size_t i = free_slot(app, seq);
    app->stages[i] = (struct app_stage){.seq = seq, .node = node, .attempt = attempt, .kind = kind};
    app->stage_count++;
    app->past[app->past_next++ % APP_PAST_STAGES] = (struct app_past){seq, node, attempt, kind};
    return &app->stages[i];
}

bool app_stage_past(struct app *app, uint64_t seq, struct app_past *out)
{
    const struct app_stage *stage = app_stage_find(app, seq);
    if (stage != NULL) {
        *out = (struct app_past){seq, stage->node, stage->attempt, stage->kind};
        return true;
    }
    for (uint32_t i = 0; seq != 0 && i < APP_PAST_STAGES; i++)
        if (app->past[i].seq == seq) {
            *out = app->past[i];
            return true;
        }
    return false;
}

void app_stage_remove(struct app *app, uint64_t seq)
{
    struct app_stage *stage = app_stage_find(app, seq);
    if (stage == NULL)
        return;
    size_t mask = app->stage_capacity - 1;
    size_t hole = (size_t)(stage - app->stages);
    for (size_t i = (hole + 1) & mask; app->stages[i].seq != 0; i = (i + 1) & mask) {
        size_t home = slot_of(app, app->stages[i].seq);
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* the entry may move back into the hole */
            app->stages[hole] = app->stages[i];
            hole = i;
        }
    }
    app->stages[hole].seq = 0;
    app->stage_count--;
}

/* --- instances --- */

int app_instances_add(struct app *app, struct app_expansion *expansion, uint32_t first)
{
    size_t at = first - app->core_graph.task_count;
    mf_assert(at == app->instance_count);
    size_t capacity = app->instance_capacity;
    int grown = mf_grow((void **)&app->paths, &capacity, at + expansion->count, sizeof *app->paths, 64);
    mf_assert(grown == 0);
    capacity = app->instance_capacity;
    grown = mf_grow((void **)&app->items, &capacity, at + expansion->count, sizeof *app->items, 64);
    mf_assert(grown == 0);
    app->instance_capacity = capacity;
    for (uint32_t i = 0; i < expansion->count; i++) {
        app->paths[at + i] = expansion->paths[i];
        app->items[at + i] = expansion->items[i];
    }
    app->instance_count = at + expansion->count;
    expansion->taken = true;
    return 0;
}

const char *app_node_item(const struct app *app, uint32_t node)
{
    if (node < app->core_graph.task_count || node - app->core_graph.task_count >= app->instance_count)
        return NULL;
    return app->items[node - app->core_graph.task_count];
}

uint32_t app_node_task(const struct app *app, uint32_t node)
{
    struct core_node_view view;
    if (node < app->core_graph.task_count || !core_node(app->core, node, &view))
        return node;
    return view.template;
}

void app_tables_free(struct app *app)
{
    for (size_t i = 0; i < app->account_capacity; i++) {
        mf_buf_free(&app->accounts[i].ids);
        mf_buf_free(&app->accounts[i].secrets);
        mf_buf_free(&app->accounts[i].claim);
    }
    mf_free(app->accounts);
    mf_free(app->nodes);
    mf_free(app->stages);
    mf_free(app->leases);
    for (size_t i = 0; i < app->instance_count; i++) {
        mf_free(app->paths[i]);
        mf_free(app->items[i]);
    }
    mf_free(app->paths);
    mf_free(app->items);
    mf_free(app->inputs);
    mf_free(app->records);
    mf_free(app->commands);
}
