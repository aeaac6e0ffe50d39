/*
 * stories.c - the most instructive cases as golden traces
 *
 *   stories DIRECTORY [--update] [NAME]
 *
 * A story is a graph, what goes wrong, and the trace of all that happens, with virtual time. DIRECTORY/NAME.txt holds the trace;
 * one line more or less fails. --update writes the traces anew: read the difference before you commit it.
 */
#include "world.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdio.h>
#include <string.h>

#define TRACE_BYTES_MAX (1u << 20)
#define SCRIPT_MAX 12u

struct line { /* the n-th command of a kind goes like this; n = 0: every one */
    enum core_command_kind kind;
    uint32_t n;
    struct sim_behaviour how;
};
struct story {
    struct sim_graph setup;
    struct line lines[SCRIPT_MAX];
    uint32_t line_count;
    struct sim_event events[SCRIPT_MAX];
    uint32_t event_count;
    uint32_t seen[CORE_COMMAND_COUNT];
};

static struct sim_behaviour usual(enum core_command_kind kind)
{
    static const int64_t delays_ms[CORE_COMMAND_COUNT] = {
        [CORE_COMMAND_RUNNER] = 5, [CORE_COMMAND_EXPAND] = 2, [CORE_COMMAND_PREPARE] = 50, [CORE_COMMAND_CREATE] = 100, [CORE_COMMAND_FIND] = 15,
        [CORE_COMMAND_SPAWN] = 4,  [CORE_COMMAND_DROP] = 1,   [CORE_COMMAND_REVOKE] = 20,  [CORE_COMMAND_DELETE] = 30,  [CORE_COMMAND_CHECK] = 10};
    return (struct sim_behaviour){.delay_ms = delays_ms[kind], .run_ms = kind == CORE_COMMAND_SPAWN ? 1000 : 0, .count = kind == CORE_COMMAND_EXPAND ? 3 : 0};
}

static struct sim_behaviour scripted(struct sim_world *world, const struct core_command *command)
{
    struct story *story = world->context;
    uint32_t n = ++story->seen[command->kind];
    for (uint32_t l = 0; l < story->line_count; l++)
        if (story->lines[l].kind == command->kind && (story->lines[l].n == n || story->lines[l].n == 0))
            return story->lines[l].how;
    return usual(command->kind);
}

/* --- the language of the stories --- */

static struct core_task *task(struct story *story)
{
    return &story->setup.tasks[sim_task(&story->setup)];
}

static void needs(struct story *story, uint32_t from)
{
    sim_edge(&story->setup, from, CORE_ON_SUCCEEDED, 0, false);
}

static void account(struct story *story)
{
    sim_slot(&story->setup, (struct core_slot){.provider = 0, .lender = CORE_NONE});
}

static struct sim_behaviour *goes(struct story *story, enum core_command_kind kind, uint32_t n, enum sim_fault fault)
{
    mf_assert(story->line_count < SCRIPT_MAX);
    struct line *line = &story->lines[story->line_count++];
    *line = (struct line){.kind = kind, .n = n, .how = usual(kind)};
    line->how.fault = fault;
    return &line->how;
}

static struct sim_event *at(struct story *story, int64_t at_ms)
{
    mf_assert(story->event_count < SCRIPT_MAX);
    struct sim_event *event = &story->events[story->event_count++];
    *event = (struct sim_event){.at_ms = at_ms};
    return event;
}

static void says(struct story *story, int64_t at_ms, struct core_input input)
{
    struct sim_event *event = at(story, at_ms);
    event->has_input = true;
    event->input = input;
}

/* --- the stories --- */

static void story_hello(struct story *story)
{
    task(story);
    task(story);
    needs(story, 0);
    task(story);
    needs(story, 1);
}

static void story_deploy(struct story *story)
{
    struct core_task *deploy = task(story);
    deploy->prepare = deploy->verify = true;
    account(story);
}

static void story_lost_and_found(struct story *story)
{
    task(story);
    account(story);
    goes(story, CORE_COMMAND_CREATE, 1, SIM_LOST_DONE);
}

static void story_lost_and_never_was(struct story *story)
{
    task(story);
    account(story);
    goes(story, CORE_COMMAND_CREATE, 1, SIM_LOST);
}

