/*
 * runner/runner_private.h - what the parts of the runner process share
 *
 *   runner.c       life of the process, messages of both sides
 *   attempt.c      attempts and their slots, leases
 *   prepare.c      PREPARE: a workspace and its setup command
 *   stage.c        SPAWN: agent and verify
 *   process.c      what setup, agents and verify share: environment, start, capture, end
 *   gate.c         the gateway: policies and services handed in, what it sees handed on
 *   given.c        what a stage is given: tokens in place of credentials, doors, proxies
 *   inside.c       what is said from inside a sandbox, and when a main process ended
 */
#ifndef MF_RUNNER_RUNNER_PRIVATE_H
#define MF_RUNNER_RUNNER_PRIVATE_H

#include "gateway/gateway.h"
#include "runner/capture.h"
#include "runner/channel.h"
#include "runner/environment.h"
#include "runner/job.h"
#include "runner/paths.h"
#include "sandbox/sandbox.h"

#include <sys/types.h>

#define RUNNER_BUCKETS 1024
#define RUNNER_SLOT_NONE UINT32_MAX
#define RUNNER_REASON_BYTES_MAX 1600

/* One attempt of one instance, from its first message to FINISH. */
struct attempt {
    struct attempt *next; /* in its bucket */
    char path[PATHS_INSTANCE_BYTES_MAX];
    uint32_t number;
    uint32_t slot;      /* the agent's; RUNNER_SLOT_NONE before it is needed */
    bool dirty;         /* something may be in the slot */
    bool kept;          /* over, but its workspace waits for RUNNER_WORKSPACE_CONTINUE */
    uint32_t stages;    /* that are not over */
    bool finishing;     /* FINISH came while a stage was not over */
    bool retain, again; /* what that FINISH said */
    char result[65];    /* SHA-256 hex of the agent's result; empty: none */
};

struct lease {
    struct lease *next; /* in its bucket */
    uint64_t id, stage;
    struct mf_buf payload; /* owned, secret: `message` points into it */
    struct message_memory memory;
    struct runner_lease message;
};

struct policy_entry {
    struct policy_entry *next;
    uint64_t id;
    char *base_path;   /* owned */
    char trouble[256]; /* not empty: the gateway did not take it, and why */
};

struct service_entry {
    struct service_entry *next;
    uint64_t id;
    struct mf_buf payload; /* owned, secret: `message` points into it */
    struct message_memory memory;
    struct runner_service message;
    char trouble[256];
};

/* The tokens of a stage while its environment is made: of its leases, then of its uses. */
struct given_tokens {
    char (*tokens)[GATEWAY_TOKEN_BYTES]; /* owned, secret */
    uint32_t count;
    uint16_t port; /* where the gateway is for this stage */
};

/* What mayfly-init said of a sandboxed process. */
struct inside {
    int control_fd;          /* owned; -1: none */
    struct net_watch *watch; /* owned */
    bool started, failed, exited;
    bool broken;   /* a door could not be opened */
    uint32_t step; /* failed: enum child_step */
    int os_errno;
    int status; /* exited: as wait gives it */
    int64_t user_us, system_us, rss_bytes_max, ended_ms;
};

enum stage_kind { STAGE_PREPARE, STAGE_AGENT, STAGE_VERIFY };
/* PREPARE: HELPING → RUNNING (setup).  AGENT, VERIFY: HELPING (furnish) → RUNNING → COLLECTING. */
enum stage_state { STAGE_HELPING, STAGE_RUNNING, STAGE_COLLECTING };

struct stage {
    struct stage *next; /* in its bucket */
    uint64_t id;
    enum stage_kind kind;
    enum stage_state state;
    struct runner *runner;
    struct attempt *attempt; /* counted in attempt->stages */
    uint32_t slot;           /* verify: its own; else the attempt's */
    struct mf_buf payload;   /* owned, secret: the message points into it */
    struct message_memory memory;
    struct runner_prepare prepare; /* STAGE_PREPARE */
    struct message_spawn spawn;    /* else */
    struct redactor *redactor;     /* owned; NULL: nothing to look for */
    struct capture_log out_log, err_log;
    struct capture *out, *err; /* owned while the process runs */
    uint64_t out_bytes, err_bytes;
    int pidfd;                   /* owned; -1: none */
    struct net_watch *end_watch; /* owned: of the pidfd, when tokens end with the main process */
    int64_t pid, birth;          /* of the main process; sandboxed: of its bubblewrap */
    struct inside inside;
    bool gated;              /* open in the gateway */
    bool told;               /* STARTED went out */
    struct net_timer *timer; /* owned; setup's timeout */
    uint32_t level;          /* highest SIGNAL so far */
    bool timed_out;
    char commit[80];
};

struct runner {
    struct net_loop *loop;
    struct channel *orchestrator, *spawner;
    pid_t spawner_pid;
    int run_fd;
    struct net_client *client;      /* owned */
    struct gateway *gateway;        /* owned */
    struct policy_entry *policies;  /* owned */
    struct service_entry *services; /* owned */
    char run_id[64], run_dir[4096], path[4096], ca_file[4096];
    int64_t agent_uid;
    uint64_t anchored_count;
    char anchored_head[AUDIT_HASH_HEX];
    struct attempt *attempts[RUNNER_BUCKETS];
    struct stage *stages[RUNNER_BUCKETS];
    struct lease *leases[RUNNER_BUCKETS];
    void *free_slots; /* owned: stack of uint32_t */
    size_t free_capacity;
    uint32_t free_count, slot_count;
    bool tidy, failed;
};

