/*
 * check.c - what must always be true: the promises of the core, checked from outside
 *
 * Numbers as in the design: I1 no account exists that the journal does not know as open, I2 no process without a committed record,
 * I3 fold(journal) = state, I4 everything settles (run by draw.c), I5 limits, I6 nobody runs on an account that is not his. The
 * edges are evaluated a second time here, in the most naive way.
 */
#include "world.h"

#include "base/assert.h"

#include <string.h>

#define SLACK_MS 2000

static const struct core_task *task_of(const struct sim_world *world, uint32_t node, const struct core_node_view *view)
{
    return &world->setup->tasks[view->template == CORE_NONE ? node : view->template];
}

static const struct core_slot *slot_of(const struct sim_world *world, uint32_t node, const struct core_node_view *view, uint32_t slot)
{
    return &world->setup->slots[task_of(world, node, view)->slot_first + slot];
}

static bool may_exist(enum core_account_state state)
{
    return state != CORE_ACCOUNT_STATE_NEW && state != CORE_ACCOUNT_STATE_GONE && state != CORE_ACCOUNT_STATE_ABSENT && state != CORE_ACCOUNT_STATE_EXPIRED;
}

static bool is_live(enum core_task_state state)
{
    return state >= CORE_TASK_STATE_PREPARING && state <= CORE_TASK_STATE_STOPPING;
}

/* --- commands --- */

static bool committed(const struct sim_world *world, enum core_record_kind kind, uint32_t account)
{
    for (uint32_t r = world->journal_count; r-- > 0;)
        if (world->journal[r].kind == kind && world->journal[r].account == account)
            return true;
    return false;
}

/* When its attempt began: an earlier one may still be giving its tokens back. */
static uint64_t attempt_began(const struct sim_world *world, uint32_t node)
{
    for (uint32_t r = world->journal_count; r-- > 0;) {
        const struct core_record *record = &world->journal[r];
        if (record->node == node && (record->kind == CORE_TASK_READY || record->kind == CORE_TASK_RERUN))
            return record->seq;
    }
    return 0;
}

static void check_process(struct sim_world *world, const struct core_command *command)
{
    const struct core_record *intent = sim_record(world, command->stage);
    bool right = intent != NULL && intent->node == command->node &&
                 (intent->kind == CORE_TASK_PREPARE || intent->kind == CORE_TASK_SPAWN || intent->kind == CORE_TASK_VERIFY);
    if (!right)
        sim_fail(world, "I2: task %u starts a process without a committed record", command->node);
    for (uint32_t p = 0; p < world->process_count; p++) {
        const struct sim_process *process = &world->processes[p];
        if (process->alive && !process->unkillable && !process->counted_out && process->node == command->node)
            sim_fail(world, "I2: task %u has two processes", command->node);
    }
    uint64_t began = command->stage_kind == CORE_STAGE_VERIFY ? attempt_began(world, command->node) : UINT64_MAX;
    for (uint32_t l = 0; l < world->lease_count; l++)
        if (world->leases[l].open && !world->leases[l].drop_hangs && world->leases[l].node == command->node && world->leases[l].stage != command->stage &&
            world->leases[l].lease > began)
            sim_fail(world, "verify of task %u starts while a token of its agent lives", command->node);
}

static void check_rate(struct sim_world *world, uint32_t account, uint32_t provider)
{
    const struct core_provider *limits = &world->setup->providers[provider];
    int64_t *times = world->creates[provider];
    mf_assert(world->create_count[provider] < SIM_REMOTES_MAX);
    times[world->create_count[provider]++] = world->now_ms;
    uint32_t recent = 0, in_flight = 0;
    for (uint32_t c = world->create_count[provider]; c-- > 0 && times[c] > world->now_ms - 60000;)
        recent++;
    uint32_t burst = 3; /* a task with more slots than the bucket takes them at once */
    if (limits->creates_per_minute > 0 && recent > limits->creates_per_minute + burst)
        sim_fail(world, "I5: %u creates in a minute", recent);
    struct core_account_view view, other;
    mf_assert(core_account(world->core, account, &view));
    bool others = false;
    for (uint32_t a = 1; a <= core_account_count(world->core) && a < SIM_REMOTES_MAX; a++) {
        if (world->busy[a] != CORE_COMMAND_CREATE + 1 || !core_account(world->core, a, &other) || other.provider != provider)
            continue;
        in_flight++;
        others |= other.node != view.node;
    }
    if (limits->creating_max > 0 && others && in_flight + 1 > limits->creating_max)
        sim_fail(world, "I5: %u creates in flight", in_flight + 1);
}

