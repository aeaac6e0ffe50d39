/*
 * runner/tree.h - processes found through /proc: whose child, which session, which mark, born when
 *
 * For machines without a cgroup v2 of our own, and for what a crash left. A process belongs to a tree when it descends
 * from the tree's main process, is in its session or group, or carries the tree's MAYFLY_SPAWN mark in its environment.
 * Signals go through a pidfd that is opened before the check, so that a reused pid is never hit.
 */
#ifndef MF_RUNNER_TREE_H
#define MF_RUNNER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TREE_MARK_NAME "MAYFLY_SPAWN="
#define TREE_MARK_BYTES_MAX 64

struct tree_process {
    pid_t pid, parent, group, session;
    uint64_t birth; /* field 22 of /proc/PID/stat: clock ticks since boot */
    char state;
    bool member; /* scratch of the caller */
};

/* All processes that can be seen; the caller frees with mf_free. NULL without memory or /proc. */
struct tree_process *tree_list(size_t *count);
/* One process; -1 when it is gone. */
int tree_read(pid_t pid, struct tree_process *out);
/* The value of MAYFLY_SPAWN in the environment of `pid`; -1 when there is none or it cannot be read. */
int tree_mark(pid_t pid, char mark[TREE_MARK_BYTES_MAX]);
bool tree_marked(pid_t pid, const char *prefix);
/*
 * Children of one process, all its threads: at most `max` pids. Returns how many, -1 when this kernel does not list
 * them or the process is gone.
 */
int tree_children(pid_t pid, pid_t *children, size_t max);
/* Marks every process whose parent is a member, until no more are found. Sorts the list. */
void tree_close_over(struct tree_process *list, size_t count);
/* Sends the signal if the process is still the one of that birth. Returns 0 or -1. */
int tree_signal(const struct tree_process *process, int signal_number);

#endif
