/* unit/core_attempt.c - how an attempt ends, and whether another one follows */
#include "core_drive.h"

struct end_case {
    int32_t code, signal;
    enum core_class result;
    bool verify_fails;
    uint32_t retry_on, attempts_max;
    enum core_task_state state;
    enum core_class class;
    uint32_t attempts;
};

#define ON(class) (1u << CORE_CLASS_##class)

static const struct end_case cases[] = {
    {0, 0, CORE_CLASS_NONE, false, 0, 1, CORE_TASK_STATE_SUCCEEDED, CORE_CLASS_NONE, 1},
    {1, 0, CORE_CLASS_NONE, false, ON(AGENT), 1, CORE_TASK_STATE_FAILED, CORE_CLASS_AGENT, 1},
    {1, 0, CORE_CLASS_NONE, false, ON(AGENT), 3, CORE_TASK_STATE_FAILED, CORE_CLASS_AGENT, 3},
    {1, 0, CORE_CLASS_NONE, false, ON(VERIFY), 3, CORE_TASK_STATE_FAILED, CORE_CLASS_AGENT, 1},
    {75, 0, CORE_CLASS_NONE, false, 0, 1, CORE_TASK_STATE_FAILED, CORE_CLASS_INFRASTRUCTURE, 3},
    {-1, 9, CORE_CLASS_NONE, false, ON(AGENT), 2, CORE_TASK_STATE_FAILED, CORE_CLASS_AGENT, 2},
    {0, 0, CORE_CLASS_AGENT, false, ON(AGENT), 2, CORE_TASK_STATE_FAILED, CORE_CLASS_AGENT, 2},
    {0, 0, CORE_CLASS_INFRASTRUCTURE, false, 0, 1, CORE_TASK_STATE_FAILED, CORE_CLASS_INFRASTRUCTURE, 3},
    {0, 0, CORE_CLASS_REFUSED, false, ON(REFUSED) | ON(AGENT), 5, CORE_TASK_STATE_FAILED, CORE_CLASS_REFUSED, 1},
    {1, 0, CORE_CLASS_REFUSED, false, ON(AGENT), 2, CORE_TASK_STATE_FAILED, CORE_CLASS_AGENT, 2},
    {0, 0, CORE_CLASS_NONE, true, ON(VERIFY), 2, CORE_TASK_STATE_FAILED, CORE_CLASS_VERIFY, 2},
    {0, 0, CORE_CLASS_NONE, true, ON(AGENT), 2, CORE_TASK_STATE_FAILED, CORE_CLASS_VERIFY, 1},
};

static void end_stage(struct drive *drive, const struct core_command *command, const struct end_case *item)
{
    bool verify = command->stage_kind == CORE_STAGE_VERIFY;
    struct core_input input = {.node = command->node, .stage = command->stage, .kind = CORE_INPUT_EXITED};
    input.code = verify ? item->verify_fails : item->code;
    input.signal = verify ? 0 : item->signal;
    drive_push(drive, input);
    input.kind = CORE_INPUT_RESULT;
    input.class = verify ? CORE_CLASS_NONE : item->result;
    drive_push(drive, input);
}

static void run_case(const struct end_case *item)
{
    struct drive_graph setup;
    drive_graph_init(&setup, 1, 0, 0);
    drive_task(&setup)->verify = item->verify_fails;
    setup.profiles[0].retry_on = item->retry_on;
    setup.profiles[0].attempts_max = item->attempts_max;
    struct drive drive = {.hold = true};
    drive_begin(&drive, &setup);
    for (int turn = 0; turn < 200 && !core_settled(drive.core); turn++) {
        if (drive.count == 0) {
            drive.now_ms = core_deadline(drive.core);
            drive_push(&drive, (struct core_input){.kind = CORE_INPUT_TICK});
        }
        struct core_input input = drive.queue[drive.first];
        drive.first = (drive.first + 1) % DRIVE_QUEUE;
        drive.count--;
        const struct core_batch *batch = drive_step(&drive, input);
        for (uint32_t c = 0; c < batch->command_count; c++)
            if (batch->commands[c].kind == CORE_COMMAND_SPAWN)
                end_stage(&drive, &batch->commands[c], item);
    }
    struct core_node_view view;
    assert_true(core_settled(drive.core) && core_node(drive.core, 0, &view));
    assert_int_equal(view.state, item->state);
    assert_int_equal(view.class, item->class);
    assert_int_equal(view.attempt, item->attempts);
    drive_end(&drive);
    drive_graph_free(&setup);
}

static void test_ends(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        run_case(&cases[c]);
}

static struct drive running_task(struct drive_graph *setup)
{
    struct drive drive = {.hold = true};
    drive_graph_init(setup, 1, 0, 0);
    drive_task(setup)->stop_on_violation = true;
    drive_begin(&drive, setup);
    drive_run(&drive);
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_RUNNING);
    return drive;
}

static uint64_t stage_of(const struct drive *drive)
{
    struct core_node_view view;
    assert_true(core_node(drive->core, 0, &view));
    return view.stage;
}

/* An exit that arrives with the deadline counts as met. */
static void test_exit_meets_deadline(void **state)
{
    (void)state;
    struct drive_graph setup;
    struct drive drive = running_task(&setup);
    drive.now_ms = core_deadline(drive.core);
    drive_step(&drive, (struct core_input){.kind = CORE_INPUT_EXITED, .node = 0, .stage = stage_of(&drive)});
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_RUNNING);
    drive.now_ms += 60000; /* the collection takes its time */
    drive_step(&drive, (struct core_input){.kind = CORE_INPUT_RESULT, .node = 0, .stage = stage_of(&drive)});
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_SUCCEEDED);
    drive_end(&drive);
    drive_graph_free(&setup);
}

