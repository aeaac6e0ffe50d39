/*
 * runner/channel.h - a framed connection on the loop: a queue with a maximum, whole frames in, descriptors beside them
 *
 * Frames are written into the queue with begin/end and leave with the next turn of the loop, so that many small
 * messages are one system call. The peer is checked: an unknown type, a type that it may not send, an oversized frame,
 * a message that the handler calls bad, or a full queue close the channel. `closed` is called once, from the loop,
 * never from inside a call of the owner; nothing is called after it.
 */
#ifndef MF_RUNNER_CHANNEL_H
#define MF_RUNNER_CHANNEL_H

#include "net/loop.h"
#include "runner/protocol.h"

#define CHANNEL_DESCRIPTORS_MAX 64

struct channel;

struct channel_handlers {
    /*
     * `descriptors` holds what the type travels with and now belongs to the handler. -1: the message is bad, the peer
     * is dead. The handler must not destroy the channel.
     */
    int (*frame)(void *context, const struct frame *frame, const int *descriptors);
    void (*closed)(void *context, const char *reason);
};

/* Takes `fd` (a non-blocking stream socket), also on failure. `senders`: whose types are accepted. */
int channel_create(struct channel **out, struct net_loop *loop, int fd, unsigned senders,
                   const struct channel_handlers *handlers, void *context, struct mf_error *error);
void channel_destroy(struct channel *channel); /* closes; NULL is fine */

/* begin ... frame_put_* ... end. end returns -1 with MF_PROTOCOL when the frame is too long; a full queue closes the
 * channel. */
void channel_begin(struct channel *channel, struct frame_writer *writer, enum frame_type type, uint64_t stage,
                   uint64_t lease);
int channel_end(struct channel *channel, struct frame_writer *writer, struct mf_error *error);

size_t channel_queued(const struct channel *channel);
void channel_pause(struct channel *channel, bool paused); /* stops reading: the other end's queue grows instead */
/* Writes what can be written now, for an owner that is about to leave. */
void channel_flush(struct channel *channel);

#endif
