/*
 * gateway_tunnel.c - the egress doors as agents see them: raw sockets on one side, servers on the other, the record in the middle
 *
 * The gateway runs on the main thread; what an agent does is a script in a thread of its own, with blocking sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define BIG_BYTES ((size_t)6 << 20)

/* --- a server --- */

enum server_kind {
    SERVER_ECHO,   /* what it reads until the end, byte by byte back */
    SERVER_AFTER,  /* reads to the end, then says how many bytes came */
    SERVER_SOURCE, /* BIG_BYTES at once, then the end */
    SERVER_HTTP,   /* one request with its body, kept; one answer; reads on for a moment */
    SERVER_EARLY,  /* answers before it read anything, and closes */
};

struct server {
    enum server_kind kind;
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic unsigned connections;
    char seen[65536];
    _Atomic size_t seen_bytes;
    _Atomic bool leaving;
};

static void write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        length -= (size_t)sent;
    }
}

static char pattern(size_t at)
{
    return (char)(at * 7 + at / 251);
}

static void write_pattern(int fd, size_t length)
{
    char bytes[4096];
    for (size_t at = 0; at < length;) {
        size_t now = length - at < sizeof bytes ? length - at : sizeof bytes;
        for (size_t i = 0; i < now; i++)
            bytes[i] = pattern(at + i);
        write_all(fd, bytes, now);
        at += now;
    }
}

static bool http_is_whole(const char *text, size_t length)
{
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    size_t body = length - (size_t)(end + 4 - text);
    const char *framed = memmem(text, length, "content-length: ", 16);
    if (framed != NULL)
        return body >= strtoul(framed + 16, NULL, 10);
    return memmem(text, length, "transfer-encoding: chunked", 26) == NULL ||
           memmem(end, body + 4, "0\r\n\r\n", 5) != NULL;
}

static void serve_http(struct server *server, int fd)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    size_t length = 0;
    ssize_t got;
    while (!http_is_whole(server->seen, length) &&
           (got = recv(fd, server->seen + length, sizeof server->seen - length, 0)) > 0)
        length += (size_t)got;
    struct timeval moment = {.tv_usec = 100000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    got = recv(fd, server->seen + length, sizeof server->seen - length, 0); /* nothing may come behind it */
    atomic_store(&server->seen_bytes, length + (got > 0 ? (size_t)got : 0));
    write_all(fd, answer, sizeof answer - 1);
}

static void serve_one(struct server *server, int fd)
{
    char bytes[8192], text[32];
    size_t total = 0;
    ssize_t got;
    switch (server->kind) {
    case SERVER_ECHO:
        while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
            write_all(fd, bytes, (size_t)got);
        return;
    case SERVER_AFTER:
        while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
            total += (size_t)got;
        snprintf(text, sizeof text, "%zu bytes", total);
        write_all(fd, text, strlen(text));
        return;
    case SERVER_SOURCE:
        write_pattern(fd, BIG_BYTES);
        return;
    case SERVER_HTTP:
        serve_http(server, fd);
        return;
    case SERVER_EARLY:
        write_all(fd, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n", 52);
        return;
    }
}

static void *server_main(void *argument)
{
    struct server *server = argument;
    for (;;) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0 || atomic_load(&server->leaving)) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        atomic_fetch_add(&server->connections, 1);
        serve_one(server, fd);
        close(fd);
    }
}

