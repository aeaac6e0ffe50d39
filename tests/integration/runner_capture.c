/* runner_capture.c - what agents print: logs on first use, caps, redaction across reads, bytes as they are; the
 * environment */
#include "lib/runner_world.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void both_streams_have_their_log(void **state)
{
    struct world *world = *state;
    struct world_stage *record = world_run_shell(world, 1, "echo out; echo err >&2; printf 'no newline'");
    assert_int_equal(record->stdout_bytes, 14);
    assert_int_equal(record->stderr_bytes, 4);
    char *out = world_read(world, "t1/1/stdout.log", NULL);
    char *err = world_read(world, "t1/1/stderr.log", NULL);
    assert_string_equal(out, "out\nno newline");
    assert_string_equal(err, "err\n");
    free(out);
    free(err);
    world_run_shell(world, 2, "echo only >&2");
    assert_false(world_exists(world, "t2/1/stdout.log"));
}

static void bytes_stay_as_they_are(void **state)
{
    struct world *world = *state;
    size_t bytes;
    world_run_shell(world, 1, "printf 'a\\000b\\033[31m\\377\\303'");
    char *out = world_read(world, "t1/1/stdout.log", &bytes);
    assert_int_equal(bytes, 10);
    assert_memory_equal(out, "a\0b\033[31m\377\303", 10);
    free(out);
}

static void a_log_has_a_maximum_and_says_so(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    size_t bytes;
    world_shell(&spawn, 1, "head -c 3000000 /dev/zero | tr '\\0' x; exit 5");
    spawn.log_bytes_max = 100000;
    struct world_stage *record = world_run(world, &spawn);
    assert_int_equal(record->exit.code, 5);
    assert_int_equal(record->stdout_bytes, 3000000);
    char *out = world_read(world, "t1/1/stdout.log", &bytes);
    assert_true(bytes > 100000 && bytes < 100200);
    assert_int_equal(strspn(out, "x"), 100000);
    assert_non_null(strstr(out, "produced 3000000 bytes"));
    free(out);
}

static void a_flood_is_read_to_its_end(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "head -c 2147483648 /dev/zero");
    spawn.log_bytes_max = 1000;
    assert_int_equal(world_run(world, &spawn)->stdout_bytes, 2147483648u);
}

static void secrets_do_not_reach_a_log(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span values[] = {MF_SPAN("s3cr3t/+value&x"), MF_SPAN("short")};
    world_shell(&spawn, 1,
                "S='s3cr3t/+value&x'; echo \"plain $S end\"; printf '%s' \"$S\" | base64; printf 'a%s' \"$S\" | "
                "base64; printf 'ab%s' \"$S\" | base64;"
                "printf 's3cr3t%%2F%%2Bvalue%%26x\\n'; printf 's3cr3t/+v'; sleep 0.1; printf 'alue'; sleep 0.1; printf "
                "'&x\\n'; echo short; printf 's3cr3t/+val' >&2");
    spawn.redact = values;
    spawn.redact_count = 2;
    world_run(world, &spawn);
    char *out = world_read(world, "t1/1/stdout.log", NULL);
    char *err = world_read(world, "t1/1/stderr.log", NULL);
    assert_non_null(strstr(out, "plain [redacted] end\n"));
    assert_null(strstr(out, "s3cr3t"));
    assert_null(strstr(out, "M3IzdC8rdmFsdWU"));
    assert_non_null(strstr(out, "\n[redacted]\nshort\n"));
    assert_string_equal(err, "s3cr3t/+val"); /* held back, then no value after all */
    free(out);
    free(err);
}

static bool was_dropped(struct world *world, uint64_t stage)
{
    (void)stage;
    return world->dropped > 0;
}

/* What the gateway cannot guard is not handed out: there is no other way into an environment (runner_gateway.c has the good
 * ones). */
static void a_lease_without_a_policy_gives_nothing(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct runner_variable variables[] = {{MF_SPAN("API_TOKEN"), MF_SPAN("token-0123456789")}};
    struct runner_lease lease = {.lease = 77, .stage = 1, .environment = variables, .environment_count = 1};
    uint64_t leases[] = {77};
    assert_int_equal(runner_send_lease(world->peer, &lease, NULL), 0);
    world_shell(&spawn, 1, "echo \"$API_TOKEN\"");
    spawn.leases = leases;
    spawn.lease_count = 1;
    assert_true(world_run(world, &spawn)->failed);
    assert_null(world_read(world, "t1/1/stdout.log", NULL));
    runner_send_drop(world->peer, 77, NULL);
    world_wait(world, was_dropped, 0, 20000);
    assert_int_equal(world->dropped, 1);
    assert_int_equal(world->last_dropped, 77);
}

