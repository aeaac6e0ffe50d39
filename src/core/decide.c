/*
 * decide.c - one step: take the input, then do what is due until nothing is left or the batch is full
 *
 * The order inside a step matters. The input comes first, so that an exit that arrives together with its deadline counts as met.
 * Then deadlines fire, then everything in the attention queues is looked at, and only then new work starts. Each part stops when
 * the batch has no room for one more unit of work; core_deadline then says "now" and a TICK goes on.
 */
#include "core/core_private.h"

/* --- records and commands --- */

bool core_room(const struct core *core)
{
    return core->batch.record_count + CORE_UNIT_MAX <= CORE_BATCH_MAX && core->batch.command_count + CORE_UNIT_MAX <= CORE_BATCH_MAX;
}

void core_emit(struct core *core, enum core_record_kind kind, uint32_t subject, int64_t f0, int64_t f1, int64_t f2)
{
    mf_assert(core->batch.record_count < CORE_BATCH_RECORDS_MAX);
    struct core_record *record = &core->records[core->batch.record_count++];
    enum core_subject type = core_record_subject(kind);
    *record = (struct core_record){
        .seq = core->seq + 1,
        .at_ms = core->now_ms,
        .kind = kind,
        .node = type == CORE_SUBJECT_TASK ? subject : CORE_NONE,
        .account = type == CORE_SUBJECT_ACCOUNT ? subject : CORE_NONE,
        .facts = {f0, f1, f2, 0},
    };
    core_apply_record(core, record);
}

struct core_command *core_command_add(struct core *core, enum core_command_kind kind)
{
    mf_assert(core->batch.command_count < CORE_BATCH_RECORDS_MAX);
    struct core_command *command = &core->commands[core->batch.command_count++];
    *command = (struct core_command){.kind = kind, .node = CORE_NONE, .account = CORE_NONE};
    return command;
}

void core_command_task(struct core *core, enum core_command_kind kind, uint32_t n)
{
    const struct node *node = &core->nodes[n];
    struct core_command *command = core_command_add(core, kind);
    command->node = n;
    command->stage = node->stage;
    command->stage_kind = (enum core_stage)node->stage_kind;
    command->attempt = node->attempt;
    command->level = node->level;
}

void core_command_account(struct core *core, enum core_command_kind kind, uint32_t account)
{
    struct core_command *command = core_command_add(core, kind);
    command->account = account;
    command->node = core_account_at(core, account)->node;
}

/* --- the run's own inputs --- */

void core_drain_run(struct core *core, enum core_drain drain, uint32_t level)
{
    if (core->drain != CORE_DRAIN_NONE && core->drain_level >= level)
        return;
    if (core->open_nodes > 0 || core->drain != CORE_DRAIN_NONE)
        core_emit(core, CORE_RUN_DRAINING, 0, core->drain != CORE_DRAIN_NONE ? (int64_t)core->drain : (int64_t)drain, level, 0);
}

/* A runner is started only for a run that can still need it, and not more often than the limit says. */
static void want_runner(struct core *core)
{
    if (core->runner_up || core->runner_asked || core->open_nodes == 0)
        return;
    if (core->runner_deaths >= core->limits.runner_starts_max) {
        core_drain_run(core, CORE_DRAIN_RUNNER, 1);
        return;
    }
    if (core->drain != CORE_DRAIN_NONE)
        return; /* nothing is started any more */
    core->runner_asked = true;
    core_command_add(core, CORE_COMMAND_RUNNER);
}

static void input_open(struct core *core, const struct core_input *input)
{
    mf_assert(!core->awake);
    core->awake = true;
    if (!core->opened)
        core_emit(core, CORE_RUN_OPENED, 0, 0, 0, 0);
    else
        mf_assert(input->kind == CORE_INPUT_RESTARTED);
    if (input->kind != CORE_INPUT_RESTARTED)
        return;
    core_emit(core, CORE_RUN_RESTARTED, 0, 0, 0, 0);
    if (input->flag) /* in this step: a clean-up must not start what the run had not started yet */
        core_drain_run(core, CORE_DRAIN_TEARDOWN, 1);
}

static void input_teardown(struct core *core, const struct core_input *input)
{
    core_drain_run(core, CORE_DRAIN_TEARDOWN, 1);
    for (uint32_t a = 1; a <= core->account_count; a++) {
        struct account *account = core_account_at(core, a);
        bool again = account->state == CORE_ACCOUNT_STATE_LEAKED || (account->state == CORE_ACCOUNT_STATE_CLAIMABLE && input->flag);
        if (!again)
            continue;
        account->flags |= ACCOUNT_WANT_RETRY;
        core_notice_account(core, a);
    }
}

