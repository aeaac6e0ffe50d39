/* runner_collect.c - what agents leave: results that are taken or refused, outputs by globs, and hostile trees */
#include "lib/runner_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void a_result_is_kept_by_its_hash(void **state)
{
    struct world *world = *state;
    char path[128];
    struct world_stage *record = world_run_shell(world, 1, "printf '{\"a\": [1, 2]}' > \"$MAYFLY_RESULT\"");
    assert_true(record->valid);
    assert_int_equal(strlen(record->sha256), 64);
    assert_int_equal(record->result_bytes, 13);
    snprintf(path, sizeof path, "results/%s.json", record->sha256);
    char *text = world_read(world, path, NULL);
    assert_string_equal(text, "{\"a\": [1, 2]}");
    free(text);
    char command[256];
    snprintf(command, sizeof command, "echo \"%s  $RUN/%s\" | sha256sum -c --quiet", record->sha256, path);
    world_command(world, command);
    struct stat about;
    assert_int_equal(fstatat(world->run_fd, path, &about, 0), 0);
    assert_int_equal(about.st_mode & 07777, 0400);
    struct world_stage *same = world_run_shell(world, 2, "printf '{\"a\": [1, 2]}' > \"$MAYFLY_RESULT\"; exit 3");
    assert_true(same->valid && same->exit.code == 3);
    assert_string_equal(same->sha256, record->sha256);
}

static void no_result_is_fine(void **state)
{
    struct world *world = *state;
    struct world_stage *record = world_run_shell(world, 1, "exit 0");
    assert_true(record->valid);
    assert_string_equal(record->sha256, "");
    assert_false(world_exists(world, "results"));
}

static void bad_results_fail_the_agent_with_the_cause(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *script, *words;
    } cases[] = {
        {"echo '{\"a\":1,\"a\":2}' > $MAYFLY_RESULT", "duplicate key"},
        {"echo '[01]' > $MAYFLY_RESULT", "not valid JSON"},
        {": > $MAYFLY_RESULT", "not valid JSON"},
        {"ln -s /etc/passwd $MAYFLY_RESULT", "symbolic link"},
        {"mkfifo $MAYFLY_RESULT", "no regular file"},
        {"mkdir $MAYFLY_RESULT", "no regular file"},
        {"echo 1 > x; ln x $MAYFLY_RESULT", "hard link"},
        {"truncate -s 1T $MAYFLY_RESULT", "result_bytes_max"},
        {"head -c 1048577 /dev/zero > $MAYFLY_RESULT", "result_bytes_max"},
        {"printf '\"\\377\"' > $MAYFLY_RESULT", "not valid JSON"},
    };
    for (uint64_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world_stage *record = world_run_shell(world, i + 1, cases[i].script);
        assert_true(record->resulted);
        assert_int_equal(record->exit.code, 0);
        assert_false(record->valid);
        assert_string_equal(record->class_name, "agent");
        if (strstr(record->reason, cases[i].words) == NULL)
            fail_msg("case %d: %s", (int)i, record->reason);
    }
}

static struct world_stage *collect(struct world *world, uint64_t stage, const char *script, const char *glob,
                                   uint64_t bytes_max, uint32_t files_max)
{
    struct runner_spawn spawn;
    struct mf_span globs[] = {mf_span(glob)};
    world_shell(&spawn, stage, script);
    spawn.collect = globs;
    spawn.collect_count = 1;
    spawn.outputs_bytes_max = bytes_max;
    spawn.outputs_files_max = files_max;
    return world_run(world, &spawn);
}

static void outputs_are_copied_with_their_mode(void **state)
{
    struct world *world = *state;
    struct stat about;
    struct world_stage *record = collect(
        world, 1,
        "mkdir -p dist/a/b; echo one > dist/one; echo two > dist/a/b/two; chmod +x dist/one; echo no > other; exit 3",
        "dist/**", 0, 0);
    assert_true(record->valid);
    assert_int_equal(record->exit.code, 3);
    assert_int_equal(record->output_files, 2);
    assert_int_equal(record->output_bytes, 8);
    char *text = world_read(world, "t1/1/outputs/dist/a/b/two", NULL);
    assert_string_equal(text, "two\n");
    free(text);
    assert_int_equal(fstatat(world->run_fd, "t1/1/outputs/dist/one", &about, 0), 0);
    assert_int_equal(about.st_mode & 07777, 0500);
    assert_false(world_exists(world, "t1/1/outputs/other"));
    assert_false(world_exists(world, "t1/1/outputs.refused"));
}

static void nothing_collected_makes_no_directory(void **state)
{
    struct world *world = *state;
    struct world_stage *record = collect(world, 1, "exit 0", "dist/**", 0, 0);
    assert_true(record->valid);
    assert_int_equal(record->output_files, 0);
    assert_false(world_exists(world, "t1"));
}

