/* draw.c - a graph, its faults and its visitors, all drawn from one seed */
#include "world.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdio.h>
#include <string.h>

const struct sim_shape sim_shape_full = {.tasks_max = 9, .faults = true, .crashes = true, .actions = true, .accounts = true, .templates = true, .limits = true};

/* After the last fault everything must be over within this: tries x waits of all machines, one after the other. */
#define SETTLE_MS (8LL * 3600 * 1000)
#define TURNS_MAX 60000u

/* --- graphs --- */

void sim_graph_init(struct sim_graph *setup)
{
    *setup = (struct sim_graph){.limits = core_limits_default};
    setup->profiles[0] = setup->profiles[1] = (struct core_profile){
        .timeout_ms = 30000, .prepare_timeout_ms = 20000, .verify_timeout_ms = 10000, .grace_ms = 5000, .attempts_max = 2,
        .retry_on = 1u << CORE_CLASS_AGENT | 1u << CORE_CLASS_VERIFY | 1u << CORE_CLASS_TIMEOUT | 1u << CORE_CLASS_SETUP};
    setup->profiles[1].attempts_max = 1;
    struct core_provider full = {.can_find = true, .can_check = true, .can_revoke = true, .can_delete = true, .consistency_ms = 4000};
    setup->providers[0] = setup->providers[1] = setup->providers[2] = full;
    setup->graph = (struct core_graph){.tasks = setup->tasks, .edges = setup->edges, .slots = setup->slots, .profiles = setup->profiles,
                                       .profile_count = 2, .providers = setup->providers, .provider_count = SIM_PROVIDERS_MAX};
}

uint32_t sim_task(struct sim_graph *setup)
{
    mf_assert(setup->graph.task_count < SIM_TASKS_MAX);
    uint32_t task = setup->graph.task_count++;
    setup->tasks[task] = (struct core_task){.edge_first = setup->graph.edge_count, .slot_first = setup->graph.slot_count};
    return task;
}

void sim_edge(struct sim_graph *setup, uint32_t from, enum core_on on, uint32_t at_least, bool percent)
{
    mf_assert(setup->graph.edge_count < SIM_EDGES_MAX);
    setup->edges[setup->graph.edge_count++] = (struct core_edge){.from = from, .on = (uint8_t)on, .at_least = at_least, .percent = percent};
    setup->tasks[setup->graph.task_count - 1].edge_count++;
}

void sim_slot(struct sim_graph *setup, struct core_slot slot)
{
    mf_assert(setup->graph.slot_count < SIM_SLOTS_MAX);
    setup->slots[setup->graph.slot_count++] = slot;
    setup->tasks[setup->graph.task_count - 1].slot_count++;
}

static uint64_t below(struct mf_rng *rng, uint64_t bound)
{
    return mf_rng_below(rng, bound);
}

static bool one_in(struct mf_rng *rng, uint64_t n)
{
    return below(rng, n) == 0;
}

static void draw_edge(struct sim_graph *setup, struct mf_rng *rng, uint32_t task)
{
    uint32_t from = (uint32_t)below(rng, task);
    enum core_on on = one_in(rng, 3) ? (enum core_on)below(rng, 3) : CORE_ON_SUCCEEDED;
    bool percent = one_in(rng, 4);
    uint32_t at_least = percent ? 1 + (uint32_t)below(rng, 100) : one_in(rng, 5) ? 1 + (uint32_t)below(rng, 3) : 0;
    sim_edge(setup, from, on, at_least, percent);
}

