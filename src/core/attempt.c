/*
 * attempt.c - the life of one attempt: begin, prepare, provision, spawn, verify, stop, end
 *
 * An attempt goes on in core_attempt_advance whenever something that it may wait for has changed: an account became active, a
 * lease was dropped, the runner came up. Each waiting place has a bound of its own, so that none of them can hold a slot for ever.
 */
#include "core/core_private.h"

/* --- retries --- */

/* Full jitter: uniform between nothing and the exponential bound. */
int64_t core_backoff(struct core *core, uint32_t failures)
{
    int64_t bound_ms = core->limits.backoff_ms_min;
    for (uint32_t f = 1; f < failures && bound_ms < core->limits.backoff_ms_max; f++)
        bound_ms *= 2;
    if (bound_ms > core->limits.backoff_ms_max)
        bound_ms = core->limits.backoff_ms_max;
    return (int64_t)mf_rng_below(&core->rng, (uint64_t)bound_ms + 1);
}

static bool may_retry(const struct core *core, uint32_t n, enum core_class class)
{
    const struct node *node = &core->nodes[n];
    const struct core_profile *profile = core_profile_of(core, n);
    if (core->drain != CORE_DRAIN_NONE)
        return false;
    if (class == CORE_CLASS_INFRASTRUCTURE)
        return node->infrastructure_tries + 1u < core->limits.infrastructure_tries_max;
    bool known = class == CORE_CLASS_AGENT || class == CORE_CLASS_VERIFY || class == CORE_CLASS_TIMEOUT || class == CORE_CLASS_SETUP ||
                 (MUTANT(RETRY_REFUSED) && class == CORE_CLASS_REFUSED);
    bool wanted = (profile->retry_on & 1u << class) != 0 || (MUTANT(RETRY_REFUSED) && class == CORE_CLASS_REFUSED);
    return known && wanted && node->tries + 1u < profile->attempts_max;
}

/* --- the end --- */

void core_attempt_drop(struct core *core, uint32_t node)
{
    if (MUTANT(DROP_FORGOTTEN))
        return;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        const struct hold *hold = core_hold(core, node, s);
        if (hold->lease == 0 || hold->drop_asked)
            continue;
        uint64_t lease = hold->lease;
        uint32_t account = hold->account;
        core_emit(core, CORE_LEASE_DROP, account, (int64_t)lease, 0, 0);
        struct core_command *command = core_command_add(core, CORE_COMMAND_DROP);
        command->account = account;
        command->node = node;
        command->lease = lease;
        command->stage = core->nodes[node].stage;
    }
}

/* A lost attempt of a draining run was cut off by the drain, whatever else it may look like. */
static enum core_record_kind end_record(const struct core *core, uint32_t n, enum core_class class)
{
    if (class == CORE_CLASS_NONE)
        return CORE_TASK_SUCCEEDED;
    if (class == CORE_CLASS_CANCEL || (class == CORE_CLASS_INFRASTRUCTURE && core->drain != CORE_DRAIN_NONE))
        return CORE_TASK_CANCELLED;
    if (may_retry(core, n, class))
        return CORE_TASK_BACKOFF;
    return class == CORE_CLASS_TIMEOUT ? CORE_TASK_TIMED_OUT : CORE_TASK_FAILED;
}

void core_attempt_end(struct core *core, uint32_t n, enum core_class class)
{
    const struct node *node = &core->nodes[n];
    core_attempt_drop(core, n);
    struct core_command finish = {.kind = CORE_COMMAND_FINISH, .node = n, .account = CORE_NONE, .stage = node->stage,
                                  .stage_kind = (enum core_stage)node->stage_kind, .attempt = node->attempt};
    enum core_record_kind kind = end_record(core, n, class);
    int64_t until_ms = 0;
    if (kind == CORE_TASK_BACKOFF) {
        uint32_t failures = 1u + (class == CORE_CLASS_INFRASTRUCTURE ? node->infrastructure_tries : node->tries);
        until_ms = core_after(core->now_ms, core_backoff(core, failures));
    }
    core_emit(core, kind, n, node->attempt, kind == CORE_TASK_SUCCEEDED || kind == CORE_TASK_CANCELLED ? 0 : (int64_t)class, until_ms);
    finish.outcome = (enum core_class)core->nodes[n].class;
    finish.retried = kind == CORE_TASK_BACKOFF;
    *core_command_add(core, CORE_COMMAND_FINISH) = finish;
}

