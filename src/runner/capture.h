/*
 * runner/capture.h - what an agent prints: read from its pipes, redacted, written to a log that has a maximum
 */
#ifndef MF_RUNNER_CAPTURE_H
#define MF_RUNNER_CAPTURE_H

#include "net/loop.h"
#include "runner/redact.h"

#include <stdint.h>

#define CAPTURE_LOG_BYTES_MAX ((uint64_t)16 << 20) /* when the stage does not say */
#define CAPTURE_TAIL_BYTES_MAX 1024                /* kept in memory for a reason: the last lines of setup */

/* One file, made with the first byte. Several streams may share it. */
struct capture_log {
    int run_fd;           /* not owned */
    const char *instance; /* not owned */
    unsigned attempt;
    const char *name; /* "stdout.log"; static */
    uint64_t bytes_max;
    int fd; /* owned; -1 before the first byte */
    uint64_t written;
    uint64_t produced; /* by all streams of this log */
    bool failed;       /* the disk would not take it */
    bool cut;
    char *tail; /* owned; NULL: not asked for */
    size_t tail_length;
};

void capture_log_init(struct capture_log *log, int run_fd, const char *instance, unsigned attempt, const char *name,
                      uint64_t bytes_max);
int capture_log_keep_tail(struct capture_log *log); /* -1 without memory */
/* Writes the truncation mark if something was cut off, and closes. */
void capture_log_close(struct capture_log *log);

struct capture;

/* Takes `fd` (a non-blocking pipe), also on failure. `log` and `redactor` (may be NULL) must outlive the capture. */
int capture_create(struct capture **out, struct net_loop *loop, int fd, struct capture_log *log,
                   const struct redactor *redactor, struct mf_error *error);
/*
 * The tree is dead: takes what the pipe still holds and no more (somebody who got hold of the other end may write for
 * ever), lets go of held bytes and closes. Returns how many bytes the stream produced. Destroys the capture; NULL is
 * fine.
 */
uint64_t capture_finish(struct capture *capture);

#endif
