/* decide_account.c - answers about accounts and leases, and what an account in the attention queue needs */
#include "core/core_private.h"

/* --- creates --- */

static int64_t lifetime_end(const struct core *core, uint32_t account)
{
    int64_t lifetime_ms = core_provider_of(core, account)->lifetime_ms;
    return lifetime_ms > 0 ? core_after(core->now_ms, lifetime_ms) : 0;
}

/*
 * The answer is lost. When the request left is not known either (a proof of work may have come first), so both the window and the
 * lifetime count from now: the latest moment at which the account can have come into being.
 */
static void emit_unknown(struct core *core, uint32_t account)
{
    core_emit(core, CORE_ACCOUNT_UNKNOWN, account, core->now_ms, lifetime_end(core, account), 0);
}

/* A slot of a live attempt lost its account: another create, or the end of the attempt. */
static void slot_failed(struct core *core, uint32_t account, bool refused)
{
    const struct account *item = core_account_at(core, account);
    const struct hold *hold = core_hold(core, item->node, item->slot);
    if (refused)
        core_attempt_end(core, item->node, CORE_CLASS_REFUSED);
    else if (hold->unknown >= core->limits.unknown_creates_max || hold->refused >= core->limits.refused_for_now_max)
        core_attempt_end(core, item->node, CORE_CLASS_INFRASTRUCTURE);
}

static void create_failed(struct core *core, const struct core_input *input)
{
    const struct account *item = core_account_at(core, input->account);
    bool held = core_holds(core, input->account);
    bool refused = input->kind == CORE_INPUT_CREATE_ABSENT && input->flag;
    if ((item->flags & ACCOUNT_HAS_ID) != 0) { /* something of it exists: whatever the verdict, it is to be deleted */
        core_emit(core, CORE_ACCOUNT_RELEASED, input->account, 0, 0, 0);
    } else if (input->kind == CORE_INPUT_CREATE_UNKNOWN && !MUTANT(UNKNOWN_IS_ABSENT)) {
        emit_unknown(core, input->account);
    } else {
        uint32_t tries = held ? core_hold(core, item->node, item->slot)->refused + 1u : 1u;
        int64_t asked_ms = input->after_ms < core->limits.retry_after_ms_max ? input->after_ms : core->limits.retry_after_ms_max;
        int64_t wait_ms = core_backoff(core, tries);
        int64_t until_ms = refused ? 0 : core_after(core->now_ms, wait_ms > asked_ms ? wait_ms : asked_ms);
        core_emit(core, CORE_ACCOUNT_ABSENT, input->account, refused ? CORE_CLASS_REFUSED : CORE_CLASS_INFRASTRUCTURE, until_ms, 0);
    }
    if (held)
        slot_failed(core, input->account, refused);
}

static void created(struct core *core, const struct core_input *input)
{
    int64_t expires_ms = input->expires_ms > 0 ? input->expires_ms : lifetime_end(core, input->account);
    core_emit(core, CORE_ACCOUNT_CREATED, input->account, expires_ms, 0, 0);
}

static void answer_create(struct core *core, const struct core_input *input)
{
    const struct account *item = core_account_at(core, input->account);
    if (input->kind == CORE_INPUT_CREATE_STEP) {
        if (item->busy == OPERATION_CREATE && item->state == CORE_ACCOUNT_STATE_CREATING)
            core_emit(core, CORE_ACCOUNT_STEP, input->account, input->step, 0, 0);
        return;
    }
    if (!core_operation_done(core, input->account, OPERATION_CREATE) || item->state != CORE_ACCOUNT_STATE_CREATING)
        return;
    if (input->kind == CORE_INPUT_CREATED)
        created(core, input);
    else
        create_failed(core, input);
}

/* --- find --- */

static void adopt(struct core *core, uint32_t account, uint32_t count)
{
    const struct account found = *core_account_at(core, account);
    if (count > CORE_FOUND_MAX)
        count = CORE_FOUND_MAX;
    for (uint32_t i = 1; i < count && !MUTANT(FORGET_ADOPTED); i++)
        core_emit(core, CORE_ACCOUNT_ADOPTED, core->account_count + 1, found.node, found.slot, found.provider);
}

/* Tries so far, this one included; no hope is as good as all of them. */
static uint32_t tried(const struct core *core, uint32_t account, enum operation operation, uint32_t most, bool hopeless)
{
    uint32_t tries = core_account_at(core, account)->tries[operation] + 1u;
    return hopeless && tries < most ? most : tries;
}

