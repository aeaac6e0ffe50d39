/*
 * provision.c - the jobs of all providers: starting, going on, cancelling, tearing everything down
 *
 * Callbacks run from the loop, never from inside a call of the caller: what ends inside a call is told from a later turn.
 * Everything that a job held is wiped when it ends.
 */
#include "app/provision_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crash.h"
#include "base/heap.h"

#include <string.h>
#include <sys/random.h>

/* --- starting --- */

static struct mf_span keep(struct mf_buf *text, struct mf_span span)
{
    size_t at = text->length;
    mf_buf_span(text, span); /* there is room: the buffer does not move */
    return (struct mf_span){text->data + at, span.length};
}

static int copy_spec(struct provision_job *job, const struct provision_spec *spec, struct recipe_vars *vars)
{
    size_t bytes = spec->tag.length + spec->owner_prefix.length + spec->ids_json.length + spec->secrets_json.length + 1;
    for (uint32_t i = 0; i < spec->permission_count; i++)
        bytes += spec->permissions[i].length;
    mf_buf_init_secret(&job->text, bytes);
    job->permissions = mf_calloc(spec->permission_count + 1u, sizeof *job->permissions);
    if (job->permissions == NULL || mf_buf_reserve(&job->text, bytes) != 0)
        return -1;
    vars->tag = keep(&job->text, spec->tag);
    vars->owner_prefix = keep(&job->text, spec->owner_prefix);
    vars->ids_json = keep(&job->text, spec->ids_json);
    vars->secrets_json = keep(&job->text, spec->secrets_json);
    for (uint32_t i = 0; i < spec->permission_count; i++)
        job->permissions[i] = keep(&job->text, spec->permissions[i]);
    vars->permissions = job->permissions;
    vars->permission_count = spec->permission_count;
    return 0;
}

static int take_credential(struct provision_job *job, struct recipe_vars *vars, struct mf_error *error)
{
    const struct provision_provider *provider = &provision_gate_of(job)->provider;
    struct mf_span credential;
    mf_buf_init_secret(&job->credential, 65536);
    if (!recipe_info(provider->recipe)->needs_credential || provider->credential == NULL)
        return 0;
    if (provider->credential(provider->credential_context, false, &credential, error) != 0)
        return -1;
    if (mf_buf_span(&job->credential, credential) != 0)
        return mf_fail(error, MF_LIMIT, "provider %s: the operator's credential is too long",
                       recipe_info(provider->recipe)->name);
    vars->credential = mf_buf_view(&job->credential);
    return 0;
}

static int take_random(struct provision_job *job, struct recipe_vars *vars, struct mf_error *error)
{
    uint8_t bytes[24];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return mf_fail(error, MF_OS, "random: not available");
    mf_base64url(bytes, sizeof bytes, job->random);
    mf_wipe(bytes, sizeof bytes);
    vars->random = mf_span(job->random);
    return 0;
}

static int prepare(struct provision_job *job, const struct provision_spec *spec, struct mf_error *error)
{
    const struct provision_gate *gate = provision_gate_of(job);
    struct recipe_vars vars = {
        .op = spec->op,
        .base_url = mf_span(gate->base_url),
        .inputs = gate->provider.inputs,
        .input_count = gate->provider.input_count,
        .expires_ms = spec->expires_ms,
        .now_ms = provision_wall_ms(),
        .terms_accepted = true, /* the app refuses to start a run before they are */
        .expired = spec->expired,
    };
    if (copy_spec(job, spec, &vars) != 0)
        return mf_fail(error, MF_MEMORY, "provider %s: no memory for a job", recipe_info(gate->provider.recipe)->name);
    if (take_credential(job, &vars, error) != 0 || (spec->op == RECIPE_CREATE && take_random(job, &vars, error) != 0))
        return -1;
    return recipe_begin(&job->exec, gate->provider.recipe, &vars, error);
}

int provision_start(struct provision *provision, const struct provision_spec *spec, const struct provision_calls *calls,
                    void *context, struct provision_job **out, struct mf_error *error)
{
    mf_assert(spec->provider < provision->gate_count);
    *out = NULL;
    struct provision_job *job = mf_calloc(1, sizeof *job);
    if (job == NULL)
        return mf_fail(error, MF_MEMORY, "provisioning: no memory for a job");
    *job = (struct provision_job){.provision = provision,
                                  .provider = spec->provider,
                                  .op = spec->op,
                                  .teardown = spec->teardown,
                                  .calls = calls,
                                  .context = context,
                                  .next = provision->jobs};
    if (provision->jobs != NULL)
        provision->jobs->previous = job;
    provision->jobs = job;
    if (prepare(job, spec, error) != 0) {
        provision_job_free(job);
        return -1;
    }
    *out = job;
    provision_advance(job, NULL, true);
    return 0;
}

