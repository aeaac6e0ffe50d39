/*
 * http1_request.c - what the strict subset takes and refuses, and that the way of cutting the input changes nothing
 *
 * Every case runs through every cut into two parts and byte by byte; all runs must end alike.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "http1/request.h"
#include "http1/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 200000
#define BODY_MAX 1000

struct result {
    enum http1_result result;
    int status;
    const char *reason;
    size_t taken; /* head and body */
    uint32_t header_count;
    size_t body_bytes;
    char body[INPUT_MAX];
};

/* Feeds a request in pieces that end at `cuts`, as a connection does: one memory for the head, the body decoded after
 * it. */
static void feed(const char *input, size_t length, const size_t *cuts, size_t cut_count, struct result *out)
{
    static char memory[INPUT_MAX];
    struct http1_head head;
    struct http1_body body;
    bool in_body = false;
    size_t there = 0, at = 0;
    http1_head_init(&head);
    memset(out, 0, offsetof(struct result, body));
    for (size_t i = 0; i <= cut_count; i++) {
        size_t end = i < cut_count ? cuts[i] : length;
        memcpy(memory + there, input + there, end - there);
        there = end;
        if (!in_body) {
            out->result = http1_head_parse(&head, memory, there);
            out->status = head.status;
            out->reason = head.reason;
            if (out->result == HTTP1_BAD)
                return;
            if (out->result == HTTP1_PARTIAL)
                continue;
            in_body = true;
            at = head.head_bytes;
            out->header_count = head.header_count;
            http1_body_init(&body, &head, BODY_MAX);
        }
        size_t consumed, produced;
        out->result =
            http1_body_decode(&body, memory + at, there - at, &consumed, out->body + out->body_bytes, &produced);
        at += consumed;
        out->body_bytes += produced;
        out->taken = at;
        out->status = body.status;
        out->reason = body.reason;
        if (out->result != HTTP1_PARTIAL)
            return;
    }
}

static void assert_same(const struct result *left, const struct result *right, const char *input, size_t cut)
{
    bool same = left->result == right->result && left->status == right->status && left->reason == right->reason;
    if (left->result == HTTP1_DONE)
        same = same && left->taken == right->taken && left->header_count == right->header_count &&
               left->body_bytes == right->body_bytes && memcmp(left->body, right->body, left->body_bytes) == 0;
    if (!same)
        fail_msg("cut at %zu: %d %d '%s' instead of %d %d '%s' for: %.60s", cut, right->result, right->status,
                 right->reason != NULL ? right->reason : "", left->result, left->status,
                 left->reason != NULL ? left->reason : "", input);
}

static struct result *run(const char *input, size_t length)
{
    static struct result whole, other;
    static size_t every[INPUT_MAX];
    feed(input, length, NULL, 0, &whole);
    for (size_t cut = 0; cut <= length && length < 4000; cut++) {
        feed(input, length, &cut, 1, &other);
        assert_same(&whole, &other, input, cut);
    }
    for (size_t i = 0; i < length; i++)
        every[i] = i;
    feed(input, length, every, length, &other);
    assert_same(&whole, &other, input, length);
    return &whole;
}

struct refused {
    int status; /* 0: complete; -1: more is needed */
    const char *bytes;
    size_t length;
};

#define CASE(status, text)                                                                                             \
    {                                                                                                                  \
        status, text, sizeof(text) - 1                                                                                 \
    }
#define H "Host: a\r\n"
#define G "GET / HTTP/1.1\r\n"
#define P "POST / HTTP/1.1\r\n" H
#define CHUNKED P "Transfer-Encoding: chunked\r\n\r\n"

