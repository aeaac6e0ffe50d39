/*
 * core/core.h - the program's decisions: input in, records and commands out
 *
 * One input at a time, the time inside it. A record is a fact that moves a machine: the shell commits all records of a turn
 * before it starts any command of that turn. State changes only by applying records, so state = fold(journal): after a
 * restart, apply every record, then step RESTARTED as the first input.
 *
 * The core calls nothing: no clock, no socket, no file, no randomness but its own seeded generator (records carry the results
 * of choices, so a replay needs none). Every identifier is a number; names, ids of providers, texts and secrets stay outside.
 *
 * A *node* is a task of the graph (index below task_count; a task with for_each is a template) or an instance of a template
 * (index from task_count on, in the order of expansion).
 */
#ifndef MF_CORE_CORE_H
#define MF_CORE_CORE_H

#include "base/error.h"
#include "core/states.h"

#include <stdbool.h>
#include <stdint.h>

#define CORE_NONE UINT32_MAX
#define CORE_NEVER INT64_MAX

enum core_task_state {
#define X(state, name, class) CORE_TASK_STATE_##state,
    CORE_TASK_STATES(X)
#undef X
    CORE_TASK_STATE_COUNT
};
enum core_account_state {
    CORE_ACCOUNT_STATE_NEW, /* before its first record */
#define X(state, name, class) CORE_ACCOUNT_STATE_##state,
    CORE_ACCOUNT_STATES(X)
#undef X
    CORE_ACCOUNT_STATE_COUNT
};
enum core_class {
#define X(class, name) CORE_CLASS_##class,
    CORE_CLASSES(X)
#undef X
    CORE_CLASS_COUNT
};
enum core_stage {
#define X(stage, name) CORE_STAGE_##stage,
    CORE_STAGES(X)
#undef X
};
enum core_stop {
#define X(stop, name) CORE_STOP_##stop,
    CORE_STOPS(X)
#undef X
};
enum core_drain {
#define X(drain, name) CORE_DRAIN_##drain,
    CORE_DRAINS(X)
#undef X
};
enum core_fact {
    CORE_FACT_NONE,
#define X(fact, name) CORE_FACT_##fact,
    CORE_FACTS(X)
#undef X
    CORE_FACT_KIND_COUNT
};
enum core_record_kind {
#define X(kind, name, subject, f0, f1, f2, f3) CORE_##kind,
    CORE_RECORDS(X)
#undef X
    CORE_RECORD_COUNT
};
enum core_command_kind {
#define X(command, name) CORE_COMMAND_##command,
    CORE_COMMANDS(X)
#undef X
    CORE_COMMAND_COUNT
};
enum core_subject { CORE_SUBJECT_RUN, CORE_SUBJECT_TASK, CORE_SUBJECT_ACCOUNT };

/* --- what the run is: plain arrays, not owned, unchanged while the core lives --- */

enum core_on { CORE_ON_SUCCEEDED, CORE_ON_FAILED, CORE_ON_ENDED };

struct core_edge {     /* one entry of a task's needs */
    uint32_t from;     /* task */
    uint32_t at_least; /* 0: all instances (failed: one); else a count, or a percentage when `percent` */
    uint8_t on;        /* enum core_on */
    bool percent;
};

struct core_slot {        /* one account that a task needs */
    uint32_t provider;    /* own account: index in providers */
    uint32_t lender;      /* borrowed: the task whose account it is; else CORE_NONE */
    uint32_t lender_slot; /* index in the lender's accounts */
    bool keep_on_success; /* becomes CLAIMABLE instead of being deleted */
};

/* Numbers that many tasks share; tasks refer to one by index. */
struct core_profile {
    int64_t timeout_ms, prepare_timeout_ms, verify_timeout_ms, grace_ms;
    uint32_t attempts_max;       /* agent, verify, timeout, setup together */
    uint32_t retry_on;           /* set of 1u << enum core_class; infrastructure has its own count */
};

struct core_task {
    uint32_t edge_first, edge_count;
    uint32_t slot_first, slot_count;
    uint32_t profile;
    bool template;       /* for_each */
    bool prepare;        /* files, copy, git, setup: something to do before the spawn */
    bool verify;
    bool allow_failure;
    bool stop_on_violation;
};

struct core_provider {
    bool can_find, can_check, can_revoke, can_delete; /* delete: also a purge that ends as expiring */
    int64_t lifetime_ms;      /* 0: accounts never expire */
    int64_t consistency_ms;   /* how long a list may lag behind the truth */
    uint32_t creating_max;    /* creates in flight; 0: unlimited */
    uint32_t deleting_max;    /* revokes, deletes and checks in flight */
    uint32_t creates_per_minute; /* 0: unlimited */
};