static void draw_slots(struct sim_graph *setup, struct mf_rng *rng, uint32_t task)
{
    uint32_t own = one_in(rng, 3) ? 0 : 1 + (uint32_t)one_in(rng, 3);
    for (uint32_t s = 0; s < own; s++)
        sim_slot(setup, (struct core_slot){.provider = (uint32_t)below(rng, SIM_PROVIDERS_MAX), .lender = CORE_NONE, .keep_on_success = one_in(rng, 6)});
    for (uint32_t lender = 0; lender < task; lender++) {
        const struct core_task *item = &setup->tasks[lender];
        if (item->template || item->slot_count == 0 || setup->slots[item->slot_first].lender != CORE_NONE || !one_in(rng, 3))
            continue;
        sim_edge(setup, lender, CORE_ON_SUCCEEDED, 0, false);
        sim_slot(setup, (struct core_slot){.lender = lender, .lender_slot = 0});
        return;
    }
}

static void draw_task(struct sim_graph *setup, struct mf_rng *rng, const struct sim_shape *shape)
{
    uint32_t index = sim_task(setup);
    struct core_task *task = &setup->tasks[index];
    task->template = shape->templates && one_in(rng, 4);
    task->prepare = one_in(rng, 4);
    task->verify = one_in(rng, 3);
    task->allow_failure = one_in(rng, 6);
    task->stop_on_violation = one_in(rng, 2);
    task->profile = (uint32_t)below(rng, 2);
    for (uint64_t edges = index > 0 ? below(rng, 3) : 0; edges > 0; edges--)
        draw_edge(setup, rng, index);
    if (shape->accounts)
        draw_slots(setup, rng, index);
}

/* Providers of all kinds: complete ones, ones that only expire, ones that cannot even be asked. */
static void draw_provider(struct core_provider *provider, struct mf_rng *rng, bool limits)
{
    provider->can_find = !one_in(rng, 3);
    provider->can_revoke = !one_in(rng, 3);
    provider->can_delete = !one_in(rng, 6);
    provider->can_check = !one_in(rng, 3);
    provider->lifetime_ms = one_in(rng, 2) || (!provider->can_find && !one_in(rng, 4)) ? 120000 + (int64_t)below(rng, 3600000) : 0;
    provider->consistency_ms = one_in(rng, 3) ? 0 : (int64_t)below(rng, 20000);
    provider->creating_max = limits && one_in(rng, 2) ? 1 + (uint32_t)below(rng, 3) : 0;
    provider->deleting_max = limits && one_in(rng, 2) ? 1 + (uint32_t)below(rng, 3) : 0;
    provider->creates_per_minute = limits && one_in(rng, 3) ? 2 + (uint32_t)below(rng, 60) : 0;
}

void sim_draw_graph(struct sim_graph *setup, struct mf_rng *rng, const struct sim_shape *shape)
{
    sim_graph_init(setup);
    for (uint32_t p = 0; p < SIM_PROVIDERS_MAX; p++)
        draw_provider(&setup->providers[p], rng, shape->limits);
    uint32_t tasks = 1 + (uint32_t)below(rng, shape->tasks_max);
    for (uint32_t t = 0; t < tasks; t++)
        draw_task(setup, rng, shape);
    setup->profiles[0].retry_on = one_in(rng, 4) ? (uint32_t)below(rng, 16) << 1 : setup->profiles[0].retry_on;
    setup->limits.running_max = 1 + (uint32_t)below(rng, 6);
    setup->limits.accounts_max = shape->limits && one_in(rng, 3) ? 2 + (uint32_t)below(rng, 4) : 0;
    setup->limits.run_timeout_ms = shape->actions && one_in(rng, 10) ? 1000 + (int64_t)below(rng, 200000) : 0;
    setup->limits.leaked_max = (uint32_t)below(rng, 4);
    setup->limits.strict_teardown = one_in(rng, 5);
    setup->limits.remarks_max = one_in(rng, 3) ? 1 : 1000;
    setup->limits.refused_for_now_max = 4;
}

/* --- behaviour --- */

