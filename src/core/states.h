/*
 * core/states.h - the two machines and everything that moves them, as lists
 *
 * Enum, names, transition tables, the dot graph (`mayfly show --machine task`) and the "every row was exercised" test are made
 * from these lists and from nothing else.
 *
 *                       +--------------------------- BACKOFF* <------------------------------+
 *                       v                                                                    |
 *   BLOCKED --> READY --+--> PREPARING* --> PROVISIONING --> STARTING* --> RUNNING* --> VERIFYING* --> SUCCEEDED
 *      |          |          (workspace)     (accounts)       (spawn)     (agent)      (verify)
 *      v          v               \________________\_____________\___________\____________/
 *   SKIPPED   EXPANDED (template)                                        |
 *                                                                    STOPPING* --> FAILED TIMED_OUT CANCELLED BACKOFF
 *
 *   CREATING --> ACTIVE --> RELEASED* <--> DELETING --> GONE
 *      |  \                   ^   |           |
 *      |   +--> UNKNOWN* -----+   |           +--> EXPIRING --> EXPIRED
 *      |           |              |           |
 *      +--> ABSENT <              +-----------+--> LEAKED
 *           ACTIVE/RELEASED --> CLAIMABLE --> EXPIRED
 *
 *   * has a deadline
 */
#ifndef MF_CORE_STATES_H
#define MF_CORE_STATES_H

/* state, name, class: OPEN (nothing runs), LIVE (an attempt holds a running slot), FINAL */
#define CORE_TASK_STATES(X)                                                                                            \
    X(BLOCKED, "blocked", OPEN)                                                                                        \
    X(READY, "ready", OPEN)                                                                                            \
    X(PREPARING, "preparing", LIVE)                                                                                    \
    X(PROVISIONING, "provisioning", LIVE)                                                                              \
    X(STARTING, "starting", LIVE)                                                                                      \
    X(RUNNING, "running", LIVE)                                                                                        \
    X(VERIFYING, "verifying", LIVE)                                                                                    \
    X(STOPPING, "stopping", LIVE)                                                                                      \
    X(BACKOFF, "backoff", OPEN)                                                                                        \
    X(EXPANDED, "expanded", OPEN)                                                                                      \
    X(SUCCEEDED, "succeeded", FINAL)                                                                                   \
    X(FAILED, "failed", FINAL)                                                                                         \
    X(TIMED_OUT, "timed_out", FINAL)                                                                                   \
    X(CANCELLED, "cancelled", FINAL)                                                                                   \
    X(SKIPPED, "skipped", FINAL)

/* state, name, class: OPEN (counts against limits.accounts), SETTLED (nothing more for us to do now), FINAL */
#define CORE_ACCOUNT_STATES(X)                                                                                         \
    X(CREATING, "creating", OPEN)                                                                                      \
    X(ACTIVE, "active", OPEN)                                                                                          \
    X(UNKNOWN, "unknown", OPEN)                                                                                        \
    X(RELEASED, "released", OPEN)                                                                                      \
    X(DELETING, "deleting", OPEN)                                                                                      \
    X(GONE, "gone", FINAL)                                                                                             \
    X(ABSENT, "absent", FINAL)                                                                                         \
    X(EXPIRING, "expiring", SETTLED)                                                                                   \
    X(EXPIRED, "expired", FINAL)                                                                                       \
    X(CLAIMABLE, "claimable", SETTLED)                                                                                 \
    X(LEAKED, "leaked", SETTLED)

/* class, name. The list is open: a reader must accept names that it does not know. */
#define CORE_CLASSES(X)                                                                                                \
    X(NONE, "none")                                                                                                    \
    X(AGENT, "agent")                                                                                                  \
    X(VERIFY, "verify")                                                                                                \
    X(TIMEOUT, "timeout")                                                                                              \
    X(SETUP, "setup")                                                                                                  \
    X(INFRASTRUCTURE, "infrastructure")                                                                                \
    X(REFUSED, "refused")                                                                                              \
    X(VIOLATION, "violation")                                                                                          \
    X(BUDGET, "budget")                                                                                                \
    X(CANCEL, "cancel")

