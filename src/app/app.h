/*
 * app/app.h - one run, from opening its database to its receipt: the only place where the core meets the world
 *
 * cmd/ makes the options and observers, calls app_create, app_run, app_destroy. The engine itself never prints: what happens is
 * told to observers (progress.h and the report writers).
 */
#ifndef MF_APP_APP_H
#define MF_APP_APP_H

#include "base/error.h"
#include "base/str.h"
#include "core/core.h"
#include "document/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct app;

enum app_mode {
    APP_RUN,      /* a new run of `graph` */
    APP_RERUN,    /* tasks of a finished run again */
    APP_RESUME,   /* what did not succeed again, and what depends on it */
    APP_TEARDOWN, /* cancel what is not final, delete what is left */
};

#define APP_SERVICES_MAX 32u /* as many as a graph may have */

struct app_pair {
    const char *name, *value;
};

struct app_receipt {
    uint32_t created, gone, expired, expiring, claimable, leaked;
    uint32_t open;              /* not settled: only when the run ended abnormally */
    uint32_t tasks[CORE_TASK_STATE_COUNT];
    int64_t expiring_until_ms;  /* the last end of life among the expiring ones */
    uint32_t not_enforced;      /* accounts whose permissions nobody enforced: 0 since agents hold gateway tokens only */
    struct app_used {           /* of services, over all lives of the run */
        const char *service;
        uint64_t requests, input_tokens, output_tokens, cached_tokens, cache_write_tokens;
        int64_t micro_usd;
        bool priced;
    } used[APP_SERVICES_MAX];
    uint32_t used_count;
    uint64_t audit_count;       /* lines of audit.log that are journaled, and the hash of the last */
    char audit_head[65];
    uint32_t without_sandbox;   /* stages: their token was the only guard */
    uint32_t violations;        /* told of agents */
    int64_t wall_ms;
    uint64_t requests, rate_limited, retried, commits, records, proofs;
    int64_t proof_ms;
    int exit_code;
};

/* What happens, told after its commit. All pointers are valid during the call; every function may be NULL. */
struct app_observer {
    void (*opened)(void *context, struct app *app);
    /* `extra`: members of a JSON object without braces; no secret. */
    void (*record)(void *context, struct app *app, const struct core_record *record, struct mf_span extra);
    void (*note)(void *context, struct app *app, const char *text);
    void (*turn)(void *context, struct app *app);
    void (*closed)(void *context, struct app *app, const struct app_receipt *receipt);
    void *context;
};
#define APP_OBSERVERS_MAX 6

struct app_options {
    enum app_mode mode;
    const char *state_path;          /* NULL: as design section 6 */
    const char *program;             /* the mayfly binary for runner and emulator */
    /* APP_RUN */
    struct graph *graph;             /* not owned, must outlive the app */
    const char *graph_path;          /* for messages and relative names */
    const struct app_pair *params;
    uint32_t param_count;
    const char *name, *owner, *faults;
    const char *provider;            /* --provider */
    int64_t run_timeout_ms;          /* 0: the graph's */
    uint32_t running;                /* 0: the graph's, else by cores */
    bool strict_teardown;
    int64_t agent_uid;               /* of sandboxed agents on the host; 0: as sandbox/sandbox.h says */
    /* APP_RERUN, APP_RESUME, APP_TEARDOWN: `run` is an id; graph and params were loaded from its database */
    const char *run;
    const char *const *tasks;
    uint32_t task_count;
    bool with_dependents, include_kept;
    const struct graph *previous;    /* APP_RESUME with a changed graph: the one before; `graph_path` is the new file's */
    /* all */
    const struct app_pair *credentials;
    uint32_t credential_count;
    const char *const *accept_terms;
    uint32_t accept_terms_count;
    bool allow_base_url;
    int64_t refresh_ms;              /* observers' turn is called at least so often; 0: only when something happens */
    struct app_observer observers[APP_OBSERVERS_MAX];
    uint32_t observer_count;
};

/* -1: nothing was started or sent; app_error_exit gives the exit code. */
int app_create(struct app **out, const struct app_options *options, struct mf_error *error);
/* Runs until everything is settled. Returns the exit code of design section 9. */
int app_run(struct app *app);
void app_destroy(struct app *app); /* NULL is fine */
/* For the end of a process that found itself broken: a run is open in it, and some account of it is not settled. */
bool app_accounts_may_be_open(void);

/* Exit code for an error before anything was started: 2 for input and usage, 5 for state and locks, 6, 7. */
int app_error_exit(const struct mf_error *error);

/* --- views for observers --- */
const char *app_run_id(const struct app *app);
const char *app_run_name(const struct app *app); /* "" without one */
const char *app_run_dir(const struct app *app);
const struct core *app_core(const struct app *app);
const struct graph *app_graph(const struct app *app);
int64_t app_now(const struct app *app);          /* core time */
int64_t app_opened_ms(const struct app *app);
/* "deploy/web"; the text lives as long as the app. */
const char *app_node_path(const struct app *app, uint32_t node);
/* Tag of an account ("mayfly-owner-run-n") into out. */
void app_tag(const struct app *app, uint32_t account, char *out, size_t out_bytes);
const char *app_provider_name(const struct app *app, uint32_t provider);
bool app_provider_enforces(const struct app *app, uint32_t provider);
void app_receipt(const struct app *app, struct app_receipt *out);
uint32_t app_running_max(const struct app *app);
/* What services cost so far: of the run (node CORE_NONE), or of one attempt. micro_usd: of what has a price. */
void app_spent(const struct app *app, uint32_t node, uint32_t attempt, uint64_t *requests, uint64_t *tokens, int64_t *micro_usd);
uint32_t app_violations(const struct app *app); /* told of agents so far */
/* Does the task run in a sandbox? */
bool app_walled(const struct graph *graph, uint32_t task);
/* A money limit that cannot be kept, because the service's recipe does not count or has no prices: MF_INPUT. */
struct recipe;
int app_check_budget(const struct graph *graph, uint32_t service, const struct recipe *recipe, struct mf_error *error);

/* The graph of an earlier run with its parameters, for rerun and teardown; destroy it after the app. */
int app_load_run(const char *state_path, const char *run, char id[13], struct graph **out, struct mf_error *error);

/*
 * A changed graph for an earlier run. `text` is taken over; *graph has the tasks in the order of the run and its parameters, *old
 * is the run's graph. -1 with what is wrong in `diagnostics`, or with MF_INPUT when the run cannot take it.
 */
int app_load_revision(const char *state_path, const char *run, char id[13], struct mf_buf *text, bool comments,
                      struct diagnostics *diagnostics, struct graph **old, struct graph **graph, struct mf_error *error);
/* Its two parts. */
int app_revise_check(const struct graph *old, const struct graph *graph, struct mf_error *error);
int app_revise_text(const struct graph *old, const struct graph *graph, struct mf_buf *out, struct mf_error *error);

#endif
