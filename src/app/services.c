/*
 * services.c - the services of a run: upstreams whose key the operator owns, used by agents through the gateway
 *
 * Opened like providers: recipe, address, inputs, credential; those that no task uses are left alone. What may be spent must be
 * countable: a money limit on a service that does not say what it used, or has no prices, ends the run before it begins.
 */
#include "app/app_private.h"

#include "base/alloc.h"

static bool task_has_budget(const struct graph *graph, uint32_t service, struct mf_span *task)
{
    for (uint32_t t = 0; t < graph_task_count(graph); t++) {
        if (graph_task_budget_micro_usd(graph, t) < 0)
            continue;
        for (uint32_t u = 0; u < graph_use_count(graph, t); u++)
            if (graph_use(graph, t, u) == service) {
                *task = graph_tasks(graph)[t].name;
                return true;
            }
    }
    return false;
}

int app_check_budget(const struct graph *graph, uint32_t index, const struct recipe *recipe, struct mf_error *error)
{
    const struct graph_service *service = graph_service(graph, index);
    struct mf_span task;
    const char *missing = !recipe_has_usage(recipe) ? "does not say what a request used" : "has no prices";
    if (recipe_has_usage(recipe) && recipe_has_prices(recipe))
        return 0;
    if (service->budget_micro_usd >= 0)
        return mf_fail(error, MF_INPUT, "service `%s`: budget_usd cannot be kept: its recipe %s", service->source.name,
                       missing);
    if (graph_budget_micro_usd(graph) >= 0)
        return mf_fail(error, MF_INPUT, "limits.budget_usd cannot be kept: the recipe of service `%s` %s",
                       service->source.name, missing);
    if (task_has_budget(graph, index, &task))
        return mf_fail(error, MF_INPUT, "task `%.*s`: budget_usd cannot be kept: the recipe of service `%s` %s",
                       MF_SPAN_ARGS(task), service->source.name, missing);
    return 0;
}

int app_services_open(struct app *app, struct mf_error *error)
{
    uint32_t count = graph_service_count(app->graph);
    if (app->services == NULL)
        app->services = mf_calloc(count, sizeof *app->services);
    if (app->services == NULL)
        return mf_fail(error, MF_MEMORY, "services: no memory");
    app->service_count = count;
    for (uint32_t i = 0; i < count && app->options.mode != APP_TEARDOWN; i++) {
        const struct graph_service *declared = graph_service(app->graph, i);
        struct app_service *service = &app->services[i];
        service->app = app;
        service->used = declared->source.used;
        if (service->used && (app_source_open(app, &service->source, &declared->source, true, error) != 0 ||
                              app_check_budget(app->graph, i, service->source.recipe, error) != 0))
            return -1;
    }
    return usage_book_open(&app->usage, count) == 0 ? 0 : mf_fail(error, MF_MEMORY, "services: no memory");
}

void app_services_close(struct app *app)
{
    for (uint32_t i = 0; i < app->service_count; i++) {
        net_timer_destroy(app->services[i].again);
        app_provider_close(&app->services[i].source);
    }
    mf_free(app->services);
    app->services = NULL;
    app->service_count = 0;
    usage_book_close(&app->usage);
}
