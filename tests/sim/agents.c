/* agents.c - the runner: processes that end when they like, leases, and a death of its own */
#include "world.h"

#include "base/assert.h"

#include <stdio.h>

static void say(struct sim_world *world, int64_t delay_ms, struct core_input input)
{
    sim_push(world, (struct sim_event){.at_ms = world->now_ms + delay_ms, .runner = world->runner_generation, .has_input = true, .input = input});
}

static void later(struct sim_world *world, int64_t delay_ms, enum sim_effect effect, uint32_t subject, struct core_input input)
{
    sim_push(world, (struct sim_event){.at_ms = world->now_ms + delay_ms, .effect = effect, .subject = subject, .runner = world->runner_generation,
                                       .has_input = input.kind != CORE_INPUT_TICK, .input = input});
}

void sim_runner_gone(struct sim_world *world)
{
    world->runner_up = false;
    world->runner_generation = 0;
    for (uint32_t p = 0; p < world->process_count; p++)
        world->processes[p].alive = false;
    for (uint32_t l = 0; l < world->lease_count; l++)
        world->leases[l].open = false;
}

void sim_kill_runner(struct sim_world *world)
{
    if (!world->runner_up)
        return;
    sim_trace_note(world, "the runner dies");
    sim_runner_gone(world);
    sim_input(world, 1, (struct core_input){.kind = CORE_INPUT_RUNNER_DIED});
}

/* --- processes --- */

static struct sim_process *process_of(struct sim_world *world, uint64_t stage)
{
    for (uint32_t p = world->process_count; p-- > 0;)
        if (world->processes[p].stage == stage)
            return &world->processes[p];
    return NULL;
}

static int64_t limit_of(const struct sim_world *world, uint32_t node, enum core_stage kind)
{
    struct core_node_view view;
    mf_assert(core_node(world->core, node, &view));
    uint32_t task = view.template == CORE_NONE ? node : view.template;
    const struct core_profile *profile = &world->setup->profiles[world->setup->tasks[task].profile];
    return kind == CORE_STAGE_PREPARE ? profile->prepare_timeout_ms : kind == CORE_STAGE_VERIFY ? profile->verify_timeout_ms : profile->timeout_ms;
}

/* The exit, and behind it the result; a result that has nothing to wait for comes in the same moment. */
static void report_end(struct sim_world *world, struct sim_process *process, int32_t code, int32_t signal)
{
    struct core_input exited = {.kind = CORE_INPUT_EXITED, .node = process->node, .stage = process->stage, .code = code, .signal = signal};
    struct core_input result = {.kind = CORE_INPUT_RESULT, .node = process->node, .stage = process->stage};
    if (process->behaviour.fault == SIM_FAIL)
        result.class = process->behaviour.class;
    if (process->kind == CORE_STAGE_PREPARE) {
        say(world, 1, (struct core_input){.kind = CORE_INPUT_PREPARE_FAILED, .node = process->node, .stage = process->stage, .class = CORE_CLASS_INFRASTRUCTURE});
        return;
    }
    say(world, 0, exited);
    if (process->behaviour.fault != SIM_NO_RESULT)
        say(world, process->behaviour.after_ms, result);
}

static void end_process(struct sim_world *world, struct sim_process *process, int32_t code, int32_t signal)
{
    process->alive = false;
    report_end(world, process, code, signal);
}

static void start_process(struct sim_world *world, struct sim_process *process)
{
    const struct sim_behaviour *how = &process->behaviour;
    if (!process->alive)
        return; /* killed before it began */
    process->started_ms = world->now_ms;
    if (how->fault != SIM_EARLY)
        say(world, 0, (struct core_input){.kind = CORE_INPUT_STARTED, .node = process->node, .stage = process->stage, .pid = 1000 + (int64_t)process->stage, .birth = world->now_ms});
    later(world, how->run_ms, SIM_EFFECT_END, (uint32_t)(process - world->processes), (struct core_input){.kind = CORE_INPUT_TICK});
    if (how->fault == SIM_EARLY)
        say(world, how->run_ms + 1, (struct core_input){.kind = CORE_INPUT_STARTED, .node = process->node, .stage = process->stage, .pid = 1, .birth = 1});
    uint32_t account = core_slot_account(world->core, process->node, 0);
    if (how->dead && account != CORE_NONE)
        say(world, how->run_ms / 2, (struct core_input){.kind = CORE_INPUT_ACCOUNT_DEAD, .account = account});
}

bool sim_runner_effect(struct sim_world *world, struct sim_event *event)
{
    if (event->effect == SIM_EFFECT_RUNNER) {
        world->runner_up = true;
        world->runner_generation = ++world->runners;
        event->input.generation = world->runner_generation;
        return true;
    }
    if (event->effect == SIM_EFFECT_RUNNER_END) {
        sim_kill_runner(world);
        return false;
    }
    if (event->effect == SIM_EFFECT_DROP) {
        world->leases[event->subject].open = false;
        return true;
    }
    struct sim_process *process = &world->processes[event->subject];
    if (event->effect == SIM_EFFECT_START)
        start_process(world, process);
    else if (process->alive)
        end_process(world, process, process->behaviour.code, process->behaviour.signal);
    return event->has_input;
}

/* --- commands --- */

static bool leases_are_there(const struct sim_world *world, const struct core_command *command)
{
    struct core_node_view view;
    mf_assert(core_node(world->core, command->node, &view));
    uint32_t task = view.template == CORE_NONE ? command->node : view.template, open = 0;
    for (uint32_t l = 0; l < world->lease_count; l++)
        open += world->leases[l].open && world->leases[l].stage == command->stage;
    return open == world->setup->tasks[task].slot_count;
}

