/*
 * channel.c - a framed connection on the loop: a queue with a maximum, whole frames in, descriptors beside them
 *
 * Used three times: by the orchestrator towards the runner, by the runner towards the orchestrator and towards its
 * spawner. Reading takes whole frames out of one buffer that never holds more than one frame and one read. Descriptors
 * arrive at the latest with the first byte of the frame that they belong to, so a queue of them in order of arrival is
 * enough. Everything that goes through may hold a credential: both buffers are wiped behind the last byte sent or
 * handled.
 */
#include "runner/channel.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define READS_PER_TURN 8 /* then the other descriptors of the loop get their turn */

struct channel {
    int fd; /* owned */
    unsigned senders;
    struct net_watch *watch;
    struct channel_handlers handlers;
    void *context;
    struct mf_buf in, out;
    size_t handled;                           /* bytes of `in` that were handled */
    size_t sent;                              /* bytes of `out` that were sent */
    int descriptors[CHANNEL_DESCRIPTORS_MAX]; /* owned until a frame takes them */
    uint32_t descriptor_count;
    int events;
    bool paused;
    bool handling; /* inside handle_frames */
    bool broken;   /* closed was or will be called */
    bool told;
    char reason[160];
};

static void watch(struct channel *channel)
{
    int events = channel->paused ? 0 : NET_READ;
    if (channel->out.length > channel->sent || channel->broken)
        events |= NET_WRITE;
    if (events != channel->events)
        net_watch_set(channel->watch, events);
    channel->events = events;
}

/* Only marks: `closed` is called from the loop, when the owner is not in the middle of something. */
static void give_up(struct channel *channel, const char *reason)
{
    if (channel->broken)
        return;
    channel->broken = true;
    snprintf(channel->reason, sizeof channel->reason, "%s", reason);
    mf_buf_free(&channel->out);
    channel->sent = 0;
    watch(channel);
}

static void give_up_errno(struct channel *channel, const char *what, int os_errno)
{
    char reason[128];
    snprintf(reason, sizeof reason, "%s: %s", what, strerror(os_errno));
    give_up(channel, reason);
}

/* --- out --- */

void channel_begin(struct channel *channel, struct frame_writer *writer, enum frame_type type, uint64_t stage,
                   uint64_t lease)
{
    frame_begin(writer, &channel->out, type, stage, lease);
}

int channel_end(struct channel *channel, struct frame_writer *writer, struct mf_error *error)
{
    bool full = channel->out.length >= channel->out.bytes_max - FRAME_WHOLE_BYTES_MAX;
    if (frame_end(writer) != 0) {
        if (full)
            give_up(channel, "the queue is full");
        return mf_fail(error, MF_PROTOCOL, "message to the runner: too long for a frame of 1 MiB");
    }
    if (channel->broken) {
        mf_buf_free(&channel->out);
        return mf_fail(error, MF_PROTOCOL, "runner: the connection is closed");
    }
    if (channel_queued(channel) >= FRAME_QUEUE_BYTES_MAX)
        give_up(channel, "the queue is full");
    watch(channel);
    return 0;
}

size_t channel_queued(const struct channel *channel)
{
    return channel->out.length - channel->sent;
}

/* Forgets what was sent; moves the rest only when that frees more than it copies. */
static void drop_sent(struct channel *channel)
{
    struct mf_buf *out = &channel->out;
    if (channel->sent < out->length && channel->sent < out->length / 2)
        return;
    size_t rest = out->length - channel->sent;
    if (rest > 0)
        memmove(out->data, out->data + channel->sent, rest);
    if (out->data != NULL)
        mf_wipe(out->data + rest, channel->sent);
    out->length = rest;
    channel->sent = 0;
    if (rest == 0 && out->capacity > READ_BYTES)
        mf_buf_free(out);
}

void channel_flush(struct channel *channel)
{
    while (!channel->broken && channel_queued(channel) > 0) {
        ssize_t sent =
            send(channel->fd, channel->out.data + channel->sent, channel_queued(channel), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (sent < 0) {
            give_up_errno(channel, "write", errno);
            return;
        }
        channel->sent += (size_t)sent;
    }
    if (!channel->broken)
        drop_sent(channel);
    watch(channel);
}

/* --- in --- */

static void keep_descriptors(struct channel *channel, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (channel->descriptor_count < CHANNEL_DESCRIPTORS_MAX)
                channel->descriptors[channel->descriptor_count++] = fd;
            else
                close(fd);
        }
    }
    if ((message->msg_flags & MSG_CTRUNC) != 0)
        give_up(channel, "descriptors were lost");
}

