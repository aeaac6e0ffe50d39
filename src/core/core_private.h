/*
 * core/core_private.h - the core's state, shared by the files of core/
 *
 * Who writes what: apply*.c alone writes what a record means (nodes, holds, accounts, leases, expansions, run). What a replay
 * does not need - queues, requests in flight, batches - is written by the deciding files and rebuilt after a restart from the
 * marks that apply.c leaves (`attention`).
 *
 * Sizes: a plain task costs 48 (node) + 8 (links) + 20 (heap) + 12 (edge counters) = 88 bytes beside the graph of the shell.
 */
#ifndef MF_CORE_PRIVATE_H
#define MF_CORE_PRIVATE_H

#include "base/assert.h"
#include "base/heap.h"
#include "base/rng.h"
#include "core/core.h"
#include "core/mutant.h"

#include <stddef.h>

/* Records and commands that one unit of work (an input, a start, an end) may make: an attempt's records for each slot. */
#define CORE_UNIT_MAX (20u + 4u * CORE_SLOTS_MAX)
/* Tests make batches small, so that everything large is cut in pieces. */
#ifdef MAYFLY_CRASHPOINTS
#define CORE_BATCH_MAX core_test_batch_max
#else
#define CORE_BATCH_MAX CORE_BATCH_RECORDS_MAX
#endif
/* Accounts and leases that one step may make: every record of a batch, and the adopted ones. */
#define CORE_STEP_ACCOUNTS_MAX CORE_BATCH_RECORDS_MAX

enum node_flag {
    NODE_LOST = 1u << 0,             /* its process died with the runner or the orchestrator */
    NODE_STARTED = 1u << 1,          /* of the stage */
    NODE_EXITED = 1u << 2,           /* of the stage */
    NODE_RESULT = 1u << 3,           /* of the stage; not in a record, a restart ends the stage anyway */
    NODE_QUEUED = 1u << 4,           /* in the ready queue or in a provider's queue */
    NODE_ATTENTION = 1u << 5,        /* in the attention queue */
    NODE_ASKED = 1u << 6,            /* EXPAND is on its way */
    NODE_STALE = 1u << 7,            /* an upstream task ran again since */
    NODE_SUPERSEDED = 1u << 8,       /* instance of an expansion that was replaced */
    NODE_WANT_RERUN = 1u << 9,       /* instance of a template that runs again */
    NODE_WANT_REOPEN = 1u << 10,     /* an upstream task runs again, with dependents */
    NODE_WANT_STALE = 1u << 11,      /* an upstream task runs again, without */
    NODE_REOPEN_STALE = 1u << 12,    /* how WANT_REOPEN goes on: its dependents become stale */
    NODE_WANT_LEND = 1u << 13,       /* after a restart: run again if a borrower needs the account that is gone */
    NODE_PROVISION_FAILED = 1u << 14 /* its last attempt failed in PROVISIONING */
};
/* What ends with a stage. */
#define NODE_STAGE_FLAGS (NODE_LOST | NODE_STARTED | NODE_EXITED | NODE_RESULT)

struct node {
    uint64_t stage;
    int64_t since_ms;
    uint32_t attempt;
    uint32_t expansion; /* of an instance: index in expansions; else CORE_NONE */
    uint32_t detail;    /* template: its expansion; otherwise first of its holds; CORE_NONE when none */
    uint16_t flags;     /* set of enum node_flag */
    uint16_t tries;     /* failures on the task's own count since the last rerun */
    uint16_t violations, anomalies; /* remarks about this attempt */
    uint8_t infrastructure_tries;
    uint8_t state, class, stop, level, stage_kind;
    uint8_t end_class;    /* STOPPING: the class that it ends with */
    uint8_t exit_class;   /* after EXITED */
    uint8_t result_class; /* after RESULT */
};

/* One account slot of one node. */
struct hold {
    uint64_t lease;    /* of the current stage, until it is dropped; 0 when none */
    int64_t again_ms;  /* own slot without account: when a create may be tried again */
    uint32_t account;  /* own or borrowed; CORE_NONE when none */
    uint8_t unknown;   /* creates of this attempt whose answer was lost */
    uint8_t refused;   /* creates of this attempt that ended with "try later" */
    bool drop_asked;   /* of `lease` */
};

