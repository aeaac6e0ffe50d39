/*
 * runner/job.h - work for a helper process of the spawner: bring a workspace, furnish a slot, collect what an agent
 * left
 *
 * A job runs in a forked child that may block, allocate and fail as it likes; its answer goes through a pipe to the
 * spawner and on to the runner. It sees no secret: leases are in the environment of agents only.
 */
#ifndef MF_RUNNER_JOB_H
#define MF_RUNNER_JOB_H

#include "runner/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum job_kind {
    JOB_WORKSPACE, /* payload: PREPARE; files, copy or git into ws */
    JOB_FURNISH,   /* payload: SPAWN; prompt, inputs, previous, subject and verify's files */
    JOB_COLLECT,   /* payload: SPAWN; result and outputs */
    JOB_KIND_COUNT
};

struct message_job {
    uint32_t kind;
    uint32_t slot;
    bool again;             /* WORKSPACE: the slot is the previous attempt's: keep ws, empty the rest */
    uint32_t subject;       /* FURNISH of verify: the agent's slot + 1; 0: it has none */
    struct mf_span result;  /* FURNISH of verify: the agent's result, SHA-256 hex or empty */
    struct mf_span payload; /* of the frame that asked for the stage */
};
void message_put_job(struct frame_writer *writer, const struct message_job *message);
int message_take_job(struct mf_span payload, struct message_job *message, struct message_memory *memory);

#define JOB_REASON_BYTES_MAX 1024

struct job_answer {
    bool done;
    const char *class_name; /* static */
    char reason[JOB_REASON_BYTES_MAX];
    char text[80];
    uint64_t result_bytes, output_bytes;
    uint32_t output_files;
};

/* What a job works on; descriptors are the spawner's. */
struct job_place {
    int run_fd;          /* runs/ID */
    int slot_fd;         /* .work/@N */
    const char *run_dir; /* absolute */
    uid_t agent_uid;     /* who owns what a sandboxed agent gets; our own: nothing is handed over */
    gid_t agent_gid;
};

/* Fails a job: returns -1, so that it reads `return job_fail(...)`. The reason may hold names that an agent chose: it
 * is made printable. */
int job_fail(struct job_answer *answer, const char *class_name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As job_fail for our own trouble, with strerror(errno). */
int job_fail_os(struct job_answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs one job to its end; the answer says how it went. */
void job_run(const struct message_job *job, const struct job_place *place, struct job_answer *answer);

/* As root, before a sandboxed process: DIR of the slot with all in it becomes the agents'; missing is fine. */
int job_hand_over(const struct job_place *place, const char *directory, struct job_answer *answer);

/* One function for each kind of job; each in a file of its own. */
int job_workspace(const struct message_job *job, const struct job_place *place,
                  struct job_answer *answer); /* workspace.c */
int job_furnish(const struct message_job *job, const struct job_place *place,
                struct job_answer *answer); /* furnish.c */
int job_collect(const struct message_job *job, const struct job_place *place,
                struct job_answer *answer); /* collect.c */

#endif