static void test_old_stage_is_ignored(void **state)
{
    (void)state;
    struct drive_graph setup;
    struct drive drive = running_task(&setup);
    drive_step(&drive, (struct core_input){.kind = CORE_INPUT_EXITED, .node = 0, .stage = stage_of(&drive) + 1});
    drive_step(&drive, (struct core_input){.kind = CORE_INPUT_RESULT, .node = 0, .stage = 0});
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_RUNNING);
    drive_end(&drive);
    drive_graph_free(&setup);
}

/* Each reason to stop has its end. */
static void test_stops(void **state)
{
    (void)state;
    static const struct {
        enum core_input_kind input;
        enum core_task_state state;
        enum core_class class;
    } stops[] = {
        {CORE_INPUT_TICK, CORE_TASK_STATE_TIMED_OUT, CORE_CLASS_TIMEOUT},
        {CORE_INPUT_CANCEL, CORE_TASK_STATE_CANCELLED, CORE_CLASS_CANCEL},
        {CORE_INPUT_VIOLATION, CORE_TASK_STATE_FAILED, CORE_CLASS_VIOLATION},
        {CORE_INPUT_BUDGET, CORE_TASK_STATE_FAILED, CORE_CLASS_BUDGET},
    };
    for (size_t s = 0; s < sizeof stops / sizeof *stops; s++) {
        struct drive_graph setup;
        struct drive drive = running_task(&setup);
        if (stops[s].input == CORE_INPUT_TICK)
            drive.now_ms = core_deadline(drive.core);
        drive_step(&drive, (struct core_input){.kind = stops[s].input});
        assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_STOPPING);
        drive_run(&drive);
        struct core_node_view view;
        assert_true(core_node(drive.core, 0, &view));
        assert_int_equal(view.state, stops[s].state);
        assert_int_equal(view.class, stops[s].class);
        drive_end(&drive);
        drive_graph_free(&setup);
    }
}

/* --- remarks: what is told about an agent beside its end --- */

static uint32_t told(const struct core_batch *batch, enum core_record_kind kind)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < batch->record_count; r++)
        count += batch->records[r].kind == kind;
    return count;
}

static void test_informing_stops_nobody(void **state)
{
    (void)state;
    struct drive_graph setup;
    struct drive drive = running_task(&setup);
    struct core_input input = {.kind = CORE_INPUT_VIOLATION, .node = 0, .flag = true};
    assert_int_equal(told(drive_step(&drive, input), CORE_TASK_ANOMALY), 1);
    input = (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0, .stage = stage_of(&drive) + 1};
    assert_int_equal(told(drive_step(&drive, input), CORE_TASK_VIOLATION), 1); /* of a stage that is over */
    input = (struct core_input){.kind = CORE_INPUT_BUDGET, .node = 0, .stage = stage_of(&drive) + 1};
    drive_step(&drive, input);
    assert_int_equal(drive_state(&drive, 0), CORE_TASK_STATE_RUNNING);
    struct core_node_view view;
    assert_true(core_node(drive.core, 0, &view));
    assert_int_equal(view.violations, 1);
    assert_int_equal(view.anomalies, 1);
    drive_end(&drive);
    drive_graph_free(&setup);
}

static void test_remarks_have_an_end(void **state)
{
    (void)state;
    struct drive_graph setup;
    struct drive drive = running_task(&setup);
    uint32_t records = 0;
    for (uint32_t i = 0; i < core_limits_default.remarks_max + 10; i++) {
        struct core_input input = {.kind = CORE_INPUT_VIOLATION, .node = i % 3 == 2 ? CORE_NONE : 0, .flag = true};
        records += drive_step(&drive, input)->record_count;
    }
    assert_int_equal(records, core_limits_default.remarks_max + 10);
    for (uint32_t i = 0; i < 3 * core_limits_default.remarks_max; i++) {
        struct core_input input = {.kind = CORE_INPUT_VIOLATION, .node = i % 2 == 0 ? CORE_NONE : 0, .flag = true};
        records += drive_step(&drive, input)->record_count;
    }
    assert_int_equal(records, 2 * core_limits_default.remarks_max);
    drive_end(&drive);
    drive_graph_free(&setup);
}

static void test_usage_and_heads(void **state)
{
    (void)state;
    struct drive_graph setup;
    struct drive drive = running_task(&setup);
    struct core_input input = {.kind = CORE_INPUT_USAGE, .node = 0, .attempt = 7, .stage_kind = CORE_STAGE_VERIFY};
    const struct core_batch *batch = drive_step(&drive, input);
    assert_int_equal(told(batch, CORE_TASK_USAGE), 1);
    assert_int_equal(batch->records[0].facts[0], 7);
    assert_int_equal(batch->records[0].facts[1], CORE_STAGE_VERIFY);
    static const struct {
        uint32_t count, records;
    } heads[] = {{3, 1}, {3, 0}, {2, 0}, {4, 1}, {CORE_NONE, 0}, {CORE_NONE - 1, 1}};
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
        assert_int_equal(drive_step(&drive, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = heads[h].count})->record_count, heads[h].records);
    struct core_totals totals;
    core_totals(drive.core, &totals);
    assert_int_equal(totals.audit_count, CORE_NONE - 1);
    drive_end(&drive);
    drive_graph_free(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ends), cmocka_unit_test(test_exit_meets_deadline), cmocka_unit_test(test_old_stage_is_ignored),
                                       cmocka_unit_test(test_stops), cmocka_unit_test(test_informing_stops_nobody), cmocka_unit_test(test_remarks_have_an_end),
                                       cmocka_unit_test(test_usage_and_heads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