#define CORE_STAGES(X) X(NONE, "none") X(PREPARE, "prepare") X(AGENT, "agent") X(VERIFY, "verify")

/* why an attempt is being stopped */
#define CORE_STOPS(X)                                                                                                  \
    X(NONE, "none")                                                                                                    \
    X(DEADLINE, "deadline")                                                                                            \
    X(CANCEL, "cancel")                                                                                                \
    X(VIOLATION, "violation")                                                                                          \
    X(BUDGET, "budget")                                                                                                \
    X(ACCOUNT_DEAD, "account_dead")

/* why a run drains */
#define CORE_DRAINS(X)                                                                                                 \
    X(NONE, "none")                                                                                                    \
    X(SIGNAL, "signal")                                                                                                \
    X(CANCEL, "cancel")                                                                                                \
    X(RUN_TIMEOUT, "run_timeout")                                                                                      \
    X(BUDGET, "budget")                                                                                                \
    X(LEAKS, "leaks")                                                                                                  \
    X(RUNNER, "runner")                                                                                                \
    X(TEARDOWN, "teardown")

/* A fact is a whole number; CLASS, STAGE, STOP, DRAIN are written as their names. */
#define CORE_FACTS(X)                                                                                                  \
    X(ATTEMPT, "attempt")       /* 1-based, goes on over reruns */                                                     \
    X(CLASS, "class")           /* enum core_class */                                                                  \
    X(STAGE, "stage")           /* enum core_stage */                                                                  \
    X(STOP, "stop")             /* enum core_stop */                                                                   \
    X(LEVEL, "level")           /* 1 SIGTERM, 2 SIGKILL */                                                             \
    X(DRAIN, "drain")           /* enum core_drain */                                                                  \
    X(UNTIL_MS, "until_ms")     /* core time */                                                                        \
    X(EXPIRES_MS, "expires_ms") /* core time; 0: never */                                                              \
    X(COUNT, "count")                                                                                                  \
    X(PID, "pid")                                                                                                      \
    X(BIRTH, "birth")           /* start time of /proc/PID/stat */                                                     \
    X(CODE, "code")             /* exit status, -1 when a signal ended it */                                           \
    X(SIGNAL, "signal")                                                                                                \
    X(SLOT, "slot")             /* index in the task's accounts */                                                     \
    X(PROVIDER, "provider")     /* index in the run's providers */                                                     \
    X(TASK, "of")               /* the template of an instance, the task that an account belongs to */                 \
    X(LEASE, "lease")           /* seq of the lease.grant */                                                           \
    X(STEP, "step")                                                                                                    \
    X(GENERATION, "generation") /* of the runner */                                                                    \
    X(STALE, "stale")

/*
 * record, name in the journal, subject (RUN, TASK, ACCOUNT), then up to four facts (NONE pads). A kind may be added; one that
 * exists is never changed: old journals must load.
 */
