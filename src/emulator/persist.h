/*
 * emulator/persist.h - the data directory: SQLite, written through, one commit per request
 *
 * Changes collect in a transaction that emu_persist_commit ends before the answer goes out. The process may be killed at any
 * moment (the kernel has the pages); a power failure may lose the last seconds, which is fine for an emulator. All calls
 * take NULL: then nothing is kept.
 */
#ifndef MF_EMULATOR_PERSIST_H
#define MF_EMULATOR_PERSIST_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct emu_persist;
struct emu_state;
struct emu_account;
struct emu_token;
struct emu_object;

/* Opens or makes the database in a directory (made with mode 0700 when it is missing) and locks it for this process. */
int emu_persist_open(struct emu_persist **out, const char *directory, struct mf_error *error);
void emu_persist_close(struct emu_persist *persist);
/* Reads everything into a new state. */
int emu_persist_load(struct emu_persist *persist, struct emu_state *state, struct mf_error *error);
/* Ends the transaction of the request; -1 when any write since the last commit failed. */
int emu_persist_commit(struct emu_persist *persist);

/* Small values that outlive the process: the instance's id, its port. `out` is left alone when the key is not there. */
bool emu_persist_get(struct emu_persist *persist, const char *key, char *out, size_t out_bytes);
void emu_persist_set(struct emu_persist *persist, const char *key, struct mf_span value);
/* Calls `each` for every key that begins with a prefix; stops and returns -1 when it does. */
int emu_persist_each(struct emu_persist *persist, const char *prefix, int (*each)(void *context, const char *key, struct mf_span value), void *context);

void emu_persist_account(struct emu_persist *persist, const struct emu_account *account);
void emu_persist_account_delete(struct emu_persist *persist, const struct emu_account *account);
void emu_persist_token(struct emu_persist *persist, const struct emu_token *token);
void emu_persist_token_delete(struct emu_persist *persist, const struct emu_token *token);
void emu_persist_object(struct emu_persist *persist, const struct emu_object *object);
void emu_persist_object_delete(struct emu_persist *persist, const struct emu_object *object);

#endif
