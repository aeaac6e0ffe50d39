/*
 * apply.c - what a record means: the frame, and the records of the run
 *
 * apply*.c are the only files that write state, and they look at nothing but the record and the state, so that a replay gives
 * what the live run had. What the change may call for is not decided here: the node or the account is put into the attention
 * queue, and decide.c looks at it in its own time. Changes that touch everything (a drain, a restart, the death of the runner)
 * leave marks in the same way, so their thousands of consequences are cut into batches without anything being forgotten.
 */
#include "base/alloc.h"
#include "core/core_private.h"

static void notice_open_nodes(struct core *core)
{
    for (uint32_t n = 0; n < core->node_count; n++)
        if (!core_is_final(core, n))
            core_notice_node(core, n);
}

static void run_opened(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->opened = true;
    if (core->limits.run_timeout_ms > 0)
        core->run_deadline_ms = core_after(record->at_ms, core->limits.run_timeout_ms);
    for (uint32_t n = 0; n < core->node_count; n++)
        if (core->unmet[n] == 0)
            core_notice_node(core, n);
}

static void account_restarted(struct core *core, uint32_t account, int64_t at_ms)
{
    struct account *item = core_account_at(core, account);
    item->busy = OPERATION_NONE;
    if (item->state == CORE_ACCOUNT_STATE_CREATING || item->state == CORE_ACCOUNT_STATE_DELETING)
        item->flags |= ACCOUNT_LOST;
    bool waits = item->state == CORE_ACCOUNT_STATE_UNKNOWN || item->state == CORE_ACCOUNT_STATE_RELEASED;
    if (waits && item->retry_ms == CORE_NEVER)
        item->retry_ms = at_ms;
    core_account_schedule(core, account);
    core_notice_account(core, account);
}

static void node_restarted(struct core *core, uint32_t n)
{
    struct node *node = &core->nodes[n];
    node->flags &= (uint16_t)~NODE_ASKED;
    if (core_is_live(core, n))
        node->flags |= NODE_LOST;
    if (core_is_final(core, n))
        node->flags |= NODE_WANT_LEND;
    core_notice_node(core, n);
}

/* Nothing that ran is running any more, and nobody waits for an answer. The reasons of the last life do not bind this one. */
static void run_restarted(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->drain = CORE_DRAIN_NONE;
    core->drain_level = 0;
    core->run_deadline_ms = core->limits.run_timeout_ms > 0 ? core_after(record->at_ms, core->limits.run_timeout_ms) : CORE_NEVER;
    core->runner_up = core->runner_asked = false;
    core->runner_deaths = 0;
    core->expanding = 0;
    for (uint32_t p = 0; p <= core->graph->provider_count; p++)
        core->providers[p].creating = core->providers[p].deleting = 0;
    core_leases_forget(core);
    for (uint32_t n = 0; n < core->node_count; n++)
        node_restarted(core, n);
    for (uint32_t a = 1; a <= core->account_count; a++)
        account_restarted(core, a, record->at_ms);
}

static void run_draining(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->drain = (enum core_drain)record->facts[0];
    core->drain_level = (uint32_t)record->facts[1];
    notice_open_nodes(core);
}

static void runner_started(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->runner_up = true;
    core->runner_asked = false;
    core->generation = (uint32_t)record->facts[0];
    for (uint32_t n = 0; n < core->node_count; n++)
        if (core_is_live(core, n))
            core_notice_node(core, n);
}

static void runner_died(struct core *core, const struct core_record *record, int from)
{
    (void)record;
    (void)from;
    core->runner_up = core->runner_asked = false;
    core->runner_deaths++;
    core_leases_forget(core);
    for (uint32_t n = 0; n < core->node_count; n++) {
        struct node *node = &core->nodes[n];
        if (!core_is_live(core, n))
            continue;
        if (node->stage != 0 && (node->flags & NODE_RESULT) == 0 && !MUTANT(RUNNER_DEATH_IGNORED))
            node->flags |= NODE_LOST;
        core_notice_node(core, n);
    }
}

static void run_anomaly(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->anomalies = (uint32_t)record->facts[0];
}

static void run_audit(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->audit_count = (uint32_t)record->facts[0];
}

static core_detail *run_detail(enum core_record_kind kind)
{
    switch ((int)kind) {
    case CORE_RUN_OPENED:
        return run_opened;
    case CORE_RUN_RESTARTED:
        return run_restarted;
    case CORE_RUN_DRAINING:
        return run_draining;
    case CORE_RUNNER_STARTED:
        return runner_started;
    case CORE_RUNNER_DIED:
        return runner_died;
    case CORE_RUN_ANOMALY:
        return run_anomaly;
    case CORE_RUN_AUDIT:
        return run_audit;
    default:
        return NULL;
    }
}

static void apply_to_task(struct core *core, const struct core_record *record)
{
    uint32_t node = record->node;
    enum core_task_state from = core->nodes[node].state;
    bool was_final = core_is_final(core, node);
    bool counted = (core->nodes[node].flags & NODE_WANT_RERUN) == 0; /* else its template has already forgotten its end */
    core_task_move(core, node, record->kind, record->at_ms);
    core_detail *detail = core_task_detail(record->kind);
    if (detail != NULL)
        detail(core, record, (int)from);
    if (!was_final && core_is_final(core, node))
        core_node_ended(core, node);
    else if (was_final && !core_is_final(core, node))
        core_node_unended(core, node, from, counted);
}

static void account_new(struct core *core, uint32_t account)
{
    mf_assert(account == core->account_count + 1 && account <= core->account_capacity);
    core->account_count++;
    core->accounts[account - 1] = (struct account){.state = CORE_ACCOUNT_STATE_NEW, .retry_ms = CORE_NEVER};
    core->account_totals[CORE_ACCOUNT_STATE_NEW]++;
}

static void apply_to_account(struct core *core, const struct core_record *record)
{
    if (record->account > core->account_count)
        account_new(core, record->account);
    enum core_account_state from = core_account_at(core, record->account)->state;
    core_account_move(core, record->account, record->kind, record->at_ms);
    core_detail *detail = core_account_detail(record->kind);
    if (detail != NULL)
        detail(core, record, (int)from);
    core_account_schedule(core, record->account);
}

void core_apply_record(struct core *core, const struct core_record *record)
{
    core->seq = record->seq;
    core->settled = record->kind == CORE_RUN_SETTLED;
    if (record->at_ms > core->now_ms)
        core->now_ms = record->at_ms;
    switch (core_record_subject(record->kind)) {
    case CORE_SUBJECT_TASK:
        apply_to_task(core, record);
        break;
    case CORE_SUBJECT_ACCOUNT:
        apply_to_account(core, record);
        break;
    case CORE_SUBJECT_RUN: {
        core_detail *detail = run_detail(record->kind);
        if (detail != NULL)
            detail(core, record, 0);
        break;
    }
    }
}

int core_apply(struct core *core, const struct core_record *record, struct mf_error *error)
{
    if (!core_record_fits(core, record)) {
        const char *name = core_record_name(record->kind);
        return mf_fail(error, MF_STATE, "record %llu (%s) does not fit what came before it", (unsigned long long)record->seq, name);
    }
    if (core_reserve(core, record->kind == CORE_TASK_EXPANDED ? (uint32_t)record->facts[0] : 0, error) != 0)
        return -1;
    core_apply_record(core, record);
    return 0;
}
