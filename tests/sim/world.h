/*
 * sim/world.h - a world of one thread and virtual time around the real core
 *
 * The world has a provider that loses answers, a runner with processes that do as they please, a journal, and a clock that jumps
 * from event to event. Everything that can go wrong is drawn from a seed (draw.c) or written down by a story (stories.c): both
 * give the world a `choose` function that says how one command goes. After every commit check.c looks at the whole.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/buf.h"
#include "base/rng.h"
#include "core/core.h"
#include "core/mutant.h"

#include <setjmp.h>

#define SIM_TASKS_MAX 16u
#define SIM_EDGES_MAX 64u
#define SIM_SLOTS_MAX 48u
#define SIM_PROVIDERS_MAX 3u
#define SIM_REMOTES_MAX 1024u
#define SIM_EVENTS_MAX 1024u
#define SIM_PROCESSES_MAX 512u
#define SIM_JOURNAL_MAX 20000u
#define SIM_TURN_MAX 5000u

struct sim_graph {
    struct core_task tasks[SIM_TASKS_MAX];
    struct core_edge edges[SIM_EDGES_MAX];
    struct core_slot slots[SIM_SLOTS_MAX];
    struct core_profile profiles[2];
    struct core_provider providers[SIM_PROVIDERS_MAX];
    struct core_graph graph; /* points at the arrays above */
    struct core_limits limits;
};

/* How one command goes. */
enum sim_fault {
    SIM_FINE,
    SIM_RETRY,       /* it did not happen, try later */
    SIM_RETRY_DONE,  /* it did happen, but the answer says: try later */
    SIM_REFUSED,     /* it will not happen; for teardown requests: hopeless */
    SIM_LOST,        /* no answer, no effect */
    SIM_LOST_DONE,   /* no answer, but the effect */
    SIM_LOST_TWICE,  /* no answer, and the effect two times */
    SIM_STEP_LOST,   /* the first effect is recorded, then no answer */
    SIM_LIE,         /* a delete that says yes and does nothing */
    SIM_FAIL,        /* spawn, prepare, expand: fails with `class` */
    SIM_HANG,        /* no answer at all */
    SIM_EARLY,       /* EXITED and RESULT overtake STARTED */
    SIM_NO_RESULT,   /* EXITED, then silence */
    SIM_DEAF,        /* ignores SIGTERM */
    SIM_UNKILLABLE   /* ignores SIGKILL too */
};
struct sim_behaviour {
    enum sim_fault fault;
    int64_t delay_ms;  /* until the answer */
    int64_t run_ms;    /* of a process */
    int64_t after_ms;  /* Retry-After */
    int64_t expires_ms; /* CREATED: life time; 0 as the provider says */
    int32_t code, signal;
    enum core_class class;
    uint32_t count;    /* EXPAND */
    bool dead;         /* a spawned agent finds its account dead while it runs */
};

enum sim_crash { SIM_CRASH_NONE, SIM_CRASH_BEFORE_COMMIT, SIM_CRASH_AFTER_COMMIT, SIM_CRASH_MID_COMMANDS, SIM_CRASH_AFTER_COMMANDS };

struct sim_remote { /* an account at the provider */
    uint32_t tag;     /* the n that it bears */
    uint32_t account; /* the n that took its id; 0 when nobody knows it yet */
    uint32_t provider;
    int64_t created_ms, deleted_ms, expires_ms; /* deleted_ms, expires_ms: CORE_NEVER when not */
    bool revoked, swept;
};

struct sim_process {
    uint64_t stage;
    uint32_t node;
    enum core_stage kind;
    int64_t started_ms, limit_ms;
    bool alive, deaf, unkillable, no_result, counted_out;
    struct sim_behaviour behaviour;
};

enum sim_effect { SIM_EFFECT_NONE, SIM_EFFECT_CREATE, SIM_EFFECT_REVOKE, SIM_EFFECT_DELETE, SIM_EFFECT_SWEEP, SIM_EFFECT_READ, SIM_EFFECT_START,
                  SIM_EFFECT_END, SIM_EFFECT_DROP, SIM_EFFECT_RUNNER, SIM_EFFECT_RUNNER_END };
struct sim_event {
    int64_t at_ms;
    uint64_t order;
    enum sim_effect effect;
    uint32_t subject;   /* account or process */
    uint32_t runner;    /* generation that sends it; 0: not from a runner */
    bool has_input;
    bool answers;       /* a request to the provider is over */
    enum sim_crash crash;
    struct core_input input;
};

struct sim_request { /* what the provider has in flight, for the limits */
    enum core_command_kind kind;
    bool busy;
};

struct sim_world;
typedef struct sim_behaviour sim_choose(struct sim_world *world, const struct core_command *command);

