/* unit/core_view.c - the exit code, by its precedence */
#include "core_drive.h"

struct exit_case {
    const char *what;
    enum core_input_kind input; /* sent while the agent runs; TICK: it ends by itself */
    int32_t code;
    bool refuse;                /* the create is refused */
    bool leak;                  /* the delete is hopeless */
    bool allow_failure;
    int signal_number;
    int expected;
};

static void answer(struct drive *drive, const struct exit_case *item, struct core_input *input)
{
    if (item->refuse && input->kind == CORE_INPUT_CREATED) {
        input->kind = CORE_INPUT_CREATE_ABSENT;
        input->flag = true;
    }
    if (item->leak && input->kind == CORE_INPUT_DELETED) {
        input->kind = CORE_INPUT_DELETE_RETRY;
        input->flag = true;
    }
    struct core_node_view view;
    assert_true(core_node(drive->core, 0, &view));
}

static int run_case(const struct exit_case *item)
{
    struct drive_graph setup;
    drive_graph_init(&setup, 1, 0, 1);
    drive_task(&setup)->allow_failure = item->allow_failure;
    drive_slot(&setup, CORE_NONE);
    setup.limits.leaked_max = 10;
    static struct core_record journal[256];
    struct drive drive = {.hold = true, .journal = journal, .journal_max = sizeof journal / sizeof *journal};
    drive_begin(&drive, &setup);
    for (bool visited = false; !core_settled(drive.core);) {
        struct core_node_view view;
        assert_true(core_node(drive.core, 0, &view));
        if (drive.count == 0 && view.state == CORE_TASK_STATE_RUNNING && !visited) {
            visited = true;
            struct core_input input = {.kind = item->input, .node = item->input == CORE_INPUT_TICK ? 0 : CORE_NONE, .level = 1, .stage = view.stage, .signal = item->signal_number};
            if (item->input == CORE_INPUT_TICK) {
                input.kind = CORE_INPUT_EXITED;
                input.code = item->code;
                drive_push(&drive, input);
                input.kind = CORE_INPUT_RESULT;
            }
            drive_push(&drive, input);
        }
        assert_true(drive.count > 0);
        struct core_input input = drive.queue[drive.first];
        drive.first = (drive.first + 1) % DRIVE_QUEUE;
        drive.count--;
        answer(&drive, item, &input);
        drive_step(&drive, input);
    }
    int code = core_exit_code(drive.core, false, item->signal_number);
    assert_int_equal(journal[drive.journal_count - 1].kind, CORE_RUN_SETTLED);
    assert_int_equal(journal[drive.journal_count - 1].facts[0], code); /* what ps and show say is what the process ends with */
    drive_end(&drive);
    drive_graph_free(&setup);
    return code;
}

static void test_exit_codes(void **state)
{
    (void)state;
    static const struct exit_case cases[] = {
        {.what = "all well", .input = CORE_INPUT_TICK, .expected = 0},
        {.what = "failed", .input = CORE_INPUT_TICK, .code = 1, .expected = 1},
        {.what = "failure allowed", .input = CORE_INPUT_TICK, .code = 1, .allow_failure = true, .expected = 0},
        {.what = "refused", .input = CORE_INPUT_TICK, .refuse = true, .expected = 3},
        {.what = "refusal allowed", .input = CORE_INPUT_TICK, .refuse = true, .allow_failure = true, .expected = 0},
        {.what = "leaked", .input = CORE_INPUT_TICK, .leak = true, .expected = 4},
        {.what = "leaked and interrupted", .input = CORE_INPUT_SIGNAL, .leak = true, .signal_number = 2, .expected = 4},
        {.what = "interrupted", .input = CORE_INPUT_SIGNAL, .signal_number = 15, .expected = 143},
        {.what = "cancelled", .input = CORE_INPUT_CANCEL, .expected = 1},
        {.what = "budget", .input = CORE_INPUT_BUDGET, .expected = 8},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int code = run_case(&cases[c]);
        if (code != cases[c].expected)
            fail_msg("%s: exit %d, not %d", cases[c].what, code, cases[c].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exit_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
