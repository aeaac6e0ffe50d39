/*
 * net/server.h - a small HTTP/1.1 server on the loop, over http1/'s strict parser: for the emulator now, the gateway later
 *
 * Listens on loopback TCP or on a unix socket. A request is delivered when it is complete (body collected up to a limit).
 * The handler answers at once or later with server_reply; requests of one connection are answered in order, one at a time
 * (no pipelining). A filter may stand between socket and parser (TLS in the emulator).
 */
#ifndef MF_NET_SERVER_H
#define MF_NET_SERVER_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/client.h" /* struct net_header */
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct net_server;
struct net_exchange; /* one request being answered; dead after its reply was given or its connection was dropped */

struct net_server_request {
    struct mf_span method, target;     /* target as it came: origin-form, validated */
    struct mf_span path, query;        /* target split at the first '?'; still percent-encoded */
    const struct net_header *headers;  /* names in lower case */
    uint32_t header_count;
    struct mf_span body;               /* whole, without chunk framing */
    const char *peer;                  /* "127.0.0.1" or "unix" */
};

/* Bytes between socket and parser, for TLS. Every function may return -1: the connection is closed. */
struct net_filter {
    void *(*open)(void *factory);
    /* Takes bytes from the socket; appends plain bytes to `plain` and bytes to send back (handshake) to `wire`. */
    int (*receive)(void *state, struct mf_span bytes, struct mf_buf *plain, struct mf_buf *wire);
    int (*send)(void *state, struct mf_span plain, struct mf_buf *wire);
    void (*close)(void *state, struct mf_buf *wire);
    void *factory;
};

struct net_server_options {
    const char *host;            /* numeric loopback address (127.0.0.0/8 or ::1), or NULL when unix_path is set */
    uint16_t port;               /* 0 picks a free one */
    const char *unix_path;       /* created with mode 0600; must not exist; removed with the server */
    uint64_t body_bytes_max;     /* 413 above; 0: no bodies at all */
    uint32_t connections_max;    /* accept pauses above; 0: 4096 */
    int64_t idle_timeout_ms;     /* keep-alive connection without a request, or a peer that does not read; 0: 60 s */
    int64_t request_timeout_ms;  /* from the first byte to the last byte of a request: 408 above; 0: 60 s */
    const struct net_filter *filter; /* NULL: none; must outlive the server */
    /*
     * NULL: everything is let in. Looks at a head before its body is read (and before 100-continue is sent), with an empty
     * body; a status other than 0 refuses the request with it and closes the connection.
     */
    int (*admit)(void *context, const struct net_server_request *head);
};

/*
 * `request` and its spans stay valid until the exchange is replied to. The handler must see to exactly one
 * server_reply/server_abort for each exchange, now or later; a reply to a peer that went away is dropped. With
 * `server_exchange_on_drop` it learns of that earlier: the exchange is dead then and must not be replied to. A peer that
 * closes its sending side counts as gone. The handler must not destroy the server.
 */
typedef void net_handler(void *context, struct net_exchange *exchange, const struct net_server_request *request);

int net_server_create(struct net_server **out, struct net_loop *loop, const struct net_server_options *options, net_handler *handler, void *context, struct mf_error *error);
/* Closes everything; the on-drop callbacks of open exchanges run, and every open exchange is dead. NULL is fine. */
void net_server_destroy(struct net_server *server);
uint16_t net_server_port(const struct net_server *server);
uint32_t net_server_connections(const struct net_server *server); /* that are open now */

/*
 * Sends a whole answer. content-length and connection are set by the server (the caller's are left out, as is
 * transfer-encoding; `connection: close` is obeyed). Body and headers are copied. A header that may not be sent turns the answer into a 500.
 */
void server_reply(struct net_exchange *exchange, int status, const struct net_header *headers, uint32_t header_count, struct mf_span body);
/* Faults for tests: what the peer sees instead of a clean answer. */
enum server_abort {
    SERVER_ABORT_RESET,    /* connection reset at once, nothing sent */
    SERVER_ABORT_CLOSE,    /* orderly close, nothing sent */
    SERVER_ABORT_TRUNCATE, /* the head and half of the body, then a reset */
    SERVER_ABORT_GARBAGE,  /* bytes that are no HTTP */
    SERVER_ABORT_HEAD,     /* half of the head, then a reset */
    SERVER_ABORT_STALL,    /* the head and half of the body, then silence until the peer leaves */
    SERVER_ABORT_ENDLESS_HEADERS, /* headers without end */
    SERVER_ABORT_ENDLESS_BODY,    /* a chunked body without end */
};
void server_abort(struct net_exchange *exchange, enum server_abort how, int status, const struct net_header *headers, uint32_t header_count, struct mf_span body);
/* Sends the answer slowly, its head included: `chunk_bytes` (at least 1) every `every_ms`. */
void server_reply_drip(struct net_exchange *exchange, int status, const struct net_header *headers, uint32_t header_count, struct mf_span body, uint32_t chunk_bytes, int64_t every_ms);
/* Called once if the peer goes away before the reply; the exchange is dead after it. */
void server_exchange_on_drop(struct net_exchange *exchange, void (*dropped)(void *context), void *context);

#endif
