/* net_client.c - exactly one answer for every submit, and the right word for how far the request came */
#include "net_world.h"

static struct world world;

struct outcome {
    uint32_t answers;
    enum net_sent sent;
    int status, http_version;
    bool cancelled, too_large;
    char body[256], type[64], text[MF_ERROR_TEXT_MAX];
    enum mf_code code;
};

static void on_answer(void *context, const struct net_answer *answer)
{
    struct outcome *outcome = context;
    outcome->answers++;
    outcome->sent = answer->sent;
    outcome->status = answer->status;
    outcome->http_version = answer->http_version;
    outcome->cancelled = answer->cancelled;
    outcome->too_large = answer->too_large;
    outcome->code = answer->error.code;
    snprintf(outcome->text, sizeof outcome->text, "%s", answer->error.text);
    (void)mf_span_copy(answer->body, outcome->body, sizeof outcome->body);
    (void)mf_span_copy(net_answer_header(answer, "content-type"), outcome->type, sizeof outcome->type);
}

static bool answered(void *context)
{
    const struct outcome *outcome = context;
    return outcome->answers > 0;
}

static int setup(void **state)
{
    (void)state;
    struct net_server_options options = {.host = "127.0.0.1", .body_bytes_max = 1 << 20};
    world_open(&world, &options, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void url_of(const char *path, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "http://127.0.0.1:%u%s", net_server_port(world.server), path);
}

static struct net_request *submit(struct outcome *outcome, struct net_request_spec spec, const char *path)
{
    char url[300];
    struct mf_error error = {0};
    struct net_request *request = NULL;
    url_of(path, url, sizeof url);
    memset(outcome, 0, sizeof *outcome);
    spec.url = spec.url != NULL ? spec.url : url;
    spec.method = spec.method != NULL ? spec.method : "GET";
    spec.timeout_ms = spec.timeout_ms != 0 ? spec.timeout_ms : 5000;
    spec.answer_bytes_max = spec.answer_bytes_max != 0 ? spec.answer_bytes_max : 65536;
    if (net_client_submit(world.client, &spec, on_answer, outcome, &request, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(outcome->answers, 0); /* never from inside submit */
    return request;
}

static struct outcome ask(struct net_request_spec spec, const char *path)
{
    struct outcome outcome;
    submit(&outcome, spec, path);
    assert_true(world_run(&world, answered, &outcome, 10000));
    assert_int_equal(outcome.answers, 1);
    assert_int_equal(net_client_in_flight(world.client), 0);
    return outcome;
}

static void test_answer(void **state)
{
    (void)state;
    struct outcome outcome = ask((struct net_request_spec){0}, "/ok?q=%2F..%2f");
    assert_int_equal(outcome.sent, NET_ANSWERED);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(outcome.http_version, 11);
    assert_string_equal(outcome.body, "fine");
    assert_string_equal(outcome.type, "text/plain");
    assert_string_equal(world.last_target, "/ok?q=%2F..%2f");
}

static void test_path_as_is(void **state)
{
    (void)state;
    ask((struct net_request_spec){0}, "/a/../b/./c%2f%41//d");
    assert_string_equal(world.last_target, "/a/../b/./c%2f%41//d");
}

static void test_methods_and_bodies(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct outcome outcome =
            ask((struct net_request_spec){.method = methods[i], .body = MF_SPAN("a body")}, "/echo");
        assert_int_equal(outcome.sent, NET_ANSWERED);
        assert_string_equal(outcome.body, "a body");
        assert_string_equal(world.last_method, methods[i]);
        outcome = ask((struct net_request_spec){.method = methods[i]}, "/echo");
        assert_int_equal(outcome.sent, NET_ANSWERED);
        assert_string_equal(outcome.body, "");
        assert_string_equal(world.last_method, methods[i]);
    }
    struct outcome outcome = ask((struct net_request_spec){.method = "HEAD"}, "/ok");
    assert_int_equal(outcome.sent, NET_ANSWERED);
    assert_string_equal(outcome.body, "");
    outcome = ask((struct net_request_spec){.method = "DELETE"}, "/empty");
    assert_int_equal(outcome.status, 204);
    assert_int_equal(world.requests, 14);
}

static void test_redirect_is_an_answer(void **state)
{
    (void)state;
    struct outcome outcome = ask((struct net_request_spec){0}, "/redirect");
    assert_int_equal(outcome.sent, NET_ANSWERED);
    assert_int_equal(outcome.status, 302);
    assert_int_equal(world.requests, 1);
}

/* Every fault, on a new connection and on a reused one, with and without an effect: sent, effect unknown, sent once. */
static void test_faults(void **state)
{
    (void)state;
    static const char *const faults[] = {"/reset", "/close", "/truncate", "/garbage", "/half-head"};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        for (int reused = 0; reused < 2; reused++) {
            if (reused)
                assert_int_equal(ask((struct net_request_spec){0}, "/ok").sent, NET_ANSWERED);
            uint32_t before = world.requests;
            struct outcome outcome = ask((struct net_request_spec){.method = "POST", .body = MF_SPAN("{}")}, faults[i]);
            assert_int_equal(outcome.sent, NET_SENT);
            assert_int_equal(outcome.status, 0);
            assert_int_equal(world.requests - before, 1);
            assert_true(outcome.text[0] != '\0');
            before = world.requests;
            if (reused)
                assert_int_equal(ask((struct net_request_spec){0}, "/ok").sent, NET_ANSWERED);
            outcome = ask((struct net_request_spec){.method = "DELETE"}, faults[i]);
            assert_int_equal(outcome.sent, NET_SENT);
            assert_int_equal(world.requests - before, 1 + reused);
        }
    }
}

static void test_resend_where_allowed(void **state)
{
    (void)state;
    ask((struct net_request_spec){0}, "/ok");
    struct outcome outcome = ask((struct net_request_spec){.method = "DELETE", .retry_connection = true}, "/reset");
    assert_int_equal(outcome.sent, NET_SENT);
    assert_int_equal(world.requests, 3); /* once on the old connection, once on a new one */
}

static void test_limits(void **state)
{
    (void)state;
    struct outcome outcome = ask((struct net_request_spec){.answer_bytes_max = 3}, "/ok");
    assert_int_equal(outcome.sent, NET_SENT);
    assert_true(outcome.too_large);
    outcome = ask((struct net_request_spec){.answer_bytes_max = 4}, "/ok");
    assert_int_equal(outcome.sent, NET_ANSWERED);
    outcome = ask((struct net_request_spec){0}, "/endless-body");
    assert_int_equal(outcome.sent, NET_SENT);
    assert_true(outcome.too_large);
    outcome = ask((struct net_request_spec){0}, "/endless-headers");
    assert_int_equal(outcome.sent, NET_SENT);
    assert_true(outcome.too_large);
    assert_int_equal(outcome.code, MF_LIMIT);
}

static void test_timeouts(void **state)
{
    (void)state;
    int64_t start = net_now_ms();
    struct outcome outcome = ask((struct net_request_spec){.timeout_ms = 150}, "/hold");
    int64_t took = net_now_ms() - start;
    assert_int_equal(outcome.sent, NET_SENT);
    assert_in_range(took, 150, 400); /* below one second: a division of integers would make it 0 */
    world.held_count = 0;
    start = net_now_ms();
    outcome = ask((struct net_request_spec){.stall_timeout_ms = 900}, "/stall");
    took = net_now_ms() - start;
    assert_int_equal(outcome.sent, NET_SENT);
    assert_in_range(took, 900, 3500);
    outcome = ask((struct net_request_spec){.timeout_ms = 200}, "/drip-slow");
    assert_int_equal(outcome.sent, NET_SENT);
    outcome = ask((struct net_request_spec){0}, "/drip");
    assert_int_equal(outcome.sent, NET_ANSWERED);
    assert_string_equal(outcome.body, "drop by drop");
}

static void test_not_sent(void **state)
{
    (void)state;
    char url[100];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(address.sin_port)); /* bound, not listening: refused */
    struct outcome outcome = ask((struct net_request_spec){.url = url, .method = "POST", .body = MF_SPAN("x")}, "");
    assert_int_equal(outcome.sent, NET_NOT_SENT);
    assert_int_equal(outcome.code, MF_NETWORK);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", net_server_port(world.server)); /* no TLS there */
    outcome = ask((struct net_request_spec){.url = url, .method = "POST", .body = MF_SPAN("x")}, "");
    assert_int_equal(outcome.sent, NET_NOT_SENT);
    assert_int_equal(listen(fd, 0), 0);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", ntohs(address.sin_port)); /* the handshake stalls */
    outcome = ask((struct net_request_spec){.url = url, .method = "POST", .connect_timeout_ms = 200}, "");
    assert_int_equal(outcome.sent, NET_NOT_SENT);
    close(fd);
    assert_int_equal(ask((struct net_request_spec){0}, "/ok").sent, NET_ANSWERED);
}

