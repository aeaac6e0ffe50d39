/* gateway_flow.c - streaming both ways with bounded memory, event streams, broken connections, many and slow agents */
#include "lib/gateway_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE "/client/v4/accounts/" WORLD_ACCOUNT
#define BIG (64u << 20)
#define FNV 14695981039346656037ull

/* Freed memory counts as used until the sanitizer lets go of it: not long, or memory could not be measured here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64";
}

static struct world *world;
static uint16_t port;
static char token[GATEWAY_TOKEN_BYTES];
static struct world_answer answer;

static long resident_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = atol(line + 6);
    fclose(file);
    return kib;
}

static uint64_t pattern_hash(uint64_t bytes)
{
    uint64_t hash = FNV;
    for (uint64_t i = 0; i < bytes; i++) {
        char c = (char)('a' + i * 2654435761u % 26);
        hash = world_hash(hash, &c, 1);
    }
    return hash;
}

static void ask_on(int fd, const char *method, const char *target, const char *extra)
{
    world_text(fd, "%s %s HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nauthorization: Bearer %s\r\n%s\r\n", method, target, port,
               token, extra);
}

static void big_down(void **state)
{
    (void)state;
    static const char *const forms[] = {BASE "/size/67108864", BASE "/chunked/67108864"};
    uint64_t hash = pattern_hash(BIG);
    for (int i = 0; i < 2; i++) {
        int fd = world_connect(port);
        ask_on(fd, "GET", forms[i], "");
        usleep(300000); /* nobody reads: the gateway must not take it all */
        assert_true(resident_kib() < 400 * 1024);
        long before = resident_kib();
        assert_int_equal(world_read(fd, &answer), 200);
        assert_int_equal(answer.body_bytes, BIG);
        assert_true(answer.body_hash == hash);
        assert_true(resident_kib() - before < 48 * 1024); /* far below the body, with the sanitizer's shadow */
        close(fd);
    }
}

static void big_up(void **state)
{
    (void)state;
    static char piece[65536];
    for (int chunked = 0; chunked < 2; chunked++) {
        uint64_t hash = FNV;
        long before = resident_kib();
        int fd = world_connect(port);
        char extra[64];
        snprintf(extra, sizeof extra, chunked ? "transfer-encoding: chunked\r\n" : "content-length: %u\r\n", BIG);
        ask_on(fd, "PUT", BASE "/things/big", extra);
        for (uint32_t at = 0; at < BIG; at += sizeof piece) {
            memset(piece, (int)('a' + at / sizeof piece % 26), sizeof piece);
            hash = world_hash(hash, piece, sizeof piece);
            if (chunked)
                world_text(fd, "%zx\r\n", sizeof piece);
            world_send(fd, piece, sizeof piece);
            if (chunked)
                world_text(fd, "\r\n");
        }
        if (chunked)
            world_text(fd, "0\r\n\r\n");
        assert_int_equal(world_read(fd, &answer), 200);
        close(fd);
        assert_int_equal(world_last(world)->body_bytes, BIG);
        assert_true(world_last(world)->body_hash == hash);
        assert_true(resident_kib() - before < 48 * 1024);
    }
}

/* An agent that reads as fast as it can, again and again: buffers run full and empty at every moment that there is. */
static void large_ones(void **state)
{
    (void)state;
    uint64_t hash = pattern_hash(1 << 20);
    int fd = world_connect(port);
    for (int i = 0; i < 150; i++) {
        ask_on(fd, "GET", i % 2 == 0 ? BASE "/size/1048576" : BASE "/chunked/1048576", "");
        assert_int_equal(world_read(fd, &answer), 200);
        assert_true(answer.body_hash == hash);
    }
    close(fd);
}

/* Events come one by one, not at the end. */
static void events(void **state)
{
    (void)state;
    assert_int_equal(world_ask(port, "GET", BASE "/sse/20", token, NULL, NULL, &answer), 200);
    assert_int_equal(world_count(answer.body, "data: event"), 20);
    assert_true(answer.first_ms < 200);
    assert_true(answer.duration_ms >= 300);
}