struct sim_world {
    struct sim_graph *setup;
    struct core *core;
    struct mf_rng rng;
    uint64_t seed, core_seed;
    sim_choose *choose;
    void *context;
    int64_t now_ms, faults_until_ms, restart_at_ms;
    bool down, finished;
    uint32_t lives, crashes, turns;

    struct core_record *journal;
    uint32_t journal_count;
    struct sim_event *events;
    uint32_t event_count;
    uint64_t event_order;
    struct sim_remote *remotes;
    uint32_t remote_count;
    struct sim_process *processes;
    uint32_t process_count;

    bool runner_up;
    uint32_t runner_generation, runners;
    struct { uint64_t lease, stage; uint32_t account, node; bool open, drop_hangs; } *leases;
    uint32_t lease_count;

    struct core_record *turn_records;
    uint32_t turn_record_count;
    struct core_command *turn_commands;
    uint32_t turn_command_count;
    uint32_t crash_permille;
    enum sim_crash crash_now;
    uint32_t drains, reruns, cancels; /* actions that make the edge oracle meaningless */
    int signal_number;                /* of the first SIGNAL of this life */
    struct { uint32_t node; uint64_t stage; } told[8]; /* stages that were told to stop in this turn */
    uint32_t told_count;
    bool act_before_commit;           /* mutant of the shell */
    bool visitors;                    /* a restart may be one to resume, or only to clean */

    uint8_t busy[SIM_REMOTES_MAX];        /* by account: command in flight + 1 */
    int64_t *creates[SIM_PROVIDERS_MAX];  /* times of creates, for the rate */
    uint32_t create_count[SIM_PROVIDERS_MAX];
    uint32_t attempt_of[SIM_REMOTES_MAX]; /* by account: the owner's attempt that made it */

    struct mf_buf *trace; /* NULL: none */
    bool failed;
    char failure[400];
    jmp_buf escape;
};

/* world.c */
struct sim_world *sim_new(struct sim_graph *setup, uint64_t seed, sim_choose *choose, void *context);
void sim_free(struct sim_world *world);
void sim_push(struct sim_world *world, struct sim_event event);
void sim_input(struct sim_world *world, int64_t delay_ms, struct core_input input);
bool sim_turn(struct sim_world *world); /* false when nothing is left to come */
void sim_crash(struct sim_world *world);
/* What `mayfly resume` steps at that time: every node, instances before their template, in topological order. */
void sim_resume(struct sim_world *world, int64_t at_ms);
extern uint64_t sim_events; /* inputs stepped, of all worlds */
bool sim_settled(const struct sim_world *world);
void sim_fail(struct sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
const struct core_record *sim_record(const struct sim_world *world, uint64_t seq);
bool sim_faulty(const struct sim_world *world); /* faults may still be injected */

/* remote.c: the provider */
void sim_account_command(struct sim_world *world, const struct core_command *command);
void sim_account_effect(struct sim_world *world, struct sim_event *event);
bool sim_remote_exists(const struct sim_world *world, const struct sim_remote *remote, int64_t at_ms);

/* agents.c: the runner and its processes */
void sim_runner_command(struct sim_world *world, const struct core_command *command);
bool sim_runner_effect(struct sim_world *world, struct sim_event *event); /* false: the event's input is void */
void sim_runner_gone(struct sim_world *world);
void sim_kill_runner(struct sim_world *world);

/* check.c */
void sim_check_command(struct sim_world *world, const struct core_command *command);
void sim_check_records(struct sim_world *world);
void sim_check_state(struct sim_world *world);
void sim_check_fold(struct sim_world *world);
void sim_check_end(struct sim_world *world);

/* trace.c */
void sim_trace_record(struct sim_world *world, const struct core_record *record);
void sim_trace_command(struct sim_world *world, const struct core_command *command);
void sim_trace_note(struct sim_world *world, const char *text);

/* draw.c */
struct sim_shape { /* what a seed may use; the shrinker takes parts away */
    uint32_t tasks_max;
    bool faults, crashes, actions, accounts, templates, limits;
};
extern const struct sim_shape sim_shape_full;
void sim_draw_graph(struct sim_graph *setup, struct mf_rng *rng, const struct sim_shape *shape);
struct sim_behaviour sim_draw(struct sim_world *world, const struct core_command *command);
/* Runs one seed to its end; true when all is well. `failure` takes the message, `trace` may be NULL. */
bool sim_run_seed(uint64_t seed, const struct sim_shape *shape, bool act_before_commit, struct mf_buf *trace, char failure[400]);

/* graph helpers */
void sim_graph_init(struct sim_graph *setup);
uint32_t sim_task(struct sim_graph *setup);
void sim_edge(struct sim_graph *setup, uint32_t from, enum core_on on, uint32_t at_least, bool percent); /* of the newest task */
void sim_slot(struct sim_graph *setup, struct core_slot slot);                                            /* of the newest task */

#endif
