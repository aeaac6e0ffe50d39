/*
 * report/evidence.h - what a run's agents were granted, what they did with it, what they were refused
 *
 * Made from two witnesses: the journal (who had which account, which heads of the log are known) and the proven part of
 * audit.log (every request). Counted by task of the graph: all instances and attempts of a task that fans out are one. Nothing
 * is sent and nothing is written; a run that goes on is seen as it stands.
 */
#ifndef MF_REPORT_EVIDENCE_H
#define MF_REPORT_EVIDENCE_H

#include "document/graph.h"
#include "gateway/policy.h"
#include "report/trail.h"
#include "store/view.h"

struct evidence;

struct evidence_provider {
    const struct policy *policy; /* NULL: not known */
    uint16_t rules[HTTP1_PERMISSIONS_MAX]; /* how many each permission has: what allows less has fewer */
    bool can_check, can_revoke;            /* its recipe can ask for an account, can end a token by itself */
    bool scoped;                           /* the provider's own token carries the permissions, too */
};
/* Counts the rules of a policy's JSON. */
int evidence_count_rules(struct evidence_provider *provider, struct mf_span policy_json, struct mf_error *error);

struct evidence_sources { /* all borrowed, and to outlive the evidence */
    struct journal *journal;
    const struct graph *graph;
    const struct evidence_provider *providers; /* by the graph's index */
    int run_dir_fd;
};
int evidence_create(struct evidence **out, const struct evidence_sources *sources, struct mf_error *error);
void evidence_destroy(struct evidence *evidence); /* NULL is fine */

const struct trail_result *evidence_trail(const struct evidence *evidence);
const struct view *evidence_view(const struct evidence *evidence);
const struct graph *evidence_graph(const struct evidence *evidence);
int evidence_run_dir(const struct evidence *evidence);
/* The task of the graph that "deploy/web" is of; GRAPH_NONE when the graph has none of that name. */
uint32_t evidence_task_of(const struct evidence *evidence, struct mf_span path);
/* Once more every proven line. */
int evidence_each(const struct evidence *evidence, trail_each *each, void *context, struct mf_error *error);
/* The first journaled head at or behind a line; NULL: it is not journaled yet. */
const struct trail_anchor *evidence_anchor(const struct evidence *evidence, uint64_t line);
const struct evidence_provider *evidence_provider(const struct evidence *evidence, uint32_t provider);

/* What a line is about: numbers of the graph, GRAPH_NONE where it says nothing that the graph knows. */
struct evidence_subject {
    uint32_t task, slot; /* slot: among the task's */
    bool verify;
};

/* Requests of one subject under one rule: what was allowed, and what would have been. */
struct evidence_use {
    struct evidence_subject subject;
    const char *provider;   /* or service */
    const char *permission; /* "" where no permission has such a rule */
    const char *rule;       /* "" where there is none */
    const char *reason;     /* "" for allowed ones */
    const char *example;    /* "PUT /accounts/..." of the first one; for people, escaped where it is shown */
    uint64_t count;
    uint64_t succeeded, failed; /* answers below 400, answers from 400 on; the rest had none */
    uint64_t lines_first, lines_last;
    /* Permissions of the policy that allow every one of these requests; without a policy only `permission` is known. */
    uint64_t allowing[HTTP1_PERMISSIONS_MAX / 64];
};
uint32_t evidence_use_count(const struct evidence *evidence);
const struct evidence_use *evidence_use(const struct evidence *evidence, uint32_t index); /* in the order of their first line */

/* The uses of one task: first, then next of each; GRAPH_NONE behind the last. */
uint32_t evidence_first_use(const struct evidence *evidence, uint32_t task);
uint32_t evidence_next_use(const struct evidence *evidence, uint32_t use);

struct evidence_anomaly {
    const char *task; /* "deploy/web"; "" for nobody's */
    const char *kind, *detail;
    uint64_t count;
    uint32_t attempt;
};
uint32_t evidence_anomaly_count(const struct evidence *evidence);
const struct evidence_anomaly *evidence_anomaly(const struct evidence *evidence, uint32_t index);

struct evidence_connection { /* egress of one task to one place */
    uint32_t task;
    const char *host; /* "example.org:443" */
    const char *address; /* the last one that was dialled */
    uint64_t count, sent_bytes, received_bytes;
};
uint32_t evidence_connection_count(const struct evidence *evidence);
const struct evidence_connection *evidence_connection(const struct evidence *evidence, uint32_t index);

struct evidence_service { /* what one task used of one service */
    uint32_t task, service; /* service: of the graph, or GRAPH_NONE */
    const char *name;
    uint64_t requests, refused, unpriced;
    uint64_t input_tokens, output_tokens, cached_tokens, cache_write_tokens;
    int64_t charged_micro_usd;
};
uint32_t evidence_service_count(const struct evidence *evidence);
const struct evidence_service *evidence_service(const struct evidence *evidence, uint32_t index);

struct evidence_account { /* of one account of the run */
    uint64_t lines, line_first, line_last;
    uint64_t allowed, succeeded, failed, refused, anomalies;
    int64_t at_first_ms, at_last_ms;
    char sha256[65]; /* of its lines with their newlines; empty without one */
};
const struct evidence_account *evidence_account(const struct evidence *evidence, uint32_t number); /* 1, 2, ...; never NULL */

uint64_t evidence_left_out(const struct evidence *evidence); /* different things above a limit that are not listed; counted nowhere */
/* Requests that were allowed and have no answer in the log. */
uint64_t evidence_unanswered(const struct evidence *evidence);
/* Instances and attempts that ran: of a task that never ran nothing can be said. */
bool evidence_ran(const struct evidence *evidence, uint32_t task);
bool evidence_succeeded(const struct evidence *evidence, uint32_t task); /* at least one instance of it */

#endif