static void keep_alive(void **state)
{
    (void)state;
    uint32_t connections = atomic_load(&world->upstream_connections);
    int fd = world_connect(port);
    for (int i = 0; i < 50; i++) {
        ask_on(fd, "GET", BASE "/things", "");
        assert_int_equal(world_read(fd, &answer), 200);
        assert_string_equal(answer.body, "fine");
    }
    close(fd);
    assert_true(atomic_load(&world->upstream_connections) - connections <= 2);
}

static void head_and_empty(void **state)
{
    (void)state;
    char value[64], got[2048] = "";
    int fd = world_connect(port);
    ask_on(fd, "HEAD", BASE "/size/1234", "");
    ask_on(fd, "GET", BASE "/status/204", "connection: close\r\n");
    size_t at = 0;
    ssize_t some;
    while ((some = recv(fd, got + at, sizeof got - 1 - at, 0)) > 0)
        at += (size_t)some;
    close(fd);
    assert_string_equal(world_header(got, "content-length", value, sizeof value), "1234");
    const char *second = strstr(got, "\r\n\r\nHTTP/1.1 204");
    assert_non_null(second);
    assert_null(strstr(second, "content-length"));
}

/* The agent goes away: the upstream is let go at once, and the record says so. */
static void agent_goes(void **state)
{
    (void)state;
    uint32_t broken = atomic_load(&world->upstream_broken);
    int fd = world_connect(port);
    ask_on(fd, "GET", BASE "/hold", "");
    usleep(100000);
    close(fd);
    assert_true(world_reaches(&world->upstream_broken, broken + 1));
    fd = world_connect(port);
    ask_on(fd, "GET", BASE "/size/67108864", "");
    usleep(100000);
    close(fd);
    assert_true(world_reaches(&world->upstream_broken, broken + 2));
    fd = world_connect(port);
    ask_on(fd, "PUT", BASE "/things/x", "content-length: 10000000\r\n");
    for (int i = 0; i < 100; i++)
        world_text(fd, "%01024d", i);
    usleep(100000);
    close(fd);
    assert_true(world_reaches(&world->upstream_broken, broken + 3));
    char *text = world_audit(world);
    assert_true(world_count(text, "\"outcome\":\"aborted\"") >= 3);
    free(text);
}

static void early_answer(void **state)
{
    (void)state;
    int fd = world_connect(port);
    ask_on(fd, "POST", BASE "/early", "content-length: 8000000\r\n");
    for (int i = 0; i < 200; i++)
        world_text(fd, "%01024d", i);
    assert_int_equal(world_read(fd, &answer), 413);
    assert_non_null(strstr(answer.head, "connection: close"));
    close(fd);
}

/* --- ends --- */

static void drop_in_flight(void **state)
{
    (void)state;
    char own[GATEWAY_TOKEN_BYTES];
    uint16_t own_port = world_open_stage(world, 20, "drop/a", own);
    uint32_t dropped = atomic_load(&world->dropped), broken = atomic_load(&world->upstream_broken);
    int held = world_connect(own_port), streaming = world_connect(own_port);
    world_text(held, "GET %s/hold HTTP/1.1\r\nhost: localhost:%u\r\nauthorization: Bearer %s\r\n\r\n", BASE, own_port,
               own);
    world_text(streaming, "GET %s/sse/500 HTTP/1.1\r\nhost: localhost:%u\r\nauthorization: Bearer %s\r\n\r\n", BASE,
               own_port, own);
    usleep(200000);
    world_drop(world, 1020);
    assert_true(world_reaches(&world->dropped, dropped + 1));
    assert_int_equal(world_read(held, &answer), 503);
    assert_int_equal(world_read(streaming, &answer), 0);
    assert_int_equal(answer.status, 200);
    close(held);
    close(streaming);
    assert_true(world_reaches(&world->upstream_broken, broken + 2));
    assert_int_equal(world_ask(own_port, "GET", BASE "/things", own, NULL, NULL, NULL), 401);
    world_drop(world, 1020); /* of one that is not there */
    assert_true(world_reaches(&world->dropped, dropped + 2));
    world_close_stage(world, 20);
}