/* --- the beginning --- */

/* Usable now, and for as long as the attempt may still need it. */
static bool outlives(const struct core *core, uint32_t node, const struct account *account, bool verify_only)
{
    const struct core_profile *profile = core_profile_of(core, node);
    if (account->state != CORE_ACCOUNT_STATE_ACTIVE || (account->flags & ACCOUNT_DEAD) != 0)
        return false;
    if (account->expires_ms == 0)
        return true;
    int64_t needed_ms = core->limits.lease_margin_ms + profile->grace_ms;
    if (!verify_only)
        needed_ms = core_after(needed_ms, profile->timeout_ms);
    if (core_task_of(core, node)->verify)
        needed_ms = core_after(needed_ms, profile->verify_timeout_ms);
    return account->expires_ms >= core_after(core->now_ms, needed_ms);
}

enum holds_status { HOLDS_FINE, HOLDS_WAIT, HOLDS_SHORT, HOLDS_DEAD };

/* SHORT: an own account would not live long enough, so new ones are taken. DEAD: a lent one, and nobody may replace it. */
static enum holds_status holds_status(const struct core *core, uint32_t node, bool verify_only)
{
    enum holds_status worst = HOLDS_FINE;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        const struct hold *hold = core_hold(core, node, s);
        bool own = core_slot_of(core, node, s)->lender == CORE_NONE;
        enum holds_status status = HOLDS_FINE;
        if (hold->account == CORE_NONE || core_account_at(core, hold->account)->state == CORE_ACCOUNT_STATE_CREATING)
            status = HOLDS_WAIT;
        else if (!outlives(core, node, core_account_at(core, hold->account), verify_only))
            status = own ? HOLDS_SHORT : HOLDS_DEAD;
        if (status > worst)
            worst = status;
    }
    return worst;
}

static void grant_leases(struct core *core, uint32_t node, enum core_stage stage)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        core_emit(core, CORE_LEASE_GRANT, core_hold(core, node, s)->account, node, stage, 0);
}

/* The stage's intent stands before its commands; a lease names the stage that it is for. */
static void command_spawn(struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        const struct hold *hold = core_hold(core, node, s);
        core_command_task(core, CORE_COMMAND_LEASE, node);
        struct core_command *command = &core->commands[core->batch.command_count - 1];
        command->account = hold->account;
        command->lease = hold->lease;
    }
    core_command_task(core, CORE_COMMAND_SPAWN, node);
}

static void spawn(struct core *core, uint32_t node, uint32_t attempt)
{
    grant_leases(core, node, CORE_STAGE_AGENT);
    core_emit(core, CORE_TASK_SPAWN, node, attempt, CORE_STAGE_AGENT, 0);
    command_spawn(core, node);
}

void core_attempt_begin(struct core *core, uint32_t node)
{
    uint32_t attempt = core->nodes[node].attempt + 1;
    if (core_task_of(core, node)->prepare) {
        core_emit(core, CORE_TASK_PREPARE, node, attempt, 0, 0);
        core_command_task(core, CORE_COMMAND_PREPARE, node);
    } else if (core_slot_count(core, node) > 0) {
        core_emit(core, CORE_TASK_PROVISION, node, attempt, 0, 0);
        core_provision(core, node);
    } else {
        spawn(core, node, attempt);
    }
}

void core_attempt_prepared(struct core *core, uint32_t node)
{
    uint32_t attempt = core->nodes[node].attempt;
    switch (core_lenders(core, node)) {
    case LENDER_FINE:
        break;
    case LENDER_LATER: /* its lender runs again: this attempt prepared for nothing */
        core_attempt_end(core, node, CORE_CLASS_INFRASTRUCTURE);
        return;
    case LENDER_DEAD:
        core_attempt_end(core, node, CORE_CLASS_REFUSED);
        return;
    }
    if (core_slot_count(core, node) > 0) {
        core_emit(core, CORE_TASK_PROVISION, node, attempt, 0, 0);
        core_provision(core, node);
    } else {
        spawn(core, node, attempt);
    }
}

/* --- in between --- */

static bool leases_out(const struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        if (core_hold(core, node, s)->lease != 0)
            return true;
    return false;
}

static void advance_provisioning(struct core *core, uint32_t node)
{
    switch (holds_status(core, node, false)) {
    case HOLDS_FINE:
        if (core->runner_up)
            spawn(core, node, core->nodes[node].attempt);
        break;
    case HOLDS_WAIT:
        break;
    case HOLDS_SHORT:
        core_attempt_end(core, node, CORE_CLASS_INFRASTRUCTURE);
        break;
    case HOLDS_DEAD:
        core_attempt_end(core, node, CORE_CLASS_REFUSED);
        break;
    }
}

