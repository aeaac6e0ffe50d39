/* decide_task.c - inputs about tasks, deadlines of tasks, and what a task in the attention queue needs */
#include "core/core_private.h"

/* --- when its time has come --- */

static void stage_due(struct core *core, uint32_t node)
{
    if ((core->nodes[node].flags & NODE_EXITED) != 0) /* the result never came, or what follows it cannot begin */
        core_attempt_end(core, node, CORE_CLASS_INFRASTRUCTURE);
    else
        core_attempt_stop(core, node, CORE_STOP_DEADLINE, 1);
}

static void stopping_due(struct core *core, uint32_t n)
{
    const struct node *node = &core->nodes[n];
    if ((node->flags & NODE_EXITED) != 0 || node->level > 1)
        core_attempt_end(core, n, (enum core_class)node->end_class);
    else
        core_attempt_stop(core, n, (enum core_stop)node->stop, 2);
}

void core_node_due(struct core *core, uint32_t node)
{
    mf_heap_remove(&core->node_heap, node);
    switch (core->nodes[node].state) {
    case CORE_TASK_STATE_PREPARING:
    case CORE_TASK_STATE_STARTING:
    case CORE_TASK_STATE_RUNNING:
    case CORE_TASK_STATE_VERIFYING:
        stage_due(core, node);
        break;
    case CORE_TASK_STATE_STOPPING:
        stopping_due(core, node);
        break;
    case CORE_TASK_STATE_PROVISIONING:
        core_provision(core, node);
        break;
    case CORE_TASK_STATE_BACKOFF:
        core_emit(core, CORE_TASK_READY, node, 0, 0, 0);
        break;
    default:
        break;
    }
}

/* --- attention --- */

static bool is_cancelled(const struct core *core, uint32_t node)
{
    if (core->drain != CORE_DRAIN_NONE)
        return true;
    return node >= core->graph->task_count && core->nodes[core_task_index(core, node)].stop == CORE_STOP_CANCEL;
}

static void cancel_node(struct core *core, uint32_t n)
{
    const struct node *node = &core->nodes[n];
    switch (core_task_group(node->state)) {
    case GROUP_LIVE:
        core_attempt_stop(core, n, CORE_STOP_CANCEL, core->drain_level > 1 ? 2 : 1);
        break;
    case GROUP_OPEN:
        if (node->state == CORE_TASK_STATE_EXPANDED) {
            if (node->stop != CORE_STOP_CANCEL)
                core_emit(core, CORE_TASK_STOP, n, CORE_STOP_CANCEL, 1, 0);
            break;
        }
        core->expanding -= (node->flags & NODE_ASKED) != 0;
        core->nodes[n].flags &= (uint16_t)~NODE_ASKED;
        core_emit(core, CORE_TASK_CANCELLED, n, node->attempt, 0, 0);
        break;
    case GROUP_SETTLED:
    case GROUP_FINAL:
        break;
    }
}

static uint32_t first_dead_source(const struct core *core, uint32_t task)
{
    const struct core_task *item = &core->graph->tasks[task];
    for (uint32_t e = item->edge_first; e < item->edge_first + item->edge_count; e++)
        if (core->edge_status[e] == EDGE_DEAD)
            return core->graph->edges[e].from;
    return CORE_NONE;
}

static void decide_blocked(struct core *core, uint32_t node)
{
    bool instance = node >= core->graph->task_count; /* has no edges of its own */
    if (!instance && core->dead[node] > 0 && !MUTANT(LEFT_BLOCKED))
        core_emit(core, CORE_TASK_SKIPPED, node, first_dead_source(core, node), 0, 0);
    else if (instance || core->unmet[node] == 0)
        core_emit(core, CORE_TASK_READY, node, 0, 0, 0);
}

static void decide_ready(struct core *core, uint32_t n)
{
    struct node *node = &core->nodes[n];
    if (!core_is_template(core, n)) {
        core_ready_push(core, n);
        return;
    }
    if (node->detail != CORE_NONE) { /* runs again with the list that it has */
        core_emit(core, CORE_TASK_EXPANDED, n, core->expansions[node->detail].count, 0, 0);
    } else if ((node->flags & NODE_ASKED) == 0) {
        node->flags |= NODE_ASKED;
        core->expanding++;
        core_command_task(core, CORE_COMMAND_EXPAND, n);
    }
}

