/* store_view.c - tests of the folded run: states, names, totals, following; and that the SQL views for people agree */
#include "store_help.h"

#include "base/rng.h"
#include "store/record.h"
#include "store/view.h"

#include <sqlite3.h>

static struct help_run run;

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

static struct view *load(void)
{
    struct mf_error error;
    struct view *view;
    assert_ok(view_load(&view, run.journal, &error));
    return view;
}

static void test_names_come_from_graph_and_rows(void **state)
{
    (void)state;
    struct mf_error error;
    struct core_record records[] = {help_task(1, CORE_TASK_READY, 1, 0, 0, 0), help_task(2, CORE_TASK_EXPANDED, 1, 1, 0, 0),
                                    help_task(3, CORE_TASK_READY, 3, 0, 0, 0), help_task(4, CORE_TASK_READY, 7, 0, 0, 0)};
    help_turn(run.journal, records, 4, "");
    assert_ok(journal_put_node(run.journal, 3, 1, 0, MF_SPAN("deploy/web"), MF_SPAN("{}"), &error));
    struct view *view = load();
    assert_string_equal(view_task(view, 0)->path, "plan");
    assert_string_equal(view_task(view, 1)->path, "deploy");
    assert_true(view_task(view, 1)->is_template);
    assert_string_equal(view_task(view, 2)->path, "judge");
    assert_string_equal(view_task(view, 3)->path, "deploy/web");
    assert_int_equal(view_task(view, 3)->template_node, 1);
    assert_string_equal(view_task(view, 7)->path, "#7");
    assert_false(view_task(view, 5)->known);
    assert_int_equal(view_find(view, "deploy/web"), 3);
    assert_int_equal(view_find(view, "nobody"), CORE_NONE);
    assert_string_equal(view_provider(view, 0), "emulator");
    assert_string_equal(view_provider(view, 9), "?");
    struct view_totals totals;
    view_totals(view, &totals);
    assert_int_equal(totals.task_count, 4); /* plan, judge, deploy/web, #7 */
    assert_int_equal(totals.tasks[CORE_TASK_STATE_BLOCKED], 2);
    view_free(view);
}

static void test_a_task_and_an_account_tell_their_story(void **state)
{
    (void)state;
    const struct core_record records[] = {
        help_task(1, CORE_TASK_READY, 0, 0, 0, 0),
        help_task(2, CORE_TASK_PROVISION, 0, 2, 0, 0),
        help_account(3, CORE_ACCOUNT_CREATE, 1, 0, 0, 0),
        help_account(4, CORE_ACCOUNT_CREATED, 1, 99000, 0, 0),
        help_account(5, CORE_LEASE_GRANT, 1, 0, CORE_STAGE_AGENT, 0),
        help_task(6, CORE_TASK_SPAWN, 0, 2, CORE_STAGE_AGENT, 0),
        help_task(7, CORE_TASK_STARTED, 0, CORE_STAGE_AGENT, 5, 6),
        help_task(8, CORE_TASK_EXITED, 0, CORE_STAGE_AGENT, 3, 0),
    };
    help_turn(run.journal, records, 8, "");
    struct core_record failed = help_task(9, CORE_TASK_FAILED, 0, 2, CORE_CLASS_AGENT, 0);
    help_turn(run.journal, &failed, 1, "\"reason\":\"it \\\"broke\\\"\"");
    struct view *view = load();
    const struct view_task *task = view_task(view, 0);
    assert_int_equal(task->state, CORE_TASK_STATE_FAILED);
    assert_int_equal(task->class, CORE_CLASS_AGENT);
    assert_int_equal(task->attempt, 2);
    assert_int_equal(task->started_ms, 1002);
    assert_int_equal(task->since_ms, 1009);
    assert_true(task->exited);
    assert_int_equal(task->code, 3);
    assert_string_equal(task->reason, "it \"broke\"");
    const struct view_account *account = view_account(view, 1);
    assert_int_equal(account->state, CORE_ACCOUNT_STATE_ACTIVE);
    assert_int_equal(account->leases, 1);
    assert_int_equal(account->expires_ms, 99000);
    assert_true(account->has_id);
    assert_true(view_account_may_exist(account, 0));
    char tag[96], expected[96];
    view_tag(view, 1, tag, sizeof tag);
    snprintf(expected, sizeof expected, "mayfly-ow1-%s-1", run.id);
    assert_string_equal(tag, expected);
    view_free(view);
}

static int count(void *context, const struct view *view, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    (void)view, (void)extra, (void)error;
    assert_true(record->node == CORE_NONE || view_task(view, record->node)->path != NULL);
    ++*(int *)context;
    return 0;
}

static void test_a_view_follows(void **state)
{
    (void)state;
    struct mf_error error;
    struct core_record records[] = {help_task(1, CORE_TASK_READY, 1, 0, 0, 0), help_task(2, CORE_TASK_EXPANDED, 1, 1, 0, 0),
                                    help_task(3, CORE_TASK_READY, 3, 0, 0, 0),
                                    {.seq = 4, .at_ms = 2000, .kind = CORE_RUN_SETTLED, .node = CORE_NONE, .account = CORE_NONE, .facts = {1}}};
    help_turn(run.journal, records, 1, "");
    struct view *view = load();
    int told = 0;
    assert_ok(view_update(view, run.journal, count, &told, &error));
    assert_int_equal(told, 0);
    help_turn(run.journal, records + 1, 2, "");
    assert_ok(journal_put_node(run.journal, 3, 1, 0, MF_SPAN("deploy/web"), MF_SPAN("{}"), &error));
    assert_ok(view_update(view, run.journal, count, &told, &error));
    assert_int_equal(told, 2);
    assert_string_equal(view_task(view, 3)->path, "deploy/web");
    assert_false(view_run(view)->settled);
    help_turn(run.journal, records + 3, 1, "");
    assert_ok(view_update(view, run.journal, count, &told, &error));
    assert_true(view_run(view)->settled);
    assert_int_equal(view_run(view)->exit_code, 1);
    view_free(view);
}

