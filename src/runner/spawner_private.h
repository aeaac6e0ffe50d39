/* runner/spawner_private.h - what the three parts of the spawner share: spawner.c, spawner_run.c, spawner_reap.c */
#ifndef MF_RUNNER_SPAWNER_PRIVATE_H
#define MF_RUNNER_SPAWNER_PRIVATE_H

#include "runner/child.h"
#include "runner/job.h"
#include "runner/slot.h"
#include "runner/spawner.h"
#include "runner/tree.h"
#include "sandbox/sandbox.h"

#include <sys/resource.h>

/*
 * Helpers at work at once, by lane: workspaces may wait for a remote for minutes and must not keep others from being
 * furnished and collected, which is a matter of the disk.
 */
#define SPAWNER_LANES 2
#define SPAWNER_HELPERS_MAX 12 /* in each */
#define SPAWNER_PIDS 1024      /* buckets */
#define SPAWNER_SLOTS_MAX (1u << 20)
#define SPAWNER_STUCK_MS 5000 /* a tree that lives so long after SIGKILL is in an uninterruptible sleep */

enum spawned_kind { SPAWNED_AGENT, SPAWNED_HELPER, SPAWNED_REMOVER, SPAWNED_KEEPER };

struct spawned {
    struct spawned *next_in_bucket;
    struct spawned *previous, *next; /* all */
    enum spawned_kind kind;
    pid_t pid;
    uint64_t stage;
    uint64_t birth;
    uint32_t slot;
    char mark[TREE_MARK_BYTES_MAX];
    uint32_t lane; /* helper */
    int answer_fd; /* owned; helper: where it writes what became of its job; else -1 */
    bool walled;   /* agent: in a sandbox */
    bool dying;    /* agent: the main process ended, the rest of the tree is being killed */
    bool alive;    /* dying: something of the tree was alive at the last look */
    int status;
    struct rusage usage;
    int64_t ended_ms, kill_until_ms;
};

struct spawner_queued { /* a job that waits for a helper */
    struct spawner_queued *next;
    uint64_t stage;
    size_t bytes;
    char payload[];
};

struct spawner {
    int socket_fd, signal_fd, run_fd, work_fd, trash_fd, null_fd; /* owned */
    int children_fd; /* owned: /proc/.../children; -1: this kernel has none */
    int group_fd;    /* owned: the run's cgroup; -1: none */
    char group_path[CGROUP_PATH_BYTES_MAX];
    const char *run_dir, *run_id;
    struct rlimit descriptors; /* of agents: as it was before we raised ours */
    struct slot *slots;        /* owned */
    size_t slot_capacity;
    uint32_t slot_count;
    struct spawned *pids[SPAWNER_PIDS];
    struct spawned *first;
    uint32_t dying_count;
    struct spawner_lane {
        struct spawner_queued *queue, **queue_end; /* owned */
        uint32_t helper_count;
    } lanes[SPAWNER_LANES];
    uint64_t trash_next;
    bool trash_waits, remover_runs;
    struct mf_buf in, out, scratch;
    void *pointers; /* owned: argv, environment and candidates of the plan at hand */
    size_t pointer_capacity;
    bool leaving, tidy;
    int64_t agent_uid;
    struct sandbox_base *base; /* owned; NULL before the first sandboxed agent */
};

/* spawner.c */
void spawner_flush(struct spawner *spawner);
void spawner_send_descriptors(struct spawner *spawner, const int *descriptors,
                              size_t count);                         /* with the queued frame */
struct slot *spawner_slot(struct spawner *spawner, uint32_t number); /* NULL without memory or above the limit */

/* spawner_run.c: what the runner asks for */
int spawner_on_run(struct spawner *spawner, const struct frame *frame);
int spawner_on_job(struct spawner *spawner, const struct frame *frame);
int spawner_on_release(struct spawner *spawner, const struct frame *frame);
void spawner_start_queued(struct spawner *spawner, struct spawner_lane *lane);
void spawner_start_remover(struct spawner *spawner);
pid_t spawner_fork_helper(struct spawner *spawner); /* as fork */

/* spawner_wall.c: what a sandbox adds to that */
struct walled { /* of one start */
    struct sandbox_launch launch;
    int join_fds[4];
    char *candidates[2];
};
/* -1 with errno; why is on stderr then. On success the caller gives *walled to walled_free. */
int spawner_wall(struct spawner *spawner, const struct message_run *run, struct slot *slot, struct child_plan *plan,
                 struct walled *walled);
void walled_free(struct walled *walled, const struct child_plan *plan);
void walled_tell_control(struct spawner *spawner, uint64_t stage, struct walled *walled); /* RUN_CONTROL */
/* Out of a sandbox: the directories are ours again, the limits are gone. */
int spawner_unwall(struct spawner *spawner, uint32_t number, struct slot *slot);
/* Before a slot is filled: makes it a file system of that size, when that was asked for. -1: it cannot be. */
int spawner_limit_disk(struct spawner *spawner, const struct message_job *job);
/* Ends what a sandbox made of the slot before its directory goes. */
void spawner_release_walls(struct spawner *spawner, uint32_t number, struct slot *slot);
void spawner_signal_walled(const struct spawned *spawned, int signal_number);
/* What is kept of an agent is ours again; in a helper. */
void spawner_hand_back(struct spawner *spawner, int dir_fd);

/* spawner_reap.c: what became of it */
struct spawned *spawned_add(struct spawner *spawner, enum spawned_kind kind, pid_t pid, uint64_t stage, uint32_t slot);
struct spawned *spawned_of_stage(struct spawner *spawner, uint64_t stage);
void spawned_remove(struct spawner *spawner, struct spawned *spawned);
bool spawner_reap(struct spawner *spawner); /* true: there is more to reap */
void spawner_check_dying(struct spawner *spawner);
int spawner_on_kill(struct spawner *spawner, const struct frame *frame);
void spawner_kill_all(struct spawner *spawner); /* until no descendant is left */

#endif
