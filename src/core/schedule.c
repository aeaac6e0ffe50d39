/*
 * schedule.c - who starts next: the ready queue, running slots, creates in flight, rates, the limit of accounts
 *
 * A node leaves READY only when it has a running slot and, for its own accounts, a reservation below limits.accounts_max; it
 * gives the reservation back with its end. So an attempt never holds one account while it waits for another's place. What is shut
 * (a provider's gate, the limit of accounts) has a queue of its own in front of it, hence tasks that do not need it pass by.
 *
 * One thing can still stand in its own way: accounts that are kept only for borrowers which wait behind the limit. When nothing
 * else moves, the first of these fails as refused instead of waiting for ever.
 *
 * The rate is a theoretical arrival time (GCRA): a burst of a twentieth of the minute's creates, then evenly spaced, so that no window
 * of 60 s holds more than creates_per_minute.
 */
#include "core/core_private.h"

static uint32_t burst(uint32_t per_minute)
{
    return per_minute / 20 > 1 ? per_minute / 20 : 1;
}

int64_t core_create_interval_us(uint32_t per_minute)
{
    int64_t evenly = (int64_t)per_minute - burst(per_minute) + 1;
    return (60LL * 1000 * 1000 + evenly - 1) / evenly;
}

/* Core time from which the bucket lets `creates` through at once. */
static int64_t bucket_opens_ms(const struct core *core, uint32_t provider, uint32_t creates)
{
    uint32_t per_minute = core->graph->providers[provider].creates_per_minute;
    if (per_minute == 0)
        return INT64_MIN;
    uint32_t most = burst(per_minute);
    int64_t spare = (int64_t)most - (creates < most ? creates : most);
    int64_t opens_us = core->providers[provider].bucket_us - spare * core_create_interval_us(per_minute);
    return opens_us <= 0 ? opens_us / 1000 : (opens_us + 999) / 1000;
}

static int64_t gate_opens_ms(const struct core *core, uint32_t provider, uint32_t creates)
{
    int64_t bucket_ms = bucket_opens_ms(core, provider, creates), hold_ms = core->providers[provider].hold_until_ms;
    return bucket_ms > hold_ms ? bucket_ms : hold_ms;
}

/* --- what a node wants now --- */

static bool slot_due(const struct core *core, uint32_t node, uint32_t s, bool fresh)
{
    const struct hold *hold = core_hold(core, node, s);
    if (core_slot_of(core, node, s)->lender != CORE_NONE)
        return false;
    return fresh || (hold->account == CORE_NONE && hold->again_ms <= core->now_ms);
}

static uint32_t wanted_of(const struct core *core, uint32_t node, uint32_t provider, bool fresh)
{
    uint32_t wanted = 0;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        wanted += slot_due(core, node, s, fresh) && core_slot_of(core, node, s)->provider == provider;
    return wanted;
}

static bool provider_open(const struct core *core, uint32_t provider, uint32_t creates)
{
    uint32_t most = core->graph->providers[provider].creating_max;
    uint32_t busy = core->providers[provider].creating;
    bool room = most == 0 || busy == 0 || busy + creates <= most;
    return MUTANT(CREATE_UNLIMITED) || (room && gate_opens_ms(core, provider, creates) <= core->now_ms);
}

/* A fresh attempt needs room for its accounts beside all that is open or promised; a live one was promised its own. */
static bool accounts_fit(const struct core *core, uint32_t node, bool fresh)
{
    uint32_t most = core->limits.accounts_max, wanted = 0;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        wanted += slot_due(core, node, s, fresh);
    uint64_t taken = (uint64_t)core->open_accounts + (fresh ? core->slots_reserved : 0);
    return most == 0 || wanted == 0 || taken + wanted <= most || MUTANT(CREATE_UNLIMITED);
}

/* The provider whose gate is shut, provider_count for the limit of accounts, CORE_NONE when all is open. */
static uint32_t shut_gate(const struct core *core, uint32_t node, bool fresh, bool creates_now)
{
    if (!accounts_fit(core, node, fresh))
        return core->graph->provider_count;
    for (uint32_t s = 0; creates_now && s < core_slot_count(core, node); s++) {
        uint32_t provider = core_slot_of(core, node, s)->provider;
        if (slot_due(core, node, s, fresh) && !provider_open(core, provider, wanted_of(core, node, provider, fresh)))
            return provider;
    }
    return CORE_NONE;
}