/* The agent succeeded: verify begins when its tokens are dead. */
static void advance_to_verify(struct core *core, uint32_t node)
{
    if ((leases_out(core, node) && !MUTANT(VERIFY_EARLY)) || !core->runner_up)
        return;
    enum holds_status status = holds_status(core, node, true);
    if (status != HOLDS_FINE) {
        core_attempt_end(core, node, status == HOLDS_DEAD ? CORE_CLASS_REFUSED : CORE_CLASS_INFRASTRUCTURE);
        return;
    }
    if (MUTANT(VERIFY_EARLY)) /* the grant needs a free place */
        for (uint32_t s = 0; s < core_slot_count(core, node); s++)
            core_hold(core, node, s)->lease = 0;
    grant_leases(core, node, CORE_STAGE_VERIFY);
    core_emit(core, CORE_TASK_VERIFY, node, core->nodes[node].attempt, CORE_STAGE_VERIFY, 0);
    command_spawn(core, node);
}

static bool account_died(const struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        uint32_t account = core_hold(core, node, s)->account;
        if (account != CORE_NONE && (core_account_at(core, account)->flags & ACCOUNT_DEAD) != 0)
            return true;
    }
    return false;
}

void core_attempt_advance(struct core *core, uint32_t n)
{
    struct node *node = &core->nodes[n];
    uint16_t complete = NODE_EXITED | NODE_RESULT;
    if ((node->flags & NODE_LOST) != 0 && MUTANT(RESTART_KEEPS_ATTEMPTS)) {
        node->flags &= (uint16_t)~NODE_LOST;
        return;
    }
    if ((node->flags & NODE_LOST) != 0)
        core_attempt_end(core, n, node->state == CORE_TASK_STATE_STOPPING ? (enum core_class)node->end_class : CORE_CLASS_INFRASTRUCTURE);
    else if (node->state == CORE_TASK_STATE_PROVISIONING)
        advance_provisioning(core, n);
    else if (node->state == CORE_TASK_STATE_RUNNING && (node->flags & complete) == complete)
        advance_to_verify(core, n);
    else if (node->state != CORE_TASK_STATE_STOPPING && account_died(core, n))
        core_attempt_stop(core, n, CORE_STOP_ACCOUNT_DEAD, 1);
}

/* --- stopping --- */

static enum core_class class_without_process(enum core_stop reason)
{
    switch (reason) {
    case CORE_STOP_CANCEL:
        return CORE_CLASS_CANCEL;
    case CORE_STOP_BUDGET:
        return CORE_CLASS_BUDGET;
    case CORE_STOP_VIOLATION:
        return CORE_CLASS_VIOLATION;
    case CORE_STOP_NONE:
    case CORE_STOP_DEADLINE:
    case CORE_STOP_ACCOUNT_DEAD:
        break;
    }
    return CORE_CLASS_INFRASTRUCTURE;
}

static void stop_again(struct core *core, uint32_t n, enum core_stop reason, uint32_t level)
{
    const struct node *node = &core->nodes[n];
    bool harder = level > node->level;
    bool cancels = reason == CORE_STOP_CANCEL && node->stop != CORE_STOP_CANCEL;
    if (!harder && !cancels)
        return;
    enum core_stop why = reason == CORE_STOP_CANCEL ? reason : (enum core_stop)node->stop;
    core_emit(core, CORE_TASK_STOP, n, why, harder ? level : node->level, 0);
    if (harder)
        core_command_task(core, CORE_COMMAND_SIGNAL, n);
}

void core_attempt_stop(struct core *core, uint32_t n, enum core_stop reason, uint32_t level)
{
    const struct node *node = &core->nodes[n];
    uint16_t complete = NODE_EXITED | NODE_RESULT;
    if (node->state == CORE_TASK_STATE_STOPPING) {
        stop_again(core, n, reason, level);
    } else if (node->state == CORE_TASK_STATE_PROVISIONING || (node->flags & complete) == complete) {
        core_attempt_end(core, n, class_without_process(reason));
    } else {
        core_emit(core, CORE_TASK_STOP, n, reason, level, 0);
        core_command_task(core, CORE_COMMAND_SIGNAL, n);
    }
}
