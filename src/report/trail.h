/*
 * report/trail.h - audit.log as it is read afterwards: proven line by line, then taken apart
 *
 * A line counts only when the chain up to it is whole. What the journal says of the file (run.audit: count and head) must be
 * found in it: else lines were changed or cut off. Nothing in the file is believed before, and what an agent chose in it is
 * text, never more.
 */
#ifndef MF_REPORT_TRAIL_H
#define MF_REPORT_TRAIL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "gateway/audit.h"

#include <stdbool.h>
#include <stdint.h>

#define TRAIL_EVENTS(X)                                                                                                \
    X(OPENED, "opened")                                                                                                \
    X(ALLOWED, "allowed")                                                                                              \
    X(ANSWERED, "answered")                                                                                            \
    X(REFUSED, "refused")                                                                                              \
    X(CONNECTED, "connected")                                                                                          \
    X(CLOSED, "closed")                                                                                                \
    X(ANOMALY, "anomaly")                                                                                              \
    X(UNANCHORED, "unanchored")                                                                                        \
    X(OTHER, "other") /* of a newer mayfly */
enum trail_event {
#define X(event, name) TRAIL_##event,
    TRAIL_EVENTS(X)
#undef X
};
const char *trail_event_name(enum trail_event event);

/* Members of a line: name, how it is read. The order is that of the columns of a table. */
#define TRAIL_TEXTS(X)                                                                                                 \
    X(task) X(stage) X(provider) X(method) X(path) X(rule) X(permission) X(reason) X(outcome) X(kind) X(detail) X(host)      \
    X(address)
#define TRAIL_NUMBERS(X)                                                                                               \
    X(request) X(attempt) X(account) X(status) X(port) X(sent_bytes) X(received_bytes) X(duration_ms)                  \
    X(reserved_micro_usd) X(charged_micro_usd) X(path_bytes) X(anchored) X(found)
#define TRAIL_USAGES(X) X(input_tokens) X(output_tokens) X(cached_tokens) X(cache_write_tokens) X(micro_usd)

struct trail_line { /* texts are decoded and live until the next line; what is missing is empty or 0 */
    uint64_t n;
    int64_t at_ms;
    enum trail_event event;
    struct mf_span raw; /* without its newline */
#define X(name) struct mf_span name;
    TRAIL_TEXTS(X)
#undef X
#define X(name) int64_t name;
    TRAIL_NUMBERS(X)
    TRAIL_USAGES(X)
#undef X
    struct mf_span model;
    bool has_usage;
};

/* Takes a line apart. `room` holds decoded texts. -1 with MF_STATE when it is no record, MF_MEMORY. */
int trail_parse(struct trail_line *out, struct mf_span raw, struct mf_buf *room, struct mf_error *error);

struct trail_anchor { /* what the journal says: run.audit */
    uint64_t count, seq;
    int64_t at_ms;
    char head[AUDIT_HASH_HEX];
};

#define TRAIL_FAULTS(X)                                                                                                \
    X(NONE, "whole")                                                                                                   \
    X(MISSING, "missing")   /* the journal knows lines, and there is no file */                                        \
    X(BROKEN, "broken")     /* a line does not follow the one before it */                                             \
    X(CHANGED, "changed")   /* a journaled head is not that of its line */                                             \
    X(SHORT, "cut_off")     /* fewer lines than were journaled */
enum trail_fault {
#define X(fault, name) TRAIL_##fault,
    TRAIL_FAULTS(X)
#undef X
};
const char *trail_fault_name(enum trail_fault fault);

struct trail_result {
    bool present;               /* there is a file */
    uint64_t lines;             /* that are proven */
    char head[AUDIT_HASH_HEX];  /* of the last of them; empty without one */
    uint64_t anchors, anchored; /* journaled heads that were found; the count of the last one */
    uint64_t lives;
    uint64_t late;              /* lines that a runner's death left without a journaled head; they count */
    uint64_t torn_bytes;        /* behind the last whole line */
    enum trail_fault fault;
    char text[200];             /* of the fault, for people */
};

/*
 * Reads what stands in the file now, telling every proven line. The anchors are in the order of the journal and were read before.
 * -1: the file cannot be read, or `each` gave -1; a bad chain is a result, no error.
 */
typedef int trail_each(void *context, const struct trail_line *line, struct mf_error *error);
int trail_read(int run_dir_fd, const struct trail_anchor *anchors, size_t anchor_count, trail_each *each, void *context,
               struct trail_result *out, struct mf_error *error);

#endif