static void a_lease_belongs_to_one_stage(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    uint64_t leases[] = {5};
    struct runner_lease lease = {.lease = 5, .stage = 2, .account_json = MF_SPAN("{}")};
    assert_int_equal(runner_send_lease(world->peer, &lease, NULL), 0);
    world_shell(&spawn, 1, "exit 0");
    spawn.leases = leases;
    spawn.lease_count = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_true(record->failed);
    assert_string_equal(record->class_name, "infrastructure");
    world_shell(&spawn, 3, "exit 0");
    leases[0] = 99;
    spawn.leases = leases;
    spawn.lease_count = 1;
    assert_true(world_run(world, &spawn)->failed);
}

static void the_environment_is_clean(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct runner_variable variables[] = {{MF_SPAN("GIVEN"), MF_SPAN("a b=c")},
                                          {MF_SPAN("LANG"), MF_SPAN("de_DE")},
                                          {MF_SPAN("MAYFLY_TASK"), MF_SPAN("forged")}};
    setenv("LEAKED_FROM_OUTSIDE", "1", 1);
    struct mf_span argv[] = {MF_SPAN("env")};
    world_shell(&spawn, 1, "");
    spawn.path = MF_SPAN("deploy/web.1");
    spawn.argv = argv;
    spawn.argc = 1;
    spawn.environment = variables;
    spawn.environment_count = 3;
    world_run(world, &spawn);
    char *out = world_read(world, "deploy/web.1/1/stdout.log", NULL);
    assert_non_null(out);
    char run[64], mark[64];
    snprintf(run, sizeof run, "MAYFLY_RUN=%s\n", world_run_id());
    snprintf(mark, sizeof mark, "MAYFLY_SPAWN=%s-", world_run_id());
    const char *const wanted[] = {"PATH=/usr/local/bin:/usr/bin:/bin\n",
                                  "LANG=de_DE\n",
                                  "TERM=dumb\n",
                                  "GIVEN=a b=c\n",
                                  run,
                                  "MAYFLY_TASK=deploy/web.1\n",
                                  "MAYFLY_ATTEMPT=1\n",
                                  "MAYFLY_RESULT=",
                                  mark,
                                  "HOME=/"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (strstr(out, wanted[i]) == NULL)
            fail_msg("no %s in %s", wanted[i], out);
    size_t lines = 0;
    for (const char *at = out; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 10);
    free(out);
}

static void home_is_fresh_and_writable(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    for (uint64_t stage = 1; stage <= 3; stage++) {
        world_shell(
            &spawn, stage,
            "[ -z \"$(ls -A \"$HOME\")\" ] && [ -z \"$(ls -A)\" ] && touch \"$HOME/.x\" here && chmod 000 \"$HOME\" .");
        assert_int_equal(world_run(world, &spawn)->exit.code, 0);
        world_finish(world, stage, 1, RUNNER_RETAIN_NEVER, false);
    }
}

static void what_cannot_be_a_variable_is_refused(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct runner_variable variables[] = {{MF_SPAN("A=B"), MF_SPAN("c")}};
    world_shell(&spawn, 1, "exit 0");
    spawn.environment = variables;
    spawn.environment_count = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_true(record->failed);
    assert_string_equal(record->class_name, "refused");
    char *large = malloc(200000);
    memset(large, 'x', 200000);
    variables[0] = (struct runner_variable){MF_SPAN("LARGE"), {large, 200000}};
    world_shell(&spawn, 2, "exit 0");
    spawn.environment = variables;
    spawn.environment_count = 1;
    record = world_run(world, &spawn);
    assert_string_equal(record->class_name, "refused");
    assert_non_null(strstr(record->reason, "argument_bytes_max"));
    free(large);
}

static void a_large_queue_says_so_and_drains(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_error error;
    char *large = malloc(100000);
    memset(large, 'x', 100000);
    struct runner_variable variables[] = {{MF_SPAN("LARGE"), {large, 100000}}};
    uint64_t sent = 0;
    do {
        world_shell(&spawn, sent + 1, "[ ${#LARGE} = 100000 ]");
        spawn.environment = variables;
        spawn.environment_count = 1;
    } while (runner_send_spawn(world->peer, &spawn, &error) == 0 && ++sent < 200);
    assert_int_equal(error.code, MF_LIMIT);
    assert_true(sent > 35 && sent < 60);
    assert_false(runner_ready(world->peer));
    for (uint64_t stage = 1; stage <= sent; stage++) {
        world_wait(world, world_over, stage, 60000);
        assert_int_equal(world->stages[stage].exit.code, 0);
    }
    assert_true(runner_ready(world->peer));
    free(large);
}

static int open_world(void **state)
{
    *state = world_open();
    return 0;
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
        TEST(both_streams_have_their_log),      TEST(bytes_stay_as_they_are),
        TEST(a_log_has_a_maximum_and_says_so),  TEST(a_flood_is_read_to_its_end),
        TEST(secrets_do_not_reach_a_log),       TEST(a_lease_without_a_policy_gives_nothing),
        TEST(a_lease_belongs_to_one_stage),     TEST(the_environment_is_clean),
        TEST(home_is_fresh_and_writable),       TEST(what_cannot_be_a_variable_is_refused),
        TEST(a_large_queue_says_so_and_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
