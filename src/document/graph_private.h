/* document/graph_private.h - what a graph is made of (private to document/) */
#ifndef MF_DOCUMENT_GRAPH_PRIVATE_H
#define MF_DOCUMENT_GRAPH_PRIVATE_H

#include "document/graph.h"

struct graph_parameter {
    struct mf_span name;
    struct mf_span json; /* the default in the file, or `owned` */
    char *owned;         /* owned; the value of --set as JSON, else NULL */
};

struct graph_name_slot { /* of the hash table from names to tasks */
    uint32_t hash;
    uint32_t task; /* + 1; 0: free */
};

struct graph {
    char *text; /* owned */
    size_t text_bytes;
    struct json_document document;
    struct mf_span name;
    uint32_t labels;
    uint32_t canaries; /* node or JSON_NONE */
    bool has_prepare;
    bool has_templates; /* "{{" stands somewhere in the text, or may be spelt with escapes */
    bool has_brace_escapes;
    struct graph_limits limits;
    uint64_t hash_seed;

    struct graph_parameter *parameters; /* owned */
    size_t parameter_count, parameter_capacity;
    struct graph_provider *providers; /* owned, with their texts */
    size_t provider_count, provider_capacity;
    struct graph_service *services; /* owned, with their texts */
    size_t service_count, service_capacity;
    int64_t budget_micro_usd, default_budget_micro_usd; /* -1: none */
    uint32_t default_sandbox, default_egress;           /* nodes of `defaults` or JSON_NONE */
    struct graph_task *tasks; /* owned */
    size_t task_count, task_capacity;
    struct graph_edge *edges; /* owned */
    size_t edge_count, edge_capacity;
    struct graph_slot *slots; /* owned */
    size_t slot_count, slot_capacity;
    struct graph_profile *profiles; /* owned */
    size_t profile_count, profile_capacity;
    struct graph_name_slot *names; /* owned; names_mask + 1 slots */
    size_t names_mask;
    uint32_t *order; /* owned */
    uint32_t level_count;
};

/* "{{" stands in the raw text of a node. */
bool graph_has_template(const struct graph *graph, uint32_t node);
const struct graph_parameter *graph_find_parameter(const struct graph *graph, struct mf_span name);

#endif
