/*
 * runner/protocol.h - frames between the orchestrator, the runner and its spawner: one table, one reader, one writer
 *
 * A frame is u32 length of what follows (at most 1 MiB), u16 type, u64 stage, u64 lease, then the payload: fields, each
 * a u32 length and so many bytes. All numbers are little endian and written byte by byte, so that no struct layout
 * leaks into the protocol. A number is a field of eight bytes; a list is a number and so many fields.
 *
 * The reader trusts nothing: it allocates nothing, stays inside the bytes it was given, and one bad field makes the
 * whole message bad (`bad` stays set, later reads give zeros). The caller treats a bad message as the death of the
 * peer.
 */
#ifndef MF_RUNNER_PROTOCOL_H
#define MF_RUNNER_PROTOCOL_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION 2
#define FRAME_LENGTH_BYTES 4
#define FRAME_HEAD_BYTES (FRAME_LENGTH_BYTES + 2 + 8 + 8)
#define FRAME_BYTES_MAX (1u << 20) /* what the length may say */
#define FRAME_WHOLE_BYTES_MAX (FRAME_LENGTH_BYTES + FRAME_BYTES_MAX)

/* Above the first, SPAWN, PREPARE and LEASE are refused; at the second the peer counts as dead. */
#define FRAME_QUEUE_SOFT_BYTES (4u << 20)
#define FRAME_QUEUE_BYTES_MAX (16u << 20)

enum frame_sender { FRAME_FROM_ORCHESTRATOR = 1, FRAME_FROM_RUNNER = 2, FRAME_TO_SPAWNER = 4, FRAME_FROM_SPAWNER = 8 };

/* name, number, who may send it, descriptors that travel with it */
#define FRAME_TYPES(X)                                                                                                 \
    X(HELLO, 1, FRAME_FROM_ORCHESTRATOR | FRAME_FROM_RUNNER, 0)                                                        \
    X(PREPARE, 2, FRAME_FROM_ORCHESTRATOR, 0)                                                                          \
    X(PREPARED, 3, FRAME_FROM_RUNNER, 0)                                                                               \
    X(PREPARE_FAILED, 4, FRAME_FROM_RUNNER, 0)                                                                         \
    X(LEASE, 5, FRAME_FROM_ORCHESTRATOR, 0)                                                                            \
    X(DROP, 6, FRAME_FROM_ORCHESTRATOR, 0)                                                                             \
    X(DROPPED, 7, FRAME_FROM_RUNNER, 0)                                                                                \
    X(SPAWN, 8, FRAME_FROM_ORCHESTRATOR, 0)                                                                            \
    X(STARTED, 9, FRAME_FROM_RUNNER, 0)                                                                                \
    X(SPAWN_FAILED, 10, FRAME_FROM_RUNNER, 0)                                                                          \
    X(SIGNAL, 11, FRAME_FROM_ORCHESTRATOR, 0)                                                                          \
    X(EXITED, 12, FRAME_FROM_RUNNER, 0)                                                                                \
    X(RESULT, 13, FRAME_FROM_RUNNER, 0)                                                                                \
    X(FINISH, 14, FRAME_FROM_ORCHESTRATOR, 0)                                                                          \
    X(POLICY, 15, FRAME_FROM_ORCHESTRATOR, 0)                                                                          \
    X(SERVICE, 16, FRAME_FROM_ORCHESTRATOR, 0)                                                                         \
    X(ANOMALY, 17, FRAME_FROM_RUNNER, 0)                                                                               \
    X(ACCOUNT_DEAD, 18, FRAME_FROM_RUNNER, 0)                                                                          \
    X(SERVICE_REFUSED, 19, FRAME_FROM_RUNNER, 0)                                                                       \
    X(BUDGET, 20, FRAME_FROM_RUNNER, 0)                                                                                \
    X(USAGE, 21, FRAME_FROM_RUNNER, 0)                                                                                 \
    X(AUDIT_HEAD, 22, FRAME_FROM_RUNNER, 0)                                                                            \
    /* between the runner and its spawner */                                                                           \
    X(RUN, 64, FRAME_TO_SPAWNER, 0)           /* start a process in a slot */                                          \
    X(RUN_STARTED, 65, FRAME_FROM_SPAWNER, 3) /* pidfd, stdout, stderr */                                              \
    X(RUN_CONTROL, 73, FRAME_FROM_SPAWNER, 1) /* after RUN_STARTED of a sandboxed one: its control socket */           \
    X(RUN_FAILED, 66, FRAME_FROM_SPAWNER, 0)                                                                           \
    X(RUN_ENDED, 67, FRAME_FROM_SPAWNER, 0) /* the whole tree is dead */                                               \
    X(KILL, 68, FRAME_TO_SPAWNER, 0)        /* level 1: SIGTERM, 2: SIGKILL; to a tree or to a helper */               \
    X(JOB, 69, FRAME_TO_SPAWNER, 0)         /* work for a helper process */                                            \
    X(JOB_ENDED, 70, FRAME_FROM_SPAWNER, 0)                                                                            \
    X(RELEASE, 71, FRAME_TO_SPAWNER, 0) /* the slot's directory goes to the trash */                                   \
    /* an orderly end: kill what runs, remove .work/, then leave; end-of-file alone skips the removal */                \
    X(STOP, 72, FRAME_FROM_ORCHESTRATOR | FRAME_TO_SPAWNER, 0)