static void wait_at(struct core *core, uint32_t node, uint32_t gate, bool fresh)
{
    struct provider_state *provider = &core->providers[gate];
    core->nodes[node].flags |= NODE_QUEUED;
    core->waiting++;
    core_queue_push(fresh ? &provider->fresh : &provider->again, core->node_queue, node);
}

/* --- creates --- */

static void rearm(struct core *core, uint32_t node)
{
    int64_t soonest = CORE_NEVER;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        const struct hold *hold = core_hold(core, node, s);
        bool waits = core_slot_of(core, node, s)->lender == CORE_NONE && hold->account == CORE_NONE && hold->again_ms > core->now_ms;
        if (waits && hold->again_ms < soonest)
            soonest = hold->again_ms;
    }
    mf_heap_set(&core->node_heap, node, soonest);
}

static void create(struct core *core, uint32_t node, uint32_t slot)
{
    uint32_t account = core->account_count + 1;
    core_emit(core, CORE_ACCOUNT_CREATE, account, node, slot, core_slot_of(core, node, slot)->provider);
    core_operation_begin(core, account, OPERATION_CREATE);
}

void core_provision(struct core *core, uint32_t node)
{
    if ((core->nodes[node].flags & NODE_QUEUED) != 0) {
        rearm(core, node); /* waits already; its turn takes all that is due then */
        return;
    }
    uint32_t gate = shut_gate(core, node, false, true);
    if (gate != CORE_NONE) {
        wait_at(core, node, gate, false);
        rearm(core, node);
        return;
    }
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        if (slot_due(core, node, s, false))
            create(core, node, s);
    rearm(core, node);
    core_attempt_advance(core, node); /* one that only borrows has all it needs */
}

/* --- starts --- */

enum lender_status core_lenders(const struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        const struct core_slot *slot = core_slot_of(core, node, s);
        if (slot->lender == CORE_NONE)
            continue;
        if (!core_is_final(core, slot->lender))
            return LENDER_LATER;
        uint32_t account = core_hold(core, slot->lender, slot->lender_slot)->account;
        if (account == CORE_NONE)
            return LENDER_DEAD;
        const struct account *lent = core_account_at(core, account);
        if (lent->state != CORE_ACCOUNT_STATE_ACTIVE || (lent->flags & ACCOUNT_DEAD) != 0)
            return LENDER_DEAD;
    }
    return LENDER_FINE;
}

static bool start(struct core *core, uint32_t node)
{
    switch (core_lenders(core, node)) {
    case LENDER_FINE:
        break;
    case LENDER_LATER: /* out of the queue until the lender ends: graph.c wakes it */
        return false;
    case LENDER_DEAD:
        core_emit(core, CORE_TASK_FAILED, node, core->nodes[node].attempt, CORE_CLASS_REFUSED, 0);
        return true;
    }
    uint32_t gate = shut_gate(core, node, true, !core_task_of(core, node)->prepare);
    if (gate != CORE_NONE) {
        wait_at(core, node, gate, true);
        return false;
    }
    core_attempt_begin(core, node);
    return true;
}

static bool slot_free(const struct core *core)
{
    return core->runner_up && core->drain == CORE_DRAIN_NONE && core->live < core->limits.running_max + (MUTANT(RUNNING_PLUS_ONE) ? 1 : 0);
}

static void leave_queue(struct core *core, struct queue *queue, uint32_t *node)
{
    core_queue_pop(queue, core->node_queue, node);
    core->nodes[*node].flags &= (uint16_t)~NODE_QUEUED;
}

/* Nodes that hold their slot already and wait for creates. */
static bool serve_again(struct core *core, uint32_t gate)
{
    struct queue *queue = &core->providers[gate].again;
    bool did = false;
    while (queue->first != CORE_NONE && core_room(core)) {
        uint32_t node = queue->first;
        bool waits = core->nodes[node].state == CORE_TASK_STATE_PROVISIONING;
        if (waits && shut_gate(core, node, false, true) == gate)
            break;
        leave_queue(core, queue, &node);
        core->waiting--;
        did = true;
        if (waits)
            core_provision(core, node);
        else if (core->nodes[node].state == CORE_TASK_STATE_READY)
            core_ready_push(core, node); /* an attempt later, it waits in front of the wrong gate */
    }
    return did;
}