static void story_found_twice(struct story *story)
{
    task(story);
    account(story);
    story->setup.providers[0].consistency_ms = 0;
    goes(story, CORE_COMMAND_CREATE, 1, SIM_LOST_TWICE);
}

static void story_temporary(struct story *story)
{
    task(story);
    account(story);
    story->setup.providers[0] = (struct core_provider){.can_delete = true, .lifetime_ms = 3600000};
    goes(story, CORE_COMMAND_CREATE, 1, SIM_LOST_DONE);
}

static void story_first_step_then_silence(struct story *story)
{
    task(story);
    account(story);
    goes(story, CORE_COMMAND_CREATE, 1, SIM_STEP_LOST);
}

static void story_one_of_two_refused(struct story *story)
{
    task(story);
    account(story);
    account(story);
    goes(story, CORE_COMMAND_CREATE, 2, SIM_REFUSED);
}

static void story_deaf_agent(struct story *story)
{
    task(story)->profile = 1;
    account(story);
    goes(story, CORE_COMMAND_SPAWN, 1, SIM_DEAF)->run_ms = 1000000;
}

static void story_verify_fails_once(struct story *story)
{
    task(story)->verify = true;
    account(story);
    goes(story, CORE_COMMAND_SPAWN, 2, SIM_FINE)->code = 1;
}

static void story_interrupted_twice(struct story *story)
{
    task(story);
    account(story);
    task(story);
    needs(story, 0);
    goes(story, CORE_COMMAND_SPAWN, 1, SIM_DEAF)->run_ms = 20000;
    says(story, 2000, (struct core_input){.kind = CORE_INPUT_SIGNAL, .level = 1, .signal = 2});
    says(story, 3000, (struct core_input){.kind = CORE_INPUT_SIGNAL, .level = 2, .signal = 2});
}

static void story_borrowed_and_kept(struct story *story)
{
    task(story);
    sim_slot(&story->setup, (struct core_slot){.provider = 0, .lender = CORE_NONE, .keep_on_success = true});
    task(story);
    needs(story, 0);
    sim_slot(&story->setup, (struct core_slot){.lender = 0, .lender_slot = 0});
}

static void story_account_dies(struct story *story)
{
    task(story);
    account(story);
    task(story);
    needs(story, 0);
    sim_slot(&story->setup, (struct core_slot){.lender = 0, .lender_slot = 0});
    goes(story, CORE_COMMAND_SPAWN, 2, SIM_FINE)->dead = true;
}

static void story_crash_while_creating(struct story *story)
{
    task(story);
    account(story);
    at(story, 1050)->crash = SIM_CRASH_AFTER_COMMANDS;
}

static void story_crash_while_running(struct story *story)
{
    task(story);
    account(story);
    at(story, 1500)->crash = SIM_CRASH_AFTER_COMMANDS;
}

static void story_crash_while_deleting(struct story *story)
{
    task(story);
    account(story);
    at(story, 2145)->crash = SIM_CRASH_AFTER_COMMANDS;
}

static void story_runner_dies_for_good(struct story *story)
{
    task(story);
    account(story);
    at(story, 1600)->effect = SIM_EFFECT_RUNNER_END;
    goes(story, CORE_COMMAND_RUNNER, 2, SIM_FAIL);
    goes(story, CORE_COMMAND_RUNNER, 3, SIM_FAIL);
}

static void story_three_of_four(struct story *story)
{
    task(story)->template = true;
    task(story);
    sim_edge(&story->setup, 0, CORE_ON_SUCCEEDED, 75, true);
    task(story);
    needs(story, 0);
    story->setup.tasks[0].profile = 1;
    goes(story, CORE_COMMAND_EXPAND, 1, SIM_FINE)->count = 4;
    goes(story, CORE_COMMAND_SPAWN, 2, SIM_FINE)->code = 1;
}

static void story_rerun_leaves_stale(struct story *story)
{
    task(story);
    task(story);
    needs(story, 0);
    says(story, 5000, (struct core_input){.kind = CORE_INPUT_RERUN, .node = 0});
    says(story, 8000, (struct core_input){.kind = CORE_INPUT_RERUN, .node = 0, .flag = true});
}

static void story_delete_lies(struct story *story)
{
    task(story);
    account(story);
    goes(story, CORE_COMMAND_DELETE, 1, SIM_LIE);
}

