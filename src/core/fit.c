/*
 * fit.c - does a record of the journal fit the state it is applied to?
 *
 * A journal is a file: it may be damaged, or belong to another graph. Everything that apply.c relies on is checked here first, so
 * that a bad record is an error with a number and never a failed assertion.
 */
#include "core/core_private.h"

/* The year 5138: far enough, and far from every overflow. */
#define AT_MS_MAX 100000000000000LL

static bool fact_in_range(enum core_fact fact, int64_t value)
{
    switch ((int)fact) {
    case CORE_FACT_CLASS:
        return value >= 0 && value < CORE_CLASS_COUNT;
    case CORE_FACT_STAGE:
        return value >= 0 && value <= CORE_STAGE_VERIFY;
    case CORE_FACT_STOP:
        return value >= 0 && value <= CORE_STOP_ACCOUNT_DEAD;
    case CORE_FACT_DRAIN:
        return value >= 0 && value <= CORE_DRAIN_TEARDOWN;
    case CORE_FACT_LEVEL:
        return value >= 1 && value <= 2;
    case CORE_FACT_UNTIL_MS:
    case CORE_FACT_EXPIRES_MS:
        return value >= 0 && value <= AT_MS_MAX;
    case CORE_FACT_ATTEMPT:
    case CORE_FACT_COUNT:
    case CORE_FACT_SLOT:
    case CORE_FACT_PROVIDER:
    case CORE_FACT_TASK:
    case CORE_FACT_STEP:
    case CORE_FACT_GENERATION:
        return value >= 0 && value < CORE_NONE;
    default:
        return true;
    }
}

static bool facts_fit(const struct core_record *record)
{
    for (uint32_t place = 0; place < 4; place++)
        if (!fact_in_range(core_record_fact(record->kind, place), record->facts[place]))
            return false;
    return true;
}

static bool expanded_fits(const struct core *core, const struct core_record *record)
{
    const struct node *node = &core->nodes[record->node];
    if (node->detail == CORE_NONE)
        return node->state == CORE_TASK_STATE_READY && (uint64_t)core->node_count + (uint64_t)record->facts[0] < CORE_NONE;
    return record->facts[0] == core->expansions[node->detail].count;
}

/* A lender has given its account before anybody provisions from it. */
static bool lenders_fit(const struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        const struct core_slot *slot = core_slot_of(core, node, s);
        if (slot->lender != CORE_NONE && core_hold(core, slot->lender, slot->lender_slot)->account == CORE_NONE)
            return false;
    }
    return true;
}

/* A task that succeeds has an account in each of its own slots. */
static bool holds_fit(const struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        if (core_hold(core, node, s)->account == CORE_NONE)
            return false;
    return true;
}

/* A template ends after all its instances, and none of them runs again behind its back. */
static bool list_fits(const struct core *core, const struct core_record *record)
{
    const struct node *node = &core->nodes[record->node];
    if (node->expansion != CORE_NONE && record->kind == CORE_TASK_RERUN)
        return core->nodes[core->expansions[node->expansion].task].state == CORE_TASK_STATE_EXPANDED;
    if (node->state != CORE_TASK_STATE_EXPANDED || record->kind == CORE_TASK_STOP)
        return true;
    return core->expansions[node->detail].ended == core->expansions[node->detail].count;
}

static bool task_fits(const struct core *core, const struct core_record *record)
{
    if (record->node >= core->node_count)
        return false;
    const struct node *node = &core->nodes[record->node];
    if (core_record_remark(record->kind))
        return !core_is_template(core, record->node);
    if ((node->flags & NODE_SUPERSEDED) != 0 || !core_task_may(node->state, record->kind))
        return false;
    bool template = core_is_template(core, record->node);
    if (!list_fits(core, record))
        return false;
    switch ((int)record->kind) {
    case CORE_TASK_EXPANDED:
        return template && expanded_fits(core, record);
    case CORE_TASK_PREPARE:
        return !template;
    case CORE_TASK_PROVISION:
        return !template && core_slot_count(core, record->node) > 0 && lenders_fit(core, record->node);
    case CORE_TASK_SPAWN:
    case CORE_TASK_VERIFY:
        return !template && holds_fit(core, record->node);
    case CORE_TASK_SUCCEEDED:
        return template || holds_fit(core, record->node);
    case CORE_TASK_REOPENED:
        return record->node < core->graph->task_count;
    default:
        return true;
    }
}

static bool place_fits(const struct core *core, const struct core_record *record)
{
    if (record->account != core->account_count + 1 || record->facts[0] >= core->node_count || record->facts[2] >= core->graph->provider_count)
        return false;
    uint32_t node = (uint32_t)record->facts[0];
    if (record->facts[1] >= core_slot_count(core, node))
        return false;
    if (record->kind == CORE_ACCOUNT_ADOPTED)
        return true;
    uint32_t slot = (uint32_t)record->facts[1];
    bool own = core_slot_of(core, node, slot)->lender == CORE_NONE;
    return own && core->nodes[node].state == CORE_TASK_STATE_PROVISIONING && core_hold(core, node, slot)->account == CORE_NONE;
}

static bool grant_fits(const struct core *core, const struct core_record *record)
{
    if (record->facts[0] >= core->node_count || !core_is_live(core, (uint32_t)record->facts[0]))
        return false;
    uint32_t node = (uint32_t)record->facts[0];
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        if (core_hold(core, node, s)->account == record->account && core_hold(core, node, s)->lease == 0)
            return true;
    return false;
}

static bool account_fits(const struct core *core, const struct core_record *record)
{
    if (record->kind == CORE_ACCOUNT_CREATE || record->kind == CORE_ACCOUNT_ADOPTED)
        return place_fits(core, record);
    if (record->account < 1 || record->account > core->account_count)
        return false;
    const struct account *account = core_account_at(core, record->account);
    if (!core_account_may(account->state, record->kind))
        return false;
    switch ((int)record->kind) {
    case CORE_LEASE_GRANT:
        return grant_fits(core, record);
    case CORE_LEASE_DROP:
    case CORE_LEASE_DROPPED: {
        const struct lease *lease = core_lease_find(core, (uint64_t)record->facts[0]);
        return lease != NULL && lease->account == record->account;
    }
    case CORE_ACCOUNT_RELEASED:
    case CORE_ACCOUNT_CLAIMABLE:
        return account->leases + account->borrowers == 0;
    default:
        return true;
    }
}

bool core_record_fits(const struct core *core, const struct core_record *record)
{
    if ((unsigned)record->kind >= CORE_RECORD_COUNT || record->seq != core->seq + 1 || record->at_ms > AT_MS_MAX || record->at_ms < core->now_ms)
        return false;
    if (!facts_fit(record) || core->opened != (record->kind != CORE_RUN_OPENED))
        return false;
    switch (core_record_subject(record->kind)) {
    case CORE_SUBJECT_TASK:
        return task_fits(core, record);
    case CORE_SUBJECT_ACCOUNT:
        return account_fits(core, record);
    case CORE_SUBJECT_RUN:
        return record->kind != CORE_RUN_AUDIT || record->facts[0] > core->audit_count;
    }
    return false;
}
