/* apply_task.c - what the records of a task mean */
#include "core/core_private.h"

static void set_deadline(struct core *core, uint32_t node, int64_t at_ms)
{
    mf_heap_set(&core->node_heap, node, at_ms);
}

/* A limit of 0 is none. */
static int64_t limit_end(int64_t at_ms, int64_t limit_ms)
{
    return limit_ms > 0 ? core_after(at_ms, limit_ms) : CORE_NEVER;
}

static void stage_begin(struct core *core, const struct core_record *record, enum core_stage kind, int64_t deadline_ms)
{
    struct node *node = &core->nodes[record->node];
    node->stage = record->seq;
    node->stage_kind = (uint8_t)kind;
    node->flags &= (uint16_t)~NODE_STAGE_FLAGS;
    node->exit_class = node->result_class = CORE_CLASS_NONE;
    set_deadline(core, record->node, deadline_ms);
}

static void stage_clear(struct core *core, uint32_t n)
{
    struct node *node = &core->nodes[n];
    node->stage = 0;
    node->stage_kind = CORE_STAGE_NONE;
    node->flags &= (uint16_t)~NODE_STAGE_FLAGS;
    set_deadline(core, n, CORE_NEVER);
}

static void give_back(struct core *core, uint32_t account)
{
    core_account_at(core, account)->borrowers--;
    core_notice_account(core, account);
}

/* The accounts that the node held are nobody's now. Own slots of a live attempt without account still held a reservation. */
static void release_holds(struct core *core, uint32_t node, bool live)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        struct hold *hold = core_hold(core, node, s);
        bool own = core_slot_of(core, node, s)->lender == CORE_NONE;
        if (own && hold->account == CORE_NONE && live)
            core->slots_reserved--;
        if (own && hold->account != CORE_NONE) {
            core_notice_account(core, hold->account);
            if (MUTANT(REUSE_ACCOUNT) && core->nodes[node].state == CORE_TASK_STATE_BACKOFF && core_account_at(core, hold->account)->state == CORE_ACCOUNT_STATE_ACTIVE)
                continue;
        }
        if (!own && hold->account != CORE_NONE)
            give_back(core, hold->account);
        *hold = (struct hold){.account = CORE_NONE};
    }
}

static void attempt_begin(struct core *core, uint32_t n, int64_t attempt)
{
    struct node *node = &core->nodes[n];
    node->attempt = (uint32_t)attempt;
    node->stop = CORE_STOP_NONE;
    node->level = 0;
    node->end_class = CORE_CLASS_NONE;
    node->violations = node->anomalies = 0;
    node->flags &= (uint16_t)~NODE_PROVISION_FAILED;
    core->slots_reserved += core_own_slots(core, n);
}

static void attempt_over(struct core *core, uint32_t n, int from)
{
    release_holds(core, n, core_task_group((enum core_task_state)from) == GROUP_LIVE);
    stage_clear(core, n);
}

static void task_ready(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    set_deadline(core, record->node, CORE_NEVER);
    if (core_is_template(core, record->node) || core->drain != CORE_DRAIN_NONE)
        core_notice_node(core, record->node);
    else
        core_ready_push(core, record->node);
}

static void new_list(struct core *core, const struct core_record *record)
{
    uint32_t row = (uint32_t)core->expansion_count++;
    uint32_t count = (uint32_t)record->facts[0];
    core->expansions[row] = (struct expansion){.task = record->node, .first = core->node_count, .count = count};
    core->nodes[record->node].detail = row;
    core_nodes_add(core, count, row, record->at_ms);
    for (uint32_t i = 0; i < count; i++)
        core_notice_node(core, core->expansions[row].first + i);
}

/* The template runs again with the list that it has: each instance will. */
static void same_list(struct core *core, struct expansion *list)
{
    list->succeeded = list->failed = list->cancelled = list->ended = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        core->nodes[list->first + i].flags |= NODE_WANT_RERUN;
        core_notice_node(core, list->first + i);
    }
}