static void story_leak_and_teardown(struct story *story)
{
    task(story);
    account(story);
    goes(story, CORE_COMMAND_DELETE, 1, SIM_REFUSED);
    says(story, 60000, (struct core_input){.kind = CORE_INPUT_TEARDOWN});
}

static void story_one_create_at_a_time(struct story *story)
{
    for (int t = 0; t < 3; t++) {
        task(story);
        account(story);
    }
    story->setup.providers[0].creating_max = 1;
    story->setup.providers[0].creates_per_minute = 2;
    story->setup.providers[0].consistency_ms = 0;
    goes(story, CORE_COMMAND_CREATE, 2, SIM_RETRY)->after_ms = 5000;
}

/* It is stopped at its first violation, although it would be tried again for a failure of its own; an anomaly stops nobody. */
static void story_violation_stops(struct story *story)
{
    task(story)->stop_on_violation = true;
    account(story);
    story->setup.profiles[0].attempts_max = 3;
    says(story, 1400, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0, .flag = true});
    says(story, 1500, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0});
    says(story, 1501, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = 12});
    says(story, 1600, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = CORE_NONE, .flag = true});
}

static void story_violation_continues(struct story *story)
{
    task(story)->verify = true;
    account(story);
    says(story, 1500, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0});
    says(story, 1500, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0});
    says(story, 2500, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0, .stage = 8, .attempt = 1});
}

/* What an earlier stage did is written down and does not stop this one. */
static void story_violation_told_late(struct story *story)
{
    struct core_task *first = task(story);
    first->verify = first->stop_on_violation = true;
    account(story);
    says(story, 2500, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0, .stage = 8, .attempt = 1});
    says(story, 6000, (struct core_input){.kind = CORE_INPUT_VIOLATION, .node = 0, .stage = 8, .attempt = 1});
}

static void story_budget_of_a_task(struct story *story)
{
    task(story);
    task(story);
    story->setup.profiles[0].attempts_max = 3;
    says(story, 1300, (struct core_input){.kind = CORE_INPUT_USAGE, .node = 0, .stage_kind = CORE_STAGE_AGENT});
    says(story, 1300, (struct core_input){.kind = CORE_INPUT_BUDGET, .node = 0});
    says(story, 1400, (struct core_input){.kind = CORE_INPUT_USAGE, .node = 0, .attempt = 1, .stage_kind = CORE_STAGE_AGENT});
}

static void story_budget_of_the_run(struct story *story)
{
    task(story);
    account(story);
    task(story);
    needs(story, 0);
    says(story, 1500, (struct core_input){.kind = CORE_INPUT_BUDGET, .node = CORE_NONE});
}

/* The log goes on over the death of a runner: an older head is no news. */
static void story_audit_goes_on(struct story *story)
{
    task(story);
    says(story, 1300, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = 5});
    at(story, 1400)->effect = SIM_EFFECT_RUNNER_END;
    says(story, 1500, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = 5});
    says(story, 1550, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = 4});
    says(story, 1600, (struct core_input){.kind = CORE_INPUT_AUDIT, .count = 9});
}

static const struct {
    const char *name;
    void (*tell)(struct story *story);
} stories[] = {
    {"hello", story_hello},
    {"deploy", story_deploy},
    {"lost-and-found", story_lost_and_found},
    {"lost-and-never-was", story_lost_and_never_was},
    {"found-twice", story_found_twice},
    {"temporary", story_temporary},
    {"first-step-then-silence", story_first_step_then_silence},
    {"one-of-two-refused", story_one_of_two_refused},
    {"deaf-agent", story_deaf_agent},
    {"verify-fails-once", story_verify_fails_once},
    {"interrupted-twice", story_interrupted_twice},
    {"borrowed-and-kept", story_borrowed_and_kept},
    {"account-dies", story_account_dies},
    {"crash-while-creating", story_crash_while_creating},
    {"crash-while-running", story_crash_while_running},
    {"crash-while-deleting", story_crash_while_deleting},
    {"runner-dies-for-good", story_runner_dies_for_good},
    {"three-of-four", story_three_of_four},
    {"rerun-leaves-stale", story_rerun_leaves_stale},
    {"delete-lies", story_delete_lies},
    {"leak-and-teardown", story_leak_and_teardown},
    {"one-create-at-a-time", story_one_create_at_a_time},
    {"violation-stops", story_violation_stops},
    {"violation-continues", story_violation_continues},
    {"violation-told-late", story_violation_told_late},
    {"budget-of-a-task", story_budget_of_a_task},
    {"budget-of-the-run", story_budget_of_the_run},
    {"audit-goes-on", story_audit_goes_on},
};

