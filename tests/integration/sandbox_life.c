/*
 * sandbox_life.c - sandboxed agents start, end and are killed: exact ends, signals, orphans, bombs, shut directories, slots
 * that are used again
 */
#include "lib/runner_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct world_stage *run_walled(struct world *world, uint64_t stage, const char *script)
{
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    spawn.walls.sandbox = true;
    return world_run(world, &spawn);
}

/* What an agent wrote to stdout; to free with free(). */
static char *said(const struct world *world, uint64_t stage)
{
    char path[64];
    size_t bytes;
    snprintf(path, sizeof path, "t%llu/1/stdout.log", (unsigned long long)stage);
    char *text = world_read(world, path, &bytes);
    return text != NULL ? text : strdup("");
}

static void expect_said(const struct world *world, uint64_t stage, const char *wanted)
{
    char *text = said(world, stage);
    assert_string_equal(text, wanted);
    free(text);
}

static void an_agent_says_hello(void **state)
{
    struct world *world = *state;
    struct world_stage *record =
        run_walled(world, 1, "echo hello; pwd; id -u; echo $HOME; hostname 2>/dev/null || cat /etc/hostname");
    assert_false(record->failed);
    assert_int_equal(record->exit.code, 0);
    expect_said(world, 1, "hello\n/mayfly/ws\n1000\n/mayfly/home\nagent\n");
}

static int open_world(void **state)
{
    *state = world_open();
    return *state == NULL ? -1 : 0;
}

static int close_world(void **state)
{
    world_close(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(int argc, char **argv)
{
    int status;
    if (world_main(argc, argv, &status))
        return status;
    const struct CMUnitTest tests[] = {
        TEST(an_agent_says_hello),
    };
    return cmocka_run_group_tests_name("sandbox_life", tests, NULL, NULL);
}
