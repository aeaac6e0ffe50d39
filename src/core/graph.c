/*
 * graph.c - checks of the graph, the index of dependents, and what edges say
 *
 * An edge is a pure function of the task that it comes from: pending, holds, or dead. After every change of that task (or of a
 * template's instances) its outgoing edges are looked at again and the two counters of each dependent follow: `unmet` edges that
 * do not hold, `dead` edges that never will. A template with a hundred thousand instances does not look at its edges after each
 * of them: `quiet` says how many may still end before any edge can change.
 */
#include "base/alloc.h"
#include "core/core_private.h"

/* --- checks --- */

static int check_edge(const struct core_graph *graph, uint32_t task, uint32_t edge, struct mf_error *error)
{
    const struct core_edge *item = &graph->edges[edge];
    if (item->from >= graph->task_count || item->from == task)
        return mf_fail(error, MF_INPUT, "edge %u of task %u comes from task %u", edge, task, item->from);
    if (item->on > CORE_ON_ENDED || (item->percent && (item->at_least == 0 || item->at_least > 100)))
        return mf_fail(error, MF_INPUT, "edge %u of task %u has a condition that does not exist", edge, task);
    return 0;
}

static bool needs_success(const struct core_graph *graph, const struct core_task *task, uint32_t lender)
{
    for (uint32_t e = task->edge_first; e < task->edge_first + task->edge_count; e++)
        if (graph->edges[e].from == lender && graph->edges[e].on == CORE_ON_SUCCEEDED)
            return true;
    return false;
}

static int check_slot(const struct core_graph *graph, uint32_t index, uint32_t slot, struct mf_error *error)
{
    const struct core_slot *item = &graph->slots[slot];
    if (item->lender == CORE_NONE) {
        if (item->provider >= graph->provider_count)
            return mf_fail(error, MF_INPUT, "task %u: slot %u has no provider", index, slot);
        return 0;
    }
    if (item->lender >= graph->task_count || graph->tasks[item->lender].template)
        return mf_fail(error, MF_INPUT, "task %u borrows from something that is not a single task", index);
    const struct core_task *lender = &graph->tasks[item->lender];
    if (item->lender_slot >= lender->slot_count || graph->slots[lender->slot_first + item->lender_slot].lender != CORE_NONE)
        return mf_fail(error, MF_INPUT, "task %u borrows an account that task %u does not own", index, item->lender);
    if (!needs_success(graph, &graph->tasks[index], item->lender))
        return mf_fail(error, MF_INPUT, "task %u borrows from task %u without needing its success", index, item->lender);
    return 0;
}

static bool range_fits(uint32_t first, uint32_t count, uint32_t total)
{
    return count == 0 || (first <= total && count <= total - first);
}

static int check_ranges(const struct core_graph *graph, struct mf_error *error)
{
    uint64_t edges = 0, slots = 0;
    for (uint32_t t = 0; t < graph->task_count; t++) {
        const struct core_task *task = &graph->tasks[t];
        if (!range_fits(task->edge_first, task->edge_count, graph->edge_count) || !range_fits(task->slot_first, task->slot_count, graph->slot_count))
            return mf_fail(error, MF_INPUT, "task %u: edges or slots out of range", t);
        if (task->profile >= graph->profile_count)
            return mf_fail(error, MF_INPUT, "task %u has no profile", t);
        if (task->slot_count > CORE_SLOTS_MAX)
            return mf_fail(error, MF_LIMIT, "task %u: more than %u accounts", t, CORE_SLOTS_MAX);
        edges += task->edge_count;
        slots += task->slot_count;
    }
    if (edges != graph->edge_count || slots != graph->slot_count)
        return mf_fail(error, MF_INPUT, "edges or slots that belong to no task or to two");
    return 0;
}

static int check_task(const struct core_graph *graph, const struct core_limits *limits, uint32_t index, struct mf_error *error)
{
    const struct core_task *task = &graph->tasks[index];
    for (uint32_t e = 0; e < task->edge_count; e++)
        if (check_edge(graph, index, task->edge_first + e, error) != 0)
            return -1;
    uint32_t own = 0;
    for (uint32_t s = 0; s < task->slot_count; s++) {
        if (check_slot(graph, index, task->slot_first + s, error) != 0)
            return -1;
        own += graph->slots[task->slot_first + s].lender == CORE_NONE;
    }
    if (limits->accounts_max > 0 && own > limits->accounts_max)
        return mf_fail(error, MF_LIMIT, "task %u needs %u accounts, the limit is %u", index, own, limits->accounts_max);
    return 0;
}

