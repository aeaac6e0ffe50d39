/*
 * connection.c - one accepted connection: from bytes to a request, from a reply to bytes
 *
 *            first byte        head complete     body complete          reply given
 *   HEAD ------------> HEAD ----------------> BODY ----------> EXCHANGE -----------> REPLY --+
 *    ^  idle timeout    | request timeout, bad head or body: a refusal ------------> REPLY   |
 *    +-- all sent, keep-alive ---------------------------------------------------------------+
 *        all sent, close --> LINGER --> CLOSED        a fault: SILENT, or a reset --> CLOSED
 *
 * connection_advance is the only place where a connection moves on; a callback or a reply changes the state and calls
 * it. It does not call itself: a reply given from inside the handler is picked up by the loop that called the handler.
 *
 * `in` holds the current request from its first byte, and the body is decoded in place behind the head. Bytes that come
 * while a request is being answered wait in `early`; when that is full, the socket is no longer read. So the spans of a
 * request stay where they are until the reply.
 *
 * A connection whose peer has gone is closed at once. If its exchange is open and nobody asked to be told, the memory
 * stays until the reply, which is then dropped. After a refusal or with `connection: close`, our side is shut down and
 * what the peer still sends is read and dropped for a while: closing with unread input would make the kernel send a
 * reset, and the peer could lose the answer.
 */
#include "net/server_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EARLY_BYTES_MAX                                                                                                \
    65536 /* input that may wait while a request is answered; 2000 connections: 128 MiB at worst                       \
           */
#define LINGER_MS 2000
#define LINGER_BYTES_MAX                                                                                               \
    (64u << 20)           /* of a body that was refused: enough for clients that do not look before they have sent */
#define RESET_DELAY_MS 20 /* for the bytes before a reset to arrive; the peer's kernel could drop them otherwise */

/* --- closing --- */

void connection_free(struct connection *connection)
{
    server_remove_connection(connection->server, connection);
    net_timer_destroy(connection->timer);
    mf_buf_free(&connection->in);
    mf_buf_free(&connection->early);
    mf_buf_free(&connection->out);
    mf_free(connection->headers);
    mf_free(connection);
}