static void answer_find(struct core *core, const struct core_input *input)
{
    uint32_t account = input->account;
    const struct account *item = core_account_at(core, account);
    if (!core_operation_done(core, account, OPERATION_FIND) || item->state != CORE_ACCOUNT_STATE_UNKNOWN)
        return;
    int64_t believed_ms = core_after(item->unknown_ms, core_provider_of(core, account)->consistency_ms);
    if (input->kind == CORE_INPUT_FOUND) {
        core_emit(core, CORE_ACCOUNT_FOUND, account, 0, 0, 0);
        adopt(core, account, input->count);
    } else if (input->kind == CORE_INPUT_NOT_FOUND) {
        if (core->now_ms >= believed_ms || MUTANT(BELIEVE_FIRST_FIND))
            core_emit(core, CORE_ACCOUNT_ABSENT, account, CORE_CLASS_NONE, 0, 0);
        else
            core_emit(core, CORE_ACCOUNT_RETRY, account, believed_ms, item->tries[OPERATION_FIND], 0);
    } else {
        uint32_t tries = tried(core, account, OPERATION_FIND, core->limits.find_tries_max, input->flag);
        if (tries >= core->limits.find_tries_max)
            core_account_unresolved(core, account);
        else
            core_emit(core, CORE_ACCOUNT_RETRY, account, core_after(core->now_ms, core_teardown_backoff(core, tries, input->after_ms)), tries, 0);
    }
}

/* --- revoke, delete, read back --- */

static void answer_revoke(struct core *core, const struct core_input *input)
{
    uint32_t account = input->account;
    if (!core_operation_done(core, account, OPERATION_REVOKE) || core_account_at(core, account)->state != CORE_ACCOUNT_STATE_RELEASED)
        return;
    if (input->kind == CORE_INPUT_REVOKED) {
        core_emit(core, CORE_ACCOUNT_REVOKED, account, 0, 0, 0);
        return;
    }
    uint32_t tries = tried(core, account, OPERATION_REVOKE, core->limits.delete_tries_max, input->flag);
    bool over = tries >= core->limits.delete_tries_max; /* go on: what is deleted needs no revoke */
    int64_t wait_ms = over ? 0 : core_teardown_backoff(core, tries, input->after_ms);
    core_emit(core, CORE_ACCOUNT_RETRY, account, core_after(core->now_ms, wait_ms), tries, 0);
}

static void delete_again(struct core *core, uint32_t account, bool hopeless, int64_t after_ms)
{
    uint32_t tries = tried(core, account, OPERATION_DELETE, core->limits.delete_tries_max, hopeless);
    if (tries >= core->limits.delete_tries_max)
        core_account_unresolved(core, account);
    else
        core_emit(core, CORE_ACCOUNT_RETRY, account, core_after(core->now_ms, core_teardown_backoff(core, tries, after_ms)), tries, 0);
}

static void swept(struct core *core, const struct core_input *input)
{
    const struct account *item = core_account_at(core, input->account);
    int64_t expires_ms = input->expires_ms > 0 ? input->expires_ms : item->expires_ms;
    if (expires_ms > 0)
        core_emit(core, CORE_ACCOUNT_EXPIRING, input->account, expires_ms, 0, 0);
    else
        core_account_unresolved(core, input->account);
}

/* "Not there" proves nothing as long as a list may still lag behind the creation: then it is read again at the end of that window. */
static void not_there(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    const struct core_provider *provider = core_provider_of(core, account);
    int64_t believed_ms = core_after(item->seen_ms, provider->consistency_ms);
    if (core->now_ms >= believed_ms || !provider->can_check || MUTANT(BELIEVE_YOUNG_GONE))
        core_emit(core, CORE_ACCOUNT_GONE, account, 0, 0, 0);
    else
        core_emit(core, CORE_ACCOUNT_DELETED, account, believed_ms, item->tries[OPERATION_CHECK], 0);
}

static void answer_delete(struct core *core, const struct core_input *input)
{
    uint32_t account = input->account;
    if (!core_operation_done(core, account, OPERATION_DELETE) || core_account_at(core, account)->state != CORE_ACCOUNT_STATE_DELETING)
        return;
    switch ((int)input->kind) {
    case CORE_INPUT_DELETED:
        if (core_provider_of(core, account)->can_check && !MUTANT(NO_READ_BACK))
            core_emit(core, CORE_ACCOUNT_DELETED, account, core->now_ms, 0, 0);
        else
            core_emit(core, CORE_ACCOUNT_GONE, account, 0, 0, 0);
        break;
    case CORE_INPUT_GONE:
        not_there(core, account);
        break;
    case CORE_INPUT_SWEPT:
        swept(core, input);
        break;
    default:
        delete_again(core, account, input->flag, input->after_ms);
        break;
    }
}

/* A list may lag behind: within the window what is still seen is looked at again, and deleted again only after its end. */
static void still_there(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    int64_t window_ms = core_provider_of(core, account)->consistency_ms;
    int64_t believed_ms = core_after(item->deleted_ms, window_ms);
    int64_t again_ms = core_after(core->now_ms, window_ms / 4 + 1); /* five looks at the most */
    if (core->now_ms < believed_ms)
        core_emit(core, CORE_ACCOUNT_DELETED, account, again_ms < believed_ms ? again_ms : believed_ms, item->tries[OPERATION_CHECK], 0);
    else
        delete_again(core, account, false, 0);
}

