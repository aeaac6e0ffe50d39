/*
 * trail.c - reads audit.log: the chain, the journaled heads in it, and every line of the proven part
 *
 * The file may grow while it is read: what it holds at the opening is read, no more. What can fail: the file cannot be read,
 * no memory. A chain that does not hold is the result of reading, not a failure of it.
 */
#include "report/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 65536u

struct reading {
    const struct trail_anchor *anchors;
    size_t anchor_count, next_anchor;
    trail_each *each;
    void *context;
    struct trail_result *out;
    struct audit_chain chain;
    struct mf_buf held, room;
    uint64_t left; /* bytes of the file still to be read */
};

const char *trail_fault_name(enum trail_fault fault)
{
    static const char *const names[] = {
#define X(fault, name) [TRAIL_##fault] = name,
        TRAIL_FAULTS(X)
#undef X
    };
    return names[fault];
}

/* The first fault stands. */
static void set_fault(struct trail_result *out, enum trail_fault fault, const char *text)
{
    if (out->fault != TRAIL_NONE)
        return;
    out->fault = fault;
    mf_format(out->text, sizeof out->text, "%s", text);
}

/* --- the journaled heads --- */

static bool is_anchored(struct reading *reading)
{
    const struct audit_chain *chain = &reading->chain;
    for (; reading->next_anchor < reading->anchor_count; reading->next_anchor++) {
        const struct trail_anchor *anchor = &reading->anchors[reading->next_anchor];
        if (anchor->count > chain->count)
            return true;
        if (anchor->count < chain->count || strcmp(anchor->head, chain->head) != 0)
            return false;
        reading->out->anchors++;
        reading->out->anchored = anchor->count;
    }
    return true;
}

static void check_end(struct reading *reading)
{
    char text[200];
    const struct trail_result *out = reading->out;
    if (out->fault != TRAIL_NONE || reading->next_anchor == reading->anchor_count)
        return;
    const struct trail_anchor *last = &reading->anchors[reading->anchor_count - 1];
    mf_format(text, sizeof text, "%s, but the journal (record %llu) knows %llu lines",
              out->present ? "ends too early" : "is missing", (unsigned long long)last->seq,
              (unsigned long long)last->count);
    set_fault(reading->out, out->present ? TRAIL_SHORT : TRAIL_MISSING, text);
}

/* --- lines --- */

static int take_line(struct reading *reading, struct mf_span raw, struct mf_error *error)
{
    struct trail_result *out = reading->out;
    struct trail_line line;
    struct mf_error fault = {0};
    char text[200];
    if (audit_chain_take(&reading->chain, raw, &fault) != 0 || trail_parse(&line, raw, &reading->room, &fault) != 0) {
        if (fault.code != MF_STATE)
            return mf_fail(error, fault.code, "%s", fault.text);
        set_fault(out, TRAIL_BROKEN, fault.text);
        return 0;
    }
    if (!is_anchored(reading)) {
        mf_format(text, sizeof text, "line %llu is not the one that was journaled", (unsigned long long)line.n);
        set_fault(out, TRAIL_CHANGED, text);
        return 0;
    }
    out->lines = reading->chain.count;
    memcpy(out->head, reading->chain.head, sizeof out->head);
    out->lives += line.event == TRAIL_OPENED;
    if (line.event == TRAIL_UNANCHORED && line.found > line.anchored)
        out->late += (uint64_t)(line.found - line.anchored);
    return reading->each != NULL ? reading->each(reading->context, &line, error) : 0;
}

static int take_lines(struct reading *reading, struct mf_error *error)
{
    size_t at = 0;
    const char *end;
    while (at < reading->held.length && reading->out->fault == TRAIL_NONE &&
           (end = memchr(reading->held.data + at, '\n', reading->held.length - at)) != NULL) {
        struct mf_span line = {reading->held.data + at, (size_t)(end - reading->held.data) - at};
        if (take_line(reading, line, error) != 0)
            return -1;
        at += line.length + 1;
    }
    mf_buf_consume(&reading->held, at);
    if (reading->held.length >= AUDIT_LINE_BYTES_MAX)
        set_fault(reading->out, TRAIL_BROKEN, "a line is longer than any that mayfly writes");
    return 0;
}

static int read_lines(struct reading *reading, int fd, struct mf_error *error)
{
    while (reading->left > 0 && reading->out->fault == TRAIL_NONE) {
        size_t wanted = reading->left < READ_BYTES ? (size_t)reading->left : READ_BYTES;
        if (mf_buf_reserve(&reading->held, wanted) != 0)
            return mf_fail(error, MF_MEMORY, AUDIT_FILE ": no memory");
        ssize_t got = read(fd, reading->held.data + reading->held.length, wanted);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mf_fail_os(error, errno, AUDIT_FILE ": cannot read");
        if (got == 0)
            break;
        reading->held.length += (size_t)got;
        reading->left -= (uint64_t)got;
        if (take_lines(reading, error) != 0)
            return -1;
    }
    if (reading->out->fault == TRAIL_NONE)
        reading->out->torn_bytes = reading->held.length;
    return 0;
}

static int read_file(struct reading *reading, int fd, struct mf_error *error)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return mf_fail_os(error, errno, AUDIT_FILE);
    if (!S_ISREG(found.st_mode))
        return mf_fail(error, MF_STATE, AUDIT_FILE ": is no regular file");
    reading->out->present = true;
    reading->left = (uint64_t)found.st_size;
    return read_lines(reading, fd, error);
}

int trail_read(int run_dir_fd, const struct trail_anchor *anchors, size_t anchor_count, trail_each *each, void *context,
               struct trail_result *out, struct mf_error *error)
{
    struct reading reading = {
        .anchors = anchors, .anchor_count = anchor_count, .each = each, .context = context, .out = out};
    *out = (struct trail_result){.fault = TRAIL_NONE};
    mf_buf_init(&reading.held, AUDIT_LINE_BYTES_MAX + READ_BYTES);
    mf_buf_init(&reading.room, 2 * AUDIT_LINE_BYTES_MAX);
    int status = 0;
    int fd = openat(run_dir_fd, AUDIT_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        status = read_file(&reading, fd, error);
    else if (errno != ENOENT)
        status = mf_fail_os(error, errno, AUDIT_FILE ": cannot open");
    if (status == 0)
        check_end(&reading);
    if (fd >= 0)
        close(fd);
    mf_buf_free(&reading.held);
    mf_buf_free(&reading.room);
    return status;
}
