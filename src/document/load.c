/*
 * load.c - a task graph from JSON
 *
 * The scanner makes the table; the top is read, then the names of all tasks, then each task; what needs several tasks
 * at once (order, loans, templates) comes last. Every step goes on after an error, so that all mistakes are reported
 * together.
 */
#include "document/load.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

static void set_defaults(struct loader *loader)
{
    loader->profile = (struct graph_profile){
        .timeout_ms = GRAPH_TIMEOUT_MS,
        .setup_timeout_ms = GRAPH_SETUP_TIMEOUT_MS,
        .verify_timeout_ms = GRAPH_VERIFY_TIMEOUT_MS,
        .grace_ms = GRAPH_GRACE_MS,
        .attempts_max = GRAPH_ATTEMPTS,
        .retry_on =
            1u << GRAPH_CLASS_AGENT | 1u << GRAPH_CLASS_VERIFY | 1u << GRAPH_CLASS_TIMEOUT | 1u << GRAPH_CLASS_SETUP,
    };
    loader->graph->limits = (struct graph_limits){
        .running_max = GRAPH_RUNNING,
        .outputs_bytes_max = GRAPH_OUTPUTS_BYTES_MAX,
        .outputs_files_max = GRAPH_OUTPUTS_FILES_MAX,
        .files_bytes_max = GRAPH_FILES_BYTES_MAX,
        .for_each_max = GRAPH_FOR_EACH_MAX,
    };
}

/* A text that is no JSON gives one diagnostic: behind it nothing can be trusted. */
static int scan(struct loader *loader, struct mf_error *error)
{
    const struct json_limits limits = {
        .depth_max = 32,
        .text_bytes_max = GRAPH_TEXT_BYTES_MAX,
        .string_bytes_max = 1u << 20,
        .nodes_max = UINT32_MAX,
        .comments = loader->options->comments,
    };
    struct graph *graph = loader->graph;
    struct json_failure failure;
    if (json_scan(&graph->document, graph_text(graph), &limits, &failure) == 0)
        return 0;
    if (failure.code == MF_MEMORY)
        return mf_fail(error, MF_MEMORY, "no memory");
    const struct diagnostic_place place = {.text = graph_text(graph), .offset = failure.offset};
    if (diagnostics_add(loader->diagnostics, DIAGNOSTIC_ERROR, &place, "%s", failure.reason) != 0)
        return mf_fail(error, MF_MEMORY, "no memory");
    return diagnostics_fail(loader->diagnostics, error);
}

void load_begin_walks(struct loader *loader)
{
    loader->walk_left = LOAD_WALK_EDGES_MAX;
    if (loader->seen_in == NULL)
        loader->seen_in = mf_calloc(loader->graph->task_count, sizeof *loader->seen_in);
    if (loader->seen_in == NULL)
        loader->no_memory = true;
}

static void load_all(struct loader *loader)
{
    load_top(loader);
    load_settings(loader);
    load_tasks(loader);
    if (loader->tasks == JSON_NONE || loader->no_memory)
        return;
    load_order(loader);
    load_settle_accounts(loader);
    load_settle_services(loader);
    load_begin_walks(loader);
    if (!loader->no_memory)
        load_check_templates(loader);
}

static int load(struct loader *loader, struct mf_error *error)
{
    if (scan(loader, error) != 0)
        return -1;
    struct graph *graph = loader->graph;
    graph->hash_seed = (uint64_t)(uintptr_t)graph->document.nodes;
    graph->has_brace_escapes = memmem(graph->text, graph->text_bytes, "\\u007", 5) != NULL;
    graph->has_templates = graph->has_brace_escapes || memmem(graph->text, graph->text_bytes, "{{", 2) != NULL;
    set_defaults(loader);
    load_all(loader);
    mf_free(loader->loans);
    mf_free(loader->seen_in);
    diagnostics_sort(loader->diagnostics);
    if (loader->no_memory)
        return mf_fail(error, MF_MEMORY, "no memory");
    if (diagnostics_errors(loader->diagnostics) > 0)
        return diagnostics_fail(loader->diagnostics, error);
    mf_assert(loader->ordered);
    return 0;
}

int graph_load(struct graph **out, struct mf_buf *text, const struct graph_options *options,
               struct diagnostics *diagnostics, struct mf_error *error)
{
    struct graph *graph = mf_calloc(1, sizeof *graph);
    struct loader *loader = mf_calloc(1, sizeof *loader);
    int result = -1;
    if (graph != NULL && loader != NULL) {
        graph->labels = graph->canaries = graph->default_sandbox = graph->default_egress = JSON_NONE;
        graph->budget_micro_usd = graph->default_budget_micro_usd = -1;
        graph->name = MF_SPAN("");
        graph->text_bytes = text->length;
        graph->text = mf_buf_take(text);
        *loader = (struct loader){
            .graph = graph,
            .document = &graph->document,
            .options = options,
            .diagnostics = diagnostics,
            .tasks = JSON_NONE,
            .provider = JSON_NONE,
            .default_provider = GRAPH_NONE,
        };
    }
    if (graph == NULL || loader == NULL || graph->text == NULL)
        mf_fail(error, MF_MEMORY, "no memory");
    else
        result = load(loader, error);
    mf_buf_free(text);
    mf_free(loader);
    if (result != 0)
        graph_destroy(graph);
    else
        *out = graph;
    return result;
}
