/* state.c - creation and end of the state, its clock, and the names of kinds */
#include "emulator/state.h"

#include "base/alloc.h"
#include "emulator/state_private.h"

#include <time.h>

static const char *const kind_names[] = {
#define X(kind, name, id, logged, count_max) name,
    EMU_KINDS(X)
#undef X
};

static const bool kind_logged[] = {
#define X(kind, name, id, logged, count_max) logged,
    EMU_KINDS(X)
#undef X
};

static const char *const type_names[] = {
#define X(type, name) name,
    EMU_ACCOUNT_TYPES(X)
#undef X
};

const char *emu_kind_name(enum emu_kind kind)
{
    return kind_names[kind];
}

bool emu_kind_logged(enum emu_kind kind)
{
    return kind_logged[kind];
}

const char *emu_account_type_name(enum emu_account_type type)
{
    return type_names[type];
}

int64_t emu_now(const struct emu_state *state)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + state->clock_offset_ms;
}

int emu_state_create(struct emu_state **out, struct emu_identity *identity, struct mf_error *error)
{
    struct emu_state *state = mf_calloc(1, sizeof(*state));
    if (state == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    state->identity = identity;
    state->bytes_max = (uint64_t)2 << 30; /* a fleet's deployments are small; this is a stop for runaways */
    emu_table_init(&state->account_by_id, emu_random_u64(identity), EMU_ACCOUNTS_MAX);
    emu_table_init(&state->account_by_name, emu_random_u64(identity), EMU_ACCOUNTS_MAX);
    emu_table_init(&state->account_by_claim, emu_random_u64(identity), EMU_ACCOUNTS_MAX);
    emu_table_init(&state->token_by_hash, emu_random_u64(identity), EMU_TOKENS_MAX);
    emu_table_init(&state->token_by_id, emu_random_u64(identity), EMU_TOKENS_MAX);
    emu_table_init(&state->object_by_id, emu_random_u64(identity), EMU_OBJECTS_MAX);
    mf_heap_init(&state->expiry);
    *out = state;
    return 0;
}

static void free_tables(struct emu_state *state)
{
    emu_table_free(&state->account_by_id);
    emu_table_free(&state->account_by_name);
    emu_table_free(&state->account_by_claim);
    emu_table_free(&state->token_by_hash);
    emu_table_free(&state->token_by_id);
    emu_table_free(&state->object_by_id);
}

void emu_state_destroy(struct emu_state *state)
{
    if (state == NULL)
        return;
    for (size_t each = 0; each < state->account_count; each++)
        emu_account_free(state->accounts[each]);
    for (size_t each = 0; each < state->ghost_count; each++)
        mf_free(state->ghosts[each].name);
    free_tables(state);
    mf_heap_free(&state->expiry);
    mf_free(state->accounts);
    mf_free(state->expiry_accounts);
    mf_free(state->free_slots);
    mf_free(state->ghosts);
    mf_free(state);
}
