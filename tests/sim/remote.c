/* remote.c - the provider: accounts that exist or not, whatever the answers say */
#include "world.h"

#include "base/assert.h"

bool sim_remote_exists(const struct sim_world *world, const struct sim_remote *remote, int64_t at_ms)
{
    (void)world;
    return remote->created_ms <= at_ms && remote->deleted_ms > at_ms && remote->expires_ms > at_ms;
}

static const struct core_provider *provider_of(const struct sim_world *world, uint32_t account)
{
    struct core_account_view view;
    mf_assert(core_account(world->core, account, &view));
    return &world->setup->providers[view.provider];
}

static struct sim_remote *remote_of(struct sim_world *world, uint32_t account)
{
    for (uint32_t r = 0; r < world->remote_count; r++)
        if (world->remotes[r].account == account)
            return &world->remotes[r];
    return NULL;
}

/* --- effects --- */

static void effect_create(struct sim_world *world, const struct sim_event *event)
{
    mf_assert(world->remote_count < SIM_REMOTES_MAX);
    struct core_account_view view;
    mf_assert(world->core != NULL && core_account(world->core, event->subject, &view));
    int64_t lifetime_ms = world->setup->providers[view.provider].lifetime_ms;
    int64_t end_ms = event->input.kind == CORE_INPUT_CREATED && event->input.expires_ms > 0 ? event->input.expires_ms : CORE_NEVER;
    if (end_ms == CORE_NEVER && lifetime_ms > 0)
        end_ms = world->now_ms + lifetime_ms;
    bool known = event->has_input && (event->input.kind == CORE_INPUT_CREATED || event->input.kind == CORE_INPUT_CREATE_STEP);
    world->remotes[world->remote_count++] = (struct sim_remote){.tag = event->subject, .account = known ? event->subject : 0, .provider = view.provider,
                                                                .created_ms = world->now_ms, .deleted_ms = CORE_NEVER, .expires_ms = end_ms};
}

/* What a list shows may be as old as the provider's consistency window. */
static bool seen(struct sim_world *world, const struct sim_remote *remote, int64_t lag_ms)
{
    return sim_remote_exists(world, remote, world->now_ms - lag_ms) && remote->expires_ms > world->now_ms;
}

static void answer_find(struct sim_world *world, struct sim_event *event, int64_t lag_ms)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < world->remote_count; r++)
        count += world->remotes[r].tag == event->subject && world->remotes[r].account == 0 && seen(world, &world->remotes[r], lag_ms);
    event->input.kind = count > 0 ? CORE_INPUT_FOUND : CORE_INPUT_NOT_FOUND;
    event->input.count = count;
    uint32_t next = core_account_count(world->core) + 1;
    bool first = true;
    for (uint32_t r = 0; r < world->remote_count; r++) {
        struct sim_remote *remote = &world->remotes[r];
        if (remote->tag != event->subject || remote->account != 0 || !seen(world, remote, lag_ms))
            continue;
        remote->account = first ? event->subject : next++;
        first = false;
    }
}

static void effect_read(struct sim_world *world, struct sim_event *event)
{
    int64_t window_ms = provider_of(world, event->subject)->consistency_ms;
    int64_t lag_ms = window_ms > 0 ? (int64_t)mf_rng_below(&world->rng, (uint64_t)window_ms + 1) : 0;
    if (event->input.kind == CORE_INPUT_FOUND) {
        answer_find(world, event, lag_ms);
        return;
    }
    const struct sim_remote *remote = remote_of(world, event->subject);
    event->input.kind = remote != NULL && seen(world, remote, lag_ms) ? CORE_INPUT_STILL_THERE : CORE_INPUT_GONE;
}

static void effect_delete(struct sim_world *world, struct sim_event *event)
{
    struct sim_remote *remote = remote_of(world, event->subject);
    bool there = remote != NULL && sim_remote_exists(world, remote, world->now_ms);
    if (there && event->effect == SIM_EFFECT_SWEEP)
        remote->swept = true;
    else if (there)
        remote->deleted_ms = world->now_ms;
    if (!there && event->has_input && (event->input.kind == CORE_INPUT_DELETED || event->input.kind == CORE_INPUT_SWEPT))
        event->input.kind = CORE_INPUT_GONE;
}

void sim_account_effect(struct sim_world *world, struct sim_event *event)
{
    struct sim_remote *remote;
    switch ((int)event->effect) {
    case SIM_EFFECT_CREATE:
        effect_create(world, event);
        break;
    case SIM_EFFECT_READ:
        effect_read(world, event);
        break;
    case SIM_EFFECT_REVOKE:
        remote = remote_of(world, event->subject);
        if (remote != NULL)
            remote->revoked = true;
        break;
    case SIM_EFFECT_DELETE:
    case SIM_EFFECT_SWEEP:
        effect_delete(world, event);
        break;
    default:
        break;
    }
}

/* --- commands --- */

