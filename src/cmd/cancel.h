/* cmd/cancel.h - what `cancel RUN` and `cancel --all` share */
#ifndef MF_CMD_CANCEL_H
#define MF_CMD_CANCEL_H

#include "app/app.h"
#include "cmd/options.h"
#include "store/state.h"

#define CANCEL_SILENT_MS 5000 /* an orchestrator that says nothing for so long is stuck */

/* Cleans a run that has no orchestrator. `observer` may be NULL. Exit code. */
int cancel_take_over(const struct options *options, const char *state_path, const char *id, const struct app_observer *observer);
/* Kills the orchestrator that the run row names, if it still is that process, and waits for its lock. Exit code. */
int cancel_kill_stuck(struct state_dir *state, const char *id);

/* Every run of this user: the state directory's and those that listen in the runtime directory. Exit code. */
int cancel_all(const struct options *options);

#endif
