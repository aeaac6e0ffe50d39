/*
 * audit_open.c - takes up the file of records, also one that an earlier life of the runner left
 *
 * Purpose: what was journaled must be found unchanged, whatever follows it is kept and marked. Called by audit_open. What can
 * fail: a file that is not ours or that somebody still writes, a chain that is broken, one that does not hold the journaled
 * head. A last line without its end is the write that a death or a full disk cut off: it is set aside, never thrown away.
 */
#include "gateway/audit_private.h"

#include "json/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 65536u
#define TORN_FILES_MAX 1000u /* the runner starts at most four times in a run; a run may be resumed many times */

struct reading {
    struct audit *audit;
    const struct audit_options *options;
    struct audit_past *past;
    struct mf_buf held;  /* read, not yet taken as lines */
    uint64_t read_bytes; /* offset behind what is held */
};

/* --- the file --- */

static int check_file(int fd, struct mf_error *error)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return mf_fail_os(error, errno, AUDIT_FILE);
    if (!S_ISREG(found.st_mode) || found.st_uid != geteuid() || found.st_nlink != 1 || (found.st_mode & 077) != 0)
        return mf_fail(error, MF_STATE, AUDIT_FILE ": is not a file of ours alone (owner, mode 0600, one name)");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES
                   ? mf_fail(error, MF_LOCKED, AUDIT_FILE ": an earlier runner still holds it")
                   : mf_fail_os(error, errno, AUDIT_FILE ": cannot lock");
    return 0;
}

static int open_file(const struct audit_options *options, int *out, struct mf_error *error)
{
    static const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(options->run_dir_fd, AUDIT_FILE, flags | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (options->anchored_count > 0)
            return mf_fail(error, MF_STATE, AUDIT_FILE ": is missing, but %llu of its lines were journaled",
                           (unsigned long long)options->anchored_count);
        fd = openat(options->run_dir_fd, AUDIT_FILE, flags | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (fd < 0)
        return mf_fail_os(error, errno, AUDIT_FILE ": cannot open");
    *out = fd;
    return check_file(fd, error);
}

/* --- whole lines --- */

/* Numbers and lives go on where they ended. */
static int read_members(struct reading *reading, struct mf_span line, struct mf_error *error)
{
    struct json_document document;
    int64_t request = 0;
    struct json_failure failure = {.reason = "no memory"};
    if (json_scan(&document, line, &json_limits_default, &failure) != 0)
        return mf_fail(error, failure.code == MF_MEMORY ? MF_MEMORY : MF_STATE, AUDIT_FILE ": line %llu: %s",
                       (unsigned long long)reading->audit->chain.count, failure.reason);
    (void)json_int(&document, json_member(&document, 0, "request"), &request);
    if (request > 0 && (uint64_t)request > reading->audit->requests)
        reading->audit->requests = (uint64_t)request;
    reading->past->lives += json_is(&document, json_member(&document, 0, "event"), "opened");
    json_document_free(&document);
    return 0;
}

static int take_line(struct reading *reading, struct mf_span line, struct mf_error *error)
{
    const struct audit_options *options = reading->options;
    struct audit_chain *chain = &reading->audit->chain;
    if (audit_chain_take(chain, line, error) != 0 || read_members(reading, line, error) != 0)
        return -1;
    if (chain->count == options->anchored_count && strcmp(chain->head, options->anchored_head) != 0)
        return mf_fail(error, MF_STATE, AUDIT_FILE ": line %llu is not the one that was journaled",
                       (unsigned long long)chain->count);
    if (options->found != NULL)
        options->found(options->context, line);
    reading->audit->bytes += line.length + 1;
    return 0;
}

static int take_lines(struct reading *reading, struct mf_error *error)
{
    size_t at = 0;
    const char *end;
    while (at < reading->held.length &&
           (end = memchr(reading->held.data + at, '\n', reading->held.length - at)) != NULL) {
        struct mf_span line = {reading->held.data + at, (size_t)(end - reading->held.data) - at};
        if (take_line(reading, line, error) != 0)
            return -1;
        at += line.length + 1;
    }
    mf_buf_consume(&reading->held, at);
    return 0;
}

/* Reads more; 1: there is more, 0: the end, -1. */
static int read_more(struct reading *reading, struct mf_error *error)
{
    char *room;
    ssize_t got;
    if (mf_buf_reserve(&reading->held, READ_BYTES) != 0)
        return mf_fail(error, MF_MEMORY, AUDIT_FILE ": no memory");
    room = reading->held.data + reading->held.length;
    do {
        got = pread(reading->audit->fd, room, READ_BYTES, (off_t)reading->read_bytes);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return mf_fail_os(error, errno, AUDIT_FILE ": cannot read");
    reading->held.length += (size_t)got;
    reading->read_bytes += (uint64_t)got;
    return got > 0;
}

/* Until the end, or until more is held than a line can have: then the rest can only be torn, or is none of ours. */
static int read_lines(struct reading *reading, struct mf_error *error)
{
    int more;
    while ((more = read_more(reading, error)) > 0) {
        if (take_lines(reading, error) != 0)
            return -1;
        if (reading->held.length >= AUDIT_LINE_BYTES_MAX)
            return mf_fail(error, MF_STATE, AUDIT_FILE ": what follows line %llu is longer than a line can be",
                           (unsigned long long)reading->audit->chain.count);
    }
    return more;
}

/* --- the torn end --- */

static int make_torn_file(struct reading *reading, int *out, struct mf_error *error)
{
    struct audit_past *past = reading->past;
    for (unsigned n = 1; n <= TORN_FILES_MAX; n++) {
        mf_format(past->torn_file, sizeof past->torn_file, "audit.torn-%u", n);
        *out = openat(reading->options->run_dir_fd, past->torn_file,
                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (*out >= 0 || errno != EEXIST)
            break;
    }
    return *out >= 0 ? 0 : mf_fail_os(error, errno, "%s: cannot make", past->torn_file);
}

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno != EINTR)
            return -1;
        data += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}

static int set_torn_aside(struct reading *reading, struct mf_error *error)
{
    int fd;
    reading->past->torn_bytes = reading->held.length;
    if (reading->held.length == 0)
        return 0;
    if (make_torn_file(reading, &fd, error) != 0)
        return -1;
    int failed = write_all(fd, reading->held.data, reading->held.length) != 0 || fsync(fd) != 0 ? errno : 0;
    close(fd);
    if (failed != 0)
        return mf_fail_os(error, failed, "%s: cannot write", reading->past->torn_file);
    if (ftruncate(reading->audit->fd, (off_t)reading->audit->bytes) != 0)
        return mf_fail_os(error, errno, AUDIT_FILE ": cannot take the torn line off its end");
    return 0;
}

int audit_find(struct audit *audit, const struct audit_options *options, struct audit_past *past,
               struct mf_error *error)
{
    struct reading reading = {.audit = audit, .options = options, .past = past};
    if (open_file(options, &audit->fd, error) != 0)
        return -1;
    mf_buf_init(&reading.held, AUDIT_LINE_BYTES_MAX + READ_BYTES);
    int result = read_lines(&reading, error);
    if (result == 0 && audit->chain.count < options->anchored_count)
        result = mf_fail(error, MF_STATE, AUDIT_FILE ": has %llu whole lines, but %llu were journaled",
                         (unsigned long long)audit->chain.count, (unsigned long long)options->anchored_count);
    if (result == 0)
        result = set_torn_aside(&reading, error);
    mf_buf_free(&reading.held);
    return result;
}