#define CORE_RECORDS(X)                                                                                                \
    X(RUN_OPENED, "run.opened", RUN, NONE, NONE, NONE, NONE)                                                           \
    X(RUN_RESTARTED, "run.restarted", RUN, NONE, NONE, NONE, NONE)                                                     \
    X(RUN_DRAINING, "run.draining", RUN, DRAIN, LEVEL, NONE, NONE)                                                     \
    X(RUN_SETTLED, "run.settled", RUN, CODE, NONE, NONE, NONE)                                                         \
    X(RUNNER_STARTED, "runner.started", RUN, GENERATION, PID, BIRTH, NONE)                                             \
    X(RUNNER_DIED, "runner.died", RUN, GENERATION, NONE, NONE, NONE)                                                   \
    X(TASK_READY, "task.ready", TASK, NONE, NONE, NONE, NONE)                                                          \
    X(TASK_EXPANDED, "task.expanded", TASK, COUNT, NONE, NONE, NONE)                                                   \
    X(TASK_SKIPPED, "task.skipped", TASK, TASK, NONE, NONE, NONE)                                                      \
    X(TASK_PREPARE, "task.prepare", TASK, ATTEMPT, NONE, NONE, NONE)                                                   \
    X(TASK_PROVISION, "task.provision", TASK, ATTEMPT, NONE, NONE, NONE)                                               \
    X(TASK_SPAWN, "task.spawn", TASK, ATTEMPT, STAGE, NONE, NONE)                                                      \
    X(TASK_STARTED, "task.started", TASK, STAGE, PID, BIRTH, NONE)                                                     \
    X(TASK_EXITED, "task.exited", TASK, STAGE, CODE, SIGNAL, NONE)                                                     \
    X(TASK_VERIFY, "task.verify", TASK, ATTEMPT, STAGE, NONE, NONE)                                                    \
    X(TASK_STOP, "task.stop", TASK, STOP, LEVEL, NONE, NONE)                                                           \
    X(TASK_BACKOFF, "task.backoff", TASK, ATTEMPT, CLASS, UNTIL_MS, NONE)                                              \
    X(TASK_SUCCEEDED, "task.succeeded", TASK, ATTEMPT, NONE, NONE, NONE)                                               \
    X(TASK_FAILED, "task.failed", TASK, ATTEMPT, CLASS, NONE, NONE)                                                    \
    X(TASK_TIMED_OUT, "task.timed_out", TASK, ATTEMPT, CLASS, NONE, NONE)                                              \
    X(TASK_CANCELLED, "task.cancelled", TASK, ATTEMPT, NONE, NONE, NONE)                                               \
    X(TASK_RERUN, "task.rerun", TASK, STALE, NONE, NONE, NONE)                                                         \
    X(TASK_REOPENED, "task.reopened", TASK, STALE, NONE, NONE, NONE)                                                   \
    X(TASK_STALE, "task.stale", TASK, STALE, NONE, NONE, NONE)                                                         \
    X(LEASE_GRANT, "lease.grant", ACCOUNT, TASK, STAGE, NONE, NONE)                                                    \
    X(LEASE_DROP, "lease.drop", ACCOUNT, LEASE, NONE, NONE, NONE)                                                      \
    X(LEASE_DROPPED, "lease.dropped", ACCOUNT, LEASE, NONE, NONE, NONE)                                                \
    X(ACCOUNT_CREATE, "account.create", ACCOUNT, TASK, SLOT, PROVIDER, NONE)                                           \
    X(ACCOUNT_STEP, "account.step", ACCOUNT, STEP, NONE, NONE, NONE)                                                   \
    X(ACCOUNT_CREATED, "account.created", ACCOUNT, EXPIRES_MS, NONE, NONE, NONE)                                       \
    X(ACCOUNT_ABSENT, "account.absent", ACCOUNT, CLASS, UNTIL_MS, NONE, NONE)                                          \
    X(ACCOUNT_UNKNOWN, "account.unknown", ACCOUNT, UNTIL_MS, EXPIRES_MS, NONE, NONE)                                   \
    X(ACCOUNT_FOUND, "account.found", ACCOUNT, NONE, NONE, NONE, NONE)                                                 \
    X(ACCOUNT_ADOPTED, "account.adopted", ACCOUNT, TASK, SLOT, PROVIDER, NONE)                                         \
    X(ACCOUNT_RETRY, "account.retry", ACCOUNT, UNTIL_MS, COUNT, NONE, NONE)                                            \
    X(ACCOUNT_DEAD, "account.dead", ACCOUNT, NONE, NONE, NONE, NONE)                                                   \
    X(ACCOUNT_RELEASED, "account.released", ACCOUNT, NONE, NONE, NONE, NONE)                                           \
    X(ACCOUNT_REVOKE, "account.revoke", ACCOUNT, NONE, NONE, NONE, NONE)                                               \
    X(ACCOUNT_REVOKED, "account.revoked", ACCOUNT, NONE, NONE, NONE, NONE)                                             \
    X(ACCOUNT_DELETE, "account.delete", ACCOUNT, NONE, NONE, NONE, NONE)                                               \
    X(ACCOUNT_DELETED, "account.deleted", ACCOUNT, UNTIL_MS, COUNT, NONE, NONE)                                        \
    X(ACCOUNT_GONE, "account.gone", ACCOUNT, NONE, NONE, NONE, NONE)                                                   \
    X(ACCOUNT_EXPIRING, "account.expiring", ACCOUNT, EXPIRES_MS, NONE, NONE, NONE)                                     \
    X(ACCOUNT_EXPIRED, "account.expired", ACCOUNT, NONE, NONE, NONE, NONE)                                             \
    X(ACCOUNT_CLAIMABLE, "account.claimable", ACCOUNT, EXPIRES_MS, NONE, NONE, NONE)                                   \
    X(ACCOUNT_LEAKED, "account.leaked", ACCOUNT, CLASS, NONE, NONE, NONE)                                              \
    X(TASK_VIOLATION, "task.violation", TASK, ATTEMPT, COUNT, NONE, NONE)                                              \
    X(TASK_ANOMALY, "task.anomaly", TASK, ATTEMPT, COUNT, NONE, NONE)                                                  \
    X(TASK_USAGE, "task.usage", TASK, ATTEMPT, STAGE, NONE, NONE)                                                      \
    X(RUN_ANOMALY, "run.anomaly", RUN, COUNT, NONE, NONE, NONE)                                                        \
    X(RUN_AUDIT, "run.audit", RUN, COUNT, NONE, NONE, NONE)