static void task_expanded(struct core *core, const struct core_record *record, int from)
{
    struct node *node = &core->nodes[record->node];
    node->stop = CORE_STOP_NONE;
    if (node->detail == CORE_NONE)
        new_list(core, record);
    else if (from == CORE_TASK_STATE_READY)
        same_list(core, &core->expansions[node->detail]);
    core_edges_update(core, record->node);
    core_notice_node(core, record->node); /* the list may be empty */
}

static void task_prepare(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    attempt_begin(core, record->node, record->facts[0]);
    stage_begin(core, record, CORE_STAGE_PREPARE, limit_end(record->at_ms, core_profile_of(core, record->node)->prepare_timeout_ms));
}

static void task_provision(struct core *core, const struct core_record *record, int from)
{
    if (from == CORE_TASK_STATE_READY)
        attempt_begin(core, record->node, record->facts[0]);
    stage_clear(core, record->node);
    for (uint32_t s = 0; s < core_slot_count(core, record->node); s++) {
        const struct core_slot *slot = core_slot_of(core, record->node, s);
        struct hold *hold = core_hold(core, record->node, s);
        if (slot->lender == CORE_NONE) {
            hold->again_ms = record->at_ms;
            continue;
        }
        hold->account = core_hold(core, slot->lender, slot->lender_slot)->account;
        core_account_at(core, hold->account)->borrowers++;
    }
}

static void task_spawn(struct core *core, const struct core_record *record, int from)
{
    if (from == CORE_TASK_STATE_READY)
        attempt_begin(core, record->node, record->facts[0]);
    stage_begin(core, record, CORE_STAGE_AGENT, core_after(record->at_ms, core->limits.start_wait_ms));
}

static void task_started(struct core *core, const struct core_record *record, int from)
{
    struct node *node = &core->nodes[record->node];
    node->flags |= NODE_STARTED;
    if (from == CORE_TASK_STATE_STOPPING)
        return;
    const struct core_profile *profile = core_profile_of(core, record->node);
    bool verify = node->stage_kind == CORE_STAGE_VERIFY;
    set_deadline(core, record->node, MUTANT(NO_DEADLINE) ? CORE_NEVER : limit_end(record->at_ms, verify ? profile->verify_timeout_ms : profile->timeout_ms));
}

/* Exit status 75 (EX_TEMPFAIL) is an agent's way to say: not my fault. */
static enum core_class class_of_exit(enum core_stage stage, int64_t code, int64_t signal)
{
    if (code == 0 && signal == 0)
        return CORE_CLASS_NONE;
    if (stage == CORE_STAGE_VERIFY)
        return CORE_CLASS_VERIFY;
    return code == 75 && signal == 0 ? CORE_CLASS_INFRASTRUCTURE : CORE_CLASS_AGENT;
}

static void task_exited(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct node *node = &core->nodes[record->node];
    node->flags |= NODE_EXITED;
    node->exit_class = (uint8_t)class_of_exit((enum core_stage)node->stage_kind, record->facts[1], record->facts[2]);
    set_deadline(core, record->node, core_after(core_after(record->at_ms, core->limits.kill_wait_ms), core->limits.collect_wait_ms));
}

static void task_verify(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    stage_begin(core, record, CORE_STAGE_VERIFY, core_after(record->at_ms, core->limits.start_wait_ms));
}

static bool borrows_a_dead_account(const struct core *core, uint32_t node)
{
    for (uint32_t s = 0; s < core_slot_count(core, node); s++) {
        uint32_t account = core_hold(core, node, s)->account;
        bool borrowed = core_slot_of(core, node, s)->lender != CORE_NONE;
        if (borrowed && account != CORE_NONE && (core_account_at(core, account)->flags & ACCOUNT_DEAD) != 0)
            return true;
    }
    return false;
}

