/* runner_life.c - agents start, end and are killed: exit codes, signals, trees, daemons, fork bombs, deaths of each
 * process */
#include "lib/runner_world.h"

#include "runner/tree.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void exit_codes_and_signals(void **state)
{
    struct world *world = *state;
    struct world_stage *zero = world_run_shell(world, 1, "exit 0");
    assert_true(zero->valid && zero->exit.code == 0 && zero->exit.signal == 0);
    assert_int_equal(world_run_shell(world, 2, "exit 3")->exit.code, 3);
    assert_int_equal(world_run_shell(world, 3, "exit 255")->exit.code, 255);
    for (int number = 1, stage = 4; number <= 31; number++) {
        char script[64];
        if (number == SIGCHLD || number == SIGCONT || number == SIGURG || number == SIGWINCH || number == SIGSTOP ||
            number == SIGTSTP || number == SIGTTIN || number == SIGTTOU)
            continue; /* these do not end a process */
        snprintf(script, sizeof script, "kill -%d $$; sleep 5", number);
        struct world_stage *stage_record = world_run_shell(world, (uint64_t)stage++, script);
        assert_int_equal(stage_record->exit.code, -1);
        assert_int_equal(stage_record->exit.signal, number);
    }
}

static void run_program(struct world *world, uint64_t stage, const char *program, const char *class_name,
                        const char *words)
{
    struct runner_spawn spawn;
    struct mf_span argv[] = {mf_span(program)};
    world_shell(&spawn, stage, "");
    spawn.argv = argv;
    spawn.argc = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_true(record->failed);
    assert_string_equal(record->class_name, class_name);
    assert_non_null(strstr(record->reason, words));
}

static void exec_failures_have_their_causes(void **state)
{
    struct world *world = *state;
    char path[256];
    world_write(world, "plain", "text", 0600);
    world_write(world, "garbage",
                "\x7f"
                "ELFgarbage",
                0700);
    world_write(world, "lost", "#!/no/such/interpreter\n", 0700);
    run_program(world, 1, "no-such-program-anywhere", "agent", "no such program");
    run_program(world, 2, "/no/such/file", "agent", "no such program");
    snprintf(path, sizeof path, "%s/plain", world->base);
    run_program(world, 3, path, "agent", "not executable");
    snprintf(path, sizeof path, "%s/garbage", world->base);
    run_program(world, 4, path, "agent", "not an executable format");
    snprintf(path, sizeof path, "%s/lost", world->base);
    run_program(world, 5, path, "agent", "interpreter");
    run_program(world, 6, "/tmp", "agent", "not executable");
    assert_int_equal(world_run_shell(world, 7, "exit 0")->exit.code, 0);
}

static void started_names_the_process(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct tree_process process;
    for (uint64_t stage = 1; stage <= 30; stage++) { /* the birth is taken from a clock: often enough to meet a tick */
        world_shell(&spawn, stage, "exec sleep 100");
        world_send(world, &spawn);
        world_wait(world, world_started, stage, 20000);
        assert_int_equal(tree_read((pid_t)world->stages[stage].pid, &process), 0);
        assert_int_equal((int64_t)process.birth, world->stages[stage].birth);
        assert_int_equal(process.session, process.pid);
        runner_send_signal(world->peer, stage, 2, NULL);
    }
    world_wait(world, world_over, 30, 20000);
}

/* Until the log says all of it: how long a shell takes to set its traps is the machine's affair. */
static void wait_for_words(struct world *world, const char *path, const char *first, const char *second)
{
    bool there = false;
    for (int i = 0; i < 400 && !there; i++) {
        char *log = world_read(world, path, NULL);
        there = log != NULL && strstr(log, first) != NULL && strstr(log, second) != NULL;
        free(log);
        if (!there)
            world_run_for(world, 50);
    }
    assert_true(there);
}

static void term_reaches_the_whole_tree_within_milliseconds(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1,
                "(trap 'echo child; exit 0' TERM; echo up; sleep 100 & wait) & trap 'wait; echo main; exit 7' TERM; "
                "sleep 100 & echo ready; wait");
    world_send(world, &spawn);
    wait_for_words(world, "t1/1/stdout.log", "up", "ready");
    int64_t sent_ms = net_now_ms();
    runner_send_signal(world->peer, 1, 1, NULL);
    world_wait(world, world_over, 1, 20000);
    assert_int_equal(world->stages[1].exit.code, 7);
    assert_true(world->stages[1].exited_ms - sent_ms < 1000);
    char *log = world_read(world, "t1/1/stdout.log", NULL);
    assert_non_null(strstr(log, "child"));
    assert_non_null(strstr(log, "main"));
    free(log);
}

