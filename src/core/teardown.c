/*
 * teardown.c - from RELEASED, UNKNOWN and DELETING to an end that can be told
 *
 * Each account goes its way on its own: find, revoke, delete, read back, each with tries of its own. A fleet is ordered by the
 * two queues of a provider: as long as one revoke waits for its turn, nothing else is sent, because the time until no token can
 * be misused is what counts. Creates have limits of their own and never stand in the way of a teardown.
 *
 * Where tries or hope run out, an account that ends by itself is EXPIRING, and any other one LEAKED; a later teardown tries again.
 */
#include "core/core_private.h"

int64_t core_teardown_backoff(struct core *core, uint32_t tries, int64_t after_ms)
{
    int64_t wait_ms = core->limits.teardown_ms_min;
    for (uint32_t t = 1; t < tries && wait_ms < core->limits.teardown_ms_max; t++)
        wait_ms *= 3;
    if (wait_ms > core->limits.teardown_ms_max)
        wait_ms = core->limits.teardown_ms_max;
    wait_ms = wait_ms / 2 + (int64_t)mf_rng_below(&core->rng, (uint64_t)wait_ms + 1); /* +-50 % */
    int64_t asked_ms = after_ms < core->limits.retry_after_ms_max ? after_ms : core->limits.retry_after_ms_max;
    return wait_ms > asked_ms ? wait_ms : asked_ms;
}

static uint32_t *in_flight(struct core *core, uint32_t account, enum operation operation)
{
    struct provider_state *provider = &core->providers[core_account_at(core, account)->provider];
    return operation == OPERATION_CREATE ? &provider->creating : &provider->deleting;
}

void core_operation_begin(struct core *core, uint32_t account, enum operation operation)
{
    static const uint8_t commands[] = {
        [OPERATION_CREATE] = CORE_COMMAND_CREATE, [OPERATION_FIND] = CORE_COMMAND_FIND,   [OPERATION_REVOKE] = CORE_COMMAND_REVOKE,
        [OPERATION_DELETE] = CORE_COMMAND_DELETE, [OPERATION_CHECK] = CORE_COMMAND_CHECK,
    };
    struct account *item = core_account_at(core, account);
    item->busy = (uint8_t)operation;
    item->retry_ms = CORE_NEVER;
    core_account_schedule(core, account);
    ++*in_flight(core, account, operation);
    core_command_account(core, (enum core_command_kind)commands[operation], account);
}

/* False for an answer to something that was not asked, or was answered already. */
bool core_operation_done(struct core *core, uint32_t account, enum operation operation)
{
    struct account *item = core_account_at(core, account);
    if (item->busy != operation)
        return false;
    item->busy = OPERATION_NONE;
    --*in_flight(core, account, operation);
    return true;
}

/* --- what comes next --- */

static enum operation next_operation(const struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    const struct core_provider *provider = core_provider_of(core, account);
    switch (item->state) {
    case CORE_ACCOUNT_STATE_UNKNOWN:
        return provider->can_find && item->tries[OPERATION_FIND] < core->limits.find_tries_max ? OPERATION_FIND : OPERATION_NONE;
    case CORE_ACCOUNT_STATE_RELEASED:
        if (provider->can_revoke && (item->flags & ACCOUNT_REVOKED) == 0 && item->tries[OPERATION_REVOKE] < core->limits.delete_tries_max)
            return OPERATION_REVOKE;
        return provider->can_delete && item->tries[OPERATION_DELETE] < core->limits.delete_tries_max ? OPERATION_DELETE : OPERATION_NONE;
    case CORE_ACCOUNT_STATE_DELETING:
        return OPERATION_CHECK;
    default:
        return OPERATION_NONE;
    }
}

void core_account_unresolved(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    if (MUTANT(GIVE_UP_AS_GONE) && item->state == CORE_ACCOUNT_STATE_DELETING)
        core_emit(core, CORE_ACCOUNT_GONE, account, 0, 0, 0);
    else if (item->expires_ms > 0)
        core_emit(core, CORE_ACCOUNT_EXPIRING, account, item->expires_ms, 0, 0);
    else
        core_emit(core, CORE_ACCOUNT_LEAKED, account, CORE_CLASS_INFRASTRUCTURE, 0, 0);
}

