/*
 * order.c - topological order, levels, cycles, ancestors
 *
 * Kahn's algorithm over the edges turned round. What it leaves over stands on a cycle or behind one: walking from there
 * to needs that are left over as well always ends in a cycle, which is then printed as a whole.
 */
#include "document/load.h"

#include "base/alloc.h"

#include <string.h>

/* A cycle is printed whole up to here; of a longer one the first and the last tasks are. */
#define CYCLE_SHOWN_MAX 60
#define CYCLES_SHOWN_MAX 10

struct ordering {
    uint32_t *first;   /* by task: where its dependents start; one more at the end */
    uint32_t *targets; /* dependents */
    uint32_t *open;    /* by task: needs that are not placed yet */
    uint32_t *queue;
    uint32_t placed;
};

static int make_ordering(struct ordering *ordering, const struct graph *graph)
{
    ordering->first = mf_calloc(graph->task_count + 1, sizeof *ordering->first);
    ordering->targets = mf_calloc(graph->edge_count, sizeof *ordering->targets);
    ordering->open = mf_calloc(graph->task_count, sizeof *ordering->open);
    ordering->queue = mf_calloc(graph->task_count, sizeof *ordering->queue);
    return ordering->first != NULL && ordering->targets != NULL && ordering->open != NULL && ordering->queue != NULL
               ? 0
               : -1;
}

static void free_ordering(struct ordering *ordering)
{
    mf_free(ordering->first);
    mf_free(ordering->targets);
    mf_free(ordering->open);
    mf_free(ordering->queue);
}

/* Groups the dependents by what they need: counts, sums, then fills each group from its end. */
static void turn_edges(struct ordering *ordering, const struct graph *graph)
{
    for (size_t i = 0; i < graph->edge_count; i++)
        ordering->first[graph->edges[i].from]++;
    uint32_t sum = 0;
    for (size_t i = 0; i <= graph->task_count; i++) {
        sum += i < graph->task_count ? ordering->first[i] : 0;
        ordering->first[i] = sum;
    }
    for (size_t task = graph->task_count; task-- > 0;) {
        const struct graph_edge *edges = graph->edges + graph->tasks[task].edge_first;
        ordering->open[task] = graph->tasks[task].edge_count;
        for (uint32_t i = 0; i < graph->tasks[task].edge_count; i++)
            ordering->targets[--ordering->first[edges[i].from]] = (uint32_t)task;
    }
}

static void place_all(struct ordering *ordering, struct graph *graph)
{
    for (size_t i = 0; i < graph->task_count; i++) {
        if (ordering->open[i] == 0)
            ordering->queue[ordering->placed++] = (uint32_t)i;
    }
    for (uint32_t at = 0; at < ordering->placed; at++) {
        uint32_t task = ordering->queue[at];
        uint32_t level = graph->tasks[task].level + 1;
        for (uint32_t i = ordering->first[task]; i < ordering->first[task + 1]; i++) {
            uint32_t target = ordering->targets[i];
            if (graph->tasks[target].level < level)
                graph->tasks[target].level = level;
            if (--ordering->open[target] == 0)
                ordering->queue[ordering->placed++] = target;
        }
    }
}

/* By level, then by place in the file. `first` is taken over as the room for the counts. */
static int sort_by_level(struct ordering *ordering, struct graph *graph)
{
    graph->order = mf_calloc(graph->task_count, sizeof *graph->order);
    if (graph->order == NULL)
        return -1;
    uint32_t *start = ordering->first;
    memset(start, 0, (graph->task_count + 1) * sizeof *start);
    for (size_t i = 0; i < graph->task_count; i++) {
        start[graph->tasks[i].level + 1]++;
        if (graph->tasks[i].level >= graph->level_count)
            graph->level_count = graph->tasks[i].level + 1;
    }
    for (uint32_t level = 1; level <= graph->level_count; level++)
        start[level] += start[level - 1];
    for (size_t i = 0; i < graph->task_count; i++)
        graph->order[start[graph->tasks[i].level]++] = (uint32_t)i;
    return 0;
}

/* A need of a task that is left over too. */
static uint32_t left_over_need(const struct ordering *ordering, const struct graph *graph, uint32_t task)
{
    const struct graph_task *from = &graph->tasks[task];
    for (uint32_t i = 0; i < from->edge_count; i++) {
        uint32_t need = graph->edges[from->edge_first + i].from;
        if (ordering->open[need] > 0)
            return need;
    }
    return GRAPH_NONE;
}

static void append_task(struct mf_buf *text, const struct graph *graph, uint32_t task)
{
    mf_buf_printf(text, "%.*s", MF_SPAN_ARGS(graph->tasks[task].name));
}

