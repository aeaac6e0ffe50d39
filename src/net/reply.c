/*
 * reply.c - what goes out on a connection: replies, refusals, and the faults of tests
 *
 * A reply is written into `out` as a whole and sent as fast as the socket takes it, or in drips. Everything here leaves
 * the connection in PHASE_REPLY with `after` saying what comes then; connection_advance does the rest.
 */
#include "net/server_private.h"

#include "base/assert.h"
#include "http1/write.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* --- sending --- */

/* Bytes of an answer, through the filter if there is one. False: the connection cannot go on. */
bool connection_put(struct connection *connection, struct mf_span plain)
{
    if (connection->filter == NULL)
        return mf_buf_span(&connection->out, plain) == 0;
    return connection->server->options.filter->send(connection->filter, plain, &connection->out) == 0 &&
           !connection->out.failed;
}

static void forget_sent(struct connection *connection)
{
    connection->out_at = 0;
    mf_buf_clear(&connection->out);
    if (connection->out.capacity > SERVER_BUFFER_KEPT_BYTES)
        mf_buf_free(&connection->out);
}

/* Sends what the socket takes, and no more than one drip. False: the peer is gone. */
bool connection_flush(struct connection *connection)
{
    while (connection->out_at < connection->out.length) {
        if (connection->waiting == WAITING_DRIP)
            return true;
        size_t bytes = connection->out.length - connection->out_at;
        if (connection->drip_bytes > 0 && bytes > connection->drip_bytes)
            bytes = connection->drip_bytes;
        ssize_t sent = send(connection->fd, connection->out.data + connection->out_at, bytes, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->out_at += (size_t)sent;
        connection->waiting = WAITING_NOTHING; /* progress: the timer starts again */
        if (connection->drip_bytes > 0) {
            connection->waiting = WAITING_DRIP;
            connection->since_ms = net_now_ms();
        }
    }
    forget_sent(connection);
    return true;
}

bool connection_sending(const struct connection *connection)
{
    return connection->out_at < connection->out.length;
}

/* --- replies --- */

static bool is_framing_header(struct mf_span name)
{
    static const char *const names[] = {"content-length", "connection", "transfer-encoding", "keep-alive"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name.length == strlen(names[i]) && strncasecmp(name.data, names[i], name.length) == 0)
            return true;
    return false;
}

static bool asks_to_close(const struct net_header *headers, uint32_t header_count)
{
    for (uint32_t i = 0; i < header_count; i++)
        if (headers[i].name.length == 10 && strncasecmp(headers[i].name.data, "connection", 10) == 0 &&
            mf_span_is(headers[i].value, "close"))
            return true;
    return false;
}

/* Writes the head; `framing` is what stands instead of a content-length (an endless answer has none). */
static int write_head(struct connection *connection, struct mf_buf *out, int status, const struct net_header *headers,
                      uint32_t header_count, const size_t *length)
{
    http1_write_status(out, status);
    for (uint32_t i = 0; i < header_count; i++)
        if (!is_framing_header(headers[i].name))
            http1_write_header(out, headers[i].name, headers[i].value);
    if (length == NULL)
        mf_buf_span(out, MF_SPAN("transfer-encoding: chunked\r\n"));
    else if (http1_has_body(status))
        http1_write_length(out, *length);
    if (connection->after != AFTER_KEEP)
        mf_buf_span(out, MF_SPAN("connection: close\r\n"));
    return http1_write_end(out);
}

/* Head and body into `plain`; -1 when a header may not be sent or memory lacks. */
static int write_reply(struct connection *connection, struct mf_buf *plain, int status,
                       const struct net_header *headers, uint32_t header_count, struct mf_span body)
{
    bool keeps_length = connection->no_body || http1_has_body(status);
    size_t length = keeps_length ? body.length : 0;
    if (write_head(connection, plain, status, headers, header_count, &length) != 0)
        return -1;
    return connection->no_body || !http1_has_body(status) ? 0 : mf_buf_span(plain, body);
}

static void begin_reply(struct connection *connection)
{
    connection->phase = PHASE_REPLY;
    connection->waiting = WAITING_NOTHING;
}

/* An answer of the server's own to a request that never reached the handler. */
void connection_refuse(struct connection *connection, int status, const char *reason)
{
    static const struct net_header headers[] = {{{"content-type", 12}, {"text/plain", 10}}};
    struct mf_buf plain;
    mf_buf_init(&plain, 4096);
    connection->after = AFTER_LINGER;
    size_t length = strlen(reason) + 1;
    write_head(connection, &plain, status, headers, 1, &length);
    mf_buf_text(&plain, reason);
    mf_buf_char(&plain, '\n');
    begin_reply(connection);
    if (plain.failed || !connection_put(connection, mf_buf_view(&plain)))
        connection_reset(connection);
    mf_buf_free(&plain);
}

/* Ends the exchange for the handler. NULL: the peer has gone, and there is nothing to send. */
static struct connection *take_exchange(struct net_exchange *exchange)
{
    struct connection *connection = exchange->connection;
    mf_assert(exchange->open);
    exchange->open = false;
    if (connection->phase != PHASE_CLOSED)
        return connection;
    if (!connection->advancing)
        connection_free(connection);
    return NULL;
}

static void put_reply(struct connection *connection, int status, const struct net_header *headers,
                      uint32_t header_count, struct mf_span body)
{
    bool filtered = connection->filter != NULL;
    struct mf_buf plain;
    mf_buf_init_secret(&plain, SERVER_REPLY_BYTES_MAX);
    struct mf_buf *target = filtered ? &plain : &connection->out;
    size_t before = target->length;
    if (write_reply(connection, target, status, headers, header_count, body) != 0) {
        target->failed = false;
        target->length = before;
        connection_refuse(connection, 500, "the answer could not be built");
    } else if (filtered && !connection_put(connection, mf_buf_view(&plain))) {
        connection_reset(connection);
    }
    mf_buf_free(&plain);
}

void server_reply(struct net_exchange *exchange, int status, const struct net_header *headers, uint32_t header_count,
                  struct mf_span body)
{
    server_reply_drip(exchange, status, headers, header_count, body, 0, 0);
}

void server_reply_drip(struct net_exchange *exchange, int status, const struct net_header *headers,
                       uint32_t header_count, struct mf_span body, uint32_t chunk_bytes, int64_t every_ms)
{
    struct connection *connection = take_exchange(exchange);
    if (connection == NULL)
        return;
    bool keep = connection->head.keep_alive && !connection->peer_done && !asks_to_close(headers, header_count);
    connection->after = keep ? AFTER_KEEP : AFTER_LINGER;
    connection->drip_bytes = chunk_bytes;
    connection->drip_ms = every_ms;
    begin_reply(connection);
    put_reply(connection, status, headers, header_count, body);
    connection_advance(connection);
}

void server_exchange_on_drop(struct net_exchange *exchange, void (*dropped)(void *context), void *context)
{
    mf_assert(exchange->open);
    exchange->dropped = dropped;
    exchange->context = context;
}

/* --- faults --- */

/* A part of the answer: all of the head and half of the body, or half of the head. */
static void put_part(struct connection *connection, bool head_only, int status, const struct net_header *headers,
                     uint32_t header_count, struct mf_span body)
{
    struct mf_buf plain;
    mf_buf_init(&plain, SERVER_REPLY_BYTES_MAX);
    connection->no_body = false;
    if (!http1_has_body(status))
        body.length = 0;
    if (write_reply(connection, &plain, status, headers, header_count, body) == 0) {
        size_t head_bytes = plain.length - body.length;
        size_t bytes = head_only ? head_bytes / 2 : head_bytes + body.length / 2;
        (void)connection_put(connection, (struct mf_span){plain.data, bytes});
    }
    mf_buf_free(&plain);
}

static void put_endless(struct connection *connection, bool headers_only, int status, const struct net_header *headers,
                        uint32_t header_count)
{
    struct mf_buf plain;
    mf_buf_init(&plain, SERVER_REPLY_BYTES_MAX);
    if (headers_only)
        http1_write_status(&plain, status);
    else
        write_head(connection, &plain, status, headers, header_count, NULL);
    (void)connection_put(connection, mf_buf_view(&plain));
    mf_buf_free(&plain);
    connection->repeat = headers_only
                             ? MF_SPAN("x-more: and more, and more, and more, and more, and more\r\n")
                             : MF_SPAN("40\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n");
}

void server_abort(struct net_exchange *exchange, enum server_abort how, int status, const struct net_header *headers,
                  uint32_t header_count, struct mf_span body)
{
    static const enum after after[] = {
        [SERVER_ABORT_RESET] = AFTER_RESET,
        [SERVER_ABORT_CLOSE] = AFTER_LINGER,
        [SERVER_ABORT_TRUNCATE] = AFTER_RESET,
        [SERVER_ABORT_GARBAGE] = AFTER_LINGER,
        [SERVER_ABORT_HEAD] = AFTER_RESET,
        [SERVER_ABORT_STALL] = AFTER_SILENCE,
        [SERVER_ABORT_ENDLESS_HEADERS] = AFTER_REPEAT,
        [SERVER_ABORT_ENDLESS_BODY] = AFTER_REPEAT,
    };
    struct connection *connection = take_exchange(exchange);
    if (connection == NULL)
        return;
    connection->after = after[how];
    connection->drip_bytes = 0;
    begin_reply(connection);
    if (how == SERVER_ABORT_RESET)
        connection_reset(connection);
    else if (how == SERVER_ABORT_GARBAGE)
        (void)connection_put(connection, MF_SPAN("\x16\x03\x01 this is no answer\r\n\x01\x02\r\n\r\n"));
    else if (how == SERVER_ABORT_ENDLESS_HEADERS || how == SERVER_ABORT_ENDLESS_BODY)
        put_endless(connection, how == SERVER_ABORT_ENDLESS_HEADERS, status, headers, header_count);
    else if (how != SERVER_ABORT_CLOSE)
        put_part(connection, how == SERVER_ABORT_HEAD, status, headers, header_count, body);
    connection_advance(connection);
}
