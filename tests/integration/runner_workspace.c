/* runner_workspace.c - what agents find: files, copies, git, setup, prompt, inputs, the attempt before, the subject of
 * verify */
#include "lib/runner_world.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct runner_prepare prepare_of(uint64_t stage, uint64_t task)
{
    static char paths[WORLD_STAGES_MAX][16];
    snprintf(paths[stage], sizeof paths[stage], "t%llu", (unsigned long long)task);
    return (struct runner_prepare){.stage = stage, .path = mf_span(paths[stage]), .attempt = 1};
}

/* Runs a script in the workspace that was prepared for `task`. */
static struct world_stage *run_in(struct world *world, uint64_t stage, uint64_t task, uint32_t attempt,
                                  const char *script)
{
    struct runner_spawn spawn;
    char path[16];
    snprintf(path, sizeof path, "t%llu", (unsigned long long)task);
    world_shell(&spawn, stage, script);
    spawn.path = mf_span(path);
    spawn.attempt = attempt;
    spawn.prepared = true;
    return world_run(world, &spawn);
}

static struct world_stage *prepare_files(struct world *world, uint64_t stage, const char *file)
{
    struct runner_prepare prepare = prepare_of(stage, stage);
    struct mf_span files[] = {mf_span(file)};
    prepare.files = files;
    prepare.file_count = 1;
    return world_prepare(world, &prepare);
}

static void files_come_with_their_modes(void **state)
{
    struct world *world = *state;
    struct runner_prepare prepare = prepare_of(1, 1);
    struct mf_span files[] = {MF_SPAN("run.sh"), MF_SPAN("template/"), MF_SPAN("./deep/er/file")};
    world_write(world, "run.sh", "#!/bin/sh\nexit 6\n", 0755);
    world_write(world, "template/a", "A", 0644);
    world_write(world, "template/sub/b", "B", 0444);
    world_write(world, "deep/er/file", "C", 0644);
    prepare.files = files;
    prepare.file_count = 3;
    assert_true(world_prepare(world, &prepare)->prepared);
    assert_int_equal(run_in(world, 2, 1, 1,
                            "[ $(cat template/a template/sub/b deep/er/file) = ABC ] && [ ! -x template/a ] && echo > "
                            "template/sub/b && ./run.sh")
                         ->exit.code,
                     6);
    world_finish(world, 1, 1, RUNNER_RETAIN_NEVER, false);
}

static void files_that_cannot_be_had_fail_setup(void **state)
{
    struct world *world = *state;
    world_write(world, "dir/plain", "x", 0600);
    world_command(world, "ln -s /etc/passwd graph/link && ln -s ../.. graph/dir/up && mkfifo graph/fifo");
    static const struct {
        const char *file, *words;
    } cases[] = {{"missing", "No such file"},
                 {"../outside", "not a path below"},
                 {"/etc/passwd", "not a path below"},
                 {"link", "symbolic link"},
                 {"dir/", "symbolic link"},
                 {"dir/up/etc", "symbolic link"},
                 {"fifo", "neither a file nor a directory"},
                 {".", "not a path below"}};
    for (uint64_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world_stage *record = prepare_files(world, i + 1, cases[i].file);
        assert_true(record->failed);
        assert_string_equal(record->class_name, "setup");
        if (strstr(record->reason, cases[i].words) == NULL)
            fail_msg("%s: %s", cases[i].file, record->reason);
    }
}

static void a_workspace_has_a_size_limit(void **state)
{
    struct world *world = *state;
    struct runner_prepare prepare = prepare_of(1, 1);
    world_write(world, "big", "0123456789", 0600);
    struct mf_span files[] = {MF_SPAN("big")};
    prepare.files = files;
    prepare.file_count = 1;
    prepare.workspace_bytes_max = 9;
    struct world_stage *record = world_prepare(world, &prepare);
    assert_true(record->failed);
    assert_non_null(strstr(record->reason, "limits.files_bytes"));
}