static const struct refused cases[] = {
    /* taken */
    CASE(0, G H "\r\n"),
    CASE(0, "GET / HTTP/1.0\r\n" H "\r\n"),
    CASE(0, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
    CASE(0, "DELETE /a%2Fb?x=y&z HTTP/1.1\r\n" H "\r\n"),
    CASE(0, G "hOsT:a\r\nEmpty:\r\nTab:\t a b \t\r\n\r\n"),
    CASE(0, G "Host: a:80\r\n\r\n"),
    CASE(0, G "Host: [::1]:80\r\n\r\n"),
    CASE(0, P "Content-Length: 3\r\n\r\nabc"),
    CASE(0, P "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n"),
    CASE(0, P "Content-Length: 0\r\n\r\n"),
    CASE(0, CHUNKED "3\r\nabc\r\n0\r\n\r\n"),
    CASE(0, CHUNKED "3\r\nabc\r\n00a\r\n0123456789\r\n000\r\nTrailer: x\r\nAuthorization: no\r\n\r\n"),
    CASE(0, P "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
    CASE(0, P "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"),
    CASE(0, G H "Connection: keep-alive, authorization\r\n\r\n"),
    /* more is needed */
    CASE(-1, ""),
    CASE(-1, G H),
    CASE(-1, P "Content-Length: 3\r\n\r\nab"),
    CASE(-1, CHUNKED "3\r\nabc\r\n0\r\n"),
    CASE(-1, CHUNKED "ffffffff"),
    /* framing: 67, 68 */
    CASE(400, P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
    CASE(400, P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    CASE(400, P "Content-Length: +5\r\n\r\n"),
    CASE(400, P "Content-Length: 0x5\r\n\r\n"),
    CASE(400, P "Content-Length: 5,5\r\n\r\n"),
    CASE(400, P "Content-Length: 010\r\n\r\n"),
    CASE(400, P "Content-Length:\r\n\r\n"),
    CASE(400, P "Content-Length: -1\r\n\r\n"),
    CASE(400, P "Content-Length: 18446744073709551616\r\n\r\n"),
    CASE(400, P "Content-Length: 1 1\r\n\r\n"),
    CASE(413, P "Content-Length: 1001\r\n\r\n"),
    CASE(413, P "Content-Length: 18446744073709551615\r\n\r\n"),
    CASE(501, P "Transfer-Encoding: ,chunked\r\n\r\n"),
    CASE(501, P "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    CASE(501, P "Transfer-Encoding: xchunked\r\n\r\n"),
    CASE(501, P "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    CASE(501, P "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    CASE(501, P "Transfer-Encoding: identity\r\n\r\n"),
    CASE(501, P "Transfer-Encoding:\r\n\r\n"),
    CASE(400, P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, P "Transfer-Encoding : chunked\r\n\r\n"),
    CASE(400, P "Transfer-Encoding\t: chunked\r\n\r\n"),
    CASE(400, P "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
    /* chunks: 69 */
    CASE(400, CHUNKED "0x5\r\nabcde\r\n0\r\n\r\n"),
    CASE(400, CHUNKED "5 ;a\r\nabcde\r\n0\r\n\r\n"),
    CASE(400, CHUNKED "5;a\r\nabcde\r\n0\r\n\r\n"),
    CASE(400, CHUNKED "5\nabcde\r\n0\r\n\r\n"),
    CASE(400, CHUNKED "5\r\nabcde\n0\r\n\r\n"),
    CASE(400, CHUNKED "5\r\nabcdef\r\n0\r\n\r\n"),
    CASE(400, CHUNKED "5\rabcde\r\n"),
    CASE(400, CHUNKED "\r\n"),
    CASE(400, CHUNKED "-1\r\n"),
    CASE(400, CHUNKED "g\r\n"),
    CASE(400, CHUNKED "00000000000000001\r\n"),
    CASE(413, CHUNKED "ffffffffffffffff\r\n"),
    CASE(-1, CHUNKED "3e8\r\n"),
    CASE(413, CHUNKED "3e9\r\n"),
    CASE(413, CHUNKED "1\r\nx\r\n3e8\r\n"),
    CASE(400, CHUNKED "0\r\nbad trailer\r\n\r\n"),
    CASE(400, CHUNKED "0\r\n folded: x\r\n\r\n"),
    CASE(400, CHUNKED "0\r\nx: \x01\r\n\r\n"),
    CASE(400, CHUNKED "0\r\n\n"),
    /* headers: 70 */
    CASE(400, G H ": x\r\n\r\n"),
    CASE(400, G H "x : y\r\n\r\n"),
    CASE(400, G H "x y: z\r\n\r\n"),
    CASE(400, G H "x\r\n\r\n"),
    CASE(400, G H "x: a\r\n b\r\n\r\n"),
    CASE(400, G " Host: a\r\n\r\n"),
    CASE(400, G H "x: a\0b\r\n\r\n"),
    CASE(400, G H "x: a\rb\r\n\r\n"),
    CASE(400, G H "x: \x80\r\n\r\n"),
    CASE(400, G H "\xc3\xa4: x\r\n\r\n"),
    CASE(400, G H "x: a\n\r\n"),
    CASE(400, G H "\n"),
    CASE(400, G "\r\n"),
    CASE(400, G H H "\r\n"),
    CASE(400, G "Host: a, b\r\n\r\n"),
    CASE(400, G "Host: u@a\r\n\r\n"),
    CASE(400, G "Host: a#b\r\n\r\n"),
    CASE(400, G "Host: a/b\r\n\r\n"),
    CASE(400, G "Host: a:b\r\n\r\n"),
    CASE(400, G "Host: a:\r\n\r\n"),
    CASE(400, G "Host: a:123456\r\n\r\n"),
    CASE(400, G "Host:\r\n\r\n"),
    CASE(400, G "Host: []\r\n\r\n"),
    CASE(400, G "Host: [::1\r\n\r\n"),
    CASE(400, G "Host: [::1]x\r\n\r\n"),
    /* the request line: 71, 72 */
    CASE(400, "get / HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET  / HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET /  HTTP/1.1\r\n" H "\r\n"),
    CASE(400, " GET / HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "\r\nGET / HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET /\r\n"),
    CASE(400, "GET / \r\n"),
    CASE(400, "GET / HTTP/1.1 \r\n"),
    CASE(400, "GET / HTTP/11\r\n"),
    CASE(400, "GET / http/1.1\r\n"),
    CASE(400, "GET\r\n"),
    CASE(400, "GET / HTTP/1.1\n" H "\r\n"),
    CASE(505, "GET / HTTP/1.2\r\n" H "\r\n"),
    CASE(505, "GET / HTTP/0.9\r\n" H "\r\n"),
    CASE(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    CASE(400, "GET http://a/ HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET a:443 HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET * HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET /a#b HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET /\0 HTTP/1.1\r\n" H "\r\n"),
    CASE(400, "GET /a\tb HTTP/1.1\r\n" H "\r\n"),
    CASE(405, "CONNECT a:443 HTTP/1.1\r\n" H "\r\n"),
    CASE(405, "TRACE / HTTP/1.1\r\n" H "\r\n"),
    CASE(501, "ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" H "\r\n"),
    CASE(400, G H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    CASE(400, G H "Upgrade: h2c\r\n\r\n"),
    CASE(400, G H "HTTP2-Settings: AAMAAABk\r\n\r\n"),
    CASE(417, P "Expect: x\r\nContent-Length: 1\r\n\r\n"),
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct result *result = run(cases[i].bytes, cases[i].length);
        enum http1_result expected = cases[i].status == 0    ? HTTP1_DONE
                                     : cases[i].status == -1 ? HTTP1_PARTIAL
                                                             : HTTP1_BAD;
        if (result->result != expected || (expected == HTTP1_BAD && result->status != cases[i].status))
            fail_msg("case %zu: result %d status %d (%s), expected %d: %.80s", i, result->result, result->status,
                     result->reason != NULL ? result->reason : "", cases[i].status, cases[i].bytes);
        assert_true(result->result != HTTP1_BAD || result->reason != NULL);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    static const char text[] = CHUNKED "3\r\nabc\r\n00a\r\n0123456789\r\n0\r\nx: y\r\n\r\nNEXT";
    const struct result *result = run(text, sizeof text - 1);
    assert_int_equal(result->body_bytes, 13);
    assert_memory_equal(result->body, "abc0123456789", 13);
    assert_int_equal(result->taken, sizeof text - 1 - 4);
    static const char sized[] = P "Content-Length: 3\r\n\r\nabcNEXT";
    result = run(sized, sizeof sized - 1);
    assert_int_equal(result->body_bytes, 3);
    assert_int_equal(result->taken, sizeof sized - 1 - 4);
}

static void test_fields(void **state)
{
    (void)state;
    char text[] = "PUT /a/b?c?d HTTP/1.1\r\nHOST: x.test:8787\r\nX-Two: \t b c \r\nconnection: Close\r\nExpect: "
                  "100-continue\r\nContent-Length: 2\r\n\r\n";
    struct http1_head head;
    http1_head_init(&head);
    assert_int_equal(http1_head_parse(&head, text, sizeof text - 1), HTTP1_DONE);
    assert_true(mf_span_is(http1_piece_span(head.method, text), "PUT"));
    assert_true(mf_span_is(http1_piece_span(head.target, text), "/a/b?c?d"));
    assert_true(mf_span_is(http1_piece_span(head.path, text), "/a/b"));
    assert_true(mf_span_is(http1_piece_span(head.query, text), "c?d"));
    assert_int_equal(head.header_count, 5);
    assert_true(mf_span_is(http1_piece_span(head.names[0], text), "host"));
    assert_true(mf_span_is(http1_piece_span(head.names[1], text), "x-two"));
    assert_true(mf_span_is(http1_piece_span(head.values[1], text), "b c"));
    assert_false(head.keep_alive);
    assert_true(head.expect_continue);
    assert_int_equal(head.content_length, 2);
    assert_int_equal(head.head_bytes, sizeof text - 1);
}

/* A limit is passed at the same byte for every split; one byte less is taken. */
static void check_limit(const char *before, char fill, size_t count, const char *after, int status)
{
    size_t length = strlen(before) + count + strlen(after);
    char *text = malloc(length + 1);
    assert_non_null(text);
    memcpy(text, before, strlen(before));
    memset(text + strlen(before), fill, count);
    memcpy(text + strlen(before) + count, after, strlen(after) + 1);
    const struct result *result = run(text, length);
    if (result->status != status || (status == 0) != (result->result == HTTP1_DONE))
        fail_msg("%s... %zu: %d '%s'", before, count, result->status, result->reason != NULL ? result->reason : "");
    free(text);
}

static void test_limits(void **state)
{
    (void)state;
    check_limit("GET /", 'a', HTTP1_TARGET_BYTES_MAX - 1, " HTTP/1.1\r\n" H "\r\n", 0);
    check_limit("GET /", 'a', HTTP1_TARGET_BYTES_MAX, " HTTP/1.1\r\n" H "\r\n", 414);
    check_limit("GET /", 'a', 9 * 1024, " HTTP/1.1\r\n" H "\r\n", 414);
    check_limit("GET /", 'a', 100000, "", 414);
    check_limit(G H "x:", 'a', HTTP1_LINE_BYTES_MAX - 4, "\r\n\r\n", 0);
    check_limit(G H "x:", 'a', HTTP1_LINE_BYTES_MAX - 3, "\r\n\r\n", 431);
    check_limit(G H "x:", 'a', 64 * 1024, "\r\n\r\n", 431);
    check_limit(CHUNKED "0\r\nx:", 'a', 8000, "\r\n\r\n", 0);
    check_limit(CHUNKED "0\r\nx:", 'a', 9000, "\r\n\r\n", 431);
}

static void check_headers(size_t count, size_t value_bytes, int status)
{
    char *text = malloc(INPUT_MAX);
    assert_non_null(text);
    size_t length = (size_t)snprintf(text, INPUT_MAX, G H);
    for (size_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, INPUT_MAX - length, "x: %0*d\r\n", (int)value_bytes, 1);
    length += (size_t)snprintf(text + length, INPUT_MAX - length, "\r\n");
    const struct result *result = run(text, length);
    assert_int_equal(result->status, status);
    assert_int_equal(result->result, status == 0 ? HTTP1_DONE : HTTP1_BAD);
    free(text);
}

static void test_header_counts(void **state)
{
    (void)state;
    check_headers(HTTP1_HEADERS_MAX - 1, 3, 0); /* and the host */
    check_headers(HTTP1_HEADERS_MAX, 3, 431);
    check_headers(6, 10000, 0);
    check_headers(7, 10000, 431);
}

/* Random texts over the bytes that matter: whatever the verdict is, it is the same for every cut; no read out of
 * bounds. */
static void test_random(void **state)
{
    (void)state;
    static const char *const parts[] = {"GET",
                                        " ",
                                        "/",
                                        "HTTP/1.1",
                                        "\r\n",
                                        "\r",
                                        "\n",
                                        "Host: a",
                                        "Content-Length: ",
                                        "3",
                                        "Transfer-Encoding: chunked",
                                        "0",
                                        "abc",
                                        ":",
                                        "\t",
                                        "x",
                                        "\x80",
                                        "Expect: 100-continue",
                                        "a\r\n",
                                        ";"};
    struct mf_rng rng;
    mf_rng_seed(&rng, 42);
    for (int round = 0; round < 3000; round++) {
        char text[400];
        size_t length = 0;
        if (round % 2 == 0)
            length = (size_t)snprintf(text, sizeof text, round % 4 == 0 ? P : CHUNKED);
        for (uint64_t count = mf_rng_below(&rng, 12); count > 0; count--) {
            const char *part = parts[mf_rng_below(&rng, sizeof parts / sizeof parts[0])];
            memcpy(text + length, part, strlen(part));
            length += strlen(part);
        }
        run(text, length);
    }
}

static void test_writer(void **state)
{
    (void)state;
    struct mf_buf out;
    mf_buf_init(&out, 1000);
    http1_write_status(&out, 404);
    http1_write_header(&out, MF_SPAN("x"), MF_SPAN("y z"));
    http1_write_length(&out, 18446744073709551615u);
    http1_write_end(&out);
    assert_false(out.failed);
    assert_string_equal(mf_buf_cstr(&out),
                        "HTTP/1.1 404 Not Found\r\nx: y z\r\ncontent-length: 18446744073709551615\r\n\r\n");
    mf_buf_clear(&out);
    http1_write_length(&out, 0);
    assert_string_equal(mf_buf_cstr(&out), "content-length: 0\r\n");
    static const struct mf_span bad[] = {{"a\r\nb", 4}, {"a\nb", 3}, {"a\0b", 3}, {"\x7f", 1}, {"\x1b[0m", 4}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mf_buf_clear(&out);
        assert_int_equal(http1_write_header(&out, MF_SPAN("x"), bad[i]), -1);
        assert_true(out.failed);
        assert_int_equal(out.length, 0);
        mf_buf_clear(&out);
        assert_int_equal(http1_write_header(&out, bad[i], MF_SPAN("x")), -1);
    }
    mf_buf_clear(&out);
    assert_int_equal(http1_write_status(&out, 1000), -1);
    mf_buf_free(&out);
    assert_string_equal(http1_reason(299), "Unknown");
    assert_false(http1_has_body(204));
    assert_true(http1_has_body(200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_bodies),        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_header_counts), cmocka_unit_test(test_random),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
