/*
 * app/sweep.h - finds and deletes an owner's accounts at a provider, with the state directory gone
 *
 * The provider's list is the only witness: no journal is read and none is written. What happens to a found account is decided by
 * the core, as in any teardown; all that is decided here is which accounts may be touched at all.
 */
#ifndef MF_APP_SWEEP_H
#define MF_APP_SWEEP_H

#include "app/app.h"
#include "app/tag.h"

struct sweep_options {
    const char *provider;   /* a shipped recipe, or a file */
    const char *state_path; /* may name a directory that does not exist */
    const char *owner;      /* NULL: as runs of this machine and user are tagged */
    int64_t older_than_ms;  /* 0: of any age */
    bool dry_run;
    bool allow_base_url, strict_teardown;
    const struct app_pair *credentials;
    uint32_t credential_count;
    const struct app_pair *inputs; /* the recipe's: NAME=VALUE */
    uint32_t input_count;
};

enum sweep_left { /* why an account is not touched */
                  SWEEP_TAKEN,
                  SWEEP_RUN_GOES_ON,
                  SWEEP_TOO_YOUNG,
};

struct sweep_item {
    struct tag tag;
    char *ids;          /* owned JSON object: what delete needs */
    int64_t created_ms; /* epoch; 0: the list does not say it */
    int64_t expires_ms; /* EXPIRING */
    enum sweep_left left;
    enum core_account_state state; /* of one that is taken: RELEASED when it was only listed */
    char reason[200];              /* of the last refusal; "" */
};

struct sweep_result {
    char owner[25];
    struct sweep_item *items; /* owned, in the order in which they were found */
    size_t count, capacity;
    uint32_t gone, expired, expiring, leaked, left;
    uint32_t lists; /* how often the provider was asked for all of them */
    int64_t wall_ms;
    int exit_code;
};

/* -1: nothing was deleted; app_error_exit gives the exit code, or 4 when `out->exit_code` says so (the list did not come). */
int sweep_run(struct sweep_result *out, const struct sweep_options *options, struct mf_error *error);
void sweep_result_free(struct sweep_result *result);

#endif