int core_graph_check(const struct core_graph *graph, const struct core_limits *limits, struct mf_error *error)
{
    if (graph->task_count >= CORE_NONE || graph->edge_count >= CORE_NONE || graph->slot_count >= CORE_NONE)
        return mf_fail(error, MF_LIMIT, "more tasks, edges or accounts than %u", CORE_NONE - 1);
    if (limits->running_max == 0 || limits->backoff_ms_min < 1 || limits->backoff_ms_max < 1 || limits->teardown_ms_min < 1 || limits->teardown_ms_max < 1)
        return mf_fail(error, MF_INPUT, "limits of zero");
    if (check_ranges(graph, error) != 0)
        return -1;
    for (uint32_t t = 0; t < graph->task_count; t++)
        if (check_task(graph, limits, t, error) != 0)
            return -1;
    return 0;
}

/* --- the index --- */

static int index_edges(struct core *core, struct mf_error *error)
{
    const struct core_graph *graph = core->graph;
    uint32_t *filled = core->unmet; /* borrowed while it is still all zero */
    for (uint32_t t = 0; t < graph->task_count; t++)
        for (uint32_t e = 0; e < graph->tasks[t].edge_count; e++) {
            uint32_t edge = graph->tasks[t].edge_first + e;
            if (core->edge_owner[edge] != CORE_NONE)
                return mf_fail(error, MF_INPUT, "edge %u belongs to two tasks", edge);
            core->edge_owner[edge] = t;
            core->dependent_first[graph->edges[edge].from + 1]++;
        }
    for (uint32_t t = 0; t < graph->task_count; t++)
        core->dependent_first[t + 1] += core->dependent_first[t];
    for (uint32_t e = 0; e < graph->edge_count; e++) {
        uint32_t from = graph->edges[e].from;
        core->dependents[core->dependent_first[from] + filled[from]++] = e;
    }
    for (uint32_t t = 0; t < graph->task_count; t++)
        core->unmet[t] = graph->tasks[t].edge_count;
    return 0;
}

/* A borrower keeps its lender's account until it has ended: one reservation for each task that borrows, whatever its size. */
static void index_borrowers(struct core *core)
{
    const struct core_graph *graph = core->graph;
    for (uint32_t t = 0; t < graph->task_count; t++)
        for (uint32_t s = 0; s < graph->tasks[t].slot_count; s++) {
            const struct core_slot *slot = &graph->slots[graph->tasks[t].slot_first + s];
            if (slot->lender != CORE_NONE)
                core->slot_borrowers[graph->tasks[slot->lender].slot_first + slot->lender_slot]++;
        }
}

/* Takes tasks without open edges away until none is left; what stays lies on a cycle. `dead` counts down, links are borrowed. */
static int check_cycles(struct core *core, struct mf_error *error)
{
    const struct core_graph *graph = core->graph;
    uint32_t *order = mf_alloc((graph->task_count + (size_t)1) * sizeof *order);
    if (order == NULL)
        return mf_fail(error, MF_MEMORY, "no memory to check for cycles");
    uint32_t done = 0, found = 0;
    for (uint32_t t = 0; t < graph->task_count; t++) {
        core->dead[t] = graph->tasks[t].edge_count;
        if (core->dead[t] == 0)
            order[found++] = t;
    }
    for (; done < found; done++)
        for (uint32_t d = core->dependent_first[order[done]]; d < core->dependent_first[order[done] + 1]; d++) {
            uint32_t owner = core->edge_owner[core->dependents[d]];
            if (--core->dead[owner] == 0)
                order[found++] = owner;
        }
    mf_free(order);
    for (uint32_t t = 0; t < graph->task_count; t++)
        if (core->dead[t] > 0)
            return mf_fail(error, MF_INPUT, "task %u lies on a cycle or behind one", t);
    return 0;
}

int core_graph_index(struct core *core, struct mf_error *error)
{
    const struct core_graph *graph = core->graph;
    core->edge_owner = mf_alloc((graph->edge_count + (size_t)1) * sizeof *core->edge_owner);
    core->edge_status = mf_calloc(graph->edge_count, sizeof *core->edge_status);
    core->dependents = mf_alloc((graph->edge_count + (size_t)1) * sizeof *core->dependents);
    core->dependent_first = mf_calloc(graph->task_count + (size_t)1, sizeof *core->dependent_first);
    core->unmet = mf_calloc(graph->task_count, sizeof *core->unmet);
    core->dead = mf_calloc(graph->task_count, sizeof *core->dead);
    core->slot_borrowers = mf_calloc(graph->slot_count, sizeof *core->slot_borrowers);
    if (core->edge_owner == NULL || core->edge_status == NULL || core->dependents == NULL || core->dependent_first == NULL ||
        core->unmet == NULL || core->dead == NULL || core->slot_borrowers == NULL)
        return mf_fail(error, MF_MEMORY, "no memory for %u edges", graph->edge_count);
    for (uint32_t e = 0; e < graph->edge_count; e++)
        core->edge_owner[e] = CORE_NONE;
    if (index_edges(core, error) != 0)
        return -1;
    index_borrowers(core);
    return check_cycles(core, error);
}