/* --- attempt.c --- */
struct attempt *attempt_find(struct runner *runner, struct mf_span path, uint32_t number);
struct attempt *attempt_get(struct runner *runner, struct mf_span path,
                            uint32_t number); /* makes it; NULL without memory */
struct attempt *attempt_kept(struct runner *runner,
                             struct mf_span path); /* the one that waits to be continued, or NULL */
void attempt_forget(struct runner *runner,
                    struct attempt *attempt); /* frees it; its slot must have been given up or taken over */
void attempt_stage_over(struct runner *runner, struct attempt *attempt);
int slot_take(struct runner *runner, uint32_t *slot); /* -1 without memory */
void slot_give(struct runner *runner, uint32_t slot, bool dirty,
               const struct attempt *retained); /* `retained`: whose workspace is to stay, or NULL */
int runner_on_finish(struct runner *runner, const struct frame *frame);
int runner_on_lease(struct runner *runner, const struct frame *frame);
int runner_on_drop(struct runner *runner, const struct frame *frame);
struct lease *lease_find(struct runner *runner, uint64_t id);
void leases_drop_of_stage(struct runner *runner, const struct stage *stage);
void runner_free_tables(struct runner *runner);

/* --- process.c: what PREPARE's setup and SPAWN share --- */
struct stage *stage_find(struct runner *runner, uint64_t id);
struct stage *stage_create(struct runner *runner,
                           const struct frame *frame); /* copies the payload; NULL without memory */
void stage_destroy(struct stage *stage);               /* takes it out of the table and tells the attempt */
/* Sends RUN; the environment already holds all but HOME and what every process gets. -1: *reason says why. */
int process_run(struct stage *stage, const struct mf_span *argv, uint32_t argc, struct environment *environment,
                bool prompt, bool has_in, struct mf_error *error);
/* PATH, LANG, TERM, HOME, proxies; then `given`; then MAYFLY_RUN, _TASK, _ATTEMPT. */
int process_environment(struct stage *stage, const struct runner_variable *given, uint32_t given_count,
                        struct environment *environment, struct mf_error *error);
int process_set_path(struct stage *stage, struct environment *environment, const char *name, const char *below,
                     struct mf_error *error);
int process_started(struct stage *stage, const int *descriptors); /* takes pidfd, stdout, stderr */
void process_drain(struct stage *stage); /* takes what the pipes still hold; the logs stay open */
void process_ended(struct stage *stage); /* drains and closes the captures */
void process_tail(const struct capture_log *log, struct mf_buf *out); /* ": last lines" of a log, escaped */
/* The words and the class of a RUN that failed, before anything of it was executed. */
const char *process_failure(const struct stage *stage, uint64_t step, int os_errno,
                            char reason[RUNNER_REASON_BYTES_MAX]);
/* The same of a sandbox that ended before its command was executed. */
const char *process_not_executed(const struct stage *stage, const struct message_ended *ended,
                                 char reason[RUNNER_REASON_BYTES_MAX]);
int process_job(struct stage *stage, enum job_kind kind, bool again);
void process_kill(struct stage *stage, uint32_t level);
const struct runner_walls *process_walls(const struct stage *stage);
void runner_reply(struct runner *runner, enum frame_type type, uint64_t stage, struct mf_span first,
                  struct mf_span second);

/* --- gate.c --- */
int gate_open(struct runner *runner, struct mf_error *error); /* the client and the gateway */
void gate_close(struct runner *runner);
int runner_on_policy(struct runner *runner, const struct frame *frame);
int runner_on_service(struct runner *runner, const struct frame *frame);
const struct policy_entry *gate_policy(const struct runner *runner, uint64_t id); /* NULL: not there */
const struct service_entry *gate_service(const struct runner *runner, uint64_t id);

/* --- given.c --- */
/*
 * Opens the stage in the gateway, its leases and uses, and for one without a sandbox its port; puts what they give into the
 * environment and makes the redactor. Nothing real gets into the environment.
 */
int given_open(struct stage *stage, struct environment *environment, struct mf_error *error);
void given_close(struct stage *stage); /* tokens die, doors close; also when nothing was opened */
/* The ports that a sandboxed stage listens on inside; -1: too many, or one of them twice. */
int given_ports(const struct stage *stage, uint64_t ports[SANDBOX_PORTS_MAX], uint32_t *count, struct mf_error *error);
int given_proxies(const struct stage *stage, struct environment *environment, struct mf_error *error);

/* --- inside.c --- */
void inside_open(struct stage *stage, int control_fd); /* takes the descriptor */
void inside_close(struct stage *stage);
/* The tree is dead: takes what is still in the socket; what was said inside is more precise than what was seen outside. */
void inside_end(struct stage *stage, struct message_ended *ended);
void inside_signal(struct stage *stage, uint32_t level); /* of a running stage, sandboxed or not */
void inside_watch_end(struct stage *stage);              /* without a sandbox: tokens end with the main process */

/* --- stage.c --- */
int runner_on_spawn(struct runner *runner, const struct frame *frame);
void stage_on_started(struct stage *stage); /* the command was executed */
void stage_on_run_failed(struct stage *stage, uint64_t step, int os_errno);
void stage_on_ended(struct stage *stage, const struct message_ended *ended);
void stage_on_job_ended(struct stage *stage, const struct message_job_ended *ended);

/* --- prepare.c --- */
int runner_on_prepare(struct runner *runner, const struct frame *frame);
void prepare_on_run_failed(struct stage *stage, uint64_t step, int os_errno);
void prepare_on_ended(struct stage *stage, const struct message_ended *ended);
void prepare_on_job_ended(struct stage *stage, const struct message_job_ended *ended);

#endif
