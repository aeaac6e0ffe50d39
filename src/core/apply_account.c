/* apply_account.c - what the records of accounts and leases mean */
#include "core/core_private.h"

#include <string.h>

static int64_t sooner(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

/* The next moment at which the account needs a look, by its state alone. */
void core_account_schedule(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    int64_t expires = item->expires_ms > 0 ? item->expires_ms : CORE_NEVER;
    int64_t at = CORE_NEVER;
    switch (item->state) {
    case CORE_ACCOUNT_STATE_ACTIVE:
        at = (item->flags & ACCOUNT_DEAD) != 0 ? CORE_NEVER : expires;
        if (item->leases_dropping > 0)
            at = sooner(at, core_after(item->drop_ms, core->limits.drop_wait_ms));
        break;
    case CORE_ACCOUNT_STATE_UNKNOWN:
    case CORE_ACCOUNT_STATE_RELEASED:
    case CORE_ACCOUNT_STATE_DELETING:
        at = sooner(expires, item->retry_ms);
        break;
    case CORE_ACCOUNT_STATE_EXPIRING:
    case CORE_ACCOUNT_STATE_CLAIMABLE:
        at = expires;
        break;
    default:
        break;
    }
    mf_heap_set(&core->account_heap, account - 1, at);
}

/* --- leases --- */

struct lease *core_lease_find(const struct core *core, uint64_t seq)
{
    size_t low = 0, high = core->lease_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (core->leases[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < core->lease_count && core->leases[low].seq == seq && core->leases[low].account != CORE_NONE;
    return found ? &core->leases[low] : NULL;
}

static struct hold *hold_of_lease(struct core *core, uint32_t node, uint64_t lease)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        if (core_hold(core, node, s)->lease == lease)
            return core_hold(core, node, s);
    return NULL; /* the attempt is over */
}

static void lease_grant(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    uint32_t node = (uint32_t)record->facts[0];
    mf_assert(core->lease_count < core->lease_capacity);
    core->leases[core->lease_count++] = (struct lease){.seq = record->seq, .account = record->account, .node = node};
    core_account_at(core, record->account)->leases++;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        struct hold *hold = core_hold(core, node, s);
        if (hold->account != record->account || hold->lease != 0)
            continue;
        hold->lease = record->seq;
        hold->drop_asked = false;
        return;
    }
    mf_unreachable();
}

static void lease_drop(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    struct lease *lease = core_lease_find(core, (uint64_t)record->facts[0]);
    account->leases_dropping += !lease->dropping;
    account->drop_ms = record->at_ms;
    lease->dropping = true;
    struct hold *hold = hold_of_lease(core, lease->node, lease->seq);
    if (hold != NULL)
        hold->drop_asked = true;
}

static void compact_leases(struct core *core)
{
    if (core->lease_dead < 64 || core->lease_dead * 2 < core->lease_count)
        return;
    size_t kept = 0;
    for (size_t l = 0; l < core->lease_count; l++)
        if (core->leases[l].account != CORE_NONE)
            core->leases[kept++] = core->leases[l];
    core->lease_count = kept;
    core->lease_dead = 0;
}

static void lease_end(struct core *core, struct lease *lease)
{
    struct account *account = core_account_at(core, lease->account);
    account->leases--;
    account->leases_dropping -= lease->dropping;
    struct hold *hold = hold_of_lease(core, lease->node, lease->seq);
    if (hold != NULL)
        hold->lease = 0;
    core_notice_account(core, lease->account);
    core_notice_node(core, lease->node);
    lease->account = CORE_NONE;
    core->lease_dead++;
}

static void lease_dropped(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    lease_end(core, core_lease_find(core, (uint64_t)record->facts[0]));
    compact_leases(core);
}

void core_leases_forget(struct core *core)
{
    for (size_t l = 0; l < core->lease_count; l++) {
        uint32_t account = core->leases[l].account;
        if (account == CORE_NONE)
            continue;
        lease_end(core, &core->leases[l]);
        core_account_schedule(core, account);
    }
    core->lease_count = core->lease_dead = 0;
}

/* --- accounts --- */

void core_slot_lost(struct core *core, const struct account *account, enum core_record_kind why, int64_t again_ms)
{
    struct hold *hold = core_hold(core, account->node, account->slot);
    if (hold->account == CORE_NONE || core_account_at(core, hold->account) != account)
        return; /* its attempt is over */
    hold->account = CORE_NONE;
    hold->again_ms = again_ms;
    if (why == CORE_ACCOUNT_UNKNOWN)
        hold->unknown = core_one_more(hold->unknown);
    else
        hold->refused = core_one_more(hold->refused);
    core->slots_reserved++;
    mf_heap_set(&core->node_heap, account->node, sooner(mf_heap_at(&core->node_heap, account->node), again_ms));
}

/* An account about whose end nothing was said lives as long as its provider lets it. */
static void assume_lifetime(struct core *core, uint32_t account, int64_t at_ms)
{
    int64_t lifetime_ms = core_provider_of(core, account)->lifetime_ms;
    struct account *item = core_account_at(core, account);
    if (item->expires_ms == 0 && lifetime_ms > 0)
        item->expires_ms = core_after(at_ms, lifetime_ms);
}

static struct account *place(struct core *core, const struct core_record *record)
{
    struct account *account = core_account_at(core, record->account);
    account->created_ms = record->at_ms;
    account->node = (uint32_t)record->facts[0];
    account->slot = (uint32_t)record->facts[1];
    account->provider = (uint32_t)record->facts[2];
    return account;
}

/* The rate bucket is a theoretical arrival time; see schedule.c. */
static void count_create(struct core *core, const struct core_record *record, uint32_t provider)
{
    uint32_t per_minute = core->graph->providers[provider].creates_per_minute;
    if (per_minute == 0)
        return;
    struct provider_state *state = &core->providers[provider];
    int64_t now_us = record->at_ms * 1000;
    state->bucket_us = (state->bucket_us > now_us ? state->bucket_us : now_us) + core_create_interval_us(per_minute);
}

static void account_create(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = place(core, record);
    core_hold(core, account->node, account->slot)->account = record->account;
    core->slots_reserved--;
    count_create(core, record, account->provider);
}

static void account_adopted(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = place(core, record);
    account->flags |= ACCOUNT_HAS_ID;
    account->retry_ms = account->seen_ms = record->at_ms;
    assume_lifetime(core, record->account, record->at_ms);
}

static void account_step(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    account->flags |= ACCOUNT_HAS_ID;
    account->seen_ms = record->at_ms;
}

static void account_created(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    account->flags |= ACCOUNT_HAS_ID;
    account->seen_ms = record->at_ms;
    account->expires_ms = record->facts[0];
    if (core_holds(core, record->account))
        core_notice_node(core, account->node);
    else if (!MUTANT(FORGET_CREATING))
        core_notice_account(core, record->account);
}

static void account_absent(struct core *core, const struct core_record *record, int from)
{
    if (from == CORE_ACCOUNT_STATE_CREATING)
        core_slot_lost(core, core_account_at(core, record->account), record->kind, record->facts[1]);
}

static void account_unknown(struct core *core, const struct core_record *record, int from)
{
    struct account *account = core_account_at(core, record->account);
    account->retry_ms = record->facts[0];
    account->expires_ms = record->facts[1];
    account->unknown_ms = record->at_ms;
    account->flags &= (uint8_t)~(ACCOUNT_LOST | ACCOUNT_WANT_RETRY);
    memset(account->tries, 0, sizeof account->tries);
    if (from == CORE_ACCOUNT_STATE_CREATING)
        core_slot_lost(core, account, record->kind, record->at_ms);
}

static void account_found(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    account->flags |= ACCOUNT_HAS_ID;
    account->retry_ms = account->seen_ms = record->at_ms;
}

static void account_retry(struct core *core, const struct core_record *record, int from)
{
    struct account *account = core_account_at(core, record->account);
    uint8_t count = record->facts[1] < UINT8_MAX ? (uint8_t)record->facts[1] : UINT8_MAX;
    account->retry_ms = record->facts[0];
    account->flags &= (uint8_t)~(ACCOUNT_LOST | ACCOUNT_WANT_RETRY);
    if (from == CORE_ACCOUNT_STATE_UNKNOWN)
        account->tries[OPERATION_FIND] = count;
    else if (from == CORE_ACCOUNT_STATE_RELEASED)
        account->tries[OPERATION_REVOKE] = count;
    else if (from == CORE_ACCOUNT_STATE_DELETING)
        account->tries[OPERATION_DELETE] = count;
    else
        memset(account->tries, 0, sizeof account->tries);
}

static void account_dead(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core_account_at(core, record->account)->flags |= ACCOUNT_DEAD;
    core_notice_account(core, record->account);
}

static void account_released(struct core *core, const struct core_record *record, int from)
{
    struct account *account = core_account_at(core, record->account);
    account->retry_ms = record->at_ms;
    account->flags &= (uint8_t)~ACCOUNT_LOST;
    if (from != CORE_ACCOUNT_STATE_CREATING)
        return;
    assume_lifetime(core, record->account, record->at_ms);
    core_slot_lost(core, account, record->kind, core_after(record->at_ms, core->limits.backoff_ms_min));
}

static void account_request(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    account->retry_ms = CORE_NEVER;
    if (record->kind == CORE_ACCOUNT_DELETE)
        account->deleted_ms = 0;
}

static void account_revoked(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    account->flags |= ACCOUNT_REVOKED;
    account->retry_ms = record->at_ms;
}

static void account_deleted(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct account *account = core_account_at(core, record->account);
    account->retry_ms = record->facts[0];
    account->tries[OPERATION_CHECK] = record->facts[1] < UINT8_MAX ? (uint8_t)record->facts[1] : UINT8_MAX;
    if (account->deleted_ms == 0)
        account->deleted_ms = record->at_ms;
}

static void account_ends_at(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core_account_at(core, record->account)->expires_ms = record->facts[0];
}

core_detail *core_account_detail(enum core_record_kind kind)
{
    static core_detail *const details[CORE_RECORD_COUNT] = {
        [CORE_LEASE_GRANT] = lease_grant,           [CORE_LEASE_DROP] = lease_drop,
        [CORE_LEASE_DROPPED] = lease_dropped,       [CORE_ACCOUNT_CREATE] = account_create,
        [CORE_ACCOUNT_STEP] = account_step,         [CORE_ACCOUNT_CREATED] = account_created,
        [CORE_ACCOUNT_ABSENT] = account_absent,     [CORE_ACCOUNT_UNKNOWN] = account_unknown,
        [CORE_ACCOUNT_FOUND] = account_found,       [CORE_ACCOUNT_ADOPTED] = account_adopted,
        [CORE_ACCOUNT_RETRY] = account_retry,       [CORE_ACCOUNT_DEAD] = account_dead,
        [CORE_ACCOUNT_RELEASED] = account_released, [CORE_ACCOUNT_REVOKE] = account_request,
        [CORE_ACCOUNT_REVOKED] = account_revoked,   [CORE_ACCOUNT_DELETE] = account_request,
        [CORE_ACCOUNT_DELETED] = account_deleted,   [CORE_ACCOUNT_EXPIRING] = account_ends_at,
        [CORE_ACCOUNT_CLAIMABLE] = account_ends_at,
    };
    return details[kind];
}
