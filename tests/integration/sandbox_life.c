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

/* --- ends --- */

static void ends_are_exact(void **state)
{
    struct world *world = *state;
    static const int numbers[] = {SIGHUP, SIGINT, SIGKILL, SIGSEGV, SIGTERM, SIGSYS};
    assert_int_equal(run_walled(world, 1, "exit 3")->exit.code, 3);
    assert_int_equal(run_walled(world, 2, "exit 255")->exit.code, 255);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char script[64];
        snprintf(script, sizeof script, "kill -%d $$; sleep 5", numbers[i]);
        struct world_stage *record = run_walled(world, 3 + i, script);
        assert_int_equal(record->exit.code, -1);
        assert_int_equal(record->exit.signal, numbers[i]);
    }
    struct world_stage *record = run_walled(world, 20, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    assert_true(record->exit.user_ms + record->exit.system_ms > 0);
    assert_true(record->exit.rss_bytes_max > 100000);
}

static void a_command_that_cannot_run_is_the_agents_fault(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *program, *words;
    } cases[] = {{"no-such-program-anywhere", "no such program"},
                 {"/no/such/file", "no such program"},
                 {"/etc/passwd", "not executable"},
                 {"/mayfly/home", "not executable"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct runner_spawn spawn;
        struct mf_span argv[] = {mf_span(cases[i].program)};
        world_shell(&spawn, i + 1, "");
        spawn.argv = argv;
        spawn.argc = 1;
        spawn.walls.sandbox = true;
        struct world_stage *record = world_run(world, &spawn);
        assert_true(record->failed && !record->started);
        assert_string_equal(record->class_name, "agent");
        assert_non_null(strstr(record->reason, cases[i].words));
    }
}

static void send_walled(struct world *world, uint64_t stage, const char *script)
{
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    spawn.walls.sandbox = true;
    world_send(world, &spawn);
    world_wait(world, world_started, stage, 20000);
}

static void signal_stage(struct world *world, uint64_t stage, uint32_t level)
{
    runner_send_signal(world->peer, stage, level, NULL);
}

/* Grace: SIGTERM reaches the main process, its children and a daemon, and what they still do counts. */
static void term_reaches_all_and_leaves_them_time(void **state)
{
    struct world *world = *state;
    send_walled(
        world, 1,
        "(setsid sh -c 'trap \"echo daemon; exit 0\" TERM; sleep 100 & wait' &); (trap 'echo child; exit 0' TERM; "
        "sleep 100 & wait) & trap 'sleep 0.3; echo main; exit 7' TERM; sleep 100 & echo ready; wait");
    world_run_for(world, 300);
    signal_stage(world, 1, 1);
    world_wait(world, world_over, 1, 20000);
    assert_int_equal(world->stages[1].exit.code, 7);
    char *text = said(world, 1);
    assert_non_null(strstr(text, "daemon"));
    assert_non_null(strstr(text, "child"));
    assert_non_null(strstr(text, "main"));
    free(text);
}

static void kill_ends_what_ignores_term_or_is_stopped(void **state)
{
    struct world *world = *state;
    send_walled(world, 1, "trap '' TERM; while :; do sleep 1; done");
    send_walled(world, 2, "kill -STOP $$; sleep 100");
    send_walled(world, 3, "kill -STOP $$; sleep 100");
    world_run_for(world, 300);
    signal_stage(world, 1, 1);
    signal_stage(world, 3, 1);
    world_wait(world, world_over, 3, 20000);
    assert_int_equal(world->stages[3].exit.signal, SIGTERM); /* woken to hear it */
    world_run_for(world, 200);
    assert_false(world->stages[1].exited);
    int64_t sent_ms = net_now_ms();
    signal_stage(world, 1, 2);
    signal_stage(world, 2, 2);
    world_wait(world, world_over, 1, 20000);
    world_wait(world, world_over, 2, 20000);
    assert_int_equal(world->stages[1].exit.signal, SIGKILL);
    assert_int_equal(world->stages[2].exit.signal, SIGKILL);
    assert_true(world->stages[1].exited_ms - sent_ms < 2000 && world->stages[2].exited_ms - sent_ms < 2000);
}

