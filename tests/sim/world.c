/* world.c - events, turns, commits, crashes: what the shell and the machine do around the core */
#include "world.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct sim_world *current; /* for the assert hook: one world at a time */

static void assert_failed(const char *condition, const char *file, int line, const char *function)
{
    if (current == NULL)
        return;
    snprintf(current->failure, sizeof current->failure, "assertion %s in %s (%s:%d)", condition, function, file, line);
    current->failed = true;
    longjmp(current->escape, 1);
}

void sim_fail(struct sim_world *world, const char *format, ...)
{
    if (world->failed)
        return;
    va_list arguments;
    va_start(arguments, format);
    int length = snprintf(world->failure, sizeof world->failure, "at %lld ms: ", (long long)world->now_ms);
    vsnprintf(world->failure + length, sizeof world->failure - (size_t)length, format, arguments);
    va_end(arguments);
    world->failed = true;
}

static void *need(size_t count, size_t bytes)
{
    void *memory = mf_calloc(count, bytes);
    mf_assert(memory != NULL);
    return memory;
}

static void new_core(struct sim_world *world)
{
    struct mf_error error;
    if (core_create(&world->core, &world->setup->graph, &world->setup->limits, world->core_seed + world->lives, &error) != 0)
        sim_fail(world, "core_create: %s", error.text);
    world->lives++;
}

struct sim_world *sim_new(struct sim_graph *setup, uint64_t seed, sim_choose *choose, void *context)
{
    struct sim_world *world = need(1, sizeof *world);
    world->setup = setup;
    world->seed = world->core_seed = seed;
    world->choose = choose;
    world->context = context;
    world->now_ms = 1000;
    mf_rng_seed(&world->rng, seed ^ 0x5eedf00dULL);
    world->journal = need(SIM_JOURNAL_MAX, sizeof *world->journal);
    world->events = need(SIM_EVENTS_MAX, sizeof *world->events);
    world->remotes = need(SIM_REMOTES_MAX, sizeof *world->remotes);
    world->processes = need(SIM_PROCESSES_MAX, sizeof *world->processes);
    world->leases = need(SIM_REMOTES_MAX, sizeof *world->leases);
    world->turn_records = need(SIM_TURN_MAX, sizeof *world->turn_records);
    world->turn_commands = need(SIM_TURN_MAX, sizeof *world->turn_commands);
    for (uint32_t p = 0; p < SIM_PROVIDERS_MAX; p++)
        world->creates[p] = need(SIM_REMOTES_MAX, sizeof **world->creates);
    current = world;
    mf_assert_set_hook(assert_failed);
    new_core(world);
    sim_input(world, 0, (struct core_input){.kind = CORE_INPUT_OPEN});
    return world;
}

void sim_free(struct sim_world *world)
{
    current = NULL;
    mf_assert_set_hook(NULL);
    core_destroy(world->core);
    for (uint32_t p = 0; p < SIM_PROVIDERS_MAX; p++)
        mf_free(world->creates[p]);
    void *blocks[] = {world->journal, world->events, world->remotes, world->processes, world->leases, world->turn_records, world->turn_commands, world};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        mf_free(blocks[b]);
}

/* --- events --- */

void sim_push(struct sim_world *world, struct sim_event event)
{
    mf_assert(world->event_count < SIM_EVENTS_MAX);
    event.order = world->event_order++;
    uint32_t at = world->event_count++;
    while (at > 0 && (world->events[at - 1].at_ms < event.at_ms || (world->events[at - 1].at_ms == event.at_ms && world->events[at - 1].order < event.order))) {
        world->events[at] = world->events[at - 1]; /* sorted with the next one last */
        at--;
    }
    world->events[at] = event;
}

void sim_input(struct sim_world *world, int64_t delay_ms, struct core_input input)
{
    sim_push(world, (struct sim_event){.at_ms = world->now_ms + delay_ms, .has_input = true, .input = input});
}

