/*
 * gateway_answers.c - what comes back: bad answers, echoed credentials, redirects, credentials that are handed on; services
 * with their gate, places and budgets; the record that cannot be written; a second life
 */
#include "lib/gateway_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE "/client/v4/accounts/" WORLD_ACCOUNT

static struct world *world;
static uint16_t port;
static char token[GATEWAY_TOKEN_BYTES];
static struct world_answer answer;

static int get(const char *path)
{
    char target[256];
    snprintf(target, sizeof target, BASE "%s", path);
    return world_ask(port, "GET", target, token, NULL, NULL, &answer);
}

/* 84: framed by us, or not passed on as a whole one. */
static void bad_answers(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status; /* 0: broken off */
        const char *body;
    } table[] = {
        {"/raw/flood", 200, "fine"}, {"/raw/short", 502, NULL},       {"/raw/long", 200, "fine"},
        {"/raw/both", 200, "fine"},  {"/raw/two-lengths", 502, NULL}, {"/raw/unframed", 0, NULL},
        {"/raw/no-end", 0, NULL},    {"/raw/204-body", 204, ""},      {"/raw/header", 502, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int status = get(table[i].path);
        if (status != table[i].status || (table[i].body != NULL && strcmp(answer.body, table[i].body) != 0))
            fail_msg("%s: %d %s", table[i].path, status, answer.body);
        assert_null(strstr(answer.head, "set-cookie"));
        assert_int_equal(get("/things"), 200); /* the next one is not touched by it */
    }
}

static void rebuilt(void **state)
{
    (void)state;
    static const char *const gone[] = {"set-cookie", "via",     "x-hop",
                                       "connection", "alt-svc", "access-control-allow-origin"};
    char value[256];
    assert_int_equal(get("/raw/cookie"), 200);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        assert_null(world_header(answer.head, gone[i], value, sizeof value));
    assert_string_equal(world_header(answer.head, "x-kept", value, sizeof value), "yes");
    assert_int_equal(get("/raw/gzip"), 200);
    assert_string_equal(world_header(answer.head, "content-encoding", value, sizeof value), "gzip");
    assert_memory_equal(answer.body, "\x1f\x8b\x08\x01", 4);
}

static void locations(void **state)
{
    (void)state;
    char value[256], own[64];
    assert_int_equal(get("/raw/location-foreign"), 302);
    assert_null(world_header(answer.head, "location", value, sizeof value));
    assert_int_equal(get("/raw/location-host"), 302);
    assert_null(world_header(answer.head, "location", value, sizeof value));
    assert_int_equal(get("/raw/location-relative"), 302);
    assert_string_equal(world_header(answer.head, "location", value, sizeof value), "/client/v4/x?y=1");
    (void)own;
}

/* 85 */
static void echoes(void **state)
{
    (void)state;
    static const char *const paths[] = {"/headers", "/echoed/raw", "/echoed/base64", "/raw/echo-header"};
    for (size_t i = 0; i < 4; i++) {
        uint32_t before = atomic_load(&world->anomalies[WATCH_ECHO]);
        int status = get(paths[i]);
        if (status != 502 && status != 0)
            fail_msg("%s: %d", paths[i], status);
        assert_null(strstr(answer.body, "credential"));
        assert_null(strstr(answer.head, "MFYCANARY"));
        assert_true(before + 1 >= 1 && atomic_load(&world->anomalies[WATCH_ECHO]) > 0);
    }
    assert_int_equal(get("/echoed/other"), 200);
    char *text = world_audit(world);
    assert_true(world_count(text, "\"outcome\":\"filtered\"") >= 4);
    assert_null(strstr(text, WORLD_SECRET));
    free(text);
}