static enum sim_fault draw_account_fault(struct sim_world *world, enum core_command_kind kind)
{
    static const enum sim_fault of_create[] = {SIM_RETRY, SIM_REFUSED, SIM_LOST, SIM_LOST_DONE, SIM_LOST_DONE, SIM_LOST_TWICE, SIM_STEP_LOST, SIM_HANG};
    static const enum sim_fault of_others[] = {SIM_RETRY, SIM_RETRY, SIM_RETRY_DONE, SIM_REFUSED, SIM_LIE, SIM_HANG};
    if (kind != CORE_COMMAND_CREATE)
        return of_others[below(&world->rng, sizeof of_others / sizeof *of_others)];
    enum sim_fault fault = of_create[below(&world->rng, sizeof of_create / sizeof *of_create)];
    return fault;
}

static enum sim_fault draw_runner_fault(struct sim_world *world, enum core_command_kind kind)
{
    static const enum sim_fault of_spawn[] = {SIM_FAIL, SIM_HANG, SIM_EARLY, SIM_NO_RESULT, SIM_DEAF, SIM_UNKILLABLE};
    static const enum sim_fault of_prepare[] = {SIM_FAIL, SIM_FAIL, SIM_HANG, SIM_DEAF, SIM_UNKILLABLE};
    switch ((int)kind) {
    case CORE_COMMAND_SPAWN:
        return of_spawn[below(&world->rng, sizeof of_spawn / sizeof *of_spawn)];
    case CORE_COMMAND_PREPARE:
        return of_prepare[below(&world->rng, sizeof of_prepare / sizeof *of_prepare)];
    case CORE_COMMAND_DROP:
        return one_in(&world->rng, 8) ? SIM_HANG : SIM_FINE;
    default:
        return SIM_FAIL;
    }
}

/* Agents fail by themselves more often than the machine does. */
static void draw_end(struct sim_world *world, struct sim_behaviour *how)
{
    static const int32_t codes[] = {0, 0, 0, 0, 0, 1, 75, 2};
    how->code = codes[below(&world->rng, sizeof codes / sizeof *codes)];
    how->run_ms = (int64_t)below(&world->rng, 8000);
    if (one_in(&world->rng, 12))
        how->run_ms = 100000; /* far beyond every limit */
    if (one_in(&world->rng, 20)) {
        how->code = -1;
        how->signal = 11;
    }
    how->after_ms = one_in(&world->rng, 3) ? (int64_t)below(&world->rng, 3000) : 0; /* until the result is collected */
    how->dead = one_in(&world->rng, 25);
}

/* What an agent tries half-way, and the gateway refuses and tells. */
static void draw_misdeed(struct sim_world *world, const struct core_command *command, const struct sim_behaviour *how)
{
    struct core_input input = {.kind = CORE_INPUT_VIOLATION, .node = command->node, .stage = command->stage, .stage_kind = command->stage_kind, .attempt = command->attempt};
    if (one_in(&world->rng, 15))
        sim_push(world, (struct sim_event){.at_ms = world->now_ms + how->delay_ms + how->run_ms / 2, .runner = world->runner_generation, .has_input = true, .input = input});
}

struct sim_behaviour sim_draw(struct sim_world *world, const struct core_command *command)
{
    static const enum core_class failures[] = {CORE_CLASS_AGENT, CORE_CLASS_INFRASTRUCTURE, CORE_CLASS_REFUSED, CORE_CLASS_SETUP};
    const struct sim_shape *shape = world->context;
    bool account = command->account != CORE_NONE && command->kind != CORE_COMMAND_LEASE && command->kind != CORE_COMMAND_DROP;
    struct sim_behaviour how = {.delay_ms = 1 + (int64_t)below(&world->rng, 400), .count = (uint32_t)below(&world->rng, 6)};
    if (command->kind == CORE_COMMAND_SPAWN)
        how.run_ms = 500;
    if (!shape->faults || !sim_faulty(world))
        return how;
    if (command->kind == CORE_COMMAND_SPAWN) {
        draw_end(world, &how);
        draw_misdeed(world, command, &how);
    }
    if (command->kind == CORE_COMMAND_CREATE && one_in(&world->rng, 12))
        how.expires_ms = 1000 + (int64_t)below(&world->rng, 200000);
    if (!one_in(&world->rng, command->kind == CORE_COMMAND_RUNNER ? 12 : 5))
        return how;
    how.fault = account ? draw_account_fault(world, command->kind) : draw_runner_fault(world, command->kind);
    how.class = failures[below(&world->rng, sizeof failures / sizeof *failures)];
    if (command->kind == CORE_COMMAND_SPAWN && how.fault == SIM_FAIL && one_in(&world->rng, 2))
        how.run_ms = 0; /* not even started */
    if (account && one_in(&world->rng, 2))
        how.after_ms = (int64_t)below(&world->rng, 500000);
    return how;
}