static void test_records_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct mf_error error;
    struct view *view;
    struct core_record record = help_task(1, CORE_TASK_EXITED, 0, CORE_STAGE_AGENT, 0, 0);
    help_turn(run.journal, &record, 1, "");
    assert_int_equal(view_load(&view, run.journal, &error), -1);
    assert_int_equal(error.code, MF_STATE);
    assert_non_null(strstr(error.text, "record 1 (task.exited)"));
}

static void test_what_may_still_exist(void **state)
{
    (void)state;
    for (int s = CORE_ACCOUNT_STATE_NEW; s < CORE_ACCOUNT_STATE_COUNT; s++) {
        struct view_account account = {.state = (enum core_account_state)s, .expires_ms = 100};
        bool early = view_account_may_exist(&account, 50), late = view_account_may_exist(&account, 150);
        bool over = s == CORE_ACCOUNT_STATE_NEW || s == CORE_ACCOUNT_STATE_GONE || s == CORE_ACCOUNT_STATE_ABSENT || s == CORE_ACCOUNT_STATE_EXPIRED;
        bool dies = s == CORE_ACCOUNT_STATE_EXPIRING || s == CORE_ACCOUNT_STATE_CLAIMABLE;
        assert_int_equal(early, !over);
        assert_int_equal(late, !over && !dies);
    }
}

/* --- the SQL views --- */

static const struct row {
    int from, kind, to;
} task_rows[] = {
#define X(from, record, to) {CORE_TASK_STATE_##from, CORE_##record, CORE_TASK_STATE_##to},
    CORE_TASK_ROWS(X)
#undef X
}, account_rows[] = {
#define X(from, record, to) {CORE_ACCOUNT_STATE_##from, CORE_##record, CORE_ACCOUNT_STATE_##to},
    CORE_ACCOUNT_ROWS(X)
#undef X
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A random legal next record of a machine; NULL when the state has none. */
static const struct row *pick(struct mf_rng *rng, const struct row *rows, size_t row_count, int state)
{
    const struct row *chosen = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].from == state && mf_rng_below(rng, ++seen) == 0)
            chosen = &rows[i];
    return chosen;
}

static void expect_text(sqlite3 *db, const char *sql, int number, const char *expected)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    sqlite3_bind_int(statement, 1, number);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), expected);
    sqlite3_finalize(statement);
}

static void test_the_sql_views_agree_with_the_fold(void **state)
{
    (void)state;
    enum { SUBJECTS = 30, STEPS = 600 };
    struct mf_rng rng;
    int tasks[SUBJECTS] = {0}, accounts[SUBJECTS] = {0}; /* BLOCKED and NEW are 0 */
    uint64_t seq = 0;
    mf_rng_seed(&rng, 11);
    for (int step = 0; step < STEPS; step++) {
        bool is_task = mf_rng_below(&rng, 2) == 0;
        uint32_t subject = (uint32_t)mf_rng_below(&rng, SUBJECTS);
        int *now = is_task ? &tasks[subject] : &accounts[subject];
        const struct row *row = is_task ? pick(&rng, task_rows, COUNT(task_rows), *now) : pick(&rng, account_rows, COUNT(account_rows), *now);
        if (row == NULL)
            continue;
        *now = row->to;
        struct core_record record = is_task ? help_task(++seq, (enum core_record_kind)row->kind, subject, 1, 1, 1)
                                            : help_account(++seq, (enum core_record_kind)row->kind, subject + 1, 1, 1, 1);
        help_turn(run.journal, &record, 1, "");
    }
    struct view *view = load();
    char path[PATH_MAX];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/run.db", run.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    for (int i = 0; i < SUBJECTS; i++) {
        if ((uint32_t)i < view_task_count(view) && view_task(view, (uint32_t)i)->since_ms > 0) {
            assert_int_equal(view_task(view, (uint32_t)i)->state, tasks[i]);
            expect_text(db, "SELECT state FROM task_now WHERE task = ?1", i, view_task_state_name((enum core_task_state)tasks[i]));
        }
        if (accounts[i] != CORE_ACCOUNT_STATE_NEW) {
            assert_int_equal(view_account(view, (uint32_t)i + 1)->state, accounts[i]);
            expect_text(db, "SELECT state FROM account_now WHERE account = ?1", i + 1, view_account_state_name((enum core_account_state)accounts[i]));
        }
    }
    expect_text(db, "SELECT path FROM task_now WHERE task = ?1", 0, "plan");
    expect_text(db, "SELECT (SELECT count(*) FROM leaked) = (SELECT count(*) FROM account_now WHERE state NOT IN ('gone','absent','expired'))", 0, "1");
    sqlite3_close(db);
    view_free(view);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names_come_from_graph_and_rows),
        TEST(test_a_task_and_an_account_tell_their_story),
        TEST(test_a_view_follows),
        TEST(test_records_that_do_not_fit_are_refused),
        TEST(test_what_may_still_exist),
        TEST(test_the_sql_views_agree_with_the_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