static void check_teardown_limit(struct sim_world *world, uint32_t provider)
{
    uint32_t in_flight = 1;
    struct core_account_view view;
    for (uint32_t a = 1; a <= core_account_count(world->core) && a < SIM_REMOTES_MAX; a++)
        in_flight += world->busy[a] > 0 && world->busy[a] != CORE_COMMAND_CREATE + 1 && core_account(world->core, a, &view) && view.provider == provider;
    uint32_t most = world->setup->providers[provider].deleting_max;
    if (most > 0 && in_flight > most)
        sim_fail(world, "I5: %u teardown requests in flight", in_flight);
}

static void check_account_command(struct sim_world *world, const struct core_command *command)
{
    struct core_account_view view;
    mf_assert(command->account < SIM_REMOTES_MAX && core_account(world->core, command->account, &view));
    if (world->busy[command->account] != 0)
        sim_fail(world, "account %u has two requests in flight", command->account);
    if (command->kind == CORE_COMMAND_CREATE) {
        if (!committed(world, CORE_ACCOUNT_CREATE, command->account))
            sim_fail(world, "I1: a create without a committed record");
        check_rate(world, command->account, view.provider);
        return;
    }
    check_teardown_limit(world, view.provider);
    if (command->kind != CORE_COMMAND_REVOKE && command->kind != CORE_COMMAND_DELETE)
        return;
    if (!committed(world, command->kind == CORE_COMMAND_REVOKE ? CORE_ACCOUNT_REVOKE : CORE_ACCOUNT_DELETE, command->account))
        sim_fail(world, "account %u: an effect without a committed record", command->account);
    for (uint32_t l = 0; l < world->lease_count; l++)
        if (world->leases[l].open && !world->leases[l].drop_hangs && world->leases[l].account == command->account)
            sim_fail(world, "account %u is torn down while a token of it is out", command->account);
}

void sim_check_command(struct sim_world *world, const struct core_command *command)
{
    switch ((int)command->kind) {
    case CORE_COMMAND_PREPARE:
    case CORE_COMMAND_SPAWN:
        check_process(world, command);
        break;
    case CORE_COMMAND_CREATE:
    case CORE_COMMAND_FIND:
    case CORE_COMMAND_REVOKE:
    case CORE_COMMAND_DELETE:
    case CORE_COMMAND_CHECK:
        check_account_command(world, command);
        break;
    default:
        break;
    }
}

/* --- records --- */

static void check_gone(struct sim_world *world, const struct core_record *record)
{
    for (uint32_t r = 0; r < world->remote_count; r++) {
        const struct sim_remote *remote = &world->remotes[r];
        bool its = remote->account == record->account || (remote->account == 0 && remote->tag == record->account);
        if (its && sim_remote_exists(world, remote, world->now_ms))
            sim_fail(world, "I1: account %u is %s but exists", record->account, core_record_name(record->kind));
    }
}

static void check_backoff(struct sim_world *world, const struct core_record *record)
{
    struct core_node_view view;
    mf_assert(core_node(world->core, record->node, &view));
    const struct core_profile *profile = &world->setup->profiles[task_of(world, record->node, &view)->profile];
    enum core_class class = (enum core_class)record->facts[1];
    bool infrastructure = class == CORE_CLASS_INFRASTRUCTURE;
    if (!infrastructure && (class == CORE_CLASS_REFUSED || class == CORE_CLASS_VIOLATION || class == CORE_CLASS_BUDGET || (profile->retry_on & 1u << class) == 0))
        sim_fail(world, "task %u: a failure of class %s is tried again", record->node, core_class_name(class));
    uint32_t count = 0;
    for (uint32_t r = (uint32_t)record->seq; r-- > 0;) {
        const struct core_record *past = &world->journal[r];
        if (past->node != record->node)
            continue;
        if (past->kind == CORE_TASK_RERUN || past->kind == CORE_TASK_REOPENED)
            break;
        count += past->kind == CORE_TASK_BACKOFF && (past->facts[1] == CORE_CLASS_INFRASTRUCTURE) == infrastructure;
    }
    if (count >= (infrastructure ? world->setup->limits.infrastructure_tries_max : profile->attempts_max))
        sim_fail(world, "task %u is tried too often", record->node);
    if (record->facts[2] < record->at_ms || record->facts[2] > record->at_ms + world->setup->limits.backoff_ms_max)
        sim_fail(world, "task %u: a back-off out of bounds", record->node);
}