/* DROPPED did not come: the runner is stuck, and a token that is revoked can do no harm. */
static void assume_dropped(struct core *core, uint32_t account)
{
    for (size_t l = 0; l < core->lease_count && core_room(core); l++) {
        const struct lease *lease = &core->leases[l];
        if (lease->account != account || !lease->dropping)
            continue;
        core_emit(core, CORE_LEASE_DROPPED, account, (int64_t)lease->seq, 0, 0);
        l = SIZE_MAX; /* the table may have been compacted: from the start */
    }
}

static void active_due(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    bool expired = item->expires_ms > 0 && item->expires_ms <= core->now_ms;
    if (expired && (item->flags & ACCOUNT_DEAD) == 0)
        core_account_died(core, account);
    if (item->leases_dropping > 0 && core_after(item->drop_ms, core->limits.drop_wait_ms) <= core->now_ms)
        assume_dropped(core, account);
}

static void request_due(struct core *core, uint32_t account)
{
    struct account *item = core_account_at(core, account);
    item->retry_ms = CORE_NEVER;
    core_account_schedule(core, account);
    enum operation next = next_operation(core, account);
    if (next == OPERATION_NONE) {
        core_account_unresolved(core, account);
        return;
    }
    if ((item->flags & ACCOUNT_QUEUED) != 0)
        return;
    item->flags |= ACCOUNT_QUEUED;
    struct provider_state *provider = &core->providers[item->provider];
    core_queue_push(next == OPERATION_REVOKE ? &provider->revokes : &provider->others, core->account_queue, account - 1);
}

void core_account_due(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    if (item->state == CORE_ACCOUNT_STATE_ACTIVE)
        active_due(core, account);
    else if (item->expires_ms > 0 && item->expires_ms <= core->now_ms)
        core_emit(core, CORE_ACCOUNT_EXPIRED, account, 0, 0, 0);
    else
        request_due(core, account);
}

/* --- release --- */

static bool is_reserved(const struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    if (item->node >= core->graph->task_count || (item->flags & ACCOUNT_DEAD) != 0 || MUTANT(RELEASE_LENT))
        return false;
    return core->slot_borrowers[core_task_of(core, item->node)->slot_first + item->slot] > 0;
}

/* Kept by its owner's attempt, by a token that is out, or after the owner's success by tasks that will borrow it. */
void core_account_release(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    bool held = core_holds(core, account), succeeded = core->nodes[item->node].state == CORE_TASK_STATE_SUCCEEDED;
    if ((item->leases + item->borrowers > 0 && !MUTANT(RELEASE_UNDER_LEASE)) || (held && (!succeeded || is_reserved(core, account))))
        return;
    bool keep = held && core_slot_of(core, item->node, item->slot)->keep_on_success && (item->flags & ACCOUNT_DEAD) == 0;
    if (keep)
        core_emit(core, CORE_ACCOUNT_CLAIMABLE, account, item->expires_ms, 0, 0);
    else
        core_emit(core, CORE_ACCOUNT_RELEASED, account, 0, 0, 0);
}

/* --- requests --- */

static void request(struct core *core, uint32_t account)
{
    enum operation next = next_operation(core, account);
    if (next == OPERATION_NONE)
        return;
    if (next == OPERATION_REVOKE)
        core_emit(core, CORE_ACCOUNT_REVOKE, account, 0, 0, 0);
    else if (next == OPERATION_DELETE)
        core_emit(core, CORE_ACCOUNT_DELETE, account, 0, 0, 0);
    core_operation_begin(core, account, next);
}

static bool waits_for_request(const struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    return core_account_group(item->state) == GROUP_OPEN && item->busy == OPERATION_NONE && item->retry_ms == CORE_NEVER;
}

static bool serve(struct core *core, struct provider_state *provider, uint32_t most, struct queue *queue)
{
    bool did = false;
    uint32_t item;
    while ((most == 0 || provider->deleting < most) && core_room(core) && core_queue_pop(queue, core->account_queue, &item)) {
        core_account_at(core, item + 1)->flags &= (uint8_t)~ACCOUNT_QUEUED;
        if (waits_for_request(core, item + 1))
            request(core, item + 1);
        did = true;
    }
    return did;
}

bool core_teardown(struct core *core)
{
    bool did = false;
    for (uint32_t p = 0; p < core->graph->provider_count; p++) {
        struct provider_state *provider = &core->providers[p];
        uint32_t most = core->graph->providers[p].deleting_max;
        did |= serve(core, provider, most, &provider->revokes);
        if (provider->revokes.first == CORE_NONE)
            did |= serve(core, provider, most, &provider->others);
    }
    return did;
}