static void decide_expanded(struct core *core, uint32_t n)
{
    const struct expansion *list = &core->expansions[core->nodes[n].detail];
    if (list->ended < list->count)
        return;
    uint32_t attempt = core->nodes[n].attempt;
    if (list->failed > 0)
        core_emit(core, CORE_TASK_FAILED, n, attempt, CORE_CLASS_NONE, 0);
    else if (list->cancelled > 0)
        core_emit(core, CORE_TASK_CANCELLED, n, attempt, 0, 0);
    else
        core_emit(core, CORE_TASK_SUCCEEDED, n, attempt, 0, 0);
}

/* Lenders whose accounts are gone run again before a borrower does. The mark makes a chain of lenders a loop, not a recursion. */
static void want_lenders(struct core *core, uint32_t node)
{
    const struct core_task *task = core_task_of(core, node);
    for (uint32_t s = task->slot_first; s < task->slot_first + task->slot_count; s++) {
        uint32_t lender = core->graph->slots[s].lender;
        if (lender == CORE_NONE || !core_is_final(core, lender))
            continue;
        core->nodes[lender].flags |= NODE_WANT_LEND;
        core_notice_node(core, lender);
    }
}

static bool account_lendable(const struct core *core, uint32_t account)
{
    if (account == CORE_NONE)
        return false;
    const struct account *item = core_account_at(core, account);
    return item->state == CORE_ACCOUNT_STATE_ACTIVE && (item->flags & ACCOUNT_DEAD) == 0;
}

static bool must_lend_again(const struct core *core, uint32_t node)
{
    if (node >= core->graph->task_count || core_is_template(core, node) || core->nodes[node].state != CORE_TASK_STATE_SUCCEEDED)
        return false;
    for (uint32_t s = 0; s < core_slot_count(core, node); s++)
        if (core->slot_borrowers[core_task_of(core, node)->slot_first + s] > 0 && !account_lendable(core, core_hold(core, node, s)->account))
            return true;
    return false;
}

static void decide_final(struct core *core, uint32_t n)
{
    uint16_t wants = core->nodes[n].flags;
    core->nodes[n].flags &= (uint16_t)~NODE_WANT_LEND;
    if (core->drain != CORE_DRAIN_NONE) /* what is over stays over; only a template that waits for its instances goes on */
        wants &= NODE_WANT_RERUN;
    if ((wants & NODE_WANT_REOPEN) != 0) {
        want_lenders(core, n);
        core_emit(core, CORE_TASK_REOPENED, n, (wants & NODE_REOPEN_STALE) != 0, 0, 0);
    } else if ((wants & NODE_WANT_RERUN) != 0) {
        want_lenders(core, n);
        core_emit(core, CORE_TASK_RERUN, n, 1, 0, 0);
    } else if ((wants & NODE_WANT_LEND) != 0 && must_lend_again(core, n)) {
        want_lenders(core, n);
        core_emit(core, CORE_TASK_RERUN, n, 1, 0, 0);
    } else if ((wants & NODE_WANT_STALE) != 0) {
        core_emit(core, CORE_TASK_STALE, n, 1, 0, 0);
    }
}

