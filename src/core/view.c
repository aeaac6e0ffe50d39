/* view.c - the state as the shell and people see it, the totals, and the exit code */
#include "core/core_private.h"

/* Exit codes of design section 9 that the core decides. */
enum { EXIT_DONE = 0, EXIT_TASK_FAILED = 1, EXIT_PROVISIONING = 3, EXIT_MAY_EXIST = 4, EXIT_INTERNAL = 7, EXIT_BUDGET = 8, EXIT_SIGNAL = 128 };

uint32_t core_node_count(const struct core *core)
{
    return core->node_count;
}

uint32_t core_account_count(const struct core *core)
{
    return core->account_count;
}

/* A provisioning node waits for the first slot that may try again; whether it waits at a gate is nobody's business. */
static int64_t deadline_of(const struct core *core, uint32_t n)
{
    if (core->nodes[n].state != CORE_TASK_STATE_PROVISIONING)
        return mf_heap_at(&core->node_heap, n);
    int64_t soonest = CORE_NEVER;
    for (uint32_t s = 0; s < core_slot_count(core, n); s++) {
        const struct hold *hold = core_hold(core, n, s);
        bool waits = hold->account == CORE_NONE && core_slot_of(core, n, s)->lender == CORE_NONE;
        if (waits && hold->again_ms < soonest)
            soonest = hold->again_ms;
    }
    return soonest;
}

bool core_node(const struct core *core, uint32_t n, struct core_node_view *out)
{
    if (n >= core->node_count)
        return false;
    const struct node *node = &core->nodes[n];
    bool instance = node->expansion != CORE_NONE;
    *out = (struct core_node_view){
        .state = (enum core_task_state)node->state,
        .class = (enum core_class)node->class,
        .stop = (enum core_stop)node->stop,
        .template = instance ? core->expansions[node->expansion].task : CORE_NONE,
        .ordinal = instance ? n - core->expansions[node->expansion].first : 0,
        .attempt = node->attempt,
        .stage = node->stage,
        .stage_kind = (enum core_stage)node->stage_kind,
        .since_ms = node->since_ms,
        .deadline_ms = deadline_of(core, n),
        .stale = (node->flags & NODE_STALE) != 0,
        .violations = node->violations,
        .anomalies = node->anomalies,
    };
    return true;
}

bool core_account(const struct core *core, uint32_t account, struct core_account_view *out)
{
    if (account < 1 || account > core->account_count)
        return false;
    const struct account *item = core_account_at(core, account);
    uint32_t tries = 0;
    for (int operation = OPERATION_FIND; operation < OPERATION_COUNT; operation++)
        tries += item->tries[operation];
    *out = (struct core_account_view){
        .state = (enum core_account_state)item->state,
        .node = item->node,
        .slot = item->slot,
        .provider = item->provider,
        .expires_ms = item->expires_ms,
        .created_ms = item->created_ms,
        .since_ms = item->since_ms,
        .leases = item->leases,
        .has_id = (item->flags & ACCOUNT_HAS_ID) != 0,
        .revoked = (item->flags & ACCOUNT_REVOKED) != 0,
        .tries = tries,
    };
    return true;
}

uint32_t core_slot_account(const struct core *core, uint32_t node, uint32_t slot)
{
    if (node >= core->node_count || slot >= core_slot_count(core, node))
        return CORE_NONE;
    return core_hold(core, node, slot)->account;
}

uint32_t core_lease_account(const struct core *core, uint64_t seq)
{
    const struct lease *lease = core_lease_find(core, seq);
    return lease != NULL ? lease->account : CORE_NONE;
}

bool core_instances(const struct core *core, uint32_t task, uint32_t *first, uint32_t *count)
{
    if (task >= core->graph->task_count || !core_is_template(core, task) || core->nodes[task].detail == CORE_NONE)
        return false;
    const struct expansion *list = &core->expansions[core->nodes[task].detail];
    *first = list->first;
    *count = list->count;
    return true;
}

void core_totals(const struct core *core, struct core_totals *out)
{
    *out = (struct core_totals){
        .live = core->live, .drain = core->drain, .anomalies = core->anomalies, .audit_count = core->audit_count};
    for (int state = 0; state < CORE_TASK_STATE_COUNT; state++)
        out->nodes[state] = core->node_totals[state];
    for (int state = 0; state < CORE_ACCOUNT_STATE_COUNT; state++)
        out->accounts[state] = core->account_totals[state];
    out->created = core->account_count - core->account_totals[CORE_ACCOUNT_STATE_ABSENT];
}

uint64_t core_seq(const struct core *core)
{
    return core->seq;
}

int64_t core_time(const struct core *core)
{
    return core->now_ms;
}

/* Instances speak for their template; a template without a list speaks for itself. */
static bool is_unsuccessful(const struct core *core, uint32_t n)
{
    const struct node *node = &core->nodes[n];
    if ((node->flags & NODE_SUPERSEDED) != 0 || (core_is_template(core, n) && node->detail != CORE_NONE))
        return false;
    if (node->state == CORE_TASK_STATE_CANCELLED)
        return true;
    return (node->state == CORE_TASK_STATE_FAILED || node->state == CORE_TASK_STATE_TIMED_OUT) && !core_task_of(core, n)->allow_failure;
}

static int exit_code_of_tasks(const struct core *core)
{
    uint32_t unsuccessful = 0, in_provisioning = 0;
    for (uint32_t n = 0; n < core->node_count; n++) {
        if (!is_unsuccessful(core, n))
            continue;
        unsuccessful++;
        in_provisioning += (core->nodes[n].flags & NODE_PROVISION_FAILED) != 0;
    }
    if (core->drain == CORE_DRAIN_CANCEL)
        return EXIT_TASK_FAILED;
    if (unsuccessful == 0)
        return EXIT_DONE;
    return in_provisioning == unsuccessful ? EXIT_PROVISIONING : EXIT_TASK_FAILED;
}

int core_exit_code(const struct core *core, bool strict_teardown, int signal_number)
{
    const uint32_t *accounts = core->account_totals;
    if (accounts[CORE_ACCOUNT_STATE_LEAKED] > 0 || core->open_accounts > 0 || (strict_teardown && accounts[CORE_ACCOUNT_STATE_EXPIRING] > 0))
        return EXIT_MAY_EXIST;
    if (core->drain == CORE_DRAIN_RUNNER)
        return EXIT_INTERNAL;
    if (signal_number > 0)
        return EXIT_SIGNAL + signal_number;
    if (core->drain == CORE_DRAIN_RUN_TIMEOUT || core->drain == CORE_DRAIN_BUDGET)
        return EXIT_BUDGET;
    return exit_code_of_tasks(core);
}
