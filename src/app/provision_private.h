/* app/provision_private.h - jobs and gates, shared by provision.c and provision_gate.c (private to app/) */
#ifndef MF_APP_PROVISION_PRIVATE_H
#define MF_APP_PROVISION_PRIVATE_H

#include "app/provision.h"
#include "base/buf.h"
#include "base/rng.h"
#include "store/rate.h"

#define PROVISION_RETRY_AFTER_MS_MAX 300000 /* a provider's wish is believed up to here */

enum provision_state {
    PROVISION_AT_GATE,    /* its next request waits for the budget */
    PROVISION_IN_FLIGHT,
    PROVISION_IN_PROOF,
    PROVISION_IN_WAIT,    /* between polls, or before a repeated request */
    PROVISION_AT_COMMIT,  /* the caller records what was created so far */
    PROVISION_UNSENT,     /* the client did not take the request; goes on from a later turn */
    PROVISION_DONE,       /* to be told from a later turn */
};

/* A request at the client. It outlives its job when everything is torn down. */
struct provision_flight {
    struct provision_job *job; /* NULL: nobody wants the answer any more */
};

struct provision_job {
    struct provision *provision;
    struct provision_job *next, *previous; /* all jobs */
    struct provision_job *next_in_queue;   /* of a gate, or of those to be handled later */
    uint32_t provider;
    enum provision_state state;
    enum recipe_op op;
    bool teardown, cancelled;
    bool seen_sent;            /* its effect's request has passed a crash point */
    bool refreshed;            /* the credential was read again after a 401 */
    bool repeat;               /* IN_WAIT: the same request again, not the next poll */
    uint32_t tries;            /* of the request in hand */
    const struct provision_calls *calls;
    void *context;
    struct recipe_exec *exec;
    struct recipe_want want;
    struct mf_buf text;        /* what the spans of vars are views of; secret */
    struct mf_buf credential;  /* secret */
    struct mf_span *permissions; /* owned array */
    char random[40];
    struct provision_flight *flight;
    struct net_request *request;
    struct pow_work *work;
    struct net_timer *timer;   /* made on first use */
    int64_t since_ms;          /* of the proof */
    uint64_t hashes;
};

struct provision_queue {
    struct provision_job *first, *last;
};

struct provision_gate {
    struct provision *provision;
    struct provision_provider provider;
    char *base_url;            /* owned; without a trailing slash */
    uint32_t index;
    struct store_rate *rate;   /* shared by all runs on the host; NULL: this process only */
    int64_t shut_until_ms;     /* boot time */
    int64_t window_ms;         /* without `rate`: start of the window, and what was used in it */
    uint32_t used;
    uint32_t refusals;         /* times in a row that the provider said "too many" without saying until when */
    int64_t sent_ms;           /* of the newest request */
    struct provision_queue teardown, others;
    struct net_timer *timer;
};

struct provision {
    struct net_loop *loop;
    struct net_client *client;
    struct pow_pool *pool;     /* NULL: no provider asks for proofs */
    struct provision_gate *gates; /* owned; one for each provider */
    uint32_t gate_count;
    const struct provision_events *events;
    void *context;
    struct provision_job *jobs;
    struct provision_queue later;
    struct net_timer *later_timer;
    struct provision_counters counters;
    struct mf_rng rng;         /* jitter */
};

void provision_queue_push(struct provision_queue *queue, struct provision_job *job);
struct provision_job *provision_queue_pop(struct provision_queue *queue);
void provision_queue_remove(struct provision_queue *queue, struct provision_job *job); /* fine when absent */

int provision_gate_open(struct provision_gate *gate, struct mf_error *error);
void provision_gate_close(struct provision_gate *gate);
/* The job's request goes out now or when the budget allows; jobs of teardown first. */
void provision_gate_enter(struct provision_gate *gate, struct provision_job *job);
/* What an answer says about the budget. Returns how long the gate is shut now, in ms. */
int64_t provision_gate_learn(struct provision_gate *gate, const struct recipe_reply *reply, int64_t sent_ms);

/* --- provision_job.c --- */

struct provision_gate *provision_gate_of(const struct provision_job *job);
/* Hands a reply over and does what is wanted next. `inside_call`: the caller is on the stack, nothing may be told now. */
void provision_advance(struct provision_job *job, const struct recipe_reply *reply, bool inside_call);
/* Goes on from a later turn: UNSENT or DONE. */
void provision_later(struct provision_job *job, enum provision_state state);
void provision_on_later(void *provision);
void provision_send(struct provision_job *job); /* the request in hand */
void provision_job_free(struct provision_job *job);

#endif
