/*
 * plan.c - mayfly plan: what a run would do, without sending anything
 *
 * Waves, critical path (by timeouts: the longest that the run may take on its longest way), accounts, permissions with who enforces
 * them, who sees which secret, and a forecast: proof of work and request budgets are what bounds a wide fan-out.
 */
#include "app/app.h"
#include "app/recipes.h"
#include "base/alloc.h"
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/plan_private.h"
#include "pow/pow.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Hashes of one proof where the documentation names them: Cloudflare's page shows k = 8,000 and g = 2,000 (seen in November 2026). */
#define PROOF_HASHES 16000000.0
/* Requests that one account takes from creation to read-back, for a request budget: create, token, revoke, delete, check, and a spare. */
#define REQUESTS_PER_ACCOUNT 6u

/* --- figures --- */

uint32_t plan_instances(const struct graph *graph, uint32_t task, bool *known)
{
    *known = true;
    if (!graph_tasks(graph)[task].for_each)
        return 1;
    const struct json_document *document = graph_document(graph);
    uint32_t list = graph_part(graph, task, GRAPH_PART_FOR_EACH);
    if (list != JSON_NONE && json_kind(document, list) == JSON_ARRAY)
        return document->nodes[list].children;
    *known = false;
    return 0;
}

static int64_t worst_ms(const struct graph *graph, uint32_t task)
{
    const struct graph_task *entry = &graph_tasks(graph)[task];
    const struct graph_profile *profile = &graph_profiles(graph)[entry->profile];
    bool setup = graph_part(graph, task, GRAPH_PART_SETUP) != JSON_NONE;
    return (profile->timeout_ms + (setup ? profile->setup_timeout_ms : 0) +
            (entry->verify ? profile->verify_timeout_ms : 0)) *
           profile->attempts_max;
}

static int critical_path(const struct graph *graph, struct plan *plan)
{
    uint32_t count = graph_task_count(graph);
    int64_t *longest = mf_calloc(count, sizeof *longest);
    uint32_t *before = mf_calloc(count, sizeof *before);
    if (longest == NULL || before == NULL) {
        mf_free(longest);
        mf_free(before);
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t task = graph_order(graph)[i];
        const struct graph_task *entry = &graph_tasks(graph)[task];
        before[task] = GRAPH_NONE;
        for (uint32_t e = 0; e < entry->edge_count; e++) {
            uint32_t from = graph_edges(graph)[entry->edge_first + e].from;
            if (longest[from] > longest[task] || before[task] == GRAPH_NONE) {
                longest[task] = longest[from] > longest[task] ? longest[from] : longest[task];
                before[task] = from;
            }
        }
        longest[task] += worst_ms(graph, task);
        if (longest[task] > plan->critical_ms) {
            plan->critical_ms = longest[task];
            plan->critical_last = task;
        }
    }
    mf_free(longest);
    plan->before = before;
    return 0;
}

static int open_recipes(const struct graph *graph, const char *base_dir, struct plan *plan, struct mf_error *error)
{
    plan->recipes = mf_calloc(graph_provider_count(graph), sizeof *plan->recipes);
    if (plan->recipes == NULL)
        return mf_fail(error, MF_MEMORY, "plan: no memory");
    for (uint32_t i = 0; i < graph_provider_count(graph); i++)
        if (graph_provider(graph, i)->used &&
            recipes_load(&plan->recipes[i], graph_provider(graph, i)->recipe, base_dir, error) != 0)
            return mf_wrap(error, "provider `%s`", graph_provider(graph, i)->name);
    plan->services = mf_calloc(graph_service_count(graph), sizeof *plan->services);
    if (plan->services == NULL)
        return mf_fail(error, MF_MEMORY, "plan: no memory");
    for (uint32_t i = 0; i < graph_service_count(graph); i++) {
        const struct graph_provider *source = &graph_service(graph, i)->source;
        if (!source->used)
            continue;
        if (recipes_load(&plan->services[i], source->recipe, base_dir, error) != 0)
            return mf_wrap(error, "service `%s`", source->name);
        if (app_check_budget(graph, i, plan->services[i], error) != 0)
            return -1;
    }
    return 0;
}

static void count_accounts(const struct graph *graph, struct plan *plan)
{
    for (uint32_t task = 0; task < graph_task_count(graph); task++) {
        const struct graph_task *entry = &graph_tasks(graph)[task];
        bool known;
        uint32_t instances = plan_instances(graph, task, &known), own = 0;
        for (uint32_t s = 0; s < entry->slot_count; s++)
            own += graph_slots(graph)[entry->slot_first + s].lender == GRAPH_NONE;
        plan->accounts += own * instances;
        plan->accounts_open_ended |= own > 0 && !known;
        plan->agents += instances;
        plan->agents_open_ended |= !known;
    }
}

static void forecast(const struct graph *graph, struct plan *plan)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint32_t i = 0; i < graph_provider_count(graph); i++) {
        if (plan->recipes[i] == NULL)
            continue;
        const struct recipe_info *info = recipe_info(plan->recipes[i]);
        if (info->has_proof_of_work) {
            plan->hashes_per_second = plan->hashes_per_second > 0 ? plan->hashes_per_second : pow_rate(50);
            plan->proof_ms_each = PROOF_HASHES / plan->hashes_per_second * 1000.0;
            plan->proof_ms = plan->proof_ms_each * plan->accounts / (double)(cores > 0 ? cores : 1);
        }
        if (info->requests_per_window > 0)
            plan->budget_ms =
                (double)plan->accounts * REQUESTS_PER_ACCOUNT / info->requests_per_window * info->window_ms;
        if (info->creates_per_minute > 0 && plan->accounts > 0)
            plan->create_ms = (double)plan->accounts / info->creates_per_minute * 60000.0;
    }
}

static void plan_free(const struct graph *graph, struct plan *plan)
{
    for (uint32_t i = 0; plan->recipes != NULL && i < graph_provider_count(graph); i++)
        recipe_destroy(plan->recipes[i]);
    for (uint32_t i = 0; plan->services != NULL && i < graph_service_count(graph); i++)
        recipe_destroy(plan->services[i]);
    mf_free(plan->services);
    mf_free(plan->recipes);
    mf_free(plan->before);
}

static int make(const struct graph *graph, const char *path, struct plan *plan, struct mf_error *error)
{
    char directory[4096];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    if (open_recipes(graph, slash != NULL ? directory : NULL, plan, error) != 0)
        return -1;
    if (critical_path(graph, plan) != 0)
        return mf_fail(error, MF_MEMORY, "plan: no memory");
    count_accounts(graph, plan);
    forecast(graph, plan);
    return 0;
}

int cmd_plan(const struct options *options)
{
    struct pairs params = {0};
    struct graph *graph = NULL;
    struct mf_error error;
    struct plan plan = {.critical_last = GRAPH_NONE};
    long running = 0;
    int code =
        pairs_take(&params, options, "set", true) == 0 && option_number(options, "running", 1, 100000, &running) == 0
            ? 0
            : 2;
    if (code == 0)
        code = graphs_read(&graph, options->arguments[0], &params, option_value(options, "provider"), NULL);
    if (code == 0) {
        plan.running = running > 0 ? (uint32_t)running : graph_limits(graph)->running_max;
        code = make(graph, options->arguments[0], &plan, &error) == 0 ? 0 : complain(&error);
    }
    if (code == 0 && option_set(options, "json"))
        plan_print_json(graph, &plan);
    else if (code == 0)
        plan_print(graph, &plan);
    if (graph != NULL)
        plan_free(graph, &plan);
    graph_destroy(graph);
    pairs_free(&params);
    return code;
}