/* --- telling --- */

static void live(struct sim_world *world, const struct story *story)
{
    int64_t last_ms = 0;
    for (uint32_t e = 0; e < story->event_count; e++) {
        sim_push(world, story->events[e]);
        last_ms = story->events[e].at_ms > last_ms ? story->events[e].at_ms : last_ms;
    }
    while (!world->failed && sim_turn(world))
        if (!world->down && sim_settled(world) && world->now_ms >= last_ms)
            break;
    if (!world->failed)
        sim_check_end(world);
}

static bool tell(size_t index, struct mf_buf *trace)
{
    struct story *story = mf_calloc(1, sizeof *story);
    mf_assert(story != NULL);
    sim_graph_init(&story->setup);
    stories[index].tell(story);
    struct sim_world *volatile world = sim_new(&story->setup, 7, scripted, story);
    world->trace = trace;
    world->reruns = 1; /* the edges are what the story is about */
    if (setjmp(world->escape) == 0)
        live(world, story);
    bool well = !world->failed;
    if (!well)
        printf("%s: %s\n", stories[index].name, world->failure);
    sim_free(world);
    mf_free(story);
    return well;
}

static void read_file(const char *path, struct mf_buf *out)
{
    FILE *file = fopen(path, "rb");
    char piece[4096];
    for (size_t bytes; file != NULL && (bytes = fread(piece, 1, sizeof piece, file)) > 0;)
        mf_buf_append(out, piece, bytes);
    if (file != NULL)
        fclose(file);
}

static bool write_file(const char *path, const struct mf_buf *trace)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    bool well = fwrite(mf_buf_cstr(trace), 1, trace->length, file) == trace->length;
    return fclose(file) == 0 && well;
}

static void print_difference(const char *name, const char *golden, const char *trace)
{
    uint32_t line = 1;
    const char *start = trace, *golden_start = golden;
    for (; *golden != '\0' && *golden == *trace; golden++, trace++)
        if (*trace == '\n') {
            line++;
            start = trace + 1;
            golden_start = golden + 1;
        }
    printf("%s: line %u differs\n  golden: %.*s\n  now:    %.*s\n", name, line, (int)strcspn(golden_start, "\n"), golden_start, (int)strcspn(start, "\n"), start);
}

static bool check_story(size_t index, const char *directory, bool update)
{
    struct mf_buf trace, golden;
    char path[512];
    mf_buf_init(&trace, TRACE_BYTES_MAX);
    mf_buf_init(&golden, TRACE_BYTES_MAX);
    snprintf(path, sizeof path, "%s/%s.txt", directory, stories[index].name);
    bool well = tell(index, &trace);
    if (well && update)
        well = write_file(path, &trace);
    read_file(path, &golden);
    if (well && strcmp(mf_buf_cstr(&golden), mf_buf_cstr(&trace)) != 0) {
        print_difference(stories[index].name, mf_buf_cstr(&golden), mf_buf_cstr(&trace));
        well = false;
    }
    mf_buf_free(&trace);
    mf_buf_free(&golden);
    return well;
}

int main(int count, char **arguments)
{
    bool update = count > 2 && strcmp(arguments[2], "--update") == 0;
    const char *only = count > (update ? 3 : 2) ? arguments[update ? 3 : 2] : NULL;
    uint32_t wrong = 0, told = 0;
    if (count < 2) {
        fprintf(stderr, "usage: stories DIRECTORY [--update] [NAME]\n");
        return 2;
    }
    for (size_t s = 0; s < sizeof stories / sizeof *stories; s++) {
        if (only != NULL && strcmp(only, stories[s].name) != 0)
            continue;
        told++;
        wrong += !check_story(s, arguments[1], update);
    }
    printf("%u stories, %u wrong\n", told, wrong);
    return wrong > 0 || told == 0 ? 1 : 0;
}
