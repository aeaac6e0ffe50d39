/* view.c - what observers and reports may know of a run: names, the exit code of an error, the receipt's figures */
#include "app/app_private.h"

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
        if (view.state != CORE_ACCOUNT_STATE_ABSENT && !app_provider_enforces(app, view.provider))
            out->not_enforced++;
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