static void test_refused_urls(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://example.com/",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "http://user@127.0.0.1/",
        "127.0.0.1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nx: y",
        "http://127.0.0.1/#x",
        "http://[::2]/",
        "http://",
        "",
        "http:///x",
        "http://localhost.evil/",
        "http://2130706434.com/",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct mf_error error = {0};
        struct net_request_spec spec = {.method = "GET", .url = urls[i], .timeout_ms = 100};
        struct outcome outcome = {0};
        if (net_client_submit(world.client, &spec, on_answer, &outcome, NULL, &error) != -1)
            fail_msg("'%s' was accepted", urls[i]);
        assert_true(error.code != MF_NONE);
        assert_null(strstr(error.text, "secret"));
    }
    assert_int_equal(net_client_in_flight(world.client), 0);
}

static void test_refused_headers(void **state)
{
    (void)state;
    static const struct net_header headers[] = {
        {{"x", 1}, {"a\r\nb: c", 7}},
        {{"x", 1}, {"a\nb", 3}},
        {{"x", 1}, {"a\0b", 3}},
        {{"x y", 3}, {"a", 1}},
        {{"", 0}, {"a", 1}},
        {{"x:", 2}, {"a", 1}},
        {{"Host", 4}, {"b", 1}},
        {{"content-length", 14}, {"3", 1}},
        {{"Transfer-Encoding", 17}, {"chunked", 7}},
        {{"Connection", 10}, {"close", 5}},
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct mf_error error = {0};
        char url[100];
        url_of("/ok", url, sizeof url);
        struct net_request_spec spec = {
            .method = "GET", .url = url, .timeout_ms = 100, .headers = &headers[i], .header_count = 1};
        struct outcome outcome = {0};
        assert_int_equal(net_client_submit(world.client, &spec, on_answer, &outcome, NULL, &error), -1);
    }
}

