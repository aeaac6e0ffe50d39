/* store/state_private.h - what state.c, runs.c and config.c share */
#ifndef MF_STORE_STATE_PRIVATE_H
#define MF_STORE_STATE_PRIVATE_H

#include "store/state.h"

struct state_dir {
    char *path;       /* owned: absolute, without links */
    int fd;           /* owned: the directory */
    int runs_fd;      /* owned: runs/, -1 while there is none */
    int created_lock; /* owned: the lock of the run that state_run_create made, -1 without one */
};

/* Opens (and with `create` makes) a directory below `parent` that only its owner may change; -1 with *error. */
int state_open_below(int parent, const char *name, bool create, int *out, struct mf_error *error);

#endif
