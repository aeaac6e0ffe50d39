/* sandbox_launch.c - what stands in command lines and environments, what is closed again, what is too much; limits as they are written */
#include "sandbox/sandbox.h"

#include "base/alloc.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct sandbox_base *base;
static char directory[64];

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static char *const argv_of_agent[] = {(char *)(uintptr_t) "/bin/agent", (char *)(uintptr_t) "MFYCANARY-argument", NULL};
static char *const environment_of_agent[] = {(char *)(uintptr_t) "TOKEN=MFYCANARY-token",
                                             (char *)(uintptr_t) "MAYFLY_SPAWN=run-mark", NULL};
static const struct sandbox_spec nothing;

static int make(struct sandbox_launch *launch, const struct sandbox_spec *spec, struct mf_error *error)
{
    int slot = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sandbox_launch_spec what = {.spec = spec,
                                       .slot_fd = slot,
                                       .has_in = true,
                                       .ports = (uint16_t[]){8787},
                                       .port_count = 1,
                                       .argv = argv_of_agent,
                                       .environment = environment_of_agent};
    int result = sandbox_launch_make(launch, base, &what, error);
    close(slot);
    return result;
}

static void nothing_of_the_agent_is_in_a_command_line(void **state)
{
    (void)state;
    struct sandbox_launch launch;
    unsigned before = descriptors();
    assert_int_equal(make(&launch, &nothing, NULL), 0);
    for (char *const *at = launch.argv; *at != NULL; at++)
        assert_null(strstr(*at, "MFYCANARY"));
    assert_string_equal(launch.environment[0], "MAYFLY_SPAWN=run-mark");
    assert_null(launch.environment[1]);
    assert_true(launch.keep_count > 3 && launch.control_fd >= 0);
    for (uint32_t i = 0; i < launch.keep_count; i++)
        assert_int_equal(fcntl(launch.keep_fds[i], F_GETFD), FD_CLOEXEC); /* until the child says otherwise */
    sandbox_launch_free(&launch);
    assert_int_equal(descriptors(), before);
}

/* Each allocation in turn: a launch or an error, and nothing stays open. */
static void without_memory_there_is_no_launch(void **state)
{
    (void)state;
    unsigned before = descriptors();
    bool failed = false, made = false;
    for (int64_t at = 0; at < 40; at++) {
        struct sandbox_launch launch;
        struct mf_error error = {.code = MF_NONE};
        mf_alloc_fail_after(at, 1);
        int result = make(&launch, &nothing, &error);
        mf_alloc_fail_after(-1, 0);
        failed |= result != 0;
        made |= result == 0;
        if (result == 0)
            sandbox_launch_free(&launch);
        else
            assert_int_not_equal(error.code, MF_NONE);
        assert_int_equal(descriptors(), before);
    }
    assert_true(failed && made);
}

static void without_descriptors_there_is_no_launch(void **state)
{
    (void)state;
    unsigned before = descriptors();
    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    int top = dup(0);
    close(top);
    bool made = false;
    for (rlim_t more = 1; more < 40 && !made; more++) {
        struct sandbox_launch launch;
        struct mf_error error;
        int slot = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct sandbox_launch_spec what = {
            .spec = &nothing, .slot_fd = slot, .argv = argv_of_agent, .environment = environment_of_agent};
        low = (struct rlimit){(rlim_t)top + more, limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &low);
        made = sandbox_launch_make(&launch, base, &what, &error) == 0;
        setrlimit(RLIMIT_NOFILE, &limit);
        if (made)
            sandbox_launch_free(&launch);
        close(slot);
        assert_int_equal(descriptors(), before);
    }
    assert_true(made);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct sandbox_launch launch;
    struct mf_error error;
    char *large = calloc(1, 5u << 20);
    assert_non_null(large);
    memset(large, 'x', (5u << 20) - 1);
    char *const environment[] = {large, NULL};
    uint16_t ports[SANDBOX_PORTS_MAX + 1] = {0};
    int slot = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct sandbox_launch_spec what = {
        .spec = &nothing, .slot_fd = slot, .argv = argv_of_agent, .environment = environment};
    assert_int_equal(sandbox_launch_make(&launch, base, &what, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
    what.environment = environment_of_agent;
    what.ports = ports;
    what.port_count = SANDBOX_PORTS_MAX + 1;
    assert_int_equal(sandbox_launch_make(&launch, base, &what, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
    struct mf_span link[] = {MF_SPAN("/proc/self/root")};
    assert_int_equal(make(&launch, &(struct sandbox_spec){.read = link, .read_count = 1}, &error), -1);
    assert_int_equal(error.code, MF_INPUT);
    close(slot);
    free(large);
}

/* --- limits of version 2, in a directory that looks like a group --- */

static void write_file(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void expect_file(int dir_fd, const char *name, const char *wanted)
{
    char text[64] = "";
    int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    assert_string_equal(text, wanted);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
}

static void limits_are_written_and_taken_away(void **state)
{
    (void)state;
    static const char *const names[] = {"memory.max", "memory.swap.max", "pids.max", "cpu.max"};
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < 4; i++)
        write_file(fd, names[i]);
    struct sandbox_limits limits = {.memory_bytes = 1 << 20, .pids = 10, .cpu_millis = 1500};
    assert_int_equal(sandbox_limits_apply(base, "unit.1.0", fd, &limits, NULL), 0);
    expect_file(fd, "memory.max", "1048576");
    expect_file(fd, "memory.swap.max", "0");
    expect_file(fd, "pids.max", "10");
    expect_file(fd, "cpu.max", "150000 100000");
    assert_int_equal(sandbox_limits_apply(base, "unit.1.0", fd, &(struct sandbox_limits){0}, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        expect_file(fd, names[i], "max");
    for (size_t i = 0; i < 4; i++)
        unlinkat(fd, names[i], 0);
    int fds[4];
    assert_int_equal(sandbox_limits_join(base, "unit.1.0", fds), 0); /* nothing of version 1 was made */
    if (sandbox_limits_apply(base, "unit.1.0", fd, &limits, NULL) == 0) {
        uint32_t joined = sandbox_limits_join(base, "unit.1.0", fds);
        assert_true(joined >= 2);
        for (uint32_t i = 0; i < joined; i++)
            close(fds[i]);
        assert_int_equal(sandbox_limits_sweep("unit"), 0);
        assert_int_equal(sandbox_limits_join(base, "unit.1.0", fds), 0);
    }
    close(fd);
}

static int open_base(void **state)
{
    (void)state;
    struct mf_error error;
    struct sandbox_options options = {.agent_uid = -1};
    snprintf(directory, sizeof directory, "/tmp/mayfly-launch-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    if (sandbox_base_create(&base, &options, &error) == 0)
        return 0;
    print_error("%s\n", error.text);
    return -1;
}

static int close_base(void **state)
{
    (void)state;
    sandbox_base_destroy(base);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_the_agent_is_in_a_command_line),
        cmocka_unit_test(without_memory_there_is_no_launch),
        cmocka_unit_test(without_descriptors_there_is_no_launch),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(limits_are_written_and_taken_away),
    };
    return cmocka_run_group_tests_name("sandbox_launch", tests, open_base, close_base);
}