static void what_an_agent_leaves_dies_with_it(void **state)
{
    struct world *world = *state;
    char script[256], search[96];
    int unique = 5000000 + (int)getpid(); /* seconds: only ours sleep so long */
    snprintf(script, sizeof script,
             "(setsid sh -c 'setsid sleep %d & setsid env -i sleep %d & sleep %d' &) ; sleep 0.3; exit 4", unique,
             unique, unique);
    assert_int_equal(run_walled(world, 1, script)->exit.code, 4);
    assert_int_equal(world_processes(), 0);
    snprintf(search, sizeof search, "! pgrep -f '^sleep %d$' >/dev/null", unique);
    world_command(world, search);
}

static void orphans_are_reaped(void **state)
{
    struct world *world = *state;
    /* each (...) & leaves an orphan; what is not reaped would stand in /proc as a zombie */
    struct world_stage *record = run_walled(
        world, 1,
        "n=0; while [ $n -lt 500 ]; do (sh -c ':' &); n=$((n+1)); done; sleep 0.5; ls -d /proc/[0-9]* | wc -l");
    assert_int_equal(record->exit.code, 0);
    char *text = said(world, 1);
    assert_true(strtol(text, NULL, 10) < 12);
    free(text);
    record = run_walled(world, 2, "n=0; while [ $n -lt 1500 ]; do (:) & n=$((n+1)); done; exec sleep 0.1");
    assert_int_equal(record->exit.code, 0);
}

static void a_fork_bomb_stays_inside(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "b() { b | b & sleep 0.1; }; while :; do b; done 2>/dev/null");
    spawn.walls.sandbox = true;
    spawn.walls.pids = 64;
    world_send(world, &spawn);
    world_wait(world, world_started, 1, 20000);
    world_run_for(world, 500);
    assert_true(world_processes() <= 68); /* and bubblewrap, mayfly-init */
    assert_int_equal(run_walled(world, 2, "(:) & (:) & wait; echo fine")->exit.code,
                     0); /* its sibling is not hindered */
    int64_t sent_ms = net_now_ms();
    signal_stage(world, 1, 2);
    world_wait(world, world_over, 1, 20000);
    assert_true(world->stages[1].exited_ms - sent_ms < 2000);
    assert_int_equal(world_processes(), 0);
}

static void an_agent_kills_only_its_own(void **state)
{
    struct world *world = *state;
    send_walled(world, 1, "sleep 1.5; echo lives");
    struct world_stage *record =
        run_walled(world, 2, "sleep 100 & kill -KILL -1; kill -KILL 1; kill -KILL $PPID; echo still; exit 6");
    assert_int_equal(record->exit.code, 6);
    world_wait(world, world_over, 1, 20000);
    assert_int_equal(world->stages[1].exit.code, 0);
    expect_said(world, 1, "lives\n");
}

static void a_runner_that_is_killed_leaves_nobody(void **state)
{
    struct world *world = *state;
    send_walled(world, 1, "trap '' TERM; while :; do sleep 1; done");
    send_walled(world, 2, "(setsid env -i sleep 1000 &) ; sleep 1000");
    kill((pid_t)world->runner_pid, SIGKILL);
    world_wait(world, world_died, 0, 20000);
    for (int i = 0; i < 200 && world_processes() > 0; i++)
        world_run_for(world, 20);
    assert_int_equal(world_processes(), 0);
}

