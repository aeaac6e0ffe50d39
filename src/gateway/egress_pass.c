/*
 * egress_pass.c - bytes both ways between an agent and what it connected to, with back pressure
 *
 * Nothing is read from one side while the other has not taken what was read before: a slow reader slows its writer down and
 * costs one buffer. An idle tunnel has no buffer at all. Of a request that was written anew the body is read by the strict
 * decoder and framed again; what comes behind it goes nowhere.
 */
#include "gateway/egress_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- writing --- */

/* Bytes taken, 0 for none now, -1 when the other side is gone. */
static ssize_t write_some(int fd, const char *data, size_t length)
{
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* -1: the other side is gone. */
static int flush(struct flow *flow, int fd)
{
    if (flow->pending.length > 0) {
        ssize_t sent = write_some(fd, flow->pending.data, flow->pending.length);
        if (sent < 0)
            return -1;
        mf_buf_consume(&flow->pending, (size_t)sent);
        if (flow->pending.length > 0)
            return 0;
        mf_buf_free(&flow->pending);
    }
    if (flow->ended && !flow->told) {
        flow->told = true;
        shutdown(fd, SHUT_WR);
    }
    return 0;
}

/* Straight through when the other side takes it; the rest is kept. */
static int pass_on(struct flow *flow, int fd, const char *data, size_t length)
{
    if (length == 0)
        return 0;
    flow->bytes += length;
    ssize_t sent = flow->pending.length == 0 ? write_some(fd, data, length) : 0;
    if (sent < 0)
        sent = 0; /* settle finds the same and decides */
    return mf_buf_append(&flow->pending, data + sent, length - (size_t)sent);
}

/* --- the body of a request that is written anew --- */

static int pass_chunk(struct tunnel *tunnel, const char *data, size_t length, bool last)
{
    struct mf_buf *pending = &tunnel->up.pending;
    if (length > 0) {
        mf_buf_printf(pending, "%zx\r\n", length);
        mf_buf_append(pending, data, length);
        mf_buf_text(pending, "\r\n");
    }
    if (last)
        mf_buf_text(pending, "0\r\n\r\n");
    tunnel->up.bytes += length;
    return pending->failed ? -1 : 0;
}

/* `data` is the scratch: decoded in place. */
static int pass_body(struct tunnel *tunnel, char *data, size_t length)
{
    size_t consumed, produced;
    if (tunnel->body_done)
        return 0;
    enum http1_result result = http1_body_decode(&tunnel->body, data, length, &consumed, data, &produced);
    if (result == HTTP1_BAD)
        return -1;
    tunnel->body_done = result == HTTP1_DONE;
    if (tunnel->chunked)
        return pass_chunk(tunnel, data, produced, tunnel->body_done);
    return pass_on(&tunnel->up, tunnel->upstream_fd, data, produced);
}

/* --- reading --- */

static int take_from_client(struct tunnel *tunnel, char *data, size_t length)
{
    if (tunnel->forward)
        return pass_body(tunnel, data, length);
    return pass_on(&tunnel->up, tunnel->upstream_fd, data, length);
}

/* One read. -1: the tunnel is over. */
static int read_side(struct tunnel *tunnel, bool from_client)
{
    struct flow *flow = from_client ? &tunnel->up : &tunnel->down;
    char *scratch = gateway_scratch(tunnel->stage->gateway);
    ssize_t got =
        recv(from_client ? tunnel->client_fd : tunnel->upstream_fd, scratch, GATEWAY_SCRATCH_BYTES, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0) {
        flow->ended = true;
        return tunnel->forward && from_client ? -1 : 0; /* who asks a question and leaves wants no answer */
    }
    if (from_client)
        return take_from_client(tunnel, scratch, (size_t)got);
    return pass_on(&tunnel->down, tunnel->client_fd, scratch, (size_t)got);
}

/* --- both ways --- */

static void watch_both(struct tunnel *tunnel)
{
    struct flow *up = &tunnel->up, *down = &tunnel->down;
    int client = (up->ended || up->pending.length > 0 ? 0 : NET_READ) | (down->pending.length > 0 ? NET_WRITE : 0);
    int upstream = (down->ended || down->pending.length > 0 ? 0 : NET_READ) | (up->pending.length > 0 ? NET_WRITE : 0);
    net_watch_set(tunnel->client_watch, client);
    net_watch_set(tunnel->upstream_watch, upstream);
}

/* The other side takes no more; what it said before that may still be read. */
static void give_up(struct flow *flow)
{
    mf_buf_free(&flow->pending);
    flow->ended = flow->told = true;
}

/* What was read is on its way; ends the tunnel when both sides are through, or one answer is. */
static void settle(struct tunnel *tunnel)
{
    struct flow *up = &tunnel->up, *down = &tunnel->down;
    if (flush(up, tunnel->upstream_fd) != 0)
        give_up(up);
    if (flush(down, tunnel->client_fd) != 0 || (down->told && up->told)) {
        tunnel_end(tunnel);
    } else if (down->told && tunnel->forward) {
        tunnel_linger(tunnel);
    } else {
        tunnel_deadline(tunnel, up->ended || down->ended ? EGRESS_HALF_TIMEOUT_MS : EGRESS_IDLE_TIMEOUT_MS);
        watch_both(tunnel);
    }
}

static void ready(struct tunnel *tunnel, bool client, int events)
{
    const struct flow *flow = client ? &tunnel->up : &tunnel->down;
    bool may_read = !flow->ended && flow->pending.length == 0;
    if ((events & NET_READ) != 0 && may_read && read_side(tunnel, client) != 0)
        tunnel_end(tunnel);
    else
        settle(tunnel);
}

static void on_client(void *context, int events)
{
    ready(context, true, events);
}

static void on_upstream(void *context, int events)
{
    ready(context, false, events);
}

/* The first bytes: what the agent hears, and what it said behind its head. -1: over. */
static int pass_first(struct tunnel *tunnel)
{
    if (!tunnel->forward)
        mf_buf_text(&tunnel->down.pending, "HTTP/1.1 200 Connection established\r\n\r\n");
    else if (tunnel->expect_continue)
        mf_buf_text(&tunnel->down.pending, "HTTP/1.1 100 Continue\r\n\r\n");
    int result = 0;
    tunnel->up.bytes = tunnel->up.pending.length;    /* the head that was written anew */
    if (tunnel->input.length > 0 || tunnel->forward) /* a request without a body is done with no byte */
        result = take_from_client(tunnel, tunnel->input.data, tunnel->input.length);
    mf_buf_free(&tunnel->input);
    return tunnel->down.pending.failed ? -1 : result;
}

void tunnel_pass(struct tunnel *tunnel)
{
    struct net_loop *loop = gateway_loop(tunnel->stage->gateway);
    tunnel->state = TUNNEL_PASSING;
    net_watch_destroy(tunnel->client_watch);
    net_watch_destroy(tunnel->upstream_watch);
    tunnel->client_watch = tunnel->upstream_watch = NULL;
    if (pass_first(tunnel) != 0 ||
        net_watch_create(&tunnel->client_watch, loop, tunnel->client_fd, NET_READ, on_client, tunnel, NULL) != 0 ||
        net_watch_create(&tunnel->upstream_watch, loop, tunnel->upstream_fd, NET_READ, on_upstream, tunnel, NULL) != 0)
        tunnel_end(tunnel);
    else
        settle(tunnel);
}

/* --- saying no, and leaving in peace --- */

static void on_last_bytes(void *context, int events)
{
    struct tunnel *tunnel = context;
    char *scratch = gateway_scratch(tunnel->stage->gateway);
    (void)events;
    ssize_t got = recv(tunnel->client_fd, scratch, GATEWAY_SCRATCH_BYTES, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        tunnel_end(tunnel);
}

void tunnel_linger(struct tunnel *tunnel)
{
    net_watch_destroy(tunnel->client_watch);
    net_watch_destroy(tunnel->upstream_watch);
    tunnel->client_watch = tunnel->upstream_watch = NULL;
    if (tunnel->upstream_fd >= 0)
        close(tunnel->upstream_fd);
    tunnel->upstream_fd = -1;
    tunnel->state = TUNNEL_LINGERING;
    tunnel_deadline(tunnel, EGRESS_LINGER_TIMEOUT_MS);
    if (net_watch_create(&tunnel->client_watch, gateway_loop(tunnel->stage->gateway), tunnel->client_fd, NET_READ,
                         on_last_bytes, tunnel, NULL) != 0)
        tunnel_end(tunnel);
}

static void on_writable(void *context, int events)
{
    (void)events;
    tunnel_answer(context);
}

void tunnel_answer(struct tunnel *tunnel)
{
    struct flow *down = &tunnel->down;
    if (flush(down, tunnel->client_fd) != 0) {
        tunnel_end(tunnel);
    } else if (down->told) {
        tunnel_linger(tunnel);
    } else if (tunnel->client_watch == NULL &&
               net_watch_create(&tunnel->client_watch, gateway_loop(tunnel->stage->gateway), tunnel->client_fd,
                                NET_WRITE, on_writable, tunnel, NULL) != 0) {
        tunnel_end(tunnel);
    }
}