static void a_directory_is_copied_with_its_links(void **state)
{
    struct world *world = *state;
    struct runner_prepare prepare = prepare_of(1, 1);
    world_write(world, "project/src/main", "M", 0600);
    world_command(world, "ln -s src/main graph/project/link");
    prepare.kind = RUNNER_WORKSPACE_COPY;
    prepare.copy = MF_SPAN("project");
    assert_true(world_prepare(world, &prepare)->prepared);
    assert_int_equal(run_in(world, 2, 1, 1, "[ -L link ] && [ $(cat link) = M ] && echo changed > link")->exit.code, 0);
    world_command(world, "[ $(cat graph/project/src/main) = M ]");
    prepare = prepare_of(3, 3);
    prepare.kind = RUNNER_WORKSPACE_COPY;
    prepare.copy = MF_SPAN("..");
    assert_string_equal(world_prepare(world, &prepare)->class_name, "setup");
}

static void setup_runs_first_and_fails_with_its_words(void **state)
{
    struct world *world = *state;
    struct mf_span good[] = {MF_SPAN("/bin/sh"), MF_SPAN("-c"), MF_SPAN("echo made > made; echo said")};
    struct mf_span bad[] = {MF_SPAN("/bin/sh"), MF_SPAN("-c"),
                            MF_SPAN("echo first; echo 'no compiler \033[31m' >&2; exit 3")};
    struct mf_span missing[] = {MF_SPAN("./not-there")};
    struct runner_prepare prepare = prepare_of(1, 1);
    prepare.setup = good;
    prepare.setup_count = 3;
    assert_true(world_prepare(world, &prepare)->prepared);
    assert_int_equal(run_in(world, 2, 1, 1, "[ $(cat made) = made ]")->exit.code, 0);
    char *log = world_read(world, "t1/1/setup.log", NULL);
    assert_string_equal(log, "said\n");
    free(log);
    prepare = prepare_of(3, 3);
    prepare.setup = bad;
    prepare.setup_count = 3;
    struct world_stage *record = world_prepare(world, &prepare);
    assert_string_equal(record->class_name, "setup");
    assert_non_null(strstr(record->reason, "setup: exited with status 3: "));
    assert_non_null(strstr(record->reason, "no compiler"));
    assert_null(strchr(record->reason, '\033'));
    prepare = prepare_of(4, 4);
    prepare.setup = missing;
    prepare.setup_count = 1;
    record = world_prepare(world, &prepare);
    assert_string_equal(record->class_name, "setup");
    assert_non_null(strstr(record->reason, "no such program"));
}

static void setup_has_its_timeout(void **state)
{
    struct world *world = *state;
    struct mf_span slow[] = {MF_SPAN("/bin/sh"), MF_SPAN("-c"), MF_SPAN("(setsid sleep 1000 &) ; sleep 1000")};
    struct runner_prepare prepare = prepare_of(1, 1);
    prepare.setup = slow;
    prepare.setup_count = 3;
    prepare.setup_timeout_ms = 300;
    int64_t began_ms = net_now_ms();
    struct world_stage *record = world_prepare(world, &prepare);
    assert_true(net_now_ms() - began_ms < 10000);
    assert_string_equal(record->class_name, "setup");
    assert_non_null(strstr(record->reason, "300ms"));
    assert_int_equal(world_processes(), 0);
}

static void a_prepare_can_be_stopped(void **state)
{
    struct world *world = *state;
    struct mf_span slow[] = {MF_SPAN("sleep"), MF_SPAN("1000")};
    struct runner_prepare prepare = prepare_of(1, 1);
    prepare.setup = slow;
    prepare.setup_count = 2;
    assert_int_equal(runner_send_prepare(world->peer, &prepare, NULL), 0);
    world_run_for(world, 100);
    runner_send_signal(world->peer, 1, 1, NULL);
    world_wait(world, world_over, 1, 20000);
    assert_true(world->stages[1].failed);
    assert_string_equal(world->stages[1].class_name, "infrastructure");
}

static void the_prompt_is_stdin_and_a_file(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1,
                "[ \"$(cat)\" = 'do it' ] && [ \"$(cat $MAYFLY_PROMPT)\" = 'do it' ] && [ ! -w $MAYFLY_PROMPT -o $(id "
                "-u) = 0 ]");
    spawn.prompt = MF_SPAN("do it\n");
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    world_write(world, "prompts/p.md", "from a file", 0600);
    world_shell(&spawn, 2, "[ \"$(cat)\" = 'from a file' ]");
    spawn.prompt_file = MF_SPAN("prompts/p.md");
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    world_shell(&spawn, 3, "exit 0");
    spawn.prompt_file = MF_SPAN("prompts/missing.md");
    struct world_stage *record = world_run(world, &spawn);
    assert_true(record->failed);
    assert_non_null(strstr(record->reason, "prompt"));
    world_shell(&spawn, 4, "[ -z \"$(cat)\" ] && [ -e $MAYFLY_PROMPT ]");
    spawn.prompt = MF_SPAN("");
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
}

