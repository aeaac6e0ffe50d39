/*
 * app/provision.h - runs recipe executions with the HTTP client and the proof-of-work pool; verdict in, callback out
 *
 * One job is one operation on one account. Requests of all jobs of a provider pass one gate: its request budget (shared by all
 * runs on the host), Retry-After of any answer, and a share that only teardown may use. Nothing here decides about accounts:
 * it reports verdicts; the core decides.
 */
#ifndef MF_APP_PROVISION_H
#define MF_APP_PROVISION_H

#include "base/error.h"
#include "net/client.h"
#include "net/loop.h"
#include "pow/pow.h"
#include "recipe/recipe.h"

#include <stdbool.h>
#include <stdint.h>

struct provision;
struct provision_job;

struct provision_provider {
    const struct recipe *recipe;
    const char *base_url;
    const struct recipe_value *inputs;
    uint32_t input_count;
    /* Gives the operator's credential (fresh = read the source again, after a 401). The span lives until the next call. -1: none. */
    int (*credential)(void *context, bool fresh, struct mf_span *out, struct mf_error *error);
    void *credential_context;
    const char *rate_file; /* shared budget (store/rate.h); NULL: only this process */
};

struct provision_events {
    /* The gate of a provider is shut for creates until then (epoch-like core time is made by the caller; this is net_now_ms time). */
    void (*hold)(void *context, uint32_t provider, int64_t until_ms);
    /* Something a person should see: "provider emulator: 429, waiting 2s". No secret. */
    void (*note)(void *context, uint32_t provider, const char *text);
};

struct provision_counters {
    uint64_t requests, rate_limited, retried, proofs, proof_hashes;
    int64_t proof_ms;
};

int provision_create(struct provision **out, struct net_loop *loop, struct net_client *client, const struct provision_provider *providers, uint32_t provider_count, uint32_t pow_threads, const struct provision_events *events, void *context, struct mf_error *error);
void provision_destroy(struct provision *provision); /* cancels; no callback any more */

struct provision_spec {
    uint32_t provider;
    enum recipe_op op;
    struct mf_span tag;
    struct mf_span owner_prefix;
    struct mf_span ids_json, secrets_json;
    const struct mf_span *permissions;
    uint32_t permission_count;
    int64_t expires_ms;   /* epoch ms, 0: none */
    bool expired;
    bool teardown;        /* may use the reserved share of the budget */
};

struct provision_calls {
    /* After an effect step of a CREATE: the caller commits the ids and secrets, then calls provision_continue. */
    void (*step)(void *context, struct provision_job *job, uint32_t step, struct mf_span ids_json, struct mf_span secrets_json);
    /* Exactly once. `result` is valid during the call. FIND/LIST: use provision_found on the job inside the call. */
    void (*done)(void *context, struct provision_job *job, const struct recipe_result *result);
};

/* All spans are copied. -1 and no callback when it cannot be started. */
int provision_start(struct provision *provision, const struct provision_spec *spec, const struct provision_calls *calls, void *context, struct provision_job **out, struct mf_error *error);
void provision_continue(struct provision_job *job);
void provision_cancel(struct provision_job *job); /* done still comes, as recipe_result says what is certain */
bool provision_found(const struct provision_job *job, uint32_t index, struct mf_span *ids_json, struct mf_span *tag);
int64_t provision_found_created_ms(const struct provision_job *job, uint32_t index); /* LIST; 0: not said */
void provision_counters(const struct provision *provision, struct provision_counters *out);
/* Test builds: passes K4 or K14 for each create or delete of which some byte has left. */
void provision_crash_points(struct provision *provision);
/* From the loop's wake handler: delivers finished proofs. */
void provision_collect(struct provision *provision);

/* The wall clock when the process first asked, and what has passed since: epoch, never set back. The run's clock begins with it. */
int64_t provision_wall_ms(void);

#endif