/* A template's list: one row for each time that it was expanded. */
struct expansion {
    uint32_t task, first, count;
    uint32_t succeeded, failed, cancelled, ended; /* instances; `succeeded` with allowed failures */
    uint32_t quiet; /* so many instances may still end before any edge can change */
};

enum operation { OPERATION_NONE, OPERATION_CREATE, OPERATION_FIND, OPERATION_REVOKE, OPERATION_DELETE, OPERATION_CHECK, OPERATION_COUNT };

enum account_flag {
    ACCOUNT_HAS_ID = 1u << 0,
    ACCOUNT_REVOKED = 1u << 1,
    ACCOUNT_DEAD = 1u << 2,
    ACCOUNT_LOST = 1u << 3,      /* its request died with the orchestrator */
    ACCOUNT_QUEUED = 1u << 4,    /* in its provider's teardown queues */
    ACCOUNT_ATTENTION = 1u << 5,
    ACCOUNT_WANT_RETRY = 1u << 6 /* a teardown was asked for */
};

struct account {
    int64_t created_ms, since_ms, expires_ms;
    int64_t retry_ms;   /* next request; CORE_NEVER while one is queued or in flight */
    int64_t deleted_ms; /* when the provider said yes; 0 before */
    int64_t unknown_ms; /* when the answer was lost */
    int64_t seen_ms;    /* when it was last known to exist; 0 before */
    int64_t drop_ms;    /* the last LEASE_DROP */
    uint32_t node, slot, provider, leases, leases_dropping;
    uint32_t borrowers; /* live attempts of other tasks that hold it, with a token or between two */
    uint8_t state, flags, busy;
    uint8_t tries[OPERATION_COUNT];
};

struct lease { /* in the order of seq, so that it is found by bisection */
    uint64_t seq;
    uint32_t account; /* CORE_NONE: dropped, waits for the next compaction */
    uint32_t node;
    bool dropping;
};

/* A FIFO over indices; the links live in an array beside the items. */
struct queue {
    uint32_t first, last;
};

/* One more than the providers: the last stands for limits.accounts_max. */
struct provider_state {
    struct queue again, fresh; /* nodes that wait for creates: PROVISIONING ones go first, then READY ones */
    struct queue revokes, others; /* accounts that wait for a teardown request */
    uint32_t creating, deleting;  /* requests in flight */
    int64_t bucket_us;            /* theoretical arrival time of the next create */
    int64_t hold_until_ms;
};

enum edge_status { EDGE_PENDING, EDGE_HOLDS, EDGE_DEAD };

struct core {
    const struct core_graph *graph;
    struct core_limits limits;
    struct mf_rng rng;
    int64_t now_ms;
    uint64_t seq;

    struct node *nodes;
    uint32_t *node_attention, *node_queue; /* links */
    uint32_t node_count, node_capacity;
    struct hold *holds;
    size_t hold_count, hold_capacity;
    struct expansion *expansions;
    size_t expansion_count, expansion_capacity;
    struct account *accounts; /* n - 1 */
    uint32_t *account_attention, *account_queue;
    uint32_t account_count, account_capacity;
    struct lease *leases;
    size_t lease_count, lease_dead, lease_capacity;
    struct mf_heap node_heap, account_heap;

    uint32_t *edge_owner, *dependent_first, *dependents; /* dependents: edges, by the task that they come from */
    uint8_t *edge_status;
    uint32_t *unmet, *dead;    /* by task: edges that do not hold, that never will */
    uint32_t *slot_borrowers;  /* by slot of the graph: borrower tasks that are not final */
    uint32_t template_slots_max;

    struct queue ready, attention_nodes, attention_accounts;
    struct provider_state *providers;
    uint32_t waiting; /* nodes in provider queues */
    uint32_t live, open_nodes, open_accounts, slots_reserved, expanding;
    uint32_t node_totals[CORE_TASK_STATE_COUNT];
    uint32_t account_totals[CORE_ACCOUNT_STATE_COUNT];

