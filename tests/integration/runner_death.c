/* runner_death.c - who dies takes along whom: the orchestrator killed, the runner asked to end, and nothing spins while
 * idle */
#include "lib/runner_world.h"

#include "base/alloc.h"
#include "runner/tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void pause_ms(long duration_ms)
{
    nanosleep(&(struct timespec){.tv_sec = duration_ms / 1000, .tv_nsec = duration_ms % 1000 * 1000000}, NULL);
}

static pid_t child_of(pid_t parent)
{
    pid_t child = 0;
    return tree_children(parent, &child, 1) == 1 ? child : 0;
}

static void start_sleepers(struct world *world, uint64_t count)
{
    struct runner_spawn spawn;
    for (uint64_t stage = 1; stage <= count; stage++) {
        world_shell(&spawn, stage, "(setsid sleep 1000 &); exec sleep 1000");
        world_send(world, &spawn);
    }
    for (uint64_t stage = 1; stage <= count; stage++)
        world_wait(world, world_started, stage, 10000);
}

/* The part of an orchestrator that is killed: tells its runner's pid, then sits there. */
static void orchestrator(int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails takes it along */
    struct world *world = world_open();
    start_sleepers(world, 20);
    int64_t pid = world->runner_pid;
    if (write(fd, &pid, sizeof pid) != sizeof pid ||
        write(fd, world->state, sizeof world->state) != sizeof world->state)
        _exit(1);
    for (;;)
        pause();
}

static void a_killed_orchestrator_takes_all_along(void **state)
{
    (void)state;
    int ends[2];
    int64_t runner_pid = 0;
    char directory[sizeof((struct world *)NULL)->state];
    world_run_id(); /* fixed now: the child's processes carry ours */
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0)
        orchestrator(ends[1]);
    assert_int_equal(read(ends[0], &runner_pid, sizeof runner_pid), sizeof runner_pid);
    assert_int_equal(read(ends[0], directory, sizeof directory), sizeof directory);
    close(ends[0]);
    close(ends[1]);
    pause_ms(200);
    assert_true(world_processes() >= 20);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 300 && (world_processes() > 0 || kill((pid_t)runner_pid, 0) == 0); i++)
        pause_ms(10);
    assert_int_equal(world_processes(), 0);
    assert_int_not_equal(kill((pid_t)runner_pid, 0), 0);
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    assert_int_equal(system(command), 0);
}

static void the_runner_ignores_the_terminal(void **state)
{
    struct world *world = *state;
    pid_t runner = (pid_t)world->runner_pid;
    static const int signals[] = {SIGINT, SIGHUP, SIGQUIT, SIGPIPE};
    start_sleepers(world, 1);
    for (size_t i = 0; i < 4; i++) {
        kill(runner, signals[i]);
        kill(child_of(runner), signals[i]);
    }
    world_run_for(world, 200);
    assert_false(world->died || world->stages[1].exited);
    assert_int_equal(world_run_shell(world, 2, "exit 0")->exit.code, 0);
}

static void term_ends_the_runner_and_its_agents(void **state)
{
    struct world *world = *state;
    start_sleepers(world, 3);
    kill((pid_t)world->runner_pid, SIGTERM);
    world_wait(world, world_died, 0, 20000);
    assert_int_equal(world_processes(), 0);
}

static void a_runner_dies_in_the_middle_of_setup(void **state)
{
    struct world *world = *state;
    struct mf_span setup[] = {MF_SPAN("sh"), MF_SPAN("-c"), MF_SPAN("(setsid sleep 1000 &); sleep 1000")};
    struct runner_prepare prepare = {.stage = 1, .path = MF_SPAN("t1"), .attempt = 1, .setup = setup, .setup_count = 3};
    assert_int_equal(runner_send_prepare(world->peer, &prepare, NULL), 0);
    world_run_for(world, 300);
    assert_true(world_processes() > 0);
    kill((pid_t)world->runner_pid, SIGKILL);
    world_wait(world, world_died, 0, 20000);
    assert_int_equal(world_processes(), 0);
    assert_int_equal(runner_send_prepare(world->peer, &prepare, NULL), -1);
}