static void check_grant(struct sim_world *world, const struct core_record *record)
{
    struct core_node_view view;
    struct core_account_view account;
    uint32_t node = (uint32_t)record->facts[0];
    mf_assert(core_node(world->core, node, &view) && core_account(world->core, record->account, &account));
    bool owner = account.node == node && world->attempt_of[record->account] == view.attempt;
    bool borrower = false;
    for (uint32_t s = 0; s < task_of(world, node, &view)->slot_count; s++) {
        const struct core_slot *slot = slot_of(world, node, &view, s);
        borrower |= slot->lender == account.node && slot->lender_slot == account.slot;
    }
    if (!owner && !borrower)
        sim_fail(world, "I6: task %u gets a token of account %u, which is not its own", node, record->account);
}

/* The state is that of the turn's end: later in it somebody may have come and wanted the task once more. */
static bool wanted_again(const struct sim_world *world, uint32_t node, uint64_t seq)
{
    for (uint32_t r = 0; r < world->turn_record_count; r++) {
        const struct core_record *record = &world->turn_records[r];
        if (record->seq > seq && record->node == node && (record->kind == CORE_TASK_REOPENED || record->kind == CORE_TASK_RERUN))
            return true;
    }
    return false;
}

/* What a borrower still waits for is kept, unless it died. */
static void check_release(struct sim_world *world, const struct core_record *record)
{
    struct core_account_view account;
    struct core_node_view owner, borrower;
    mf_assert(core_account(world->core, record->account, &account) && core_node(world->core, account.node, &owner));
    bool kept = owner.state == CORE_TASK_STATE_SUCCEEDED && core_slot_account(world->core, account.node, account.slot) == record->account;
    if (!kept || committed(world, CORE_ACCOUNT_DEAD, record->account))
        return;
    for (uint32_t t = 0; t < world->setup->graph.task_count; t++) {
        const struct core_task *task = &world->setup->tasks[t];
        mf_assert(core_node(world->core, t, &borrower));
        if (wanted_again(world, t, record->seq))
            continue;
        for (uint32_t s = task->slot_first; s < task->slot_first + task->slot_count; s++)
            if (world->setup->slots[s].lender == account.node && world->setup->slots[s].lender_slot == account.slot && !core_task_final(borrower.state))
                sim_fail(world, "account %u is given up while task %u will borrow it", record->account, t);
    }
}

/* The log of requests only grows, and so does what is journaled of it. */
static void check_head(struct sim_world *world, const struct core_record *record)
{
    for (uint64_t seq = record->seq - 1; seq > 0; seq--) {
        const struct core_record *past = sim_record(world, seq);
        if (past->kind == CORE_RUN_AUDIT && past->facts[0] >= record->facts[0])
            sim_fail(world, "an audit head of %lld after one of %lld", (long long)record->facts[0], (long long)past->facts[0]);
        if (past->kind == CORE_RUN_AUDIT)
            break;
    }
}

void sim_check_records(struct sim_world *world)
{
    for (uint32_t r = 0; r < world->turn_record_count && !world->failed; r++) {
        const struct core_record *record = &world->turn_records[r];
        struct core_node_view view;
        switch ((int)record->kind) {
        case CORE_ACCOUNT_CREATE:
            mf_assert(record->account < SIM_REMOTES_MAX && core_node(world->core, (uint32_t)record->facts[0], &view));
            world->attempt_of[record->account] = view.attempt;
            break;
        case CORE_ACCOUNT_GONE:
        case CORE_ACCOUNT_ABSENT:
        case CORE_ACCOUNT_EXPIRED:
            check_gone(world, record);
            break;
        case CORE_ACCOUNT_RELEASED:
        case CORE_ACCOUNT_CLAIMABLE:
            check_release(world, record);
            break;
        case CORE_TASK_BACKOFF:
            check_backoff(world, record);
            break;
        case CORE_LEASE_GRANT:
            check_grant(world, record);
            break;
        case CORE_RUN_DRAINING:
            world->drains++;
            break;
        case CORE_RUN_AUDIT:
            check_head(world, record);
            break;
        default:
            break;
        }
    }
}