/* Last words of the filter, as far as the socket takes them at once. */
static void close_filter(struct connection *connection)
{
    if (connection->filter == NULL)
        return;
    mf_buf_clear(&connection->out);
    connection->server->options.filter->close(connection->filter, &connection->out);
    connection->filter = NULL;
    if (connection->out.length > 0)
        (void)send(connection->fd, connection->out.data, connection->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Gives the descriptor back. The memory goes when nobody needs it any more. */
void connection_close(struct connection *connection)
{
    if (connection->phase == PHASE_CLOSED)
        return;
    connection->phase = PHASE_CLOSED;
    close_filter(connection);
    net_watch_destroy(connection->watch);
    connection->watch = NULL;
    if (connection->timer != NULL)
        net_timer_set(connection->timer, MF_NEVER);
    close(connection->fd);
    connection->fd = -1;
    server_lose_connection(connection->server);
    if (connection->exchange.open && connection->exchange.dropped != NULL) {
        connection->exchange.open = false;
        connection->exchange.dropped(connection->exchange.context);
    }
}

void connection_reset(struct connection *connection)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    connection_close(connection);
}

void connection_destroy(struct connection *connection)
{
    connection_close(connection);
    connection_free(connection);
}

/* --- requests --- */

static int fill_request(struct connection *connection)
{
    const struct http1_head *head = &connection->head;
    const char *data = connection->in.data;
    if (mf_grow((void **)&connection->headers, &connection->header_capacity, head->header_count,
                sizeof *connection->headers, 16) != 0)
        return -1;
    for (uint32_t i = 0; i < head->header_count; i++)
        connection->headers[i] =
            (struct net_header){http1_piece_span(head->names[i], data), http1_piece_span(head->values[i], data)};
    connection->request = (struct net_server_request){
        .method = http1_piece_span(head->method, data),
        .target = http1_piece_span(head->target, data),
        .path = http1_piece_span(head->path, data),
        .query = http1_piece_span(head->query, data),
        .headers = connection->headers,
        .header_count = head->header_count,
        .body = {data + connection->body_at, connection->body_length},
        .peer = connection->peer,
    };
    connection->no_body = mf_span_is(connection->request.method, "HEAD");
    return 0;
}

static int ask_admit(struct connection *connection)
{
    if (connection->server->options.admit == NULL)
        return 0;
    return fill_request(connection) != 0
               ? 503
               : connection->server->options.admit(connection->server->context, &connection->request);
}

/* True: go on; false: more input is needed. */
static bool step_head(struct connection *connection)
{
    struct http1_head *head = &connection->head;
    if (connection->in.length == 0)
        return false;
    enum http1_result result = http1_head_parse(head, connection->in.data, connection->in.length);
    if (result == HTTP1_PARTIAL)
        return false;
    if (result == HTTP1_BAD) {
        connection_refuse(connection, head->status, head->reason);
        return true;
    }
    connection->body_at = head->head_bytes;
    connection->body_length = 0;
    int status = ask_admit(connection);
    if (status != 0) {
        connection_refuse(connection, status, "the request is refused");
        return true;
    }
    http1_body_init(&connection->body, head, connection->server->options.body_bytes_max);
    connection->phase = PHASE_BODY;
    bool wants_go =
        head->expect_continue && (head->chunked || head->content_length > 0) && connection->body.status == 0;
    if (wants_go && connection->in.length == head->head_bytes &&
        !connection_put(connection, MF_SPAN("HTTP/1.1 100 Continue\r\n\r\n")))
        connection_close(connection);
    return true;
}

static void deliver(struct connection *connection)
{
    if (fill_request(connection) != 0) {
        connection_refuse(connection, 503, "no memory");
        return;
    }
    connection->phase = PHASE_EXCHANGE;
    connection->exchange = (struct net_exchange){.connection = connection, .open = true};
    connection->server->handler(connection->server->context, &connection->exchange, &connection->request);
}

/* Moves what follows the request out of `in`, so that `in` stays as it is until the reply. */
static bool set_early_aside(struct connection *connection, size_t end)
{
    struct mf_buf *in = &connection->in;
    struct mf_span rest = {in->data + end, in->length - end};
    if (rest.length > 0 && mf_buf_span(&connection->early, rest) != 0)
        return false;
    in->length = connection->body_at + connection->body_length;
    in->data[in->length] = '\0';
    return true;
}

static bool step_body(struct connection *connection)
{
    struct mf_buf *in = &connection->in;
    size_t end = connection->body_at + connection->body_length;
    size_t consumed, produced;
    enum http1_result result =
        http1_body_decode(&connection->body, in->data + end, in->length - end, &consumed, in->data + end, &produced);
    if (result == HTTP1_BAD) {
        connection_refuse(connection, connection->body.status, connection->body.reason);
        return true;
    }
    connection->body_length += produced;
    if (!set_early_aside(connection, end + consumed))
        connection_close(connection);
    else if (result == HTTP1_DONE)
        deliver(connection);
    return result == HTTP1_DONE || connection->phase == PHASE_CLOSED;
}

static void begin_request(struct connection *connection)
{
    struct mf_buf rest = connection->early;
    mf_buf_clear(&connection->in);
    if (connection->in.capacity > SERVER_BUFFER_KEPT_BYTES)
        mf_buf_free(&connection->in);
    if (rest.length > 0) {
        connection->early = connection->in;
        connection->early.bytes_max = rest.bytes_max;
        rest.bytes_max = connection->in.bytes_max;
        connection->in = rest;
    }
    http1_head_init(&connection->head);
    connection->phase = PHASE_HEAD;
    connection->waiting = WAITING_NOTHING;
    connection->drip_bytes = 0;
}

/* The filter's last words first; they are sent before this is called again. */
static void begin_linger(struct connection *connection)
{
    if (connection->filter != NULL) {
        connection->server->options.filter->close(connection->filter, &connection->out);
        connection->filter = NULL;
    } else if (shutdown(connection->fd, SHUT_WR) != 0) {
        connection_close(connection);
    } else {
        connection->phase = PHASE_LINGER;
    }
}

static bool step_reply(struct connection *connection)
{
    if (connection_sending(connection))
        return false;
    switch (connection->after) {
    case AFTER_KEEP:
        begin_request(connection);
        return true;
    case AFTER_LINGER:
        begin_linger(connection);
        return true;
    case AFTER_RESET:
    case AFTER_SILENCE:
        connection->phase = PHASE_SILENT;
        return true;
    case AFTER_REPEAT:
        for (int i = 0; i < 256; i++)
            (void)connection_put(connection, connection->repeat);
        connection->waiting = WAITING_NOTHING;
        return false; /* one helping for each turn of the loop, so that others are served too */
    }
    mf_unreachable();
}

/* --- moving on --- */

static bool step(struct connection *connection)
{
    switch (connection->phase) {
    case PHASE_HEAD:
        return step_head(connection);
    case PHASE_BODY:
        return step_body(connection);
    case PHASE_REPLY:
        return step_reply(connection);
    case PHASE_EXCHANGE:
    case PHASE_LINGER:
    case PHASE_SILENT:
    case PHASE_CLOSED:
        return false;
    }
    mf_unreachable();
}

static enum waiting what_to_wait_for(const struct connection *connection)
{
    switch (connection->phase) {
    case PHASE_HEAD:
    case PHASE_BODY:
        return connection->phase == PHASE_HEAD && connection->in.length == 0 ? WAITING_IDLE : WAITING_REQUEST;
    case PHASE_REPLY:
        return connection->waiting == WAITING_DRIP ? WAITING_DRIP : WAITING_WRITE;
    case PHASE_LINGER:
        return WAITING_LINGER;
    case PHASE_SILENT:
        return connection->after == AFTER_RESET ? WAITING_RESET : WAITING_NOTHING;
    case PHASE_EXCHANGE:
    case PHASE_CLOSED:
        return WAITING_NOTHING;
    }
    mf_unreachable();
}

static int64_t timeout_of(const struct connection *connection, enum waiting waiting)
{
    switch (waiting) {
    case WAITING_IDLE:
    case WAITING_WRITE:
        return connection->server->options.idle_timeout_ms;
    case WAITING_REQUEST:
        return connection->server->options.request_timeout_ms;
    case WAITING_DRIP:
        return connection->drip_ms;
    case WAITING_LINGER:
        return LINGER_MS;
    case WAITING_RESET:
        return RESET_DELAY_MS;
    case WAITING_NOTHING:
        break;
    }
    mf_unreachable();
}

static void arm_timer(struct connection *connection)
{
    enum waiting waiting = what_to_wait_for(connection);
    if (waiting == connection->waiting && waiting != WAITING_DRIP)
        return;
    if (waiting != WAITING_DRIP)
        connection->since_ms = net_now_ms();
    connection->waiting = waiting;
    net_timer_set(connection->timer,
                  waiting == WAITING_NOTHING ? MF_NEVER : connection->since_ms + timeout_of(connection, waiting));
}

static void arm_watch(struct connection *connection)
{
    int events = 0;
    bool answering = connection->phase == PHASE_EXCHANGE || connection->phase == PHASE_REPLY;
    if (!connection->peer_done && !(answering && connection->early.length >= EARLY_BYTES_MAX))
        events |= NET_READ;
    bool endless = connection->phase == PHASE_REPLY && connection->after == AFTER_REPEAT;
    if (endless || (connection_sending(connection) && connection->waiting != WAITING_DRIP))
        events |= NET_WRITE;
    net_watch_set(connection->watch, events);
}

void connection_advance(struct connection *connection)
{
    if (connection->advancing)
        return;
    connection->advancing = true;
    connection->server->busy++;
    do {
        if (connection->phase != PHASE_CLOSED && connection_sending(connection) && !connection_flush(connection))
            connection_close(connection);
    } while (step(connection));
    if (connection->phase != PHASE_CLOSED && connection_sending(connection) && !connection_flush(connection))
        connection_close(connection);
    connection->server->busy--;
    connection->advancing = false;
    if (connection->phase != PHASE_CLOSED) {
        arm_timer(connection);
        arm_watch(connection);
    } else if (!connection->exchange.open) {
        connection_free(connection);
    }
}

/* --- events --- */

/* Where input belongs; NULL: nowhere, it is dropped. */
static struct mf_buf *input_of(struct connection *connection)
{
    if (connection->phase == PHASE_HEAD || connection->phase == PHASE_BODY)
        return &connection->in;
    return connection->phase == PHASE_EXCHANGE || connection->phase == PHASE_REPLY ? &connection->early : NULL;
}

static void take_bytes(struct connection *connection, struct mf_span bytes)
{
    struct mf_buf *target = input_of(connection);
    if (target == NULL) {
        connection->linger_bytes += bytes.length;
        if (connection->linger_bytes > LINGER_BYTES_MAX)
            connection_close(connection);
        return;
    }
    int result = connection->filter == NULL
                     ? mf_buf_span(target, bytes)
                     : connection->server->options.filter->receive(connection->filter, bytes, target, &connection->out);
    if (result != 0 || target->failed || connection->out.failed)
        connection_close(connection);
}

/* The peer has said its last word. While a reply is on its way, it may still read; else there is nobody to serve. */
static void take_end(struct connection *connection)
{
    connection->peer_done = true;
    if (connection->phase == PHASE_REPLY && connection->after == AFTER_KEEP)
        connection->after = AFTER_LINGER;
    else if (connection->phase != PHASE_REPLY)
        connection_close(connection);
}

static void receive(struct connection *connection)
{
    char *scratch = connection->server->scratch;
    ssize_t got = recv(connection->fd, scratch, SERVER_READ_BYTES, 0);
    if (got > 0)
        take_bytes(connection, (struct mf_span){scratch, (size_t)got});
    else if (got == 0)
        take_end(connection);
    else if (errno != EAGAIN && errno != EINTR)
        connection_close(connection);
}

static void on_ready(void *context, int events)
{
    struct connection *connection = context;
    if ((events & NET_READ) != 0)
        receive(connection);
    connection_advance(connection);
}

static void on_timer(void *context)
{
    struct connection *connection = context;
    switch (connection->waiting) {
    case WAITING_REQUEST:
        connection_refuse(connection, 408, "the request took too long");
        break;
    case WAITING_DRIP:
        connection->waiting = WAITING_NOTHING;
        break;
    case WAITING_WRITE:
    case WAITING_RESET:
        connection_reset(connection);
        break;
    case WAITING_IDLE:
    case WAITING_LINGER:
        connection_close(connection);
        break;
    case WAITING_NOTHING:
        mf_unreachable();
    }
    connection_advance(connection);
}

/* --- creation --- */

static void init_buffers(struct connection *connection)
{
    /* A body is decoded in place: at most the head, the content and one read of framing are there at a time. */
    uint64_t in_max = connection->server->options.body_bytes_max;
    in_max = in_max > SERVER_REPLY_BYTES_MAX ? SERVER_REPLY_BYTES_MAX : in_max;
    mf_buf_init_secret(&connection->in, (size_t)in_max + HTTP1_HEAD_BYTES_MAX + 4 * SERVER_READ_BYTES);
    mf_buf_init_secret(&connection->early,
                       EARLY_BYTES_MAX + 4 * SERVER_READ_BYTES); /* a filter may hand over more than it got */
    mf_buf_init_secret(&connection->out, SERVER_REPLY_BYTES_MAX);
}

static int open_connection(struct connection *connection, struct mf_error *error)
{
    const struct net_filter *filter = connection->server->options.filter;
    if (net_timer_create(&connection->timer, connection->server->loop, on_timer, connection, error) != 0)
        return -1;
    if (net_watch_create(&connection->watch, connection->server->loop, connection->fd, NET_READ, on_ready, connection,
                         error) != 0)
        return -1;
    if (filter != NULL && (connection->filter = filter->open(filter->factory)) == NULL)
        return mf_fail(error, MF_MEMORY, "connection: the filter did not open");
    return 0;
}

int connection_create(struct net_server *server, int fd, const char *peer, struct mf_error *error)
{
    struct connection *connection = mf_calloc(1, sizeof *connection);
    if (connection == NULL) {
        close(fd);
        return mf_fail(error, MF_MEMORY, "connection: no memory");
    }
    connection->server = server;
    connection->fd = fd;
    (void)mf_span_copy(mf_span(peer), connection->peer, sizeof connection->peer);
    http1_head_init(&connection->head);
    init_buffers(connection);
    server_add_connection(server, connection);
    if (open_connection(connection, error) != 0) {
        connection_destroy(connection);
        return -1;
    }
    connection_advance(connection);
    return 0;
}
