/* services.c - services: upstreams whose key the operator owns, who may use them, and what that may cost */
#include "document/load.h"

#include "base/assert.h"

#include <assert.h>
#include <string.h>

#define USD_MAX 1000000000
#define USD_DIGITS 6 /* behind the point */

/* A service is read by the fields of a provider, too. */
static_assert(offsetof(struct graph_service, source) == 0, "a service starts with what it shares with a provider");

bool load_usd(struct loader *loader, uint32_t node, int64_t *out_micro_usd)
{
    return load_decimal(loader, node, USD_DIGITS, 0, INT64_C(1000000) * USD_MAX, out_micro_usd);
}

static uint32_t find_service(const struct graph *graph, struct mf_span name)
{
    for (size_t i = 0; i < graph->service_count; i++) {
        if (mf_span_is(name, graph->services[i].source.name))
            return (uint32_t)i;
    }
    return GRAPH_NONE;
}

static void read_running(struct loader *loader, uint32_t node, void *target)
{
    load_count(loader, node, 1, LOAD_RUNNING_MAX, &((struct graph_service *)target)->running_max);
}

static void read_budget(struct loader *loader, uint32_t node, void *target)
{
    load_usd(loader, node, &((struct graph_service *)target)->budget_micro_usd);
}

static struct graph_service *add_service(struct loader *loader, struct mf_span name)
{
    struct graph *graph = loader->graph;
    void *services = graph->services;
    if (!load_grow(loader, &services, &graph->service_capacity, graph->service_count + 1, sizeof *graph->services))
        return NULL;
    graph->services = services;
    struct graph_service *service = &graph->services[graph->service_count++];
    *service = (struct graph_service){.budget_micro_usd = -1};
    return load_source(loader, name, &service->source) ? service : NULL;
}

static void read_service(struct loader *loader, uint32_t key)
{
    static const struct load_field fields[] = {
        {"recipe", load_recipe},   {"inputs", load_inputs},     {"credential", load_credential},
        {"running", read_running}, {"budget_usd", read_budget}, {"description", load_description},
    };
    struct mf_span name;
    if (!load_id(loader, key, "service", &name))
        return;
    struct graph_service *service = add_service(loader, name);
    if (service == NULL)
        return;
    service->source.declared = true;
    LOAD_OBJECT(loader, json_value(loader->document, key), fields, service);
}

void load_services(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    const struct json_document *document = loader->document;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    if (document->nodes[node].children > LOAD_SERVICES_MAX) {
        load_fail(loader, node, "more than %d services", LOAD_SERVICES_MAX);
        return;
    }
    for (uint32_t key = json_first(document, node); key != JSON_NONE && !loader->no_memory;
         key = json_next(document, node, key))
        read_service(loader, key);
}

/* --- uses --- */

static void fail_unknown(struct loader *loader, uint32_t node, struct mf_span name)
{
    const struct graph *graph = loader->graph;
    const char *names[LOAD_SERVICES_MAX];
    char room[LOAD_HINT_BYTES];
    for (size_t i = 0; i < graph->service_count; i++)
        names[i] = graph->services[i].source.name;
    if (graph->service_count == 0)
        load_fail(loader, node, "no service `%.*s`: the graph declares none in `services`", MF_SPAN_ARGS(name));
    else
        load_fail_hint(loader, node, load_hint(room, name, names, graph->service_count), "no service `%.*s`",
                       MF_SPAN_ARGS(name));
}

void load_uses(struct loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    struct mf_span name;
    if (!load_expect(loader, node, JSON_ARRAY))
        return;
    if (document->nodes[node].children > LOAD_SERVICES_MAX) {
        load_fail(loader, node, "more than %d services", LOAD_SERVICES_MAX);
        return;
    }
    uint64_t seen = 0;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        if (!load_without_template(loader, child) || !load_id(loader, child, "service", &name))
            continue;
        uint32_t service = find_service(loader->graph, name);
        if (service == GRAPH_NONE) {
            fail_unknown(loader, child, name);
            continue;
        }
        if ((seen >> service & 1) != 0)
            load_fail(loader, child, "service `%.*s` stands twice", MF_SPAN_ARGS(name));
        seen |= UINT64_C(1) << service;
        loader->graph->services[service].source.used = true;
    }
}

/* One name, one credential: --credential and the records of requests know both kinds by name alone. */
void load_settle_services(struct loader *loader)
{
    const struct graph *graph = loader->graph;
    uint32_t services = json_member(loader->document, 0, "services");
    for (size_t i = 0; i < graph->service_count; i++) {
        const char *name = graph->services[i].source.name;
        for (size_t j = 0; j < graph->provider_count; j++) {
            if (strcmp(name, graph->providers[j].name) == 0)
                load_fail(loader, json_member(loader->document, services, name),
                          "`%s` is a provider, too: give the service another name and say \"recipe\"", name);
        }
    }
    if (graph->budget_micro_usd >= 0 && graph->service_count == 0)
        load_note(loader, json_member(loader->document, json_member(loader->document, 0, "limits"), "budget_usd"),
                  "there are no services: nothing is counted against this");
}

/* --- reading a loaded graph --- */

uint32_t graph_service_count(const struct graph *graph)
{
    return (uint32_t)graph->service_count;
}

const struct graph_service *graph_service(const struct graph *graph, uint32_t service)
{
    mf_assert(service < graph->service_count);
    return &graph->services[service];
}

int64_t graph_budget_micro_usd(const struct graph *graph)
{
    return graph->budget_micro_usd;
}

static uint32_t uses_of(const struct graph *graph, uint32_t task)
{
    return graph->service_count > 0 ? json_member(&graph->document, graph->tasks[task].node, "uses") : JSON_NONE;
}

uint32_t graph_use_count(const struct graph *graph, uint32_t task)
{
    uint32_t uses = uses_of(graph, task);
    return uses != JSON_NONE ? graph->document.nodes[uses].children : 0;
}

uint32_t graph_use(const struct graph *graph, uint32_t task, uint32_t index)
{
    struct mf_span name;
    uint32_t node = json_element(&graph->document, uses_of(graph, task), index);
    int plain = json_plain(&graph->document, node, &name);
    mf_assert(plain == 0);
    uint32_t service = find_service(graph, name);
    mf_assert(service != GRAPH_NONE);
    return service;
}

int64_t graph_task_budget_micro_usd(const struct graph *graph, uint32_t task)
{
    int64_t micro_usd = graph->default_budget_micro_usd;
    if (graph_use_count(graph, task) == 0)
        return -1;
    uint32_t node = json_member(&graph->document, graph->tasks[task].node, "budget_usd");
    if (node == JSON_NONE)
        return micro_usd;
    int parsed = load_parse_decimal(json_raw(&graph->document, node), USD_DIGITS, &micro_usd);
    mf_assert(parsed == 0);
    return micro_usd;
}