static void two_hundred_at_once(void **state)
{
    struct world *world = *state;
    for (uint64_t stage = 1; stage <= 200; stage++) {
        struct runner_spawn spawn;
        world_shell(&spawn, stage, "sleep 0.2; exit 5");
        spawn.walls.sandbox = true;
        world_send(world, &spawn);
    }
    for (uint64_t stage = 1; stage <= 200; stage++) {
        world_wait(world, world_over, stage, 60000);
        assert_int_equal(world->stages[stage].exit.code, 5);
    }
}

/* --- slots --- */

/* An agent shuts, removes and replaces its directories; the next one in the slot sees nothing of it. */
static void spoiled_directories_are_nobodys_trouble(void **state)
{
    struct world *world = *state;
    static const char *const scripts[] = {
        "chmod 000 /mayfly/ws /mayfly/home /mayfly; exit 0",
        "mkdir -p a/b; echo x > a/b/c; chmod 000 a/b a .; exit 0",
        "cd /; rm -rf /mayfly/ws /mayfly/home; exit 0",
        "cd /; mv /mayfly/ws /mayfly/home/; ln -s /etc /mayfly/ws; exit 0",
        "touch -d 2001-02-03 /mayfly /mayfly/ws /mayfly/home; exit 0",
        ("i=0; while [ $i -lt 400 ]; do : >a-rather-long-name-of-a-file-to-let-the-directory-grow-$i; i=$((i+1)); done; "
         "rm *; exit 0"),
        "python3 -c 'import os; os.setxattr(\"/mayfly/ws\", \"user.left\", b\"word\")' 2>/dev/null; exit 0",
    };
    for (uint64_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct world_stage *record = run_walled(world, 2 * i + 1, scripts[i]);
        assert_false(record->failed);
        assert_int_equal(record->exit.code, 0);
        world_finish(world, 2 * i + 1, 1, RUNNER_RETAIN_NEVER, false);
        record = run_walled(
            world, 2 * i + 2,
            "find /mayfly -mindepth 1 | sort; find /mayfly ! -newermt 2015-01-01; touch ws-is-writable && rm "
            "ws-is-writable; stat -c %a /mayfly/ws; [ $(stat -c %s /mayfly/ws) = $(stat -c %s /mayfly/home) ] || echo "
            "large; python3 -c 'import os; print(os.listxattr(\"/mayfly/ws\"))' 2>/dev/null | grep user; true");
        assert_int_equal(record->exit.code, 0);
        expect_said(world, 2 * i + 2, "/mayfly/home\n/mayfly/ws\n700\n");
        world_finish(world, 2 * i + 2, 1, RUNNER_RETAIN_NEVER, false);
    }
}

/* Sandboxed and not, in turn in the same slot: each owns its directories. */
static void walls_come_and_go_in_one_slot(void **state)
{
    struct world *world = *state;
    for (uint64_t stage = 1; stage <= 6; stage += 2) {
        assert_int_equal(run_walled(world, stage, "[ $(stat -c %u .) = $(id -u) ] && touch f && rm f")->exit.code, 0);
        world_finish(world, stage, 1, RUNNER_RETAIN_NEVER, false);
        struct world_stage *record =
            world_run_shell(world, stage + 1, "[ $(stat -c %u .) = $(id -u) ] && touch f && rm f");
        assert_int_equal(record->exit.code, 0);
        world_finish(world, stage + 1, 1, RUNNER_RETAIN_NEVER, false);
    }
}

static void what_is_kept_is_ours(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span globs[] = {MF_SPAN("**")};
    char command[512];
    world_shell(
        &spawn, 1,
        "mkdir d; echo evidence > d/file; ln -s /etc/passwd link; chmod 4755 d/file; echo 7 > $MAYFLY_RESULT; exit 1");
    spawn.walls.sandbox = true;
    spawn.collect = globs;
    spawn.collect_count = 1;
    struct world_stage *record = world_run(world, &spawn);
    assert_int_equal(record->exit.code, 1);
    assert_int_equal(record->output_files, 1);
    world_finish(world, 1, 1, RUNNER_RETAIN_WORKSPACE, false);
    run_walled(world, 2, "exit 0");
    world_run_for(world, 300);
    snprintf(command, sizeof command,
             "cd \"$RUN\" && [ \"$(cat t1/1/workspace/d/file)\" = evidence ] && [ -L t1/1/workspace/link ] && "
             "[ -z \"$(find t1 results ! -uid %d)\" ] && [ \"$(cat t1/1/outputs/d/file)\" = evidence ] && [ %d != 0 "
             "-o -z \"$(find t1 -perm /6000)\" ]", /* what changes its owner loses these bits */
             (int)getuid(), (int)getuid());
    world_command(world, command);
}