static void test_dialled_address(void **state)
{
    (void)state;
    /* https to a name that is no loopback name but an address of this host or link: refused before the handshake */
    static const char *const hosts[] = {"0.0.0.0", "169.254.169.254", "[::ffff:127.0.0.1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char url[100];
        snprintf(url, sizeof url, "https://%s:%u/", hosts[i], net_server_port(world.server));
        struct outcome outcome = ask((struct net_request_spec){.url = url, .timeout_ms = 500}, "");
        assert_int_equal(outcome.sent, NET_NOT_SENT);
        assert_non_null(strstr(outcome.text, "address that it must not lead to"));
    }
    assert_int_equal(world.requests, 0);
}

static void test_cancel(void **state)
{
    (void)state;
    struct outcome outcome;
    net_request_cancel(submit(&outcome, (struct net_request_spec){.method = "POST"}, "/ok"));
    assert_int_equal(outcome.answers, 0);
    assert_true(world_run(&world, answered, &outcome, 1000));
    assert_true(outcome.cancelled);
    assert_int_equal(outcome.sent, NET_NOT_SENT);
    struct net_request *request = submit(&outcome, (struct net_request_spec){.method = "POST"}, "/hold");
    world_run(&world, NULL, NULL, 50);
    assert_int_equal(world.held_count, 1);
    net_request_cancel(request);
    net_request_cancel(request);
    assert_true(world_run(&world, answered, &outcome, 1000));
    assert_int_equal(outcome.answers, 1);
    assert_true(outcome.cancelled);
    assert_int_equal(outcome.sent, NET_SENT);
    world_answer_held(&world); /* to a connection that is gone */
    /* a used handle tells nothing about its last request */
    net_request_cancel(submit(&outcome, (struct net_request_spec){.method = "POST"}, "/ok"));
    assert_true(world_run(&world, answered, &outcome, 1000));
    assert_int_equal(outcome.sent, NET_NOT_SENT);
}

