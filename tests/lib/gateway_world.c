/*
 * gateway_world.c - a gateway in a thread, an upstream that records and does what its path says, an agent's raw socket
 *
 * Paths of the upstream, behind /client/v4/accounts/ID:
 *   /things...            200, "fine"
 *   /echo                 200, the body back (content-length)       /headers   200, the request's head as body
 *   /size/N  /chunked/N   N bytes of a pattern                      /sse/N     N events, 20 ms apart, chunked
 *   /hold                 no answer until the agent is gone         /raw/NAME  a table of bad answers
 *   /status/N             that status                               /early     413 before the body is read
 */
#include "lib/gateway_world.h"

#include "base/buf.h"
#include "http1/match.h"
#include "net/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static pthread_t loop_thread, upstream_thread;
static _Atomic bool upstream_ends;
static _Atomic uint32_t upstream_threads;
static struct {
    void (*function)(struct world *world, void *context);
    void *context;
    sem_t done;
} call;

int64_t world_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t world_hash(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 1099511628211ull;
    return hash;
}

/* --- the upstream --- */

struct reader { /* buffered reads from a blocking socket */
    int fd;
    char data[65536];
    size_t at, length;
    bool ended;
};

static int next_byte(struct reader *reader)
{
    if (reader->at == reader->length) {
        ssize_t got = recv(reader->fd, reader->data, sizeof reader->data, 0);
        if (got <= 0) {
            reader->ended = true;
            return -1;
        }
        reader->at = 0;
        reader->length = (size_t)got;
    }
    return (unsigned char)reader->data[reader->at++];
}

