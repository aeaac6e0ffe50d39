/* net/server_private.h - what server.c (listening) and connection.c (one connection) share */
#ifndef MF_NET_SERVER_PRIVATE_H
#define MF_NET_SERVER_PRIVATE_H

#include "net/server.h"

#include "base/buf.h"
#include "http1/request.h"

#include <netinet/in.h>

#define SERVER_READ_BYTES 65536      /* read at once: one megabyte body then takes 16 reads */
#define SERVER_REPLY_BYTES_MAX (1u << 30)
#define SERVER_BUFFER_KEPT_BYTES 16384 /* a larger buffer is given back when a request is over */

struct connection;

struct net_server {
    struct net_loop *loop;
    struct net_server_options options; /* with defaults filled in; host and unix_path are not kept */
    net_handler *handler;
    void *context;
    char *unix_path; /* owned; NULL for TCP; removed at the end */
    uint16_t port;
    int fd;
    struct net_watch *accepting;
    struct net_timer *accept_again; /* after a lack of descriptors or memory */
    struct connection *connections; /* all that are in memory, closed ones with an open exchange too */
    uint32_t connection_count;      /* that have a descriptor */
    uint32_t busy;                  /* connections that are being advanced: the server must not go away */
    char *scratch;                  /* SERVER_READ_BYTES: every read goes here first, so an idle connection holds no buffer */
};

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_EXCHANGE, PHASE_REPLY, PHASE_LINGER, PHASE_SILENT, PHASE_CLOSED };

/* What the timer of the connection waits for. */
enum waiting { WAITING_NOTHING, WAITING_IDLE, WAITING_REQUEST, WAITING_WRITE, WAITING_DRIP, WAITING_LINGER, WAITING_RESET };

/* What follows a reply. */
enum after { AFTER_KEEP, AFTER_LINGER, AFTER_RESET, AFTER_SILENCE, AFTER_REPEAT };

struct net_exchange {
    struct connection *connection;
    void (*dropped)(void *context);
    void *context;
    bool open;
};

struct connection {
    struct net_server *server;
    struct connection *next, *previous;
    int fd; /* owned; -1 when closed */
    struct net_watch *watch;
    struct net_timer *timer;
    void *filter; /* state of options.filter */
    char peer[INET6_ADDRSTRLEN];
    enum phase phase;
    enum waiting waiting;
    enum after after;
    bool advancing, peer_done, no_body;
    int64_t since_ms;       /* when `waiting` began */
    struct mf_buf in;       /* the current request */
    struct mf_buf early;    /* bytes of the next one */
    struct mf_buf out;      /* bytes for the socket */
    size_t out_at;          /* of which these were sent */
    uint32_t drip_bytes;    /* 0: send as fast as the socket takes */
    int64_t drip_ms;
    uint64_t linger_bytes;
    struct mf_span repeat;  /* endless faults send this again and again */
    struct http1_head head;
    struct http1_body body;
    size_t body_at, body_length; /* decoded content in `in` */
    struct net_header *headers;  /* owned */
    size_t header_capacity;
    struct net_server_request request;
    struct net_exchange exchange;
};

/* --- connection.c --- */

/* Takes the descriptor, also on failure. */
int connection_create(struct net_server *server, int fd, const char *peer, struct mf_error *error);
/* Frees a connection, running its on-drop callback when an exchange is open. */
void connection_destroy(struct connection *connection);
/* Frees the memory of a closed connection. */
void connection_free(struct connection *connection);
/* Gives the descriptor back; the memory goes with the next connection_advance, or with the reply that is still owed. */
void connection_close(struct connection *connection);
void connection_reset(struct connection *connection);
/* Moves on as far as possible. The connection may be freed after it. */
void connection_advance(struct connection *connection);

/* --- reply.c --- */

/* An answer of the server's own to a request that never reached the handler; the connection closes after it. */
void connection_refuse(struct connection *connection, int status, const char *reason);
/* Appends bytes for the peer, through the filter if there is one. False: the connection cannot go on. */
bool connection_put(struct connection *connection, struct mf_span plain);
/* Sends what the socket takes, and no more than one drip. False: the peer is gone. */
bool connection_flush(struct connection *connection);
bool connection_sending(const struct connection *connection);

/* --- server.c --- */

/* Into and out of the list of those in memory. */
void server_add_connection(struct net_server *server, struct connection *connection);
void server_remove_connection(struct net_server *server, struct connection *connection);
/* A descriptor became free: accepting may go on. */
void server_lose_connection(struct net_server *server);

#endif