bool sim_faulty(const struct sim_world *world)
{
    return world->now_ms < world->faults_until_ms;
}

const struct core_record *sim_record(const struct sim_world *world, uint64_t seq)
{
    return seq >= 1 && seq <= world->journal_count ? &world->journal[seq - 1] : NULL;
}

/* --- a crash and what comes after --- */

void sim_crash(struct sim_world *world)
{
    sim_trace_note(world, "crash");
    world->crashes++;
    sim_runner_gone(world);
    uint32_t kept = 0, count = world->event_count;
    for (uint32_t e = 0; e < count; e++) { /* answers are lost; requests on the wire may still have their effect */
        struct sim_event event = world->events[e];
        bool on_wire = event.effect == SIM_EFFECT_CREATE || event.effect == SIM_EFFECT_REVOKE || event.effect == SIM_EFFECT_DELETE || event.effect == SIM_EFFECT_SWEEP;
        if (on_wire && mf_rng_below(&world->rng, 2) == 0) {
            event.has_input = false;
            sim_account_effect(world, &event);
        }
        if (event.crash != SIM_CRASH_NONE)
            world->events[kept++] = event;
    }
    world->event_count = kept;
    memset(world->busy, 0, sizeof world->busy);
    core_destroy(world->core);
    world->core = NULL;
    world->down = true;
    world->restart_at_ms = world->now_ms + 1 + (int64_t)mf_rng_below(&world->rng, 20000);
}

/* Ids that were answered but not committed are unknown again. */
static void forget_uncommitted(struct sim_world *world)
{
    for (uint32_t r = 0; r < world->remote_count; r++) {
        struct core_account_view view;
        bool known = core_account(world->core, world->remotes[r].account, &view) && view.has_id;
        if (!known)
            world->remotes[r].account = 0;
    }
}

static void restart(struct sim_world *world)
{
    sim_trace_note(world, "restart");
    world->signal_number = 0;
    world->now_ms = world->restart_at_ms;
    world->down = false;
    new_core(world);
    struct mf_error error;
    for (uint32_t r = 0; r < world->journal_count && !world->failed; r++)
        if (core_apply(world->core, &world->journal[r], &error) != 0)
            sim_fail(world, "replay: %s", error.text);
    forget_uncommitted(world);
    if (world->journal_count == 0) {
        sim_input(world, 0, (struct core_input){.kind = CORE_INPUT_OPEN});
        return;
    }
    uint64_t visitor = world->visitors ? mf_rng_below(&world->rng, 8) : 7; /* `resume`, `teardown`, or nobody with a wish */
    sim_input(world, 0, (struct core_input){.kind = CORE_INPUT_RESTARTED, .flag = visitor == 0});
    world->cancels += visitor == 0;
    if (visitor == 0)
        sim_input(world, 0, (struct core_input){.kind = CORE_INPUT_TEARDOWN});
    else if (visitor < 4)
        sim_resume(world, world->now_ms);
}

void sim_resume(struct sim_world *world, int64_t at_ms)
{
    const struct core_input input = {.kind = CORE_INPUT_RESUME};
    struct sim_event event = {.at_ms = at_ms, .has_input = true, .input = input};
    world->reruns++;
    for (uint32_t task = 0; task < world->setup->graph.task_count; task++) { /* edges lead upwards */
        uint32_t first = 0, count = 0;
        if (!core_instances(world->core, task, &first, &count))
            count = 0;
        for (uint32_t i = 0; i < count; i++) {
            event.input.node = first + i;
            event.input.flag = mf_rng_below(&world->rng, 8) == 0; /* its definition has changed */
            sim_push(world, event);
        }
        event.input.node = task;
        event.input.flag = mf_rng_below(&world->rng, 8) == 0;
        sim_push(world, event);
    }
}

/* --- a turn --- */