static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void server_start(struct server *server, enum server_kind kind)
{
    memset(server, 0, sizeof *server);
    server->kind = kind;
    server->fd = listen_on(&server->port);
    assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static void server_stop(struct server *server)
{
    atomic_store(&server->leaving, true);
    close(dial(server->port)); /* wakes it */
    pthread_join(server->thread, NULL);
    close(server->fd);
}

/* --- the gateway --- */

static struct bench {
    struct net_loop *loop;
    struct net_client *client;
    struct gateway *gateway;
    char directory[64];
    int dir_fd;
    uint16_t egress_port, reach_door;
    unsigned anomalies, violations;
    char last_anomaly[32];
    /* the agent at work */
    void (*script)(void *context);
    void *context;
    _Atomic bool done;
} bench;

static void on_anomaly(void *context, uint64_t stage, uint64_t lease, enum watch_kind kind, const char *detail)
{
    (void)context;
    (void)detail;
    assert_int_equal(stage, 7);
    assert_int_equal(lease, 0);
    bench.anomalies++;
    bench.violations += watch_is_violation(kind) ? 1 : 0;
    snprintf(bench.last_anomaly, sizeof bench.last_anomaly, "%s", watch_name(kind));
}

static void on_number(void *context, uint64_t number)
{
    (void)context;
    (void)number;
}

static void on_budget(void *context, uint64_t stage, const char *which)
{
    (void)context;
    (void)stage;
    (void)which;
}

static void on_usage(void *context, const struct gateway_usage *usage)
{
    (void)context;
    (void)usage;
}

static void on_head(void *context, uint64_t count, const char *head)
{
    (void)context;
    (void)count;
    assert_int_equal(strlen(head), 64);
}

static void open_bench(uint32_t connections_max)
{
    static const struct gateway_handlers handlers = {.anomaly = on_anomaly,
                                                     .account_dead = on_number,
                                                     .service_refused = on_number,
                                                     .budget = on_budget,
                                                     .usage = on_usage,
                                                     .audit_head = on_head,
                                                     .dropped = on_number};
    struct net_client_options client = {.user_agent = NULL};
    struct mf_error error;
    memset(&bench, 0, sizeof bench);
    snprintf(bench.directory, sizeof bench.directory, "/tmp/mayfly-tunnel-XXXXXX");
    assert_non_null(mkdtemp(bench.directory));
    bench.dir_fd = open(bench.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(net_loop_create(&bench.loop, NULL), 0);
    assert_int_equal(net_client_create(&bench.client, bench.loop, &client, NULL), 0);
    struct gateway_options options = {.loop = bench.loop,
                                      .client = bench.client,
                                      .run_dir_fd = bench.dir_fd,
                                      .run_id = "tunnel",
                                      .connections_per_stage_max = connections_max};
    if (gateway_create(&bench.gateway, &options, &handlers, NULL, &error) != 0)
        fail_msg("%s", error.text);
}

/* Stage 7 with an EGRESS door and, when a reach port is given, a REACH door for it. */
static void open_stage(const char *egress, const char *reach, uint16_t reach_port)
{
    struct mf_span egress_span = mf_span(egress), reach_span = mf_span(reach);
    struct gateway_stage stage = {.stage = 7,
                                  .task = MF_SPAN("deploy/web"),
                                  .attempt = 1,
                                  .kind = "agent",
                                  .budget_micro_usd = -1,
                                  .egress = &egress_span,
                                  .egress_count = egress != NULL ? 1 : 0,
                                  .reach = &reach_span,
                                  .reach_count = reach != NULL ? 1 : 0};
    struct mf_error error;
    if (gateway_open_stage(bench.gateway, &stage, &error) != 0)
        fail_msg("%s", error.text);
    int fd = listen_on(&bench.egress_port);
    assert_int_equal(gateway_open_door(bench.gateway, 7, GATEWAY_DOOR_EGRESS, fd, 8788, true, NULL), 0);
    if (reach_port == 0)
        return;
    fd = listen_on(&bench.reach_door);
    assert_int_equal(gateway_open_door(bench.gateway, 7, GATEWAY_DOOR_REACH, fd, reach_port, true, NULL), 0);
}

static void close_bench(void)
{
    char command[128];
    gateway_destroy(bench.gateway);
    net_client_destroy(bench.client);
    net_loop_destroy(bench.loop);
    close(bench.dir_fd);
    snprintf(command, sizeof command, "rm -rf %s", bench.directory);
    assert_int_equal(system(command), 0);
}

static void on_turn(void *context)
{
    (void)context;
    if (atomic_load(&bench.done))
        net_loop_stop(bench.loop);
}

static void on_wake(void *context)
{
    (void)context;
}

static void *agent_main(void *argument)
{
    (void)argument;
    bench.script(bench.context);
    atomic_store(&bench.done, true);
    net_loop_wake(bench.loop);
    return NULL;
}

/* Runs the loop until the agent's script has ended. */
static void run_agent(void (*script)(void *context), void *context)
{
    pthread_t thread;
    bench.script = script;
    bench.context = context;
    atomic_store(&bench.done, false);
    net_loop_on_wake(bench.loop, on_wake, NULL);
    net_loop_on_turn(bench.loop, on_turn, NULL);
    assert_int_equal(pthread_create(&thread, NULL, agent_main, NULL), 0);
    net_loop_run(bench.loop);
    pthread_join(thread, NULL);
}

/* How often the record says so; all of it as text, to free. */
static char *read_record(void)
{
    int fd = openat(bench.dir_fd, AUDIT_FILE, O_RDONLY | O_CLOEXEC);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fd >= 0 && read(fd, text, (1 << 20) - 1) >= 0);
    close(fd);
    return text;
}

static unsigned recorded(const char *words)
{
    char *text = read_record();
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++)
        count++;
    free(text);
    return count;
}

