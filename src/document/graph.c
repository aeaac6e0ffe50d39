/* graph.c - reading a loaded graph */
#include "document/graph_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

static void free_text(const char *text)
{
    char *owned;
    memcpy(&owned, &text, sizeof owned);
    mf_free(owned);
}

static void free_source(const struct graph_provider *source)
{
    free_text(source->name);
    free_text(source->recipe);
    free_text(source->credential_source);
}

void graph_destroy(struct graph *graph)
{
    if (graph == NULL)
        return;
    for (size_t i = 0; i < graph->parameter_count; i++)
        mf_free(graph->parameters[i].owned);
    for (size_t i = 0; i < graph->provider_count; i++)
        free_source(&graph->providers[i]);
    for (size_t i = 0; i < graph->service_count; i++)
        free_source(&graph->services[i].source);
    mf_free(graph->parameters);
    mf_free(graph->providers);
    mf_free(graph->services);
    mf_free(graph->tasks);
    mf_free(graph->edges);
    mf_free(graph->slots);
    mf_free(graph->profiles);
    mf_free(graph->names);
    mf_free(graph->order);
    json_document_free(&graph->document);
    mf_free(graph->text);
    mf_free(graph);
}

struct mf_span graph_text(const struct graph *graph)
{
    return (struct mf_span){graph->text, graph->text_bytes};
}

const struct json_document *graph_document(const struct graph *graph)
{
    return &graph->document;
}

struct mf_span graph_name(const struct graph *graph)
{
    return graph->name;
}

uint32_t graph_canaries(const struct graph *graph)
{
    return graph->canaries;
}

uint32_t graph_labels(const struct graph *graph)
{
    return graph->labels;
}

bool graph_has_prepare(const struct graph *graph)
{
    return graph->has_prepare;
}

struct mf_span graph_parameter(const struct graph *graph, struct mf_span name)
{
    const struct graph_parameter *parameter = graph_find_parameter(graph, name);
    return parameter != NULL ? parameter->json : MF_SPAN("");
}

const struct graph_parameter *graph_find_parameter(const struct graph *graph, struct mf_span name)
{
    for (size_t i = 0; i < graph->parameter_count; i++) {
        if (mf_span_equal(graph->parameters[i].name, name))
            return &graph->parameters[i];
    }
    return NULL;
}

const struct graph_limits *graph_limits(const struct graph *graph)
{
    return &graph->limits;
}

uint32_t graph_provider_count(const struct graph *graph)
{
    return (uint32_t)graph->provider_count;
}

const struct graph_provider *graph_provider(const struct graph *graph, uint32_t provider)
{
    mf_assert(provider < graph->provider_count);
    return &graph->providers[provider];
}

uint32_t graph_task_count(const struct graph *graph)
{
    return (uint32_t)graph->task_count;
}

const struct graph_task *graph_tasks(const struct graph *graph)
{
    return graph->tasks;
}

uint32_t graph_edge_count(const struct graph *graph)
{
    return (uint32_t)graph->edge_count;
}

const struct graph_edge *graph_edges(const struct graph *graph)
{
    return graph->edges;
}

uint32_t graph_slot_count(const struct graph *graph)
{
    return (uint32_t)graph->slot_count;
}

const struct graph_slot *graph_slots(const struct graph *graph)
{
    return graph->slots;
}

uint32_t graph_profile_count(const struct graph *graph)
{
    return (uint32_t)graph->profile_count;
}

const struct graph_profile *graph_profiles(const struct graph *graph)
{
    return graph->profiles;
}

const uint32_t *graph_order(const struct graph *graph)
{
    return graph->order;
}

uint32_t graph_level_count(const struct graph *graph)
{
    return graph->level_count;
}

static uint32_t member(const struct graph *graph, uint32_t object, const char *name)
{
    return json_member(&graph->document, object, name);
}

static bool is_kind(const struct graph *graph, uint32_t node, enum json_kind kind)
{
    return node != JSON_NONE && json_kind(&graph->document, node) == kind;
}

uint32_t graph_part(const struct graph *graph, uint32_t task, enum graph_part part)
{
    static const char *const names[] = {
#define X(part, name) [GRAPH_PART_##part] = name,
        GRAPH_PARTS(X)
#undef X
    };
    mf_assert(task < graph->task_count);
    uint32_t object = graph->tasks[task].node;
    switch (part) {
    case GRAPH_PART_VERIFY_COMMAND:
    case GRAPH_PART_VERIFY_ENV:
    case GRAPH_PART_VERIFY_FILES:
    case GRAPH_PART_VERIFY_PERMISSIONS:
        return member(graph, member(graph, object, "verify"), names[part]);
    case GRAPH_PART_PROMPT_FILE:
        return member(graph, member(graph, object, "prompt"), names[part]);
    case GRAPH_PART_PROMPT:
    case GRAPH_PART_SETUP:
    case GRAPH_PART_COMMAND:
    case GRAPH_PART_ENV:
    case GRAPH_PART_PASS_ENV:
    case GRAPH_PART_FILES:
    case GRAPH_PART_COLLECT:
    case GRAPH_PART_LABELS:
    case GRAPH_PART_DESCRIPTION:
    case GRAPH_PART_FOR_EACH:
    case GRAPH_PART_KEY:
    case GRAPH_PART_COUNT:
    default:
        break;
    }
    uint32_t node = member(graph, object, names[part]);
    if (part == GRAPH_PART_SETUP && is_kind(graph, node, JSON_OBJECT))
        return member(graph, node, "command");
    if (part == GRAPH_PART_PROMPT && is_kind(graph, node, JSON_OBJECT))
        return JSON_NONE;
    return node;
}

/* A brace may also be spelt as an escape, which only decoding finds. */
static bool decoded_has_template(const struct graph *graph, uint32_t node)
{
    struct mf_buf text;
    mf_buf_init(&text, graph->document.nodes[node].length);
    bool decoded = json_text(&graph->document, node, &text) == 0;
    bool found = !decoded || memmem(mf_buf_cstr(&text), text.length, "{{", 2) != NULL; /* without memory: look closer */
    mf_buf_free(&text);
    return found;
}

bool graph_has_template(const struct graph *graph, uint32_t node)
{
    struct mf_span raw = json_raw(&graph->document, node);
    if (!graph->has_templates || raw.length < 4)
        return false;
    if (graph->document.nodes[node].kind == JSON_STRING)
        return graph->document.nodes[node].escaped ? decoded_has_template(graph, node)
                                                   : memmem(raw.data, raw.length, "{{", 2) != NULL;
    return memmem(raw.data, raw.length, "{{", 2) != NULL ||
           (graph->has_brace_escapes && memmem(raw.data, raw.length, "\\u007", 5) != NULL);
}