void provision_continue(struct provision_job *job)
{
    if (job->state == PROVISION_AT_COMMIT)
        provision_advance(job, NULL, true);
}

void provision_cancel(struct provision_job *job)
{
    static const struct recipe_reply unsent = {.kind = RECIPE_REPLY_HTTP};
    if (job->cancelled || job->state == PROVISION_DONE)
        return;
    job->cancelled = true;
    switch (job->state) {
    case PROVISION_AT_GATE:
        provision_queue_remove(job->teardown ? &provision_gate_of(job)->teardown : &provision_gate_of(job)->others,
                               job);
        provision_advance(job, &unsent, true);
        break;
    case PROVISION_IN_WAIT:
        net_timer_set(job->timer, MF_NEVER);
        provision_advance(job, &unsent, true);
        break;
    case PROVISION_IN_FLIGHT:
        net_request_cancel(job->request);
        break;
    case PROVISION_IN_PROOF:
        pow_work_cancel(job->work);
        break;
    case PROVISION_AT_COMMIT: /* ends when the caller continues */
    case PROVISION_UNSENT:
    case PROVISION_DONE:
        break;
    }
}

bool provision_found(const struct provision_job *job, uint32_t index, struct mf_span *ids_json, struct mf_span *tag)
{
    return recipe_found(job->exec, index, ids_json, tag);
}

int64_t provision_found_created_ms(const struct provision_job *job, uint32_t index)
{
    return recipe_found_created_ms(job->exec, index);
}

/* --- the whole --- */

static void wake(void *context)
{
    net_loop_wake(context);
}

static int open_parts(struct provision *provision, const struct provision_provider *providers, uint32_t pow_threads,
                      struct mf_error *error)
{
    bool proofs = false;
    for (uint32_t i = 0; i < provision->gate_count; i++) {
        struct provision_gate *gate = &provision->gates[i];
        *gate = (struct provision_gate){.provision = provision, .provider = providers[i], .index = i};
        if (provision_gate_open(gate, error) != 0)
            return -1;
        proofs = proofs || recipe_info(providers[i].recipe)->has_proof_of_work;
    }
    if (proofs && pow_pool_create(&provision->pool, pow_threads, wake, provision->loop, error) != 0)
        return -1;
    return net_timer_create(&provision->later_timer, provision->loop, provision_on_later, provision, error);
}

int provision_create(struct provision **out, struct net_loop *loop, struct net_client *client,
                     const struct provision_provider *providers, uint32_t provider_count, uint32_t pow_threads,
                     const struct provision_events *events, void *context, struct mf_error *error)
{
    *out = NULL;
    struct provision *provision = mf_calloc(1, sizeof *provision);
    struct provision_gate *gates = mf_calloc(provider_count + 1u, sizeof *gates);
    if (provision == NULL || gates == NULL) {
        mf_free(provision);
        mf_free(gates);
        return mf_fail(error, MF_MEMORY, "provisioning: no memory");
    }
    *provision = (struct provision){.loop = loop,
                                    .client = client,
                                    .gates = gates,
                                    .gate_count = provider_count,
                                    .events = events,
                                    .context = context};
    mf_rng_seed(&provision->rng, (uint64_t)provision_wall_ms() ^ (uint64_t)(uintptr_t)provision);
    if (open_parts(provision, providers, pow_threads, error) != 0) {
        provision_destroy(provision);
        return -1;
    }
    *out = provision;
    return 0;
}

void provision_destroy(struct provision *provision)
{
    if (provision == NULL)
        return;
    pow_pool_destroy(provision->pool); /* first: no proof may come for a job that is gone */
    while (provision->jobs != NULL) {
        struct provision_job *job = provision->jobs;
        if (job->request != NULL)
            net_request_cancel(job->request);
        provision_job_free(job);
    }
    for (uint32_t i = 0; i < provision->gate_count; i++)
        provision_gate_close(&provision->gates[i]);
    if (provision->later_timer != NULL)
        net_timer_destroy(provision->later_timer);
    mf_free(provision->gates);
    mf_free(provision);
}

void provision_crash_points(struct provision *provision)
{
    for (struct provision_job *job = provision->jobs; job != NULL; job = job->next) {
        if (job->state != PROVISION_IN_FLIGHT || job->seen_sent || !job->want.http.effect ||
            !net_request_sent(job->request))
            continue;
        job->seen_sent = true;
        if (job->op == RECIPE_CREATE)
            CRASH_POINT(4);
        else if (job->op == RECIPE_DELETE)
            CRASH_POINT(14);
    }
}

void provision_counters(const struct provision *provision, struct provision_counters *out)
{
    *out = provision->counters;
}

void provision_collect(struct provision *provision)
{
    if (provision != NULL && provision->pool != NULL)
        pow_pool_collect(provision->pool);
}
