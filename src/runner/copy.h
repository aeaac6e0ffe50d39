/*
 * runner/copy.h - copies of files and directories within a budget, by descriptor, following nothing
 *
 * Used by helpers only. Only regular files and directories are copied; modes become the owner's rwx of the source.
 */
#ifndef MF_RUNNER_COPY_H
#define MF_RUNNER_COPY_H

#include "runner/job.h"

#include <sys/types.h>

#define COPY_DEPTH_MAX 64        /* a descriptor is held for each level on both sides */
#define COPY_ENTRIES_MAX 1000000 /* of a workspace */

struct copy_budget {
    uint64_t bytes_max, bytes;
    uint32_t files_max, files;
    const char *bytes_limit, *files_limit; /* what the limits are called in a graph */
};

enum copy_links { COPY_LINKS_REFUSE, COPY_LINKS_KEEP /* as links, wherever they point; nothing is followed */ };

/* One open regular file to a new file; at most `bytes` of it. 0, or -1 with *answer filled. */
int copy_file(int from_fd, uint64_t bytes, int to_dir_fd, const char *name, mode_t mode, struct job_answer *answer);

/* Counts a file in; -1 with *answer filled (class_name) when it is too much. */
int copy_charge(struct copy_budget *budget, uint64_t bytes, const char *class_name, struct job_answer *answer);

/* Everything in one directory into another. `shown` names it in a reason. */
int copy_tree(int from_fd, int to_fd, enum copy_links links, struct copy_budget *budget, const char *shown,
              struct job_answer *answer);

/* `files` of a graph: each relative to `base_fd`, to the same path below `to_fd`. */
int copy_listed(const char *base, int to_fd, const struct mf_span *files, uint32_t count, struct copy_budget *budget,
                struct job_answer *answer);

/* A directory of the graph, opened beneath its base; -1 with *answer filled. */
int copy_open_base(const char *base, struct job_answer *answer);

/*
 * For showing files to an agent without letting it change them: each file becomes a copy of its own up to 1 MiB; above,
 * a clone where the file system has them, else a hard link to the read-only original. Where what is shown is handed over to
 * another uid (COPY_SHOW_OWN) never a link: the owner of a file is the same by all its names.
 */
enum copy_show { COPY_SHOW_SHARED, COPY_SHOW_OWN };
int copy_show_file(int from_dir_fd, const char *from_name, int to_dir_fd, const char *name, enum copy_show show,
                   struct job_answer *answer);
int copy_show_tree(int from_fd, int to_fd, int depth, enum copy_show show, struct job_answer *answer);

#endif
