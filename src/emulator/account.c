/*
 * account.c - accounts: creation, deletion, expiry, claims
 *
 * Accounts stand in an array in order of creation (their sequence numbers ascend, so one is found by bisection), and in
 * tables by id, name and claim. Only accounts that end by themselves have a slot in the heap of expiries.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "emulator/persist.h"
#include "emulator/state_private.h"

#include <stdio.h>
#include <string.h>

static struct mf_span id_key(const struct emu_account *account)
{
    return (struct mf_span){account->id, EMU_HEX_ID_BYTES - 1};
}

static struct mf_span claim_key(const struct emu_account *account)
{
    return (struct mf_span){(const char *)account->claim_hash, EMU_HASH_BYTES};
}

/* --- names: accounts of one name form a chain, in no particular order --- */

static int link_name(struct emu_state *state, struct emu_account *account)
{
    struct emu_account *first = emu_table_get(&state->account_by_name, mf_span(account->name));
    if (first != NULL) {
        account->next_of_name = first->next_of_name;
        first->next_of_name = account;
        return 0;
    }
    account->next_of_name = NULL;
    return emu_table_put(&state->account_by_name, mf_span(account->name), account);
}

static void unlink_name(struct emu_state *state, struct emu_account *account)
{
    struct emu_account *first = emu_table_get(&state->account_by_name, mf_span(account->name));
    if (first == account) {
        emu_table_remove(&state->account_by_name, mf_span(account->name));
        if (account->next_of_name != NULL) /* cannot fail: a place was just freed */
            (void)emu_table_put(&state->account_by_name, mf_span(account->next_of_name->name), account->next_of_name);
        return;
    }
    while (first != NULL && first->next_of_name != account)
        first = first->next_of_name;
    if (first != NULL)
        first->next_of_name = account->next_of_name;
}

/* --- expiry --- */

static int take_slot(struct emu_state *state, uint32_t *out)
{
    if (state->free_slot_count > 0) {
        *out = state->free_slots[--state->free_slot_count];
        return 0;
    }
    if (mf_grow((void **)&state->expiry_accounts, &state->expiry_capacity, state->expiry_slots + 1, sizeof(*state->expiry_accounts), 64) < 0 ||
        mf_grow((void **)&state->free_slots, &state->free_slot_capacity, state->expiry_slots + 1, sizeof(*state->free_slots), 64) < 0 ||
        mf_heap_reserve(&state->expiry, (uint32_t)state->expiry_capacity + 1) < 0)
        return -1;
    *out = ++state->expiry_slots;
    return 0;
}

static int start_expiry(struct emu_state *state, struct emu_account *account)
{
    if (account->expires_ms == MF_NEVER)
        return 0;
    if (take_slot(state, &account->expiry_slot) < 0)
        return -1;
    state->expiry_accounts[account->expiry_slot - 1] = account;
    mf_heap_set(&state->expiry, account->expiry_slot, account->expires_ms);
    return 0;
}

static void stop_expiry(struct emu_state *state, struct emu_account *account)
{
    if (account->expiry_slot == 0)
        return;
    mf_heap_remove(&state->expiry, account->expiry_slot);
    state->free_slots[state->free_slot_count++] = account->expiry_slot;
    account->expiry_slot = 0;
}

struct emu_account *emu_account_due(const struct emu_state *state, int64_t now_ms)
{
    uint32_t slot;
    int64_t at_ms;
    if (!mf_heap_peek(&state->expiry, &slot, &at_ms) || at_ms > now_ms)
        return NULL;
    return state->expiry_accounts[slot - 1];
}

int64_t emu_next_expiry(const struct emu_state *state)
{
    uint32_t slot;
    int64_t at_ms;
    return mf_heap_peek(&state->expiry, &slot, &at_ms) ? at_ms : MF_NEVER;
}

/* --- the array --- */

