/* store_requests.c - the table `request`: taken in once, going on where it ended, joined with tasks; damaged and foreign files */
#include "store_help.h"

#include <sqlite3.h>

static struct help_run run;
static int dir_fd;

static int setup(void **state)
{
    (void)state;
    struct mf_error error;
    help_make_base();
    help_open(&run);
    dir_fd = open(run.dir, O_RDONLY | O_DIRECTORY);
    assert_true(dir_fd >= 0);
    struct core_record record = help_task(1, CORE_TASK_READY, 0, 0, 0, 0);
    assert_ok(journal_begin(run.journal, &error));
    assert_ok(journal_append(run.journal, &record, MF_SPAN(""), &error));
    assert_ok(journal_put_node(run.journal, 3, 1, 0, MF_SPAN("deploy/web"), MF_SPAN("{}"), &error));
    assert_ok(journal_commit(run.journal, &error));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(dir_fd);
    help_close(&run);
    help_remove_base();
    return 0;
}

static void append_text(const char *text)
{
    int fd = openat(dir_fd, "audit.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void append(int from, int to, const char *task)
{
    int fd = openat(dir_fd, "audit.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    for (int n = from; n <= to; n++)
        dprintf(fd, "{\"n\":%d,\"at_ms\":%d,\"event\":\"allowed\",\"task\":\"%s\",\"account\":2,\"chain\":\"x\"}\n", n, 1000 + n, task);
    close(fd);
}

static int64_t ask(const char *sql)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return number;
}

static void test_goes_on(void **state)
{
    (void)state;
    struct mf_error error = {0};
    assert_ok(journal_take_requests(run.journal, dir_fd, &error)); /* there is no file */
    append(1, 12000, "deploy/web");
    append(12001, 12001, "plan");
    append(12002, 12002, "nobody");
    append_text("{\"n\":12003,\"torn");
    assert_ok(journal_take_requests(run.journal, dir_fd, &error));
    assert_int_equal(ask("SELECT count(*) FROM request"), 12002);
    assert_int_equal(ask("SELECT count(*) FROM request WHERE task = 3 AND account = 2"), 12000);
    assert_int_equal(ask("SELECT task FROM request WHERE seq = 12001"), 0);
    assert_int_equal(ask("SELECT count(*) FROM request WHERE task IS NULL"), 1);
    assert_int_equal(ask("SELECT at_ms FROM request WHERE seq = 12000"), 13000);
    assert_int_equal(ask("SELECT facts ->> '$.n' FROM request WHERE seq = 7"), 7);
    assert_int_equal(unlinkat(dir_fd, "audit.log", 0), 0);
    append(1, 12100, "deploy/web");
    assert_ok(journal_take_requests(run.journal, dir_fd, &error));
    assert_int_equal(ask("SELECT count(*) FROM request"), 12100);
    assert_ok(journal_take_requests(run.journal, dir_fd, &error));
    assert_int_equal(ask("SELECT count(*) FROM request"), 12100);
    struct core_record record = help_task(2, CORE_TASK_READY, 2, 0, 0, 0);
    help_turn(run.journal, &record, 1, ""); /* the journal goes on */
}

static void test_damaged(void **state)
{
    (void)state;
    struct mf_error error = {0};
    append(1, 10, "plan");
    append_text("no record\n");
    append(12, 20, "plan");
    assert_int_equal(journal_take_requests(run.journal, dir_fd, &error), -1);
    assert_non_null(strstr(error.text, "audit.log: line 11"));
    struct core_record record = help_task(2, CORE_TASK_READY, 2, 0, 0, 0);
    help_turn(run.journal, &record, 1, ""); /* nothing of it stays open */
    assert_int_equal(unlinkat(dir_fd, "audit.log", 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", dir_fd, "audit.log"), 0);
    assert_int_equal(journal_take_requests(run.journal, dir_fd, &error), -1);
    assert_int_equal(unlinkat(dir_fd, "audit.log", 0), 0);
    assert_int_equal(mkfifoat(dir_fd, "audit.log", 0600), 0);
    assert_int_equal(journal_take_requests(run.journal, dir_fd, &error), -1);
    assert_non_null(strstr(error.text, "no regular file"));
}

static void test_without_memory(void **state)
{
    (void)state;
    append(1, 50, "plan");
    int n = 0;
    for (bool done = false; !done; n++) {
        struct mf_error error = {0};
        mf_alloc_fail_after(n, 1);
        done = journal_take_requests(run.journal, dir_fd, &error) == 0;
        mf_alloc_fail_after(-1, 0);
    }
    assert_true(n > 1);
    assert_int_equal(ask("SELECT count(*) FROM request"), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
