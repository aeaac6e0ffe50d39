/*
 * net_tls.c - HTTP/2 over TLS: negotiated, multiplexed, and closed to every certificate that does not fit
 *
 * The other side is nghttpd with a certificate made here by the openssl program; without them the tests are skipped.
 */
#include "net_world.h"

#include "net/stream.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

static struct net_loop *loop;
static char directory[] = "/tmp/mayfly-test-XXXXXX";
static char certificate[100], key[100], file[100];
static pid_t server;
static uint16_t port;

/* A shell that becomes the program. */
static pid_t start(char *command)
{
    char shell[] = "/bin/sh", flag[] = "-c";
    char *const arguments[] = {shell, flag, command, NULL};
    pid_t child = -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int result = posix_spawn(&child, shell, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return result == 0 ? child : -1;
}

static int run(char *command)
{
    int status = -1;
    pid_t child = start(command);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool listens(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return yes;
}

static int open_all(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL || net_loop_create(&loop, NULL) != 0)
        return -1;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", directory);
    snprintf(key, sizeof key, "%s/key.pem", directory);
    snprintf(file, sizeof file, "%s/file", directory);
    FILE *out = fopen(file, "we");
    if (out == NULL || fputs("over h2", out) < 0 || fclose(out) != 0)
        return -1;
    char make[600], serve[600];
    port = free_port();
    snprintf(make, sizeof make,
             "exec openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost -keyout %s -out %s",
             key, certificate);
    snprintf(serve, sizeof serve, "PATH=$PATH:/usr/sbin; exec nghttpd -a 127.0.0.1 -d %s %u %s %s", directory, port,
             key, certificate);
    server = run(make) == 0 ? start(serve) : -1;
    for (int i = 0; server > 0 && i < 200 && !listens(); i++)
        usleep(10000);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    net_loop_destroy(loop);
    unlink(certificate);
    unlink(key);
    unlink(file);
    return rmdir(directory);
}

struct outcome {
    uint32_t answers, wanted, good;
    enum net_sent sent;
    int http_version;
    char body[32];
};

static void on_answer(void *context, const struct net_answer *answer)
{
    struct outcome *outcome = context;
    outcome->answers++;
    outcome->sent = answer->sent;
    outcome->http_version = answer->http_version;
    outcome->good += answer->sent == NET_ANSWERED && answer->status == 200 && answer->http_version == 20;
    (void)mf_span_copy(answer->body, outcome->body, sizeof outcome->body);
    if (outcome->answers == outcome->wanted)
        net_loop_stop(loop);
}

static struct outcome ask(const char *host, const char *ca_file, uint32_t times)
{
    char url[100];
    struct net_client *client;
    struct net_client_options options = {.ca_file = ca_file, .connections_per_origin_max = 2};
    struct outcome outcome = {.wanted = times};
    if (server <= 0 || !listens())
        skip();
    assert_int_equal(net_client_create(&client, loop, &options, NULL), 0);
    snprintf(url, sizeof url, "https://%s:%u/file", host, port);
    struct net_request_spec spec = {.method = "GET", .url = url, .timeout_ms = 10000, .answer_bytes_max = 100};
    for (uint32_t i = 0; i < times; i++)
        assert_int_equal(net_client_submit(client, &spec, on_answer, &outcome, NULL, NULL), 0);
    net_loop_run(loop);
    net_client_destroy(client);
    return outcome;
}

static void test_http2(void **state)
{
    (void)state;
    struct outcome outcome = ask("localhost", certificate, 1);
    assert_int_equal(outcome.sent, NET_ANSWERED);
    assert_int_equal(outcome.http_version, 20);
    assert_string_equal(outcome.body, "over h2");
}

static void test_many(void **state)
{
    (void)state;
    struct outcome outcome = ask("localhost", certificate, 500);
    assert_int_equal(outcome.answers, 500);
    assert_int_equal(outcome.good, 500);
}

static void test_untrusted(void **state)
{
    (void)state;
    struct outcome outcome = ask("localhost", NULL, 1);
    assert_int_equal(outcome.sent, NET_NOT_SENT);
}

static void test_wrong_name(void **state)
{
    (void)state;
    struct outcome outcome = ask("127.0.0.1", certificate, 1);
    assert_int_equal(outcome.sent, NET_NOT_SENT);
}

/* --- streams --- */

struct reading {
    struct net_stream *stream;
    uint64_t bytes;
    bool stuck, over;
    enum net_sent sent;
};

static bool reading_head(void *context, const struct net_stream_head *head)
{
    (void)context;
    return head->status == 200;
}

static bool reading_data(void *context, struct mf_span data)
{
    struct reading *reading = context;
    if (reading->stuck)
        return false;
    reading->bytes += data.length;
    return true;
}

static void reading_done(void *context, const struct net_stream_end *end)
{
    struct reading *reading = context;
    reading->over = true;
    reading->sent = end->sent;
    net_loop_stop(loop);
}

static void too_late(void *context)
{
    *(bool *)context = true;
    net_loop_stop(loop);
}

static void read_file(struct net_client *client, struct reading *reading, const char *name)
{
    static const struct net_stream_calls calls = {.head = reading_head, .data = reading_data, .done = reading_done};
    char url[100];
    snprintf(url, sizeof url, "https://localhost:%u/%s", port, name);
    struct net_stream_spec spec = {.method = "GET", .url = url, .body_bytes = NET_STREAM_NO_BODY};
    struct mf_error error;
    if (net_stream_open(&reading->stream, client, &spec, &calls, reading, &error) != 0)
        fail_msg("%s", error.text);
}

static void run_until(struct net_timer *limit, bool *late, int64_t after_ms)
{
    *late = false;
    net_timer_set(limit, net_now_ms() + after_ms);
    net_loop_run(loop);
    net_timer_set(limit, MF_NEVER);
}

/* Who does not read holds up nobody else, although they share a connection; and gets all of it later. */
static void test_slow_reader(void **state)
{
    (void)state;
    enum { BIG = 48 << 20 };
    char big[100];
    bool late;
    struct net_client *client;
    struct net_timer *limit;
    struct net_client_options options = {.ca_file = certificate, .connections_per_origin_max = 4};
    struct reading slow = {.stuck = true}, quick[8] = {{0}};
    if (server <= 0 || !listens())
        skip();
    snprintf(big, sizeof big, "%s/big", directory);
    FILE *out = fopen(big, "we");
    assert_non_null(out);
    assert_int_equal(ftruncate(fileno(out), BIG), 0);
    fclose(out);
    assert_int_equal(net_client_create(&client, loop, &options, NULL), 0);
    assert_int_equal(net_timer_create(&limit, loop, too_late, &late, NULL), 0);
    read_file(client, &slow, "big");
    run_until(limit, &late, 1000);
    assert_false(slow.over);
    for (int i = 0; i < 8; i++) {
        read_file(client, &quick[i], i % 2 == 0 ? "file" : "big");
        while (!quick[i].over) {
            run_until(limit, &late, 8000);
            if (late)
                fail_msg("request %d waits for the slow reader", i);
        }
        assert_int_equal(quick[i].sent, NET_ANSWERED);
        assert_int_equal(quick[i].bytes, i % 2 == 0 ? 7 : BIG);
    }
    slow.stuck = false;
    net_stream_resume(slow.stream);
    while (!slow.over) {
        run_until(limit, &late, 8000);
        assert_false(late);
    }
    assert_int_equal(slow.bytes, BIG);
    net_timer_destroy(limit);
    net_client_destroy(client);
    unlink(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_http2), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_untrusted), cmocka_unit_test(test_wrong_name),
                                       cmocka_unit_test(test_slow_reader)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