static void kill_ends_what_ignores_term_or_is_stopped(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "trap '' TERM; while :; do sleep 1; done");
    world_send(world, &spawn);
    world_shell(&spawn, 2, "kill -STOP $$; sleep 100");
    world_send(world, &spawn);
    world_wait(world, world_started, 2, 20000);
    world_run_for(world, 200);
    runner_send_signal(world->peer, 1, 1, NULL);
    world_run_for(world, 300);
    assert_false(world->stages[1].exited);
    runner_send_signal(world->peer, 1, 2, NULL);
    runner_send_signal(world->peer, 2, 2, NULL);
    world_wait(world, world_over, 1, 20000);
    world_wait(world, world_over, 2, 20000);
    assert_int_equal(world->stages[1].exit.signal, SIGKILL);
    assert_int_equal(world->stages[2].exit.signal, SIGKILL);
}

static void term_wakes_a_stopped_agent(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "kill -STOP $$; sleep 100");
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    world_run_for(world, 200);
    runner_send_signal(world->peer, 1, 1, NULL);
    world_wait(world, world_over, 1, 20000);
    assert_int_equal(world->stages[1].exit.signal, SIGTERM);
}

static void a_daemon_dies_with_its_agent(void **state)
{
    struct world *world = *state;
    char script[256], search[96];
    int64_t began_ms = net_now_ms();
    int unique = 4000000 + (int)getpid(); /* seconds: only ours sleep so long */
    snprintf(script, sizeof script,
             "(setsid sh -c 'setsid sleep %d & setsid env -i sleep %d & sleep %d' &) ; sleep 0.3; exit 4", unique,
             unique, unique);
    struct world_stage *record = world_run_shell(world, 1, script);
    assert_int_equal(record->exit.code, 4);
    assert_int_equal(world_processes(), 0);
    assert_true(net_now_ms() - began_ms < 10000);
    snprintf(search, sizeof search, "pgrep -f '^sleep %d$' >/dev/null", unique);
    assert_int_not_equal(system(search), 0);
}

static void a_child_that_holds_the_pipe_does_not_hold_the_end(void **state)
{
    struct world *world = *state;
    struct world_stage *record = world_run_shell(world, 1, "echo before; (sleep 0.2; echo late; sleep 1000) & exit 0");
    assert_true(record->exited_ms - record->started_ms < 10000);
    char *log = world_read(world, "t1/1/stdout.log", NULL);
    assert_string_equal(log, "before\n");
    free(log);
}

static void a_fork_bomb_is_ended(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    /* bounded by ulimit here: the limits of the sandbox are not this version's */
    world_shell(&spawn, 1,
                "b() { b | b & sleep 0.01; }; (ulimit -u 300 2>/dev/null; n=0; while [ $n -lt 200 ]; do (while :; do "
                "sleep 0.05 & wait; done) & n=$((n+1)); done); exit 1");
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    world_run_for(world, 500);
    int64_t sent_ms = net_now_ms();
    runner_send_signal(world->peer, 1, 2, NULL);
    world_wait(world, world_over, 1, 10000);
    assert_true(world->stages[1].exited_ms - sent_ms < 2000);
    assert_int_equal(world_processes(), 0);
}

static void thousands_of_zombies_are_reaped(void **state)
{
    struct world *world = *state;
    struct world_stage *record =
        world_run_shell(world, 1, "n=0; while [ $n -lt 1500 ]; do (:) & n=$((n+1)); done; exec sleep 0.1");
    assert_int_equal(record->exit.code, 0);
    assert_int_equal(world_run_shell(world, 2, "exit 0")->exit.code, 0);
}

static void stdio_may_be_closed(void **state)
{
    struct world *world = *state;
    struct world_stage *record = world_run_shell(world, 1, "exec <&- >&- 2>&-; sleep 0.2; exit 9");
    assert_int_equal(record->exit.code, 9);
}

static void the_agent_is_alone(void **state)
{
    struct world *world = *state;
    world_run_shell(world, 1,
                    "ls /proc/self/fd | tr '\\n' ' '; umask; ulimit -c; grep -E 'NoNewPrivs|SigBlk|SigIgn' "
                    "/proc/self/status; pwd; [ $(ls -A | wc -l) = 0 ] && echo empty; readlink /proc/self/fd/0");
    char *log = world_read(world, "t1/1/stdout.log", NULL);
    assert_non_null(log);
    assert_non_null(strstr(log, "0 1 2 3 ")); /* 3 is the directory that ls reads */
    assert_null(strstr(log, "3 4"));
    assert_non_null(strstr(log, "0077"));
    assert_non_null(strstr(log, "NoNewPrivs:\t1"));
    assert_non_null(strstr(log, "SigBlk:\t0000000000000000"));
    assert_non_null(strstr(log, "SigIgn:\t0000000000000000"));
    assert_non_null(strstr(log, "/.work/@0/ws\nempty\n/dev/null"));
    free(log);
}