static void what_is_shown_cannot_be_changed(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1,
                "cat; cat $MAYFLY_PROMPT; (echo x >> $MAYFLY_PROMPT) 2>/dev/null || echo refused; chmod 777 /mayfly/in "
                "2>/dev/null || echo refused; rm -rf /mayfly/in 2>/dev/null; (echo x > /mayfly/in/new) 2>/dev/null || "
                "echo refused");
    spawn.walls.sandbox = true;
    spawn.prompt = MF_SPAN("do it\n");
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    expect_said(world, 1, "do it\ndo it\nrefused\nrefused\nrefused\n");
}

static struct world_stage *verify(struct world *world, uint64_t stage, const char *script)
{
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    spawn.path = MF_SPAN("t1");
    spawn.verify = true;
    spawn.walls.sandbox = true;
    return world_run(world, &spawn);
}

static void verify_sees_the_subject_read_only(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span globs[] = {MF_SPAN("*.txt")};
    world_shell(&spawn, 1, "echo W > w; echo O > o.txt; echo 7 > $MAYFLY_RESULT; chmod 000 /mayfly/ws /mayfly");
    spawn.walls.sandbox = true;
    spawn.collect = globs;
    spawn.collect_count = 1;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    struct world_stage *record =
        verify(world, 2,
               "cd $MAYFLY_SUBJECT && [ $(cat workspace/w) = W ] && [ $(cat outputs/o.txt) = O ] && [ $(cat "
               "result.json) = 7 ] "
               "&& ! touch workspace/new 2>/dev/null && ! rm outputs/o.txt 2>/dev/null && ! touch new 2>/dev/null");
    assert_false(record->failed);
    assert_int_equal(record->exit.code, 0);
}

/* The workspace became a link to a place of the host: verify is not shown that place. */
static void verify_is_not_led_astray(void **state)
{
    struct world *world = *state;
    run_walled(world, 1, "cd /; rm -rf /mayfly/ws; ln -s /etc /mayfly/ws");
    struct world_stage *record =
        verify(world, 2, "[ -d $MAYFLY_SUBJECT/workspace ] && [ -z \"$(ls -A $MAYFLY_SUBJECT/workspace)\" ]");
    assert_false(record->failed);
    assert_int_equal(record->exit.code, 0);
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
        TEST(ends_are_exact),
        TEST(a_command_that_cannot_run_is_the_agents_fault),
        TEST(term_reaches_all_and_leaves_them_time),
        TEST(kill_ends_what_ignores_term_or_is_stopped),
        TEST(what_an_agent_leaves_dies_with_it),
        TEST(orphans_are_reaped),
        TEST(a_fork_bomb_stays_inside),
        TEST(an_agent_kills_only_its_own),
        TEST(a_runner_that_is_killed_leaves_nobody),
        TEST(two_hundred_at_once),
        TEST(spoiled_directories_are_nobodys_trouble),
        TEST(walls_come_and_go_in_one_slot),
        TEST(what_is_kept_is_ours),
        TEST(what_is_shown_cannot_be_changed),
        TEST(verify_sees_the_subject_read_only),
        TEST(verify_is_not_led_astray),
    };
    return cmocka_run_group_tests_name("sandbox_life", tests, NULL, NULL);
}