void core_node_decide(struct core *core, uint32_t n)
{
    const struct node *node = &core->nodes[n];
    bool final = core_is_final(core, n);
    if (!final && (node->flags & NODE_LOST) == 0 && is_cancelled(core, n))
        cancel_node(core, n);
    switch ((enum core_task_state)node->state) {
    case CORE_TASK_STATE_BLOCKED:
        decide_blocked(core, n);
        break;
    case CORE_TASK_STATE_READY:
        decide_ready(core, n);
        break;
    case CORE_TASK_STATE_PREPARING:
    case CORE_TASK_STATE_PROVISIONING:
    case CORE_TASK_STATE_STARTING:
    case CORE_TASK_STATE_RUNNING:
    case CORE_TASK_STATE_VERIFYING:
    case CORE_TASK_STATE_STOPPING:
        core_attempt_advance(core, n);
        break;
    case CORE_TASK_STATE_EXPANDED:
        decide_expanded(core, n);
        break;
    case CORE_TASK_STATE_SUCCEEDED:
    case CORE_TASK_STATE_FAILED:
    case CORE_TASK_STATE_TIMED_OUT:
    case CORE_TASK_STATE_CANCELLED:
    case CORE_TASK_STATE_SKIPPED:
        decide_final(core, n);
        break;
    case CORE_TASK_STATE_BACKOFF:
    case CORE_TASK_STATE_COUNT:
        break;
    }
}

/* --- answers of the runner --- */

/* The stage is complete: exit and result are known. */
static void stage_done(struct core *core, uint32_t n)
{
    const struct node *node = &core->nodes[n];
    if (node->state == CORE_TASK_STATE_STOPPING) {
        core_attempt_end(core, n, (enum core_class)node->end_class);
        return;
    }
    enum core_class class = (enum core_class)(node->exit_class != CORE_CLASS_NONE ? node->exit_class : node->result_class);
    bool verify_follows = node->state == CORE_TASK_STATE_RUNNING && core_task_of(core, n)->verify;
    if (class == CORE_CLASS_NONE && verify_follows)
        core_attempt_advance(core, n);
    else
        core_attempt_end(core, n, class);
}

static void input_prepared(struct core *core, const struct core_input *input)
{
    const struct node *node = &core->nodes[input->node];
    if (node->state == CORE_TASK_STATE_STOPPING)
        core_attempt_end(core, input->node, (enum core_class)node->end_class);
    else if (input->kind == CORE_INPUT_PREPARED)
        core_attempt_prepared(core, input->node);
    else
        core_attempt_end(core, input->node, input->class == CORE_CLASS_NONE ? CORE_CLASS_SETUP : input->class);
}

static void input_started(struct core *core, const struct core_input *input)
{
    const struct node *node = &core->nodes[input->node];
    if ((node->flags & NODE_STARTED) != 0)
        return;
    core_emit(core, CORE_TASK_STARTED, input->node, node->stage_kind, input->pid, input->birth);
    if (node->state == CORE_TASK_STATE_STOPPING) /* the signal may have come before the process */
        core_command_task(core, CORE_COMMAND_SIGNAL, input->node);
}

static void input_spawn_failed(struct core *core, const struct core_input *input)
{
    const struct node *node = &core->nodes[input->node];
    if ((node->flags & NODE_STARTED) != 0)
        return;
    enum core_class class = input->class == CORE_CLASS_NONE ? CORE_CLASS_INFRASTRUCTURE : input->class;
    if (node->stage_kind == CORE_STAGE_VERIFY)
        class = CORE_CLASS_INFRASTRUCTURE;
    core_attempt_end(core, input->node, node->state == CORE_TASK_STATE_STOPPING ? (enum core_class)node->end_class : class);
}

static void input_exited(struct core *core, const struct core_input *input)
{
    const struct node *node = &core->nodes[input->node];
    if ((node->flags & NODE_EXITED) != 0)
        return;
    if ((node->flags & NODE_STARTED) == 0) /* its STARTED was lost or comes later */
        core_emit(core, CORE_TASK_STARTED, input->node, node->stage_kind, 0, 0);
    core_emit(core, CORE_TASK_EXITED, input->node, node->stage_kind, input->code, input->signal);
    core_attempt_drop(core, input->node);
    if ((node->flags & NODE_RESULT) != 0)
        stage_done(core, input->node);
}

static void input_result(struct core *core, const struct core_input *input)
{
    struct node *node = &core->nodes[input->node];
    if ((node->flags & NODE_RESULT) != 0)
        return;
    node->flags |= NODE_RESULT;
    node->result_class = (uint8_t)input->class;
    if ((node->flags & NODE_EXITED) != 0)
        stage_done(core, input->node);
}

