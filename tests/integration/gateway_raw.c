/* gateway_raw.c - the gateway's front with raw bytes: smuggling, spellings, tokens, headers, and what of it reaches the upstream */
#include "lib/gateway_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASE "/client/v4/accounts/" WORLD_ACCOUNT

static struct world *world;
static uint16_t port;
static char token[GATEWAY_TOKEN_BYTES];
static struct world_answer answer;

static void straight(void **state)
{
    (void)state;
    char value[256];
    uint32_t before = atomic_load(&world->seen_count);
    assert_int_equal(
        world_ask(port, "GET", BASE "/things?page=2", token, "accept: text/plain\r\nx-custom: a\r\n", NULL, &answer),
        200);
    assert_string_equal(answer.body, "fine");
    assert_int_equal(atomic_load(&world->seen_count), before + 1);
    const struct world_seen *seen = world_last(world);
    assert_memory_equal(seen->head, "GET " BASE "/things?page=2 HTTP/1.1\r\n",
                        strlen("GET " BASE "/things?page=2 HTTP/1.1\r\n"));
    assert_string_equal(world_header(seen->head, "authorization", value, sizeof value), "Bearer " WORLD_SECRET);
    assert_string_equal(world_header(seen->head, "x-custom", value, sizeof value), "a");
    assert_null(strstr(seen->head, token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(straight)};
    world = world_open(NULL);
    port = world_open_stage(world, 1, "deploy/web", token);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_close(world);
    return failed;
}