static void input_run(struct core *core, const struct core_input *input)
{
    switch ((int)input->kind) {
    case CORE_INPUT_OPEN:
    case CORE_INPUT_RESTARTED:
        input_open(core, input);
        break;
    case CORE_INPUT_SIGNAL:
        if (core->signal_number == 0)
            core->signal_number = input->signal;
        core_drain_run(core, CORE_DRAIN_SIGNAL, input->level > 1 ? 2 : 1);
        break;
    case CORE_INPUT_TEARDOWN:
        input_teardown(core, input);
        break;
    case CORE_INPUT_PROVIDER_HOLD:
        mf_assert(input->provider < core->graph->provider_count);
        if (input->until_ms > core->providers[input->provider].hold_until_ms)
            core->providers[input->provider].hold_until_ms = input->until_ms;
        break;
    case CORE_INPUT_RUNNER_UP:
        core_emit(core, CORE_RUNNER_STARTED, 0, input->generation, input->pid, input->birth);
        break;
    case CORE_INPUT_RUNNER_DIED:
        if (core->runner_up || core->runner_asked)
            core_emit(core, CORE_RUNNER_DIED, 0, core->generation, 0, 0);
        break;
    case CORE_INPUT_AUDIT: /* a range that a replay accepts: the number comes from the runner */
        if ((input->count > core->audit_count || MUTANT(AUDIT_GOES_BACK)) && input->count < CORE_NONE)
            core_emit(core, CORE_RUN_AUDIT, 0, input->count, 0, 0);
        break;
    default:
        break;
    }
}

/* --- the step --- */

static bool fire_deadlines(struct core *core)
{
    uint32_t item;
    int64_t at_ms;
    bool fired = false;
    while (core_room(core) && mf_heap_peek(&core->node_heap, &item, &at_ms) && at_ms <= core->now_ms) {
        core_node_due(core, item);
        fired = true;
    }
    while (core_room(core) && mf_heap_peek(&core->account_heap, &item, &at_ms) && at_ms <= core->now_ms) {
        core_account_due(core, item + 1);
        fired = true;
    }
    if (core->run_deadline_ms <= core->now_ms && core->open_nodes > 0 && core->drain == CORE_DRAIN_NONE && core_room(core)) {
        core_drain_run(core, CORE_DRAIN_RUN_TIMEOUT, 1);
        fired = true;
    }
    return fired;
}

static bool pay_attention(struct core *core)
{
    uint32_t item;
    bool looked = false;
    while (core_room(core) && core_queue_pop(&core->attention_nodes, core->node_attention, &item)) {
        core->nodes[item].flags &= (uint16_t)~NODE_ATTENTION;
        core_node_decide(core, item);
        looked = true;
    }
    while (core_room(core) && core_queue_pop(&core->attention_accounts, core->account_attention, &item)) {
        core_account_at(core, item + 1)->flags &= (uint8_t)~ACCOUNT_ATTENTION;
        core_account_decide(core, item + 1);
        looked = true;
    }
    return looked;
}

/* True when the run drains from now on. */
static bool watch_run(struct core *core)
{
    uint32_t before = core->batch.record_count;
    if (core->account_totals[CORE_ACCOUNT_STATE_LEAKED] > core->limits.leaked_max)
        core_drain_run(core, CORE_DRAIN_LEAKS, 1);
    want_runner(core);
    return core->batch.record_count > before;
}

static void work(struct core *core)
{
    bool busy = true;
    while (busy && core_room(core)) {
        busy = fire_deadlines(core);
        busy |= pay_attention(core);
        busy |= watch_run(core);
        busy |= core_teardown(core);
        busy |= core_schedule(core);
    }
    core->more = busy;
}

static bool idle(const struct core *core)
{
    return core->attention_nodes.first == CORE_NONE && core->attention_accounts.first == CORE_NONE;
}

bool core_settled(const struct core *core)
{
    return core->opened && core->open_nodes == 0 && core->open_accounts == 0 && (!core->awake || idle(core));
}

const struct core_batch *core_step(struct core *core, const struct core_input *input)
{
    mf_assert(input->now_ms >= core->now_ms && (unsigned)input->kind < CORE_INPUT_COUNT);
    core->now_ms = input->now_ms;
    core->batch.record_count = core->batch.command_count = 0;
    input_run(core, input);
    mf_assert(core->awake); /* OPEN or RESTARTED is the first input */
    core_input_task(core, input);
    core_input_account(core, input);
    work(core);
    if (core_settled(core) && !core->settled) /* a unit of work leaves room for it */
        core_emit(core, CORE_RUN_SETTLED, 0, core_exit_code(core, core->limits.strict_teardown, core->signal_number), 0, 0);
    return &core->batch;
}

int64_t core_deadline(const struct core *core)
{
    uint32_t item;
    int64_t at_ms, soonest = CORE_NEVER;
    if (!core->awake)
        return CORE_NEVER;
    if (core->more)
        return core->now_ms;
    if (mf_heap_peek(&core->node_heap, &item, &at_ms) && at_ms < soonest)
        soonest = at_ms;
    if (mf_heap_peek(&core->account_heap, &item, &at_ms) && at_ms < soonest)
        soonest = at_ms;
    if (core->open_nodes > 0 && core->drain == CORE_DRAIN_NONE && core->run_deadline_ms < soonest)
        soonest = core->run_deadline_ms;
    int64_t gate_ms = core_gate_deadline(core);
    return gate_ms < soonest ? gate_ms : soonest;
}
