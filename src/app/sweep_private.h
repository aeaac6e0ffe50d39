/* app/sweep_private.h - the parts of a sweep, shared by sweep.c and sweep_fleet.c (private to app/) */
#ifndef MF_APP_SWEEP_PRIVATE_H
#define MF_APP_SWEEP_PRIVATE_H

#include "app/app_private.h"
#include "app/sweep.h"

struct sweep {
    const struct sweep_options *options;
    struct sweep_result *result;
    struct state_dir *state; /* NULL: gone, or never there */
    struct app_provider provider;
    struct net_loop *loop;
    struct net_client *client;
    struct provision *provision;
    int64_t base_ms, start_ms; /* core time = base + (boot time - start) */
    /* of the list in hand */
    size_t added; /* accounts that no earlier list had */
    bool listed;
    char reason[200]; /* why it did not come */
    /* of the accounts in hand: core account n is item taken[n - 1] */
    struct core *core;
    size_t *taken;             /* owned */
    struct core_input *inputs; /* owned: told while the core was being stepped */
    size_t input_count, input_capacity;
    bool stepping;
};

int64_t sweep_now(const struct sweep *sweep);
/* Deletes and reads back the accounts from `first` on that are taken; their states say how it ended. */
int sweep_fleet(struct sweep *sweep, size_t first, struct mf_error *error);

#endif