static void answer(struct sim_world *world, const struct core_command *command, struct sim_behaviour how, enum sim_effect effect, enum core_input_kind kind, bool flag)
{
    struct core_input input = {.kind = kind, .account = command->account, .flag = flag, .after_ms = how.after_ms};
    int64_t lifetime_ms = provider_of(world, command->account)->lifetime_ms;
    if (lifetime_ms > 0 && how.expires_ms > lifetime_ms)
        how.expires_ms = lifetime_ms; /* what a provider promises is the most that it gives */
    if (kind == CORE_INPUT_CREATED && how.expires_ms > 0)
        input.expires_ms = world->now_ms + how.delay_ms + how.expires_ms;
    if (how.fault == SIM_HANG)
        how.delay_ms = 60000; /* the client gives up, and says so */
    sim_push(world, (struct sim_event){.at_ms = world->now_ms + how.delay_ms, .effect = effect, .subject = command->account, .has_input = true, .answers = true, .input = input});
}

static void command_create(struct sim_world *world, const struct core_command *command, struct sim_behaviour how)
{
    struct sim_event lost = {.at_ms = world->now_ms + how.delay_ms / 2, .effect = SIM_EFFECT_CREATE, .subject = command->account};
    switch ((int)how.fault) {
    case SIM_RETRY:
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_CREATE_ABSENT, false);
        break;
    case SIM_REFUSED:
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_CREATE_ABSENT, true);
        break;
    case SIM_LOST_TWICE:
        sim_push(world, lost);
        sim_push(world, lost);
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_CREATE_UNKNOWN, false);
        break;
    case SIM_LOST_DONE:
        sim_push(world, lost);
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_CREATE_UNKNOWN, false);
        break;
    case SIM_LOST:
    case SIM_HANG:
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_CREATE_UNKNOWN, false);
        break;
    case SIM_STEP_LOST:
        lost.has_input = true;
        lost.input = (struct core_input){.kind = CORE_INPUT_CREATE_STEP, .account = command->account, .step = 1};
        sim_push(world, lost);
        answer(world, command, how, SIM_EFFECT_NONE, how.count == 0 ? CORE_INPUT_CREATE_UNKNOWN : CORE_INPUT_CREATE_ABSENT, how.count == 2);
        break;
    default:
        answer(world, command, how, SIM_EFFECT_CREATE, CORE_INPUT_CREATED, false);
        if (how.count == 7) /* an answer that comes twice */
            sim_input(world, how.delay_ms + 3, (struct core_input){.kind = CORE_INPUT_CREATED, .account = command->account});
        break;
    }
}

static void command_delete(struct sim_world *world, const struct core_command *command, struct sim_behaviour how)
{
    bool sweeps = provider_of(world, command->account)->lifetime_ms > 0 && !provider_of(world, command->account)->can_check;
    enum sim_effect effect = sweeps ? SIM_EFFECT_SWEEP : SIM_EFFECT_DELETE;
    enum core_input_kind yes = sweeps ? CORE_INPUT_SWEPT : CORE_INPUT_DELETED;
    switch ((int)how.fault) {
    case SIM_RETRY:
    case SIM_HANG:
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_DELETE_RETRY, false);
        break;
    case SIM_RETRY_DONE:
        answer(world, command, how, effect, CORE_INPUT_DELETE_RETRY, false);
        break;
    case SIM_REFUSED:
        answer(world, command, how, SIM_EFFECT_NONE, CORE_INPUT_DELETE_RETRY, true);
        break;
    case SIM_LIE:
        answer(world, command, how, SIM_EFFECT_NONE, provider_of(world, command->account)->can_check ? CORE_INPUT_DELETED : CORE_INPUT_DELETE_RETRY, false);
        break;
    default:
        answer(world, command, how, effect, yes, false);
        break;
    }
}

static void command_simple(struct sim_world *world, const struct core_command *command, struct sim_behaviour how, enum sim_effect effect, enum core_input_kind yes,
                           enum core_input_kind retry)
{
    if (how.fault == SIM_RETRY || how.fault == SIM_HANG)
        answer(world, command, how, SIM_EFFECT_NONE, retry, false);
    else if (how.fault == SIM_RETRY_DONE)
        answer(world, command, how, effect == SIM_EFFECT_READ ? SIM_EFFECT_NONE : effect, retry, false);
    else if (how.fault == SIM_REFUSED)
        answer(world, command, how, SIM_EFFECT_NONE, retry, true);
    else
        answer(world, command, how, effect, yes, false);
}

void sim_account_command(struct sim_world *world, const struct core_command *command)
{
    struct sim_behaviour how = world->choose(world, command);
    world->busy[command->account] = (uint8_t)(command->kind + 1);
    switch ((int)command->kind) {
    case CORE_COMMAND_CREATE:
        command_create(world, command, how);
        break;
    case CORE_COMMAND_FIND:
        command_simple(world, command, how, SIM_EFFECT_READ, CORE_INPUT_FOUND, CORE_INPUT_FIND_RETRY);
        break;
    case CORE_COMMAND_REVOKE:
        command_simple(world, command, how, SIM_EFFECT_REVOKE, CORE_INPUT_REVOKED, CORE_INPUT_REVOKE_RETRY);
        break;
    case CORE_COMMAND_DELETE:
        command_delete(world, command, how);
        break;
    case CORE_COMMAND_CHECK:
        command_simple(world, command, how, SIM_EFFECT_READ, CORE_INPUT_STILL_THERE, CORE_INPUT_CHECK_RETRY);
        break;
    default:
        break;
    }
}
