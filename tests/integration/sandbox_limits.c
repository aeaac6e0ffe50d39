/*
 * sandbox_limits.c - what an agent may use, and what it is shown besides: memory, processors, disk, paths to read, a root
 *
 * Limits that this machine cannot give are skipped with a word: sandbox_check says what it can.
 */
#include "lib/runner_world.h"

#include "runner/tree.h"
#include "sandbox/sandbox.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct sandbox_report report;

static void expect_log(const struct world *world, const char *path, const char *wanted)
{
    char *text = world_read(world, path, NULL);
    assert_string_equal(text != NULL ? text : "", wanted);
    free(text);
}

static void memory_ends_where_it_was_said(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    if (!report.memory)
        skip();
    world_shell(&spawn, 1, "head -c 200000000 /dev/zero | tail | wc -c");
    spawn.walls.sandbox = true;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    world_shell(&spawn, 2, "exec tail /dev/zero");
    spawn.walls.sandbox = true;
    spawn.walls.memory_bytes = 32u << 20;
    struct world_stage *record = world_run(world, &spawn);
    assert_false(record->failed);
    assert_int_equal(record->exit.signal, SIGKILL);
    assert_true(record->exit.rss_bytes_max <= 34ll << 20);
    /* in the same slot, without a limit */
    world_finish(world, 2, 1, RUNNER_RETAIN_NEVER, false);
    world_shell(&spawn, 3, "head -c 200000000 /dev/zero | tail | wc -c");
    spawn.walls.sandbox = true;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
}

/* Runner and spawner are killed: the agent dies, and a sweep removes the groups that limited it. */
static void a_sweep_removes_what_limited(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_error error;
    pid_t children[8];
    char command[200];
    if (!report.memory)
        skip();
    world_shell(&spawn, 1, "sleep 1000");
    spawn.walls.sandbox = true;
    spawn.walls.memory_bytes = 64u << 20;
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    int count = tree_children((pid_t)world->runner_pid, children, 8);
    assert_int_equal(count, 1);
    kill((pid_t)world->runner_pid, SIGSTOP); /* or it would tidy up after its spawner */
    kill(children[0], SIGKILL);
    kill((pid_t)world->runner_pid, SIGKILL);
    world_wait(world, world_died, 0, 20000);
    assert_true(runner_sweep(world_run_id(), world->run_dir, &error) >= 0);
    assert_int_equal(world_processes(), 0);
    snprintf(command, sizeof command, "[ -z \"$(find /sys/fs/cgroup -name 'mayfly-%s.*' 2>/dev/null)\" ]",
             world_run_id());
    world_command(world, command);
}

static void processors_are_shared_as_said(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    if (!report.cpu)
        skip();
    world_shell(&spawn, 1, "timeout 1 sh -c 'while :; do :; done'; exit 0");
    spawn.walls.sandbox = true;
    spawn.walls.cpu_millis = 200;
    struct world_stage *record = world_run(world, &spawn);
    assert_int_equal(record->exit.code, 0);
    assert_true(record->exit.user_ms + record->exit.system_ms < 500);
}

static void processes_end_where_it_was_said(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "n=0; while [ $n -lt 20 ]; do sleep 1 & n=$((n+1)); done 2>/dev/null; exit 0");
    spawn.walls.sandbox = true;
    spawn.walls.pids = 10;
    assert_int_not_equal(world_run(world, &spawn)->exit.code, 0); /* the shell gives up when it cannot fork */
    world_shell(&spawn, 2, "ulimit -u; ulimit -Hu; ulimit -c");
    spawn.walls.sandbox = true;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
}

static void tmp_is_bounded(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    if (!report.disk)
        skip();
    world_shell(&spawn, 1,
                "head -c 6000000 /dev/zero > /tmp/f && echo fits; head -c 6000000 /dev/zero > /tmp/g || echo full");
    spawn.walls.sandbox = true;
    spawn.walls.disk_bytes = 8u << 20;
    struct world_stage *record = world_run(world, &spawn);
    if (record->failed)
        fail_msg("%s", record->reason);
    assert_int_equal(record->exit.code, 0);
    expect_log(world, "t1/1/stdout.log", "fits\nfull\n");
}

/* Workspace and home together; what fitted is collected and kept. */
static void the_workspace_is_bounded(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span globs[] = {MF_SPAN("f")}, files[] = {MF_SPAN("given")};
    if (!report.disk)
        skip();
    world_write(world, "given", "text\n", 0600);
    struct runner_prepare prepare = {.stage = 100,
                                     .path = MF_SPAN("t1"),
                                     .attempt = 1,
                                     .base = mf_span(world->base),
                                     .files = files,
                                     .file_count = 1,
                                     .walls = {.sandbox = true, .disk_bytes = 8u << 20}};
    assert_true(world_prepare(world, &prepare)->prepared);
    world_shell(
        &spawn, 1,
        "cat given; head -c 6000000 /dev/zero > f && echo fits; head -c 6000000 /dev/zero > ~/g || echo full; echo 1 > "
        "$MAYFLY_RESULT || { rm ~/g; echo 1 > $MAYFLY_RESULT; }");
    spawn.prepared = true;
    spawn.walls.sandbox = true;
    spawn.walls.disk_bytes = 8u << 20;
    spawn.collect = globs;
    spawn.collect_count = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_int_equal(record->exit.code, 0);
    assert_true(record->valid);
    assert_int_equal(record->output_bytes, 6000000);
    expect_log(world, "t1/1/stdout.log", "text\nfits\nfull\n");
    world_finish(world, 1, 1, RUNNER_RETAIN_WORKSPACE, false);
    world_shell(&spawn, 2, "head -c 20000000 /dev/zero > f && ls | wc -l"); /* the same slot, unbounded */
    spawn.walls.sandbox = true;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    expect_log(world, "t2/1/stdout.log", "1\n");
    world_run_for(world, 300);
    world_command(
        world,
        "[ $(stat -c %s \"$RUN/t1/1/workspace/f\") = 6000000 ] && [ \"$(cat \"$RUN/t1/1/workspace/given\")\" = text ]");
}

