/* cmd_read.c - tests of the commands that only read, each over a run database of its own */
#include "store_help.h"

#include "cmd/commands.h"
#include "cmd/copy.h"
#include "cmd/read.h"
#include "cmd/table.h"
#include "json/scan.h"
#include "store/files.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

static struct help_run run;
static char out[1 << 18], err[1 << 16];

static int setup(void **state)
{
    (void)state;
    help_make_base();
    help_open(&run);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    help_close(&run);
    help_remove_base();
    return 0;
}

/* --- running a command --- */

static size_t read_back(FILE *file, char *to, size_t bytes)
{
    rewind(file);
    size_t length = fread(to, 1, bytes - 1, file);
    to[length] = '\0';
    fclose(file);
    return length;
}

/* `mayfly COMMAND --state DIR ...` through the dispatcher; its output lands in `out` and `err`. */
static int mayfly(const char *command, ...)
{
    const char *argv[32] = {"mayfly", command, "--state", help_path("state")};
    int argc = 4;
    va_list arguments;
    va_start(arguments, command);
    for (const char *argument; (argument = va_arg(arguments, const char *)) != NULL;)
        argv[argc++] = argument;
    va_end(arguments);
    FILE *out_file = tmpfile(), *err_file = tmpfile();
    int saved_out = fcntl(1, F_DUPFD_CLOEXEC, 3), saved_err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    fflush(stdout);
    dup2(fileno(out_file), 1);
    dup2(fileno(err_file), 2);
    int code = options_dispatch(argc, (char **)(uintptr_t)argv);
    fflush(stdout);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    read_back(out_file, out, sizeof out);
    read_back(err_file, err, sizeof err);
    return code;
}

static void expect(const char *where, const char *part)
{
    if (strstr(where, part) == NULL)
        fail_msg("no \"%s\" in:\n%s\nstderr:\n%s", part, out, err);
}

static void expect_json(const char *text, size_t length)
{
    struct json_document document;
    struct mf_error error;
    assert_ok(json_scan_error(&document, (struct mf_span){text, length}, &json_limits_default, &error));
    json_document_free(&document);
}

static void expect_json_lines(void)
{
    for (const char *line = out; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        expect_json(line, length);
        line += length + (line[length] == '\n');
    }
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000;
}

/* --- a run with one of everything --- */

static void fill(bool settled)
{
    struct mf_error error;
    int64_t later = now_ms() + 3600000;
    const struct core_record records[] = {
        help_task(1, CORE_TASK_READY, 0, 0, 0, 0),
        help_task(2, CORE_TASK_SPAWN, 0, 1, CORE_STAGE_AGENT, 0),
        help_task(3, CORE_TASK_STARTED, 0, CORE_STAGE_AGENT, 5, 6),
        help_task(4, CORE_TASK_EXITED, 0, CORE_STAGE_AGENT, 3, 0),
        help_task(5, CORE_TASK_FAILED, 0, 1, CORE_CLASS_AGENT, 0),
        help_account(6, CORE_ACCOUNT_CREATE, 1, 0, 0, 0),
        help_account(7, CORE_ACCOUNT_CREATED, 1, later, 0, 0),
        help_account(8, CORE_ACCOUNT_RELEASED, 1, 0, 0, 0),
        help_account(9, CORE_ACCOUNT_DELETE, 1, 0, 0, 0),
        help_account(10, CORE_ACCOUNT_GONE, 1, 0, 0, 0),
        help_account(11, CORE_ACCOUNT_CREATE, 2, 0, 0, 0),
        help_account(12, CORE_ACCOUNT_CREATED, 2, later, 0, 0),
        help_account(13, CORE_ACCOUNT_RELEASED, 2, 0, 0, 0),
        help_account(14, CORE_ACCOUNT_EXPIRING, 2, later, 0, 0),
        {.seq = 15, .at_ms = 5000, .kind = CORE_RUN_SETTLED, .node = CORE_NONE, .account = CORE_NONE, .facts = {1}},
    };
    help_turn(run.journal, records, 4, "");
    help_turn(run.journal, records + 4, 1, "\"reason\":\"no \\u001b[31mluck\"");
    help_turn(run.journal, records + 5, settled ? 10 : 9, "");
    assert_ok(journal_put_ids(run.journal, 1, MF_SPAN("{\"account\":\"a1\"}"), &error));
}

static void close_writer(void)
{
    journal_close(run.journal);
    run.journal = NULL;
    state_close(run.state);
    run.state = NULL;
}

