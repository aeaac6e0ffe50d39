/* unit/core_machine.c - names and rows: what files and people rely on */
#include "core_drive.h"

static void test_names_come_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < CORE_RECORD_COUNT; kind++)
        assert_int_equal(core_record_kind_of(core_record_name((enum core_record_kind)kind)), kind);
    for (int class = 0; class < CORE_CLASS_COUNT; class++)
        assert_int_equal(core_class_of(core_class_name((enum core_class)class)), class);
    assert_int_equal(core_record_kind_of("task.eaten"), -1);
    assert_int_equal(core_class_of("weather"), -1);
    assert_string_equal(core_task_state_name((enum core_task_state)99), "?");
    assert_string_equal(core_account_state_name(CORE_ACCOUNT_STATE_NEW), "new");
}

static void test_facts(void **state)
{
    (void)state;
    assert_int_equal(core_record_fact(CORE_TASK_BACKOFF, 2), CORE_FACT_UNTIL_MS);
    assert_int_equal(core_record_fact(CORE_TASK_BACKOFF, 3), CORE_FACT_NONE);
    assert_int_equal(core_record_fact(CORE_TASK_BACKOFF, 4), CORE_FACT_NONE);
    assert_string_equal(core_fact_name(CORE_FACT_TASK), "of");
    assert_int_equal(core_record_subject(CORE_LEASE_GRANT), CORE_SUBJECT_ACCOUNT);
}

static void test_rows(void **state)
{
    (void)state;
    enum core_task_state from, to;
    enum core_account_state account_from, account_to;
    enum core_record_kind record;
    uint64_t taken;
    uint32_t rows = 0, account_rows = 0;
    for (; core_task_row(rows, &from, &record, &to, &taken); rows++) {
        assert_int_equal(core_record_subject(record), CORE_SUBJECT_TASK);
        assert_true(from < CORE_TASK_STATE_COUNT && to < CORE_TASK_STATE_COUNT);
    }
    for (; core_account_row(account_rows, &account_from, &record, &account_to, &taken); account_rows++) {
        assert_int_equal(core_record_subject(record), CORE_SUBJECT_ACCOUNT);
        assert_true(account_to != CORE_ACCOUNT_STATE_NEW);
    }
    assert_true(rows > 60 && account_rows > 30);
    assert_true(core_task_final(CORE_TASK_STATE_SKIPPED) && !core_task_final(CORE_TASK_STATE_BACKOFF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names_come_back), cmocka_unit_test(test_facts), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