static void close_in_flight(void **state)
{
    (void)state;
    char own[GATEWAY_TOKEN_BYTES];
    int fds[24];
    uint16_t own_port = world_open_stage(world, 21, "close/a", own);
    char *before = world_audit(world);
    for (int i = 0; i < 24; i++) {
        static const char *const what[] = {"/hold", "/size/67108864", "/sse/500", "/things"};
        fds[i] = world_connect(own_port);
        world_text(fds[i], "GET %s%s HTTP/1.1\r\nhost: localhost:%u\r\nauthorization: Bearer %s\r\n%s", BASE,
                   what[i % 4], own_port, own, i % 4 == 3 ? "x: " : "\r\n");
    }
    usleep(200000);
    uint32_t heads = atomic_load(&world->heads);
    world_close_stage(world, 21);
    assert_true(atomic_load(&world->heads) > heads); /* told before it returned */
    char *text = world_audit(world);
    assert_int_equal(world_count(text, "\"event\":\"allowed\""), world_count(text, "\"event\":\"answered\""));
    assert_int_equal(world_count(text, "\"event\":\"allowed\""), world_count(before, "\"event\":\"allowed\"") + 18);
    for (int i = 0; i < 24; i++)
        close(fds[i]);
    assert_true(world_connect(own_port) < 0);
    free(text);
    free(before);
}

/* --- many --- */

struct load {
    pthread_t thread;
    int good, limited, bad;
};

static void *ask_often(void *context)
{
    struct load *load = context;
    struct world_answer *own = calloc(1, sizeof *own);
    for (int i = 0; i < 5; i++) {
        int status = world_ask(port, "GET", BASE "/size/2000", token, NULL, NULL, own);
        if (status == 200 && own->body_bytes == 2000)
            load->good++;
        else if (status == 429 || status <= 0)
            load->limited++;
        else
            load->bad++;
    }
    free(own);
    return NULL;
}

/* A thousand at once from one agent: some are told to wait, none gets a wrong answer, and another agent does not notice. */
static void thousand(void **state)
{
    (void)state;
    enum { THREADS = 200 };
    static struct load loads[THREADS];
    char own[GATEWAY_TOKEN_BYTES];
    int good = 0, bad = 0;
    uint16_t own_port = world_open_stage(world, 22, "many/a", own);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&loads[i].thread, NULL, ask_often, &loads[i]), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(world_ask(own_port, "GET", BASE "/things", own, NULL, NULL, &answer), 200);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(loads[i].thread, NULL);
        good += loads[i].good;
        bad += loads[i].bad;
    }
    assert_int_equal(bad, 0);
    assert_true(good >= 100);
    world_close_stage(world, 22);
}

/* Connections that say nothing, or one byte now and then, fill their own stage only, and the idle ones make room. */
static void slowloris(void **state)
{
    (void)state;
    enum { SLOW = 400 };
    static int fds[SLOW];
    char own[GATEWAY_TOKEN_BYTES];
    uint16_t own_port = world_open_stage(world, 23, "slow/a", own);
    for (int i = 0; i < SLOW; i++) {
        fds[i] = world_connect(port);
        if (i % 2 == 0 && i < 200)
            world_text(fds[i], "GET %s/things HTTP/1.1\r\nx: ", BASE);
    }
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 200; i += 2)
            world_text(fds[i], "y");
        int64_t start = world_now_ms();
        assert_int_equal(world_ask(own_port, "GET", BASE "/things", own, NULL, NULL, &answer), 200);
        assert_true(world_now_ms() - start < 500);
        assert_int_equal(world_ask(port, "GET", BASE "/things", token, NULL, NULL, &answer), 200);
    }
    for (int i = 0; i < SLOW; i++)
        close(fds[i]);
    world_close_stage(world, 23);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(big_down),        cmocka_unit_test(big_up),       cmocka_unit_test(large_ones),
        cmocka_unit_test(events),          cmocka_unit_test(keep_alive),   cmocka_unit_test(head_and_empty),
        cmocka_unit_test(agent_goes),      cmocka_unit_test(early_answer), cmocka_unit_test(drop_in_flight),
        cmocka_unit_test(close_in_flight), cmocka_unit_test(thousand),     cmocka_unit_test(slowloris)};
    world = world_open(NULL);
    port = world_open_stage(world, 1, "deploy/web", token);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(world);
    return failed;
}
