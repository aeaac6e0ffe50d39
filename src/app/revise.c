/*
 * revise.c - a changed graph for an existing run: what may change, and its text in the order of the run
 *
 * The journal names tasks by their place in the run's first graph, and what it says of accounts is said of slots. So a new graph may
 * have its tasks in any order and other commands, files, edges, limits and permissions, but must have the same tasks with the same
 * kinds of accounts. Everything else is refused by name before anything is sent.
 */
#include "app/app.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

static struct mf_span name_of(const struct graph *graph, uint32_t task)
{
    return task != GRAPH_NONE ? graph_tasks(graph)[task].name : (struct mf_span){"", 0};
}

static int fail_for(struct mf_error *error, struct mf_span task, const char *what)
{
    return mf_fail(error, MF_INPUT, "task `%.*s`: %s: that needs a run of its own (mayfly run)", (int)task.length,
                   task.data, what);
}

static int check_slots(const struct graph *old, uint32_t task, const struct graph *graph, uint32_t other,
                       struct mf_error *error)
{
    const struct graph_task *was = &graph_tasks(old)[task], *is = &graph_tasks(graph)[other];
    if (was->slot_count != is->slot_count)
        return fail_for(error, was->name, "it has another number of accounts than in the run");
    for (uint32_t s = 0; s < was->slot_count; s++) {
        const struct graph_slot *a = &graph_slots(old)[was->slot_first + s],
                                *b = &graph_slots(graph)[is->slot_first + s];
        struct mf_span lender = name_of(old, a->lender);
        bool same = strcmp(graph_provider(old, a->provider)->name, graph_provider(graph, b->provider)->name) == 0 &&
                    (a->lender == GRAPH_NONE) == (b->lender == GRAPH_NONE) && a->lender_slot == b->lender_slot &&
                    mf_span_equal(lender, name_of(graph, b->lender));
        if (!same)
            return fail_for(error, was->name, "an account has another provider or lender than in the run");
    }
    return 0;
}

static int check_providers(const struct graph *old, const struct graph *graph, struct mf_error *error)
{
    bool same = graph_provider_count(old) == graph_provider_count(graph) &&
                graph_service_count(old) == graph_service_count(graph);
    for (uint32_t p = 0; same && p < graph_provider_count(old); p++)
        same = strcmp(graph_provider(old, p)->name, graph_provider(graph, p)->name) == 0;
    for (uint32_t s = 0; same && s < graph_service_count(old); s++)
        same = strcmp(graph_service(old, s)->source.name, graph_service(graph, s)->source.name) == 0;
    return same ? 0
                : mf_fail(error, MF_INPUT,
                          "the graph's providers and services must be those of the run, in their order: others need a "
                          "run of their own "
                          "(mayfly run)");
}

int app_revise_check(const struct graph *old, const struct graph *graph, struct mf_error *error)
{
    for (uint32_t task = 0; task < graph_task_count(graph); task++)
        if (graph_find(old, graph_tasks(graph)[task].name) == GRAPH_NONE)
            return fail_for(error, graph_tasks(graph)[task].name, "the run has no such task");
    for (uint32_t task = 0; task < graph_task_count(old); task++) {
        struct mf_span name = graph_tasks(old)[task].name;
        uint32_t other = graph_find(graph, name);
        if (other == GRAPH_NONE)
            return fail_for(error, name, "the graph has it no more");
        if (graph_tasks(old)[task].for_each != graph_tasks(graph)[other].for_each)
            return fail_for(error, name, "it has `for_each` in one of both only");
        if (check_slots(old, task, graph, other, error) != 0)
            return -1;
    }
    return check_providers(old, graph, error);
}

static void append_raw(struct mf_buf *out, const struct json_document *document, uint32_t key)
{
    mf_buf_span(out, json_raw(document, key));
    mf_buf_text(out, ": ");
    mf_buf_span(out, json_raw(document, json_value(document, key)));
}

int app_revise_text(const struct graph *old, const struct graph *graph, struct mf_buf *out, struct mf_error *error)
{
    const struct json_document *document = graph_document(graph);
    const char *comma = "";
    mf_buf_text(out, "{");
    for (uint32_t key = json_first(document, 0); key != JSON_NONE; key = json_next(document, 0, key)) {
        mf_buf_printf(out, "%s\n  ", comma);
        comma = ",";
        if (!json_is(document, key, "tasks")) {
            append_raw(out, document, key);
            continue;
        }
        mf_buf_text(out, "\"tasks\": {");
        for (uint32_t task = 0; task < graph_task_count(old); task++) {
            uint32_t other = graph_find(graph, graph_tasks(old)[task].name);
            mf_buf_text(out, task > 0 ? ",\n    " : "\n    ");
            append_raw(out, document, graph_tasks(graph)[other].node - 1); /* a key stands before its value */
        }
        mf_buf_text(out, " }");
    }
    mf_buf_text(out, " }\n");
    return out->failed ? mf_fail(error, MF_LIMIT, "the graph does not fit") : 0;
}