static void five_hundred_agents_at_once(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    for (uint64_t stage = 1; stage <= 500; stage++) {
        world_shell(&spawn, stage, "echo $MAYFLY_TASK; exec sleep 1000");
        world_send(world, &spawn);
    }
    for (uint64_t stage = 1; stage <= 500; stage++)
        world_wait(world, world_started, stage, 60000);
    int64_t sent_ms = net_now_ms();
    for (uint64_t stage = 1; stage <= 500; stage++)
        runner_send_signal(world->peer, stage, 1, NULL);
    for (uint64_t stage = 1; stage <= 500; stage++) {
        world_wait(world, world_over, stage, 60000);
        assert_int_equal(world->stages[stage].exit.signal, SIGTERM);
        world_finish(world, stage, 1, RUNNER_RETAIN_NEVER, false);
    }
    assert_true(net_now_ms() - sent_ms < 20000);
}

static void short_ones_leave_no_directory_and_share_slots(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span argv[] = {MF_SPAN("true")};
    for (uint64_t stage = 1; stage <= 400; stage++) {
        world_shell(&spawn, stage, "");
        spawn.argv = argv;
        spawn.argc = 1;
        assert_int_equal(world_run(world, &spawn)->exit.code, 0);
        world_finish(world, stage, 1, RUNNER_RETAIN_NEVER, false);
    }
    assert_false(world_exists(world, "t1"));
    assert_true(world_exists(world, ".work/@0"));
    assert_false(world_exists(world, ".work/@1"));
}

static void an_orchestrator_that_vanishes_takes_all_along(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "(setsid sleep 1000 &); exec sleep 1000");
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    world_run_for(world, 100);
    assert_true(world_processes() > 0);
    runner_stop(world->peer, 10000); /* what a death looks like to the runner, and an orderly end */
    world->peer = NULL;
    assert_int_equal(world_processes(), 0);
}

static void a_runner_that_is_killed_leaves_nobody(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "(setsid sleep 1000 &); exec sleep 1000");
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    kill((pid_t)world->runner_pid, SIGKILL);
    world_wait(world, world_died, 0, 20000);
    assert_int_equal(world_processes(), 0);
}

static pid_t spawner_of(pid_t runner)
{
    size_t count;
    pid_t found = 0;
    struct tree_process *list = tree_list(&count);
    for (size_t i = 0; i < count; i++)
        if (list[i].parent == runner)
            found = list[i].pid;
    free(list);
    return found;
}

static void a_spawner_that_is_killed_takes_the_runner_and_all_agents(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "(setsid sleep 1000 &); exec sleep 1000");
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    kill(spawner_of((pid_t)world->runner_pid), SIGKILL);
    world_wait(world, world_died, 0, 20000);
    assert_int_equal(world_processes(), 0);
}

static void a_sweep_finds_what_both_left(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_error error;
    world_shell(&spawn, 1, "(setsid sleep 1000 &); exec sleep 1000");
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    world_run_for(world, 100);
    pid_t spawner = spawner_of((pid_t)world->runner_pid);
    kill((pid_t)world->runner_pid, SIGSTOP);
    kill(spawner, SIGKILL);
    kill((pid_t)world->runner_pid, SIGKILL);
    int killed = runner_sweep(world_run_id(), world->run_dir, &error);
    assert_true(killed >= 1); /* the main process died with its spawner (PR_SET_PDEATHSIG) */
    assert_int_equal(world_processes(), 0);
    assert_int_equal(runner_sweep(world_run_id(), world->run_dir, &error), 0);
    world_wait(world, world_died, 0, 20000);
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
        TEST(exit_codes_and_signals),
        TEST(exec_failures_have_their_causes),
        TEST(started_names_the_process),
        TEST(term_reaches_the_whole_tree_within_milliseconds),
        TEST(kill_ends_what_ignores_term_or_is_stopped),
        TEST(term_wakes_a_stopped_agent),
        TEST(a_daemon_dies_with_its_agent),
        TEST(a_child_that_holds_the_pipe_does_not_hold_the_end),
        TEST(a_fork_bomb_is_ended),
        TEST(thousands_of_zombies_are_reaped),
        TEST(stdio_may_be_closed),
        TEST(the_agent_is_alone),
        TEST(five_hundred_agents_at_once),
        TEST(short_ones_leave_no_directory_and_share_slots),
        TEST(an_orchestrator_that_vanishes_takes_all_along),
        TEST(a_runner_that_is_killed_leaves_nobody),
        TEST(a_spawner_that_is_killed_takes_the_runner_and_all_agents),
        TEST(a_sweep_finds_what_both_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
