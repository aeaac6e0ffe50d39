/*
 * rate.c - one request budget for all runs on the host, in a small file
 *
 * Providers count requests in windows ("1,200 in 5 minutes") and punish the one above. A bucket that is full at the start and
 * refills all the time lets twice the budget through in its first window. So the file counts requests in slices of the window
 * and lets one go only if the slices of a whole window hold less than the budget: the full burst at the start, the full rate
 * over time, never more in any window. The price is one slice of waiting (1/64 of the window).
 *
 * The lock is an OFD lock tried a few times, never waited for: a stopped process that holds it must not stop our loop.
 * The file is external input: what makes no sense counts as empty, except that a gate is believed up to an hour.
 */
#include "store/rate.h"

#include "base/alloc.h"
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RATE_MAGIC 0x6d66726174653031ull /* "mfrate01" */
#define RATE_SLICES 64u
#define RATE_LOCK_TRIES 200       /* with a yield between: well below a millisecond */
#define RATE_BUSY_MS 2            /* ask again when the lock stayed taken */
#define RATE_GATE_MS_MAX 3600000  /* a gate further away is damage */
#define BOOT_ID_BYTES 36

struct rate_file {
    uint64_t magic;
    char boot_id[40]; /* zero-padded */
    int64_t gate_ms;  /* boot time; nothing goes before */
    int64_t slice;    /* number of the newest slice: boot time / slice length */
    uint32_t slice_ms;
    uint32_t unused;
    uint32_t counts[RATE_SLICES]; /* ring: slice n at n % RATE_SLICES */
};
_Static_assert(sizeof(struct rate_file) == 72 + 4 * RATE_SLICES, "the file has no padding");

struct store_rate {
    int fd;
    uint32_t requests, reserve;
    uint32_t slice_ms;
    char boot_id[40];
};

static int read_boot_id(char out[40])
{
    memset(out, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, out, BOOT_ID_BYTES);
    close(fd);
    return got == BOOT_ID_BYTES ? 0 : -1;
}

int store_rate_open(struct store_rate **out, const char *path, uint32_t requests, uint32_t window_ms, uint32_t reserve,
                    struct mf_error *error)
{
    struct store_rate *rate = mf_calloc(1, sizeof *rate);
    if (rate == NULL)
        return mf_fail(error, MF_MEMORY, "%s: no memory", path);
    rate->requests = requests;
    rate->reserve = reserve < requests ? reserve : 0;
    rate->slice_ms = window_ms / (RATE_SLICES - 1) + 1; /* 63 full slices cover the window */
    rate->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    int status = 0;
    if (rate->fd < 0)
        status = mf_fail_os(error, errno, "%s", path);
    else if (files_check_file(rate->fd, path, error) != 0)
        status = -1;
    else if (read_boot_id(rate->boot_id) != 0)
        status = mf_fail_os(error, errno, "/proc/sys/kernel/random/boot_id");
    if (status != 0) {
        store_rate_close(rate);
        return -1;
    }
    *out = rate;
    return 0;
}

void store_rate_close(struct store_rate *rate)
{
    if (rate == NULL)
        return;
    if (rate->fd >= 0)
        close(rate->fd);
    mf_free(rate);
}

static int lock(const struct store_rate *rate)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    for (int tries = 0; tries < RATE_LOCK_TRIES; tries++) {
        if (fcntl(rate->fd, F_OFD_SETLK, &lock) == 0)
            return 0;
        sched_yield();
    }
    return -1;
}

static void unlock(const struct store_rate *rate)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    fcntl(rate->fd, F_OFD_SETLK, &lock);
}

/* Moves the ring on to the slice of `now_ms`; slices that were passed over are empty. */
static void advance(struct rate_file *file, int64_t slice)
{
    if (slice - file->slice >= (int64_t)RATE_SLICES)
        memset(file->counts, 0, sizeof file->counts);
    else
        for (int64_t next = file->slice + 1; next <= slice; next++)
            file->counts[next % RATE_SLICES] = 0;
    if (slice > file->slice)
        file->slice = slice;
}

static void load(const struct store_rate *rate, struct rate_file *file, int64_t now_ms)
{
    int64_t slice = now_ms / rate->slice_ms;
    ssize_t got = pread(rate->fd, file, sizeof *file, 0);
    if (got != (ssize_t)sizeof *file || file->magic != RATE_MAGIC || memcmp(file->boot_id, rate->boot_id, sizeof file->boot_id) != 0) {
        memset(file, 0, sizeof *file);
        file->magic = RATE_MAGIC;
        memcpy(file->boot_id, rate->boot_id, sizeof file->boot_id);
    }
    if (file->gate_ms - now_ms > RATE_GATE_MS_MAX || file->gate_ms < 0)
        file->gate_ms = 0;
    if (file->slice_ms != rate->slice_ms || file->slice > slice + 1 || file->slice < 0) {
        memset(file->counts, 0, sizeof file->counts); /* another window, or damage */
        file->slice = slice;
        file->slice_ms = rate->slice_ms;
    }
    advance(file, slice);
}

static void save(const struct store_rate *rate, const struct rate_file *file)
{
    ssize_t written = pwrite(rate->fd, file, sizeof *file, 0);
    (void)written; /* a full disk: the budget is counted less well, nothing else */
}

/* Takes one, or says when enough of the oldest slices will have left the window. */
static int64_t take(struct rate_file *file, uint64_t allowed)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < RATE_SLICES; i++)
        used += file->counts[i];
    if (used < allowed) {
        file->counts[file->slice % RATE_SLICES]++;
        return 0;
    }
    for (int64_t age = RATE_SLICES - 1; age > 0; age--) {
        int64_t oldest = file->slice - age;
        used -= oldest >= 0 ? file->counts[oldest % RATE_SLICES] : 0;
        if (used < allowed)
            return (oldest + (int64_t)RATE_SLICES) * file->slice_ms;
    }
    return (file->slice + (int64_t)RATE_SLICES) * file->slice_ms;
}

int64_t store_rate_take(struct store_rate *rate, int64_t now_ms, bool reserved)
{
    if (lock(rate) != 0)
        return now_ms + RATE_BUSY_MS;
    struct rate_file file;
    load(rate, &file, now_ms);
    int64_t again_ms = file.gate_ms > now_ms ? file.gate_ms : 0;
    if (again_ms == 0 && rate->requests > 0) {
        again_ms = take(&file, reserved ? rate->requests : rate->requests - rate->reserve);
        if (again_ms == 0)
            save(rate, &file);
    }
    unlock(rate);
    return again_ms > 0 && again_ms <= now_ms ? now_ms + 1 : again_ms;
}

void store_rate_shut(struct store_rate *rate, int64_t until_ms)
{
    for (int tries = 0; lock(rate) != 0; tries++)
        if (tries >= 10) /* its holder is stopped: the others will hear their own 429 */
            return;
    struct rate_file file;
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    load(rate, &file, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    if (until_ms > file.gate_ms) {
        file.gate_ms = until_ms;
        save(rate, &file);
    }
    unlock(rate);
}
