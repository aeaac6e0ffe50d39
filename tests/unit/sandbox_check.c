/* sandbox_check.c - the trial on this machine and on machines that are pretended; what a graph may ask of each */
#include "sandbox/sandbox.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A program in a directory of the test that says what bubblewrap would. */
static void write_program(const char *path, const char *script)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, strlen(script)), (ssize_t)strlen(script));
    assert_int_equal(fchmod(fd, 0755), 0);
    close(fd);
}

static void check(const struct sandbox_options *options, struct sandbox_report *report)
{
    struct mf_error error = {.code = MF_NONE};
    if (sandbox_check(options, report, &error) != 0)
        fail_msg("%s", error.text);
}

static void this_machine_gives_one(void **state)
{
    (void)state;
    struct sandbox_report report;
    struct sandbox_options options = {.agent_uid = -1};
    check(&options, &report);
    if (!report.available)
        fail_msg("%s", report.reason);
    assert_int_equal(report.uid, geteuid() == 0 ? SANDBOX_HOST_UID : geteuid());
    assert_true(strlen(report.version) >= 3);
    assert_string_equal(report.reason, "");
}

static void another_uid_can_be_asked_for(void **state)
{
    (void)state;
    struct sandbox_report report;
    struct sandbox_options options = {.agent_uid = 4242};
    if (geteuid() != 0)
        skip();
    check(&options, &report);
    assert_true(report.available);
    assert_int_equal(report.uid, 4242);
}

static void what_is_missing_is_said(void **state)
{
    struct sandbox_report report;
    char path[256];
    struct sandbox_options options = {.agent_uid = -1, .bwrap = "/no/such/bwrap"};
    check(&options, &report);
    assert_false(report.available);
    assert_non_null(strstr(report.reason, "apt-get install bubblewrap"));
    snprintf(path, sizeof path, "%s/bwrap", (const char *)*state);
    options.bwrap = path;
    write_program(path, "#!/bin/sh\necho bubblewrap 0.6.1\n");
    check(&options, &report);
    assert_false(report.available);
    assert_string_equal(report.version, "0.6.1");
    assert_non_null(strstr(report.reason, "0.8 or newer"));
    options = (struct sandbox_options){.agent_uid = -1, .init = "/no/such/init"};
    check(&options, &report);
    assert_false(report.available);
    assert_non_null(strstr(report.reason, "mayfly-init"));
}

/* bubblewrap that fails, hangs up, or runs something else: never available. */
static void a_trial_that_fails_is_not_available(void **state)
{
    static const char *const scripts[] = {
        "echo 'bwrap: some trouble: Text file busy' >&2; exit 1",
        "exit 0",
        "kill -9 $$",
        "exec /bin/true",
    };
    char path[256], script[300];
    snprintf(path, sizeof path, "%s/bwrap", (const char *)*state);
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct sandbox_report report;
        struct sandbox_options options = {.agent_uid = -1, .bwrap = path};
        snprintf(script, sizeof script,
                 "#!/bin/sh\nif [ \"$1\" = --version ]; then echo bubblewrap 0.8.0; exit 0; fi\n%s\n", scripts[i]);
        write_program(path, script);
        check(&options, &report);
        assert_false(report.available);
        assert_true(strlen(report.reason) > 10);
        if (i == 0)
            assert_non_null(strstr(report.reason, "some trouble: Text file busy"));
    }
}

/* --- what a graph asks --- */

static const struct sandbox_report rich = {.available = true,
                                           .memory = true,
                                           .pids = true,
                                           .cpu = true,
                                           .disk = true,
                                           .cgroup = "v2",
                                           .uid = 65534,
                                           .state = "/var/lib/mayfly"};

static void expect_refusal(const struct sandbox_report *report, const struct sandbox_spec *spec, enum mf_code code,
                           const char *words)
{
    struct mf_error error = {.code = MF_NONE};
    assert_int_equal(sandbox_check_spec(report, spec, &error), -1);
    assert_int_equal(error.code, code);
    if (strstr(error.text, words) == NULL)
        fail_msg("`%s` does not say `%s`", error.text, words);
}