/* --- visitors --- */

static void draw_action(struct sim_world *world)
{
    static const enum core_input_kind kinds[] = {CORE_INPUT_CANCEL,    CORE_INPUT_CANCEL,        CORE_INPUT_SIGNAL,       CORE_INPUT_BUDGET,   CORE_INPUT_VIOLATION,
                                                 CORE_INPUT_VIOLATION, CORE_INPUT_PROVIDER_HOLD, CORE_INPUT_ACCOUNT_DEAD, CORE_INPUT_TEARDOWN, CORE_INPUT_RERUN,
                                                 CORE_INPUT_RERUN,     CORE_INPUT_ACCOUNT_DEAD,  CORE_INPUT_BUDGET,       CORE_INPUT_CANCEL,
                                                 CORE_INPUT_USAGE,     CORE_INPUT_AUDIT,         CORE_INPUT_AUDIT};
    int64_t at_ms = world->now_ms + (int64_t)below(&world->rng, (uint64_t)(world->faults_until_ms - world->now_ms) + 1);
    if (one_in(&world->rng, 5)) {
        sim_push(world, (struct sim_event){.at_ms = at_ms, .effect = SIM_EFFECT_RUNNER_END});
        if (one_in(&world->rng, 2)) /* and in the next moment somebody wants to stop */
            sim_push(world, (struct sim_event){.at_ms = at_ms + 1, .has_input = true, .input = {.kind = CORE_INPUT_SIGNAL, .level = 1}});
        return;
    }
    struct core_input input = {.kind = kinds[below(&world->rng, sizeof kinds / sizeof *kinds)]};
    input.node = one_in(&world->rng, 8) ? CORE_NONE : (uint32_t)below(&world->rng, 64);
    input.account = (uint32_t)below(&world->rng, 64);
    input.level = 1 + (uint32_t)below(&world->rng, 3);
    input.signal = 2 + (int32_t)below(&world->rng, 2);
    input.count = (uint32_t)below(&world->rng, 100);
    input.stage_kind = CORE_STAGE_AGENT;
    input.provider = (uint32_t)below(&world->rng, SIM_PROVIDERS_MAX);
    input.until_ms = at_ms + (int64_t)below(&world->rng, 60000);
    input.flag = one_in(&world->rng, 2);
    sim_push(world, (struct sim_event){.at_ms = at_ms, .has_input = true, .input = input});
}

static void visit_at(struct sim_world *world, int64_t at_ms, enum core_input_kind kind)
{
    struct core_input input = {.kind = kind, .node = (uint32_t)below(&world->rng, 64), .flag = one_in(&world->rng, 2)};
    sim_push(world, (struct sim_event){.at_ms = at_ms, .has_input = true, .input = input});
}