static void input_of_stage(struct core *core, const struct core_input *input)
{
    mf_assert(input->node < core->node_count && (unsigned)input->class < CORE_CLASS_COUNT);
    const struct node *node = &core->nodes[input->node];
    if (node->stage != input->stage || input->stage == 0)
        return; /* of a stage that is over */
    bool prepare = node->stage_kind == CORE_STAGE_PREPARE;
    bool for_prepare = input->kind == CORE_INPUT_PREPARED || input->kind == CORE_INPUT_PREPARE_FAILED;
    if (prepare != for_prepare)
        return;
    switch ((int)input->kind) {
    case CORE_INPUT_PREPARED:
    case CORE_INPUT_PREPARE_FAILED:
        input_prepared(core, input);
        break;
    case CORE_INPUT_STARTED:
        input_started(core, input);
        break;
    case CORE_INPUT_SPAWN_FAILED:
        input_spawn_failed(core, input);
        break;
    case CORE_INPUT_EXITED:
        input_exited(core, input);
        break;
    case CORE_INPUT_RESULT:
        input_result(core, input);
        break;
    default:
        break;
    }
}

/* --- requests of people and of the shell --- */

static void input_cancel(struct core *core, const struct core_input *input)
{
    if (input->node == CORE_NONE) {
        core_drain_run(core, CORE_DRAIN_CANCEL, 1);
        return;
    }
    mf_assert(input->node < core->node_count);
    cancel_node(core, input->node);
}

/* For an instance that runs again. False when the template itself is about to run again: then all its instances will. */
static bool open_template(struct core *core, uint32_t template)
{
    const struct node *node = &core->nodes[template];
    if (core_is_final(core, template))
        core_emit(core, CORE_TASK_EXPANDED, template, core->expansions[node->detail].count, 0, 0);
    return node->state == CORE_TASK_STATE_EXPANDED;
}

static void input_rerun(struct core *core, const struct core_input *input)
{
    mf_assert(input->node < core->node_count);
    const struct node *node = &core->nodes[input->node];
    bool superseded = (node->flags & NODE_SUPERSEDED) != 0;
    if (core->drain != CORE_DRAIN_NONE || superseded || !core_is_final(core, input->node))
        return;
    if (input->node >= core->graph->task_count && !open_template(core, core_task_index(core, input->node)))
        return;
    want_lenders(core, input->node);
    core_emit(core, CORE_TASK_RERUN, input->node, !input->flag, 0, 0);
}

/*
 * What did not succeed, or with `flag` did, goes back behind its edges, because what it needs may run again too. A template whose list stands is left
 * to its instances.
 */
static void input_resume(struct core *core, const struct core_input *input)
{
    mf_assert(input->node < core->node_count);
    const struct node *node = &core->nodes[input->node];
    bool stale = (node->flags & NODE_STALE) != 0;
    bool superseded = (node->flags & NODE_SUPERSEDED) != 0;
    if (core->drain != CORE_DRAIN_NONE || superseded || !core_is_final(core, input->node) ||
        (node->state == CORE_TASK_STATE_SUCCEEDED && !stale && !input->flag))
        return;
    bool instance = input->node >= core->graph->task_count;
    if (!instance && core_is_template(core, input->node) && node->detail != CORE_NONE && !stale && !input->flag)
        return;
    if (instance && !open_template(core, core_task_index(core, input->node)))
        return;
    want_lenders(core, input->node);
    core_emit(core, instance ? CORE_TASK_RERUN : CORE_TASK_REOPENED, input->node, 0, 0, 0);
}

static void input_expanded(struct core *core, const struct core_input *input)
{
    mf_assert(input->node < core->node_count && core_is_template(core, input->node));
    struct node *node = &core->nodes[input->node];
    if (node->state != CORE_TASK_STATE_READY || (node->flags & NODE_ASKED) == 0)
        return;
    node->flags &= (uint16_t)~NODE_ASKED;
    core->expanding--;
    if (input->kind == CORE_INPUT_EXPANDED)
        core_emit(core, CORE_TASK_EXPANDED, input->node, input->count, 0, 0);
    else
        core_emit(core, CORE_TASK_FAILED, input->node, node->attempt, input->class == CORE_CLASS_NONE ? CORE_CLASS_SETUP : input->class, 0);
}