static void test_destroy_in_flight(void **state)
{
    (void)state;
    struct outcome outcomes[20];
    for (int i = 0; i < 20; i++)
        submit(&outcomes[i], (struct net_request_spec){.method = "POST"}, "/hold");
    world_run(&world, NULL, NULL, 50);
    net_client_destroy(world.client);
    world.client = NULL;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(outcomes[i].answers, 1);
        assert_true(outcomes[i].cancelled);
        assert_int_equal(outcomes[i].sent, i < 16 ? NET_SENT : NET_NOT_SENT);
    }
}

struct crowd {
    uint32_t answers, wrong, again;
};

static void on_crowd(void *context, const struct net_answer *answer)
{
    struct crowd *crowd = context;
    crowd->answers++;
    crowd->wrong += answer->sent != NET_ANSWERED || answer->status != 200;
    if (crowd->again > 0) {
        crowd->again--;
        char url[100];
        url_of("/ok", url, sizeof url);
        struct net_request_spec spec = {.method = "GET", .url = url, .timeout_ms = 20000, .answer_bytes_max = 100};
        assert_int_equal(net_client_submit(world.client, &spec, on_crowd, crowd, NULL, NULL), 0);
    }
}

static bool crowd_done(void *context)
{
    (void)context;
    return net_client_in_flight(world.client) == 0;
}

static void test_crowd(void **state)
{
    (void)state;
    struct crowd crowd = {.again = 1000};
    char url[100];
    url_of("/ok", url, sizeof url);
    struct net_request_spec spec = {.method = "GET", .url = url, .timeout_ms = 20000, .answer_bytes_max = 100};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(net_client_submit(world.client, &spec, on_crowd, &crowd, NULL, NULL), 0);
    assert_true(world_run(&world, crowd_done, NULL, 20000));
    assert_int_equal(crowd.answers, 2000);
    assert_int_equal(crowd.wrong, 0);
    assert_int_equal(world.requests, 2000);
    assert_true(net_server_connections(world.server) <= 16);
}

/* Waiting for a free connection is not connecting: the time limit for connecting must not run meanwhile. */
static void test_waiting_is_not_connecting(void **state)
{
    (void)state;
    struct outcome outcomes[40];
    for (int i = 0; i < 40; i++)
        submit(&outcomes[i], (struct net_request_spec){.method = "POST", .connect_timeout_ms = 150}, "/hold");
    for (int round = 0; round < 4; round++) {
        world_run(&world, NULL, NULL, 250);
        world_answer_held(&world);
    }
    world_run(&world, NULL, NULL, 50);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(outcomes[i].answers, 1);
        if (outcomes[i].sent != NET_ANSWERED)
            fail_msg("request %d: %s", i, outcomes[i].text);
    }
}