/* What an attempt that is stopped in a state and for a reason ends as. */
static enum core_class class_of_stop(const struct core *core, uint32_t node, int from, enum core_stop stop)
{
    switch (stop) {
    case CORE_STOP_CANCEL:
        return CORE_CLASS_CANCEL;
    case CORE_STOP_VIOLATION:
        return CORE_CLASS_VIOLATION;
    case CORE_STOP_BUDGET:
        return CORE_CLASS_BUDGET;
    case CORE_STOP_ACCOUNT_DEAD:
        return borrows_a_dead_account(core, node) ? CORE_CLASS_REFUSED : CORE_CLASS_INFRASTRUCTURE;
    case CORE_STOP_DEADLINE:
        if (from == CORE_TASK_STATE_PREPARING)
            return CORE_CLASS_SETUP;
        return from == CORE_TASK_STATE_RUNNING ? CORE_CLASS_TIMEOUT : CORE_CLASS_INFRASTRUCTURE;
    case CORE_STOP_NONE:
        break;
    }
    return CORE_CLASS_INFRASTRUCTURE;
}

/* Cancel of a template: a mark for all its instances. */
static void stop_template(struct core *core, uint32_t template)
{
    core->nodes[template].stop = CORE_STOP_CANCEL;
    const struct expansion *list = &core->expansions[core->nodes[template].detail];
    for (uint32_t i = 0; i < list->count; i++)
        core_notice_node(core, list->first + i);
}

static void task_stop(struct core *core, const struct core_record *record, int from)
{
    struct node *node = &core->nodes[record->node];
    enum core_stop stop = (enum core_stop)record->facts[0];
    uint8_t level = (uint8_t)record->facts[1];
    if (from == CORE_TASK_STATE_EXPANDED) {
        stop_template(core, record->node);
        return;
    }
    if (from != CORE_TASK_STATE_STOPPING || stop == CORE_STOP_CANCEL)
        node->end_class = (uint8_t)class_of_stop(core, record->node, from, stop);
    node->stop = (uint8_t)stop;
    if (from == CORE_TASK_STATE_STOPPING && level == node->level)
        return;
    node->level = level;
    int64_t wait_ms = level > 1 ? core->limits.kill_wait_ms : core_profile_of(core, record->node)->grace_ms;
    set_deadline(core, record->node, MUTANT(NO_KILL) && level == 1 ? CORE_NEVER : core_after(record->at_ms, wait_ms));
}

static void task_backoff(struct core *core, const struct core_record *record, int from)
{
    struct node *node = &core->nodes[record->node];
    node->class = (uint8_t)record->facts[1];
    if (node->class == CORE_CLASS_INFRASTRUCTURE)
        node->infrastructure_tries = core_one_more(node->infrastructure_tries);
    else if (node->tries < UINT16_MAX)
        node->tries++;
    attempt_over(core, record->node, from);
    set_deadline(core, record->node, record->facts[2] + (MUTANT(FRESH_DICE) ? (int64_t)mf_rng_below(&core->rng, 1000) : 0));
}

static void task_succeeded(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->nodes[record->node].class = CORE_CLASS_NONE;
    stage_clear(core, record->node);
    for (uint32_t s = 0; s < core_slot_count(core, record->node); s++) {
        struct hold *hold = core_hold(core, record->node, s);
        hold->lease = 0;
        if (core_slot_of(core, record->node, s)->lender == CORE_NONE) {
            core_notice_account(core, hold->account);
        } else {
            give_back(core, hold->account);
            hold->account = CORE_NONE;
        }
    }
}

static void task_failed(struct core *core, const struct core_record *record, int from)
{
    struct node *node = &core->nodes[record->node];
    node->class = (uint8_t)record->facts[1];
    if (from == CORE_TASK_STATE_PROVISIONING)
        node->flags |= NODE_PROVISION_FAILED;
    attempt_over(core, record->node, from);
}