/* --- state --- */

static void check_limits(struct sim_world *world)
{
    struct core_totals totals;
    core_totals(world->core, &totals);
    uint32_t open = totals.accounts[CORE_ACCOUNT_STATE_CREATING] + totals.accounts[CORE_ACCOUNT_STATE_ACTIVE] + totals.accounts[CORE_ACCOUNT_STATE_UNKNOWN] +
                    totals.accounts[CORE_ACCOUNT_STATE_RELEASED] + totals.accounts[CORE_ACCOUNT_STATE_DELETING];
    uint32_t creates = 0, others = 0; /* only a create has to mind the limit: what is found or torn down again counts, too */
    for (uint32_t r = 0; r < world->turn_record_count; r++) {
        creates += world->turn_records[r].kind == CORE_ACCOUNT_CREATE;
        others += world->turn_records[r].kind == CORE_ACCOUNT_ADOPTED || world->turn_records[r].kind == CORE_ACCOUNT_RETRY;
    }
    if (totals.live > world->setup->limits.running_max)
        sim_fail(world, "I5: %u attempts at once", totals.live);
    if (world->setup->limits.accounts_max > 0 && creates > 0 && open > world->setup->limits.accounts_max + others)
        sim_fail(world, "I5: %u accounts open", open);
}

static bool exited(const struct sim_world *world, uint32_t node, uint64_t stage)
{
    for (uint32_t r = world->journal_count; r-- > 0 && world->journal[r].seq > stage;)
        if (world->journal[r].kind == CORE_TASK_EXITED && world->journal[r].node == node)
            return true;
    return false;
}

static uint64_t last_seq(const struct sim_world *world, enum core_record_kind kind)
{
    for (uint32_t r = world->journal_count; r-- > 0;)
        if (world->journal[r].kind == kind)
            return world->journal[r].seq;
    return 0;
}

static void check_node(struct sim_world *world, uint32_t node, uint64_t restarted, uint64_t died)
{
    struct core_node_view view;
    mf_assert(core_node(world->core, node, &view));
    bool runs = view.state == CORE_TASK_STATE_STARTING || view.state == CORE_TASK_STATE_RUNNING || view.state == CORE_TASK_STATE_VERIFYING;
    for (uint32_t s = 0; is_live(view.state) && s < task_of(world, node, &view)->slot_count; s++) {
        uint32_t account = core_slot_account(world->core, node, s);
        struct core_account_view held;
        if (account == CORE_NONE) {
            if (runs)
                sim_fail(world, "I6: task %u runs without account", node);
            continue;
        }
        mf_assert(core_account(world->core, account, &held));
        if (runs && held.state != CORE_ACCOUNT_STATE_ACTIVE)
            sim_fail(world, "I6: task %u runs on account %u, which is %s", node, account, core_account_state_name(held.state));
        if (slot_of(world, node, &view, s)->lender == CORE_NONE && (held.node != node || world->attempt_of[account] != view.attempt))
            sim_fail(world, "I6: attempt %u of task %u holds account %u of another attempt", view.attempt, node, account);
    }
    bool quiet = core_deadline(world->core) > world->now_ms;
    if (quiet && is_live(view.state) && view.stage != 0 && (view.stage < restarted || (view.stage < died && !exited(world, node, view.stage))))
        sim_fail(world, "task %u is %s in a process that is dead", node, core_task_state_name(view.state));
}

static void check_remotes(struct sim_world *world)
{
    for (uint32_t r = 0; r < world->remote_count; r++) {
        const struct sim_remote *remote = &world->remotes[r];
        struct core_account_view view;
        uint32_t account = remote->account != 0 ? remote->account : remote->tag;
        if (!sim_remote_exists(world, remote, world->now_ms))
            continue;
        if (!core_account(world->core, account, &view) || !may_exist(view.state))
            sim_fail(world, "I1: an account with tag %u exists and nobody knows", remote->tag);
    }
}