    bool opened, awake, settled, more;
    bool runner_up, runner_asked;
    uint32_t generation, runner_deaths;
    enum core_drain drain;
    uint32_t drain_level;
    uint32_t anomalies, audit_count;
    int signal_number; /* of the first SIGNAL of this life; not in a record: only run.settled says it */
    int64_t run_deadline_ms;

    struct core_batch batch;
    struct core_record *records;
    struct core_command *commands;
};

/* --- machine.c --- */

enum core_state_group { GROUP_OPEN, GROUP_LIVE, GROUP_SETTLED, GROUP_FINAL };
enum core_state_group core_task_group(enum core_task_state state);
enum core_state_group core_account_group(enum core_account_state state);
bool core_task_may(enum core_task_state from, enum core_record_kind kind);
bool core_account_may(enum core_account_state from, enum core_record_kind kind);
/* The setters: the only places where a state changes. Both assert that the row exists. */
/* For a remark: nothing. */
void core_task_move(struct core *core, uint32_t node, enum core_record_kind kind, int64_t at_ms);
void core_account_move(struct core *core, uint32_t account, enum core_record_kind kind, int64_t at_ms);

/* --- memory.c --- */

void core_queue_push(struct queue *queue, uint32_t *links, uint32_t item);
bool core_queue_pop(struct queue *queue, const uint32_t *links, uint32_t *item);
void core_notice_node(struct core *core, uint32_t node);       /* puts it in the attention queue */
void core_notice_account(struct core *core, uint32_t account);
void core_ready_push(struct core *core, uint32_t node);
void core_nodes_add(struct core *core, uint32_t count, uint32_t expansion, int64_t at_ms); /* room was reserved */

/* --- graph.c --- */

int core_graph_check(const struct core_graph *graph, const struct core_limits *limits, struct mf_error *error);
int core_graph_index(struct core *core, struct mf_error *error);
void core_edges_update(struct core *core, uint32_t task);  /* after a change of the task or of its instances */
void core_node_ended(struct core *core, uint32_t node);    /* after it became final */
void core_node_unended(struct core *core, uint32_t node, enum core_task_state from, bool counted); /* after it left a final state */
void core_mark_dependents(struct core *core, uint32_t task, bool stale);

/* --- apply.c --- */

bool core_record_fits(const struct core *core, const struct core_record *record); /* fit.c */
void core_apply_record(struct core *core, const struct core_record *record);
typedef void core_detail(struct core *core, const struct core_record *record, int from);
core_detail *core_task_detail(enum core_record_kind kind);    /* apply_task.c; NULL when there is none */
core_detail *core_account_detail(enum core_record_kind kind); /* apply_account.c */
void core_account_schedule(struct core *core, uint32_t account);
void core_leases_forget(struct core *core); /* nobody holds a token any more */
struct lease *core_lease_find(const struct core *core, uint64_t seq);
/* The account was not created for its slot: what the slot does next. */
void core_slot_lost(struct core *core, const struct account *account, enum core_record_kind why, int64_t again_ms);

/* --- decide.c --- */

void core_emit(struct core *core, enum core_record_kind kind, uint32_t subject, int64_t f0, int64_t f1, int64_t f2);
void core_command_task(struct core *core, enum core_command_kind kind, uint32_t node);
void core_command_account(struct core *core, enum core_command_kind kind, uint32_t account);
struct core_command *core_command_add(struct core *core, enum core_command_kind kind);
bool core_room(const struct core *core); /* for one more unit of work in this batch */
void core_drain_run(struct core *core, enum core_drain drain, uint32_t level);
void core_input_task(struct core *core, const struct core_input *input);    /* decide_task.c */
void core_input_account(struct core *core, const struct core_input *input); /* decide_account.c */
void core_node_due(struct core *core, uint32_t node);
void core_node_decide(struct core *core, uint32_t node);
void core_account_decide(struct core *core, uint32_t account);

/* --- attempt.c --- */

