/* net_server.c - raw bytes on sockets against the server: answers, order, limits, faults, timeouts, descriptors, memory
 */
#include "net_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static struct world world;

struct peer {
    int fd;
    char data[1 << 20];
    size_t length;
    bool ended, reset;
    size_t wanted; /* stop when so much came */
};

static struct peer peer;

static void open_world(struct net_server_options options)
{
    if (options.unix_path == NULL)
        options.host = "127.0.0.1";
    options.body_bytes_max = 100000;
    world_open(&world, &options, false);
}

static int setup(void **state)
{
    (void)state;
    open_world((struct net_server_options){.idle_timeout_ms = 5000, .request_timeout_ms = 5000});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static int connect_peer(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(net_server_port(world.server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
    return fd;
}

static void begin(void)
{
    memset(&peer, 0, sizeof peer);
    peer.fd = connect_peer();
}

static void end(void)
{
    close(peer.fd);
    peer.fd = -1;
}

static bool take(void *context)
{
    (void)context;
    for (;;) {
        ssize_t got = recv(peer.fd, peer.data + peer.length, sizeof peer.data - 1 - peer.length, 0);
        if (got < 0 && errno == EAGAIN)
            break;
        peer.ended = peer.ended || got == 0;
        peer.reset = peer.reset || got < 0;
        if (got <= 0)
            return true;
        peer.length += (size_t)got;
        peer.data[peer.length] = '\0';
        if (peer.length == sizeof peer.data - 1)
            return true;
    }
    if (peer.wanted > 0 && peer.length >= peer.wanted)
        return true;
    net_loop_deadline(world.loop, net_now_ms() + 2); /* the peer is not on the loop: look again soon */
    return false;
}

/* Sends while the loop runs; a full socket is given time. */
static void give(const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        ssize_t sent = send(peer.fd, bytes + at, length - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != ENOTCONN)
            return;
        at += sent > 0 ? (size_t)sent : 0;
        world_run(&world, NULL, NULL, 2);
    }
}

static void give_text(const char *text)
{
    give(text, strlen(text));
}

static void until_end(void)
{
    peer.wanted = 0;
    assert_true(world_run(&world, take, NULL, 10000));
}

static void until_bytes(size_t bytes)
{
    peer.wanted = bytes;
    assert_true(world_run(&world, take, NULL, 10000));
}

#define FINE "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 4\r\n"

static void test_keep_alive(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        peer.length = 0;
        give_text("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
        until_bytes(strlen(FINE "\r\nfine"));
        assert_string_equal(peer.data, FINE "\r\nfine");
    }
    assert_int_equal(net_server_connections(world.server), 1);
    peer.length = 0;
    give_text("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_string_equal(peer.data, FINE "connection: close\r\n\r\nfine");
    assert_true(peer.ended);
    end();
    world_run(&world, NULL, NULL, 20);
    assert_int_equal(net_server_connections(world.server), 0);
}

static void test_one_byte_at_a_time(void **state)
{
    (void)state;
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: "
                               "close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx: y\r\n\r\n";
    begin();
    for (size_t i = 0; i < sizeof text - 1; i++)
        give(text + i, 1);
    until_end();
    assert_non_null(strstr(peer.data, "\r\n\r\nabcde"));
    end();
}

static void test_early_requests_wait(void **state)
{
    (void)state;
    begin();
    give_text("GET /hold HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    give_text("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    world_run(&world, NULL, NULL, 20);
    assert_int_equal(world.requests, 1);
    world_answer_held(&world);
    until_end();
    const char *late = strstr(peer.data, "late"), *abc = strstr(peer.data, "abc"), *fine = strstr(peer.data, "fine");
    assert_true(late != NULL && abc != NULL && fine != NULL && late < abc && abc < fine);
    assert_int_equal(world.requests, 3);
    end();
}

/* What comes while a request is answered is read up to a limit, then the peer has to wait. */
static void test_back_pressure(void **state)
{
    (void)state;
    static const char more[] = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";
    begin();
    give_text("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t sent_bytes = 0;
    for (int stuck = 0; stuck < 20;) {
        ssize_t sent = send(peer.fd, more, sizeof more - 1, MSG_NOSIGNAL);
        sent_bytes += sent > 0 ? (size_t)sent : 0;
        stuck = sent > 0 ? 0 : stuck + 1;
        if (sent <= 0)
            world_run(&world, NULL, NULL, 2);
        assert_true(sent_bytes < (64u << 20));
    }
    assert_int_equal(world.requests, 1);
    world_answer_held(&world);
    until_bytes(100000);
    end();
}

/* A peer that does not read: the answers stay in the server's buffer, no request of it is served meanwhile. */
static void test_slow_reader(void **state)
{
    (void)state;
    static char body[100000];
    memset(body, 'x', sizeof body);
    char head[100];
    begin();
    snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizeof body);
    for (int i = 0; i < 8; i++) {
        give_text(head);
        give(body, sizeof body);
    }
    until_bytes(8 * sizeof body);
    assert_int_equal(world.requests, 8);
    end();
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\nGET /ok HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: y\r\n\r\n", "HTTP/1.1 417 "},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin();
        give_text(cases[i].text);
        until_end();
        assert_true(peer.ended);
        assert_memory_equal(peer.data, cases[i].status, strlen(cases[i].status));
        assert_non_null(strstr(peer.data, "connection: close\r\n"));
        assert_null(strstr(peer.data, "fine")); /* nothing is served after a refusal */
        end();
    }
    assert_int_equal(world.requests, 0);
}

/* A body that is too large is refused while the client still sends; the refusal must arrive, not a reset. */
static void test_refusal_of_a_body_on_its_way(void **state)
{
    (void)state;
    static char body[400000];
    begin();
    give_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n");
    give(body, sizeof body);
    until_end();
    assert_true(peer.ended && !peer.reset);
    assert_non_null(strstr(peer.data, "HTTP/1.1 413 "));
    end();
}

static void test_continue(void **state)
{
    (void)state;
    begin();
    give_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    until_bytes(25);
    assert_string_equal(peer.data, "HTTP/1.1 100 Continue\r\n\r\n");
    give_text("abc");
    until_bytes(90);
    assert_non_null(strstr(peer.data, "\r\n\r\nabc"));
    end();
}

static void test_head(void **state)
{
    (void)state;
    begin();
    give_text("HEAD /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_string_equal(peer.data, FINE "connection: close\r\n\r\n");
    end();
    begin();
    give_text("GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_string_equal(peer.data, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    end();
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool reset;
        size_t least, most;
    } cases[] = {{"/reset", true, 0, 0},
                 {"/close", false, 0, 0},
                 {"/truncate", true, 60, 100},
                 {"/garbage", false, 10, 100},
                 {"/half-head", true, 10, 60}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].path);
        begin();
        give_text(text);
        until_end();
        assert_int_equal(peer.reset, cases[i].reset);
        assert_in_range(peer.length, cases[i].least, cases[i].most);
        end();
    }
    begin();
    give_text("GET /endless-body HTTP/1.1\r\nHost: a\r\n\r\n");
    until_bytes(sizeof peer.data - 1);
    end();
    begin();
    give_text("GET /drip HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_non_null(strstr(peer.data, "drop by drop"));
    end();
}

static void test_drop(void **state)
{
    (void)state;
    begin();
    give_text("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(world.held_count, 1);
    end();
    world_run(&world, NULL, NULL, 20);
    assert_int_equal(world.dropped, 1);
    assert_int_equal(net_server_connections(world.server), 0);
    begin();
    give_text("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    end();
    world_run(&world, NULL, NULL, 20);
    assert_int_equal(net_server_connections(world.server), 0);
    world_answer_held(&world); /* into the void */
    begin();
    give_text("GET /watch HTTP/1.1\r\nHost: a\r\n\r\n");
    net_server_destroy(world.server);
    world.server = NULL;
    assert_int_equal(world.dropped, 2);
    end();
}

static void test_timeouts(void **state)
{
    (void)state;
    teardown(state);
    open_world((struct net_server_options){.idle_timeout_ms = 150, .request_timeout_ms = 300});
    int64_t start = net_now_ms();
    begin();
    until_end(); /* idle: closed without a word */
    assert_int_equal(peer.length, 0);
    assert_in_range(net_now_ms() - start, 150, 290);
    end();
    begin();
    start = net_now_ms();
    static const char text[] =
        "GET /ok HTTP/1.1\r\nHost: a\r\nx: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (size_t i = 0; i < sizeof text - 1 && !peer.ended; i++) { /* a byte now and then does not help */
        give(text + i, 1);
        world_run(&world, NULL, NULL, 10);
        take(NULL);
    }
    assert_in_range(net_now_ms() - start, 300, 1500);
    assert_non_null(strstr(peer.data, "HTTP/1.1 408 "));
    end();
}

static int refuse_posts(void *context, const struct net_server_request *head)
{
    (void)context;
    assert_int_equal(head->body.length, 0);
    return mf_span_is(head->method, "POST") ? 403 : 0;
}

static void test_admit(void **state)
{
    (void)state;
    teardown(state);
    open_world((struct net_server_options){.admit = refuse_posts});
    begin();
    give_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    until_end();
    assert_memory_equal(peer.data, "HTTP/1.1 403 ", 13); /* and no 100 before it */
    end();
    begin();
    give_text("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_memory_equal(peer.data, "HTTP/1.1 200 ", 13);
    end();
}

static void test_unix_socket(void **state)
{
    (void)state;
    char directory[] = "/tmp/mayfly-test-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    teardown(state);
    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    open_world((struct net_server_options){.unix_path = address.sun_path});
    assert_int_equal(stat(address.sun_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    memset(&peer, 0, sizeof peer);
    peer.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(peer.fd, (struct sockaddr *)&address, sizeof address), 0);
    give_text("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_non_null(strstr(peer.data, "fine"));
    end();
    struct net_server *second = NULL;
    struct net_server_options options = {.unix_path = address.sun_path};
    assert_int_equal(net_server_create(&second, world.loop, &options, world_handle, &world, NULL), -1); /* taken */
    net_server_destroy(world.server);
    world.server = NULL;
    assert_int_equal(stat(address.sun_path, &status), -1);
    assert_int_equal(rmdir(directory), 0);
}

static void test_refused_addresses(void **state)
{
    (void)state;
    static const char *const hosts[] = {"0.0.0.0", "10.0.0.1", "::", "localhost", "", "127.0.0.1.", "::ffff:127.0.0.1"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct net_server *server;
        struct net_server_options options = {.host = hosts[i]};
        assert_int_equal(net_server_create(&server, world.loop, &options, world_handle, &world, NULL), -1);
    }
}

/* Out of descriptors: the loop rests instead of spinning, and serves again when there are some. */
static void test_no_descriptors(void **state)
{
    (void)state;
    int fds[256], count = 0;
    struct rlimit limit, low;
    begin();
    int waiting = connect_peer();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)waiting + 20;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < 256 && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    world_run(&world, NULL, NULL, 250);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_in_range((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000, 0, 60);
    assert_int_equal(net_server_connections(world.server), 0);
    while (count > 0)
        close(fds[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    give_text("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_non_null(strstr(peer.data, "fine"));
    close(waiting);
    end();
}

static void test_connection_limit(void **state)
{
    (void)state;
    int fds[5];
    teardown(state);
    open_world((struct net_server_options){.connections_max = 3});
    for (int i = 0; i < 5; i++)
        fds[i] = connect_peer();
    world_run(&world, NULL, NULL, 50);
    assert_int_equal(net_server_connections(world.server), 3);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    world_run(&world, NULL, NULL, 50);
    assert_int_equal(net_server_connections(world.server), 0);
    begin();
    give_text("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    until_end();
    assert_non_null(strstr(peer.data, "fine"));
    end();
}

/* A filter that turns every byte over, with a greeting, to see that all bytes pass through it. */
static void *turn_open(void *factory)
{
    (*(int *)factory)++;
    return factory;
}

static int turn_receive(void *state, struct mf_span bytes, struct mf_buf *plain, struct mf_buf *wire)
{
    (void)state;
    for (size_t i = 0; i < bytes.length; i++) {
        if (bytes.data[i] == '?') {
            if (mf_buf_char(wire, '!') != 0)
                return -1;
        } else if (mf_buf_char(plain, (char)(bytes.data[i] ^ 0x55)) != 0) {
            return -1;
        }
    }
    return 0;
}

static int turn_send(void *state, struct mf_span plain, struct mf_buf *wire)
{
    (void)state;
    for (size_t i = 0; i < plain.length; i++)
        if (mf_buf_char(wire, (char)(plain.data[i] ^ 0x55)) != 0)
            return -1;
    return 0;
}

static void turn_close(void *state, struct mf_buf *wire)
{
    (*(int *)state)--;
    (void)mf_buf_char(wire, '.');
}

static void test_filter(void **state)
{
    (void)state;
    int open_filters = 0;
    struct net_filter filter = {turn_open, turn_receive, turn_send, turn_close, &open_filters};
    char text[] = "GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    teardown(state);
    open_world((struct net_server_options){.filter = &filter});
    begin();
    give_text("?");
    until_bytes(1);
    assert_int_equal(open_filters, 1);
    assert_string_equal(peer.data, "!");
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] ^= 0x55;
    give(text, sizeof text - 1);
    until_end();
    assert_true(peer.ended);
    assert_int_equal(peer.data[peer.length - 1], '.');
    for (size_t i = 1; i + 1 < peer.length; i++)
        peer.data[i] ^= 0x55;
    assert_memory_equal(peer.data + 1, FINE "connection: close\r\n\r\nfine", peer.length - 2);
    end();
    world_run(&world, NULL, NULL, 20);
    assert_int_equal(open_filters, 0);
}

/* Every allocation while a request is served fails once: an answer, a refusal or a closed connection, and nothing
 * leaks. */
static void test_memory(void **state)
{
    (void)state;
    int served = 0;
    for (int64_t n = 0; n < 30; n++) {
        begin();
        mf_alloc_fail_after(n, 1);
        give_text("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
        until_end();
        mf_alloc_fail_after(-1, 0);
        served += strstr(peer.data, "\r\n\r\nabc") != NULL;
        end();
        world_run(&world, NULL, NULL, 5);
    }
    assert_in_range(served, 5, 29);
    assert_int_equal(net_server_connections(world.server), 0);
    for (int64_t n = 0; n < 6; n++) {
        struct net_server *server = NULL;
        struct net_server_options options = {.host = "127.0.0.1"};
        mf_alloc_fail_after(n, 1);
        int result = net_server_create(&server, world.loop, &options, world_handle, &world, NULL);
        mf_alloc_fail_after(-1, 0);
        assert_int_equal(result, n < 4 ? -1 : 0);
        if (result == 0)
            net_server_destroy(server);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_keep_alive),
        TEST(test_one_byte_at_a_time),
        TEST(test_early_requests_wait),
        TEST(test_back_pressure),
        TEST(test_slow_reader),
        TEST(test_refusals),
        TEST(test_refusal_of_a_body_on_its_way),
        TEST(test_continue),
        TEST(test_head),
        TEST(test_faults),
        TEST(test_drop),
        TEST(test_timeouts),
        TEST(test_admit),
        TEST(test_unix_socket),
        TEST(test_refused_addresses),
        TEST(test_no_descriptors),
        TEST(test_connection_limit),
        TEST(test_filter),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
