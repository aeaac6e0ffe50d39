/* outlet.c - a queue between the loop, which never waits, and a descriptor that may block */
#include "cmd/outlet.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct outlet {
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    FILE *stream; /* owned */
    struct mf_buf queue;
    uint64_t lost; /* writes that did not fit */
    int fd;        /* not owned */
    bool closing, gone;
};

/* The stream's side: a line at a time, because every writer flushes behind a line. */
static ssize_t take(void *cookie, const char *data, size_t bytes)
{
    struct outlet *outlet = cookie;
    pthread_mutex_lock(&outlet->lock);
    if (!outlet->gone && mf_buf_append(&outlet->queue, data, bytes) != 0) {
        outlet->lost++;
        outlet->queue.failed = false; /* it only was too much for now */
    }
    pthread_cond_signal(&outlet->more);
    pthread_mutex_unlock(&outlet->lock);
    return (ssize_t)bytes;
}

static bool put(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return false; /* nobody reads it any more */
        if (written > 0) {
            data += written;
            bytes -= (size_t)written;
        }
    }
    return true;
}

/* Takes all that is there. False: it is closed and empty. */
static bool take_queue(struct outlet *outlet, struct mf_buf *out)
{
    struct mf_buf empty = *out;
    pthread_mutex_lock(&outlet->lock);
    while (outlet->queue.length == 0 && !outlet->closing)
        pthread_cond_wait(&outlet->more, &outlet->lock);
    *out = outlet->queue;
    outlet->queue = empty;
    pthread_mutex_unlock(&outlet->lock);
    return out->length > 0;
}

static void *carry(void *context)
{
    struct outlet *outlet = context;
    struct mf_buf out;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are the loop's; a write to nobody is an error here */
    mf_buf_init(&out, OUTLET_BYTES_MAX);
    for (bool gone = false; take_queue(outlet, &out); mf_buf_clear(&out)) {
        gone = gone || !put(outlet->fd, out.data, out.length);
        pthread_mutex_lock(&outlet->lock);
        outlet->gone = gone;
        pthread_mutex_unlock(&outlet->lock);
    }
    mf_buf_free(&out);
    return NULL;
}

/* A file never keeps its writer waiting for a reader. */
static bool may_block(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || isatty(fd) != 0);
}

struct outlet *outlet_create(int fd)
{
    struct outlet *outlet = may_block(fd) ? mf_calloc(1, sizeof *outlet) : NULL;
    if (outlet == NULL)
        return NULL;
    outlet->fd = fd;
    mf_buf_init(&outlet->queue, OUTLET_BYTES_MAX);
    outlet->stream = fopencookie(outlet, "w", (cookie_io_functions_t){.write = take});
    if (outlet->stream == NULL || pthread_mutex_init(&outlet->lock, NULL) != 0 ||
        pthread_cond_init(&outlet->more, NULL) != 0 || pthread_create(&outlet->thread, NULL, carry, outlet) != 0) {
        if (outlet->stream != NULL)
            fclose(outlet->stream);
        mf_free(outlet);
        return NULL;
    }
    return outlet;
}

FILE *outlet_stream(struct outlet *outlet)
{
    return outlet->stream;
}

void outlet_destroy(struct outlet *outlet)
{
    if (outlet == NULL)
        return;
    fclose(outlet->stream);
    pthread_mutex_lock(&outlet->lock);
    outlet->closing = true;
    pthread_cond_signal(&outlet->more);
    pthread_mutex_unlock(&outlet->lock);
    pthread_join(outlet->thread, NULL); /* from here on nobody else is there */
    if (outlet->lost > 0)
        fprintf(stderr, "mayfly: nobody read the output: %llu lines were dropped; mayfly events has them all\n",
                (unsigned long long)outlet->lost);
    pthread_cond_destroy(&outlet->more);
    pthread_mutex_destroy(&outlet->lock);
    mf_buf_free(&outlet->queue);
    mf_free(outlet);
}