static void inputs_show_results_and_outputs(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span globs[] = {MF_SPAN("*.txt")};
    world_shell(&spawn, 1,
                "echo '{\"n\":1}' > $MAYFLY_RESULT; echo out > o.txt; head -c 2000000 /dev/zero > large.txt");
    spawn.collect = globs;
    spawn.collect_count = 1;
    struct world_stage *upstream = world_run(world, &spawn);
    assert_true(upstream->valid);
    struct runner_input inputs[] = {{MF_SPAN("deploy/web"), mf_span(upstream->sha256), MF_SPAN("t1/1/outputs")},
                                    {MF_SPAN("plan"), MF_SPAN(""), MF_SPAN("plan/1/outputs")}};
    world_shell(&spawn, 2,
                "cd $MAYFLY_INPUTS && [ \"$(cat deploy/web/result.json)\" = '{\"n\":1}' ] && [ $(cat "
                "deploy/web/outputs/o.txt) = out ] && [ -d plan ] && [ ! -e plan/result.json ]"
                "&& rm -rf deploy/web/outputs/* && rm deploy/web/result.json");
    spawn.inputs = inputs;
    spawn.input_count = 2;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    assert_true(world_exists(world, "t1/1/outputs/large.txt"));
    char *text = world_read(world, "t1/1/outputs/o.txt", NULL);
    assert_string_equal(text, "out\n");
    free(text);
}

static void a_long_list_of_inputs_travels_as_a_file(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    enum { COUNT = 2000 };
    struct world_stage *upstream = world_run_shell(world, 1, "echo 42 > $MAYFLY_RESULT");
    static struct runner_input inputs[COUNT];
    static char paths[COUNT][24];
    for (int i = 0; i < COUNT; i++) {
        snprintf(paths[i], sizeof paths[i], "item/%d", i);
        inputs[i] = (struct runner_input){mf_span(paths[i]), mf_span(upstream->sha256), MF_SPAN("")};
    }
    world_shell(&spawn, 2, "[ $(cat $MAYFLY_INPUTS/item/*/result.json | wc -l) = 2000 ]");
    spawn.inputs = inputs;
    spawn.input_count = COUNT;
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
    world_command(world, "! ls $RUN/.work | grep -q inputs");
}

static void the_next_attempt_sees_the_one_before(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_run_shell(world, 1, "echo what happened; echo why >&2; exit 1");
    world_shell(&spawn, 2,
                "cd $MAYFLY_PREVIOUS && [ $(cat outcome) = agent ] && [ \"$(cat stdout.log)\" = 'what happened' ] && [ "
                "$(cat stderr.log) = why ] && [ $MAYFLY_ATTEMPT = 2 ]");
    spawn.path = MF_SPAN("t1");
    spawn.attempt = 2;
    spawn.previous_attempt = 1;
    spawn.previous_outcome = MF_SPAN("agent");
    assert_int_equal(world_run(world, &spawn)->exit.code, 0);
}

static void continue_keeps_the_workspace_and_nothing_else(void **state)
{
    struct world *world = *state;
    struct runner_prepare prepare = prepare_of(2, 1);
    world_run_shell(world, 1, "echo progress > work; echo secret > $HOME/h; echo 1 > $MAYFLY_RESULT; exit 1");
    world_finish(world, 1, 1, RUNNER_RETAIN_NEVER, true);
    prepare.attempt = 2;
    prepare.kind = RUNNER_WORKSPACE_CONTINUE;
    assert_true(world_prepare(world, &prepare)->prepared);
    struct world_stage *record =
        run_in(world, 3, 1, 2, "[ $(cat work) = progress ] && [ ! -e $HOME/h ] && [ ! -e $MAYFLY_RESULT ]");
    assert_int_equal(record->exit.code, 0);
    assert_string_equal(record->sha256, "");
    world_finish(world, 1, 2, RUNNER_RETAIN_NEVER, false);
    assert_int_equal(world_run_shell(world, 4, "[ ! -e work ]")->exit.code, 0);
}