/* What the provider handed down is accepted where the rule says so, and nowhere else; what it did not hand down is not. */
static void handed_on(void **state)
{
    (void)state;
    char value[256], other[GATEWAY_TOKEN_BYTES];
    uint16_t other_port = world_open_stage(world, 30, "hand/b", other);
    assert_int_equal(world_ask(port, "POST", BASE "/upload", "eyJhbGciOi.handed", NULL, "x", &answer), 401);
    assert_int_equal(get("/raw/jwt"), 201);
    assert_string_equal(answer.body, "{\"result\":{\"jwt\":\"eyJhbGciOi.handed\"}}");
    assert_int_equal(world_ask(port, "POST", BASE "/upload", "eyJhbGciOi.handed", NULL, "x", &answer), 200);
    assert_string_equal(world_header(world_last(world)->head, "authorization", value, sizeof value),
                        "Bearer eyJhbGciOi.handed");
    assert_null(strstr(world_last(world)->head, WORLD_SECRET));
    assert_int_equal(world_ask(port, "GET", BASE "/things", "eyJhbGciOi.handed", NULL, NULL, &answer), 401);
    assert_int_equal(world_ask(port, "POST", BASE "/upload", token, NULL, "x", &answer), 401);
    assert_int_equal(world_ask(other_port, "POST", BASE "/upload", "eyJhbGciOi.handed", NULL, "x", &answer), 401);
    world_close_stage(world, 30);
}

static void dead_account(void **state)
{
    (void)state;
    assert_int_equal(get("/status/401"), 401);
    assert_int_equal(get("/status/401"), 401);
    assert_int_equal(get("/things"), 200);
    assert_int_equal(get("/status/401"), 401);
    assert_int_equal(get("/status/401"), 401);
    assert_int_equal(atomic_load(&world->dead), 0);
    assert_int_equal(get("/status/401"), 401);
    assert_true(world_reaches(&world->dead, 1));
    assert_int_equal(get("/status/401"), 401);
    assert_int_equal(atomic_load(&world->dead), 1);
}

/* --- services --- */

static char key[GATEWAY_TOKEN_BYTES];

static int ask_service(const char *method, const char *path, const char *with, const char *body)
{
    char extra[256];
    snprintf(extra, sizeof extra, "x-api-key: %s\r\ncontent-type: application/json\r\n", with);
    return world_ask(port, method, path, NULL, extra, body, &answer);
}

static void service(void **state)
{
    (void)state;
    char value[128];
    world_add_service(world, 2, 20000000);
    world_use(world, 1, key);
    assert_int_equal(ask_service("POST", "/v1/messages", key, "{\"model\":\"m\",\"max_tokens\":3000000}"), 200);
    assert_string_equal(world_header(world_last(world)->head, "x-api-key", value, sizeof value), WORLD_SECRET);
    assert_null(strstr(world_last(world)->head, key));
    /* 1e6 input at 1 $ and 2e6 output at 2 $ a million: 5 $ */
    assert_true(world_reaches(&world->usages, 1));
    assert_int_equal(world->usage.micro_usd, 5000000);
    assert_int_equal(world->usage.input_tokens, 1000000);
    assert_int_equal(world->usage.output_tokens, 2000000);
    assert_int_equal(ask_service("GET", "/v1/models", key, NULL), 200);
    /* the planted one */
    assert_int_equal(ask_service("POST", "/v1/messages", "sk-planted-canary-0001", "{}"), 401);
    assert_true(world_reaches(&world->anomalies[WATCH_CANARY], 1));
    /* both places */
    char both[256];
    snprintf(both, sizeof both, "x-api-key: %s\r\n", key);
    assert_int_equal(world_ask(port, "POST", "/v1/messages", key, both, "{}", &answer), 401);
    /* the lease's token is not for the service's routes, and the other way round */
    assert_int_equal(world_ask(port, "POST", "/v1/messages", token, NULL, "{}", &answer), 403);
    /* what cannot be priced is refused under a budget */
    assert_int_equal(ask_service("POST", "/v1/messages", key, "{\"max_tokens\":1,\"max_tokens\":2}"), 400);
    assert_int_equal(ask_service("POST", "/v1/messages", key, "not json"), 400);
}