struct core_limits {
    uint32_t running_max;  /* LIVE attempts */
    uint32_t accounts_max; /* OPEN accounts; 0: unlimited */
    int64_t run_timeout_ms; /* 0: none */
    uint32_t leaked_max;    /* more LEAKED accounts than this drain the run (3) */
    uint32_t infrastructure_tries_max;   /* 3 */
    uint32_t unknown_creates_max;        /* creates of one slot and attempt whose answer was lost (3) */
    uint32_t refused_for_now_max;        /* creates of one slot and attempt that ended with "retry" (10) */
    uint32_t find_tries_max;             /* 6 */
    uint32_t delete_tries_max;           /* 6; revoke and check have the same count of their own */
    int64_t backoff_ms_min, backoff_ms_max;       /* attempts: 1 s x 2, cap 60 s, full jitter */
    int64_t teardown_ms_min, teardown_ms_max;     /* revoke, delete, check, find: 1 s x 3, cap 90 s, +-50 % */
    int64_t retry_after_ms_max;          /* a provider's Retry-After is believed up to here (300 s) */
    int64_t start_wait_ms;               /* STARTING without an answer (30 s) */
    int64_t collect_wait_ms;             /* EXITED without RESULT: kill_wait and this, then infrastructure (120 s) */
    int64_t drop_wait_ms;                /* DROP without DROPPED: then the lease counts as dropped (30 s) */
    int64_t kill_wait_ms;                /* after SIGKILL: then the attempt counts as over (10 s) */
    int64_t lease_margin_ms;             /* a lease must outlive timeout + verify + grace by this (60 s) */
    uint32_t runner_starts_max;          /* 3 */
    uint32_t remarks_max;                /* violations and anomalies of one attempt, and nobody's of a run, that become records (1000) */
    bool strict_teardown;                /* EXPIRING counts as a leak in the exit code */
};
extern const struct core_limits core_limits_default; /* running 8, accounts 0, the values above */

struct core_graph {
    const struct core_task *tasks;
    uint32_t task_count;
    const struct core_edge *edges;
    uint32_t edge_count;
    const struct core_slot *slots;
    uint32_t slot_count;
    const struct core_profile *profiles;
    uint32_t profile_count;
    const struct core_provider *providers;
    uint32_t provider_count;
};

/* --- input, record, command --- */

#define CORE_INPUTS(X)                                                                                                 \
    X(OPEN)           /* first input of a new run */                                                                   \
    X(RESTARTED)      /* first input after a replay: nothing that ran is running any more; `flag`: only to clean */    \
    X(TICK)           /* time passed */                                                                                \
    X(SIGNAL)         /* level 1: drain, 2: kill at once; signal: its number, for the exit code */                     \
    X(CANCEL)         /* node, or CORE_NONE for the whole run */                                                       \
    X(TEARDOWN)       /* cancel what is not final, then clean: also LEAKED; with `flag` CLAIMABLE too */               \
    X(RERUN)          /* node; `flag`: with dependents */                                                              \
    X(RESUME)         /* node: again unless it succeeded and is not stale (`flag`: also then; a template: with a       \
                         new list), with dependents; in topological order */                                           \
    X(EXPANDED)       /* node (template), count */                                                                     \
    X(EXPAND_FAILED)  /* node */                                                                                       \
    X(PREPARED)       /* node, stage */                                                                                \
    X(PREPARE_FAILED) /* node, stage, class: SETUP or INFRASTRUCTURE or REFUSED */                                     \
    X(CREATE_STEP)    /* account: an effect step succeeded, its ids are recorded; step */                              \
    X(CREATED)        /* account, expires_ms */                                                                        \
    X(CREATE_ABSENT)  /* account; refused for good when `flag`; else after_ms (0: none given) */                       \
    X(CREATE_UNKNOWN) /* account */                                                                                    \
    X(FOUND)          /* account; count - 1 further ones (CORE_FOUND_MAX) are adopted: ACCOUNT_ADOPTED, in order */    \
    X(NOT_FOUND)      /* account */                                                                                    \
    X(FIND_RETRY)     /* account, after_ms; hopeless when `flag` */                                                    \
    X(REVOKED)        /* account: success or gone */                                                                   \
    X(REVOKE_RETRY)   /* account, after_ms; hopeless when `flag` */                                                    \
    X(DELETED)        /* account: the provider said yes; read back if the recipe can */                                \
    X(GONE)           /* account: confirmed absent (delete said gone and there is no check, or check said gone) */     \
    X(SWEPT)          /* account: its resources are gone, it dies at its end of life; expires_ms (0: as known) */      \
    X(STILL_THERE)    /* account: the read-back found it */                                                            \
    X(CHECK_RETRY)    /* account, after_ms; hopeless when `flag` */                                                    \
    X(DELETE_RETRY)   /* account, after_ms; hopeless when `flag` */                                                    \
    X(ACCOUNT_DEAD)   /* account: expired, or three 401s in a row */                                                   \
    X(DROPPED)        /* lease */                                                                                      \
    X(STARTED)        /* node, stage, pid, birth */                                                                    \
    X(SPAWN_FAILED)   /* node, stage, class: AGENT (cannot exec), INFRASTRUCTURE, REFUSED */                           \
    X(EXITED)         /* node, stage, code, signal: the main process ended; its leases are to be dropped */            \
    X(RESULT)         /* node, stage, class NONE when the result is valid, else why it failed; the stage is complete */ \
    X(VIOLATION)      /* node (CORE_NONE: nobody's), stage, attempt; with `flag` it only informs, and stops nobody */  \
    X(BUDGET)         /* node and stage, or CORE_NONE for the run */                                                   \
    X(USAGE)          /* node, attempt, stage_kind: what a stage used so far is told; the numbers are the shell's */   \
    X(AUDIT)          /* count: lines of the audit log; only more than before is a record */                           \
    X(PROVIDER_HOLD)  /* provider, until_ms: a gate of the provider is shut for creates */                             \
    X(RUNNER_UP)      /* generation, pid, birth */                                                                     \
    X(RUNNER_DIED)