/* --- what an edge says --- */

/* allow_failure: edges and exit code see a success. */
static bool counts_as_success(const struct core *core, uint32_t node)
{
    uint8_t state = core->nodes[node].state;
    bool failed = state == CORE_TASK_STATE_FAILED || state == CORE_TASK_STATE_TIMED_OUT;
    return state == CORE_TASK_STATE_SUCCEEDED || (failed && core_task_of(core, node)->allow_failure);
}

static bool counts_as_failure(const struct core *core, uint32_t node)
{
    uint8_t state = core->nodes[node].state;
    return (state == CORE_TASK_STATE_FAILED || state == CORE_TASK_STATE_TIMED_OUT) && !core_task_of(core, node)->allow_failure;
}

/* How many of the task's instances there are, have ended, and match the condition; a task without a list is one instance. */
struct tally {
    uint32_t total, ended, matched;
};

static struct tally tally(const struct core *core, uint32_t task, enum core_on on)
{
    const struct node *node = &core->nodes[task];
    bool final = core_is_final(core, task);
    if (core_is_template(core, task) && node->detail != CORE_NONE && (final || node->state == CORE_TASK_STATE_EXPANDED)) {
        const struct expansion *list = &core->expansions[node->detail];
        uint32_t matched = on == CORE_ON_SUCCEEDED ? list->succeeded : on == CORE_ON_FAILED ? list->failed : list->ended;
        return (struct tally){list->count, list->ended, matched};
    }
    bool match = on == CORE_ON_SUCCEEDED ? counts_as_success(core, task) : on == CORE_ON_FAILED ? counts_as_failure(core, task) : final;
    return (struct tally){1, final, final && match};
}

static uint32_t needed(const struct core_edge *edge, uint32_t total)
{
    if (edge->percent)
        return (uint32_t)(((uint64_t)total * edge->at_least + (MUTANT(PERCENT_DOWN) ? 0 : 99)) / 100);
    if (edge->at_least > 0)
        return edge->at_least;
    return edge->on == CORE_ON_FAILED ? 1 : total;
}

/* Sets *quiet to the number of instances that may end without changing the answer. */
static enum edge_status evaluate(const struct core *core, uint32_t edge, uint32_t *quiet)
{
    const struct core_edge *item = &core->graph->edges[edge];
    uint8_t state = core->nodes[item->from].state;
    *quiet = UINT32_MAX;
    if (!core_is_final(core, item->from) && state != CORE_TASK_STATE_EXPANDED)
        return EDGE_PENDING;
    struct tally seen = tally(core, item->from, item->on);
    uint32_t want = needed(item, seen.total);
    if (seen.matched >= want)
        return EDGE_HOLDS;
    uint32_t open = seen.total - seen.ended;
    if (seen.matched + (uint64_t)open < want)
        return EDGE_DEAD;
    uint32_t to_hold = want - seen.matched, to_die = (uint32_t)(seen.matched + (uint64_t)open - want + 1);
    *quiet = (to_hold < to_die ? to_hold : to_die) - 1;
    return EDGE_PENDING;
}

static void set_edge(struct core *core, uint32_t edge, enum edge_status status)
{
    uint32_t owner = core->edge_owner[edge];
    uint8_t old = core->edge_status[edge];
    if (old == status)
        return;
    core->edge_status[edge] = (uint8_t)status;
    core->unmet[owner] += (uint32_t)(status != EDGE_HOLDS) - (uint32_t)(old != EDGE_HOLDS);
    core->dead[owner] += (uint32_t)(status == EDGE_DEAD) - (uint32_t)(old == EDGE_DEAD);
    core_notice_node(core, owner);
}