static bool serve_fresh(struct core *core, uint32_t gate)
{
    struct queue *queue = &core->providers[gate].fresh;
    bool did = false;
    while (queue->first != CORE_NONE && core_room(core) && slot_free(core)) {
        uint32_t node = queue->first;
        bool ready = core->nodes[node].state == CORE_TASK_STATE_READY;
        if (ready && shut_gate(core, node, true, !core_task_of(core, node)->prepare) == gate)
            break;
        leave_queue(core, queue, &node);
        core->waiting--;
        did = true;
        if (ready)
            start(core, node);
    }
    return did;
}

static bool serve_ready(struct core *core)
{
    bool did = false;
    while (core->ready.first != CORE_NONE && core_room(core) && slot_free(core)) {
        uint32_t node;
        leave_queue(core, &core->ready, &node);
        if (core->nodes[node].state == CORE_TASK_STATE_READY)
            did |= start(core, node);
        else if (core->nodes[node].state == CORE_TASK_STATE_PROVISIONING)
            core_provision(core, node); /* after a restart nothing provisions; kept for a stale entry of the queue */
    }
    return did;
}

/* Nothing runs, nothing will end by itself, and the limit of accounts is used up by what is kept for borrowers. */
static bool refuse_first(struct core *core)
{
    struct queue *queue = &core->providers[core->graph->provider_count].fresh;
    const uint32_t *accounts = core->account_totals;
    uint32_t moving = accounts[CORE_ACCOUNT_STATE_CREATING] + accounts[CORE_ACCOUNT_STATE_UNKNOWN] + accounts[CORE_ACCOUNT_STATE_RELEASED] +
                      accounts[CORE_ACCOUNT_STATE_DELETING];
    bool waits = queue->first != CORE_NONE && core->ready.first == CORE_NONE && core->attention_accounts.first == CORE_NONE;
    if (!waits || !slot_free(core) || core->live > 0 || core->expanding > 0 || moving > 0 || core->lease_count > core->lease_dead ||
        core->node_totals[CORE_TASK_STATE_BACKOFF] > 0 || !core_room(core))
        return false;
    uint32_t node = queue->first;
    leave_queue(core, queue, &node);
    core->waiting--;
    if (core->nodes[node].state == CORE_TASK_STATE_READY)
        core_emit(core, CORE_TASK_FAILED, node, core->nodes[node].attempt, CORE_CLASS_REFUSED, 0);
    return true;
}

bool core_schedule(struct core *core)
{
    bool did = false;
    if (core->waiting > 0)
        for (uint32_t gate = 0; gate <= core->graph->provider_count; gate++) {
            did |= serve_again(core, gate);
            did |= serve_fresh(core, gate);
        }
    did |= serve_ready(core);
    if (!did && core->waiting > 0)
        did = refuse_first(core);
    return did;
}

static int64_t head_opens_ms(const struct core *core, const struct queue *queue, uint32_t provider, bool fresh)
{
    if (queue->first == CORE_NONE)
        return CORE_NEVER;
    uint32_t wanted = wanted_of(core, queue->first, provider, fresh);
    uint32_t most = core->graph->providers[provider].creating_max, busy = core->providers[provider].creating;
    if (most > 0 && busy > 0 && busy + wanted > most)
        return CORE_NEVER; /* an answer opens it, not time */
    return gate_opens_ms(core, provider, wanted);
}

/* When time alone opens a gate in front of which somebody waits. */
int64_t core_gate_deadline(const struct core *core)
{
    int64_t soonest = CORE_NEVER;
    for (uint32_t p = 0; core->waiting > 0 && p < core->graph->provider_count; p++) {
        int64_t again_ms = head_opens_ms(core, &core->providers[p].again, p, false);
        int64_t fresh_ms = slot_free(core) ? head_opens_ms(core, &core->providers[p].fresh, p, true) : CORE_NEVER;
        int64_t opens_ms = again_ms < fresh_ms ? again_ms : fresh_ms;
        if (opens_ms > core->now_ms && opens_ms < soonest)
            soonest = opens_ms;
    }
    return soonest;
}
