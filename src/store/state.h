/*
 * store/state.h - the state directory: found once, opened without following links, locked per run
 *
 * STATE/ key (0600), config, providers/NAME.rate, mirrors/, runs/ID/{run.db, results/, .work/, .emulator/, TASK[/KEY]/ATTEMPT/...}
 */
#ifndef MF_STORE_STATE_H
#define MF_STORE_STATE_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct state_dir;

/* path NULL: $MAYFLY_STATE, $XDG_STATE_HOME/mayfly, ~/.local/state/mayfly. create: makes it (0700). Foreign owner, group or
 * world writable, a link, a network file system: refused with advice (MF_STATE). */
int state_open(struct state_dir **out, const char *path, bool create, struct mf_error *error);
void state_close(struct state_dir *state);
const char *state_path(const struct state_dir *state); /* absolute */

#define STATE_RUN_ID_BYTES 13 /* 12 of [a-z0-9] and a terminator */

/* A new run directory with a random id; *dir_fd is the caller's. The writer's lock is taken too and belongs to `state`: it ends with
 * state_close, so there is no state_run_lock after a state_run_create. */
int state_run_create(struct state_dir *state, char id[STATE_RUN_ID_BYTES], int *dir_fd, struct mf_error *error);
/* An existing one by id, by `--name` or "last". */
int state_run_find(struct state_dir *state, const char *name, char id[STATE_RUN_ID_BYTES], struct mf_error *error);
int state_run_open(struct state_dir *state, const char *id, int *dir_fd, struct mf_error *error);
/* The writer's lock on a run (OFD lock on run.lock), -1 with MF_LOCKED when somebody holds it. Released with state_unlock or at exit. */
int state_run_lock(struct state_dir *state, const char *id, int *lock_fd, struct mf_error *error);
void state_unlock(int lock_fd);
bool state_run_locked(struct state_dir *state, const char *id); /* somebody holds it */
/* Newest first; ends when `each` returns non-zero. */
int state_runs(struct state_dir *state, int (*each)(void *context, const char *id), void *context, struct mf_error *error);
int state_run_remove(struct state_dir *state, const char *id, struct mf_error *error); /* the whole tree, by descriptor */
char *state_run_path(const struct state_dir *state, const char *id, const char *below /* or NULL */); /* mf_free */

/* The config file (JSON): accepted terms and defaults. */
bool state_terms_accepted(const struct state_dir *state, const char *provider);
int state_accept_terms(struct state_dir *state, const char *provider, struct mf_error *error);
char *state_rate_path(const struct state_dir *state, const char *provider); /* mf_free */

/* `--owner`, else the stored one, else 12 hex digits of SHA-256(machine-id || uid); generated and stored without a machine-id.
 * Checks [a-z0-9]{1,24}. */
int state_owner(struct state_dir *state, const char *given, char out[25], bool *generated, struct mf_error *error);
/* The same for a sweep, which also works with the state directory gone (NULL): nothing is generated; MF_USAGE when it is not known. */
int state_owner_known(struct state_dir *state, const char *given, char out[25], struct mf_error *error);

#endif