static bool read_head(struct reader *reader, char *head, size_t bytes)
{
    size_t length = 0;
    while (length + 1 < bytes) {
        int c = next_byte(reader);
        if (c < 0)
            return false;
        head[length++] = (char)c;
        head[length] = '\0';
        if (length >= 4 && memcmp(head + length - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

const char *world_header(const char *head, const char *name, char *out, size_t out_bytes)
{
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            const char *value = line + 3 + length;
            value += strspn(value, " ");
            snprintf(out, out_bytes, "%.*s", (int)strcspn(value, "\r\n"), value);
            return out;
        }
    return NULL;
}

struct body_sink {
    uint64_t bytes, hash;
    char *start;
    size_t start_bytes, start_length;
    bool keep;
    char *all; /* of the first 4 MiB, when asked for */
};

static void take_body(struct body_sink *sink, const char *data, size_t bytes)
{
    size_t room = sink->start_bytes - 1 - sink->start_length, some = bytes < room ? bytes : room;
    memcpy(sink->start + sink->start_length, data, some);
    sink->start_length += some;
    sink->start[sink->start_length] = '\0';
    if (sink->keep && sink->bytes + bytes <= 4u << 20) {
        sink->all = realloc(sink->all, sink->bytes + bytes + 1);
        memcpy(sink->all + sink->bytes, data, bytes);
    }
    sink->hash = world_hash(sink->hash, data, bytes);
    sink->bytes += bytes;
}

static bool read_exactly(struct reader *reader, uint64_t bytes, struct body_sink *sink)
{
    while (bytes > 0) {
        if (reader->at == reader->length) {
            int c = next_byte(reader);
            if (c < 0)
                return false;
            reader->at--;
        }
        size_t some = reader->length - reader->at;
        if (some > bytes)
            some = (size_t)bytes;
        take_body(sink, reader->data + reader->at, some);
        reader->at += some;
        bytes -= some;
    }
    return true;
}

static bool read_line(struct reader *reader, char *line, size_t bytes)
{
    size_t length = 0;
    for (;;) {
        int c = next_byte(reader);
        if (c < 0 || length + 1 >= bytes)
            return false;
        if (c == '\n')
            break;
        if (c != '\r')
            line[length++] = (char)c;
    }
    line[length] = '\0';
    return true;
}

static bool read_chunks(struct reader *reader, struct body_sink *sink)
{
    char line[256];
    for (;;) {
        if (!read_line(reader, line, sizeof line))
            return false;
        uint64_t size = strtoull(line, NULL, 16);
        if (size > 0 && !read_exactly(reader, size, sink))
            return false;
        if (!read_line(reader, line, sizeof line))
            return false;
        if (size == 0)
            return true;
    }
}

static _Thread_local bool put_failed; /* the peer of this thread's connection went away */

static bool put(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            put_failed = true;
            return false;
        }
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static bool put_text(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool put_text(int fd, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return put(fd, text, (size_t)length);
}

static void fill_pattern(char *out, uint64_t at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (char)('a' + (at + i) * 2654435761u % 26);
}

static bool put_pattern(int fd, uint64_t bytes, bool chunked)
{
    char piece[32768];
    for (uint64_t at = 0; at < bytes;) {
        size_t some = bytes - at < sizeof piece ? (size_t)(bytes - at) : sizeof piece;
        fill_pattern(piece, at, some);
        if (chunked && !put_text(fd, "%zx\r\n", some))
            return false;
        if (!put(fd, piece, some) || (chunked && !put_text(fd, "\r\n")))
            return false;
        at += some;
    }
    return !chunked || put_text(fd, "0\r\n\r\n");
}

static void put_raw(int fd, const char *name)
{
    static const struct {
        const char *name, *bytes;
    } table[] = {
        {"flood", "HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 "
                  "OK\r\ncontent-length: 4\r\n\r\nfine"},
        {"short", "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\nfine"},
        {"long", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfineHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad"},
        {"both", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"},
        {"two-lengths", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nfine"},
        {"unframed", "HTTP/1.1 200 OK\r\n\r\nfine"},
        {"no-end", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n"},
        {"204-body", "HTTP/1.1 204 No\r\ncontent-length: 4\r\n\r\nfine"},
        {"header", "HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: c=1\r\ncontent-length: 4\r\n\r\nfine"},
        {"cookie", "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\nvia: 1.1 x\r\nconnection: x-hop\r\nx-hop: 1\r\nalt-svc: "
                   "h3\r\naccess-control-allow-origin: *\r\nx-kept: yes\r\ncontent-length: 4\r\n\r\nfine"},
        {"gzip", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x01"},
        {"location-foreign", "HTTP/1.1 302 Found\r\nlocation: https://attacker.example/x\r\ncontent-length: 0\r\n\r\n"},
        {"location-relative", "HTTP/1.1 302 Found\r\nlocation: /client/v4/x?y=1\r\ncontent-length: 0\r\n\r\n"},
        {"location-host", "HTTP/1.1 302 Found\r\nlocation: //attacker.example/x\r\ncontent-length: 0\r\n\r\n"},
        {"echo-header", "HTTP/1.1 200 OK\r\nx-debug: token=" WORLD_SECRET "\r\ncontent-length: 4\r\n\r\nfine"},
        {"jwt", "HTTP/1.1 201 OK\r\ncontent-type: application/json\r\ntransfer-encoding: "
                "chunked\r\n\r\n10\r\n{\"result\":{\"jwt\"\r\n16\r\n:\"eyJhbGciOi.handed\"}}\r\n0\r\n\r\n"},
        {"retry", "HTTP/1.1 429 Slow\r\nretry-after: 1\r\ncontent-length: 4\r\n\r\nslow"},
        {"retry-long", "HTTP/1.1 529 Slow\r\nretry-after: 500\r\ncontent-length: 4\r\n\r\nslow"},
        {"usage", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
                  "72\r\n\r\n{\"model\":\"m\",\"usage\":{\"input_tokens\":1000000,\"output_tokens\":2000000  }}"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(name, table[i].name) == 0)
            put(fd, table[i].bytes, strlen(table[i].bytes));
}

/* base64 of "x" + the secret, as a provider might put it into a log: inside a longer text */
static void put_echo(int fd, const char *how)
{
    char text[512] = "", plain[128];
    if (strcmp(how, "raw") == 0) {
        snprintf(text, sizeof text, "you said %s, did you not", WORLD_SECRET);
    } else if (strcmp(how, "base64") == 0) {
        snprintf(plain, sizeof plain, "u:%s", WORLD_SECRET);
        mf_base64(plain, strlen(plain), text);
    }
    put_text(fd, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    size_t length = strlen(text);
    for (size_t at = 0; at < length; at += 7) { /* across the borders of reads */
        size_t some = length - at < 7 ? length - at : 7;
        put_text(fd, "%zx\r\n%.*s\r\n", some, (int)some, text + at);
        usleep(2000);
    }
    put_text(fd, "0\r\n\r\n");
}

static void put_events(int fd, int count)
{
    put_text(fd, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    for (int i = 0; i < count; i++) {
        char event[64];
        int length = snprintf(event, sizeof event, "data: event %d\n\n", i);
        if (!put_text(fd, "%x\r\n%s\r\n", (unsigned)length, event))
            return;
        usleep(20000);
    }
    put_text(fd, "0\r\n\r\n");
}

/* False: the connection ends. */
static bool serve_path(int fd, const char *path, const char *head, const struct body_sink *body)
{
    if (strcmp(path, "/echo") == 0)
        return put_text(fd, "HTTP/1.1 200 OK\r\ncontent-length: %llu\r\n\r\n", (unsigned long long)body->bytes) &&
               put(fd, body->all != NULL ? body->all : "", body->all != NULL ? body->bytes : 0);
    if (strcmp(path, "/headers") == 0)
        return put_text(fd, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", strlen(head)) &&
               put(fd, head, strlen(head));
    if (strncmp(path, "/size/", 6) == 0)
        return put_text(fd, "HTTP/1.1 200 OK\r\ncontent-length: %s\r\n\r\n", path + 6) &&
               (strncmp(head, "HEAD", 4) == 0 || put_pattern(fd, strtoull(path + 6, NULL, 10), false));
    if (strncmp(path, "/chunked/", 9) == 0)
        return put_text(fd, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n") &&
               put_pattern(fd, strtoull(path + 9, NULL, 10), true);
    if (strncmp(path, "/status/", 8) == 0)
        return put_text(fd, "HTTP/1.1 %s Some\r\ncontent-length: 2\r\n\r\nno", path + 8);
    if (strncmp(path, "/sse/", 5) == 0)
        put_events(fd, atoi(path + 5));
    else if (strncmp(path, "/echoed/", 8) == 0)
        put_echo(fd, path + 8);
    else if (strncmp(path, "/raw/", 5) == 0)
        put_raw(fd, path + 5);
    else if (strncmp(path, "/v1/", 4) == 0)
        put_raw(fd, "usage");
    else if (strcmp(path, "/hold") == 0)
        return recv(fd, (char[1]){0}, 1, MSG_PEEK) > 0;
    else
        return put_text(fd, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\n%s",
                        strncmp(head, "HEAD", 4) == 0 ? "" : "fine");
    return false;
}

static bool serve_one(struct world *world, struct reader *reader)
{
    struct world_seen seen = {0};
    struct body_sink body = {.start = seen.body, .start_bytes = sizeof seen.body, .hash = 14695981039346656037ull};
    char value[128], path[2048] = "";
    if (!read_head(reader, seen.head, sizeof seen.head))
        return false;
    const char *start = strchr(seen.head, ' ');
    const char *inside = start != NULL ? strstr(start, "/accounts/" WORLD_ACCOUNT) : NULL;
    const char *rest = inside != NULL ? inside + 10 + strlen(WORLD_ACCOUNT) : start != NULL ? start + 1 : "";
    snprintf(path, sizeof path, "%.*s", (int)strcspn(rest, " ?"), rest);
    if (strcmp(path, "/early") == 0) {
        put_text(reader->fd, "HTTP/1.1 413 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        atomic_fetch_add(&world->seen_count, 1);
        shutdown(reader->fd, SHUT_WR);
        while (next_byte(reader) >= 0)
            ;
        return false;
    }
    bool whole = true;
    body.keep = strcmp(path, "/echo") == 0;
    if (world_header(seen.head, "transfer-encoding", value, sizeof value) != NULL)
        whole = read_chunks(reader, &body);
    else if (world_header(seen.head, "content-length", value, sizeof value) != NULL)
        whole = read_exactly(reader, strtoull(value, NULL, 10), &body);
    seen.body_bytes = body.bytes;
    seen.body_hash = body.hash;
    uint32_t number = atomic_load(&world->seen_count);
    world->seen[number % 64] = seen;
    if (whole)
        atomic_fetch_add(&world->seen_count, 1);
    bool goes_on = whole && serve_path(reader->fd, path, seen.head, &body);
    if (!whole || put_failed || (!goes_on && strcmp(path, "/hold") == 0))
        atomic_fetch_add(&world->upstream_broken, 1);
    free(body.all);
    return goes_on;
}

struct served {
    struct world *world;
    int fd;
};

static void *serve_connection(void *context)
{
    struct served served = *(struct served *)context;
    struct reader *reader = calloc(1, sizeof *reader);
    free(context);
    reader->fd = served.fd;
    while (serve_one(served.world, reader))
        ;
    close(served.fd);
    free(reader);
    atomic_fetch_sub(&upstream_threads, 1);
    return NULL;
}

static void *serve(void *context)
{
    struct world *world = context;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (!atomic_load(&upstream_ends)) {
        int fd = accept4(world->upstream_fd, NULL, NULL, SOCK_CLOEXEC), on = 1;
        if (fd < 0)
            continue;
        struct timeval for_ever = {0}; /* accepted sockets inherit the listener's patience */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof for_ever);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct served *served = malloc(sizeof *served);
        *served = (struct served){world, fd};
        pthread_t thread;
        atomic_fetch_add(&world->upstream_connections, 1);
        atomic_fetch_add(&upstream_threads, 1);
        if (pthread_create(&thread, &attributes, serve_connection, served) != 0)
            abort();
    }
    pthread_attr_destroy(&attributes);
    return NULL;
}

static void open_upstream(struct world *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    struct timeval patience = {.tv_usec = 50000};
    world->upstream_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(world->upstream_fd >= 0);
    setsockopt(world->upstream_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(bind(world->upstream_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(world->upstream_fd, 1024), 0);
    assert_int_equal(getsockname(world->upstream_fd, (struct sockaddr *)&address, &bytes), 0);
    snprintf(world->upstream, sizeof world->upstream, "http://127.0.0.1:%u", ntohs(address.sin_port));
    atomic_store(&upstream_ends, false);
    assert_int_equal(pthread_create(&upstream_thread, NULL, serve, world), 0);
}

/* --- what the gateway tells --- */

static void on_anomaly(void *context, uint64_t stage, uint64_t lease, enum watch_kind kind, const char *detail)
{
    struct world *world = context;
    (void)lease;
    snprintf(world->anomaly_detail, sizeof world->anomaly_detail, "%s", detail);
    atomic_store(&world->anomaly_stage, stage);
    atomic_fetch_add(&world->anomalies[kind], 1);
}

static void on_dead(void *context, uint64_t lease)
{
    (void)lease;
    atomic_fetch_add(&((struct world *)context)->dead, 1);
}

static void on_service_refused(void *context, uint64_t service)
{
    (void)service;
    atomic_fetch_add(&((struct world *)context)->service_refused, 1);
}

static void on_budget(void *context, uint64_t stage, const char *which)
{
    (void)stage;
    (void)which;
    atomic_fetch_add(&((struct world *)context)->budgets, 1);
}

static void on_usage(void *context, const struct gateway_usage *usage)
{
    struct world *world = context;
    world->usage = *usage;
    atomic_fetch_add(&world->usages, 1);
}

static void on_head(void *context, uint64_t count, const char *head)
{
    (void)count;
    (void)head;
    atomic_fetch_add(&((struct world *)context)->heads, 1);
}

static void on_dropped(void *context, uint64_t lease)
{
    (void)lease;
    atomic_fetch_add(&((struct world *)context)->dropped, 1);
}

/* --- the world --- */

static void on_woken(void *context)
{
    if (call.function != NULL) {
        void (*function)(struct world *, void *) = call.function;
        call.function = NULL;
        function(context, call.context);
        sem_post(&call.done);
    }
}

void world_call(struct world *world, void (*function)(struct world *world, void *context), void *context)
{
    call.context = context;
    call.function = function;
    net_loop_wake(world->loop);
    while (sem_wait(&call.done) != 0 && errno == EINTR)
        ;
}

static void *run_loop(void *context)
{
    net_loop_run(((struct world *)context)->loop);
    return NULL;
}

static void stop_loop(struct world *world, void *context)
{
    (void)context;
    net_loop_stop(world->loop);
}

static void add_policies(struct world *world)
{
    struct mf_error error;
    static const char account[] =
        "{\"policy\":1,\"name\":\"test\",\"base_path\":\"/client/v4\","
        "\"token\":[{\"header\":\"authorization\",\"scheme\":\"Bearer\"}],\"permissions\":[\"read\",\"write\","
        "\"admin\"],"
        "\"rules\":[[\"GET /accounts/{account_id}/things\",0],[\"GET /accounts/{account_id}/things/{name:opaque}\",0],"
        "[\"GET /accounts/{account_id}/size/*\",0],[\"GET /accounts/{account_id}/chunked/*\",0],"
        "[\"GET /accounts/{account_id}/sse/*\",0],[\"GET /accounts/{account_id}/hold\",0],"
        "[\"GET /accounts/{account_id}/headers\",0],[\"GET /accounts/{account_id}/raw/*\",0],"
        "[\"GET /accounts/{account_id}/echoed/*\",0],[\"GET /accounts/{account_id}/status/*\",0],"
        "[\"POST /accounts/{account_id}/echo\",1],[\"PUT /accounts/{account_id}/things/{name:opaque}\",1],"
        "[\"POST /accounts/{account_id}/early\",1],[\"POST /accounts/{account_id}/hold\",1],"
        "[\"POST /accounts/{account_id}/upload\",1,\"agent\"],[\"DELETE /accounts/{account_id}\",2]],"
        "\"benign\":[\"GET /user\"],\"forward\":[\"x-custom\",\"authorization\",\"cookie\"],"
        "\"refusal\":{\"type\":\"application/"
        "json\",\"body\":\"{\\\"success\\\":false,\\\"errors\\\":[{\\\"code\\\":{{code}},\\\"message\\\":{{message}}}]}"
        "\"},"
        "\"hand_on\":{\"pointer\":\"/result/jwt\"}}";
    static const char service[] =
        "{\"policy\":1,\"name\":\"model\",\"canaries\":[\"sk-planted-canary-0001\"],\"token\":[{\"header\":\"x-api-key\"},{\"header\":\"authorization\","
        "\"scheme\":\"Bearer\"}],"
        "\"permissions\":[\"all\"],\"rules\":[[\"POST /v1/**\",0],[\"GET /v1/**\",0,\"free\"],[\"GET "
        "/raw/*\",0,\"free\"],"
        "[\"GET /status/*\",0,\"free\"],[\"GET /hold\",0,\"free\"]],"
        "\"usage\":{\"model\":\"/model\",\"input\":\"/usage/input_tokens\",\"output\":\"/usage/output_tokens\","
        "\"request\":{\"model\":\"/model\",\"output_max\":[\"/max_tokens\"]},\"output_default\":1000},"
        "\"prices\":{\"date\":\"2026-11-01\",\"models\":{\"*\":{\"input\":1.0,\"output\":2.0}}}}";
    assert_int_equal(gateway_add_policy(world->gateway, WORLD_POLICY_ACCOUNT, MF_SPAN(account), &error), 0);
    if (gateway_add_policy(world->gateway, WORLD_POLICY_SERVICE, MF_SPAN(service), &error) != 0)
        fail_msg("%s", error.text);
}

static void make_gateway(struct world *world)
{
    static const struct gateway_handlers handlers = {on_anomaly, on_dead, on_service_refused, on_budget,
                                                     on_usage,   on_head, on_dropped};
    struct mf_error error;
    world->options.loop = world->loop;
    world->options.client = world->client;
    world->options.run_dir_fd = world->dir_fd;
    world->options.run_id = "testrun00001";
    if (gateway_create(&world->gateway, &world->options, &handlers, world, &error) != 0)
        fail_msg("%s", error.text);
    add_policies(world);
}

static void do_again(struct world *world, void *context)
{
    (void)context;
    gateway_destroy(world->gateway);
    make_gateway(world);
}

void world_again(struct world *world)
{
    world_call(world, do_again, NULL);
}

struct world *world_open(const struct gateway_options *given)
{
    struct net_client_options client = {.connections_per_origin_max = 512, .connections_max = 512};
    struct world *world = calloc(1, sizeof *world);
    struct mf_error error;
    world->seen = calloc(64, sizeof *world->seen);
    if (given != NULL)
        world->options = *given;
    snprintf(world->dir, sizeof world->dir, "/tmp/mfy-gateway-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->dir_fd = open(world->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sem_init(&call.done, 0, 0);
    open_upstream(world);
    assert_int_equal(net_loop_create(&world->loop, &error), 0);
    assert_int_equal(net_client_create(&world->client, world->loop, &client, &error), 0);
    make_gateway(world);
    net_loop_on_wake(world->loop, on_woken, world);
    assert_int_equal(pthread_create(&loop_thread, NULL, run_loop, world), 0);
    return world;
}

void world_close(struct world *world)
{
    char command[128];
    world_call(world, stop_loop, NULL);
    pthread_join(loop_thread, NULL);
    gateway_destroy(world->gateway);
    net_client_destroy(world->client);
    net_loop_destroy(world->loop);
    atomic_store(&upstream_ends, true);
    pthread_join(upstream_thread, NULL);
    for (int i = 0; i < 500 && atomic_load(&upstream_threads) > 0; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&upstream_threads), 0);
    close(world->upstream_fd);
    close(world->dir_fd);
    snprintf(command, sizeof command, "rm -rf %s", world->dir);
    assert_int_equal(system(command), 0);
    sem_destroy(&call.done);
    free(world->seen);
    free(world);
}

struct opening {
    uint64_t stage;
    const char *task;
    char *token;
    uint16_t port;
    uint32_t running_max;
    int64_t budget;
};

static int listen_loopback(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1024), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void do_open_stage(struct world *world, void *context)
{
    struct opening *opening = context;
    struct mf_error error;
    struct mf_span permissions[] = {MF_SPAN("read"), MF_SPAN("write")}, secrets[] = {MF_SPAN(WORLD_SECRET)};
    struct http1_binding binding = {MF_SPAN("account_id"), MF_SPAN(WORLD_ACCOUNT)};
    struct gateway_header header = {MF_SPAN("Authorization"), MF_SPAN("Bearer " WORLD_SECRET)};
    struct gateway_stage stage = {
        .stage = opening->stage, .task = mf_span(opening->task), .attempt = 1, .kind = "agent", .budget_micro_usd = -1};
    struct gateway_lease lease = {.lease = opening->stage + 1000,
                                  .stage = opening->stage,
                                  .policy = WORLD_POLICY_ACCOUNT,
                                  .account = 3,
                                  .upstream = mf_span(world->upstream),
                                  .headers = &header,
                                  .header_count = 1,
                                  .permissions = permissions,
                                  .permission_count = 2,
                                  .bindings = &binding,
                                  .binding_count = 1,
                                  .secrets = secrets,
                                  .secret_count = 1};
    if (gateway_open_stage(world->gateway, &stage, &error) != 0 ||
        gateway_open_lease(world->gateway, &lease, opening->token, &error) != 0)
        fail_msg("%s", error.text);
    int fd = listen_loopback(&opening->port);
    if (gateway_open_door(world->gateway, opening->stage, GATEWAY_DOOR_API, fd, opening->port, true, &error) != 0)
        fail_msg("%s", error.text);
}

uint16_t world_open_stage(struct world *world, uint64_t stage, const char *task, char token[GATEWAY_TOKEN_BYTES])
{
    struct opening opening = {.stage = stage, .task = task, .token = token};
    world_call(world, do_open_stage, &opening);
    return opening.port;
}

static void do_close_stage(struct world *world, void *context)
{
    gateway_close_stage(world->gateway, *(uint64_t *)context);
}

void world_close_stage(struct world *world, uint64_t stage)
{
    world_call(world, do_close_stage, &stage);
}

static void do_drop(struct world *world, void *context)
{
    gateway_drop(world->gateway, *(uint64_t *)context);
}

void world_drop(struct world *world, uint64_t lease)
{
    world_call(world, do_drop, &lease);
}

static void do_add_service(struct world *world, void *context)
{
    struct opening *opening = context;
    struct mf_error error;
    struct gateway_header header = {MF_SPAN("x-api-key"), MF_SPAN(WORLD_SECRET)};
    struct gateway_service service = {.service = 7,
                                      .policy = WORLD_POLICY_SERVICE,
                                      .name = MF_SPAN("model"),
                                      .upstream = mf_span(world->upstream),
                                      .headers = &header,
                                      .header_count = 1,
                                      .running_max = opening->running_max,
                                      .budget_micro_usd = opening->budget,
                                      .run_budget_micro_usd = -1};
    if (gateway_add_service(world->gateway, &service, &error) != 0)
        fail_msg("%s", error.text);
}

void world_add_service(struct world *world, uint32_t running_max, int64_t budget_micro_usd)
{
    struct opening opening = {.running_max = running_max, .budget = budget_micro_usd};
    world_call(world, do_add_service, &opening);
}

static void do_use(struct world *world, void *context)
{
    struct opening *opening = context;
    struct mf_error error;
    if (gateway_open_use(world->gateway, opening->stage, 7, opening->token, &error) != 0)
        fail_msg("%s", error.text);
}

void world_use(struct world *world, uint64_t stage, char token[GATEWAY_TOKEN_BYTES])
{
    struct opening opening = {.stage = stage, .token = token};
    world_call(world, do_use, &opening);
}

/* --- an agent --- */

int world_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void world_send(int fd, const char *data, size_t bytes)
{
    (void)put(fd, data, bytes);
}

void world_text(int fd, const char *format, ...)
{
    char text[16384];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)put(fd, text, (size_t)length);
}

int world_read(int fd, struct world_answer *answer)
{
    struct reader *reader = calloc(1, sizeof *reader);
    struct body_sink body = {
        .start = answer->body, .start_bytes = sizeof answer->body, .hash = 14695981039346656037ull};
    char value[128];
    int64_t start = world_now_ms();
    answer->status = 0;
    answer->whole = answer->closed = false;
    answer->body[0] = answer->head[0] = '\0';
    reader->fd = fd;
    if (read_head(reader, answer->head, sizeof answer->head)) {
        answer->first_ms = world_now_ms() - start;
        answer->status = atoi(answer->head + 9);
        answer->whole = true;
        if (answer->status != 204 && answer->status != 304 && answer->status >= 200) {
            if (world_header(answer->head, "transfer-encoding", value, sizeof value) != NULL)
                answer->whole = read_chunks(reader, &body);
            else if (world_header(answer->head, "content-length", value, sizeof value) != NULL)
                answer->whole = read_exactly(reader, strtoull(value, NULL, 10), &body);
        }
    }
    answer->closed = reader->ended;
    answer->body_bytes = body.bytes;
    answer->body_hash = body.hash;
    answer->duration_ms = world_now_ms() - start;
    int status = answer->whole ? answer->status : 0;
    if (reader->at < reader->length) { /* more than one answer: the rest is a test's mistake */
        fprintf(stderr, "world_read: %zu bytes behind the answer\n", reader->length - reader->at);
        status = -1;
    }
    free(body.all);
    free(reader);
    return status;
}

int world_ask(uint16_t port, const char *method, const char *target, const char *token, const char *extra,
              const char *body, struct world_answer *answer)
{
    static struct world_answer own;
    int fd = world_connect(port);
    if (fd < 0)
        return -1;
    world_text(fd, "%s %s HTTP/1.1\r\nhost: 127.0.0.1:%u\r\n", method, target, port);
    if (token != NULL)
        world_text(fd, "authorization: Bearer %s\r\n", token);
    if (body != NULL)
        world_text(fd, "content-length: %zu\r\n", strlen(body));
    world_text(fd, "%s\r\n%s", extra != NULL ? extra : "", body != NULL ? body : "");
    if (strcmp(method, "HEAD") == 0)
        shutdown(fd, 0);
    int status = world_read(fd, answer != NULL ? answer : &own);
    close(fd);
    return status;
}

const struct world_seen *world_last(struct world *world)
{
    return &world->seen[(atomic_load(&world->seen_count) + 63) % 64];
}

bool world_reaches(_Atomic uint32_t *number, uint32_t value)
{
    for (int i = 0; i < 500 && atomic_load(number) < value; i++)
        usleep(10000);
    return atomic_load(number) >= value;
}

char *world_audit(struct world *world)
{
    struct stat status;
    int fd = openat(world->dir_fd, AUDIT_FILE, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    char *text = calloc(1, (size_t)status.st_size + 1);
    assert_int_equal(read(fd, text, (size_t)status.st_size), status.st_size);
    close(fd);
    return text;
}

uint32_t world_count(const char *text, const char *needle)
{
    uint32_t count = 0;
    for (const char *at = strstr(text, needle); at != NULL; at = strstr(at + 1, needle))
        count++;
    return count;
}
