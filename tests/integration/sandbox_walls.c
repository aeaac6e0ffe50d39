/*
 * sandbox_walls.c - what an agent in a sandbox can get at: the probe's tables against tests/data/sandbox
 *
 * Each test runs probe/probe.c as an agent and compares what it printed, line by line. A hole shows as a line that is not as
 * it stands in the file.
 */
#include "lib/runner_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct mf_span probe_files[] = {{"probe", 5}};

/* The probe as a file of the graph, in a prepared workspace; the agent's argv is ./probe and `arguments`. */
static void run_probe(struct world *world, uint64_t stage, const char *const *arguments)
{
    char command[512], path[24];
    struct mf_span argv[8] = {MF_SPAN("./probe")};
    uint32_t argc = 1;
    snprintf(command, sizeof command, "cp '%s' '%s/probe'", SANDBOX_PROBE, world->base);
    world_command(world, command);
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = mf_span(arguments[argc - 1]);
    snprintf(path, sizeof path, "t%llu", (unsigned long long)stage);
    struct runner_prepare prepare = {.stage = stage + 1000,
                                     .path = mf_span(path),
                                     .attempt = 1,
                                     .base = mf_span(world->base),
                                     .files = probe_files,
                                     .file_count = 1,
                                     .walls = {.sandbox = true}};
    assert_true(world_prepare(world, &prepare)->prepared);
    struct runner_spawn spawn;
    world_shell(&spawn, stage, "");
    spawn.argv = argv;
    spawn.argc = argc;
    spawn.prepared = true;
    spawn.walls.sandbox = true;
    struct world_stage *record = world_run(world, &spawn);
    if (record->failed)
        fail_msg("%s", record->reason);
    assert_int_equal(record->exit.code, 0);
}

static char *read_golden(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, MAYFLY_SOURCE_DIR "/tests/data/sandbox/%s.txt", name);
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 65536);
    assert_non_null(text);
    if (file != NULL) {
        assert_true(fread(text, 1, 65535, file) > 0);
        fclose(file);
    }
    return text;
}

static void expect_table(const struct world *world, uint64_t stage, const char *name)
{
    char path[64], *save[2] = {NULL, NULL};
    size_t bytes;
    snprintf(path, sizeof path, "t%llu/1/stdout.log", (unsigned long long)stage);
    char *printed = world_read(world, path, &bytes), *golden = read_golden(name);
    assert_non_null(printed);
    char *got = strtok_r(printed, "\n", &save[0]), *wanted = strtok_r(golden, "\n", &save[1]);
    int different = 0;
    for (; got != NULL || wanted != NULL; got = got != NULL ? strtok_r(NULL, "\n", &save[0]) : NULL,
                                          wanted = wanted != NULL ? strtok_r(NULL, "\n", &save[1]) : NULL) {
        if (got != NULL && wanted != NULL && strcmp(got, wanted) == 0)
            continue;
        print_error("%s: printed `%s`, wanted `%s`\n", name, got != NULL ? got : "(nothing)",
                    wanted != NULL ? wanted : "(nothing)");
        different++;
    }
    free(printed);
    free(golden);
    assert_int_equal(different, 0);
}

static void calls_are_refused(void **state)
{
    struct world *world = *state;
    run_probe(world, 1, (const char *const[]){"calls", NULL});
    expect_table(world, 1, "calls");
}

static void places_are_out_of_reach(void **state)
{
    struct world *world = *state;
    run_probe(world, 1, (const char *const[]){"places", world->run_dir, NULL});
    expect_table(world, 1, "places");
}

/* A listener of the host on loopback, an abstract socket and one with a path: none is there for the agent. */
static void the_network_is_its_own(void **state)
{
    struct world *world = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un name = {.sun_family = AF_UNIX}, path = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof address;
    char port[8];
    int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(inet, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(inet, 1), 0);
    assert_int_equal(getsockname(inet, (struct sockaddr *)&address, &bytes), 0);
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    int abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%s", world_run_id());
    assert_int_equal(bind(abstract, (struct sockaddr *)&name,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(world_run_id()) + 1)),
                     0);
    assert_int_equal(listen(abstract, 1), 0);
    int named = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(path.sun_path, sizeof path.sun_path, "%s/socket", world->state);
    assert_int_equal(bind(named, (struct sockaddr *)&path, sizeof path), 0);
    assert_int_equal(listen(named, 1), 0);
    run_probe(world, 1, (const char *const[]){"network", port, world_run_id(), path.sun_path, NULL});
    expect_table(world, 1, "network");
    close(inet);
    close(abstract);
    close(named);
}

static void nothing_is_inherited(void **state)
{
    struct world *world = *state;
    run_probe(world, 1, (const char *const[]){"descriptors", NULL});
    expect_table(world, 1, "descriptors");
}

static void no_right_is_to_be_had(void **state)
{
    struct world *world = *state;
    run_probe(world, 1, (const char *const[]){"rights", NULL});
    expect_table(world, 1, "rights");
}

/* The whole environment: what the graph gives, what mayfly gives, nothing of ours. */
static void the_environment_is_what_was_given(void **state)
{
    struct world *world = *state;
    struct runner_variable given[] = {{MF_SPAN("GREETING"), MF_SPAN("a b\"c")}};
    struct runner_spawn spawn;
    setenv("MAYFLY_TEST_SECRET", "never", 1);
    world_shell(
        &spawn, 1,
        "env | sed 's/^MAYFLY_RUN=.*/MAYFLY_RUN=x/; s/^MAYFLY_SPAWN=.*/MAYFLY_SPAWN=x/' | grep -v -e '^_=' -e '^PWD=' "
        "-e '^OLDPWD=' | LC_ALL=C sort; tr '\\0' '\\n' </proc/$$/environ | grep -c never");
    spawn.walls.sandbox = true;
    spawn.environment = given;
    spawn.environment_count = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_false(record->failed);
    expect_table(world, 1, "environment");
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
        TEST(calls_are_refused),    TEST(places_are_out_of_reach), TEST(the_network_is_its_own),
        TEST(nothing_is_inherited), TEST(no_right_is_to_be_had),   TEST(the_environment_is_what_was_given),
    };
    return cmocka_run_group_tests_name("sandbox_walls", tests, NULL, NULL);
}
