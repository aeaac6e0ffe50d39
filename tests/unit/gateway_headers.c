/* gateway_headers.c - which headers pass in both directions, places of answers, pauses; base paths */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/proxy.h"

#include <stdio.h>
#include <string.h>

#define HEADER(name, value)                                                                                            \
    {                                                                                                                  \
        {name, sizeof name - 1},                                                                                       \
        {                                                                                                              \
            value, sizeof value - 1                                                                                    \
        }                                                                                                              \
    }

static struct upstream upstream = {.base = (char[]){"https://api.example.com"},
                                   .base_length = 23,
                                   .headers = {HEADER("x-auth", "Bearer real")},
                                   .header_count = 1};

static void up(void **state)
{
    (void)state;
    struct policy *policy;
    struct net_header out[HTTP1_HEADERS_MAX + GRANT_HEADERS_MAX];
    static const struct net_header in[] = {HEADER("accept", "a"),
                                           HEADER("host", "h"),
                                           HEADER("x-auth", "forged"),
                                           HEADER("cookie", "c"),
                                           HEADER("x-more", "m"),
                                           HEADER("via", "v"),
                                           HEADER("authorization", "Bearer handed"),
                                           HEADER("content-type", "t"),
                                           HEADER("x-else", "e")};
    struct request_view view = {.headers = in, .header_count = sizeof in / sizeof in[0]};
    /* a policy cannot let through what no policy may */
    assert_int_equal(
        policy_create(&policy,
                      MF_SPAN("{\"policy\":1,\"forward\":[\"x-more\",\"via\",\"cookie\",\"host\",\"authorization\"]}"),
                      NULL),
        0);
    uint32_t count = headers_for_upstream(&view, policy, &upstream, (struct mf_span){0}, out);
    assert_int_equal(count, 4);
    assert_true(mf_span_is(out[0].name, "accept") && mf_span_is(out[1].name, "x-more") &&
                mf_span_is(out[2].name, "content-type"));
    assert_true(mf_span_is(out[3].name, "x-auth") && mf_span_is(out[3].value, "Bearer real"));
    count = headers_for_upstream(&view, policy, &upstream, MF_SPAN("authorization"), out);
    assert_int_equal(count, 4);
    assert_true(mf_span_is(out[2].name, "authorization") && mf_span_is(out[2].value, "Bearer handed"));
    for (uint32_t i = 0; i < count; i++)
        assert_false(mf_span_is(out[i].value, "Bearer real"));
    policy_destroy(policy);
}

static void down(void **state)
{
    (void)state;
    static const struct {
        const char *location, *wanted; /* NULL: gone */
    } table[] = {
        {"/x?y", "location: /x?y\r\n"},
        {"https://api.example.com/x", "location: http://127.0.0.1:8787/x\r\n"},
        {"https://api.example.com", "location: http://127.0.0.1:8787\r\n"},
        {"https://api.example.com.evil/x", NULL},
        {"https://api.example.com@evil/x", NULL},
        {"https://api.example.com:444/x", NULL},
        {"http://api.example.com/x", NULL},
        {"//evil/x", NULL},
        {"/\\evil/x", NULL},
        {"\\\\evil", NULL},
        {"x", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct net_header headers[] = {
            {MF_SPAN("location"), mf_span(table[i].location)}, HEADER("set-cookie", "a"), HEADER("x", "y")};
        struct net_stream_head head = {.status = 302, .headers = headers, .header_count = 3};
        struct mf_buf out;
        mf_buf_init(&out, 4096);
        headers_for_agent(&head, &upstream, 8787, &out);
        assert_false(out.failed);
        assert_null(strstr(mf_buf_cstr(&out), "set-cookie"));
        assert_non_null(strstr(mf_buf_cstr(&out), "x: y\r\n"));
        const char *got = strstr(mf_buf_cstr(&out), "location:");
        if ((got == NULL) != (table[i].wanted == NULL) ||
            (got != NULL && strncmp(got, table[i].wanted, strlen(table[i].wanted)) != 0))
            fail_msg("%s: %s", table[i].location, mf_buf_cstr(&out));
        mf_buf_free(&out);
    }
}

static void pauses(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t wanted;
    } table[] = {
        {"0", 0},     {"7", 7000}, {"99999999999", (int64_t)INT32_MAX * 1000}, {"-1", -1},
        {"soon", -1}, {"1.5", -1}, {"Thu, 01 Jan 1970 00:01:40 GMT", 90000},   {"Thu, 01 Jan 1970 00:00:05 GMT", 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct net_header header = {MF_SPAN("retry-after"), mf_span(table[i].value)};
        if (headers_retry_after(&header, 1, 10000) != table[i].wanted)
            fail_msg("%s: %lld", table[i].value, (long long)headers_retry_after(&header, 1, 10000));
    }
    assert_int_equal(headers_retry_after(NULL, 0, 0), -1);
}

static void base_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *base, *rest; /* NULL: not below */
        uint32_t count;
    } table[] = {{"/v4/a/b", "/v4", "/a/b", 2}, {"/v4", "/v4", "/", 0},       {"/v44/a", "/v4", NULL, 0},
                 {"/a", "/v4", NULL, 0},        {"/a/b", "", "/a/b", 2},      {"/c/v4/x", "/c/v4", "/x", 1},
                 {"/", "/v4", NULL, 0},         {"/%76%34/a", "/v4", "/a", 1}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct http1_path path;
        assert_int_equal(http1_path_parse(&path, mf_span(table[i].path), NULL), 0);
        bool below = path_strip(&path, mf_span(table[i].base));
        assert_int_equal(below, table[i].rest != NULL);
        if (!below)
            continue;
        assert_string_equal(path.text, table[i].rest);
        assert_int_equal(path.text_length, strlen(table[i].rest));
        assert_int_equal(path.count, table[i].count);
        if (path.count > 0) {
            struct mf_span last = http1_path_segment(&path, path.count - 1);
            assert_true(last.data + last.length == path.text + path.text_length);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(up), cmocka_unit_test(down), cmocka_unit_test(pauses),
                                       cmocka_unit_test(base_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