void core_attempt_begin(struct core *core, uint32_t node);
void core_attempt_prepared(struct core *core, uint32_t node);
void core_attempt_advance(struct core *core, uint32_t node); /* goes on when what it waits for is there */
void core_attempt_stop(struct core *core, uint32_t node, enum core_stop reason, uint32_t level);
void core_attempt_end(struct core *core, uint32_t node, enum core_class class);
void core_attempt_drop(struct core *core, uint32_t node);
int64_t core_backoff(struct core *core, uint32_t failures);

/* --- schedule.c --- */

bool core_schedule(struct core *core); /* true when it did something */
void core_provision(struct core *core, uint32_t node); /* starts the creates that are due, or queues the node */
int64_t core_create_interval_us(uint32_t per_minute);
int64_t core_gate_deadline(const struct core *core);
enum lender_status { LENDER_FINE, LENDER_LATER, LENDER_DEAD };
enum lender_status core_lenders(const struct core *core, uint32_t node);

/* --- teardown.c --- */

bool core_teardown(struct core *core); /* starts requests; true when it did something */
void core_account_due(struct core *core, uint32_t account);
void core_account_died(struct core *core, uint32_t account);
void core_account_release(struct core *core, uint32_t account); /* if nothing keeps it */
void core_account_unresolved(struct core *core, uint32_t account); /* expiring or leaked */
void core_operation_begin(struct core *core, uint32_t account, enum operation operation);
bool core_operation_done(struct core *core, uint32_t account, enum operation operation);
int64_t core_teardown_backoff(struct core *core, uint32_t tries, int64_t after_ms);

/* --- small things --- */

static inline struct account *core_account_at(const struct core *core, uint32_t account)
{
    mf_assert(account >= 1 && account <= core->account_count);
    return &core->accounts[account - 1];
}

static inline uint32_t core_task_index(const struct core *core, uint32_t node)
{
    return node < core->graph->task_count ? node : core->expansions[core->nodes[node].expansion].task;
}

static inline const struct core_task *core_task_of(const struct core *core, uint32_t node)
{
    return &core->graph->tasks[core_task_index(core, node)];
}

static inline const struct core_profile *core_profile_of(const struct core *core, uint32_t node)
{
    return &core->graph->profiles[core_task_of(core, node)->profile];
}

static inline bool core_is_template(const struct core *core, uint32_t node)
{
    return node < core->graph->task_count && core->graph->tasks[node].template;
}

/* Accounts of a node; a template has none of its own. */
static inline uint32_t core_slot_count(const struct core *core, uint32_t node)
{
    return core_is_template(core, node) ? 0 : core_task_of(core, node)->slot_count;
}

static inline struct hold *core_hold(const struct core *core, uint32_t node, uint32_t slot)
{
    return &core->holds[core->nodes[node].detail + slot];
}

static inline const struct core_slot *core_slot_of(const struct core *core, uint32_t node, uint32_t slot)
{
    return &core->graph->slots[core_task_of(core, node)->slot_first + slot];
}

static inline uint32_t core_own_slots(const struct core *core, uint32_t node)
{
    uint32_t own = 0;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        own += core_slot_of(core, node, s)->lender == CORE_NONE;
    return own;
}

static inline const struct core_provider *core_provider_of(const struct core *core, uint32_t account)
{
    return &core->graph->providers[core_account_at(core, account)->provider];
}

/* Does the node hold the account in this slot: its own one, or a borrowed one? */
static inline bool core_holds(const struct core *core, uint32_t account)
{
    const struct account *a = core_account_at(core, account);
    return core_hold(core, a->node, a->slot)->account == account;
}

static inline bool core_is_live(const struct core *core, uint32_t node)
{
    return core_task_group(core->nodes[node].state) == GROUP_LIVE;
}

static inline bool core_is_final(const struct core *core, uint32_t node)
{
    return core_task_group(core->nodes[node].state) == GROUP_FINAL;
}

/* A counter that stays at its end. */
static inline uint8_t core_one_more(uint8_t count)
{
    return count < UINT8_MAX ? (uint8_t)(count + 1) : count;
}

static inline int64_t core_after(int64_t at_ms, int64_t delay_ms)
{
    int64_t sum;
    return __builtin_add_overflow(at_ms, delay_ms, &sum) ? CORE_NEVER : sum;
}

#endif