static void task_cancelled(struct core *core, const struct core_record *record, int from)
{
    core->nodes[record->node].class = CORE_CLASS_CANCEL;
    attempt_over(core, record->node, from);
}

static void begin_again(struct core *core, const struct core_record *record)
{
    struct node *node = &core->nodes[record->node];
    node->class = CORE_CLASS_NONE;
    node->stop = CORE_STOP_NONE;
    node->level = 0;
    node->tries = node->infrastructure_tries = 0;
    node->flags &= (uint16_t)~(NODE_STALE | NODE_WANT_RERUN | NODE_WANT_REOPEN | NODE_WANT_STALE | NODE_REOPEN_STALE | NODE_WANT_LEND | NODE_PROVISION_FAILED);
    release_holds(core, record->node, false);
    core_mark_dependents(core, core_task_index(core, record->node), record->facts[0] != 0);
}

static void task_rerun(struct core *core, const struct core_record *record, int from)
{
    begin_again(core, record);
    task_ready(core, record, from);
}

/* The old list of a template is history: it will be asked for again. */
static void forget_list(struct core *core, struct node *template)
{
    const struct expansion *list = &core->expansions[template->detail];
    for (uint32_t i = list->first; i < list->first + list->count; i++) {
        core->node_totals[core->nodes[i].state]--;
        core->nodes[i].flags |= NODE_SUPERSEDED;
        core->nodes[i].flags &= (uint16_t)~(NODE_WANT_RERUN | NODE_WANT_REOPEN | NODE_WANT_STALE | NODE_WANT_LEND);
        release_holds(core, i, false);
    }
    template->detail = CORE_NONE;
}

static void task_reopened(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    begin_again(core, record);
    if (core_is_template(core, record->node) && core->nodes[record->node].detail != CORE_NONE)
        forget_list(core, &core->nodes[record->node]);
    core_notice_node(core, record->node);
}

static void task_stale(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    struct node *node = &core->nodes[record->node];
    node->flags = (uint16_t)((node->flags & ~(NODE_WANT_STALE | NODE_STALE)) | (record->facts[0] != 0 ? NODE_STALE : 0));
    if (record->facts[0] != 0)
        core_mark_dependents(core, core_task_index(core, record->node), true);
}

static void task_violation(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->nodes[record->node].violations = (uint16_t)(record->facts[1] < UINT16_MAX ? record->facts[1] : UINT16_MAX);
}

static void task_anomaly(struct core *core, const struct core_record *record, int from)
{
    (void)from;
    core->nodes[record->node].anomalies = (uint16_t)(record->facts[1] < UINT16_MAX ? record->facts[1] : UINT16_MAX);
}

core_detail *core_task_detail(enum core_record_kind kind)
{
    static core_detail *const details[CORE_RECORD_COUNT] = {
        [CORE_TASK_READY] = task_ready,         [CORE_TASK_EXPANDED] = task_expanded,   [CORE_TASK_PREPARE] = task_prepare,
        [CORE_TASK_PROVISION] = task_provision, [CORE_TASK_SPAWN] = task_spawn,         [CORE_TASK_STARTED] = task_started,
        [CORE_TASK_EXITED] = task_exited,       [CORE_TASK_VERIFY] = task_verify,       [CORE_TASK_STOP] = task_stop,
        [CORE_TASK_BACKOFF] = task_backoff,     [CORE_TASK_SUCCEEDED] = task_succeeded, [CORE_TASK_FAILED] = task_failed,
        [CORE_TASK_TIMED_OUT] = task_failed,    [CORE_TASK_CANCELLED] = task_cancelled, [CORE_TASK_RERUN] = task_rerun,
        [CORE_TASK_REOPENED] = task_reopened,   [CORE_TASK_STALE] = task_stale,         [CORE_TASK_VIOLATION] = task_violation,
        [CORE_TASK_ANOMALY] = task_anomaly,
    };
    return details[kind];
}