static void test_ps(void **state)
{
    (void)state;
    fill(true);
    assert_int_equal(mayfly("ps", NULL), 0);
    expect(out, run.id);
    expect(out, "running"); /* our lock */
    close_writer();
    assert_int_equal(mayfly("ps", NULL), 0);
    expect(out, "nightly");
    expect(out, "finished");
    assert_string_equal(err, "");
    assert_int_equal(mayfly("ps", "--json", "nightly", NULL), 0);
    expect_json(out, strlen(out) - 1);
    expect(out, "\"mayfly\":1");
    expect(out, "\"exit\":1");
    assert_int_equal(mayfly("ps", "nobody", NULL), 2);
    expect(err, "see mayfly ps");
}

static void test_ps_without_state_and_with_damage(void **state)
{
    (void)state;
    const char *argv[] = {"mayfly", "ps", "--state", help_path("none")};
    assert_int_equal(options_dispatch(4, (char **)(uintptr_t)argv), 0);
    close_writer();
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "garbage garbage garbage", 23, 0), 23);
    close(fd);
    assert_int_equal(mayfly("ps", NULL), 5);
    expect(out, "damaged");
    expect(err, "recover");
    assert_int_equal(mayfly("ps", "--json", NULL), 5);
    expect_json(out, strlen(out) - 1);
    assert_int_equal(mayfly("doctor", NULL), 5);
    expect(out, "problem");
    assert_int_equal(mayfly("rm", run.id, NULL), 5);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_show(void **state)
{
    (void)state;
    fill(true);
    close_writer();
    assert_int_equal(mayfly("show", NULL), 0);
    expect(out, "finished, exit 1");
    expect(out, "agent: exit 3: no \\u001b[31mluck");
    expect(out, "2 created = 1 gone + 0 expired + 1 expiring + 0 claimable + 0 leaked");
    expect(out, "judge");
    assert_null(strchr(out, '\033'));
    assert_int_equal(mayfly("show", "--json", "last", NULL), 0);
    expect_json(out, strlen(out) - 1);
    expect(out, "\"class\":\"agent\"");
    assert_int_equal(mayfly("show", "--machine", "account", NULL), 0);
    expect(out, "digraph account {");
    expect(out, "\"DELETING\" -> \"GONE\"");
    assert_int_equal(mayfly("show", "--machine", "coffee", NULL), 2);
}

static void test_unfinished_runs_are_told(void **state)
{
    (void)state;
    fill(false);
    assert_int_equal(mayfly("show", NULL), 0);
    assert_string_equal(err, ""); /* it is going on */
    close_writer();
    assert_int_equal(mayfly("show", NULL), 0);
    char line[128];
    snprintf(line, sizeof line, "mayfly: run %s did not finish: run mayfly resume %s to go on, or mayfly teardown %s to clean\n", run.id,
             run.id, run.id);
    assert_string_equal(err, line);
}

static void test_accounts(void **state)
{
    (void)state;
    fill(true);
    close_writer();
    assert_int_equal(mayfly("accounts", "last", NULL), 0);
    expect(out, "still alive until");
    expect(out, "no credential left");
    expect(out, "gone");
    assert_int_equal(mayfly("accounts", NULL), 0); /* of all runs: what may exist */
    assert_null(strstr(out, "gone"));
    assert_int_equal(mayfly("accounts", "last", "--open", NULL), 0);
    assert_null(strstr(out, "gone"));
    assert_int_equal(mayfly("accounts", "last", "--json", NULL), 0);
    expect_json(out, strlen(out) - 1);
    expect(out, "\"ids\":{\"account\":\"a1\"}");
    expect(out, "\"may_exist\":1");
}

static void test_events(void **state)
{
    (void)state;
    fill(true);
    close_writer();
    assert_int_equal(mayfly("events", NULL), 0);
    expect(out, "task.failed        plan  attempt 1, class agent, reason no \\u001b[31mluck");
    assert_int_equal(mayfly("events", "--json", "--follow", NULL), 0); /* ends at once: it is settled */
    expect_json_lines();
    expect(out, "{\"type\":\"task.failed\",\"at_ms\":1005,\"seq\":5,\"task\":\"plan\",\"attempt\":1,\"class\":\"agent\",\"reason\":");
    expect(out, "{\"type\":\"run.settled\",\"at_ms\":5000,\"seq\":15,\"code\":1}");
}

