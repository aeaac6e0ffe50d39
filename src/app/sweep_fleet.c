/*
 * sweep_fleet.c - the accounts that a sweep has found, given to a core of their own until each has an end
 *
 * The core sees a run of one task that is over, whose accounts were all adopted: it orders revokes before deletes, bounds what is in
 * flight, waits and tries again, reads back and says what is left, exactly as for any other run. There is no journal: a sweep that
 * is killed is begun again, and the provider's list is where it left off.
 */
#include "app/sweep_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"

#include <stdio.h>
#include <string.h>

struct fleet_job { /* context of one provision job; freed in done */
    struct sweep *sweep;
    enum recipe_op op;
    uint32_t account;
};

static void tell(struct sweep *sweep, const struct core_input *input);

static struct sweep_item *item_of(const struct sweep *sweep, uint32_t account)
{
    return &sweep->result->items[sweep->taken[account - 1]];
}

static void on_done(void *context, struct provision_job *job, const struct recipe_result *result)
{
    (void)job;
    struct fleet_job *owner = context;
    struct sweep *sweep = owner->sweep;
    struct sweep_item *item = item_of(sweep, owner->account);
    if (owner->op == RECIPE_DELETE || owner->op == RECIPE_CHECK)
        CRASH_POINT(15);
    if (result->verdict != RECIPE_VERDICT_SUCCESS && result->verdict != RECIPE_VERDICT_GONE)
        snprintf(item->reason, sizeof item->reason, "%s", result->reason);
    struct core_input input =
        app_account_answer(recipe_info(sweep->provider.recipe), owner->op, owner->account, result);
    mf_free(owner);
    tell(sweep, &input);
}

static void start(struct sweep *sweep, const struct core_command *command)
{
    static const struct provision_calls calls = {.done = on_done};
    const struct sweep_item *item = item_of(sweep, command->account);
    struct core_account_view view;
    struct mf_error error;
    char tag[TAG_BYTES];
    struct fleet_job *owner = mf_alloc(sizeof *owner);
    struct provision_job *job;
    bool known = core_account(sweep->core, command->account, &view);
    mf_assert(known && owner != NULL);
    *owner = (struct fleet_job){.sweep = sweep, .op = app_account_op(command->kind), .account = command->account};
    if (owner->op == RECIPE_DELETE)
        CRASH_POINT(13);
    tag_format(item->tag.owner, item->tag.run, item->tag.n, tag);
    struct provision_spec spec = {.op = app_recipe_op(recipe_info(sweep->provider.recipe), owner->op),
                                  .tag = mf_span(tag),
                                  .ids_json = mf_span(item->ids),
                                  .teardown = true,
                                  .expired = view.expires_ms > 0 && view.expires_ms <= sweep_now(sweep)};
    if (provision_start(sweep->provision, &spec, &calls, owner, &job, &error) == 0)
        return;
    struct recipe_result failed = {.verdict = RECIPE_VERDICT_RETRY};
    snprintf(failed.reason, sizeof failed.reason, "%.199s", error.text);
    on_done(owner, NULL, &failed);
}

/* Where the fleet is after a step: it is over, or the next deadline is armed. */
static void look_ahead(struct sweep *sweep)
{
    if (core_settled(sweep->core)) {
        net_loop_stop(sweep->loop);
        return;
    }
    int64_t deadline = core_deadline(sweep->core);
    net_loop_deadline(sweep->loop, deadline == CORE_NEVER ? MF_NEVER : deadline - sweep->base_ms + sweep->start_ms);
}

static void step(struct sweep *sweep, struct core_input input)
{
    struct mf_error error;
    int reserved = core_reserve(sweep->core, 0, &error);
    mf_assert(reserved == 0);
    input.now_ms = sweep_now(sweep);
    const struct core_batch *batch = core_step(sweep->core, &input);
    for (uint32_t i = 0; i < batch->command_count; i++)
        if (batch->commands[i].account != CORE_NONE)
            start(sweep, &batch->commands[i]);
}

