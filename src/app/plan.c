/* plan.c - the graph as the arrays that the core decides over: names become numbers, defaults are already merged */
#include "app/app_private.h"

#include "base/alloc.h"

#include <string.h>
#include <unistd.h>

static uint32_t classes_of(uint32_t retry_on)
{
    static const enum core_class class_of[] = {
#define X(class, name) [GRAPH_CLASS_##class] = CORE_CLASS_##class,
        GRAPH_CLASSES(X)
#undef X
    };
    uint32_t classes = 0;
    for (uint32_t i = 0; i < sizeof class_of / sizeof class_of[0]; i++)
        if ((retry_on & (1u << i)) != 0)
            classes |= 1u << class_of[i];
    return classes;
}

static void fill_tasks(const struct graph *graph, struct core_task *tasks)
{
    const struct graph_task *from = graph_tasks(graph);
    for (uint32_t i = 0; i < graph_task_count(graph); i++)
        tasks[i] = (struct core_task){.edge_first = from[i].edge_first,
                                      .edge_count = from[i].edge_count,
                                      .slot_first = from[i].slot_first,
                                      .slot_count = from[i].slot_count,
                                      .profile = from[i].profile,
                                      .template = from[i].for_each,
                                      .prepare = from[i].prepare || from[i].continue_workspace,
                                      .verify = from[i].verify,
                                      .allow_failure = from[i].allow_failure,
                                      .stop_on_violation = from[i].stop_on_violation};
}

static void fill_edges(const struct graph *graph, struct core_edge *edges)
{
    static const uint8_t on_of[] = {
        [GRAPH_ON_SUCCEEDED] = CORE_ON_SUCCEEDED, [GRAPH_ON_FAILED] = CORE_ON_FAILED, [GRAPH_ON_ENDED] = CORE_ON_ENDED};
    const struct graph_edge *from = graph_edges(graph);
    for (uint32_t i = 0; i < graph_edge_count(graph); i++)
        edges[i] = (struct core_edge){
            .from = from[i].from, .at_least = from[i].at_least, .on = on_of[from[i].on], .percent = from[i].percent};
}

static void fill_slots(const struct graph *graph, struct core_slot *slots)
{
    const struct graph_slot *from = graph_slots(graph);
    for (uint32_t i = 0; i < graph_slot_count(graph); i++)
        slots[i] = (struct core_slot){.provider = from[i].provider,
                                      .lender = from[i].lender == GRAPH_NONE ? CORE_NONE : from[i].lender,
                                      .lender_slot = from[i].lender_slot,
                                      .keep_on_success = from[i].keep_on_success};
}

/* The runner bounds the setup by itself; the core's own bound also covers copying and cloning. */
#define PREPARE_EXTRA_MS 600000

static void fill_profiles(const struct graph *graph, struct core_profile *profiles)
{
    const struct graph_profile *from = graph_profiles(graph);
    for (uint32_t i = 0; i < graph_profile_count(graph); i++)
        profiles[i] = (struct core_profile){.timeout_ms = from[i].timeout_ms,
                                            .prepare_timeout_ms = from[i].setup_timeout_ms + PREPARE_EXTRA_MS,
                                            .verify_timeout_ms = from[i].verify_timeout_ms,
                                            .grace_ms = from[i].grace_ms,
                                            .attempts_max = from[i].attempts_max,
                                            .retry_on = classes_of(from[i].retry_on)};
}

struct core_provider app_core_provider(const struct recipe_info *info)
{
    bool credential = info->kind == RECIPE_KIND_CREDENTIAL;
    return (struct core_provider){
        .can_find = info->has[RECIPE_FIND],
        .can_check = info->has[RECIPE_CHECK],
        .can_revoke = info->has[RECIPE_REVOKE] && !credential, /* a credential's delete is its revoke */
        .can_delete = info->has[RECIPE_DELETE] || (credential && info->has[RECIPE_REVOKE]),
        .lifetime_ms = info->lifetime_ms,
        .consistency_ms = info->consistency_ms,
        .creating_max = info->creating_max,
        .deleting_max = info->deleting_max,
        .creates_per_minute = info->creates_per_minute,
    };
}

static uint32_t running_max(const struct app *app)
{
    if (app->options.running > 0)
        return app->options.running;
    return graph_limits(app->graph)->running_max;
}

int app_build_core_graph(struct app *app, struct mf_error *error)
{
    const struct graph *graph = app->graph;
    uint32_t tasks = graph_task_count(graph), edges = graph_edge_count(graph), slots = graph_slot_count(graph),
             profiles = graph_profile_count(graph);
    struct core_task *task_array = mf_calloc(tasks, sizeof *task_array);
    struct core_edge *edge_array = mf_calloc(edges, sizeof *edge_array);
    struct core_slot *slot_array = mf_calloc(slots, sizeof *slot_array);
    struct core_profile *profile_array = mf_calloc(profiles, sizeof *profile_array);
    struct core_provider *provider_array = mf_calloc(app->provider_count, sizeof *provider_array);
    app->core_graph = (struct core_graph){task_array, tasks,         edge_array, edges,          slot_array,
                                          slots,      profile_array, profiles,   provider_array, app->provider_count};
    if (task_array == NULL || edge_array == NULL || slot_array == NULL || profile_array == NULL ||
        provider_array == NULL)
        return mf_fail(error, MF_MEMORY, "graph: no memory for %u tasks", tasks);
    fill_tasks(graph, task_array);
    fill_edges(graph, edge_array);
    fill_slots(graph, slot_array);
    fill_profiles(graph, profile_array);
    for (uint32_t i = 0; i < app->provider_count; i++)
        provider_array[i] = app_core_provider(recipe_info(app->providers[i].recipe));
    app->limits = core_limits_default;
    app->limits.running_max = running_max(app);
    app->limits.strict_teardown = app->options.strict_teardown;
    app->limits.accounts_max = graph_limits(graph)->accounts_max;
    app->limits.run_timeout_ms =
        app->options.run_timeout_ms > 0 ? app->options.run_timeout_ms : graph_limits(graph)->run_timeout_ms;
    return 0;
}

void app_free_core_graph(struct app *app)
{
    mf_free((void *)(uintptr_t)app->core_graph.tasks);
    mf_free((void *)(uintptr_t)app->core_graph.edges);
    mf_free((void *)(uintptr_t)app->core_graph.slots);
    mf_free((void *)(uintptr_t)app->core_graph.profiles);
    mf_free((void *)(uintptr_t)app->core_graph.providers);
    app->core_graph = (struct core_graph){0};
}
