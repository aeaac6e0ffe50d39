/*
 * runner/cgroup.h - kill-all by cgroup v2: one group for the run, one pooled group for each slot
 *
 * Making and removing a group costs as much as a tenth of a process, so a slot keeps its group as long as it comes back
 * empty. No controller is needed, only cgroup.kill; where no cgroup v2 hierarchy is mounted and writable the trees are
 * found through /proc instead (tree.h).
 */
#ifndef MF_RUNNER_CGROUP_H
#define MF_RUNNER_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_PATH_BYTES_MAX 512

struct cgroup {
    int dir_fd;    /* owned; -1: there is none */
    int events_fd; /* owned: cgroup.events */
};

/*
 * Makes the run's group below the caller's own one. Returns its descriptor (caller closes) and its path, or -1 when
 * there is no cgroup v2 that we may use.
 */
int cgroup_make_run(const char *name, char path[CGROUP_PATH_BYTES_MAX]);
/* Makes or finds the group `name` in the run's; -1 with *out empty. */
int cgroup_make(int run_fd, const char *name, struct cgroup *out);
void cgroup_close(struct cgroup *group); /* the group stays */

bool cgroup_empty(const struct cgroup *group); /* nothing alive in it or below; true for no group */
/* SIGKILL to everything in it and below, also to what is being forked. */
int cgroup_kill(int dir_fd);
/* Another signal to each process in it, followed by SIGCONT so that a stopped one hears it. Returns how many. */
int cgroup_signal(int dir_fd, int signal_number);

/* Kills everything in the group at `path`, waits at most `wait_ms`, removes it with its children. 0: it is gone.
 * *killed counts (may be NULL). */
int cgroup_remove(const char *path, int wait_ms, int *killed);

#endif
