/* cmd/cancel_private.h - one run of an emergency stop: what there was, what is left, and when */
#ifndef MF_CMD_CANCEL_PRIVATE_H
#define MF_CMD_CANCEL_PRIVATE_H

#include "cmd/read.h"

struct tally {
    uint32_t processes; /* agents that have a process */
    uint32_t tokens;    /* accounts whose token works, or may work */
    uint32_t leaked;    /* whose token could not be revoked */
    uint32_t expiring;  /* whose token works until its end of life: the provider revokes none */
};

struct target {
    char id[STATE_RUN_ID_BYTES];
    struct state_dir *state; /* owned when `foreign` */
    bool foreign;
    char socket[256];
    struct reader reader;
    bool open;  /* `reader` is */
    bool asked; /* its orchestrator said yes */
    bool taken_over;
    bool counted; /* `before` is what there was when it was decided */
    bool over;
    struct tally before, after;
    int64_t asked_ms; /* since the call, when it said yes */
    int64_t decided_at_ms, exited_at_ms,
        died_at_ms; /* its own clock: the decision, the last exit, the last token's end */
    int64_t ended_ms,
        dead_ms; /* since the call, when the last process had ended and the last token was dead; -1: not yet */
    int code;
};

static inline bool cancel_concerned(const struct target *target)
{
    return target->asked || target->taken_over;
}

/* --- cancel_print.c --- */
void cancel_print_text(const char *what, const struct target *target);
int cancel_print_json(const struct target *targets, size_t count, const struct target *sum, size_t runs); /* exit code */

#endif