/* One read into the buffer: bytes read, 0 at the end of the stream or after give_up, -1 when there is nothing now. */
static ssize_t read_some(struct channel *channel)
{
    if (mf_buf_reserve(&channel->in, READ_BYTES) != 0) {
        give_up(channel, "no memory for a message");
        return 0;
    }
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
    struct iovec part = {channel->in.data + channel->in.length, READ_BYTES};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return -1;
    if (got < 0)
        give_up_errno(channel, "read", errno);
    else if (got == 0)
        give_up(channel, channel->in.length > 0 ? "end of file inside a message" : "end of file");
    if (got <= 0)
        return 0;
    keep_descriptors(channel, &message);
    channel->in.length += (size_t)got;
    return got;
}

static void handle_frame(struct channel *channel, const struct frame *frame)
{
    uint32_t wanted = frame_type_descriptors(frame->type);
    if (wanted > channel->descriptor_count) {
        give_up(channel, "a message came without its descriptors");
        return;
    }
    int taken[CHANNEL_DESCRIPTORS_MAX];
    memcpy(taken, channel->descriptors, wanted * sizeof taken[0]);
    channel->descriptor_count -= wanted;
    memmove(channel->descriptors, channel->descriptors + wanted,
            channel->descriptor_count * sizeof channel->descriptors[0]);
    if (channel->handlers.frame(channel->context, frame, taken) != 0) {
        char reason[128];
        snprintf(reason, sizeof reason, "a bad %s message", frame_type_name(frame->type));
        give_up(channel, reason);
    }
}

static void handle_frames(struct channel *channel)
{
    struct frame frame;
    size_t consumed;
    channel->handling = true;
    while (!channel->broken && !channel->paused) {
        struct mf_span rest = {channel->in.data + channel->handled, channel->in.length - channel->handled};
        if (rest.length == 0)
            break;
        enum frame_parse parse = frame_parse(rest, channel->senders, &frame, &consumed);
        if (parse == FRAME_PARSE_BAD)
            give_up(channel, "a message of an unknown type or size");
        if (parse != FRAME_PARSE_WHOLE)
            break;
        handle_frame(channel, &frame);
        channel->handled += consumed;
    }
    channel->handling = false;
    size_t rest = channel->in.length - channel->handled;
    if (channel->handled == 0)
        return;
    memmove(channel->in.data, channel->in.data + channel->handled, rest);
    mf_wipe(channel->in.data + rest, channel->handled);
    channel->in.length = rest;
    channel->handled = 0;
    if (rest == 0 && channel->in.capacity > 4 * READ_BYTES)
        mf_buf_free(&channel->in);
}

static void read_ready(struct channel *channel)
{
    for (int i = 0; i < READS_PER_TURN && !channel->broken && !channel->paused; i++) {
        ssize_t got = read_some(channel);
        if (got <= 0)
            break;
        handle_frames(channel);
        bool more = (channel->senders & FRAME_FROM_SPAWNER) != 0; /* a read stops behind each set of descriptors */
        if ((size_t)got < READ_BYTES && !more)
            break;
    }
}

static void tell_closed(struct channel *channel)
{
    if (channel->told)
        return;
    channel->told = true;
    net_watch_set(channel->watch, 0);
    channel->events = 0;
    channel->handlers.closed(channel->context, channel->reason); /* may destroy the channel */
}

static void on_ready(void *context, int events)
{
    struct channel *channel = context;
    if ((events & NET_READ) != 0 && !channel->broken)
        read_ready(channel);
    if ((events & NET_WRITE) != 0 && !channel->broken)
        channel_flush(channel);
    if (channel->broken)
        tell_closed(channel);
}

void channel_pause(struct channel *channel, bool paused)
{
    if (channel->paused == paused || channel->broken)
        return;
    channel->paused = paused;
    if (!paused && !channel->handling)
        handle_frames(channel);
    watch(channel);
}

/* --- life --- */

int channel_create(struct channel **out, struct net_loop *loop, int fd, unsigned senders,
                   const struct channel_handlers *handlers, void *context, struct mf_error *error)
{
    *out = NULL;
    struct channel *channel = mf_calloc(1, sizeof *channel);
    if (channel == NULL) {
        close(fd);
        return mf_fail(error, MF_MEMORY, "runner: no memory for a connection");
    }
    channel->fd = fd;
    channel->senders = senders;
    channel->handlers = *handlers;
    channel->context = context;
    channel->events = NET_READ;
    mf_buf_init_secret(&channel->in, FRAME_WHOLE_BYTES_MAX + READ_BYTES);
    mf_buf_init_secret(&channel->out, FRAME_QUEUE_BYTES_MAX + 2 * FRAME_WHOLE_BYTES_MAX);
    if (net_watch_create(&channel->watch, loop, fd, NET_READ, on_ready, channel, error) != 0) {
        channel_destroy(channel);
        return -1;
    }
    *out = channel;
    return 0;
}

void channel_destroy(struct channel *channel)
{
    if (channel == NULL)
        return;
    net_watch_destroy(channel->watch);
    for (uint32_t i = 0; i < channel->descriptor_count; i++)
        close(channel->descriptors[i]);
    close(channel->fd);
    mf_buf_free(&channel->in);
    mf_buf_free(&channel->out);
    mf_free(channel);
}