/* A follower in a process of its own sees what is committed meanwhile and ends with the run. */
static void test_events_follow_a_run(void **state)
{
    (void)state;
    const struct core_record first = help_task(1, CORE_TASK_READY, 0, 0, 0, 0), second = help_task(2, CORE_TASK_CANCELLED, 0, 0, 0, 0);
    help_turn(run.journal, &first, 1, "");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) { /* execs nothing: closes the parent's connection by not touching it */
        int fd = open(help_path("followed"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        const char *argv[] = {"mayfly", "events", "--state", help_path("state"), "--json", "--follow"};
        dup2(fd, 1);
        _exit(options_dispatch(6, (char **)(uintptr_t)argv));
    }
    usleep(300000);
    help_turn(run.journal, &second, 1, "");
    usleep(300000);
    struct core_record settled = {.seq = 3, .at_ms = 2000, .kind = CORE_RUN_SETTLED, .node = CORE_NONE, .account = CORE_NONE};
    help_turn(run.journal, &settled, 1, "");
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    int fd = open(help_path("followed"), O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, out, sizeof out - 1);
    out[got > 0 ? got : 0] = '\0';
    close(fd);
    expect(out, "task.cancelled");
    expect(out, "run.settled");
    expect_json_lines();
}

/* --- files --- */

static void write_file(const char *path, const char *text)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", run.dir, path);
    for (char *slash = strchr(whole + strlen(run.dir) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    int fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void test_logs(void **state)
{
    (void)state;
    fill(true);
    write_file("plan/1/stdout.log", "hello\033[2J\n");
    write_file("plan/1/stderr.log", "oops\n");
    write_file("plan/1/other.log", "never\n");
    close_writer();
    assert_int_equal(mayfly("logs", "last", "plan", "--stdout", NULL), 0);
    assert_string_equal(out, "hello\033[2J\n"); /* no terminal: as it is */
    assert_int_equal(mayfly("logs", "last", NULL), 0);
    expect(out, "==> plan, attempt 1, stdout.log <==\nhello");
    expect(out, "==> plan, attempt 1, stderr.log <==\noops\n");
    assert_null(strstr(out, "never"));
    assert_int_equal(mayfly("logs", "last", "--follow", "--stderr", NULL), 0);
    expect(out, "oops");
    assert_int_equal(mayfly("logs", "last", "nobody", NULL), 2);
    assert_int_equal(mayfly("logs", "last", "plan", "--attempt", "0", NULL), 2);
    assert_int_equal(mayfly("logs", "last", "plan", "--attempt", "2", NULL), 0);
    assert_string_equal(out, "");
    char link_path[PATH_MAX];
    snprintf(link_path, sizeof link_path, "%s/plan/1/stdout.log", run.dir);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(symlink("/etc/passwd", link_path), 0);
    assert_int_equal(mayfly("logs", "last", "plan", "--stdout", NULL), 0);
    assert_string_equal(out, "");
}

static void test_outputs(void **state)
{
    (void)state;
    struct mf_error error;
    fill(true);
    write_file("results/ff.json", "{\"x\":1}");
    write_file("plan/1/outputs/dist/a.txt", "A");
    write_file("plan/1/outputs/dist/deep/b.txt", "B");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/plan/1/outputs/dist/passwd", run.dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_ok(journal_put_result(run.journal, 0, 1, MF_SPAN("ff"), MF_SPAN("plan/1/outputs"), &error));
    assert_ok(journal_put_result(run.journal, 2, 1, MF_SPAN("../../../../etc/passwd"), MF_SPAN("../../.."), &error)); /* a hostile row */
    close_writer();
    assert_int_equal(mayfly("outputs", "last", "plan", NULL), 0);
    expect(out, "results/ff.json");
    assert_int_equal(mayfly("outputs", "last", "--json", NULL), 0);
    expect_json(out, strlen(out) - 1);
    assert_int_equal(mayfly("outputs", "last", "plan", "--result", NULL), 0);
    assert_string_equal(out, "{\"x\":1}");
    assert_int_equal(mayfly("outputs", "last", "--result", NULL), 2);
    assert_int_equal(mayfly("outputs", "last", "judge", "--result", NULL), 5);
    assert_int_equal(mayfly("outputs", "last", "plan", "--to", help_path("copy"), NULL), 0);
    assert_int_equal(access(help_path("copy/plan/result.json"), F_OK), 0);
    assert_int_equal(access(help_path("copy/plan/dist/deep/b.txt"), F_OK), 0);
    assert_int_equal(access(help_path("copy/plan/dist/passwd"), F_OK), -1);
    assert_int_equal(mayfly("outputs", "last", "judge", "--to", help_path("copy"), NULL), 5);
}

/* --- claim and rm --- */

static void fill_claimable(void)
{
    struct mf_error error;
    const struct core_record records[] = {
        help_account(1, CORE_ACCOUNT_CREATE, 1, 0, 0, 0),
        help_account(2, CORE_ACCOUNT_CREATED, 1, now_ms() + 3600000, 0, 0),
        help_account(3, CORE_ACCOUNT_CLAIMABLE, 1, now_ms() + 3600000, 0, 0),
        {.seq = 4, .at_ms = 5000, .kind = CORE_RUN_SETTLED, .node = CORE_NONE, .account = CORE_NONE, .facts = {0}},
    };
    help_turn(run.journal, records, 4, "");
    assert_ok(journal_put_secret(run.journal, 1, "claim", MF_SPAN("https://claim.example/MFYCANARY"), &error));
}

static void test_claim(void **state)
{
    (void)state;
    fill_claimable();
    close_writer();
    assert_int_equal(mayfly("claim", "last", NULL), 0);
    assert_string_equal(out, "https://claim.example/MFYCANARY\n");
    assert_null(strstr(err, "MFYCANARY"));
    expect(err, "task plan");
    assert_int_equal(mayfly("claim", "last", "plan", "--json", NULL), 0);
    expect_json(out, strlen(out) - 1);
    expect(out, "\"url\":\"https://claim.example/MFYCANARY\"");
    assert_int_equal(mayfly("claim", "last", "judge", NULL), 2);
    static const char *const commands[] = {"show", "events", "accounts", "ps"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(mayfly(commands[i], "last", "--json", NULL), 0);
        assert_null(strstr(out, "MFYCANARY"));
    }
}

static void test_rm_keeps_the_last_trace(void **state)
{
    (void)state;
    fill_claimable();
    assert_int_equal(mayfly("rm", "last", NULL), 5); /* somebody works on it */
    expect(err, "another mayfly works on it");
    close_writer();
    assert_int_equal(mayfly("rm", "last", NULL), 4);
    expect(err, "--include-kept");
    assert_int_equal(access(run.dir, F_OK), 0);
    assert_int_equal(mayfly("rm", "last", "--include-kept", NULL), 0);
    assert_int_equal(access(run.dir, F_OK), -1);
    assert_int_equal(mayfly("rm", "last", NULL), 2);
}

static void test_rm_refuses_open_and_expiring_accounts(void **state)
{
    (void)state;
    fill(true);
    close_writer();
    assert_int_equal(mayfly("rm", "last", NULL), 4);
    expect(err, "expiring");
}

static void test_doctor(void **state)
{
    (void)state;
    fill(false);
    struct core_record leaked = help_account(15, CORE_ACCOUNT_CREATE, 3, 0, 0, 0);
    help_turn(run.journal, &leaked, 1, "");
    close_writer();
    assert_int_equal(mayfly("doctor", NULL), 4);
    expect(out, "did not finish: run mayfly resume");
    expect(out, "1 accounts may still exist: run mayfly teardown");
    expect(out, "agents at the same time");
    assert_int_equal(mayfly("doctor", "--json", NULL), 4);
    expect_json(out, strlen(out) - 1);
}

static void test_table_aligns_and_escapes(void **state)
{
    (void)state;
    struct mf_error error;
    struct table *table;
    FILE *file = tmpfile();
    assert_ok(table_create(&table, "NAME COUNT> END", &error));
    table_cell(table, "%s", "gr\xc3\xbc\xc3\x9f");
    table_cell(table, "%d", 7);
    table_state(table, "failed");
    table_cell(table, "%s", "a\nb");
    table_cell(table, "%d", 1234567);
    table_cell(table, "%s", "");
    assert_int_equal(table_rows(table), 2);
    assert_ok(table_print(table, file, &error));
    read_back(file, out, sizeof out);
    assert_string_equal(out, "NAME    COUNT  END\ngr\xc3\xbc\xc3\x9f        7  failed\na\\nb  1234567\n");
    table_destroy(table);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        TEST(test_ps),
        TEST(test_ps_without_state_and_with_damage),
        TEST(test_show),
        TEST(test_unfinished_runs_are_told),
        TEST(test_accounts),
        TEST(test_events),
        TEST(test_events_follow_a_run),
        TEST(test_logs),
        TEST(test_outputs),
        TEST(test_claim),
        TEST(test_rm_keeps_the_last_trace),
        TEST(test_rm_refuses_open_and_expiring_accounts),
        TEST(test_doctor),
        cmocka_unit_test(test_table_aligns_and_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
