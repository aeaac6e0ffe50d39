/* edges.c - the names of tasks and what they need from each other */
#include "document/load.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* Suggestions stop after so many comparisons: a large graph full of slips must not take minutes. */
#define NEAR_NAMES_MAX 3000000

/* First words of template paths: a task of that name could not be told apart. */
static bool is_reserved(struct mf_span name)
{
    static const char *const roots[] = {
#define X(root, text) text,
        TEMPLATE_ROOTS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        if (mf_span_is(name, roots[i]) && i != TEMPLATE_RESULT)
            return true;
    }
    return false;
}

static int make_names(struct graph *graph, uint32_t tasks)
{
    size_t slots = 16;
    while (slots < 2 * (size_t)tasks)
        slots *= 2;
    graph->names = mf_calloc(slots, sizeof *graph->names);
    graph->tasks = mf_calloc(tasks, sizeof *graph->tasks);
    graph->task_capacity = tasks;
    graph->names_mask = slots - 1;
    return graph->names != NULL && graph->tasks != NULL ? 0 : -1;
}

/* The slot that holds a name or the free one where it belongs. */
static struct graph_name_slot *name_slot(const struct graph *graph, struct mf_span name, uint32_t *hash_out)
{
    uint64_t hash = mf_hash(name.data, name.length, graph->hash_seed);
    size_t at = (size_t)hash & graph->names_mask;
    *hash_out = (uint32_t)(hash >> 32);
    while (graph->names[at].task != 0 &&
           (graph->names[at].hash != *hash_out || !mf_span_equal(graph->tasks[graph->names[at].task - 1].name, name)))
        at = (at + 1) & graph->names_mask;
    return &graph->names[at];
}

uint32_t graph_find(const struct graph *graph, struct mf_span name)
{
    uint32_t hash;
    if (graph->names == NULL)
        return GRAPH_NONE;
    const struct graph_name_slot *slot = name_slot(graph, name, &hash);
    return slot->task > 0 ? slot->task - 1 : GRAPH_NONE;
}

static void add_name(struct loader *loader, uint32_t key)
{
    struct graph *graph = loader->graph;
    struct mf_span name;
    if (!load_id(loader, key, "task id", &name))
        return;
    if (is_reserved(name)) {
        load_fail(loader, key, "`%.*s` has a meaning in templates and cannot name a task", MF_SPAN_ARGS(name));
        return;
    }
    uint32_t hash;
    struct graph_name_slot *slot = name_slot(graph, name, &hash); /* the scanner has refused what stands twice */
    graph->tasks[graph->task_count++] = (struct graph_task){.name = name, .node = json_value(loader->document, key)};
    *slot = (struct graph_name_slot){hash, (uint32_t)graph->task_count};
}

void load_names(struct loader *loader)
{
    const struct json_document *document = loader->document;
    uint32_t tasks = document->nodes[loader->tasks].children;
    loader->near_left = NEAR_NAMES_MAX;
    loader->seen_in = mf_calloc(tasks, sizeof *loader->seen_in);
    if (make_names(loader->graph, tasks) != 0 || loader->seen_in == NULL) {
        loader->no_memory = true;
        return;
    }
    for (uint32_t key = json_first(document, loader->tasks); key != JSON_NONE;
         key = json_next(document, loader->tasks, key))
        add_name(loader, key);
}

/* The nearest task name as a hint, as long as the budget lasts. */
static const char *hint_task(struct loader *loader, struct mf_span wanted, char room[LOAD_HINT_BYTES])
{
    const struct graph *graph = loader->graph;
    unsigned max = wanted.length < 6 ? 1 : wanted.length < 9 ? 2 : 3;
    const struct graph_task *best = NULL;
    room[0] = '\0';
    if (diagnostics_full(loader->diagnostics) || loader->near_left < graph->task_count)
        return room;
    loader->near_left -= graph->task_count;
    for (size_t i = 0; i < graph->task_count && max > 0; i++) {
        unsigned distance = mf_edit_distance(wanted, graph->tasks[i].name, max);
        if (distance <= max) {
            best = &graph->tasks[i];
            max = distance - (distance > 0);
        }
    }
    if (best != NULL)
        snprintf(room, LOAD_HINT_BYTES, "did you mean `%.*s`?", MF_SPAN_ARGS(best->name));
    return room;
}