/*
 * A remark moves no machine: it is legal in every state and has no row. What an agent did wrong may be known only after its end,
 * and what it used is told then. (Records of the run have no rows anyway.)
 */
#define CORE_REMARKS(X) X(TASK_VIOLATION) X(TASK_ANOMALY) X(TASK_USAGE)

/* from, record, to */
#define CORE_TASK_ROWS(X)                                                                                              \
    X(BLOCKED, TASK_READY, READY)                                                                                      \
    X(BLOCKED, TASK_SKIPPED, SKIPPED)                                                                                  \
    X(BLOCKED, TASK_CANCELLED, CANCELLED)                                                                              \
    X(READY, TASK_EXPANDED, EXPANDED) /* template only */                                                              \
    X(READY, TASK_FAILED, FAILED)     /* its list or a value that it needs is missing */                               \
    X(READY, TASK_PREPARE, PREPARING)                                                                                  \
    X(READY, TASK_PROVISION, PROVISIONING)                                                                             \
    X(READY, TASK_SPAWN, STARTING) /* nothing to prepare, no account */                                                \
    X(READY, TASK_CANCELLED, CANCELLED)                                                                                \
    X(PREPARING, TASK_PROVISION, PROVISIONING)                                                                         \
    X(PREPARING, TASK_SPAWN, STARTING)                                                                                 \
    X(PREPARING, TASK_STOP, STOPPING)                                                                                  \
    X(PREPARING, TASK_BACKOFF, BACKOFF)                                                                                \
    X(PREPARING, TASK_FAILED, FAILED)                                                                                  \
    X(PREPARING, TASK_CANCELLED, CANCELLED)                                                                            \
    X(PROVISIONING, TASK_SPAWN, STARTING)                                                                              \
    X(PROVISIONING, TASK_BACKOFF, BACKOFF)                                                                             \
    X(PROVISIONING, TASK_FAILED, FAILED)                                                                               \
    X(PROVISIONING, TASK_CANCELLED, CANCELLED)                                                                         \
    X(STARTING, TASK_STARTED, RUNNING)                                                                                 \
    X(STARTING, TASK_STOP, STOPPING)                                                                                   \
    X(STARTING, TASK_BACKOFF, BACKOFF)                                                                                 \
    X(STARTING, TASK_FAILED, FAILED)                                                                                   \
    X(STARTING, TASK_CANCELLED, CANCELLED)                                                                             \
    X(RUNNING, TASK_EXITED, RUNNING)                                                                                   \
    X(RUNNING, TASK_STOP, STOPPING)                                                                                    \
    X(RUNNING, TASK_VERIFY, VERIFYING)                                                                                 \
    X(RUNNING, TASK_SUCCEEDED, SUCCEEDED)                                                                              \
    X(RUNNING, TASK_BACKOFF, BACKOFF)                                                                                  \
    X(RUNNING, TASK_FAILED, FAILED)                                                                                    \
    X(RUNNING, TASK_CANCELLED, CANCELLED)                                                                              \
    X(VERIFYING, TASK_STARTED, VERIFYING)                                                                              \
    X(VERIFYING, TASK_EXITED, VERIFYING)                                                                               \
    X(VERIFYING, TASK_STOP, STOPPING)                                                                                  \
    X(VERIFYING, TASK_SUCCEEDED, SUCCEEDED)                                                                            \
    X(VERIFYING, TASK_BACKOFF, BACKOFF)                                                                                \
    X(VERIFYING, TASK_FAILED, FAILED)                                                                                  \
    X(VERIFYING, TASK_CANCELLED, CANCELLED)                                                                            \
    X(STOPPING, TASK_STARTED, STOPPING) /* the start crossed the stop */                                               \
    X(STOPPING, TASK_STOP, STOPPING)    /* level 2 */                                                                  \
    X(STOPPING, TASK_EXITED, STOPPING)                                                                                 \
    X(STOPPING, TASK_BACKOFF, BACKOFF)                                                                                 \
    X(STOPPING, TASK_FAILED, FAILED)                                                                                   \
    X(STOPPING, TASK_TIMED_OUT, TIMED_OUT)                                                                             \
    X(STOPPING, TASK_CANCELLED, CANCELLED)                                                                             \
    X(BACKOFF, TASK_READY, READY)                                                                                      \
    X(BACKOFF, TASK_CANCELLED, CANCELLED)                                                                              \
    X(EXPANDED, TASK_STOP, EXPANDED) /* cancel: covers all instances, future ones too */                               \
    X(EXPANDED, TASK_SUCCEEDED, SUCCEEDED)                                                                             \
    X(EXPANDED, TASK_FAILED, FAILED)                                                                                   \
    X(EXPANDED, TASK_CANCELLED, CANCELLED)                                                                             \
    X(SUCCEEDED, TASK_EXPANDED, EXPANDED) /* an instance runs again */                                                 \
    X(FAILED, TASK_EXPANDED, EXPANDED)                                                                                 \
    X(CANCELLED, TASK_EXPANDED, EXPANDED)                                                                              \
    X(SUCCEEDED, TASK_RERUN, READY)                                                                                    \
    X(FAILED, TASK_RERUN, READY)                                                                                       \
    X(TIMED_OUT, TASK_RERUN, READY)                                                                                    \
    X(CANCELLED, TASK_RERUN, READY)                                                                                    \
    X(SKIPPED, TASK_RERUN, READY)                                                                                      \
    X(SUCCEEDED, TASK_REOPENED, BLOCKED)                                                                               \
    X(FAILED, TASK_REOPENED, BLOCKED)                                                                                  \
    X(TIMED_OUT, TASK_REOPENED, BLOCKED)                                                                               \
    X(CANCELLED, TASK_REOPENED, BLOCKED)                                                                               \
    X(SKIPPED, TASK_REOPENED, BLOCKED)                                                                                 \
    X(SUCCEEDED, TASK_STALE, SUCCEEDED)                                                                                \
    X(FAILED, TASK_STALE, FAILED)                                                                                      \
    X(TIMED_OUT, TASK_STALE, TIMED_OUT)