/* --- what agents do --- */

struct talk {
    uint16_t door;
    char say[4096];
    bool slow; /* byte by byte */
    bool shut; /* says its end after it */
    char heard[65536];
    size_t heard_bytes;
    int status;
};

static void hear(struct talk *talk, int fd)
{
    ssize_t got;
    while (talk->heard_bytes < sizeof talk->heard - 1 &&
           (got = recv(fd, talk->heard + talk->heard_bytes, sizeof talk->heard - 1 - talk->heard_bytes, 0)) > 0)
        talk->heard_bytes += (size_t)got;
    talk->heard[talk->heard_bytes] = '\0';
    talk->status = talk->heard_bytes > 12 ? atoi(talk->heard + 9) : 0;
}

/* Says it, then listens to the end. */
static void say_and_hear(void *context)
{
    struct talk *talk = context;
    int fd = dial(talk->door);
    if (fd < 0)
        return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    for (size_t at = 0; talk->slow && talk->say[at] != '\0'; at++)
        write_all(fd, talk->say + at, 1);
    if (!talk->slow)
        write_all(fd, talk->say, strlen(talk->say));
    if (talk->shut)
        shutdown(fd, SHUT_WR);
    hear(talk, fd);
    close(fd);
}

static struct talk *talk_of(uint16_t door, bool shut, const char *format, ...) __attribute__((format(printf, 3, 4)));
static struct talk *talk_of(uint16_t door, bool shut, const char *format, ...)
{
    static struct talk talk;
    va_list arguments;
    memset(&talk, 0, sizeof talk);
    talk.door = door;
    talk.shut = shut;
    va_start(arguments, format);
    vsnprintf(talk.say, sizeof talk.say, format, arguments);
    va_end(arguments);
    return &talk;
}

static struct talk *run_talk(struct talk *talk)
{
    run_agent(say_and_hear, talk);
    return talk;
}

#define ESTABLISHED "HTTP/1.1 200 Connection established\r\n\r\n"

/* --- CONNECT --- */

static void connect_as_listed(const char *listed, const char *asked, bool slow)
{
    struct server server;
    char entry[64];
    server_start(&server, SERVER_ECHO);
    open_bench(0);
    snprintf(entry, sizeof entry, "!%s:%u", listed, server.port);
    open_stage(entry, NULL, 0);
    struct talk *talk = talk_of(bench.egress_port, true, "CONNECT %s:%u HTTP/1.1\r\nHost: %s\r\n\r\nping and more",
                                asked, server.port, asked);
    talk->slow = slow;
    run_talk(talk);
    assert_string_equal(talk->heard, ESTABLISHED "ping and more");
    gateway_close_stage(bench.gateway, 7);
    assert_int_equal(recorded("\"address\":\"127.0.0.1\""), 1);
    assert_in_range(recorded("\"event\":\"connected\""), 1, strcmp(listed, "localhost") == 0 ? 2 : 1); /* ::1 first */
    assert_int_equal(recorded("\"event\":\"closed\""), recorded("\"event\":\"connected\""));
    assert_int_equal(recorded("\"sent_bytes\":13,\"received_bytes\":13"), 1);
    assert_int_equal(bench.anomalies, 0);
    assert_int_equal(server.connections, 1);
    close_bench();
    server_stop(&server);
}

