/*
 * server.c - a small HTTP/1.1 server on the loop: listening and accepting
 *
 * Used by the emulator and by the gateway. It listens on a loopback address or on a unix socket, nowhere else: what
 * speaks plain HTTP with credentials in it must not be reachable from another machine. connection.c does everything
 * that happens on an accepted connection.
 *
 * A lack of descriptors or memory does not make the accept loop spin: accepting pauses for a tenth of a second, or
 * until a connection closes. Above connections_max the backlog of the kernel holds the newcomers.
 */
#include "net/server_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64 /* then the connections that are there get their turn */
#define ACCEPT_PAUSE_MS 100
#define BACKLOG 1024
#define CONNECTIONS_MAX_DEFAULT 4096
#define TIMEOUT_DEFAULT_MS 60000

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

/* --- addresses --- */

static int parse_host(const char *host, uint16_t port, union address *out, socklen_t *bytes, struct mf_error *error)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        *bytes = sizeof out->v4;
        if (ntohl(out->v4.sin_addr.s_addr) >> 24 == 127)
            return 0;
    } else if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *bytes = sizeof out->v6;
        if (IN6_IS_ADDR_LOOPBACK(&out->v6.sin6_addr))
            return 0;
    }
    return mf_fail(error, MF_INPUT, "listen address '%s': not a numeric loopback address", host);
}

static int parse_unix(const char *path, union address *out, socklen_t *bytes, struct mf_error *error)
{
    memset(out, 0, sizeof *out);
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof out->local.sun_path)
        return mf_fail(error, MF_LIMIT, "socket path '%s': must have 1 to %zu bytes", path,
                       sizeof out->local.sun_path - 1);
    out->local.sun_family = AF_UNIX;
    memcpy(out->local.sun_path, path, length + 1);
    *bytes = sizeof out->local;
    return 0;
}

/* The address as text, for TCP only. */
static void format_peer(const union address *address, char *out, size_t out_bytes)
{
    const void *raw =
        address->any.sa_family == AF_INET6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;
    if (address->any.sa_family == AF_UNIX || inet_ntop(address->any.sa_family, raw, out, (socklen_t)out_bytes) == NULL)
        memcpy(out, "unix", sizeof "unix");
}

/* --- accepting --- */

static void pause_accept(struct net_server *server)
{
    net_watch_set(server->accepting, 0);
    net_timer_set(server->accept_again, net_now_ms() + ACCEPT_PAUSE_MS);
}

static void resume_accept(struct net_server *server)
{
    if (server->accepting != NULL && server->connection_count < server->options.connections_max)
        net_watch_set(server->accepting, NET_READ);
}

void server_add_connection(struct net_server *server, struct connection *connection)
{
    connection->next = server->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    server->connections = connection;
    server->connection_count++;
}

void server_remove_connection(struct net_server *server, struct connection *connection)
{
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
}

void server_lose_connection(struct net_server *server)
{
    server->connection_count--;
    resume_accept(server);
}

static void on_accept_again(void *context)
{
    resume_accept(context);
}

/* False: stop accepting for now. */
static bool accept_one(struct net_server *server)
{
    union address address;
    socklen_t bytes = sizeof address;
    memset(&address, 0, sizeof address);
    int fd = accept4(server->fd, &address.any, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED)
            return true;
        if (errno != EAGAIN)
            pause_accept(server);
        return false;
    }
    char peer[INET6_ADDRSTRLEN];
    format_peer(&address, peer, sizeof peer);
    if (address.any.sa_family != AF_UNIX) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* an answer is written at once and whole */
    }
    if (connection_create(server, fd, peer, NULL) != 0) {
        pause_accept(server);
        return false;
    }
    return true;
}

static void on_acceptable(void *context, int events)
{
    (void)events;
    struct net_server *server = context;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (server->connection_count >= server->options.connections_max) {
            net_watch_set(server->accepting, 0);
            return;
        }
        if (!accept_one(server))
            return;
    }
}

/* --- the listener --- */

