/*
 * token.c - tokens: only the SHA-256 of a value is ever kept
 *
 * A request's bearer value is hashed and looked up by the hash, so a deleted or rolled token dies in the same moment.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "emulator/persist.h"
#include "emulator/state_private.h"

#include <string.h>

static struct mf_span hash_key(const struct emu_token *token)
{
    return (struct mf_span){(const char *)token->hash, EMU_HASH_BYTES};
}

static struct mf_span id_key(const struct emu_token *token)
{
    return (struct mf_span){token->id, EMU_HEX_ID_BYTES - 1};
}

void emu_token_free(struct emu_token *token)
{
    if (token == NULL)
        return;
    emu_policy_free(&token->policy);
    mf_free(token->name);
    mf_free(token->policies);
    mf_free(token->condition);
    mf_free(token);
}

static int set_texts(struct emu_token *token, const struct emu_token_spec *spec)
{
    char *name = emu_span_dup(spec->name);
    char *policies = emu_span_dup(spec->policies);
    char *condition = spec->condition.length == 0 ? NULL : emu_span_dup(spec->condition);
    if (name == NULL || policies == NULL || (condition == NULL && spec->condition.length > 0)) {
        mf_free(name);
        mf_free(policies);
        mf_free(condition);
        return -1;
    }
    mf_free(token->name);
    mf_free(token->policies);
    mf_free(token->condition);
    token->name = name;
    token->policies = policies;
    token->condition = condition;
    return 0;
}

/* A temporary account's token has a fixed set of groups instead of policies; the operator's needs none at all. */
static int compile(struct emu_token *token, struct mf_error *error)
{
    if (token->account == NULL)
        return 0;
    if (emu_policy_compile(&token->policy, mf_span(token->policies), mf_span(token->condition), token->account->id, error) < 0)
        return -1;
    if (token->temporary)
        token->policy.account = *emu_temporary_groups();
    return 0;
}

/* Into the account's list and the tables; on failure in none of them. */
static int enter(struct emu_state *state, struct emu_token *token)
{
    struct emu_account *account = token->account;
    if (account != NULL && mf_grow((void **)&account->tokens, &account->token_capacity, account->token_count + 1, sizeof(struct emu_token *), 1) < 0)
        return -1;
    if (emu_table_put(&state->token_by_hash, hash_key(token), token) < 0)
        return -1;
    if (emu_table_put(&state->token_by_id, id_key(token), token) < 0) {
        emu_table_remove(&state->token_by_hash, hash_key(token));
        return -1;
    }
    if (account != NULL)
        account->tokens[account->token_count++] = token;
    return 0;
}

static void set_times(struct emu_token *token, const struct emu_token_spec *spec)
{
    token->not_before_ms = spec->not_before_ms;
    token->expires_ms = spec->expires_ms;
}

int emu_token_create(struct emu_state *state, struct emu_account *account, const struct emu_token_spec *spec, struct emu_token **out, struct mf_error *error)
{
    struct emu_token *token = mf_calloc(1, sizeof(*token));
    if (token == NULL || set_texts(token, spec) < 0) {
        mf_free(token);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    token->sequence = ++state->sequence;
    emu_hex_id(state->identity, token->id);
    emu_sha256(state->identity, spec->value, token->hash);
    token->account = account;
    token->issued_ms = token->modified_ms = emu_now(state);
    token->temporary = spec->temporary;
    set_times(token, spec);
    if (compile(token, error) < 0) {
        emu_token_free(token);
        return -1;
    }
    if (enter(state, token) < 0) {
        emu_token_free(token);
        return mf_fail(error, MF_MEMORY, "token: no memory, or more than %u tokens", EMU_TOKENS_MAX);
    }
    emu_token_save(state, token);
    *out = token;
    return 0;
}

int emu_token_restore(struct emu_state *state, struct emu_token *token, struct mf_error *error)
{
    if (compile(token, error) < 0) {
        emu_token_free(token);
        return -1;
    }
    if (enter(state, token) < 0) {
        emu_token_free(token);
        return mf_fail(error, MF_MEMORY, "token: no memory, or more than %u tokens", EMU_TOKENS_MAX);
    }
    if (token->sequence > state->sequence)
        state->sequence = token->sequence;
    return 0;
}

void emu_token_forget(struct emu_state *state, struct emu_token *token)
{
    emu_table_remove(&state->token_by_hash, hash_key(token));
    emu_table_remove(&state->token_by_id, id_key(token));
}

static void leave_account(struct emu_token *token)
{
    struct emu_account *account = token->account;
    size_t at = 0;
    while (at < account->token_count && account->tokens[at] != token) /* at most 500 */
        at++;
    mf_assert(at < account->token_count);
    memmove(&account->tokens[at], &account->tokens[at + 1], (account->token_count - at - 1) * sizeof(struct emu_token *));
    account->token_count--;
}

void emu_token_delete(struct emu_state *state, struct emu_token *token)
{
    emu_token_forget(state, token);
    if (token->account != NULL) {
        leave_account(token);
        emu_persist_token_delete(state->persist, token);
    }
    emu_token_free(token);
}

struct emu_token *emu_token_of_hash(const struct emu_state *state, const uint8_t hash[EMU_HASH_BYTES])
{
    return emu_table_get(&state->token_by_hash, (struct mf_span){(const char *)hash, EMU_HASH_BYTES});
}

struct emu_token *emu_token_find(const struct emu_state *state, const struct emu_account *account, struct mf_span id)
{
    struct emu_token *token = emu_table_get(&state->token_by_id, id);
    return token != NULL && token->account == account ? token : NULL;
}

int emu_token_roll(struct emu_state *state, struct emu_token *token, struct mf_span value)
{
    emu_table_remove(&state->token_by_hash, hash_key(token));
    emu_sha256(state->identity, value, token->hash);
    token->modified_ms = emu_now(state);
    if (emu_table_put(&state->token_by_hash, hash_key(token), token) < 0)
        return -1;
    emu_token_save(state, token);
    return 0;
}

int emu_token_change(struct emu_state *state, struct emu_token *token, const struct emu_token_spec *spec, struct mf_error *error)
{
    struct emu_policy policy;
    if (emu_policy_compile(&policy, spec->policies, spec->condition, token->account->id, error) < 0)
        return -1;
    if (set_texts(token, spec) < 0) {
        emu_policy_free(&policy);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    emu_policy_free(&token->policy);
    token->policy = policy;
    token->modified_ms = emu_now(state);
    set_times(token, spec);
    emu_token_save(state, token);
    return 0;
}

void emu_token_save(struct emu_state *state, const struct emu_token *token)
{
    if (token->account != NULL)
        emu_persist_token(state->persist, token);
}