/* The core is never re-entered: what a command answers at once waits for its turn. */
static void tell(struct sweep *sweep, const struct core_input *input)
{
    int grown =
        mf_grow((void **)&sweep->inputs, &sweep->input_capacity, sweep->input_count + 1, sizeof *sweep->inputs, 64);
    mf_assert(grown == 0);
    sweep->inputs[sweep->input_count++] = *input;
    if (sweep->stepping)
        return;
    sweep->stepping = true;
    for (size_t i = 0; i < sweep->input_count; i++)
        step(sweep, sweep->inputs[i]);
    sweep->input_count = 0;
    sweep->stepping = false;
    look_ahead(sweep);
}

static void on_turn(void *context)
{
    struct sweep *sweep = context;
    if (!core_settled(sweep->core) && core_deadline(sweep->core) <= sweep_now(sweep))
        tell(sweep, &(struct core_input){.kind = CORE_INPUT_TICK});
    if (!core_settled(sweep->core) && core_deadline(sweep->core) <= sweep_now(sweep))
        net_loop_again(sweep->loop);
}

static int apply(struct sweep *sweep, enum core_record_kind kind, uint32_t node, uint32_t account,
                 struct mf_error *error)
{
    struct core_record record = {
        .seq = core_seq(sweep->core) + 1, .at_ms = sweep_now(sweep), .kind = kind, .node = node, .account = account};
    return core_apply(sweep->core, &record, error);
}

/* What a journal would have said: a run whose only task is over, and each of these accounts was found. */
static int replay(struct sweep *sweep, uint32_t count, struct mf_error *error)
{
    if (apply(sweep, CORE_RUN_OPENED, CORE_NONE, CORE_NONE, error) != 0 ||
        apply(sweep, CORE_TASK_CANCELLED, 0, CORE_NONE, error) != 0)
        return -1;
    for (uint32_t n = 1; n <= count; n++)
        if (apply(sweep, CORE_ACCOUNT_ADOPTED, CORE_NONE, n, error) != 0)
            return -1;
    return 0;
}

static void take_ends(const struct sweep *sweep)
{
    for (uint32_t n = 1; n <= core_account_count(sweep->core); n++) {
        struct core_account_view view;
        if (!core_account(sweep->core, n, &view))
            continue;
        item_of(sweep, n)->state = view.state;
        item_of(sweep, n)->expires_ms = view.expires_ms;
    }
}

static void run_core(struct sweep *sweep)
{
    net_loop_on_turn(sweep->loop, on_turn, sweep);
    tell(sweep, &(struct core_input){.kind = CORE_INPUT_RESTARTED});
    if (!core_settled(sweep->core))
        net_loop_run(sweep->loop);
    net_loop_deadline(sweep->loop, MF_NEVER);
    net_loop_on_turn(sweep->loop, NULL, NULL);
    take_ends(sweep);
    mf_free(sweep->inputs);
    sweep->inputs = NULL;
    sweep->input_capacity = 0;
}

int sweep_fleet(struct sweep *sweep, size_t first, struct mf_error *error)
{
    const struct core_provider provider = app_core_provider(recipe_info(sweep->provider.recipe));
    const struct core_slot slot = {.provider = 0, .lender = CORE_NONE};
    const struct core_profile profile = {
        .timeout_ms = 1, .prepare_timeout_ms = 1, .verify_timeout_ms = 1, .grace_ms = 1, .attempts_max = 1};
    const struct core_task task = {.slot_count = 1};
    const struct core_graph graph = {.tasks = &task,
                                     .task_count = 1,
                                     .slots = &slot,
                                     .slot_count = 1,
                                     .profiles = &profile,
                                     .profile_count = 1,
                                     .providers = &provider,
                                     .provider_count = 1};
    sweep->taken = mf_calloc(sweep->result->count - first, sizeof *sweep->taken);
    if (sweep->taken == NULL)
        return mf_fail(error, MF_MEMORY, "sweep: no memory for %zu accounts", sweep->result->count - first);
    uint32_t count = 0;
    for (size_t i = first; i < sweep->result->count; i++)
        if (sweep->result->items[i].left == SWEEP_TAKEN)
            sweep->taken[count++] = i;
    int result = core_create(&sweep->core, &graph, &core_limits_default, (uint64_t)sweep->start_ms, error);
    if (result == 0)
        result = replay(sweep, count, error);
    if (result == 0)
        run_core(sweep);
    core_destroy(sweep->core);
    sweep->core = NULL;
    mf_free(sweep->taken);
    sweep->taken = NULL;
    return result;
}
