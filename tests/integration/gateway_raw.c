/*
 * gateway_raw.c - the gateway's front with raw bytes: smuggling, spellings, tokens, headers, and what of it reaches the upstream
 *
 * One table: the bytes, the statuses that may come back, whether anything may arrive upstream. Each case runs whole, byte by
 * byte, and cut at many points, with the same result. In the bytes $H is a good host line, $A the token's line, $T the token,
 * $B the path of the lease's account.
 */
#include "lib/gateway_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE "/client/v4/accounts/" WORLD_ACCOUNT
#define G "GET $B/things HTTP/1.1\r\n$H$A"
#define P "POST $B/echo HTTP/1.1\r\n$H$A"
#define NONE (-1)

static struct world *world;
static uint16_t port, other_port;
static char token[GATEWAY_TOKEN_BYTES], other_token[GATEWAY_TOKEN_BYTES], dead_token[GATEWAY_TOKEN_BYTES];
static struct world_answer answer;

static const struct raw_case {
    const char *name, *bytes;
    int status, or_status;
    uint32_t upstream; /* requests that arrive */
    int anomaly;       /* NONE, or the kind */
} cases[] = {
    {"67 both lengths", P "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0, 0,
     WATCH_MALFORMED},
    {"67 two same lengths", P "content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400, 0, 0, WATCH_MALFORMED},
    {"67 two lengths", P "content-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400, 0, 0, WATCH_MALFORMED},
    {"67 plus", P "content-length: +5\r\n\r\nabcde", 400, 0, 0, WATCH_MALFORMED},
    {"67 hex", P "content-length: 0x5\r\n\r\nabcde", 400, 0, 0, WATCH_MALFORMED},
    {"67 list", P "content-length: 5,5\r\n\r\nabcde", 400, 0, 0, WATCH_MALFORMED},
    {"67 octal", P "content-length: 010\r\n\r\nabcdefgh", 400, 0, 0, WATCH_MALFORMED},
    {"67 empty", P "content-length: \r\n\r\n", 400, 0, 0, WATCH_MALFORMED},
    {"67 minus", P "content-length: -1\r\n\r\n", 400, 0, 0, WATCH_MALFORMED},
    {"67 2^64", P "content-length: 18446744073709551616\r\n\r\n", 400, 413, 0, WATCH_MALFORMED},
    {"68 ,chunked", P "transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n", 400, 501, 0, NONE},
    {"68 twice", P "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, 501, 0, NONE},
    {"68 xchunked", P "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400, 501, 0, NONE},
    {"68 parameter", P "transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, 501, 0, NONE},
    {"68 tab before colon", P "transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, 0, 0, NONE},
    {"68 two headers", P "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, 501, 0,
     NONE},
    {"68 HTTP/1.0",
     "POST $B/echo HTTP/1.0\r\n$H$A"
     "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
     400, 501, 0, NONE},
    {"69 size 0x5", P "transfer-encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400, 0, 0, NONE},
    {"69 extension", P "transfer-encoding: chunked\r\n\r\n5 ;a\r\nabcde\r\n0\r\n\r\n", 400, 0, 0, NONE},
    {"69 bare lf", P "transfer-encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n", 400, 0, 0, NONE},
    {"69 17 digits", P "transfer-encoding: chunked\r\n\r\n00000000000000005\r\nabcde\r\n0\r\n\r\n", 400, 413, 0, NONE},
    {"69 wrong end", P "transfer-encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n", 400, 0, 0, NONE},
    {"69 trailer", P "transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nauthorization: Bearer x\r\n\r\n", 200, 0, 1,
     NONE},
    {"70 empty name", G ": x\r\n\r\n", 400, 0, 0, NONE},
    {"70 space before colon", G "accept : x\r\n\r\n", 400, 0, 0, NONE},
    {"70 fold", G "accept: x\r\n y\r\n\r\n", 400, 0, 0, NONE},
    {"70 bare cr", G "accept: x\ry\r\n\r\n", 400, 0, 0, NONE},
    {"70 0x80", G "accept: x\x80\r\n\r\n", 400, 0, 0, NONE},
    {"70 no host", "GET $B/things HTTP/1.1\r\n$A\r\n", 400, 0, 0, NONE},
    {"70 two hosts", G "host: 127.0.0.1\r\n\r\n", 400, 0, 0, NONE},
    {"70 host list", "GET $B/things HTTP/1.1\r\nhost: a, b\r\n$A\r\n", 400, 421, 0, NONE},
    {"70 host userinfo", "GET $B/things HTTP/1.1\r\nhost: a@127.0.0.1:$P\r\n$A\r\n", 400, 421, 0, NONE},
    {"70 host hash", "GET $B/things HTTP/1.1\r\nhost: 127.0.0.1:$P#x\r\n$A\r\n", 400, 421, 0, NONE},
    {"70 wrong host", "GET $B/things HTTP/1.1\r\nhost: evil.test\r\n$A\r\n", 421, 0, 0, WATCH_MALFORMED},
    {"70 wrong port", "GET $B/things HTTP/1.1\r\nhost: 127.0.0.1:1\r\n$A\r\n", 421, 0, 0, WATCH_MALFORMED},
    {"70 localhost", "GET $B/things HTTP/1.1\r\nhost: LocalHost:$P\r\n$A\r\n", 200, 0, 1, NONE},
    {"71 lower-case method", "get $B/things HTTP/1.1\r\n$H$A\r\n", 400, 501, 0, NONE},
    {"71 two spaces", "GET  $B/things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"71 HTTP/0.9", "GET $B/things\r\n\r\n", 400, 505, 0, NONE},
    {"71 HTTP/1.2", "GET $B/things HTTP/1.2\r\n$H$A\r\n", 505, 400, 0, NONE},
    {"71 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 400, 0, NONE},
    {"71 absolute", "GET http://169.254.169.254/ HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"71 authority", "GET example.com:443 HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"71 star", "GET * HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"71 options star", "OPTIONS * HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"71 fragment", "GET $B/things#x HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"71 raw utf-8", "GET $B/things/\xc3\xa9 HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"72 connect", "CONNECT 127.0.0.1:443 HTTP/1.1\r\n$H$A\r\n", 405, 0, 0, NONE},
    {"72 trace", "TRACE $B/things HTTP/1.1\r\n$H$A\r\n", 405, 0, 0, NONE},
    {"72 upgrade", G "connection: upgrade\r\nupgrade: websocket\r\n\r\n", 400, 0, 0, NONE},
    {"72 h2c", G "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n", 400, 0, 0, NONE},
    {"72 expect", P "expect: x\r\ncontent-length: 1\r\n\r\na", 417, 0, 0, NONE},
    {"73 dots", "GET $B/x/../things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 encoded dots", "GET $B/x/%2e%2e/things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 double slash", "GET $B//things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 slash at front", "GET /$B/things HTTP/1.1\r\n$H$A\r\n", 400, 403, 0, NONE},
    {"73 %2f", "GET $B%2fthings HTTP/1.1\r\n$H$A\r\n", 400, 403, 0, NONE},
    {"73 %2f in a name", "GET $B/things/a%2fb HTTP/1.1\r\n$H$A\r\n", 200, 0, 1, NONE},
    {"73 %5c", "GET $B%5cthings HTTP/1.1\r\n$H$A\r\n", 400, 403, 0, NONE},
    {"73 twice", "GET $B/%252e%252e/things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 overlong", "GET $B/%c0%ae/things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 parameter", "GET $B/things;x HTTP/1.1\r\n$H$A\r\n", 400, 403, 0, NONE},
    {"73 backslash", "GET $B/x\\things HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"73 capital", "GET $B/Things HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, WATCH_OUTSIDE},
    {"73 unreserved escape", "GET $B/%74hings HTTP/1.1\r\n$H$A\r\n", 200, 0, 1, NONE},
    {"73 trailing slash", "GET $B/things/ HTTP/1.1\r\n$H$A\r\n", 400, 403, 0, NONE},
    {"73 trailing dot", "GET $B/things. HTTP/1.1\r\n$H$A\r\n", 403, 400, 0, NONE},
    {"73 nul", "GET $B/things/%00 HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 crlf", "GET $B/things/%0d%0ax:%20y HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, WATCH_TRICK},
    {"73 query with question", "GET $B/things?a=?b HTTP/1.1\r\n$H$A\r\n", 200, 0, 1, NONE},
    {"73 not below the base", "GET /accounts/" WORLD_ACCOUNT "/things HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, WATCH_OUTSIDE},
    {"73 base as a prefix", "GET /client/v44/accounts/" WORLD_ACCOUNT "/things HTTP/1.1\r\n$H$A\r\n", 403, 0, 0,
     WATCH_OUTSIDE},
    {"74 bad escape in query", "GET $B/things?a=%zz HTTP/1.1\r\n$H$A\r\n", 400, 0, 0, NONE},
    {"76 twice", G "authorization: Bearer $T\r\n\r\n", 401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 twice, one other", G "authorization: Basic eDp5\r\n\r\n", 401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 lower-case scheme",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: bearer $T\r\n\r\n",
     200, 0, 1, NONE},
    {"76 other scheme",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Basic $T\r\n\r\n",
     401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 query", "GET $B/things?token=$T HTTP/1.1\r\n$H\r\n", 401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 query too", "GET $B/things?token=$T HTTP/1.1\r\n$H$A\r\n", 401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 path", "GET $B/things/$T HTTP/1.1\r\n$H$A\r\n", 401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 cookie",
     "GET $B/things HTTP/1.1\r\n$H"
     "cookie: t=$T\r\n\r\n",
     401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 proxy-authorization",
     "GET $B/things HTTP/1.1\r\n$H"
     "proxy-authorization: Bearer $T\r\n\r\n",
     401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 x-api-key",
     "GET $B/things HTTP/1.1\r\n$H"
     "x-api-key: $T\r\n\r\n",
     401, 0, 0, WATCH_TOKEN_PLACE},
    {"76 none", "GET $B/things HTTP/1.1\r\n$H\r\n", 401, 0, 0, WATCH_UNKNOWN_TOKEN},
    {"77 connection", G "connection: authorization, x-api-key, host, content-length\r\n\r\n", 200, 400, 1, NONE},
    {"78 override", P "x-http-method-override: DELETE\r\ncontent-length: 0\r\n\r\n", 400, 0, 0, WATCH_TRICK},
    {"78 original url", G "x-original-url: /admin\r\n\r\n", 400, 0, 0, WATCH_TRICK},
    {"79 foreign token",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Bearer $O\r\n\r\n",
     401, 0, 0, WATCH_FOREIGN_TOKEN},
    {"79 dead token",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Bearer $D\r\n\r\n",
     401, 0, 0, WATCH_REPLAY},
    {"79 prefix",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Bearer mfy_\r\n\r\n",
     401, 0, 0, WATCH_UNKNOWN_TOKEN},
    {"79 empty",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Bearer \r\n\r\n",
     401, 0, 0, WATCH_UNKNOWN_TOKEN},
    {"79 one more",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Bearer $Tx\r\n\r\n",
     401, 0, 0, WATCH_UNKNOWN_TOKEN},
    {"79 the real one",
     "GET $B/things HTTP/1.1\r\n$H"
     "authorization: Bearer " WORLD_SECRET "\r\n\r\n",
     401, 0, 0, WATCH_UNKNOWN_TOKEN},
    {"80 another account", "GET /client/v4/accounts/ffffffffffffffffffffffffffffffff/things HTTP/1.1\r\n$H$A\r\n", 403,
     0, 0, WATCH_FOREIGN_ACCOUNT},
    {"83 1 GiB", P "content-length: 1073741824\r\n\r\n", 413, 0, 0, NONE},
    {"89 origin", G "origin: http://evil.test\r\n\r\n", 403, 0, 0, WATCH_MALFORMED},
    {"89 referer", G "referer: http://127.0.0.1/\r\n\r\n", 403, 0, 0, WATCH_MALFORMED},
    {"89 preflight",
     "OPTIONS $B/things HTTP/1.1\r\n$H"
     "origin: http://evil.test\r\n\r\n",
     403, 0, 0, NONE},
    {"89 cross-site", G "sec-fetch-site: cross-site\r\n\r\n", 403, 0, 0, WATCH_MALFORMED},
    {"89 node's fetch", G "sec-fetch-mode: cors\r\n\r\n", 200, 0, 1, NONE},
    {"92 second after an error", "GET  x\r\n\r\n" G "\r\n", 400, 0, 0, NONE},
    {"93 verb", "DELETE $B/things HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, WATCH_OUTSIDE},
    {"93 not granted", "DELETE $B HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, WATCH_OUTSIDE},
    {"93 longer name", "GET $B/things2 HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, WATCH_OUTSIDE},
    {"93 options", "OPTIONS $B/things HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, WATCH_OUTSIDE},
    {"benign", "GET /client/v4/user HTTP/1.1\r\n$H$A\r\n", 403, 0, 0, NONE},
    {"allowed", G "\r\n", 200, 0, 1, NONE},
    {"allowed with a body", P "content-length: 5\r\n\r\nabcde", 200, 0, 1, NONE},
    {"allowed in chunks", P "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, 0, 1, NONE},
};

static size_t expand(const char *bytes, char *out, size_t out_bytes)
{
    size_t length = 0;
    for (; *bytes != '\0'; bytes++) {
        char room[64];
        const char *put = NULL;
        if (*bytes == '$') {
            switch (bytes[1]) {
            case 'H':
                snprintf(room, sizeof room, "host: 127.0.0.1:%u\r\n", port);
                put = room;
                break;
            case 'P':
                snprintf(room, sizeof room, "%u", port);
                put = room;
                break;
            case 'A':
                length += (size_t)snprintf(out + length, out_bytes - length, "authorization: Bearer %s\r\n", token);
                put = "";
                break;
            case 'T':
                put = token;
                break;
            case 'O':
                put = other_token;
                break;
            case 'D':
                put = dead_token;
                break;
            case 'B':
                put = BASE;
                break;
            }
        }
        if (put == NULL) {
            out[length++] = *bytes;
            continue;
        }
        length += (size_t)snprintf(out + length, out_bytes - length, "%s", put);
        bytes++;
    }
    return length;
}

/* Sends the bytes in pieces: `cut` 0: at once; 1..: in two pieces; -1: byte by byte. */
static void run_bytes(const struct raw_case *test, const char *bytes, size_t length, long cut)
{
    uint32_t before = atomic_load(&world->seen_count);
    int fd = world_connect(port);
    if (cut < 0) {
        for (size_t i = 0; i < length; i++)
            world_send(fd, bytes + i, 1);
    } else {
        world_send(fd, bytes, (size_t)cut);
        if (cut > 0)
            usleep(500);
        world_send(fd, bytes + cut, length - (size_t)cut);
    }
    int status = world_read(fd, &answer);
    if (status != test->status && (test->or_status == 0 || status != test->or_status))
        fail_msg("%s (cut %ld): status %d, head %s", test->name, cut, status, answer.head);
    if (status >= 400) {
        char byte;
        if (recv(fd, &byte, 1, 0) > 0)
            fail_msg("%s (cut %ld): something follows the refusal", test->name, cut);
        assert_non_null(strstr(answer.head, "connection: close"));
    }
    close(fd);
    uint32_t arrived = atomic_load(&world->seen_count) - before;
    if (status >= 400 && arrived != 0)
        fail_msg("%s (cut %ld): refused, and %u requests arrived", test->name, cut, arrived);
    if (status == 200 && arrived != test->upstream)
        fail_msg("%s (cut %ld): %u requests arrived", test->name, cut, arrived);
}

static void raw_cases(void **state)
{
    (void)state;
    static char bytes[32768];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = expand(cases[i].bytes, bytes, sizeof bytes);
        run_bytes(&cases[i], bytes, length, 0);
        if (cases[i].anomaly == NONE)
            continue;
        if (atomic_load(&world->anomalies[cases[i].anomaly]) == 0)
            fail_msg("%s: no anomaly %s", cases[i].name, watch_name((enum watch_kind)cases[i].anomaly));
        assert_int_equal(atomic_load(&world->anomaly_stage), 1);
    }
}

static void cut_anywhere(void **state)
{
    (void)state;
    static char bytes[32768];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = expand(cases[i].bytes, bytes, sizeof bytes);
        run_bytes(&cases[i], bytes, length, -1);
        bool slow = cases[i].status == 401;
        for (size_t cut = 1; cut < length; cut += slow ? 41 : i % 7 + 3)
            run_bytes(&cases[i], bytes, length, (long)cut);
    }
    /* every point of one that has everything */
    size_t last = sizeof cases / sizeof cases[0] - 1;
    size_t length = expand(cases[last].bytes, bytes, sizeof bytes);
    for (size_t cut = 1; cut < length; cut++)
        run_bytes(&cases[last], bytes, length, (long)cut);
}

static void straight(void **state)
{
    (void)state;
    char value[256];
    uint32_t before = atomic_load(&world->seen_count);
    assert_int_equal(world_ask(port, "GET", BASE "/things?page=2&page=3", token,
                               "accept: text/plain\r\nx-custom: a\r\n", NULL, &answer),
                     200);
    assert_string_equal(answer.body, "fine");
    assert_int_equal(atomic_load(&world->seen_count), before + 1);
    const struct world_seen *seen = world_last(world);
    const char *line = "GET " BASE "/things?page=2&page=3 HTTP/1.1\r\n";
    assert_memory_equal(seen->head, line, strlen(line));
    assert_string_equal(world_header(seen->head, "authorization", value, sizeof value), "Bearer " WORLD_SECRET);
    assert_string_equal(world_header(seen->head, "x-custom", value, sizeof value), "a");
    assert_null(strstr(seen->head, token));
}

/* What was matched is what goes upstream. */
static void same_path(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *seen;
    } paths[] = {
        {BASE "/%74hings", BASE "/things"},
        {BASE "/things/a%2fb", BASE "/things/a%2Fb"},
        {BASE "/things/%41%7e", BASE "/things/A~"},
        {"/client/v%34/accounts/" WORLD_ACCOUNT "/things", BASE "/things"},
        {BASE "/things/a%20b?q=%2F", BASE "/things/a%20b?q=%2F"},
        {BASE "/things?", BASE "/things"},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char line[512];
        assert_int_equal(world_ask(port, "GET", paths[i].sent, token, NULL, NULL, &answer), 200);
        snprintf(line, sizeof line, "GET %s HTTP/1.1\r\n", paths[i].seen);
        if (strncmp(world_last(world)->head, line, strlen(line)) != 0)
            fail_msg("%s arrived as %.100s", paths[i].sent, world_last(world)->head);
    }
}

static void headers_rebuilt(void **state)
{
    (void)state;
    static const char *const dropped[] = {
        "x-forwarded-for", "forwarded",           "via", "cookie",     "x-api-key", "sec-fetch-mode", "x-real-ip",
        "accept-encoding", "proxy-authorization", "te",  "keep-alive", "x-unknown", "connection",     "host-x"};
    char value[256];
    assert_int_equal(
        world_ask(
            port, "GET", BASE "/things", token,
            "x-forwarded-for: 1\r\nforwarded: for=1\r\nvia: 1.1 a\r\ncookie: a=b\r\nx-api-key: "
            "other\r\nsec-fetch-mode: cors\r\n"
            "x-real-ip: 1\r\naccept-encoding: gzip\r\nproxy-authorization: Basic eDp5\r\nte: trailers\r\nkeep-alive: "
            "5\r\n"
            "x-unknown: 1\r\nconnection: keep-alive, authorization\r\nif-match: \"a\"\r\nuser-agent: client/1\r\n",
            NULL, &answer),
        200);
    const char *head = world_last(world)->head;
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
        if (world_header(head, dropped[i], value, sizeof value) != NULL)
            fail_msg("%s arrived: %s", dropped[i], head);
    assert_string_equal(world_header(head, "authorization", value, sizeof value), "Bearer " WORLD_SECRET);
    assert_string_equal(world_header(head, "if-match", value, sizeof value), "\"a\"");
    assert_string_equal(world_header(head, "user-agent", value, sizeof value), "client/1");
    assert_int_equal(world_count(head, "uthorization"), 1);
    assert_non_null(strstr(world_header(head, "host", value, sizeof value), "127.0.0.1"));
}

static void long_lines(void **state)
{
    (void)state;
    static char line[80000];
    memset(line, 'a', sizeof line - 1);
    static const struct {
        size_t target, header;
        int status, or_status;
    } table[] = {{9000, 0, 414, 414}, {0, 65536, 431, 431}, {0, 20000, 431, 431}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t before = atomic_load(&world->seen_count);
        int fd = world_connect(port);
        world_text(fd, "GET /client/v4/");
        world_send(fd, line, table[i].target);
        world_text(fd, " HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nx: ", port);
        world_send(fd, line, table[i].header);
        world_text(fd, "\r\n\r\n");
        int status = world_read(fd, &answer);
        if (status != table[i].status)
            fail_msg("case %zu: %d", i, status);
        close(fd);
        assert_int_equal(atomic_load(&world->seen_count), before);
    }
    int fd = world_connect(port);
    world_text(fd, "GET /client/v4/ HTTP/1.1\r\nhost: 127.0.0.1:%u\r\n", port);
    for (int i = 0; i < 101; i++)
        world_text(fd, "x-%d: 1\r\n", i);
    world_text(fd, "\r\n");
    assert_int_equal(world_read(fd, &answer), 431);
    close(fd);
    fd = world_connect(port); /* a token of a megabyte */
    world_text(fd, "GET %s/things HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nauthorization: Bearer ", BASE, port);
    for (int i = 0; i < 16; i++)
        world_send(fd, line, 65536);
    int status = world_read(fd, &answer);
    assert_true(status == 431 || status == 0); /* 0: reset while still sending */
    close(fd);
}

/* 100 is said only when the request may pass. */
static void continue_after_permission(void **state)
{
    (void)state;
    struct world_answer first;
    int fd = world_connect(port);
    world_text(fd,
               "POST %s/echo HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nauthorization: Bearer %s\r\nexpect: "
               "100-continue\r\ncontent-length: 5\r\n\r\n",
               BASE, port, token);
    assert_int_equal(world_read(fd, &first), 100);
    world_text(fd, "abcde");
    assert_int_equal(world_read(fd, &answer), 200);
    assert_string_equal(answer.body, "abcde");
    close(fd);
    fd = world_connect(port);
    world_text(fd,
               "POST %s/forbidden HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nauthorization: Bearer %s\r\nexpect: "
               "100-continue\r\ncontent-length: 5\r\n\r\n",
               BASE, port, token);
    assert_int_equal(world_read(fd, &answer), 403);
    close(fd);
}

/* One after the other, also when they come in one segment. */
static void two_in_one_segment(void **state)
{
    (void)state;
    static char bytes[8192];
    uint32_t before = atomic_load(&world->seen_count);
    size_t length = expand(P "content-length: 3\r\n\r\nabc" G "\r\n", bytes, sizeof bytes);
    int fd = world_connect(port);
    char got[8192] = "";
    size_t at = 0;
    world_send(fd, bytes, length);
    while (at < sizeof got - 1) {
        ssize_t some = recv(fd, got + at, sizeof got - 1 - at, 0);
        if (some <= 0)
            break;
        at += (size_t)some;
        got[at] = '\0';
        if (world_count(got, "HTTP/1.1 200") == 2 && strstr(got, "\r\n\r\nfine") != NULL)
            break;
    }
    close(fd);
    assert_int_equal(world_count(got, "HTTP/1.1 200"), 2);
    assert_non_null(strstr(got, "\r\n\r\nabcHTTP/1.1 200"));
    assert_int_equal(atomic_load(&world->seen_count), before + 2);
}

/* One body and one time for every 401. */
static void one_answer_for_401(void **state)
{
    (void)state;
    static char bytes[8192], first[1024];
    int64_t least = INT64_MAX, most = 0;
    int found = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].status != 401)
            continue;
        size_t length = expand(cases[i].bytes, bytes, sizeof bytes);
        for (int round = 0; round < 3; round++) {
            int fd = world_connect(port);
            int64_t start = world_now_ms();
            world_send(fd, bytes, length);
            assert_int_equal(world_read(fd, &answer), 401);
            int64_t took = world_now_ms() - start;
            close(fd);
            least = took < least ? took : least;
            most = took > most ? took : most;
            if (found++ == 0)
                snprintf(first, sizeof first, "%.600s%.300s", answer.head, answer.body);
            char now[1024];
            snprintf(now, sizeof now, "%.600s%.300s", answer.head, answer.body);
            assert_string_equal(now, first);
        }
    }
    assert_true(found > 20);
    assert_true(least >= 45);
    assert_non_null(strstr(first, "\"success\":false"));
}

/* 87: whatever an agent writes, the record has one line for it, and only printable characters. */
static void record_forging(void **state)
{
    (void)state;
    static const char *const paths[] = {BASE "/x%0a%7b%22allowed%22:true", BASE "/x\x1b[31m", BASE "/%e2%80%a8",
                                        BASE "/%c2%9b", BASE "/\"}{"};
    char *before = world_audit(world);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        world_ask(port, "GET", paths[i], token, NULL, NULL, &answer);
    char *text = world_audit(world);
    assert_true(world_count(text, "\n") >= world_count(before, "\n") + 5);
    assert_true(mf_utf8_valid(text, strlen(text)));
    for (const char *at = text; *at != '\0'; at++)
        assert_true(*at == '\n' || ((unsigned char)*at >= 0x20 && *at != 0x7f));
    assert_null(strstr(text, "\xe2\x80\xa8"));
    assert_null(strstr(text, "\xc2\x9b"));
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_memory_equal(line, "{\"n\":", 5);
    free(text);
    free(before);
}

/* O5: what arrived is what was recorded as allowed, and each of those was answered. */
static void record_is_traffic(void **state)
{
    (void)state;
    char *text = world_audit(world);
    uint32_t allowed = world_count(text, "\"event\":\"allowed\"");
    assert_int_equal(world_count(text, "\"event\":\"answered\""), allowed);
    assert_int_equal(allowed, atomic_load(&world->seen_count) + atomic_load(&world->upstream_broken));
    assert_null(strstr(text, WORLD_SECRET));
    assert_null(strstr(text, token));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(straight),           cmocka_unit_test(raw_cases),
        cmocka_unit_test(same_path),          cmocka_unit_test(headers_rebuilt),
        cmocka_unit_test(long_lines),         cmocka_unit_test(continue_after_permission),
        cmocka_unit_test(two_in_one_segment), cmocka_unit_test(one_answer_for_401),
        cmocka_unit_test(cut_anywhere),       cmocka_unit_test(record_forging),
        cmocka_unit_test(record_is_traffic)};
    world = world_open(NULL);
    world_open_stage(world, 3, "deploy/gone", dead_token);
    world_close_stage(world, 3);
    other_port = world_open_stage(world, 2, "deploy/other", other_token);
    port = world_open_stage(world, 1, "deploy/web", token);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(world);
    return failed;
}