static void test_base_urls(void **state)
{
    (void)state;
    char out[100];
    bool loopback;
    assert_int_equal(net_check_base_url("https://api.example.com/client/v4", &loopback, NULL), 0);
    assert_false(loopback);
    assert_int_equal(net_check_base_url("http://localhost:8080/x", &loopback, NULL), 0);
    assert_true(loopback);
    assert_int_equal(net_check_base_url("http://127.9.9.9", &loopback, NULL), 0);
    assert_int_equal(net_check_base_url("http://[::1]:3/", &loopback, NULL), 0);
    assert_int_equal(net_check_base_url("http://example.com/", &loopback, NULL), -1);
    assert_int_equal(net_check_base_url("https://a@example.com/", &loopback, NULL), -1);
    assert_int_equal(net_check_base_url("https://example.com/?a=b", &loopback, NULL), -1);
    assert_int_equal(net_check_base_url("https://example.com/#b", &loopback, NULL), -1);
    assert_int_equal(net_origin("https://API.example.com/client", out, sizeof out, NULL), 0);
    assert_string_equal(out, "https://api.example.com:443");
    assert_int_equal(net_origin("http://127.0.0.1:8080/x", out, sizeof out, NULL), 0);
    assert_string_equal(out, "http://127.0.0.1:8080");
    assert_int_equal(net_origin("https://example.com/", out, 10, NULL), -1);
}

/* Every allocation of a submit and of its transfer fails once: either -1 and no answer, or exactly one answer. */
static void test_memory(void **state)
{
    (void)state;
    uint32_t refused = 0, answers = 0, good = 0;
    ask((struct net_request_spec){0}, "/ok");
    for (int64_t n = 0; n < 150; n++) {
        char url[100];
        url_of("/echo", url, sizeof url);
        struct net_header header = {MF_SPAN("authorization"), MF_SPAN("bearer x")};
        struct net_request_spec spec = {.method = "POST",
                                        .url = url,
                                        .body = MF_SPAN("a body"),
                                        .timeout_ms = 3000,
                                        .answer_bytes_max = 1000,
                                        .headers = &header,
                                        .header_count = 1};
        static struct outcome outcome;
        memset(&outcome, 0, sizeof outcome);
        mf_alloc_fail_after(n, 1);
        int result = net_client_submit(world.client, &spec, on_answer, &outcome, NULL, NULL);
        if (result == 0)
            (void)world_run(&world, answered, &outcome, 5000);
        mf_alloc_fail_after(-1, 0);
        refused += result != 0;
        answers += outcome.answers;
        good += outcome.sent == NET_ANSWERED;
        assert_int_equal(outcome.answers, result == 0);
        assert_int_equal(net_client_in_flight(world.client), 0);
    }
    assert_true(refused > 0 && good > 0);
    assert_int_equal(refused + answers, 150);
}

static void test_memory_at_creation(void **state)
{
    (void)state;
    int failures = 0;
    for (int64_t n = 0; n < 400; n++) {
        struct net_client *client = NULL;
        mf_alloc_fail_after(n, 1);
        int result = net_client_create(&client, world.loop, NULL, NULL);
        mf_alloc_fail_after(-1, 0);
        failures += result != 0;
        if (result == 0)
            net_client_destroy(client);
    }
    assert_true(failures > 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_answer),
        TEST(test_path_as_is),
        TEST(test_methods_and_bodies),
        TEST(test_redirect_is_an_answer),
        TEST(test_faults),
        TEST(test_resend_where_allowed),
        TEST(test_limits),
        TEST(test_timeouts),
        TEST(test_not_sent),
        TEST(test_refused_urls),
        TEST(test_refused_headers),
        TEST(test_dialled_address),
        TEST(test_cancel),
        TEST(test_destroy_in_flight),
        TEST(test_crowd),
        TEST(test_waiting_is_not_connecting),
        TEST(test_base_urls),
        TEST(test_memory),
        TEST(test_memory_at_creation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