static void test_an_address_that_is_listed(void **state)
{
    (void)state;
    connect_as_listed("127.0.0.1", "127.0.0.1", false);
    connect_as_listed("127.0.0.1", "127.0.0.1", true);
}

static void test_a_name_that_is_listed(void **state)
{
    (void)state;
    connect_as_listed("localhost", "LocalHost", false);
}

/* Refused, and nobody was connected to. */
static void refused(const char *listed, const char *asked, const char *reason, bool outside)
{
    struct server server;
    char entry[64], words[64];
    server_start(&server, SERVER_ECHO);
    open_bench(0);
    snprintf(entry, sizeof entry, "%s:%u", listed, server.port);
    open_stage(listed[0] != '\0' ? entry : NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        struct talk *talk =
            run_talk(talk_of(bench.egress_port, true, "CONNECT %s:%u HTTP/1.1\r\n\r\nping", asked, server.port));
        assert_int_equal(talk->status, 403);
        assert_non_null(strstr(talk->heard, reason));
    }
    snprintf(words, sizeof words, "\"reason\":\"%s\"", reason);
    assert_int_equal(recorded(words), 2);
    assert_int_equal(recorded("\"event\":\"connected\""), 0);
    assert_int_equal(bench.violations, outside ? 1 : 0); /* told once */
    if (outside)
        assert_string_equal(bench.last_anomaly, "egress");
    assert_int_equal(server.connections, 0);
    close_bench();
    server_stop(&server);
}

static void test_what_is_not_listed(void **state)
{
    (void)state;
    refused("", "127.0.0.1", "not_listed", true);
    refused("!example.org", "127.0.0.1", "not_listed", true);
    refused("!localhost", "127.0.0.1", "not_listed", true); /* the name, not its address */
    refused("!127.0.0.1", "localhost", "not_listed", true);
    refused("!127.0.0.1", "[::ffff:127.0.0.1]", "not_listed", true);
}

static void test_private_addresses(void **state)
{
    (void)state;
    refused("127.0.0.1", "127.0.0.1", "private_address", false);
    refused("localhost", "localhost", "private_address", false);
}