/* A second visit to a settled run: something or all of it runs again, or is torn down, or the machine was switched off in between. */
static void visit_again(struct sim_world *world)
{
    world->reruns++;
    world->faults_until_ms = world->now_ms + 120000;
    bool resumes = one_in(&world->rng, 3);
    if (resumes)
        sim_resume(world, world->now_ms + 5);
    else
        visit_at(world, world->now_ms + 5, one_in(&world->rng, 4) ? CORE_INPUT_TEARDOWN : CORE_INPUT_RERUN);
    if (one_in(&world->rng, 2))
        visit_at(world, world->now_ms + 3000, CORE_INPUT_RERUN);
    if (one_in(&world->rng, 2)) /* what they wanted is lost with it, or comes when somebody starts it again */
        world->crash_now = (enum sim_crash)(1 + below(&world->rng, 4));
}

/* --- one seed --- */

static void run(struct sim_world *world, uint32_t visits)
{
    for (;;) {
        bool more = sim_turn(world);
        if (world->failed)
            return;
        bool settled = !world->down && sim_settled(world);
        if (!more && !settled)
            sim_fail(world, "I4: nothing is left to come, and the run is not settled");
        if (world->turns > TURNS_MAX || (!settled && world->now_ms > world->faults_until_ms + SETTLE_MS))
            sim_fail(world, "I4: the run does not settle");
        if (world->turns % 64 == 0 && !world->down && !world->failed)
            sim_check_fold(world);
        if (world->failed)
            return;
        if (!settled)
            continue;
        sim_check_end(world);
        if (world->failed || visits == 0)
            return;
        visits--;
        visit_again(world);
    }
}

/* Small batches show their seams when the runner dies and everything stops in the next moment. */
static void draw_seams(struct sim_world *world)
{
#ifdef MAYFLY_CRASHPOINTS
    core_test_batch_max = one_in(&world->rng, 3) ? 149 + (uint32_t)below(&world->rng, 20) : CORE_BATCH_RECORDS_MAX;
    if (core_test_batch_max == CORE_BATCH_RECORDS_MAX || !sim_faulty(world) || !one_in(&world->rng, 3))
        return;
    int64_t at_ms = world->now_ms + (int64_t)below(&world->rng, 3000);
    sim_push(world, (struct sim_event){.at_ms = at_ms, .effect = SIM_EFFECT_RUNNER_END});
    sim_push(world, (struct sim_event){.at_ms = at_ms + 1, .has_input = true, .input = {.kind = CORE_INPUT_SIGNAL, .level = 1}});
#else
    (void)world;
#endif
}

static void begin(struct sim_world *world, const struct sim_shape *shape)
{
    if (shape->faults)
        world->faults_until_ms = world->now_ms + (one_in(&world->rng, 4) ? 0 : (int64_t)below(&world->rng, 300000));
    world->crash_permille = shape->crashes && one_in(&world->rng, 2) ? (uint32_t)below(&world->rng, 60) : 0;
    uint64_t actions = shape->actions && sim_faulty(world) && one_in(&world->rng, 2) ? below(&world->rng, 6) : 0;
    for (; actions > 0; actions--)
        draw_action(world);
    world->visitors = shape->actions && one_in(&world->rng, 2);
    if (shape->actions)
        draw_seams(world);
}

bool sim_run_seed(uint64_t seed, const struct sim_shape *shape, bool act_before_commit, struct mf_buf *trace, char failure[400])
{
    struct mf_rng rng;
    mf_rng_seed(&rng, seed);
    struct sim_graph *setup = mf_calloc(1, sizeof *setup);
    mf_assert(setup != NULL);
    sim_draw_graph(setup, &rng, shape);
    struct sim_shape drawn = *shape;
    struct sim_world *volatile world = sim_new(setup, seed, sim_draw, &drawn);
    world->trace = trace;
    world->act_before_commit = act_before_commit;
    begin(world, shape);
    if (!world->failed && setjmp(world->escape) == 0)
        run(world, shape->actions && one_in(&world->rng, 2) ? 1 + (uint32_t)below(&world->rng, 2) : 0);
    bool well = !world->failed;
    snprintf(failure, 400, "%s", world->failure);
    sim_free(world);
    mf_free(setup);
    return well;
}