static void check_processes(struct sim_world *world)
{
    const struct core_limits *limits = &world->setup->limits;
    for (uint32_t p = 0; p < world->process_count; p++) {
        const struct sim_process *process = &world->processes[p];
        int64_t most_ms = process->limit_ms + world->setup->profiles[0].grace_ms + limits->kill_wait_ms + limits->start_wait_ms + SLACK_MS;
        if (process->alive && !process->unkillable && world->now_ms - process->started_ms > most_ms)
            sim_fail(world, "a process of task %u has no end", process->node);
    }
}

/* What was told to stop, because it did wrong or has used its money, does not go on. */
static void check_told(struct sim_world *world)
{
    for (uint32_t t = 0; t < world->told_count; t++) {
        struct core_node_view view;
        mf_assert(core_node(world->core, world->told[t].node, &view));
        if (view.stage == world->told[t].stage && view.state != CORE_TASK_STATE_STOPPING)
            sim_fail(world, "task %u goes on although it was to be stopped", world->told[t].node);
    }
}

void sim_check_state(struct sim_world *world)
{
    check_limits(world);
    check_remotes(world);
    check_processes(world);
    check_told(world);
    uint64_t restarted = last_seq(world, CORE_RUN_RESTARTED), died = last_seq(world, CORE_RUNNER_DIED);
    for (uint32_t n = 0; n < core_node_count(world->core) && !world->failed; n++)
        check_node(world, n, restarted, died);
}

/* --- fold(journal) = state --- */

static bool same_node(const struct core_node_view *left, const struct core_node_view *right)
{
    return left->state == right->state && left->class == right->class && left->stop == right->stop && left->template == right->template &&
           left->ordinal == right->ordinal && left->attempt == right->attempt && left->stage == right->stage && left->stage_kind == right->stage_kind &&
           left->since_ms == right->since_ms && left->deadline_ms == right->deadline_ms && left->stale == right->stale;
}

static bool same_account(const struct core_account_view *left, const struct core_account_view *right)
{
    return left->state == right->state && left->node == right->node && left->slot == right->slot && left->provider == right->provider &&
           left->expires_ms == right->expires_ms && left->created_ms == right->created_ms && left->since_ms == right->since_ms && left->leases == right->leases &&
           left->has_id == right->has_id && left->revoked == right->revoked && left->tries == right->tries;
}

static void compare(struct sim_world *world, const struct core *replayed)
{
    struct core_totals mine, its;
    core_totals(world->core, &mine);
    core_totals(replayed, &its);
    if (memcmp(&mine, &its, sizeof mine) != 0 || core_node_count(world->core) != core_node_count(replayed))
        sim_fail(world, "I3: the totals of a replay differ");
    for (uint32_t n = 0; n < core_node_count(replayed); n++) {
        struct core_node_view left, right;
        if (!core_node(world->core, n, &left) || !core_node(replayed, n, &right) || !same_node(&left, &right))
            sim_fail(world, "I3: task %u differs after a replay", n);
        for (uint32_t s = 0; s < CORE_SLOTS_MAX; s++)
            if (core_slot_account(world->core, n, s) != core_slot_account(replayed, n, s))
                sim_fail(world, "I3: slot %u of task %u differs after a replay", s, n);
    }
    for (uint32_t a = 1; a <= core_account_count(replayed); a++) {
        struct core_account_view left, right;
        if (!core_account(world->core, a, &left) || !core_account(replayed, a, &right) || !same_account(&left, &right))
            sim_fail(world, "I3: account %u differs after a replay", a);
    }
}

void sim_check_fold(struct sim_world *world)
{
    struct core *replayed;
    struct mf_error error;
    if (core_create(&replayed, &world->setup->graph, &world->setup->limits, 12345, &error) != 0) {
        sim_fail(world, "core_create: %s", error.text);
        return;
    }
    for (uint32_t r = 0; r < world->journal_count && !world->failed; r++)
        if (core_apply(replayed, &world->journal[r], &error) != 0)
            sim_fail(world, "I3: %s", error.text);
    if (!world->failed)
        compare(world, replayed);
    core_destroy(replayed);
}

/* --- the end --- */

struct outcome {
    uint32_t total, succeeded, failed, ended;
};