/* Index of the first account whose sequence number is not below. */
static size_t position_of(const struct emu_state *state, uint64_t sequence)
{
    size_t low = 0, high = state->account_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (state->accounts[middle]->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void leave_array(struct emu_state *state, const struct emu_account *account)
{
    size_t at = position_of(state, account->sequence);
    mf_assert(at < state->account_count && state->accounts[at] == account);
    memmove(&state->accounts[at], &state->accounts[at + 1], (state->account_count - at - 1) * sizeof(struct emu_account *));
    state->account_count--;
}

/* Into the array, the tables and the heap; on failure the account is in none of them. */
static int enter(struct emu_state *state, struct emu_account *account)
{
    if (mf_grow((void **)&state->accounts, &state->account_capacity, state->account_count + 1, sizeof(struct emu_account *), 64) < 0 ||
        emu_table_put(&state->account_by_id, id_key(account), account) < 0)
        return -1;
    if (link_name(state, account) < 0)
        goto forget_id;
    if (account->claimable && emu_table_put(&state->account_by_claim, claim_key(account), account) < 0)
        goto forget_name;
    if (start_expiry(state, account) < 0)
        goto forget_claim;
    state->accounts[state->account_count++] = account;
    state->standalone_count += account->type == EMU_ACCOUNT_STANDALONE;
    return 0;
forget_claim:
    if (account->claimable)
        emu_table_remove(&state->account_by_claim, claim_key(account));
forget_name:
    unlink_name(state, account);
forget_id:
    emu_table_remove(&state->account_by_id, id_key(account));
    return -1;
}

/* --- public --- */

static struct emu_account *allocate(struct emu_state *state, const struct emu_account_spec *spec)
{
    struct emu_account *account = mf_calloc(1, sizeof(*account));
    if (account == NULL || (account->name = emu_span_dup(spec->name)) == NULL) {
        mf_free(account);
        return NULL;
    }
    account->sequence = ++state->sequence;
    emu_hex_id(state->identity, account->id);
    account->type = spec->type;
    account->created_ms = emu_now(state);
    account->expires_ms = spec->lifetime_ms == 0 ? MF_NEVER : account->created_ms + spec->lifetime_ms;
    account->claimable = spec->claim_hash != NULL;
    if (spec->claim_hash != NULL)
        memcpy(account->claim_hash, spec->claim_hash, EMU_HASH_BYTES);
    account->claim_expires_ms = account->expires_ms;
    if (spec->subdomain != NULL)
        (void)mf_span_copy(mf_span(spec->subdomain), account->subdomain, sizeof(account->subdomain));
    else /* so that a deployment needs no human first */
        snprintf(account->subdomain, sizeof(account->subdomain), "account-%.12s", account->id);
    return account;
}

int emu_account_create(struct emu_state *state, const struct emu_account_spec *spec, struct emu_account **out, struct mf_error *error)
{
    struct emu_account *account = allocate(state, spec);
    if (account == NULL || enter(state, account) < 0) {
        emu_account_free(account);
        return mf_fail(error, MF_MEMORY, "account: no memory, or more than %u accounts", EMU_ACCOUNTS_MAX);
    }
    emu_persist_account(state->persist, account);
    *out = account;
    return 0;
}

int emu_account_restore(struct emu_state *state, struct emu_account *account, struct mf_error *error)
{
    if (enter(state, account) < 0) {
        emu_account_free(account);
        return mf_fail(error, MF_MEMORY, "account: no memory, or more than %u accounts", EMU_ACCOUNTS_MAX);
    }
    if (account->sequence > state->sequence)
        state->sequence = account->sequence;
    return 0;
}

void emu_account_free(struct emu_account *account)
{
    if (account == NULL)
        return;
    for (size_t each = 0; each < account->token_count; each++)
        emu_token_free(account->tokens[each]);
    emu_collections_free(account->collections);
    mf_free(account->tokens);
    mf_free(account->settings);
    mf_free(account->name);
    mf_free(account);
}

/* Lists go on showing it for a while; without memory they just do not. */
static void leave_ghost(struct emu_state *state, struct emu_account *account)
{
    if (state->list_lag_ms == 0 ||
        mf_grow((void **)&state->ghosts, &state->ghost_capacity, state->ghost_count + 1, sizeof(*state->ghosts), 16) < 0)
        return;
    struct emu_ghost *ghost = &state->ghosts[state->ghost_count++];
    *ghost = (struct emu_ghost){.name = account->name, .created_ms = account->created_ms, .deleted_ms = emu_now(state)};
    memcpy(ghost->id, account->id, sizeof(ghost->id));
    account->name = NULL;
}

void emu_account_delete(struct emu_state *state, struct emu_account *account)
{
    for (size_t each = 0; each < account->token_count; each++)
        emu_token_forget(state, account->tokens[each]);
    emu_collections_forget(state, account->collections);
    leave_array(state, account);
    stop_expiry(state, account);
    if (account->claimable)
        emu_table_remove(&state->account_by_claim, claim_key(account));
    unlink_name(state, account);
    emu_table_remove(&state->account_by_id, id_key(account));
    state->standalone_count -= account->type == EMU_ACCOUNT_STANDALONE;
    emu_persist_account_delete(state->persist, account);
    leave_ghost(state, account);
    emu_account_free(account);
}

struct emu_account *emu_account_find(const struct emu_state *state, struct mf_span id)
{
    return emu_table_get(&state->account_by_id, id);
}

struct emu_account *emu_account_of_name(const struct emu_state *state, struct mf_span name)
{
    return emu_table_get(&state->account_by_name, name);
}

void emu_account_claim(struct emu_state *state, struct emu_account *account)
{
    stop_expiry(state, account);
    emu_table_remove(&state->account_by_claim, claim_key(account));
    account->claimable = false;
    account->type = EMU_ACCOUNT_CLAIMED;
    account->expires_ms = MF_NEVER;
    memset(account->claim_hash, 0, sizeof(account->claim_hash));
    for (size_t each = account->token_count; each > 0; each--)
        if (account->tokens[each - 1]->temporary)
            emu_token_delete(state, account->tokens[each - 1]);
    emu_persist_account(state->persist, account);
}

int emu_account_end_at(struct emu_state *state, struct emu_account *account, int64_t at_ms)
{
    stop_expiry(state, account);
    account->expires_ms = at_ms;
    if (start_expiry(state, account) < 0)
        return -1;
    emu_persist_account(state->persist, account);
    return 0;
}

int emu_account_rename(struct emu_state *state, struct emu_account *account, struct mf_span name, struct mf_error *error)
{
    char *copy = emu_span_dup(name);
    if (copy == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    unlink_name(state, account);
    mf_free(account->name);
    account->name = copy;
    if (link_name(state, account) < 0)
        return mf_fail(error, MF_MEMORY, "no memory");
    emu_persist_account(state->persist, account);
    return 0;
}

void emu_account_save(struct emu_state *state, const struct emu_account *account)
{
    emu_persist_account(state->persist, account);
}
