/* net_stream.c - streamed requests: both directions, pauses, ends of every kind, without memory */
#include "net_world.h"

#include "base/alloc.h"
#include "net/stream.h"

struct probe {
    struct world *world;
    struct net_stream *stream;
    struct net_stream_end end;
    char body[8192];
    size_t length, up_at, up_bytes, pause_every;
    uint32_t heads, ends, pauses, reads;
    int status;
    int64_t body_bytes;
    uint32_t header_count;
    bool refuse_head, cancel_in_data, hold_read, hop_seen;
    struct net_timer *later;
};

static int64_t probe_read(void *context, char *out, size_t bytes_max)
{
    struct probe *probe = context;
    probe->reads++;
    if (probe->hold_read) {
        probe->hold_read = false;
        net_timer_set(probe->later, net_now_ms() + 20);
        return -1;
    }
    size_t some = probe->up_bytes - probe->up_at;
    some = some < bytes_max ? some : bytes_max;
    if (some > 1000) {
        some = 1000;
        probe->hold_read = probe->later != NULL;
    }
    memset(out, 'u', some);
    probe->up_at += some;
    return (int64_t)some;
}

static bool probe_head(void *context, const struct net_stream_head *head)
{
    struct probe *probe = context;
    probe->heads++;
    probe->status = head->status;
    probe->body_bytes = head->body_bytes;
    probe->header_count = head->header_count;
    for (uint32_t i = 0; i < head->header_count; i++)
        probe->hop_seen = probe->hop_seen || mf_span_is(head->headers[i].name, "content-length") ||
                          mf_span_is(head->headers[i].name, "connection");
    return !probe->refuse_head;
}

static bool probe_data(void *context, struct mf_span data)
{
    struct probe *probe = context;
    if (probe->pause_every > 0 && probe->pauses++ % 2 == 0) {
        net_timer_set(probe->later, net_now_ms() + 10);
        return false;
    }
    size_t room = sizeof probe->body - 1 - probe->length;
    size_t some = data.length < room ? data.length : room;
    memcpy(probe->body + probe->length, data.data, some);
    probe->length += some;
    if (probe->cancel_in_data)
        net_stream_cancel(probe->stream);
    return true;
}

static void probe_done(void *context, const struct net_stream_end *end)
{
    struct probe *probe = context;
    probe->ends++;
    probe->end = *end;
    probe->stream = NULL;
}

static void probe_later(void *context)
{
    struct probe *probe = context;
    if (probe->stream != NULL) {
        net_stream_more(probe->stream);
        net_stream_resume(probe->stream);
    }
}

static bool probe_over(void *context)
{
    return ((struct probe *)context)->ends > 0;
}

static const struct net_stream_calls calls = {
    .read = probe_read, .head = probe_head, .data = probe_data, .done = probe_done};

static int probe_open(struct probe *probe, struct world *world, const char *method, const char *path,
                      int64_t body_bytes, int64_t stall_ms)
{
    char url[256];
    struct mf_error error;
    struct net_header header = {MF_SPAN("authorization"), MF_SPAN("Bearer x")};
    probe->world = world;
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", net_server_port(world->server), path);
    struct net_stream_spec spec = {.method = method,
                                   .url = url,
                                   .headers = &header,
                                   .header_count = 1,
                                   .body_bytes = body_bytes,
                                   .stall_timeout_ms = stall_ms};
    return net_stream_open(&probe->stream, world->client, &spec, &calls, probe, &error);
}

static const struct net_server_options options = {.host = "127.0.0.1", .body_bytes_max = 1 << 20};

static void both_ways(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, &options, true);
    static const struct {
        const char *method;
        int64_t body_bytes;
        size_t up;
    } table[] = {{"GET", NET_STREAM_NO_BODY, 0},
                 {"POST", NET_STREAM_NO_BODY, 0},
                 {"POST", 0, 0},
                 {"PUT", 5000, 5000},
                 {"POST", NET_STREAM_CHUNKED, 5000},
                 {"DELETE", 7, 7},
                 {"PATCH", NET_STREAM_CHUNKED, 0}};
    for (int paused = 0; paused < 2; paused++)
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            struct probe probe = {.up_bytes = table[i].up, .pause_every = (size_t)paused};
            assert_int_equal(net_timer_create(&probe.later, world.loop, probe_later, &probe, NULL), 0);
            assert_int_equal(probe_open(&probe, &world, table[i].method, "/echo", table[i].body_bytes, 0), 0);
            assert_int_equal(probe.ends, 0);
            assert_true(world_run(&world, probe_over, &probe, 5000));
            assert_int_equal(probe.end.sent, NET_ANSWERED);
            assert_int_equal(probe.status, 200);
            assert_int_equal(probe.heads, 1);
            assert_false(probe.hop_seen);
            assert_string_equal(world.last_method, table[i].method);
            assert_int_equal(world.last_body_bytes, table[i].up);
            assert_int_equal(probe.length, table[i].up);
            assert_int_equal(probe.body_bytes, table[i].up);
            assert_int_equal(probe.end.body_bytes_sent, table[i].up);
            assert_int_equal(probe.end.body_bytes_received, table[i].up);
            net_timer_destroy(probe.later);
        }
    world_close(&world);
}