static int bind_and_listen(struct net_server *server, const union address *address, socklen_t bytes,
                           struct mf_error *error)
{
    server->fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->fd < 0)
        return mf_fail_os(error, errno, "server: socket");
    int on = 1;
    if (address->any.sa_family == AF_UNIX) {
        /* bind() makes the file with the mode of the socket, so no other user can connect at any moment */
        if (fchmod(server->fd, 0600) != 0)
            return mf_fail_os(error, errno, "server: socket mode");
    } else if (setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        return mf_fail_os(error, errno, "server: socket option");
    }
    if (bind(server->fd, &address->any, bytes) != 0)
        return mf_fail_os(error, errno, "server: bind");
    if (address->any.sa_family == AF_UNIX && (server->unix_path = mf_strdup(address->local.sun_path)) == NULL) {
        unlink(address->local.sun_path);
        return mf_fail(error, MF_MEMORY, "server: no memory");
    }
    if (listen(server->fd, BACKLOG) != 0)
        return mf_fail_os(error, errno, "server: listen");
    return 0;
}

static int read_port(struct net_server *server, struct mf_error *error)
{
    union address address;
    socklen_t bytes = sizeof address;
    if (getsockname(server->fd, &address.any, &bytes) != 0)
        return mf_fail_os(error, errno, "server: socket name");
    if (address.any.sa_family == AF_INET)
        server->port = ntohs(address.v4.sin_port);
    else if (address.any.sa_family == AF_INET6)
        server->port = ntohs(address.v6.sin6_port);
    return 0;
}

static int open_listener(struct net_server *server, const struct net_server_options *options, struct mf_error *error)
{
    union address address;
    socklen_t bytes = 0;
    mf_assert((options->host != NULL) != (options->unix_path != NULL));
    int parsed = options->host != NULL ? parse_host(options->host, options->port, &address, &bytes, error)
                                       : parse_unix(options->unix_path, &address, &bytes, error);
    if (parsed != 0 || bind_and_listen(server, &address, bytes, error) != 0 || read_port(server, error) != 0)
        return -1;
    if (net_timer_create(&server->accept_again, server->loop, on_accept_again, server, error) != 0)
        return -1;
    return net_watch_create(&server->accepting, server->loop, server->fd, NET_READ, on_acceptable, server, error);
}

static void set_options(struct net_server *server, const struct net_server_options *options)
{
    server->options = *options;
    server->options.host = server->options.unix_path = NULL; /* the caller's; not kept */
    if (server->options.connections_max == 0)
        server->options.connections_max = CONNECTIONS_MAX_DEFAULT;
    if (server->options.idle_timeout_ms == 0)
        server->options.idle_timeout_ms = TIMEOUT_DEFAULT_MS;
    if (server->options.request_timeout_ms == 0)
        server->options.request_timeout_ms = TIMEOUT_DEFAULT_MS;
}

int net_server_create(struct net_server **out, struct net_loop *loop, const struct net_server_options *options,
                      net_handler *handler, void *context, struct mf_error *error)
{
    struct net_server *server = mf_calloc(1, sizeof *server);
    char *scratch = mf_alloc(SERVER_READ_BYTES);
    if (server == NULL || scratch == NULL) {
        mf_free(server);
        mf_free(scratch);
        return mf_fail(error, MF_MEMORY, "server: no memory");
    }
    server->loop = loop;
    server->handler = handler;
    server->context = context;
    server->scratch = scratch;
    server->fd = -1;
    set_options(server, options);
    if (open_listener(server, options, error) != 0) {
        net_server_destroy(server);
        return -1;
    }
    *out = server;
    return 0;
}

void net_server_destroy(struct net_server *server)
{
    if (server == NULL)
        return;
    mf_assert(server->busy == 0);
    net_watch_destroy(server->accepting);
    server->accepting = NULL;
    while (server->connections != NULL)
        connection_destroy(server->connections);
    net_timer_destroy(server->accept_again);
    if (server->fd >= 0)
        close(server->fd);
    if (server->unix_path != NULL)
        unlink(server->unix_path);
    mf_free(server->unix_path);
    mf_free_secret(server->scratch, SERVER_READ_BYTES);
    mf_free(server);
}

uint16_t net_server_port(const struct net_server *server)
{
    return server->port;
}

uint32_t net_server_connections(const struct net_server *server)
{
    return server->connection_count;
}
