/* unit/core_memory.c - memory is taken by core_create and core_reserve alone, and every failure of it is survived */
#include "core_drive.h"

static void build(struct drive_graph *setup)
{
    drive_graph_init(setup, 4, 4, 4);
    drive_task(setup);
    drive_slot(setup, CORE_NONE);
    struct core_task *template = drive_task(setup);
    template->template = true;
    drive_edge(setup, 0);
    drive_slot(setup, CORE_NONE);
}

static void test_create_without_memory(void **state)
{
    (void)state;
    struct drive_graph setup;
    build(&setup);
    int result = -1;
    for (int64_t n = 0; result != 0; n++) {
        struct core *core;
        struct mf_error error;
        assert_true(n < 100);
        mf_alloc_fail_after(n, 1);
        result = core_create(&core, &setup.graph, &setup.limits, 1, &error);
        mf_alloc_fail_after(-1, 0);
        if (result != 0) {
            assert_null(core);
            assert_int_equal(error.code, MF_MEMORY);
        }
        core_destroy(core);
    }
    drive_graph_free(&setup);
}

static void test_reserve_without_memory(void **state)
{
    (void)state;
    struct drive_graph setup;
    build(&setup);
    for (int64_t n = 0; n < 12; n++) {
        struct drive drive = {0};
        struct mf_error error;
        drive_begin(&drive, &setup);
        mf_alloc_fail_after(n, 1);
        int result = core_reserve(drive.core, 5000, &error);
        mf_alloc_fail_after(-1, 0);
        if (result != 0)
            assert_int_equal(error.code, MF_MEMORY);
        drive_run(&drive); /* the state is whole: the next reserve works */
        assert_true(core_settled(drive.core));
        drive_end(&drive);
    }
    drive_graph_free(&setup);
}

static void test_too_many_instances(void **state)
{
    (void)state;
    struct drive_graph setup;
    build(&setup);
    struct drive drive = {0};
    struct mf_error error;
    drive_begin(&drive, &setup);
    assert_int_equal(core_reserve(drive.core, CORE_NONE - 1, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
    drive_end(&drive);
    drive_graph_free(&setup);
}

/* A plain task costs five records, and after the first reserve no memory at all. */
static void test_hot_path(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 10000, 0, 0);
    for (int t = 0; t < 10000; t++)
        drive_task(&setup);
    struct drive drive = {0};
    drive_begin(&drive, &setup);
    assert_int_equal(core_reserve(drive.core, 0, NULL), 0);
    uint64_t before = mf_alloc_count();
    drive_run(&drive);
    assert_int_equal(mf_alloc_count(), before);
    assert_int_equal(drive.records, 5 * 10000 + 3); /* run.opened, runner.started, run.settled */
    assert_true(drive.batch_most <= CORE_BATCH_RECORDS_MAX);
    assert_int_equal(core_exit_code(drive.core, false, 0), 0);
    drive_end(&drive);
    drive_graph_free(&setup);
}

static int always_fails(void *context, uint32_t node, enum core_stage stage)
{
    (void)context;
    (void)stage;
    return node == 0 ? 1 : 0;
}

/* A chain of 300,000 tasks falls over in bounded batches and without recursion. */
static void test_cascade(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 300000, 300000, 0);
    for (uint32_t t = 0; t < 300000; t++) {
        drive_task(&setup);
        if (t > 0)
            drive_edge(&setup, t - 1);
    }
    struct drive drive = {.code = always_fails};
    drive_begin(&drive, &setup);
    drive_run(&drive);
    assert_true(core_settled(drive.core));
    assert_int_equal(drive_state(&drive, 299999), CORE_TASK_STATE_SKIPPED);
    assert_true(drive.batch_most <= CORE_BATCH_RECORDS_MAX);
    assert_int_equal(core_exit_code(drive.core, false, 0), 1);
    drive_end(&drive);
    drive_graph_free(&setup);
}

static void test_drain_of_many(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 50000, 0, 0);
    for (uint32_t t = 0; t < 50000; t++)
        drive_task(&setup);
    struct drive drive = {.hold = true};
    drive_begin(&drive, &setup);
    drive_run(&drive);
    drive_push(&drive, (struct core_input){.kind = CORE_INPUT_SIGNAL, .level = 1});
    drive_run(&drive);
    struct core_totals totals;
    core_totals(drive.core, &totals);
    assert_int_equal(totals.nodes[CORE_TASK_STATE_CANCELLED], 50000);
    assert_true(core_settled(drive.core));
    assert_int_equal(core_exit_code(drive.core, false, 2), 130);
    drive_end(&drive);
    drive_graph_free(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_without_memory), cmocka_unit_test(test_reserve_without_memory), cmocka_unit_test(test_too_many_instances),
        cmocka_unit_test(test_hot_path),              cmocka_unit_test(test_cascade),                cmocka_unit_test(test_drain_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