static void budget(void **state)
{
    (void)state;
    char value[64];
    uint32_t before = atomic_load(&world->seen_count);
    /* 5 of 20 $ are spent: 8 million output tokens are 16 $ */
    assert_int_equal(ask_service("POST", "/v1/messages", key, "{\"model\":\"m\",\"max_tokens\":8000000}"), 429);
    assert_string_equal(world_header(answer.head, "x-should-retry", value, sizeof value), "false");
    assert_int_equal(atomic_load(&world->seen_count), before);
    assert_int_equal(atomic_load(&world->budgets), 1);
    assert_int_equal(ask_service("POST", "/v1/messages", key, "{\"model\":\"m\",\"max_tokens\":100}"), 200);
}

static void *hold_service(void *context)
{
    struct world_answer *own = calloc(1, sizeof *own);
    char extra[256];
    (void)context;
    snprintf(extra, sizeof extra, "x-api-key: %s\r\n", key);
    world_ask(port, "GET", "/raw/jwt", NULL, extra, NULL, own);
    int status = own->status;
    free(own);
    return (void *)(intptr_t)status;
}

static void gate(void **state)
{
    (void)state;
    pthread_t threads[4];
    int64_t start = world_now_ms();
    assert_int_equal(ask_service("GET", "/raw/retry", key, NULL), 429);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hold_service, NULL);
    for (int i = 0; i < 4; i++) {
        void *status;
        pthread_join(threads[i], &status);
        assert_int_equal((intptr_t)status, 201);
    }
    assert_true(world_now_ms() - start >= 950); /* all of them waited */
    assert_int_equal(ask_service("GET", "/status/401", key, NULL), 401);
    assert_int_equal(ask_service("GET", "/status/401", key, NULL), 401);
    assert_int_equal(atomic_load(&world->service_refused), 1);
}

static void gate_too_long(void **state)
{
    (void)state;
    char value[64];
    uint32_t before = atomic_load(&world->seen_count);
    assert_int_equal(ask_service("GET", "/raw/retry-long", key, NULL), 529);
    assert_int_equal(ask_service("GET", "/v1/models", key, NULL), 429);
    assert_true(atoi(world_header(answer.head, "retry-after", value, sizeof value)) > 400);
    assert_int_equal(atomic_load(&world->seen_count), before + 1);
}

/* --- the record --- */

/* 88: what cannot be recorded does not happen. */
static void record_full(void **state)
{
    (void)state;
    struct rlimit old, none;
    struct stat status;
    assert_int_equal(get("/things"), 200);
    uint32_t before = atomic_load(&world->seen_count);
    assert_int_equal(fstatat(world->dir_fd, AUDIT_FILE, &status, 0), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    none = old;
    none.rlim_cur = (rlim_t)status.st_size;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    int refused = get("/things");
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(refused, 503);
    assert_int_equal(atomic_load(&world->seen_count), before);
}

/* 94 and the budget's second life. */
static void second_life(void **state)
{
    (void)state;
    char old[GATEWAY_TOKEN_BYTES];
    memcpy(old, token, sizeof old);
    world_again(world);
    port = world_open_stage(world, 1, "deploy/web", token);
    assert_int_equal(world_ask(port, "GET", BASE "/things", old, NULL, NULL, &answer), 401);
    assert_int_equal(get("/things"), 200);
    world_add_service(world, 2, 6000000);
    world_use(world, 1, key);
    /* 5 $ and more were spent before */
    assert_int_equal(ask_service("POST", "/v1/messages", key, "{\"model\":\"m\",\"max_tokens\":2000000}"), 429);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_answers),   cmocka_unit_test(rebuilt),     cmocka_unit_test(locations),
        cmocka_unit_test(echoes),        cmocka_unit_test(handed_on),   cmocka_unit_test(dead_account),
        cmocka_unit_test(service),       cmocka_unit_test(budget),      cmocka_unit_test(gate),
        cmocka_unit_test(gate_too_long), cmocka_unit_test(record_full), cmocka_unit_test(second_life)};
    world = world_open(NULL);
    port = world_open_stage(world, 1, "deploy/web", token);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(world);
    return failed;
}