uint32_t load_task_of(struct loader *loader, uint32_t node, struct mf_span name)
{
    uint32_t task = graph_find(loader->graph, name);
    char room[LOAD_HINT_BYTES];
    if (task == GRAPH_NONE)
        load_fail_hint(loader, node, hint_task(loader, name, room), "no task `%.*s`",
                       (int)(name.length < 80 ? name.length : 80), name.data);
    return task;
}

/* --- needs --- */

static void read_need_task(struct loader *loader, uint32_t node, void *target)
{
    struct mf_span name;
    struct graph_edge *edge = target;
    if (load_without_template(loader, node) && load_name(loader, node, &name))
        edge->from = load_task_of(loader, node, name);
}

static void read_need_on(struct loader *loader, uint32_t node, void *target)
{
    static const char *const names[] = {
#define X(on, name) [GRAPH_ON_##on] = name,
        GRAPH_ONS(X)
#undef X
    };
    uint32_t choice;
    if (load_choice(loader, node, names, sizeof names / sizeof names[0], &choice))
        ((struct graph_edge *)target)->on = (uint8_t)choice;
}

static void read_at_least(struct loader *loader, uint32_t node, void *target)
{
    struct graph_edge *edge = target;
    struct mf_span text;
    uint64_t percent;
    if (json_kind(loader->document, node) == JSON_NUMBER) {
        load_count(loader, node, 1, LOAD_FOR_EACH_MAX, &edge->at_least);
        return;
    }
    if (json_plain(loader->document, node, &text) != 0 || !mf_span_ends(text, "%") ||
        mf_parse_u64((struct mf_span){text.data, text.length - 1}, &percent) != 0 || percent < 1 || percent > 100) {
        load_fail(loader, node, "expected a whole number from 1 on, or a percentage from \"1%%\" to \"100%%\"");
        return;
    }
    edge->at_least = (uint32_t)percent;
    edge->percent = true;
}

static bool read_need(struct loader *loader, uint32_t node, struct graph_edge *edge)
{
    static const struct load_field fields[] = {
        {"task", read_need_task}, {"on", read_need_on}, {"at_least", read_at_least}};
    if (json_kind(loader->document, node) == JSON_STRING) {
        read_need_task(loader, node, edge);
        return edge->from != GRAPH_NONE;
    }
    if (json_kind(loader->document, node) != JSON_OBJECT) {
        load_fail(loader, node, "expected a task id, or {\"task\": ID, \"on\": ..., \"at_least\": ...}");
        return false;
    }
    if (LOAD_OBJECT(loader, node, fields, edge) && json_member(loader->document, node, "task") == JSON_NONE)
        load_fail(loader, node, "`task` is missing");
    return edge->from != GRAPH_NONE;
}

/* Whether the task is a template is asked of its object: it may stand further down and not be read yet. */
static void check_need(struct loader *loader, uint32_t node, const struct graph_edge *edge, uint32_t task)
{
    const struct graph_task *from = &loader->graph->tasks[edge->from];
    if (edge->from == task)
        load_fail(loader, node, "task `%.*s` needs itself", MF_SPAN_ARGS(from->name));
    else if (loader->seen_in[edge->from] == loader->stamp)
        load_fail(loader, node, "task `%.*s` is needed twice", MF_SPAN_ARGS(from->name));
    else if ((edge->percent || edge->at_least > 1) &&
             json_member(loader->document, from->node, "for_each") == JSON_NONE)
        load_fail(loader, node, "task `%.*s` has no for_each: there is only one of it, so `at_least` can only be 1",
                  MF_SPAN_ARGS(from->name));
    loader->seen_in[edge->from] = loader->stamp;
}

void load_needs(struct loader *loader, uint32_t node, uint32_t task)
{
    struct graph *graph = loader->graph;
    const struct json_document *document = loader->document;
    if (!load_expect(loader, node, JSON_ARRAY))
        return;
    void *edges = graph->edges;
    size_t needed = graph->edge_count + document->nodes[node].children;
    if (!load_grow(loader, &edges, &graph->edge_capacity, needed, sizeof *graph->edges))
        return;
    graph->edges = edges;
    loader->stamp++;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        struct graph_edge edge = {.from = GRAPH_NONE};
        if (!read_need(loader, child, &edge))
            continue;
        check_need(loader, child, &edge, task);
        if (edge.from != task)
            graph->edges[graph->edge_count++] = edge;
    }
    graph->tasks[task].edge_count = (uint32_t)(graph->edge_count - graph->tasks[task].edge_first);
}