/* from, record, to. NEW is the state before the first record. */
#define CORE_ACCOUNT_ROWS(X)                                                                                           \
    X(NEW, ACCOUNT_CREATE, CREATING)                                                                                   \
    X(NEW, ACCOUNT_ADOPTED, RELEASED) /* find returned more than one */                                                \
    X(CREATING, ACCOUNT_STEP, CREATING)                                                                                \
    X(CREATING, ACCOUNT_CREATED, ACTIVE)                                                                               \
    X(CREATING, ACCOUNT_ABSENT, ABSENT)                                                                                \
    X(CREATING, ACCOUNT_UNKNOWN, UNKNOWN)                                                                              \
    X(CREATING, ACCOUNT_RELEASED, RELEASED) /* an id is recorded, the rest did not succeed */                          \
    X(UNKNOWN, ACCOUNT_RETRY, UNKNOWN)                                                                                 \
    X(UNKNOWN, ACCOUNT_FOUND, RELEASED)                                                                                \
    X(UNKNOWN, ACCOUNT_ABSENT, ABSENT)                                                                                 \
    X(UNKNOWN, ACCOUNT_EXPIRING, EXPIRING)                                                                             \
    X(UNKNOWN, ACCOUNT_EXPIRED, EXPIRED)                                                                               \
    X(UNKNOWN, ACCOUNT_LEAKED, LEAKED)                                                                                 \
    X(ACTIVE, LEASE_GRANT, ACTIVE)                                                                                     \
    X(ACTIVE, LEASE_DROP, ACTIVE)                                                                                      \
    X(ACTIVE, LEASE_DROPPED, ACTIVE)                                                                                   \
    X(ACTIVE, ACCOUNT_DEAD, ACTIVE) /* expired or refused: over as soon as its leases are dropped */                   \
    X(ACTIVE, ACCOUNT_RELEASED, RELEASED)                                                                              \
    X(ACTIVE, ACCOUNT_CLAIMABLE, CLAIMABLE)                                                                            \
    X(RELEASED, ACCOUNT_REVOKE, RELEASED)                                                                              \
    X(RELEASED, ACCOUNT_REVOKED, RELEASED)                                                                             \
    X(RELEASED, ACCOUNT_RETRY, RELEASED)                                                                               \
    X(RELEASED, ACCOUNT_DELETE, DELETING)                                                                              \
    X(RELEASED, ACCOUNT_EXPIRING, EXPIRING)                                                                            \
    X(RELEASED, ACCOUNT_EXPIRED, EXPIRED)                                                                              \
    X(RELEASED, ACCOUNT_LEAKED, LEAKED)                                                                                \
    X(DELETING, ACCOUNT_DELETED, DELETING) /* the provider said yes; read back at UNTIL_MS */                          \
    X(DELETING, ACCOUNT_RETRY, RELEASED)                                                                               \
    X(DELETING, ACCOUNT_GONE, GONE)                                                                                    \
    X(DELETING, ACCOUNT_EXPIRING, EXPIRING)                                                                            \
    X(DELETING, ACCOUNT_EXPIRED, EXPIRED)                                                                              \
    X(DELETING, ACCOUNT_LEAKED, LEAKED)                                                                                \
    X(EXPIRING, ACCOUNT_EXPIRED, EXPIRED)                                                                              \
    X(CLAIMABLE, ACCOUNT_EXPIRED, EXPIRED)                                                                             \
    X(CLAIMABLE, ACCOUNT_RETRY, RELEASED) /* teardown --include-kept */                                                \
    X(LEAKED, ACCOUNT_RETRY, RELEASED)    /* a later teardown tries again */                                           \
    X(LEAKED, ACCOUNT_UNKNOWN, UNKNOWN)   /* the same without a known id: it is searched again */