static bool has_process(const struct core *core, uint32_t node)
{
    uint8_t state = core->nodes[node].state;
    return state == CORE_TASK_STATE_PREPARING || state == CORE_TASK_STATE_STARTING || state == CORE_TASK_STATE_RUNNING || state == CORE_TASK_STATE_VERIFYING;
}

/* Is it about what the node does now? What is told of an earlier stage is only written down. */
static bool of_this_stage(const struct core *core, const struct core_input *input)
{
    return input->stage == 0 || input->stage == core->nodes[input->node].stage;
}

static uint32_t attempt_of(const struct core *core, const struct core_input *input)
{
    return input->attempt > 0 ? input->attempt : core->nodes[input->node].attempt;
}

/* An agent can do wrong without end; the journal has one. */
static void input_violation(struct core *core, const struct core_input *input)
{
    if (input->node == CORE_NONE) {
        if (core->anomalies < core->limits.remarks_max)
            core_emit(core, CORE_RUN_ANOMALY, 0, core->anomalies + 1, 0, 0);
        return;
    }
    mf_assert(input->node < core->node_count);
    if (core_is_template(core, input->node))
        return;
    const struct node *node = &core->nodes[input->node];
    bool violation = !input->flag;
    if ((uint32_t)node->violations + node->anomalies < core->limits.remarks_max)
        core_emit(core, violation ? CORE_TASK_VIOLATION : CORE_TASK_ANOMALY, input->node, attempt_of(core, input),
                  1 + (violation ? node->violations : node->anomalies), 0);
    bool stops = violation && core_task_of(core, input->node)->stop_on_violation && !MUTANT(VIOLATION_IGNORED);
    if (stops && has_process(core, input->node) && of_this_stage(core, input))
        core_attempt_stop(core, input->node, CORE_STOP_VIOLATION, 1);
}

static void input_usage(struct core *core, const struct core_input *input)
{
    mf_assert(input->node < core->node_count);
    if (!core_is_template(core, input->node))
        core_emit(core, CORE_TASK_USAGE, input->node, attempt_of(core, input), input->stage_kind, 0);
}

static void input_budget(struct core *core, const struct core_input *input)
{
    if (input->node == CORE_NONE) {
        core_drain_run(core, CORE_DRAIN_BUDGET, 1);
        return;
    }
    mf_assert(input->node < core->node_count);
    bool goes_on = core_is_live(core, input->node) && core->nodes[input->node].state != CORE_TASK_STATE_STOPPING;
    if (goes_on && of_this_stage(core, input) && !MUTANT(BUDGET_IGNORED))
        core_attempt_stop(core, input->node, CORE_STOP_BUDGET, 1);
}

void core_input_task(struct core *core, const struct core_input *input)
{
    switch ((int)input->kind) {
    case CORE_INPUT_PREPARED:
    case CORE_INPUT_PREPARE_FAILED:
    case CORE_INPUT_STARTED:
    case CORE_INPUT_SPAWN_FAILED:
    case CORE_INPUT_EXITED:
    case CORE_INPUT_RESULT:
        input_of_stage(core, input);
        break;
    case CORE_INPUT_CANCEL:
        input_cancel(core, input);
        break;
    case CORE_INPUT_RERUN:
        input_rerun(core, input);
        break;
    case CORE_INPUT_RESUME:
        input_resume(core, input);
        break;
    case CORE_INPUT_EXPANDED:
    case CORE_INPUT_EXPAND_FAILED:
        input_expanded(core, input);
        break;
    case CORE_INPUT_VIOLATION:
        input_violation(core, input);
        break;
    case CORE_INPUT_BUDGET:
        input_budget(core, input);
        break;
    case CORE_INPUT_USAGE:
        input_usage(core, input);
        break;
    default:
        break;
    }
}