static void ends(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum net_sent sent;
        bool cancel, refuse;
    } table[] = {{"/reset", NET_SENT, false, false},
                 {"/close", NET_SENT, false, false},
                 {"/truncate", NET_SENT, false, false},
                 {"/garbage", NET_SENT, false, false},
                 {"/half-head", NET_SENT, false, false},
                 {"/endless-headers", NET_SENT, false, false},
                 {"/endless-body", NET_SENT, true, false},
                 {"/ok", NET_SENT, true, false},
                 {"/ok", NET_SENT, false, true}};
    struct world world;
    world_open(&world, &options, true);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct probe probe = {.cancel_in_data = table[i].cancel, .refuse_head = table[i].refuse};
        assert_int_equal(probe_open(&probe, &world, "POST", table[i].path, 0, 0), 0);
        assert_true(world_run(&world, probe_over, &probe, 5000));
        if (probe.end.sent != table[i].sent)
            fail_msg("%s: %d", table[i].path, probe.end.sent);
        assert_true(probe.end.error.text[0] != '\0');
        assert_int_equal(probe.ends, 1);
    }
    world_close(&world);
}

static void stall(void **state)
{
    (void)state;
    struct world world;
    struct probe probe = {0};
    world_open(&world, &options, true);
    assert_int_equal(probe_open(&probe, &world, "GET", "/stall", NET_STREAM_NO_BODY, 700), 0);
    assert_true(world_run(&world, probe_over, &probe, 5000));
    assert_int_equal(probe.end.sent, NET_SENT);
    assert_false(probe.end.cancelled);
    assert_non_null(strstr(probe.end.error.text, "nothing moved"));
    world_close(&world);
}

static void cancel_and_destroy(void **state)
{
    (void)state;
    struct world world;
    struct probe first = {0}, second = {0};
    world_open(&world, &options, true);
    assert_int_equal(probe_open(&first, &world, "GET", "/hold", NET_STREAM_NO_BODY, 0), 0);
    assert_int_equal(probe_open(&second, &world, "GET", "/hold", NET_STREAM_NO_BODY, 0), 0);
    world_run(&world, NULL, NULL, 50);
    net_stream_cancel(first.stream);
    assert_int_equal(first.ends, 0);
    assert_true(world_run(&world, probe_over, &first, 5000));
    assert_true(first.end.cancelled);
    net_client_destroy(world.client);
    world.client = NULL;
    assert_int_equal(second.ends, 1);
    assert_true(second.end.cancelled);
    world_close(&world);
}

static void refused(void **state)
{
    (void)state;
    struct world world;
    struct probe probe = {0};
    struct mf_error error;
    struct net_stream_spec spec = {.method = "GET", .url = "http://example.com/", .body_bytes = NET_STREAM_NO_BODY};
    world_open(&world, &options, true);
    assert_int_equal(net_stream_open(&probe.stream, world.client, &spec, &calls, &probe, &error), -1);
    spec.url = "https://user@example.com/";
    assert_int_equal(net_stream_open(&probe.stream, world.client, &spec, &calls, &probe, &error), -1);
    assert_int_equal(probe.ends, 0);
    world_close(&world);
}

/* However memory fails, there is one end or none was promised. */
static void no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 400; n += 3) {
        struct world world;
        struct probe probe = {.up_bytes = 3000};
        world_open(&world, &options, true);
        mf_alloc_fail_after(n, 1);
        int opened = probe_open(&probe, &world, "POST", "/echo", 3000, 0);
        if (opened == 0)
            (void)world_run(&world, probe_over, &probe, 2000);
        mf_alloc_fail_after(-1, 0);
        if (opened == 0 && probe.ends == 0)
            assert_true(world_run(&world, probe_over, &probe, 12000));
        assert_int_equal(probe.ends, opened == 0 ? 1 : 0);
        world_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways), cmocka_unit_test(ends),
                                       cmocka_unit_test(stall),     cmocka_unit_test(cancel_and_destroy),
                                       cmocka_unit_test(refused),   cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
