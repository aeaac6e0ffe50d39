/* unit/core_fit.c - a damaged journal is an error with a number, never a crash */
#include "base/rng.h"
#include "core_drive.h"

#define JOURNAL_MAX 4096u

static int first_fails_once(void *context, uint32_t node, enum core_stage stage)
{
    uint32_t *left = context;
    (void)stage;
    if (node != 0 || *left == 0)
        return 0;
    --*left;
    return 1;
}

static void build(struct drive_graph *setup)
{
    drive_graph_init(setup, 4, 4, 4);
    setup->profiles[0].attempts_max = 3;
    setup->profiles[0].retry_on = 1u << CORE_CLASS_AGENT;
    struct core_task *first = drive_task(setup);
    first->prepare = first->verify = true;
    drive_slot(setup, CORE_NONE);
    drive_task(setup)->template = true;
    drive_edge(setup, 0);
    drive_slot(setup, 0);
    drive_task(setup);
    drive_edge(setup, 1);
}

/* About tasks that are over: told late. */
static void remark(struct drive *drive)
{
    drive_push(drive, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 2, .attempt = 1});
    drive_push(drive, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0, .attempt = 2, .flag = true});
    drive_push(drive, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = CORE_NONE});
    drive_push(drive, (struct core_input){.kind = CORE_INPUT_USAGE, .node = 0, .attempt = 2, .stage_kind = CORE_STAGE_AGENT});
    drive_push(drive, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = 11});
}

static size_t record_run(struct drive_graph *setup, struct core_record *journal)
{
    uint32_t left = 1;
    struct drive drive = {.journal = journal, .journal_max = JOURNAL_MAX, .code = first_fails_once, .context = &left};
    drive_begin(&drive, setup);
    drive_run(&drive);
    drive_push(&drive, (struct core_input){.kind = CORE_INPUT_RERUN, .node = 0, .flag = true});
    drive_run(&drive);
    remark(&drive);
    drive_run(&drive);
    assert_true(core_settled(drive.core));
    drive_end(&drive);
    return drive.journal_count;
}

static size_t replay(struct drive_graph *setup, const struct core_record *journal, size_t count, struct mf_error *error)
{
    struct core *core;
    assert_int_equal(core_create(&core, &setup->graph, &setup->limits, 9, NULL), 0);
    size_t done = 0;
    while (done < count && core_apply(core, &journal[done], error) == 0)
        done++;
    /* Whatever was taken in can be gone on with, and comes to an end. */
    struct drive drive = {.core = core, .now_ms = core_time(core), .queue = calloc(DRIVE_QUEUE, sizeof *drive.queue)};
    drive_push(&drive, (struct core_input){.kind = done > 0 ? CORE_INPUT_RESTARTED : CORE_INPUT_OPEN});
    drive_run(&drive);
    assert_true(core_settled(core));
    drive_end(&drive);
    return done;
}

static void test_whole(void **state)
{
    (void)state;
    static struct core_record journal[JOURNAL_MAX];
    struct drive_graph setup;
    build(&setup);
    size_t count = record_run(&setup, journal);
    assert_true(count > 60);
    assert_int_equal(replay(&setup, journal, count, NULL), count);
    drive_graph_free(&setup);
}

static void test_every_prefix(void **state)
{
    (void)state;
    static struct core_record journal[JOURNAL_MAX];
    struct drive_graph setup;
    build(&setup);
    size_t count = record_run(&setup, journal);
    for (size_t prefix = 0; prefix < count; prefix++)
        assert_int_equal(replay(&setup, journal, prefix, NULL), prefix);
    drive_graph_free(&setup);
}

static void test_gap(void **state)
{
    (void)state;
    static struct core_record journal[JOURNAL_MAX];
    struct drive_graph setup;
    struct mf_error error;
    build(&setup);
    size_t count = record_run(&setup, journal);
    memmove(&journal[20], &journal[21], (count - 21) * sizeof *journal);
    assert_int_equal(replay(&setup, journal, count - 1, &error), 20);
    assert_int_equal(error.code, MF_STATE);
    assert_non_null(strstr(error.text, "record 22"));
    drive_graph_free(&setup);
}

static int64_t odd_value(struct mf_rng *rng)
{
    static const int64_t values[] = {0, 1, -1, 2, 3, 7, 100, UINT32_MAX, INT64_MAX, INT64_MIN, 4096};
    return values[mf_rng_below(rng, sizeof values / sizeof *values)];
}

static void damage(struct core_record *record, struct mf_rng *rng)
{
    switch (mf_rng_below(rng, 5)) {
    case 0:
        record->kind = (enum core_record_kind)mf_rng_below(rng, CORE_RECORD_COUNT + 2);
        break;
    case 1:
        record->node = (uint32_t)odd_value(rng);
        break;
    case 2:
        record->account = (uint32_t)odd_value(rng);
        break;
    case 3:
        record->at_ms = odd_value(rng);
        break;
    default:
        record->facts[mf_rng_below(rng, 4)] = odd_value(rng);
        break;
    }
}

/* TASK_EXPANDED may ask for memory up to its count; everything else must be refused or be harmless. */
static bool is_dear(const struct core_record *record)
{
    return (int)record->kind == CORE_TASK_EXPANDED && record->facts[0] > 100000;
}

static void test_damaged(void **state)
{
    (void)state;
    static struct core_record journal[JOURNAL_MAX], copy[JOURNAL_MAX];
    struct drive_graph setup;
    struct mf_rng rng;
    mf_rng_seed(&rng, 42);
    build(&setup);
    size_t count = record_run(&setup, journal);
    for (int round = 0; round < 2000; round++) {
        memcpy(copy, journal, count * sizeof *copy);
        for (uint64_t times = 1 + mf_rng_below(&rng, 3); times > 0; times--) {
            struct core_record *record = &copy[mf_rng_below(&rng, count)];
            struct core_record before = *record;
            damage(record, &rng);
            if (is_dear(record))
                *record = before;
        }
        replay(&setup, copy, count, NULL);
    }
    drive_graph_free(&setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_gap), cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