/* Reports the cycle through `start`, first task in the file first. */
static void report_cycle(struct loader *loader, const struct ordering *ordering, uint32_t start)
{
    const struct graph *graph = loader->graph;
    uint32_t first = start;
    uint32_t length = 1;
    for (uint32_t at = left_over_need(ordering, graph, start); at != start; at = left_over_need(ordering, graph, at)) {
        first = at < first ? at : first;
        length++;
    }
    struct mf_buf text;
    mf_buf_init(&text, 70 * (CYCLE_SHOWN_MAX + 4));
    uint32_t at = first;
    for (uint32_t i = 0; i < length; i++, at = left_over_need(ordering, graph, at)) {
        if (length > CYCLE_SHOWN_MAX && i == CYCLE_SHOWN_MAX / 2)
            mf_buf_printf(&text, "(%u more) -> ", length - CYCLE_SHOWN_MAX);
        if (length > CYCLE_SHOWN_MAX && i >= CYCLE_SHOWN_MAX / 2 && i < length - CYCLE_SHOWN_MAX / 2)
            continue;
        append_task(&text, graph, at);
        mf_buf_text(&text, " -> ");
    }
    append_task(&text, graph, first);
    uint32_t needs = json_member(loader->document, graph->tasks[first].node, "needs");
    load_fail(loader, needs, "cycle, each task needs the next: %s", mf_buf_cstr(&text));
    loader->no_memory |= text.failed;
    mf_buf_free(&text);
}

/* Walks from every task that is left over until it meets a task of an earlier walk or closes a cycle. */
static void report_cycles(struct loader *loader, struct ordering *ordering)
{
    const struct graph *graph = loader->graph;
    uint32_t *walk = ordering->queue; /* by task: the walk that met it, + 1 */
    memset(walk, 0, graph->task_count * sizeof *walk);
    uint32_t reported = 0;
    for (uint32_t i = 0; i < graph->task_count && reported < CYCLES_SHOWN_MAX; i++) {
        uint32_t at = i;
        if (ordering->open[i] == 0)
            continue;
        while (walk[at] == 0) {
            walk[at] = i + 1;
            at = left_over_need(ordering, graph, at);
        }
        if (walk[at] == i + 1) {
            report_cycle(loader, ordering, at);
            reported++;
        }
    }
}

void load_order(struct loader *loader)
{
    struct graph *graph = loader->graph;
    struct ordering ordering = {0};
    if (make_ordering(&ordering, graph) != 0) {
        loader->no_memory = true;
    } else {
        turn_edges(&ordering, graph);
        place_all(&ordering, graph);
        if (ordering.placed < graph->task_count)
            report_cycles(loader, &ordering);
        else if (sort_by_level(&ordering, graph) != 0)
            loader->no_memory = true;
        else
            loader->ordered = true;
    }
    free_ordering(&ordering);
}

static bool needs_directly(const struct graph *graph, uint32_t task, uint32_t other)
{
    const struct graph_edge *edges = graph->edges + graph->tasks[task].edge_first;
    for (uint32_t i = 0; i < graph->tasks[task].edge_count; i++) {
        if (edges[i].from == other)
            return true;
    }
    return false;
}

/* Up from `task`, never below the level of `other`. seen_in marks what this walk has met, stack holds what is to be
 * done. */
static bool walk_up(struct loader *loader, uint32_t task, uint32_t other, uint32_t *stack, uint32_t stamp)
{
    const struct graph *graph = loader->graph;
    uint32_t depth = 0;
    stack[depth++] = task;
    while (depth > 0) {
        const struct graph_task *at = &graph->tasks[stack[--depth]];
        if (loader->walk_left < at->edge_count)
            return false;
        loader->walk_left -= at->edge_count;
        for (uint32_t i = 0; i < at->edge_count; i++) {
            uint32_t need = graph->edges[at->edge_first + i].from;
            if (need == other)
                return true;
            if (loader->seen_in[need] != stamp && graph->tasks[need].level > graph->tasks[other].level) {
                loader->seen_in[need] = stamp;
                stack[depth++] = need;
            }
        }
    }
    return false;
}

bool load_is_ancestor(struct loader *loader, uint32_t task, uint32_t other, bool *too_far)
{
    *too_far = loader->walk_left < loader->graph->tasks[task].edge_count;
    if (*too_far)
        return false;
    loader->walk_left -= loader->graph->tasks[task].edge_count;
    if (needs_directly(loader->graph, task, other))
        return true;
    if (loader->graph->tasks[other].level >= loader->graph->tasks[task].level)
        return false;
    uint32_t *stack = mf_alloc((loader->graph->task_count + 1) * sizeof *stack);
    if (stack == NULL) {
        loader->no_memory = true;
        return true;
    }
    bool found = walk_up(loader, task, other, stack, ++loader->stamp);
    mf_free(stack);
    *too_far = !found && loader->walk_left < loader->graph->edge_count;
    return found;
}