static void continue_without_a_workspace_starts_afresh(void **state)
{
    struct world *world = *state;
    struct runner_prepare prepare = prepare_of(1, 1);
    world_write(world, "f", "F", 0600);
    struct mf_span files[] = {MF_SPAN("f")};
    prepare.kind = RUNNER_WORKSPACE_CONTINUE;
    prepare.files = files;
    prepare.file_count = 1;
    assert_true(world_prepare(world, &prepare)->prepared);
    assert_int_equal(run_in(world, 2, 1, 1, "[ $(cat f) = F ]")->exit.code, 0);
}

static void a_retained_workspace_stays_with_the_attempt(void **state)
{
    struct world *world = *state;
    world_run_shell(world, 1, "echo evidence > file; exit 1");
    world_finish(world, 1, 1, RUNNER_RETAIN_WORKSPACE, false);
    world_run_shell(world, 2, "exit 0");
    char *text = world_read(world, "t1/1/workspace/file", NULL);
    assert_string_equal(text, "evidence\n");
    free(text);
}

static struct world_stage *verify(struct world *world, uint64_t stage, const char *script, const struct mf_span *files,
                                  uint32_t file_count)
{
    struct runner_spawn spawn;
    world_shell(&spawn, stage, script);
    spawn.path = MF_SPAN("t1");
    spawn.verify = true;
    spawn.files = files;
    spawn.file_count = file_count;
    return world_run(world, &spawn);
}

static void verify_sees_the_subject_and_its_own_files(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    struct mf_span globs[] = {MF_SPAN("*.txt")}, files[] = {MF_SPAN("check.sh")};
    world_write(world, "check.sh",
                "#!/bin/sh\necho checking; [ $(cat $MAYFLY_SUBJECT/workspace/w) = W ] && [ $(cat "
                "$MAYFLY_SUBJECT/outputs/o.txt) = O ] && [ $(cat $MAYFLY_SUBJECT/result.json) = 7 ]\n",
                0755);
    world_shell(&spawn, 1, "echo W > w; echo O > o.txt; echo 7 > $MAYFLY_RESULT; echo forged > check.sh");
    spawn.collect = globs;
    spawn.collect_count = 1;
    world_run(world, &spawn);
    struct world_stage *record =
        verify(world, 2, "./check.sh && [ $(ls | wc -l) = 1 ] && [ -z \"$MAYFLY_RESULT\" ]", files, 1);
    assert_int_equal(record->exit.code, 0);
    assert_true(record->valid);
    char *log = world_read(world, "t1/1/verify.log", NULL);
    assert_string_equal(log, "checking\n");
    free(log);
    assert_int_equal(verify(world, 3, "exit 5", NULL, 0)->exit.code, 5);
    world_finish(world, 1, 1, RUNNER_RETAIN_NEVER, false);
}

static void finish_waits_for_the_stage(void **state)
{
    struct world *world = *state;
    struct runner_spawn spawn;
    world_shell(&spawn, 1, "sleep 0.3; echo x > f; exit 8");
    world_send(world, &spawn);
    world_finish(world, 1, 1, RUNNER_RETAIN_WORKSPACE, false);
    world_wait(world, world_over, 1, 20000);
    assert_int_equal(world->stages[1].exit.code, 8);
    world_run_shell(world, 2, "exit 0");
    assert_true(world_exists(world, "t1/1/workspace/f"));
}

/* --- git --- */

#define GIT "git -c user.name=a -c user.email=b -c init.defaultBranch=main"

static struct world_stage *prepare_git(struct world *world, uint64_t stage, const char *url, const char *ref)
{
    struct runner_prepare prepare = prepare_of(stage, stage);
    prepare.kind = RUNNER_WORKSPACE_GIT;
    prepare.git_url = mf_span(url);
    prepare.git_ref = mf_span(ref);
    return world_prepare(world, &prepare);
}

