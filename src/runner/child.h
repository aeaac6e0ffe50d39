/*
 * runner/child.h - one process from a plan: cloned without copying memory, put in its group, stripped, executed
 *
 * The child shares the spawner's memory until it executes (as vfork does), on a stack of its own, and makes only system
 * calls in between. It starts in its cgroup and with its pidfd, so that there is no instant in which it can be lost.
 */
#ifndef MF_RUNNER_CHILD_H
#define MF_RUNNER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct child_plan {
    char *const *argv;
    char *const *environment;
    char *const *candidates; /* what to execute: tried in turn, as PATH is searched; NULL at the end */
    int directory_fd;        /* working directory; all descriptors of the plan stay the caller's */
    int input_fd, output_fd, error_fd;
    int cgroup_fd; /* -1: none */
    struct rlimit descriptors;
    /* of a sandboxed one; all zero otherwise */
    const int *keep_fds; /* stay open, by these numbers */
    uint32_t keep_count;
    const int *join_fds; /* version 1 groups to enter: "0" is written to each */
    uint32_t join_count;
    bool change_user;
    uid_t uid;
    gid_t gid;
};

struct child_started {
    pid_t pid;
    int pidfd;     /* the caller's */
    int64_t birth; /* clock ticks since boot, as in /proc/PID/stat */
};

enum child_step { CHILD_STEP_CLONE = 1, CHILD_STEP_SETUP, CHILD_STEP_EXECUTE };

/* Returns 0, or -1 with *step and errno saying what failed; nothing is left then. One caller at a time, one thread. */
int child_start(const struct child_plan *plan, struct child_started *out, enum child_step *step);

#endif