static void count_node(const struct sim_world *world, uint32_t node, bool allow_failure, struct outcome *out)
{
    struct core_node_view view;
    mf_assert(core_node(world->core, node, &view));
    bool bad = view.state == CORE_TASK_STATE_FAILED || view.state == CORE_TASK_STATE_TIMED_OUT;
    out->total++;
    out->ended += core_task_final(view.state);
    out->succeeded += view.state == CORE_TASK_STATE_SUCCEEDED || (bad && allow_failure);
    out->failed += bad && !allow_failure;
}

static bool edge_holds(const struct sim_world *world, const struct core_edge *edge)
{
    struct outcome seen = {0};
    uint32_t first = edge->from, count = 1;
    core_instances(world->core, edge->from, &first, &count);
    for (uint32_t i = 0; i < count; i++)
        count_node(world, first + i, world->setup->tasks[edge->from].allow_failure, &seen);
    uint32_t have = edge->on == CORE_ON_SUCCEEDED ? seen.succeeded : edge->on == CORE_ON_FAILED ? seen.failed : seen.ended;
    uint32_t want = edge->on == CORE_ON_FAILED ? 1 : seen.total;
    if (edge->percent)
        for (want = 0; want * 100 < seen.total * edge->at_least;)
            want++;
    else if (edge->at_least > 0)
        want = edge->at_least;
    return have >= want;
}

static void check_edges(struct sim_world *world)
{
    for (uint32_t t = 0; t < world->setup->graph.task_count; t++) {
        struct core_node_view view;
        const struct core_task *task = &world->setup->tasks[t];
        mf_assert(core_node(world->core, t, &view));
        bool all = true;
        for (uint32_t e = task->edge_first; e < task->edge_first + task->edge_count; e++)
            all = edge_holds(world, &world->setup->edges[e]) && all;
        if (all == (view.state == CORE_TASK_STATE_SKIPPED))
            sim_fail(world, "task %u is %s, its edges %s", t, core_task_state_name(view.state), all ? "hold" : "do not hold");
    }
}

static void check_receipt(struct sim_world *world)
{
    struct core_totals totals;
    core_totals(world->core, &totals);
    const uint32_t *accounts = totals.accounts;
    uint32_t ends = accounts[CORE_ACCOUNT_STATE_GONE] + accounts[CORE_ACCOUNT_STATE_EXPIRED] + accounts[CORE_ACCOUNT_STATE_EXPIRING] +
                    accounts[CORE_ACCOUNT_STATE_CLAIMABLE] + accounts[CORE_ACCOUNT_STATE_LEAKED];
    if (ends != totals.created)
        sim_fail(world, "the receipt does not add up: created %u, ended %u", totals.created, ends);
    int code = core_exit_code(world->core, world->setup->limits.strict_teardown, world->signal_number);
    uint32_t leaks = accounts[CORE_ACCOUNT_STATE_LEAKED] + (world->setup->limits.strict_teardown ? accounts[CORE_ACCOUNT_STATE_EXPIRING] : 0);
    if ((code == 4) != (leaks > 0))
        sim_fail(world, "exit code %d with %u leaked accounts", code, accounts[CORE_ACCOUNT_STATE_LEAKED]);
    const struct core_record *last = sim_record(world, world->journal_count);
    if (last == NULL || last->kind != CORE_RUN_SETTLED || last->facts[0] != code)
        sim_fail(world, "the last record is not run.settled %d", code);
}

void sim_check_end(struct sim_world *world)
{
    for (uint32_t r = 0; r < world->remote_count; r++) {
        const struct sim_remote *remote = &world->remotes[r];
        struct core_account_view view;
        if (!sim_remote_exists(world, remote, world->now_ms))
            continue;
        bool known = core_account(world->core, remote->account != 0 ? remote->account : remote->tag, &view);
        if (!known || (view.state != CORE_ACCOUNT_STATE_EXPIRING && view.state != CORE_ACCOUNT_STATE_CLAIMABLE && view.state != CORE_ACCOUNT_STATE_LEAKED))
            sim_fail(world, "I1: an account with tag %u is left behind", remote->tag);
    }
    for (uint32_t p = 0; p < world->process_count; p++)
        if (world->processes[p].alive && !world->processes[p].unkillable)
            sim_fail(world, "a process of task %u is left behind", world->processes[p].node);
    check_receipt(world);
    sim_check_fold(world);
    if (world->drains + world->reruns + world->cancels == 0 && last_seq(world, CORE_TASK_RERUN) == 0)
        check_edges(world);
}