static void a_git_workspace_is_a_clone_of_its_own(void **state)
{
    struct world *world = *state;
    char commit[128];
    world_command(
        world,
        "mkdir graph/repo && cd graph/repo && " GIT " init -q && echo 1 > f && " GIT " add f && " GIT
        " commit -qm one && " GIT " tag v1 &&"
        "printf '#!/bin/sh\\ntouch ../hooked\\n' > .git/hooks/post-checkout && chmod +x .git/hooks/post-checkout &&"
        "echo 2 > f && " GIT " commit -qam two && git rev-parse HEAD > ../../head");
    struct world_stage *record = prepare_git(world, 1, "./repo", "main");
    if (record->failed)
        fail_msg("%s", record->reason);
    assert_int_equal(strlen(record->commit), 40);
    snprintf(commit, sizeof commit, "[ $(cat head) = %s ]", record->commit);
    world_command(world, commit);
    assert_int_equal(run_in(world, 2, 1, 1,
                            "[ $(cat f) = 2 ] && [ $(git rev-parse --abbrev-ref HEAD) = main ] && [ ! -e "
                            ".git/objects/info/alternates ] && git log --oneline | grep -q one")
                         ->exit.code,
                     0);
    assert_true(prepare_git(world, 3, "./repo", "v1")->prepared);
    assert_int_equal(run_in(world, 4, 3, 1, "[ $(cat f) = 1 ]")->exit.code, 0);
    record = prepare_git(world, 5, "./repo", "no-such-ref");
    assert_string_equal(record->class_name, "setup");
    assert_non_null(strstr(record->reason, "no ref"));
    /* the mirror follows */
    world_command(world, "cd graph/repo && echo 3 > f && " GIT " commit -qam three");
    assert_true(prepare_git(world, 6, "./repo", "")->prepared);
    assert_int_equal(run_in(world, 7, 6, 1, "[ $(cat f) = 3 ]")->exit.code, 0);
    world_command(world, "[ $(ls mirrors | grep -v lock | wc -l) = 1 ] && [ ! -e graph/hooked ]");
}

static void git_refuses_what_it_should(void **state)
{
    struct world *world = *state;
    struct world_stage *record = prepare_git(world, 1, "./not-a-repository", "main");
    assert_string_equal(record->class_name, "setup");
    record = prepare_git(world, 2, "ext::sh -c touch% /tmp/mayfly-owned", "main");
    assert_string_equal(record->class_name, "setup");
    record = prepare_git(world, 3, "--upload-pack=touch /tmp/mayfly-owned", "main");
    assert_true(record->failed);
    record = prepare_git(world, 4, "./repo", "--output=/tmp/mayfly-owned");
    assert_true(record->failed);
    world_command(world, "[ ! -e /tmp/mayfly-owned ]");
    record = prepare_git(world, 5, "https://user:secret-password@127.0.0.1:1/x.git", "main");
    assert_string_equal(record->class_name, "setup");
    assert_null(strstr(record->reason, "secret-password"));
}

static void many_clones_at_once_share_one_fetch(void **state)
{
    struct world *world = *state;
    struct runner_prepare prepare;
    world_command(world, "mkdir graph/repo && cd graph/repo && " GIT " init -q && echo 1 > f && " GIT " add f && " GIT
                         " commit -qm one");
    for (uint64_t stage = 1; stage <= 20; stage++) {
        prepare = prepare_of(stage, stage);
        prepare.kind = RUNNER_WORKSPACE_GIT;
        prepare.git_url = MF_SPAN("./repo");
        prepare.base = mf_span(world->base);
        assert_int_equal(runner_send_prepare(world->peer, &prepare, NULL), 0);
    }
    for (uint64_t stage = 1; stage <= 20; stage++) {
        world_wait(world, world_over, stage, 60000);
        if (!world->stages[stage].prepared)
            fail_msg("%s", world->stages[stage].reason);
    }
    assert_int_equal(run_in(world, 30, 20, 1, "[ $(cat f) = 1 ]")->exit.code, 0);
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
        TEST(files_come_with_their_modes),
        TEST(files_that_cannot_be_had_fail_setup),
        TEST(a_workspace_has_a_size_limit),
        TEST(a_directory_is_copied_with_its_links),
        TEST(setup_runs_first_and_fails_with_its_words),
        TEST(setup_has_its_timeout),
        TEST(a_prepare_can_be_stopped),
        TEST(the_prompt_is_stdin_and_a_file),
        TEST(inputs_show_results_and_outputs),
        TEST(a_long_list_of_inputs_travels_as_a_file),
        TEST(the_next_attempt_sees_the_one_before),
        TEST(continue_keeps_the_workspace_and_nothing_else),
        TEST(continue_without_a_workspace_starts_afresh),
        TEST(a_retained_workspace_stays_with_the_attempt),
        TEST(verify_sees_the_subject_and_its_own_files),
        TEST(finish_waits_for_the_stage),
        TEST(a_git_workspace_is_a_clone_of_its_own),
        TEST(git_refuses_what_it_should),
        TEST(many_clones_at_once_share_one_fetch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
