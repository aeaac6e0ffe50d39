/*
 * core/mutant.h - deliberate faults of the core, so that the simulation can prove that it would notice them
 *
 * Compiled in only with MAYFLY_CRASHPOINTS; otherwise MUTANT(x) is the constant 0. Each name below breaks one rule at one
 * place; tests/sim runs its seeds and stories with each and fails when nobody complains.
 */
#ifndef MF_CORE_MUTANT_H
#define MF_CORE_MUTANT_H

#define CORE_MUTANTS(X)                                                                                                \
    X(NONE, "none")                                                                                                    \
    X(UNKNOWN_IS_ABSENT, "unknown-is-absent")         /* a lost answer counts as `never created` */                    \
    X(BELIEVE_FIRST_FIND, "believe-first-find")       /* the consistency window is not waited out */                   \
    X(FORGET_CREATING, "forget-creating")             /* an account created for a dead attempt is not released */      \
    X(FORGET_ADOPTED, "forget-adopted")               /* only the first of several found accounts is kept */           \
    X(BELIEVE_YOUNG_GONE, "believe-young-gone")       /* a list that does not show it yet counts as gone */            \
    X(NO_READ_BACK, "no-read-back")                   /* the provider's yes to a delete counts as gone */              \
    X(GIVE_UP_AS_GONE, "give-up-as-gone")             /* a delete out of tries counts as gone */                       \
    X(RESTART_FORGETS_CREATES, "restart-forgets-creates") /* CREATING stays CREATING over a restart */                 \
    X(RESTART_KEEPS_ATTEMPTS, "restart-keeps-attempts") /* attempts of a dead process go on */                         \
    X(RELEASE_UNDER_LEASE, "release-under-lease")     /* an account is torn down while a token is out */               \
    X(RELEASE_LENT, "release-lent")                   /* borrowers are not waited for */                               \
    X(REUSE_ACCOUNT, "reuse-account")                 /* the next attempt takes over the old account */                \
    X(VERIFY_EARLY, "verify-early")                   /* verify starts while the agent's token lives */                \
    X(RUNNING_PLUS_ONE, "running-plus-one")           /* limits.running is off by one */                               \
    X(CREATE_UNLIMITED, "create-unlimited")           /* creates ignore the provider's limits */                       \
    X(NO_DEADLINE, "no-deadline")                     /* a running agent has no end */                                 \
    X(NO_KILL, "no-kill")                             /* SIGTERM is never followed by SIGKILL */                       \
    X(RETRY_REFUSED, "retry-refused")                 /* a refusal is tried again */                                   \
    X(LEFT_BLOCKED, "left-blocked")                   /* an edge that cannot hold does not skip */                     \
    X(PERCENT_DOWN, "percent-down")                   /* P % is rounded down */                                        \
    X(FRESH_DICE, "fresh-dice")                       /* the applied back-off is not the recorded one */               \
    X(DROP_FORGOTTEN, "drop-forgotten")               /* leases of a finished stage stay */                            \
    X(RUNNER_DEATH_IGNORED, "runner-death-ignored")   /* stages of a dead runner go on */                              \
    X(VIOLATION_IGNORED, "violation-ignored")         /* `on_violation: stop` does not stop */                         \
    X(BUDGET_IGNORED, "budget-ignored")               /* a task goes on when its budget is used up */                  \
    X(AUDIT_GOES_BACK, "audit-goes-back")             /* an older head of the audit log is journaled */

enum core_mutant {
#define X(mutant, name) CORE_MUTANT_##mutant,
    CORE_MUTANTS(X)
#undef X
    CORE_MUTANT_COUNT
};

#ifdef MAYFLY_CRASHPOINTS
#include <stdint.h>
extern enum core_mutant core_mutant;
extern uint32_t core_test_batch_max; /* at most CORE_BATCH_RECORDS_MAX, at least 149 */
#define MUTANT(mutant) (core_mutant == CORE_MUTANT_##mutant)
#else
#define MUTANT(mutant) 0
#endif

#endif