/* Visitors name tasks and accounts blindly; what does not exist is nobody's. */
static bool address(struct sim_world *world, struct core_input *input)
{
    bool to_node = input->kind == CORE_INPUT_CANCEL || input->kind == CORE_INPUT_RERUN || input->kind == CORE_INPUT_VIOLATION || input->kind == CORE_INPUT_BUDGET ||
                   input->kind == CORE_INPUT_USAGE;
    if (to_node && input->node == CORE_NONE)
        return input->kind == CORE_INPUT_CANCEL || input->kind == CORE_INPUT_BUDGET || input->kind == CORE_INPUT_VIOLATION;
    if (to_node)
        input->node %= core_node_count(world->core);
    world->cancels += input->kind == CORE_INPUT_CANCEL || input->kind == CORE_INPUT_VIOLATION || input->kind == CORE_INPUT_BUDGET;
    world->reruns += input->kind == CORE_INPUT_RERUN;
    if (input->kind != CORE_INPUT_ACCOUNT_DEAD)
        return true;
    if (core_account_count(world->core) == 0)
        return false;
    if (input->account < 1 || input->account > core_account_count(world->core))
        input->account = 1 + input->account % core_account_count(world->core);
    return true;
}

/* A stage that has to stop, so that check.c can see that it does. */
static void note_told(struct sim_world *world, const struct core_input *input)
{
    struct core_node_view view;
    bool stops = input->kind == CORE_INPUT_BUDGET || (input->kind == CORE_INPUT_VIOLATION && !input->flag);
    if (!stops || input->node == CORE_NONE || !core_node(world->core, input->node, &view) || view.stage == 0)
        return;
    uint32_t task = view.template == CORE_NONE ? input->node : view.template;
    if ((input->kind == CORE_INPUT_VIOLATION && !world->setup->tasks[task].stop_on_violation) || (input->stage != 0 && input->stage != view.stage))
        return;
    mf_assert(world->told_count < sizeof world->told / sizeof *world->told);
    world->told[world->told_count].node = input->node;
    world->told[world->told_count++].stage = view.stage;
}

uint64_t sim_events;

static void step(struct sim_world *world, struct core_input input)
{
    sim_events++;
    if (!address(world, &input))
        input.kind = CORE_INPUT_TICK;
    if (input.kind == CORE_INPUT_SIGNAL && world->signal_number == 0 && !core_settled(world->core)) /* else it comes too late */
        world->signal_number = input.signal;
    note_told(world, &input);
    input.now_ms = world->now_ms;
    mf_assert(core_reserve(world->core, input.kind == CORE_INPUT_EXPANDED ? input.count : 0, NULL) == 0);
    const struct core_batch *batch = core_step(world->core, &input);
    mf_assert(world->turn_record_count + batch->record_count <= SIM_TURN_MAX && world->turn_command_count + batch->command_count <= SIM_TURN_MAX);
    memcpy(world->turn_records + world->turn_record_count, batch->records, batch->record_count * sizeof *batch->records);
    memcpy(world->turn_commands + world->turn_command_count, batch->commands, batch->command_count * sizeof *batch->commands);
    world->turn_record_count += batch->record_count;
    world->turn_command_count += batch->command_count;
}

static void commit(struct sim_world *world)
{
    if (world->journal_count + world->turn_record_count > SIM_JOURNAL_MAX) {
        sim_fail(world, "the journal does not end");
        return;
    }
    for (uint32_t r = 0; r < world->turn_record_count; r++) {
        world->journal[world->journal_count++] = world->turn_records[r];
        sim_trace_record(world, &world->turn_records[r]);
    }
}

static void execute(struct sim_world *world, const struct core_command *command)
{
    sim_trace_command(world, command);
    sim_check_command(world, command);
    switch ((int)command->kind) {
    case CORE_COMMAND_CREATE:
    case CORE_COMMAND_FIND:
    case CORE_COMMAND_REVOKE:
    case CORE_COMMAND_DELETE:
    case CORE_COMMAND_CHECK:
        sim_account_command(world, command);
        break;
    default:
        sim_runner_command(world, command);
        break;
    }
}