static struct runner_prepare clone_of_repo(struct world *world, uint64_t stage, char path[16])
{
    snprintf(path, 16, "t%llu", (unsigned long long)stage);
    return (struct runner_prepare){.stage = stage,
                                   .path = mf_span(path),
                                   .attempt = 1,
                                   .kind = RUNNER_WORKSPACE_GIT,
                                   .base = mf_span(world->base),
                                   .git_url = MF_SPAN("./repo")};
}

static int hold_mirror_locks(const struct world *world)
{
    char path[128];
    world_command(world, "ln -s \"$(ls $PWD/mirrors/*.lock)\" lock");
    snprintf(path, sizeof path, "%s/lock", world->state);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    return fd;
}

static void a_stuck_remote_holds_up_nobody_else(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    char path[16];
    world_command(world, "mkdir graph/repo && cd graph/repo && git init -q && echo 1 > f && git add f &&"
                         "git -c user.name=a -c user.email=b commit -qm one");
    struct runner_prepare prepare = clone_of_repo(world, 1, path);
    assert_true(world_prepare(world, &prepare)->prepared);
    int lock = hold_mirror_locks(world);
    for (uint64_t stage = 2; stage <= 31; stage++) { /* more than helpers may run: some wait in the queue */
        prepare = clone_of_repo(world, stage, path);
        assert_int_equal(runner_send_prepare(world->peer, &prepare, NULL), 0);
    }
    world_run_for(world, 300);
    world_shell(&spawn, 40, "[ $(cat) = prompt ] && echo 1 > $MAYFLY_RESULT");
    spawn.prompt = MF_SPAN("prompt");
    assert_true(world_run(world, &spawn)->valid);
    for (uint64_t stage = 2; stage <= 31; stage++)
        runner_send_signal(world->peer, stage, 1, NULL);
    for (uint64_t stage = 2; stage <= 31; stage++) {
        world_wait(world, world_over, stage, 20000);
        assert_string_equal(world->stages[stage].class_name, "infrastructure");
    }
    close(lock);
    prepare = clone_of_repo(world, 50, path);
    assert_true(world_prepare(world, &prepare)->prepared);
}

static long switches(pid_t pid)
{
    char path[48], line[256];
    long count = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1)
            break;
    fclose(file);
    return count;
}

static void nobody_wakes_up_while_idle(void **state)
{
    struct world *world = *state;
    start_sleepers(world, 5);
    world_run_for(world, 300);
    pid_t runner = (pid_t)world->runner_pid, spawner = child_of(runner);
    long before = switches(runner) + switches(spawner);
    pause_ms(1000);
    assert_int_equal(switches(runner) + switches(spawner), before);
}

static void no_descriptor_is_lost(void **state)
{
    struct world *world = *state;
    char command[256];
    for (uint64_t stage = 1; stage <= 20; stage++) {
        world_run_shell(world, stage, "echo x; echo 1 > $MAYFLY_RESULT; touch file");
        world_finish(world, stage, 1, RUNNER_RETAIN_NEVER, false);
    }
    world_run_for(world, 500);
    pid_t runner = (pid_t)world->runner_pid, spawner = child_of(runner);
    snprintf(command, sizeof command, "ls /proc/%d/fd /proc/%d/fd | wc -l > fds", (int)runner, (int)spawner);
    world_command(world, command);
    for (uint64_t stage = 21; stage <= 120; stage++) {
        world_run_shell(world, stage, "echo x; echo 1 > $MAYFLY_RESULT; touch file");
        world_finish(world, stage, 1, RUNNER_RETAIN_NEVER, false);
    }
    world_run_for(world, 500);
    snprintf(command, sizeof command, "[ $(ls /proc/%d/fd /proc/%d/fd | wc -l) = $(cat fds) ]", (int)runner,
             (int)spawner);
    world_command(world, command);
    snprintf(command, sizeof command, "[ -z \"$(ls $RUN/.work/@trash)\" ]");
    world_command(world, command);
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
        cmocka_unit_test(a_killed_orchestrator_takes_all_along),
        TEST(the_runner_ignores_the_terminal),
        TEST(term_ends_the_runner_and_its_agents),
        TEST(a_runner_dies_in_the_middle_of_setup),
        TEST(a_stuck_remote_holds_up_nobody_else),
        TEST(nobody_wakes_up_while_idle),
        TEST(no_descriptor_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