static void limits_that_are_stated_are_required(void **state)
{
    (void)state;
    struct sandbox_report poor = {.available = true, .cgroup = "none", .uid = 1000};
    struct sandbox_report none = {.reason = "bubblewrap: not found: run it"};
    struct sandbox_spec nothing = {.read = NULL}, all = {.limits = {1 << 20, 10, 500, 1 << 20}};
    assert_int_equal(sandbox_check_spec(&poor, &nothing, NULL), 0);
    assert_int_equal(sandbox_check_spec(&rich, &all, NULL), 0);
    expect_refusal(&none, &nothing, MF_SANDBOX, "not found: run it");
    expect_refusal(&poor, &(struct sandbox_spec){.limits = {.memory_bytes = 1}}, MF_INPUT,
                   "systemd-run --user --scope");
    expect_refusal(&poor, &(struct sandbox_spec){.limits = {.cpu_millis = 1}}, MF_INPUT, "systemd-run --user --scope");
    expect_refusal(&poor, &(struct sandbox_spec){.limits = {.pids = 1}}, MF_INPUT, "Linux 5.14");
    expect_refusal(&poor, &(struct sandbox_spec){.limits = {.disk_bytes = 1}}, MF_INPUT, "run mayfly as root");
}

static void paths_are_held_against_the_machine(void **state)
{
    char state_dir[256], link[300], closed[300];
    const char *directory = *state;
    snprintf(state_dir, sizeof state_dir, "%s/state", directory);
    snprintf(link, sizeof link, "%s/link", directory);
    snprintf(closed, sizeof closed, "%s/closed", directory);
    assert_int_equal(mkdir(state_dir, 0700), 0);
    assert_int_equal(mkdir(closed, 0700), 0);
    assert_int_equal(symlink(state_dir, link), 0);
    struct sandbox_report report = rich;
    snprintf(report.state, sizeof report.state, "%s", state_dir);
    const struct {
        const char *path, *words;
    } cases[] = {
        {"relative", "absolute"},     {"/", "the whole machine"},
        {"/usr/../etc", "plainly"},   {"/usr/./lib", "plainly"},
        {"/usr//lib", "plainly"},     {"/usr/", "plainly"},
        {"/proc", "of its own"},      {"/proc/self/root", "of its own"},
        {"/dev/sda", "of its own"},   {"/sys/fs", "of its own"},
        {"/tmp", "of its own"},       {"/etc", "of its own"},
        {"/mayfly/ws", "of its own"}, {"/no/such", "No such file"},
        {"--bind", "absolute"},       {state_dir, "mayfly's own state"},
        {link, "mayfly's own state"}, {directory, "mayfly's own state"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mf_span read[] = {mf_span(cases[i].path)};
        expect_refusal(&report, &(struct sandbox_spec){.read = read, .read_count = 1}, MF_INPUT, cases[i].words);
    }
    struct mf_span good[] = {MF_SPAN("/usr/lib"), MF_SPAN("/etc/passwd")}, shut[] = {mf_span(closed)},
                   nul[] = {MF_SPAN("/usr\0/x")};
    assert_int_equal(sandbox_check_spec(&report, &(struct sandbox_spec){.read = good, .read_count = 2}, NULL), 0);
    expect_refusal(&report, &(struct sandbox_spec){.read = nul, .read_count = 1}, MF_INPUT, "holds a NUL");
    if (geteuid() == 0)
        expect_refusal(&report, &(struct sandbox_spec){.read = shut, .read_count = 1}, MF_INPUT,
                       "agents are uid 65534");
    expect_refusal(&report, &(struct sandbox_spec){.root = MF_SPAN("/etc/passwd")}, MF_INPUT, "is no directory");
    expect_refusal(&report, &(struct sandbox_spec){.root = MF_SPAN("usr")}, MF_INPUT, "absolute");
    assert_int_equal(geteuid(), getuid());
}

static void without_memory_nothing_is_left(void **state)
{
    (void)state;
    for (int64_t at = 0; at < 12; at++) {
        struct sandbox_base *base;
        struct mf_error error;
        struct sandbox_options options = {.agent_uid = -1};
        mf_alloc_fail_after(at, 0);
        int result = sandbox_base_create(&base, &options, &error);
        mf_alloc_fail_after(-1, 0);
        if (result == 0)
            sandbox_base_destroy(base);
        else
            assert_null(base);
    }
}

static int make_directory(void **state)
{
    char *path = strdup("/tmp/mayfly-check-XXXXXX");
    *state = path;
    return mkdtemp(path) == NULL || chmod(path, 0755) != 0; /* agents' uid executes from it */
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"bwrap", "link", "state", "closed"};
    char path[300];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        remove(path);
    }
    assert_int_equal(rmdir(*state), 0);
    free(*state);
    return 0;
}

#define IN_DIRECTORY(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_gives_one),
        cmocka_unit_test(another_uid_can_be_asked_for),
        IN_DIRECTORY(what_is_missing_is_said),
        IN_DIRECTORY(a_trial_that_fails_is_not_available),
        cmocka_unit_test(limits_that_are_stated_are_required),
        IN_DIRECTORY(paths_are_held_against_the_machine),
        cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests_name("sandbox_check", tests, NULL, NULL);
}