static void paths_to_read_are_shown(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    char directory[200];
    struct mf_span read[2];
    world_command(world, "mkdir -p /tmp/mayfly-shown.$$ && echo shown > /tmp/mayfly-shown.$$/file && chmod -R a+rX "
                         "/tmp/mayfly-shown.$$ && ln -s /tmp/mayfly-shown.$$ shown");
    snprintf(directory, sizeof directory, "%s/shown", world->state);
    char target[100];
    ssize_t length = readlink(directory, target, sizeof target - 1);
    assert_true(length > 0);
    target[length] = '\0';
    read[0] = mf_span(target);
    char script[600];
    snprintf(
        script, sizeof script,
        "cat %s/file; (echo x > %s/file) 2>/dev/null || echo refused; (echo x > %s/new) 2>/dev/null || echo refused",
        target, target, target);
    world_shell(&spawn, 1, script);
    spawn.walls.sandbox = true;
    spawn.walls.read = read;
    spawn.walls.read_count = 1;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    expect_log(world, "t1/1/stdout.log", "shown\nrefused\nrefused\n");
    world_command(world, "rm -r \"$(readlink shown)\"");
}

/* Whatever reaches the spawner: it shows none of these. */
static void paths_that_must_not_be_shown_are_not(void **state)
{
    struct world *world = *state;
    const char *refused[] = {
        "/",        "/proc",       "/proc/1",   "/sys",  "/dev",           "/tmp",   "/mayfly",      "/mayfly/ws",
        "relative", "/usr/../etc", "/usr//bin", "/usr/", "/no/such/place", "--bind", world->run_dir, world->state};
    for (uint64_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct runner_spawn spawn;
        struct mf_span read[] = {mf_span(refused[i])};
        world_shell(&spawn, i + 1, "exit 0");
        spawn.walls.sandbox = true;
        spawn.walls.read = read;
        spawn.walls.read_count = 1;
        struct world_stage *record = world_run(world, &spawn);
        if (!record->failed)
            fail_msg("%s was shown", refused[i]);
    }
}

/* A directory with a shell and what it needs instead of the host's /usr. */
static void a_root_of_its_own(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    char root[] = "/tmp/mayfly-root-XXXXXX", command[1200];
    assert_non_null(mkdtemp(root));
    snprintf(command, sizeof command,
             "cd %s && chmod 755 . && mkdir -p bin etc opt && cp /bin/sh /bin/ls bin/ && echo own > etc/motd && for l "
             "in $(ldd /bin/sh "
             "/bin/ls | grep -o '/[^ ]*\\.so[^ ]*' | sort -u); do mkdir -p .$(dirname $l) && cp $l .$l; done && chmod "
             "-R a+rX .",
             root);
    world_command(world, command);
    world_shell(&spawn, 1, "ls -d /*; read line < /etc/motd; echo $line");
    struct runner_variable path[] = {{MF_SPAN("PATH"), MF_SPAN("/bin")}};
    spawn.environment = path;
    spawn.environment_count = 1;
    spawn.walls.sandbox = true;
    spawn.walls.root = mf_span(root);
    struct world_stage *record = world_run(world, &spawn);
    snprintf(command, sizeof command, "rm -r %s", root);
    world_command(world, command);
    if (record->failed)
        fail_msg("%s", record->reason);
    assert_int_equal(record->exit.code, 0);
    char *text = world_read(world, "t1/1/stdout.log", NULL);
    assert_non_null(strstr(text, "/opt\n"));
    assert_non_null(strstr(text, "own\n"));
    assert_null(strstr(text, "/sbin\n"));
    free(text);
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
    struct mf_error error;
    struct sandbox_options options = {.agent_uid = -1};
    if (world_main(argc, argv, &status))
        return status;
    if (sandbox_check(&options, &report, &error) != 0 || !report.available) {
        fprintf(stderr, "%s\n", report.reason);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(memory_ends_where_it_was_said),
        TEST(a_sweep_removes_what_limited),
        TEST(processors_are_shared_as_said),
        TEST(processes_end_where_it_was_said),
        TEST(tmp_is_bounded),
        TEST(the_workspace_is_bounded),
        TEST(paths_to_read_are_shown),
        TEST(paths_that_must_not_be_shown_are_not),
        TEST(a_root_of_its_own),
    };
    return cmocka_run_group_tests_name("sandbox_limits", tests, NULL, NULL);
}