static void hostile_entries_are_refused_and_listed(void **state)
{
    struct world *world = *state;
    struct world_stage *record =
        collect(world, 1,
                "mkdir d; echo good > d/good; ln -s /etc/passwd d/link; ln -s /etc d/dirlink; mkfifo d/fifo; echo x > "
                "y; ln y d/hard;"
                "echo n > 'd/new\nline'; echo z > \"$(printf 'd/bad\\377')\"; mkdir d/shut; echo in > d/shut/in; chmod "
                "000 d/shut;"
                "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"d/sock\")' 2>/dev/null; exit 0",
                "**", 0, 0);
    assert_true(record->valid);
    char *refused = world_read(world, "t1/1/outputs.refused", NULL);
    assert_non_null(refused);
    assert_non_null(strstr(refused, "d/link: a symbolic link"));
    assert_non_null(strstr(refused, "d/dirlink: a symbolic link"));
    assert_non_null(strstr(refused, "d/fifo: "));
    assert_non_null(strstr(refused, "d/hard: a hard link"));
    assert_non_null(strstr(refused, "d/new"));
    assert_null(strstr(refused, "new\nline"));
    assert_non_null(strstr(refused, "control character"));
    free(refused);
    char *text = world_read(world, "t1/1/outputs/d/good", NULL);
    assert_string_equal(text, "good\n");
    free(text);
    assert_true(world_exists(world, "t1/1/outputs/d/shut/in"));
    assert_false(world_exists(world, "t1/1/outputs/d/link"));
    assert_false(world_exists(world, "t1/1/outputs/d/fifo"));
}

static void limits_fail_the_agent_by_name(void **state)
{
    struct world *world = *state;
    struct world_stage *record = collect(world, 1, "for i in 1 2 3 4 5 6; do echo $i > $i; done", "*", 0, 5);
    assert_false(record->valid);
    assert_string_equal(record->class_name, "agent");
    assert_non_null(strstr(record->reason, "limits.outputs_files"));
    record = collect(world, 2, "truncate -s 1T sparse", "*", 1 << 20, 0);
    assert_false(record->valid);
    assert_non_null(strstr(record->reason, "limits.outputs_bytes"));
}

static void a_deep_and_a_wide_tree_are_survived(void **state)
{
    struct world *world = *state;
    struct world_stage *record = collect(
        world, 1, "i=0; while [ $i -lt 200 ]; do mkdir d && cd d || exit 9; i=$((i+1)); done; exit 0", "**", 0, 0);
    assert_int_equal(record->exit.code, 0);
    assert_true(record->valid);
    char *refused = world_read(world, "t1/1/outputs.refused", NULL);
    assert_non_null(refused);
    assert_non_null(strstr(refused, "too deep"));
    free(refused);
    world_finish(world, 1, 1, RUNNER_RETAIN_NEVER, false);
    record = collect(world, 2, "i=0; while [ $i -lt 600 ]; do : > f$i; i=$((i+1)); done; exit 0", "*", 0, 500);
    assert_string_equal(record->class_name, "agent");
    assert_non_null(strstr(record->reason, "limits.outputs_files"));
    world_finish(world, 2, 1, RUNNER_RETAIN_NEVER, false);
}

static void a_bad_result_still_brings_the_outputs(void **state)
{
    struct world *world = *state;
    struct world_stage *record = collect(world, 1, "echo nonsense > $MAYFLY_RESULT; echo why > why.txt", "*.txt", 0, 0);
    assert_false(record->valid);
    assert_int_equal(record->output_files, 1);
    assert_true(world_exists(world, "t1/1/outputs/why.txt"));
}

static void an_agent_may_remove_its_workspace(void **state)
{
    struct world *world = *state;
    struct world_stage *record = collect(world, 1, "rm -rf \"$PWD\"; exit 0", "**", 0, 0);
    assert_false(record->valid);
    assert_string_equal(record->class_name, "agent");
    world_finish(world, 1, 1, RUNNER_RETAIN_NEVER, false);
    assert_int_equal(world_run_shell(world, 2, "touch works; exit 0")->exit.code, 0);
    record = world_run_shell(world, 3, "rm -rf \"$HOME/..\"; exit 0");
    assert_true(record->resulted);
    world_finish(world, 3, 1, RUNNER_RETAIN_NEVER, false);
    assert_int_equal(world_run_shell(world, 4, "touch works \"$HOME/works\"; exit 0")->exit.code, 0);
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
        TEST(a_result_is_kept_by_its_hash),
        TEST(no_result_is_fine),
        TEST(bad_results_fail_the_agent_with_the_cause),
        TEST(outputs_are_copied_with_their_mode),
        TEST(nothing_collected_makes_no_directory),
        TEST(hostile_entries_are_refused_and_listed),
        TEST(limits_fail_the_agent_by_name),
        TEST(a_deep_and_a_wide_tree_are_survived),
        TEST(a_bad_result_still_brings_the_outputs),
        TEST(an_agent_may_remove_its_workspace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