enum core_input_kind {
#define X(input) CORE_INPUT_##input,
    CORE_INPUTS(X)
#undef X
    CORE_INPUT_COUNT
};

struct core_input {
    int64_t now_ms;
    enum core_input_kind kind;
    uint32_t node;
    uint32_t account; /* the n of its tag: 1, 2, ... */
    uint64_t stage;   /* seq of the intent that made the stage; an input of an older stage is ignored */
    uint64_t lease;   /* seq of the lease.grant */
    uint32_t provider;
    uint32_t count;
    uint32_t level;
    uint32_t step;
    uint32_t attempt;
    enum core_stage stage_kind;
    enum core_class class;
    bool flag;
    int64_t after_ms, until_ms, expires_ms;
    int64_t pid, birth;
    int32_t code, signal;
    uint32_t generation;
};

struct core_record {
    uint64_t seq;      /* 1, 2, ... without a gap: also the journal's */
    int64_t at_ms;
    enum core_record_kind kind;
    uint32_t node;     /* subject TASK; else CORE_NONE */
    uint32_t account;  /* subject ACCOUNT; else CORE_NONE */
    int64_t facts[4];  /* as CORE_RECORDS lists them */
};

struct core_command {
    enum core_command_kind kind;
    uint32_t node;
    uint32_t account;
    uint64_t stage;     /* PREPARE, SPAWN, SIGNAL, FINISH: seq of the stage's intent */
    uint64_t lease;     /* LEASE, DROP */
    enum core_stage stage_kind;
    uint32_t attempt;
    uint32_t level;
    enum core_class outcome; /* FINISH: NONE after success */
    bool retried;            /* FINISH: another attempt follows */
};

struct core_batch { /* owned by the core, valid until the next call */
    const struct core_record *records;
    uint32_t record_count;
    const struct core_command *commands;
    uint32_t command_count;
};

/* --- calls --- */

struct core;

/* Checks the graph (edges, slots, cycles, ranges) and makes the state before the first input. The graph must outlive the core. */
int core_create(struct core **out, const struct core_graph *graph, const struct core_limits *limits, uint64_t seed, struct mf_error *error);
void core_destroy(struct core *core);

/*
 * Takes the memory that the next step may need: `instances` more nodes (EXPANDED), otherwise 0. To be called before every
 * core_step; cheap when there is room. -1 with MF_MEMORY: the step must not be made.
 */
int core_reserve(struct core *core, uint32_t instances, struct mf_error *error);

/*
 * Decides. At most CORE_BATCH_RECORDS_MAX records a step: when more is to be done, core_deadline says "now" and a TICK goes on.
 * A bad input is a bug of the shell and asserts; an input of a finished stage or account is ignored.
 */
const struct core_batch *core_step(struct core *core, const struct core_input *input);
#define CORE_BATCH_RECORDS_MAX 4096u
#define CORE_FOUND_MAX 1024u /* accounts of one FOUND; the shell clamps and lets a later FIND see the rest */
#define CORE_SLOTS_MAX 32u   /* accounts of one task */

