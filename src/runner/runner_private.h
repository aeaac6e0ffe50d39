/* runner/runner_private.h - what the parts of the runner process share: runner.c, attempt.c, stage.c, prepare.c,
 * process.c */
#ifndef MF_RUNNER_RUNNER_PRIVATE_H
#define MF_RUNNER_RUNNER_PRIVATE_H

#include "runner/capture.h"
#include "runner/channel.h"
#include "runner/environment.h"
#include "runner/job.h"
#include "runner/paths.h"

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
    int pidfd;               /* owned; -1: none */
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
    char run_id[64], run_dir[4096], path[4096];
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
                bool prompt, struct mf_error *error);
/* PATH, LANG, TERM, HOME, MAYFLY_RUN, _TASK, _ATTEMPT; then `given`. */
int process_environment(struct stage *stage, const struct runner_variable *given, uint32_t given_count,
                        struct environment *environment, struct mf_error *error);
int process_set_path(struct stage *stage, struct environment *environment, const char *name, const char *below,
                     struct mf_error *error);
int process_started(struct stage *stage, const int *descriptors); /* takes pidfd, stdout, stderr */
void process_ended(struct stage *stage);                          /* drains and closes the captures */
/* The words and the class of a RUN that failed. */
const char *process_failure(uint64_t step, int os_errno, struct mf_span program, char reason[RUNNER_REASON_BYTES_MAX]);
int process_job(struct stage *stage, enum job_kind kind, bool again);
void process_kill(struct stage *stage, uint32_t level);
void runner_reply(struct runner *runner, enum frame_type type, uint64_t stage, struct mf_span first,
                  struct mf_span second);

/* --- stage.c --- */
int runner_on_spawn(struct runner *runner, const struct frame *frame);
void stage_on_started(struct stage *stage, int64_t pid, int64_t birth);
void stage_on_run_failed(struct stage *stage, uint64_t step, int os_errno);
void stage_on_ended(struct stage *stage, const struct message_ended *ended);
void stage_on_job_ended(struct stage *stage, const struct message_job_ended *ended);

/* --- prepare.c --- */
int runner_on_prepare(struct runner *runner, const struct frame *frame);
void prepare_on_run_failed(struct stage *stage, uint64_t step, int os_errno);
void prepare_on_ended(struct stage *stage, const struct message_ended *ended);
void prepare_on_job_ended(struct stage *stage, const struct message_job_ended *ended);

#endif