static void answer_check(struct core *core, const struct core_input *input)
{
    uint32_t account = input->account;
    if (!core_operation_done(core, account, OPERATION_CHECK) || core_account_at(core, account)->state != CORE_ACCOUNT_STATE_DELETING)
        return;
    if (input->kind == CORE_INPUT_GONE) {
        not_there(core, account);
    } else if (input->kind == CORE_INPUT_STILL_THERE) {
        still_there(core, account);
    } else {
        uint32_t tries = tried(core, account, OPERATION_CHECK, core->limits.delete_tries_max, input->flag);
        if (tries >= core->limits.delete_tries_max)
            core_account_unresolved(core, account);
        else
            core_emit(core, CORE_ACCOUNT_DELETED, account, core_after(core->now_ms, core_teardown_backoff(core, tries, input->after_ms)), tries, 0);
    }
}

/* --- death --- */

/* Every attempt that has a token of it is stopped; its owner also when it has none. */
void core_account_died(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    if (item->state != CORE_ACCOUNT_STATE_ACTIVE || (item->flags & ACCOUNT_DEAD) != 0)
        return;
    core_emit(core, CORE_ACCOUNT_DEAD, account, 0, 0, 0);
    for (size_t l = 0; l < core->lease_count; l++)
        if (core->leases[l].account == account)
            core_notice_node(core, core->leases[l].node);
    if (core_holds(core, account))
        core_notice_node(core, item->node);
}

void core_account_decide(struct core *core, uint32_t account)
{
    const struct account *item = core_account_at(core, account);
    bool lost = (item->flags & ACCOUNT_LOST) != 0;
    switch (item->state) {
    case CORE_ACCOUNT_STATE_CREATING:
        if (lost && (item->flags & ACCOUNT_HAS_ID) != 0)
            core_emit(core, CORE_ACCOUNT_RELEASED, account, 0, 0, 0);
        else if (lost && !MUTANT(RESTART_FORGETS_CREATES))
            emit_unknown(core, account);
        break;
    case CORE_ACCOUNT_STATE_ACTIVE:
        core_account_release(core, account);
        break;
    case CORE_ACCOUNT_STATE_DELETING:
        if (lost)
            core_emit(core, CORE_ACCOUNT_RETRY, account, core->now_ms, item->tries[OPERATION_DELETE], 0);
        break;
    case CORE_ACCOUNT_STATE_LEAKED:
    case CORE_ACCOUNT_STATE_CLAIMABLE:
        if ((item->flags & ACCOUNT_WANT_RETRY) == 0)
            break;
        if ((item->flags & ACCOUNT_HAS_ID) != 0)
            core_emit(core, CORE_ACCOUNT_RETRY, account, core->now_ms, 0, 0);
        else
            core_emit(core, CORE_ACCOUNT_UNKNOWN, account, core->now_ms, 0, 0);
        break;
    default:
        break;
    }
}

static void input_dropped(struct core *core, const struct core_input *input)
{
    const struct lease *lease = core_lease_find(core, input->lease);
    if (lease != NULL)
        core_emit(core, CORE_LEASE_DROPPED, lease->account, (int64_t)input->lease, 0, 0);
}

void core_input_account(struct core *core, const struct core_input *input)
{
    switch ((int)input->kind) {
    case CORE_INPUT_CREATE_STEP:
    case CORE_INPUT_CREATED:
    case CORE_INPUT_CREATE_ABSENT:
    case CORE_INPUT_CREATE_UNKNOWN:
        answer_create(core, input);
        break;
    case CORE_INPUT_FOUND:
    case CORE_INPUT_NOT_FOUND:
    case CORE_INPUT_FIND_RETRY:
        answer_find(core, input);
        break;
    case CORE_INPUT_REVOKED:
    case CORE_INPUT_REVOKE_RETRY:
        answer_revoke(core, input);
        break;
    case CORE_INPUT_GONE: /* the answer to whichever of the two was asked */
        if (core_account_at(core, input->account)->busy == OPERATION_CHECK)
            answer_check(core, input);
        else
            answer_delete(core, input);
        break;
    case CORE_INPUT_DELETED:
    case CORE_INPUT_SWEPT:
    case CORE_INPUT_DELETE_RETRY:
        answer_delete(core, input);
        break;
    case CORE_INPUT_STILL_THERE:
    case CORE_INPUT_CHECK_RETRY:
        answer_check(core, input);
        break;
    case CORE_INPUT_ACCOUNT_DEAD:
        core_account_died(core, input->account);
        break;
    case CORE_INPUT_DROPPED:
        input_dropped(core, input);
        break;
    default:
        break;
    }
}