enum frame_type {
#define X(name, number, sender, descriptors) FRAME_##name = number,
    FRAME_TYPES(X)
#undef X
};

struct frame {
    uint16_t type;
    uint64_t stage, lease;
    struct mf_span payload; /* inside the bytes that were parsed */
};

enum frame_parse { FRAME_PARSE_WHOLE, FRAME_PARSE_PARTIAL, FRAME_PARSE_BAD };

/*
 * Looks for one frame at the start of `bytes` that one of `senders` may send. WHOLE: *frame and *consumed are set.
 * PARTIAL: more bytes are needed. BAD: unknown type, wrong direction or oversized; the connection is to be given up.
 */
enum frame_parse frame_parse(struct mf_span bytes, unsigned senders, struct frame *frame, size_t *consumed);

const char *frame_type_name(uint16_t type);     /* "?" for an unknown one */
uint32_t frame_type_descriptors(uint16_t type); /* how many descriptors come with it */

/* --- writing: straight into a queue --- */

struct frame_writer {
    struct mf_buf *out; /* not owned */
    size_t start;
};

void frame_begin(struct frame_writer *writer, struct mf_buf *out, enum frame_type type, uint64_t stage, uint64_t lease);
void frame_put_span(struct frame_writer *writer, struct mf_span span);
void frame_put_text(struct frame_writer *writer, const char *text); /* NULL writes the empty span */
void frame_put_u64(struct frame_writer *writer, uint64_t number);
void frame_put_i64(struct frame_writer *writer, int64_t number);
void frame_put_flag(struct frame_writer *writer, bool flag);
/* -1 when the frame is too long or the buffer is full: the buffer is then as it was before frame_begin. */
int frame_end(struct frame_writer *writer);

/* --- reading --- */

struct frame_reader {
    const char *at;
    size_t left;
    bool bad;
};

void frame_read(struct frame_reader *reader, struct mf_span payload);
struct mf_span frame_take_span(struct frame_reader *reader);
uint64_t frame_take_u64(struct frame_reader *reader);
int64_t frame_take_i64(struct frame_reader *reader);
uint32_t frame_take_u32(struct frame_reader *reader);   /* bad when it does not fit */
bool frame_take_flag(struct frame_reader *reader);      /* bad when it is neither 0 nor 1 */
uint32_t frame_take_count(struct frame_reader *reader); /* bad when so many fields cannot be there */
/* Into a caller's array with a terminator; bad when it does not fit or holds a NUL. */
void frame_take_text(struct frame_reader *reader, char *out, size_t out_bytes);
bool frame_read_end(const struct frame_reader *reader); /* true: everything was read and nothing was bad */

#endif