static void execute_all(struct sim_world *world, uint32_t count)
{
    for (uint32_t c = 0; c < count && !world->failed; c++)
        execute(world, &world->turn_commands[c]);
}

static enum sim_crash draw_crash(struct sim_world *world)
{
    if (world->crash_now != SIM_CRASH_NONE) {
        enum sim_crash crash = world->crash_now;
        world->crash_now = SIM_CRASH_NONE;
        return crash;
    }
    if (!sim_faulty(world) || mf_rng_below(&world->rng, 1000) >= world->crash_permille)
        return SIM_CRASH_NONE;
    return (enum sim_crash)(1 + mf_rng_below(&world->rng, 4));
}

static void finish_turn(struct sim_world *world)
{
    enum sim_crash crash = draw_crash(world);
    if (world->act_before_commit)
        execute_all(world, world->turn_command_count);
    if (crash == SIM_CRASH_BEFORE_COMMIT) {
        sim_crash(world);
        return;
    }
    commit(world);
    sim_check_records(world);
    sim_check_state(world);
    if (world->failed || world->act_before_commit)
        return;
    if (crash == SIM_CRASH_AFTER_COMMIT)
        sim_crash(world);
    else if (crash == SIM_CRASH_MID_COMMANDS)
        execute_all(world, (uint32_t)mf_rng_below(&world->rng, world->turn_command_count + 1u));
    else
        execute_all(world, world->turn_command_count);
    if (!world->failed && (crash == SIM_CRASH_MID_COMMANDS || crash == SIM_CRASH_AFTER_COMMANDS)) {
        sim_check_fold(world);
        sim_crash(world);
    }
}

/* Events of this moment, in their order, one step of the core for each input; at most a few share a turn. */
static void take_events(struct sim_world *world)
{
    uint32_t most = 1 + (uint32_t)mf_rng_below(&world->rng, 4);
    bool stepped = false;
    while (most > 0 && world->event_count > 0 && world->events[world->event_count - 1].at_ms <= world->now_ms && !world->failed) {
        struct sim_event event = world->events[--world->event_count];
        if (event.crash != SIM_CRASH_NONE)
            world->crash_now = event.crash;
        bool from_dead_runner = event.runner != 0 && event.runner != world->runner_generation;
        if (from_dead_runner)
            continue;
        if (event.effect >= SIM_EFFECT_START && !sim_runner_effect(world, &event))
            continue;
        if (event.effect != SIM_EFFECT_NONE && event.effect < SIM_EFFECT_START)
            sim_account_effect(world, &event);
        if (event.answers)
            world->busy[event.input.account] = 0;
        if (!event.has_input)
            continue;
        step(world, event.input);
        stepped = true;
        most--;
    }
    if (!stepped && (core_deadline(world->core) <= world->now_ms || world->crash_now != SIM_CRASH_NONE))
        step(world, (struct core_input){.kind = CORE_INPUT_TICK});
}

bool sim_settled(const struct sim_world *world)
{
    return world->core != NULL && core_settled(world->core);
}

bool sim_turn(struct sim_world *world)
{
    if (world->down)
        restart(world);
    int64_t event_ms = world->event_count > 0 ? world->events[world->event_count - 1].at_ms : CORE_NEVER;
    int64_t deadline_ms = core_deadline(world->core);
    int64_t next_ms = event_ms < deadline_ms ? event_ms : deadline_ms;
    if (next_ms == CORE_NEVER)
        return false;
    if (next_ms > world->now_ms)
        world->now_ms = next_ms;
    world->turns++;
    world->turn_record_count = world->turn_command_count = world->told_count = 0;
    take_events(world);
    finish_turn(world);
    return true;
}
