/*
 * capture.c - what an agent prints: read from its pipes, redacted, written to a log that has a maximum
 *
 * The log holds raw bytes: readers escape them for terminals. Behind the maximum output is still read and counted, so
 * that an agent never blocks on its own noise, but nothing is redacted or kept. Writing to the file is a plain write:
 * the state directory is a local file system. A disk that is full costs the log, not the agent.
 */
#include "runner/capture.h"

#include "base/alloc.h"
#include "runner/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define OUT_BYTES_MAX ((size_t)4 << 20) /* one read, twice over for marks, and the longest held value */

struct capture {
    int fd; /* owned; -1 after the end of the stream */
    struct net_watch *watch;
    struct capture_log *log;
    struct redact_stream stream;
    uint64_t produced;
};

/* --- the log --- */

void capture_log_init(struct capture_log *log, int run_fd, const char *instance, unsigned attempt, const char *name,
                      uint64_t bytes_max)
{
    *log = (struct capture_log){.run_fd = run_fd,
                                .instance = instance,
                                .attempt = attempt,
                                .name = name,
                                .bytes_max = bytes_max > 0 ? bytes_max : CAPTURE_LOG_BYTES_MAX,
                                .fd = -1};
}

int capture_log_keep_tail(struct capture_log *log)
{
    log->tail = mf_alloc(CAPTURE_TAIL_BYTES_MAX);
    return log->tail != NULL ? 0 : -1;
}

static void open_log(struct capture_log *log)
{
    int dir_fd = paths_make_attempt(log->run_fd, log->instance, log->attempt);
    if (dir_fd >= 0) {
        log->fd = openat(dir_fd, log->name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        close(dir_fd);
    }
    log->failed = log->fd < 0;
}

static void write_all(struct capture_log *log, const char *data, size_t bytes)
{
    while (bytes > 0 && !log->failed) {
        ssize_t written = write(log->fd, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log->failed = true;
            return;
        }
        data += written;
        bytes -= (size_t)written;
        log->written += (uint64_t)written;
    }
}

static void keep_tail(struct capture_log *log, const char *data, size_t bytes)
{
    if (log->tail == NULL)
        return;
    if (bytes > CAPTURE_TAIL_BYTES_MAX) {
        data += bytes - CAPTURE_TAIL_BYTES_MAX;
        bytes = CAPTURE_TAIL_BYTES_MAX;
    }
    size_t keep = log->tail_length + bytes > CAPTURE_TAIL_BYTES_MAX ? CAPTURE_TAIL_BYTES_MAX - bytes : log->tail_length;
    memmove(log->tail, log->tail + log->tail_length - keep, keep);
    memcpy(log->tail + keep, data, bytes);
    log->tail_length = keep + bytes;
}

static void log_write(struct capture_log *log, const char *data, size_t bytes)
{
    keep_tail(log, data, bytes);
    if (log->fd < 0 && !log->failed && bytes > 0)
        open_log(log);
    uint64_t room = log->bytes_max - log->written;
    if (bytes > room) {
        log->cut = true;
        bytes = (size_t)room;
    }
    write_all(log, data, bytes);
}

void capture_log_close(struct capture_log *log)
{
    if (log->fd >= 0 && log->cut && !log->failed)
        dprintf(log->fd, "\n[mayfly: cut off here: the agent produced %" PRIu64 " bytes, the log keeps %" PRIu64 "]\n",
                log->produced, log->bytes_max);
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    mf_free(log->tail);
    log->tail = NULL;
}

/* --- a stream --- */

static void take(struct capture *capture, const char *data, size_t bytes)
{
    struct capture_log *log = capture->log;
    capture->produced += bytes;
    log->produced += bytes;
    if (log->cut || log->failed) {
        log->cut = true;
        keep_tail(log, data, capture->stream.redactor == NULL ? bytes : 0);
        return;
    }
    if (capture->stream.redactor == NULL) {
        log_write(log, data, bytes);
        return;
    }
    struct mf_buf out;
    mf_buf_init_secret(&out, OUT_BYTES_MAX);
    redact_feed(&capture->stream, (struct mf_span){data, bytes}, &out);
    log_write(log, mf_buf_cstr(&out), out.length);
    log->failed |= out.failed;
    mf_buf_free(&out);
}

static void close_pipe(struct capture *capture)
{
    if (capture->fd < 0)
        return;
    net_watch_destroy(capture->watch);
    capture->watch = NULL;
    close(capture->fd);
    capture->fd = -1;
}

/* One read: bytes, 0 at the end of the stream, -1 when there is nothing now. */
static ssize_t read_once(struct capture *capture, size_t bytes_max)
{
    static char buffer[READ_BYTES]; /* one thread */
    ssize_t got = read(capture->fd, buffer, bytes_max < sizeof buffer ? bytes_max : sizeof buffer);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    if (got <= 0)
        return 0;
    take(capture, buffer, (size_t)got);
    mf_wipe(buffer, (size_t)got);
    return got;
}

static void on_ready(void *context, int events)
{
    struct capture *capture = context;
    (void)events;
    if (read_once(capture, READ_BYTES) == 0)
        close_pipe(capture);
}

int capture_create(struct capture **out, struct net_loop *loop, int fd, struct capture_log *log,
                   const struct redactor *redactor, struct mf_error *error)
{
    *out = NULL;
    struct capture *capture = mf_calloc(1, sizeof *capture);
    if (capture == NULL || redact_stream_init(&capture->stream, redactor) != 0) {
        mf_free(capture);
        close(fd);
        return mf_fail(error, MF_MEMORY, "capture: no memory");
    }
    capture->fd = fd;
    capture->log = log;
    if (net_watch_create(&capture->watch, loop, fd, NET_READ, on_ready, capture, error) != 0) {
        close(fd);
        redact_stream_free(&capture->stream);
        mf_free(capture);
        return -1;
    }
    *out = capture;
    return 0;
}

static void drain(struct capture *capture)
{
    int pipe_bytes = fcntl(capture->fd, F_GETPIPE_SZ);
    size_t left = pipe_bytes > 0 ? (size_t)pipe_bytes : READ_BYTES;
    while (left > 0) {
        ssize_t got = read_once(capture, left);
        if (got <= 0)
            return;
        left -= (size_t)got;
    }
}

uint64_t capture_finish(struct capture *capture)
{
    if (capture == NULL)
        return 0;
    if (capture->fd >= 0)
        drain(capture);
    close_pipe(capture);
    if (capture->stream.length > 0) {
        struct mf_buf out;
        mf_buf_init_secret(&out, OUT_BYTES_MAX);
        redact_end(&capture->stream, &out);
        if (!capture->log->cut)
            log_write(capture->log, mf_buf_cstr(&out), out.length);
        mf_buf_free(&out);
    }
    uint64_t produced = capture->produced;
    redact_stream_free(&capture->stream);
    mf_free(capture);
    return produced;
}