void core_edges_update(struct core *core, uint32_t task)
{
    uint32_t quiet_min = UINT32_MAX;
    for (uint32_t d = core->dependent_first[task]; d < core->dependent_first[task + 1]; d++) {
        uint32_t quiet;
        set_edge(core, core->dependents[d], evaluate(core, core->dependents[d], &quiet));
        if (quiet < quiet_min)
            quiet_min = quiet;
    }
    if (core_is_template(core, task) && core->nodes[task].detail != CORE_NONE)
        core->expansions[core->nodes[task].detail].quiet = quiet_min;
}

/* --- what an end means to others --- */

static void count_instance(struct core *core, struct expansion *list, uint32_t node, uint32_t one)
{
    list->ended += one;
    if (counts_as_success(core, node))
        list->succeeded += one;
    else if (counts_as_failure(core, node))
        list->failed += one;
    else
        list->cancelled += one;
}

static void instance_ended(struct core *core, uint32_t node)
{
    struct expansion *list = &core->expansions[core->nodes[node].expansion];
    if ((core->nodes[node].flags & NODE_SUPERSEDED) != 0)
        return;
    count_instance(core, list, node, 1);
    if (list->ended == list->count)
        core_notice_node(core, list->task);
    if (list->quiet > 0 && list->quiet != UINT32_MAX)
        list->quiet--;
    else if (list->quiet == 0)
        core_edges_update(core, list->task);
}

/* The reservations of a task on the accounts that it borrows. */
static void reserve_lenders(struct core *core, uint32_t task, uint32_t one)
{
    const struct core_task *item = &core->graph->tasks[task];
    for (uint32_t s = item->slot_first; s < item->slot_first + item->slot_count; s++) {
        const struct core_slot *slot = &core->graph->slots[s];
        if (slot->lender == CORE_NONE)
            continue;
        uint32_t *borrowers = &core->slot_borrowers[core->graph->tasks[slot->lender].slot_first + slot->lender_slot];
        *borrowers += one;
        uint32_t account = core_hold(core, slot->lender, slot->lender_slot)->account;
        if (*borrowers == 0 && account != CORE_NONE)
            core_notice_account(core, account);
    }
}

/* Borrowers that were ready before their lender ran again wait outside the queue: wake them. */
static void wake_borrowers(struct core *core, uint32_t lender)
{
    for (uint32_t d = core->dependent_first[lender]; d < core->dependent_first[lender + 1]; d++) {
        uint32_t owner = core->edge_owner[core->dependents[d]];
        core_notice_node(core, owner);
        if (!core_is_template(core, owner) || core->nodes[owner].state != CORE_TASK_STATE_EXPANDED)
            continue;
        const struct expansion *list = &core->expansions[core->nodes[owner].detail];
        for (uint32_t i = 0; i < list->count; i++)
            core_notice_node(core, list->first + i);
    }
}

static bool lends(const struct core *core, uint32_t task)
{
    const struct core_task *item = &core->graph->tasks[task];
    for (uint32_t s = item->slot_first; s < item->slot_first + item->slot_count; s++)
        if (core->slot_borrowers[s] > 0)
            return true;
    return false;
}

void core_node_ended(struct core *core, uint32_t node)
{
    if (node >= core->graph->task_count) {
        instance_ended(core, node);
        return;
    }
    core_edges_update(core, node);
    reserve_lenders(core, node, UINT32_MAX);
    if (lends(core, node))
        wake_borrowers(core, node);
}

void core_node_unended(struct core *core, uint32_t node, enum core_task_state from, bool counted)
{
    if (node < core->graph->task_count) {
        core_edges_update(core, node);
        reserve_lenders(core, node, 1);
    } else if (counted) {
        struct expansion *list = &core->expansions[core->nodes[node].expansion];
        uint8_t now = core->nodes[node].state;
        core->nodes[node].state = (uint8_t)from; /* counted as what it was */
        count_instance(core, list, node, UINT32_MAX);
        core->nodes[node].state = now;
        core_edges_update(core, list->task);
    }
}

void core_mark_dependents(struct core *core, uint32_t task, bool stale)
{
    for (uint32_t d = core->dependent_first[task]; d < core->dependent_first[task + 1]; d++) {
        uint32_t owner = core->edge_owner[core->dependents[d]];
        struct node *node = &core->nodes[owner];
        if (!core_is_final(core, owner))
            continue;
        if (!stale || node->state == CORE_TASK_STATE_SKIPPED)
            node->flags |= (uint16_t)(NODE_WANT_REOPEN | (stale ? NODE_REOPEN_STALE : 0));
        else if (node->state != CORE_TASK_STATE_CANCELLED && (node->flags & NODE_STALE) == 0)
            node->flags |= NODE_WANT_STALE;
        core_notice_node(core, owner);
    }
}