static void test_nobody_answers(void **state)
{
    uint16_t port;
    char entry[64];
    (void)state;
    close(listen_on(&port));
    open_bench(0);
    snprintf(entry, sizeof entry, "!127.0.0.1:%u", port);
    open_stage(entry, NULL, 0);
    struct talk *talk = run_talk(talk_of(bench.egress_port, true, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", port));
    assert_int_equal(talk->status, 502);
    gateway_close_stage(bench.gateway, 7);
    assert_int_equal(recorded("\"event\":\"connected\""), 1); /* it was tried, so it is on record */
    assert_int_equal(recorded("\"event\":\"closed\""), 1);
    close_bench();

    open_bench(0);
    open_stage("no-such-name.invalid:443", NULL, 0);
    talk = run_talk(talk_of(bench.egress_port, true, "CONNECT no-such-name.invalid:443 HTTP/1.1\r\n\r\n"));
    assert_int_equal(talk->status, 502);
    assert_int_equal(recorded("\"event\":\"connected\""), 0);
    assert_int_equal(recorded("\"reason\":\"unresolved\""), 1);
    close_bench();
}

static void test_half_closed(void **state)
{
    struct server server;
    char entry[64];
    (void)state;
    server_start(&server, SERVER_AFTER);
    open_bench(0);
    snprintf(entry, sizeof entry, "!127.0.0.1:%u", server.port);
    open_stage(entry, NULL, 0);
    struct talk *talk =
        run_talk(talk_of(bench.egress_port, true, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n12345", server.port));
    assert_string_equal(talk->heard, ESTABLISHED "5 bytes");
    close_bench();
    server_stop(&server);
}

/* --- much --- */

static bool whole;

/* Reads slowly at first: the server has to wait, and nothing may be lost. */
static void read_big(void *context)
{
    struct talk *talk = context;
    char bytes[32768];
    size_t skip = strlen(ESTABLISHED), at = 0;
    ssize_t got;
    int fd = dial(talk->door);
    write_all(fd, talk->say, strlen(talk->say));
    usleep(200000);
    whole = true;
    while ((got = recv(fd, bytes, at < 100000 ? 997 : sizeof bytes, 0)) > 0) {
        for (ssize_t i = 0; i < got; i++, at++)
            if (at >= skip)
                whole = whole && bytes[i] == pattern(at - skip);
        if (at < 60000)
            usleep(500);
    }
    whole = whole && at == skip + BIG_BYTES;
    close(fd);
}

/* Writes much to a server that says it back, and reads only afterwards: both directions are full for a while. */
static void *write_big(void *context)
{
    int fd = *(int *)context;
    write_pattern(fd, BIG_BYTES);
    shutdown(fd, SHUT_WR);
    return NULL;
}

static void echo_big(void *context)
{
    struct talk *talk = context;
    char bytes[32768];
    size_t skip = strlen(ESTABLISHED), at = 0;
    ssize_t got;
    pthread_t writer;
    int fd = dial(talk->door);
    write_all(fd, talk->say, strlen(talk->say));
    pthread_create(&writer, NULL, write_big, &fd);
    usleep(300000);
    whole = true;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        for (ssize_t i = 0; i < got; i++, at++)
            if (at >= skip)
                whole = whole && bytes[i] == pattern(at - skip);
    whole = whole && at == skip + BIG_BYTES;
    pthread_join(writer, NULL);
    close(fd);
}

static void test_much(void **state)
{
    static const struct {
        enum server_kind kind;
        void (*script)(void *context);
    } cases[] = {{SERVER_SOURCE, read_big}, {SERVER_ECHO, echo_big}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct server server;
        char entry[64];
        server_start(&server, cases[i].kind);
        open_bench(0);
        snprintf(entry, sizeof entry, "!127.0.0.1:%u", server.port);
        open_stage(entry, NULL, 0);
        run_agent(cases[i].script,
                  talk_of(bench.egress_port, false, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", server.port));
        assert_true(whole);
        close_bench();
        server_stop(&server);
    }
}

/* --- requests that are written anew --- */

/* "@" becomes the port. */
static void put_port(char *out, size_t out_bytes, const char *text, uint16_t port)
{
    size_t at = 0;
    for (; *text != '\0' && at + 8 < out_bytes; text++)
        at += (size_t)(*text == '@' ? snprintf(out + at, out_bytes - at, "%u", port)
                                    : snprintf(out + at, out_bytes - at, "%c", *text));
}

static struct talk *run_http(enum server_kind kind, struct server *server, bool reach, const char *say)
{
    char entry[64], origin[64];
    server_start(server, kind);
    open_bench(0);
    snprintf(entry, sizeof entry, "!127.0.0.1:%u", server->port);
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u/__workers/", server->port);
    open_stage(reach ? NULL : entry, reach ? origin : NULL, reach ? server->port : 0);
    static struct talk talk;
    memset(&talk, 0, sizeof talk);
    talk.door = reach ? bench.reach_door : bench.egress_port;
    put_port(talk.say, sizeof talk.say, say, server->port);
    return run_talk(&talk);
}

static void test_a_whole_url(void **state)
{
    struct server server;
    char want[256];
    (void)state;
    struct talk *talk =
        run_http(SERVER_HTTP, &server, false,
                 "GET http://127.0.0.1:@/a?b HTTP/1.1\r\nHost: evil.example:@\r\nProxy-Authorization: Basic "
                 "eDp5\r\nX-A: 1\r\n\r\nGET http://127.0.0.1/second HTTP/1.1\r\n\r\n");
    assert_non_null(strstr(talk->heard, "\r\n\r\nhello"));
    snprintf(want, sizeof want, "GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nx-a: 1\r\nconnection: close\r\n\r\n",
             server.port);
    assert_string_equal(server.seen, want); /* and nothing of the second one */
    assert_int_equal(recorded("\"event\":\"connected\""), 1);
    close_bench();
    server_stop(&server);
}

static void test_bodies(void **state)
{
    struct server server;
    (void)state;
    struct talk *talk = run_http(SERVER_HTTP, &server, false,
                                 "POST http://127.0.0.1:@/ HTTP/1.1\r\nHost: x:@\r\nContent-Length: 5\r\nExpect: "
                                 "100-continue\r\n\r\n12345GET / HTTP/1.1\r\n\r\n");
    assert_true(strncmp(talk->heard, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", 42) == 0);
    assert_non_null(strstr(server.seen, "content-length: 5\r\nconnection: close\r\n\r\n12345"));
    assert_null(strstr(server.seen, "12345G"));
    close_bench();
    server_stop(&server);
    talk = run_http(SERVER_HTTP, &server, true,
                    "POST /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:@\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: y\r\n\r\nGET /client/v4/accounts HTTP/1.1\r\nHost: "
                    "127.0.0.1:@\r\n\r\n");
    assert_int_equal(talk->status, 200);
    assert_non_null(strstr(server.seen, "\r\n\r\n7\r\nabcdefg\r\n0\r\n\r\n"));
    assert_null(strstr(server.seen, "railer"));
    assert_null(strstr(server.seen, "client"));
    close_bench();
    server_stop(&server);
}

/* Bytes that frame no body end the connection: nothing of them was passed on. */
static void test_a_bad_body(void **state)
{
    struct server server;
    (void)state;
    struct talk *talk =
        run_http(SERVER_HTTP, &server, true,
                 "POST /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:@\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0x3\r\nabc\r\n0\r\n\r\n@");
    assert_int_equal(talk->status, 0);
    close_bench();
    server_stop(&server);
    assert_null(strstr(server.seen, "abc"));
}

static void test_an_answer_before_the_body(void **state)
{
    struct server server;
    (void)state;
    struct talk *talk = run_http(SERVER_EARLY, &server, false,
                                 "POST http://127.0.0.1:@/ HTTP/1.1\r\nHost: x:@\r\nContent-Length: 50\r\n\r\n12345");
    assert_int_equal(talk->status, 413);
    close_bench();
    server_stop(&server);
}

static void test_reach(void **state)
{
    static const struct {
        const char *say;
        int status;
    } cases[] = {
        {"GET /__workers/sub/name/ HTTP/1.1\r\nHost: 127.0.0.1:@\r\n\r\n", 200},
        {"GET /__workers/sub/name HTTP/1.1\r\nHost: localhost:@\r\n\r\n", 200},
        {"GET /client/v4/accounts HTTP/1.1\r\nHost: 127.0.0.1:@\r\n\r\n", 403},
        {"GET /__workers/%2e%2e/client/v4 HTTP/1.1\r\nHost: 127.0.0.1:@\r\n\r\n", 400},
        {"GET /__workers/sub/name HTTP/1.1\r\nHost: name.sub.localhost:@\r\n\r\n", 421},
        {"CONNECT 127.0.0.1:@ HTTP/1.1\r\n\r\n", 405},
        {"GET /__workers/sub/name HTTP/1.1\r\nHost: 127.0.0.1:@\r\nUpgrade: websocket\r\n\r\n", 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct server server;
        struct talk *talk = run_http(SERVER_HTTP, &server, true, cases[i].say);
        if (talk->status != cases[i].status)
            fail_msg("case %zu: %s", i, talk->heard);
        assert_int_equal(server.connections, cases[i].status == 200 ? 1 : 0);
        assert_int_equal(bench.violations, cases[i].status == 403 ? 1 : 0);
        close_bench();
        server_stop(&server);
    }
}

/* --- limits and ends --- */

static void test_heads_that_are_none(void **state)
{
    (void)state;
    open_bench(0);
    open_stage("!127.0.0.1:1", NULL, 0);
    struct talk *talk = run_talk(talk_of(bench.egress_port, false, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_int_equal(talk->status, 400);
    talk = run_talk(talk_of(bench.egress_port, false, "CONNECT 127.0.0.1:1 HTTP/2.0\r\n\r\n"));
    assert_int_equal(talk->status, 400);
    talk = run_talk(talk_of(bench.egress_port, false, "CONNECT 127.1:1 HTTP/1.1\r\n\r\n"));
    assert_int_equal(talk->status, 400);
    talk = run_talk(talk_of(bench.egress_port, true, "CONN"));
    assert_int_equal(talk->heard_bytes, 0);
    assert_int_equal(bench.violations, 0);
    close_bench();
}

static void say_too_much(void *context)
{
    struct talk *talk = context;
    int fd = dial(talk->door);
    for (int i = 0; i < 40; i++) {
        char line[1025];
        memset(line, 'a', sizeof line);
        write_all(fd, line, 1024);
    }
    hear(talk, fd);
    close(fd);
}

static void test_an_endless_head(void **state)
{
    (void)state;
    open_bench(0);
    open_stage("!127.0.0.1:1", NULL, 0);
    struct talk *talk = talk_of(bench.egress_port, false, "%s", "");
    run_agent(say_too_much, talk);
    assert_int_equal(talk->status, 431);
    close_bench();
}

/* Silence and half a head cost a place for some seconds, no more. */
static void test_a_head_that_does_not_come(void **state)
{
    (void)state;
    open_bench(0);
    open_stage("!127.0.0.1:1", NULL, 0);
    int64_t before_ms = net_now_ms();
    struct talk *talk = run_talk(talk_of(bench.egress_port, false, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n"));
    assert_int_equal(talk->status, 408);
    assert_in_range(net_now_ms() - before_ms, 9000, 18000);
    close_bench();
}

static void open_three(void *context)
{
    struct talk *talk = context;
    char byte;
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(talk->door);
        write_all(fds[i], "CON", 3);
        usleep(20000);
    }
    talk->status = recv(fds[2], &byte, 1, 0) <= 0 ? 1 : 0; /* no place for it */
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void test_connections_are_counted(void **state)
{
    (void)state;
    open_bench(2);
    open_stage("!127.0.0.1:1", NULL, 0);
    struct talk *talk = talk_of(bench.egress_port, false, "%s", "");
    run_agent(open_three, talk);
    assert_int_equal(talk->status, 1);
    close_bench();
}

/* Who asks for what it may not have again and again has to wait for each answer: the record cannot be filled. */
static void ask_often(void *context)
{
    struct talk *talk = context;
    for (int i = 0; i < 68; i++) {
        talk->heard_bytes = 0;
        say_and_hear(talk);
    }
}

static void test_refusals_become_slow(void **state)
{
    (void)state;
    open_bench(0);
    open_stage("!127.0.0.1:1", NULL, 0);
    struct talk *talk = talk_of(bench.egress_port, true, "%s", "CONNECT 127.0.0.1:2 HTTP/1.1\r\n\r\n");
    int64_t before_ms = net_now_ms();
    run_agent(ask_often, talk);
    assert_int_equal(talk->status, 403);
    assert_in_range(net_now_ms() - before_ms, 4000, 9000); /* four of them */
    assert_int_equal(bench.violations, 1);
    close_bench();
}

static int held_fd;

static void connect_and_keep(void *context)
{
    struct talk *talk = context;
    held_fd = dial(talk->door);
    write_all(held_fd, talk->say, strlen(talk->say));
    talk->heard_bytes = 0;
    while (talk->heard_bytes < strlen(ESTABLISHED)) {
        ssize_t got = recv(held_fd, talk->heard + talk->heard_bytes, strlen(ESTABLISHED) - talk->heard_bytes, 0);
        if (got <= 0)
            return;
        talk->heard_bytes += (size_t)got;
    }
}

static void test_the_end_of_the_stage(void **state)
{
    struct server server;
    char entry[64], byte;
    (void)state;
    server_start(&server, SERVER_ECHO);
    open_bench(0);
    snprintf(entry, sizeof entry, "!127.0.0.1:%u", server.port);
    open_stage(entry, NULL, 0);
    struct talk *talk = talk_of(bench.egress_port, false, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", server.port);
    run_agent(connect_and_keep, talk);
    assert_int_equal(talk->heard_bytes, strlen(ESTABLISHED));
    gateway_close_stage(bench.gateway, 7);
    assert_int_equal(recorded("\"event\":\"closed\""), 1);
    assert_true(recv(held_fd, &byte, 1, 0) <= 0);
    close(held_fd);
    assert_int_equal(dial(bench.egress_port), -1); /* the door is gone too */
    close_bench();
    server_stop(&server);
}

/* Each allocation on the way fails once: the agent hears no, or nothing, and the next one is served. */
static void test_no_memory(void **state)
{
    struct server server;
    char entry[64];
    unsigned served = 0;
    (void)state;
    server_start(&server, SERVER_ECHO);
    open_bench(0);
    snprintf(entry, sizeof entry, "!localhost:%u", server.port);
    open_stage(entry, NULL, 0);
    for (int64_t n = 0; n < 40; n++) {
        struct talk *talk = talk_of(bench.egress_port, true, "CONNECT localhost:%u HTTP/1.1\r\n\r\nping", server.port);
        mf_alloc_fail_after(n, 1);
        run_talk(talk);
        mf_alloc_fail_after(-1, 0);
        if (talk->status == 200)
            served++;
        else if (talk->heard_bytes > 0)
            assert_true(talk->status >= 400);
    }
    assert_true(served >= 10 && served < 40);
    struct talk *talk =
        run_talk(talk_of(bench.egress_port, true, "CONNECT localhost:%u HTTP/1.1\r\n\r\nping", server.port));
    assert_string_equal(talk->heard, ESTABLISHED "ping");
    gateway_close_stage(bench.gateway, 7);
    assert_true(recorded("\"event\":\"connected\"") >= served);
    assert_int_equal(recorded("\"event\":\"connected\""), recorded("\"event\":\"closed\""));
    close_bench();
    server_stop(&server);
}

/* Case 88: what cannot be recorded does not happen. */
static void test_a_record_that_cannot_be_written(void **state)
{
    struct server server;
    struct rlimit before;
    struct stat about;
    char entry[64];
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    server_start(&server, SERVER_ECHO);
    open_bench(0);
    snprintf(entry, sizeof entry, "!127.0.0.1:%u", server.port);
    open_stage(entry, NULL, 0);
    assert_int_equal(fstatat(bench.dir_fd, AUDIT_FILE, &about, 0), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){(rlim_t)about.st_size + 10, before.rlim_max});
    struct talk *talk =
        run_talk(talk_of(bench.egress_port, true, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\nping", server.port));
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(talk->status, 503);
    assert_int_equal(server.connections, 0);
    close_bench();
    server_stop(&server);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_that_is_listed),
        cmocka_unit_test(test_a_name_that_is_listed),
        cmocka_unit_test(test_what_is_not_listed),
        cmocka_unit_test(test_private_addresses),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_much),
        cmocka_unit_test(test_a_whole_url),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_a_bad_body),
        cmocka_unit_test(test_an_answer_before_the_body),
        cmocka_unit_test(test_reach),
        cmocka_unit_test(test_heads_that_are_none),
        cmocka_unit_test(test_an_endless_head),
        cmocka_unit_test(test_a_head_that_does_not_come),
        cmocka_unit_test(test_connections_are_counted),
        cmocka_unit_test(test_refusals_become_slow),
        cmocka_unit_test(test_the_end_of_the_stage),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_a_record_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