/* command, name: a side effect for the shell to start after the commit */
#define CORE_COMMANDS(X)                                                                                               \
    X(EXPAND, "expand")   /* evaluate a template's list; answer EXPANDED or EXPAND_FAILED */                           \
    X(PREPARE, "prepare") /* workspace; answer PREPARED or PREPARE_FAILED */                                           \
    X(CREATE, "create")   /* answer CREATE_*; account.step in between */                                               \
    X(FIND, "find")       /* by tag; answer FOUND, NOT_FOUND or FIND_RETRY; no effect */                               \
    X(LEASE, "lease")     /* hand the credential to the runner; no answer: a lost lease makes SPAWN fail */            \
    X(SPAWN, "spawn")     /* answer STARTED or SPAWN_FAILED, then EXITED, then RESULT */                               \
    X(SIGNAL, "signal")   /* level 1 SIGTERM, 2 SIGKILL to the whole tree of the stage */                              \
    X(DROP, "drop")       /* answer DROPPED */                                                                         \
    X(FINISH, "finish")   /* an attempt is over: its workspace may go; no answer */                                    \
    X(REVOKE, "revoke")   /* answer REVOKED or REVOKE_RETRY */                                                         \
    X(DELETE, "delete")   /* answer DELETED, GONE, SWEPT or DELETE_RETRY */                                            \
    X(CHECK, "check")     /* read back; answer GONE, STILL_THERE or CHECK_RETRY; no effect */                          \
    X(RUNNER, "runner")   /* start a (new) runner; answer RUNNER_UP or RUNNER_DIED */

#endif
