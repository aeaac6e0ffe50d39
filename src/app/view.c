/* view.c - what observers and reports may know of a run: names, the exit code of an error, the receipt's figures */
#include "app/app_private.h"

#include <stdio.h>
#include <string.h>

/* --- views --- */

const char *app_run_id(const struct app *app)
{
    return app->run_id;
}

const char *app_run_name(const struct app *app)
{
    return app->run_name != NULL ? app->run_name : "";
}

const char *app_run_dir(const struct app *app)
{
    return app->run_dir;
}

const struct core *app_core(const struct app *app)
{
    return app->core;
}

const struct graph *app_graph(const struct app *app)
{
    return app->graph;
}

int64_t app_opened_ms(const struct app *app)
{
    return app->opened_ms;
}

uint32_t app_running_max(const struct app *app)
{
    return app->limits.running_max;
}

const char *app_node_path(const struct app *app, uint32_t node)
{
    if (node < app->core_graph.task_count)
        return app->task_names[node];
    uint32_t at = node - app->core_graph.task_count;
    return at < app->instance_count ? app->paths[at] : "?";
}

int app_error_exit(const struct mf_error *error)
{
    switch (error->code) {
    case MF_STATE:
    case MF_LOCKED:
        return 5;
    case MF_SANDBOX:
        return 6;
    case MF_INTERNAL:
    case MF_MEMORY:
    case MF_OS:
    case MF_CRYPTO:
    case MF_NONE:
        return 7;
    case MF_USAGE:
    case MF_INPUT:
    case MF_LIMIT:
    case MF_NOT_FOUND:
    case MF_PROTOCOL:
    case MF_NETWORK:
    case MF_PROVIDER:
        return 2;
    }
    return 7;
}

/* --- the receipt --- */

static void count_accounts(const struct app *app, struct app_receipt *out)
{
    for (uint32_t n = 1; n <= core_account_count(app->core); n++) {
        struct core_account_view view;
        if (!core_account(app->core, n, &view))
            continue;
        if (view.state == CORE_ACCOUNT_STATE_EXPIRING && view.expires_ms > out->expiring_until_ms)
            out->expiring_until_ms = view.expires_ms;
    }
}

static void add_figures(const struct usage_figures *figures, uint64_t *requests, uint64_t *tokens, int64_t *micro_usd)
{
    *requests += figures->requests;
    *tokens += figures->input_tokens + figures->output_tokens + figures->cached_tokens + figures->cache_write_tokens;
    *micro_usd += figures->micro_usd > 0 ? figures->micro_usd : 0;
}

void app_spent(const struct app *app, uint32_t node, uint32_t attempt, uint64_t *requests, uint64_t *tokens,
               int64_t *micro_usd)
{
    *requests = *tokens = 0;
    *micro_usd = 0;
    for (uint32_t service = 0; service < app->usage.service_count; service++) {
        if (node == CORE_NONE) {
            add_figures(&app->usage.sums[service], requests, tokens, micro_usd);
            continue;
        }
        for (uint32_t kind = CORE_STAGE_AGENT; kind <= CORE_STAGE_VERIFY; kind++) {
            const struct usage_key key = {node, attempt, service, kind};
            const struct usage_figures *figures = usage_book_get(&app->usage, &key);
            if (figures != NULL)
                add_figures(figures, requests, tokens, micro_usd);
        }
    }
}

uint32_t app_violations(const struct app *app)
{
    return app->violations;
}

static void count_usage(const struct app *app, struct app_receipt *out)
{
    for (uint32_t i = 0; i < app->usage.service_count && i < APP_SERVICES_MAX; i++) {
        const struct usage_figures *sum = &app->usage.sums[i];
        if (sum->requests == 0)
            continue;
        struct app_used *used = &out->used[out->used_count++];
        *used = (struct app_used){.service = graph_service(app->graph, i)->source.name,
#define X(name, member) .member = sum->member,
                                  USAGE_COUNTS(X)
#undef X
                                      .micro_usd = sum->micro_usd,
                                  .priced = app->services[i].source.recipe != NULL &&
                                            recipe_has_prices(app->services[i].source.recipe)};
    }
}

void app_receipt(const struct app *app, struct app_receipt *out)
{
    struct core_totals totals;
    *out = (struct app_receipt){0};
    core_totals(app->core, &totals);
    memcpy(out->tasks, totals.nodes, sizeof out->tasks);
    out->created = totals.created;
    out->gone = totals.accounts[CORE_ACCOUNT_STATE_GONE];
    out->expired = totals.accounts[CORE_ACCOUNT_STATE_EXPIRED];
    out->expiring = totals.accounts[CORE_ACCOUNT_STATE_EXPIRING];
    out->claimable = totals.accounts[CORE_ACCOUNT_STATE_CLAIMABLE];
    out->leaked = totals.accounts[CORE_ACCOUNT_STATE_LEAKED];
    for (int state = CORE_ACCOUNT_STATE_CREATING; state <= CORE_ACCOUNT_STATE_DELETING; state++)
        out->open += totals.accounts[state];
    count_accounts(app, out);
    count_usage(app, out);
    out->audit_count = app->audit_count;
    snprintf(out->audit_head, sizeof out->audit_head, "%s", app->audit_head);
    out->without_sandbox = app->stages_without_sandbox;
    out->violations = app->violations;
    out->wall_ms = app_now(app) - (app->options.mode == APP_RUN ? app->opened_ms : app->base_ms);
    if (app->provision != NULL) {
        struct provision_counters counters;
        provision_counters(app->provision, &counters);
        out->requests = counters.requests;
        out->rate_limited = counters.rate_limited;
        out->retried = counters.retried;
        out->proofs = counters.proofs;
        out->proof_ms = counters.proof_ms;
    }
    out->commits = app->journal != NULL ? journal_commits(app->journal) : 0;
    out->records = app->records_total;
    out->exit_code = app->exit_code;
}