static void command_spawn(struct sim_world *world, const struct core_command *command, struct sim_behaviour how)
{
    struct core_input failed = {.kind = CORE_INPUT_SPAWN_FAILED, .node = command->node, .stage = command->stage, .class = how.class};
    if (!leases_are_there(world, command))
        sim_fail(world, "task %u starts without its leases", command->node);
    if (how.fault == SIM_FAIL && how.run_ms == 0) {
        say(world, how.delay_ms, failed);
        return;
    }
    mf_assert(world->process_count < SIM_PROCESSES_MAX);
    uint32_t index = world->process_count++;
    world->processes[index] = (struct sim_process){.stage = command->stage, .node = command->node, .kind = command->stage_kind, .alive = true, .behaviour = how,
                                                   .started_ms = world->now_ms + how.delay_ms, .limit_ms = limit_of(world, command->node, command->stage_kind),
                                                   .deaf = how.fault == SIM_DEAF || how.fault == SIM_UNKILLABLE, .unkillable = how.fault == SIM_UNKILLABLE};
    if (how.fault != SIM_HANG)
        later(world, how.delay_ms, SIM_EFFECT_START, index, (struct core_input){.kind = CORE_INPUT_TICK});
}

static void command_prepare(struct sim_world *world, const struct core_command *command, struct sim_behaviour how)
{
    mf_assert(world->process_count < SIM_PROCESSES_MAX);
    uint32_t index = world->process_count++;
    world->processes[index] = (struct sim_process){.stage = command->stage, .node = command->node, .kind = CORE_STAGE_PREPARE, .alive = true, .behaviour = how,
                                                   .started_ms = world->now_ms, .limit_ms = limit_of(world, command->node, CORE_STAGE_PREPARE),
                                                   .deaf = how.fault == SIM_DEAF, .unkillable = how.fault == SIM_UNKILLABLE};
    if (how.fault == SIM_HANG || how.fault == SIM_UNKILLABLE || how.fault == SIM_DEAF)
        return;
    struct core_input input = {.kind = how.fault == SIM_FAIL ? CORE_INPUT_PREPARE_FAILED : CORE_INPUT_PREPARED, .node = command->node, .stage = command->stage, .class = how.class};
    say(world, how.delay_ms, input);
    world->processes[index].alive = false;
}

static void command_signal(struct sim_world *world, const struct core_command *command)
{
    struct sim_process *process = process_of(world, command->stage);
    if (process == NULL || !process->alive || process->unkillable || (command->level < 2 && process->deaf))
        return;
    process->alive = false;
    process->counted_out = true;
    report_end(world, process, -1, command->level < 2 ? 15 : 9);
}

static void command_lease(struct sim_world *world, const struct core_command *command)
{
    mf_assert(world->lease_count < SIM_REMOTES_MAX);
    uint32_t index = world->lease_count++;
    world->leases[index].lease = command->lease;
    world->leases[index].stage = command->stage;
    world->leases[index].account = command->account;
    world->leases[index].node = command->node;
    world->leases[index].open = true;
}

static void command_drop(struct sim_world *world, const struct core_command *command, struct sim_behaviour how)
{
    for (uint32_t l = 0; l < world->lease_count; l++) {
        if (world->leases[l].lease != command->lease)
            continue;
        world->leases[l].drop_hangs = how.fault == SIM_HANG;
        if (how.fault != SIM_HANG)
            later(world, how.delay_ms, SIM_EFFECT_DROP, l, (struct core_input){.kind = CORE_INPUT_DROPPED, .lease = command->lease});
    }
}

static void command_expand(struct sim_world *world, const struct core_command *command, struct sim_behaviour how)
{
    struct core_input input = {.kind = how.fault == SIM_FAIL ? CORE_INPUT_EXPAND_FAILED : CORE_INPUT_EXPANDED, .node = command->node, .count = how.count};
    sim_input(world, how.delay_ms, input);
}

static void command_runner(struct sim_world *world, struct sim_behaviour how)
{
    if (how.fault == SIM_FAIL) {
        sim_input(world, how.delay_ms, (struct core_input){.kind = CORE_INPUT_RUNNER_DIED});
        return;
    }
    sim_push(world, (struct sim_event){.at_ms = world->now_ms + how.delay_ms, .effect = SIM_EFFECT_RUNNER, .has_input = true,
                                       .input = {.kind = CORE_INPUT_RUNNER_UP, .pid = 7, .birth = world->now_ms}});
}

void sim_runner_command(struct sim_world *world, const struct core_command *command)
{
    if (command->kind == CORE_COMMAND_FINISH)
        return;
    struct sim_behaviour how = world->choose(world, command);
    if (command->kind == CORE_COMMAND_RUNNER)
        command_runner(world, how);
    else if (command->kind == CORE_COMMAND_EXPAND)
        command_expand(world, command, how);
    if (!world->runner_up)
        return; /* its death is on its way to the core */
    switch ((int)command->kind) {
    case CORE_COMMAND_PREPARE:
        command_prepare(world, command, how);
        break;
    case CORE_COMMAND_SPAWN:
        command_spawn(world, command, how);
        break;
    case CORE_COMMAND_SIGNAL:
        command_signal(world, command);
        break;
    case CORE_COMMAND_LEASE:
        command_lease(world, command);
        break;
    case CORE_COMMAND_DROP:
        command_drop(world, command, how);
        break;
    default:
        break;
    }
}
