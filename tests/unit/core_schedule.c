/* unit/core_schedule.c - slots, rates, the limit of accounts, and who stands in whose way */
#include "core_drive.h"

static void independent(struct drive_graph *setup, uint32_t count)
{
    drive_graph_init(setup, count, 0, count);
    for (uint32_t t = 0; t < count; t++) {
        drive_task(setup);
        drive_slot(setup, CORE_NONE);
    }
}

/* No window of a minute holds more creates than allowed, and the rate is used up. */
static void test_rate(void **state)
{
    (void)state;
    static const uint32_t rates[] = {1, 2, 7, 10, 60, 600};
    static struct core_record journal[60000];
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        struct drive_graph setup;
        uint32_t count = rates[r] * 4 > 2000 ? 2000 : rates[r] * 4;
        independent(&setup, count);
        setup.limits.running_max = 1000;
        setup.providers[0].creates_per_minute = rates[r];
        struct drive drive = {.journal = journal, .journal_max = 60000};
        drive_begin(&drive, &setup);
        drive_run(&drive);
        assert_true(core_settled(drive.core));
        int64_t times[2000];
        uint32_t creates = 0, first = 0;
        for (size_t j = 0; j < drive.journal_count; j++) {
            if (journal[j].kind != CORE_ACCOUNT_CREATE)
                continue;
            times[creates++] = journal[j].at_ms;
            while (times[first] <= journal[j].at_ms - 60000)
                first++;
            assert_true(creates - first <= rates[r]);
        }
        assert_int_equal(creates, count);
        assert_true(times[count - 1] - times[0] <= 60000 * 4 * 106 / 100);
        drive_end(&drive);
        drive_graph_free(&setup);
    }
}

static void test_running_slots(void **state)
{
    (void)state;
    struct drive_graph setup;
    independent(&setup, 20);
    setup.limits.running_max = 3;
    struct drive drive = {.hold = true};
    drive_begin(&drive, &setup);
    drive_run(&drive);
    struct core_totals totals;
    core_totals(drive.core, &totals);
    assert_int_equal(totals.live, 3);
    assert_int_equal(totals.nodes[CORE_TASK_STATE_RUNNING], 3);
    drive_end(&drive);
    drive_graph_free(&setup);
}

/* Tasks without accounts pass by those that wait in front of a shut gate. */
static void test_gate_is_passed_by(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 3, 0, 2);
    for (int t = 0; t < 2; t++) {
        drive_task(&setup);
        drive_slot(&setup, CORE_NONE);
    }
    drive_task(&setup);
    setup.limits.running_max = 2;
    struct drive drive = {.hold = true};
    drive_begin(&drive, &setup);
    drive_push(&drive, (struct core_input){.kind = CORE_INPUT_PROVIDER_HOLD, .provider = 0, .until_ms = 9000});
    drive_run(&drive);
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_READY);
    assert_int_equal(drive_state(&drive, 2), CORE_TASK_STATE_RUNNING);
    assert_int_equal(core_deadline(drive.core), 9000);
    drive.now_ms = 9000;
    drive_step(&drive, (struct core_input){.kind = CORE_INPUT_TICK});
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_PROVISIONING);
    assert_int_equal(drive_state(&drive, 1), CORE_TASK_STATE_READY); /* no slot */
    drive_end(&drive);
    drive_graph_free(&setup);
}

/* The lender's account takes the only place, and its borrower wants one more: refused, not stuck. */
static void test_limit_of_accounts_is_no_deadlock(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 2, 1, 3);
    drive_task(&setup);
    drive_slot(&setup, CORE_NONE);
    drive_task(&setup);
    drive_edge(&setup, 0);
    drive_slot(&setup, 0);
    drive_slot(&setup, CORE_NONE);
    setup.limits.accounts_max = 1;
    struct drive drive = {0};
    drive_begin(&drive, &setup);
    drive_run(&drive);
    assert_true(core_settled(drive.core));
    struct core_node_view view;
    assert_true(core_node(drive.core, 1, &view));
    assert_int_equal(view.state, CORE_TASK_STATE_FAILED);
    assert_int_equal(view.class, CORE_CLASS_REFUSED);
    drive_end(&drive);
    drive_graph_free(&setup);
}

/* A hundred borrowers of one account: it lives until the last has ended, and goes then. */
static void test_borrowers(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 101, 100, 101);
    drive_task(&setup);
    drive_slot(&setup, CORE_NONE);
    for (int t = 0; t < 100; t++) {
        drive_task(&setup);
        drive_edge(&setup, 0);
        drive_slot(&setup, 0);
    }
    struct drive drive = {0};
    drive_begin(&drive, &setup);
    drive_run(&drive);
    struct core_totals totals;
    core_totals(drive.core, &totals);
    assert_true(core_settled(drive.core));
    assert_int_equal(totals.created, 1);
    assert_int_equal(totals.accounts[CORE_ACCOUNT_STATE_GONE], 1);
    assert_int_equal(totals.nodes[CORE_TASK_STATE_SUCCEEDED], 101);
    drive_end(&drive);
    drive_graph_free(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate), cmocka_unit_test(test_running_slots), cmocka_unit_test(test_gate_is_passed_by),
        cmocka_unit_test(test_limit_of_accounts_is_no_deadlock), cmocka_unit_test(test_borrowers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
