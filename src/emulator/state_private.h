/* emulator/state_private.h - what the files of the state share: state.c, account.c, token.c, object.c */
#ifndef MF_EMULATOR_STATE_PRIVATE_H
#define MF_EMULATOR_STATE_PRIVATE_H

#include "base/alloc.h"
#include "emulator/state.h"

/* Frees an account and all that hangs on it without touching tables or the data directory. */
void emu_account_free(struct emu_account *account);
/* Frees all collections of a list with their objects, depth first. */
void emu_collections_free(struct emu_collection *list);
/* Takes an account's objects and tokens out of the tables. */
void emu_collections_forget(struct emu_state *state, struct emu_collection *list);
void emu_token_forget(struct emu_state *state, struct emu_token *token);

/* A terminated copy of a span; the empty span may have no address. */
static inline char *emu_span_dup(struct mf_span span)
{
    return mf_strndup(span.length == 0 ? "" : span.data, span.length);
}

#endif
