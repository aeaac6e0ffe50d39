/* unit/core_graph.c - checks of the graph, and what edges say about lists */
#include "core_drive.h"

static void expect_bad(struct drive_graph *setup, const char *text)
{
    struct core *core;
    struct mf_error error;
    assert_int_equal(core_create(&core, &setup->graph, &setup->limits, 1, &error), -1);
    assert_null(core);
    assert_non_null(strstr(error.text, text));
    drive_graph_free(setup);
}

static void begin(struct drive_graph *setup)
{
    drive_graph_init(setup, 8, 8, 64);
    drive_task(setup);
    drive_task(setup);
}

static void test_bad_edges(void **state)
{
    (void)state;
    struct drive_graph setup;
    begin(&setup);
    drive_edge(&setup, 2);
    expect_bad(&setup, "comes from task 2");
    begin(&setup);
    drive_edge(&setup, 1);
    expect_bad(&setup, "comes from task 1");
    begin(&setup);
    drive_edge(&setup, 0)->percent = true;
    expect_bad(&setup, "does not exist");
    begin(&setup);
    setup.tasks[1].edge_count = 1;
    expect_bad(&setup, "out of range");
    begin(&setup);
    drive_edge(&setup, 0);
    setup.tasks[0] = setup.tasks[1];
    expect_bad(&setup, "to no task or to two");
}

static void test_cycle(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 3, 3, 0);
    for (uint32_t t = 0; t < 3; t++) {
        drive_task(&setup);
        drive_edge(&setup, (t + 1) % 3);
    }
    expect_bad(&setup, "cycle");
}

static void test_bad_slots(void **state)
{
    (void)state;
    struct drive_graph setup;
    begin(&setup);
    drive_slot(&setup, CORE_NONE)->provider = 1;
    expect_bad(&setup, "no provider");
    begin(&setup);
    drive_slot(&setup, 0);
    expect_bad(&setup, "does not own");
    begin(&setup);
    setup.tasks[0].template = true;
    drive_slot(&setup, 0);
    expect_bad(&setup, "not a single task");
    begin(&setup);
    for (uint32_t s = 0; s <= CORE_SLOTS_MAX; s++)
        drive_slot(&setup, CORE_NONE);
    expect_bad(&setup, "more than 32 accounts");
    begin(&setup);
    drive_slot(&setup, CORE_NONE);
    drive_slot(&setup, CORE_NONE);
    setup.limits.accounts_max = 1;
    expect_bad(&setup, "the limit is 1");
}

static void test_borrower_needs_the_success(void **state)
{
    (void)state;
    struct drive_graph setup;
    drive_graph_init(&setup, 2, 1, 2);
    drive_task(&setup);
    drive_slot(&setup, CORE_NONE);
    drive_task(&setup);
    drive_edge(&setup, 0)->on = CORE_ON_ENDED;
    drive_slot(&setup, 0);
    expect_bad(&setup, "without needing its success");
}

/* One template of `count` instances of which the first `bad` fail, and one dependent with the edge. */
struct edge_case {
    uint32_t count, bad;
    enum core_on on;
    uint32_t at_least;
    bool percent, allow_failure, runs;
};

static int fail_first(void *context, uint32_t node, enum core_stage stage)
{
    (void)stage;
    const struct edge_case *item = context;
    return node >= 2 && node - 2 < item->bad ? 1 : 0;
}

static uint32_t list_of(void *context, uint32_t node)
{
    (void)node;
    return ((const struct edge_case *)context)->count;
}

static void test_edges_of_lists(void **state)
{
    (void)state;
    static const struct edge_case cases[] = {
        {0, 0, CORE_ON_SUCCEEDED, 0, false, false, true},   {0, 0, CORE_ON_FAILED, 0, false, false, false}, {0, 0, CORE_ON_ENDED, 0, false, false, true},
        {0, 0, CORE_ON_SUCCEEDED, 1, false, false, false},  {0, 0, CORE_ON_SUCCEEDED, 50, true, false, true}, {4, 0, CORE_ON_SUCCEEDED, 0, false, false, true},
        {4, 1, CORE_ON_SUCCEEDED, 0, false, false, false},  {4, 1, CORE_ON_SUCCEEDED, 0, false, true, true}, {4, 1, CORE_ON_SUCCEEDED, 75, true, false, true},
        {4, 2, CORE_ON_SUCCEEDED, 75, true, false, false},  {4, 2, CORE_ON_SUCCEEDED, 51, true, false, false}, {3, 1, CORE_ON_SUCCEEDED, 67, true, false, false},
        {3, 1, CORE_ON_SUCCEEDED, 66, true, false, true},   {3, 1, CORE_ON_SUCCEEDED, 2, false, false, true}, {3, 2, CORE_ON_SUCCEEDED, 2, false, false, false},
        {3, 1, CORE_ON_FAILED, 0, false, false, true},      {3, 0, CORE_ON_FAILED, 0, false, false, false}, {3, 3, CORE_ON_FAILED, 3, false, false, true},
        {3, 2, CORE_ON_FAILED, 3, false, false, false},     {3, 3, CORE_ON_ENDED, 0, false, false, true},   {3, 3, CORE_ON_FAILED, 0, false, true, false},
        {3, 0, CORE_ON_ENDED, 4, false, false, false},      {2000, 1, CORE_ON_ENDED, 99, true, false, true},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct edge_case item = cases[c];
        struct drive_graph setup;
        drive_graph_init(&setup, 2, 1, 0);
        struct core_task *template = drive_task(&setup);
        template->template = true;
        template->allow_failure = item.allow_failure;
        drive_task(&setup);
        *drive_edge(&setup, 0) = (struct core_edge){.from = 0, .on = (uint8_t)item.on, .at_least = item.at_least, .percent = item.percent};
        struct drive drive = {.code = fail_first, .list = list_of, .context = &item};
        drive_begin(&drive, &setup);
        drive_run(&drive);
        assert_true(core_settled(drive.core));
        if (drive_state(&drive, 1) != (item.runs ? CORE_TASK_STATE_SUCCEEDED : CORE_TASK_STATE_SKIPPED))
            fail_msg("case %zu: %s", c, core_task_state_name(drive_state(&drive, 1)));
        drive_end(&drive);
        drive_graph_free(&setup);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_edges),  cmocka_unit_test(test_cycle), cmocka_unit_test(test_bad_slots), cmocka_unit_test(test_borrower_needs_the_success),
        cmocka_unit_test(test_edges_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