/* Replay: applies one record of the journal. -1 with MF_STATE naming seq and kind when it does not fit. */
int core_apply(struct core *core, const struct core_record *record, struct mf_error *error);

int64_t core_deadline(const struct core *core); /* CORE_NEVER when nothing is scheduled */
/* All nodes FINAL, and no account OPEN. */
bool core_settled(const struct core *core);

/* --- views, for the shell and for people --- */

struct core_node_view {
    enum core_task_state state;
    enum core_class class;       /* of the last failure */
    enum core_stop stop;
    uint32_t template;           /* CORE_NONE for a task of the graph */
    uint32_t ordinal;            /* index in the expanded list */
    uint32_t attempt;            /* 0 before the first */
    uint64_t stage;              /* seq; 0 when none */
    enum core_stage stage_kind;
    int64_t since_ms;            /* when the state was entered */
    int64_t deadline_ms;         /* CORE_NEVER when none */
    bool stale;
    uint32_t violations, anomalies; /* of this attempt, as far as recorded */
};
struct core_account_view {
    enum core_account_state state;
    uint32_t node, slot, provider;
    int64_t expires_ms;          /* 0: never or not known */
    int64_t created_ms, since_ms;
    uint32_t leases;             /* granted and not yet dropped */
    bool has_id;                 /* a step or the creation recorded an id */
    bool revoked;
    uint32_t tries;
};
struct core_totals {
    uint32_t nodes[CORE_TASK_STATE_COUNT];       /* instances and plain tasks; templates are not counted */
    uint32_t accounts[CORE_ACCOUNT_STATE_COUNT];
    uint32_t created;                            /* = gone + expired + expiring + claimable + leaked once settled */
    uint32_t live;
    enum core_drain drain;
    uint32_t anomalies;                          /* records of that kind, nobody's */
    uint32_t audit_count;                        /* lines of the audit log that are journaled */
};

uint32_t core_node_count(const struct core *core);
uint32_t core_account_count(const struct core *core); /* the highest n */
bool core_node(const struct core *core, uint32_t node, struct core_node_view *out);
bool core_account(const struct core *core, uint32_t account, struct core_account_view *out);
/* The account that a slot of a live node holds or has borrowed; CORE_NONE when none. */
uint32_t core_slot_account(const struct core *core, uint32_t node, uint32_t slot);
/* The account that a lease is for, until it is dropped; CORE_NONE when there is no such lease. */
uint32_t core_lease_account(const struct core *core, uint64_t lease);
/* First instance and count of an expanded template; false while it is not expanded. */
bool core_instances(const struct core *core, uint32_t task, uint32_t *first, uint32_t *count);
void core_totals(const struct core *core, struct core_totals *out);
uint64_t core_seq(const struct core *core);      /* of the last record */
int64_t core_time(const struct core *core);      /* at_ms of the last record or input */

/*
 * Exit code of a settled run by design section 9 (0, 1, 3, 4, 7, 8, 128+n are decided here; 5 and 9 elsewhere). run.settled
 * says it with the limits' strict_teardown and the number of the first SIGNAL of this life.
 */
int core_exit_code(const struct core *core, bool strict_teardown, int signal_number);

const char *core_task_state_name(enum core_task_state state);
const char *core_account_state_name(enum core_account_state state);
const char *core_class_name(enum core_class class);
const char *core_stage_name(enum core_stage stage);
const char *core_stop_name(enum core_stop stop);
const char *core_drain_name(enum core_drain drain);
const char *core_record_name(enum core_record_kind kind);
const char *core_command_name(enum core_command_kind kind);
const char *core_fact_name(enum core_fact fact);
enum core_subject core_record_subject(enum core_record_kind kind);
/* The fact that stands at a place of a record; CORE_FACT_NONE when the place is empty. */
enum core_fact core_record_fact(enum core_record_kind kind, uint32_t place);
/* -1 when there is no such name. */
int core_record_kind_of(const char *name);
int core_class_of(const char *name);
bool core_record_remark(enum core_record_kind kind);
bool core_task_final(enum core_task_state state);

/* Rows of the machines, for the dot graph and for tests; false behind the last. How often a row was taken since the start. */
bool core_task_row(uint32_t index, enum core_task_state *from, enum core_record_kind *record, enum core_task_state *to, uint64_t *taken);
bool core_account_row(uint32_t index, enum core_account_state *from, enum core_record_kind *record, enum core_account_state *to, uint64_t *taken);

#endif
