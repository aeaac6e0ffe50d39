/*
 * runner/paths.h - directories by descriptor: made on first use, opened without leaving them, removed whatever is
 * inside
 */
#ifndef MF_RUNNER_PATHS_H
#define MF_RUNNER_PATHS_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define PATHS_WORK ".work"
/* No task id begins with a dot: a task may be called "work", and this directory goes as a whole when the runner ends. */
#define PATHS_TRASH "@trash"
#define PATHS_CGROUP "@cgroup"
#define PATHS_SLOT_FORMAT "@%u"
#define PATHS_INSTANCE_BYTES_MAX 130 /* id, "/", key, terminator */

/* "deploy" or "deploy/web", as the design allows names: nothing that could leave the run directory. */
bool paths_instance_valid(struct mf_span path);

/* Opens a directory below `root_fd`, making what is missing (0700); no link is followed. Returns the descriptor (caller
 * closes) or -1 with errno. */
int paths_make(int root_fd, const char *path);
/* The attempt's directory TASK[/KEY]/ATTEMPT, as paths_make. */
int paths_make_attempt(int run_fd, const char *instance, unsigned attempt);

/* openat2 that stays beneath `dir_fd`, follows no link and, with `one_mount`, crosses no mount point; -1 with errno. */
int paths_open_beneath(int dir_fd, const char *path, int flags, bool one_mount);

/* Writes a new file, 0600; -1 with errno. */
int paths_write_file(int dir_fd, const char *name, const void *data, size_t bytes);

/*
 * Removes everything in the directory, however deep, whatever its modes; follows nothing. Returns 0, or -1 when
 * something would not go (it went on with the rest).
 */
int paths_empty(int dir_fd);

/* Sums the sizes of regular files below, without following anything; -1 when it is deeper than any repository. */
int paths_tree_bytes(int dir_fd, int depth, uint64_t *bytes);

#endif
