/*
 * provision_job.c - one job: what its execution wants is done, and the reply handed back, until there is a verdict
 *
 * Three things are decided here, because they are about requests and not about accounts: a request without effect that was
 * lost is repeated at once (three tries); a request with an effect never is; after a 401 the operator's credential is read
 * again, once for each job.
 */
#include "app/provision_private.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/heap.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONNECT_MS 10000
#define STALL_MS 30000
#define TOTAL_MS 60000
#define ANSWER_BYTES_MAX (8u << 20) /* lists of 1,000 objects are below 2 MiB */
#define HEADERS_MAX 128u            /* of an answer; more are not looked at */
#define TRIES_MAX 3                 /* of a request without effect */
#define TRY_AGAIN_MS 100            /* doubles, with jitter */
#define WAIT_IN_JOB_MS_MAX 5000     /* a longer Retry-After ends the job: its caller decides */

/* Like core time it does not jump when somebody sets the clock: the provider's is compared with it from request to request. */
int64_t provision_wall_ms(void)
{
    static int64_t base_ms;
    struct timespec now;
    if (base_ms == 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        base_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - net_now_ms();
    }
    return base_ms + net_now_ms();
}

struct provision_gate *provision_gate_of(const struct provision_job *job)
{
    return &job->provision->gates[job->provider];
}

/* --- ending a job --- */

void provision_job_free(struct provision_job *job)
{
    struct provision *provision = job->provision;
    if (job->previous != NULL)
        job->previous->next = job->next;
    else if (provision->jobs == job)
        provision->jobs = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    if (job->flight != NULL)
        job->flight->job = NULL;
    if (job->timer != NULL)
        net_timer_destroy(job->timer);
    recipe_exec_destroy(job->exec);
    mf_buf_free(&job->text);
    mf_buf_free(&job->credential);
    mf_free(job->permissions);
    mf_free_secret(job, sizeof *job);
}

static void deliver(struct provision_job *job)
{
    struct recipe_result *result = &job->want.result;
    if (job->cancelled && result->verdict != RECIPE_VERDICT_SUCCESS && result->verdict != RECIPE_VERDICT_UNKNOWN) {
        result->verdict = result->verdict == RECIPE_VERDICT_GONE ? RECIPE_VERDICT_GONE : RECIPE_VERDICT_RETRY;
        snprintf(result->reason, sizeof result->reason, "cancelled");
    }
    job->calls->done(job->context, job, result);
    provision_job_free(job);
}

void provision_later(struct provision_job *job, enum provision_state state)
{
    job->state = state;
    provision_queue_push(&job->provision->later, job);
    net_timer_set(job->provision->later_timer, net_now_ms());
}

void provision_on_later(void *context)
{
    struct provision *provision = context;
    static const struct recipe_reply unsent = {.kind = RECIPE_REPLY_HTTP};
    struct provision_queue queue = provision->later; /* what comes up meanwhile waits for the next turn */
    provision->later = (struct provision_queue){0};
    for (struct provision_job *job; (job = provision_queue_pop(&queue)) != NULL;) {
        if (job->state == PROVISION_DONE)
            deliver(job);
        else
            provision_advance(job, &unsent, false);
    }
}

/* --- waiting --- */

static void on_timer(void *context)
{
    struct provision_job *job = context;
    if (job->state != PROVISION_IN_WAIT)
        return;
    if (job->repeat)
        provision_gate_enter(provision_gate_of(job), job);
    else
        provision_advance(job, NULL, false);
}

/* Without a timer the wait is skipped: it was a courtesy. */
static void wait_for(struct provision_job *job, int64_t wait_ms, bool repeat)
{
    job->state = PROVISION_IN_WAIT;
    job->repeat = repeat;
    if (job->timer == NULL && net_timer_create(&job->timer, job->provision->loop, on_timer, job, NULL) != 0) {
        job->timer = NULL;
        provision_later(job, PROVISION_UNSENT);
        return;
    }
    net_timer_set(job->timer, net_now_ms() + wait_ms);
}

/* --- requests --- */

static bool same_secret(struct mf_span left, const struct mf_buf *right)
{
    return mf_span_equal(left, mf_buf_view(right));
}

/* True when the source gives another credential than the one that was refused: the same request goes out again. */
static bool refresh(struct provision_job *job)
{
    const struct provision_provider *provider = &provision_gate_of(job)->provider;
    struct mf_span fresh;
    if (job->refreshed || job->cancelled || provider->credential == NULL || job->credential.length == 0)
        return false;
    job->refreshed = true;
    bool changed = provider->credential(provider->credential_context, false, &fresh, NULL) == 0 &&
                   !same_secret(fresh, &job->credential);
    if (!changed) /* else another job has read it meanwhile */
        changed = provider->credential(provider->credential_context, true, &fresh, NULL) == 0 &&
                  !same_secret(fresh, &job->credential);
    if (!changed)
        return false;
    mf_buf_clear(&job->credential);
    return mf_buf_span(&job->credential, fresh) == 0 &&
           recipe_rebuild(job->exec, mf_buf_view(&job->credential), &job->want);
}

/* Handles what needs no verdict; true when the request goes out again. */
static bool try_again(struct provision_job *job, const struct recipe_reply *reply, int64_t gate_ms)
{
    if (reply->answered && reply->status == 401 && refresh(job)) {
        provision_gate_enter(provision_gate_of(job), job);
        return true;
    }
    bool lost = !reply->answered || reply->status >= 400;
    if (job->want.http.effect || job->cancelled || !lost || job->tries >= TRIES_MAX || gate_ms > WAIT_IN_JOB_MS_MAX)
        return false;
    if (recipe_judge(job->exec, reply) != RECIPE_VERDICT_RETRY)
        return false;
    job->provision->counters.retried++;
    int64_t pause_ms = (int64_t)TRY_AGAIN_MS << (job->tries - 1);
    if (gate_ms > 0)
        provision_gate_enter(provision_gate_of(job), job); /* the gate is the pause */
    else
        wait_for(job, pause_ms / 2 + (int64_t)mf_rng_below(&job->provision->rng, (uint64_t)pause_ms), true);
    return true;
}

static void on_answer(void *context, const struct net_answer *answer)
{
    struct provision_flight *flight = context;
    struct provision_job *job = flight->job;
    mf_free(flight);
    if (job == NULL)
        return;
    job->flight = NULL;
    job->request = NULL;
    struct recipe_value headers[HEADERS_MAX];
    uint32_t count = answer->header_count < HEADERS_MAX ? answer->header_count : HEADERS_MAX;
    for (uint32_t i = 0; i < count; i++)
        headers[i] = (struct recipe_value){answer->headers[i].name, answer->headers[i].value};
    struct recipe_reply reply = {
        .kind = RECIPE_REPLY_HTTP,
        .sent = answer->sent != NET_NOT_SENT,
        .untrusted = answer->untrusted,
        .failure = answer->sent == NET_ANSWERED ? (struct mf_span){NULL, 0} : mf_span(answer->error.text),
        .answered = answer->sent == NET_ANSWERED,
        .status = answer->status,
        .headers = headers,
        .header_count = count,
        .body = answer->body,
        .received_ms = provision_wall_ms(),
    };
    int64_t gate_ms = provision_gate_learn(provision_gate_of(job), &reply, job->since_ms);
    if (!try_again(job, &reply, gate_ms))
        provision_advance(job, &reply, false);
    mf_wipe(headers, sizeof headers);
}

void provision_send(struct provision_job *job)
{
    const struct recipe_request *request = &job->want.http;
    struct net_header headers[32];
    mf_assert(request->header_count <= sizeof headers / sizeof *headers); /* 24 and two of our own, by the loader */
    for (uint32_t i = 0; i < request->header_count; i++)
        headers[i] = (struct net_header){request->headers[i].name, request->headers[i].value};
    struct net_request_spec spec = {
        .method = request->method,
        .url = request->url,
        .headers = headers,
        .header_count = request->header_count,
        .body = request->body,
        .timeout_ms = TOTAL_MS,
        .connect_timeout_ms = CONNECT_MS,
        .stall_timeout_ms = STALL_MS,
        .answer_bytes_max = ANSWER_BYTES_MAX,
    };
    job->state = PROVISION_IN_FLIGHT;
    job->seen_sent = false;
    job->tries++;
    job->since_ms = net_now_ms();
    job->provision->counters.requests++;
    job->flight = mf_alloc(sizeof *job->flight);
    if (job->flight != NULL) {
        job->flight->job = job;
        if (net_client_submit(job->provision->client, &spec, on_answer, job->flight, &job->request, NULL) == 0)
            return;
    }
    mf_free(job->flight);
    job->flight = NULL;
    job->request = NULL;
    provision_later(job, PROVISION_UNSENT);
}

/* --- proofs --- */

static void on_proof(void *context, struct mf_span solution, bool cancelled)
{
    struct provision_job *job = context;
    struct provision_counters *counters = &job->provision->counters;
    job->work = NULL;
    if (!cancelled) {
        counters->proofs++;
        counters->proof_hashes += job->hashes;
        counters->proof_ms += net_now_ms() - job->since_ms;
    }
    struct recipe_reply reply = {.kind = RECIPE_REPLY_PROOF,
                                 .proof = cancelled ? (struct mf_span){NULL, 0} : solution,
                                 .received_ms = provision_wall_ms()};
    provision_advance(job, &reply, false);
}

/* False when the challenge is out of bounds: that costs nothing, and the recipe says what it means. */
static bool start_proof(struct provision_job *job)
{
    const struct recipe_proof *proof = &job->want.proof;
    if (job->provision->pool == NULL || pow_check(proof->k, proof->g, NULL) != 0)
        return false;
    struct pow_challenge challenge = {.k = (uint32_t)proof->k, .g = (uint32_t)proof->g};
    memcpy(challenge.seed, proof->seed, sizeof challenge.seed);
    job->state = PROVISION_IN_PROOF;
    job->since_ms = net_now_ms();
    job->hashes = proof->k * proof->g;
    return pow_pool_submit(job->provision->pool, &challenge, on_proof, job, &job->work, NULL) == 0;
}

/* --- the step machine --- */

/* What a cancelled job is told instead of being served. */
static bool answer_for_cancelled(const struct provision_job *job, struct recipe_reply *out)
{
    if (!job->cancelled || job->want.kind == RECIPE_WANT_DONE || job->want.kind == RECIPE_WANT_COMMIT)
        return false;
    *out = (struct recipe_reply){.kind = job->want.kind == RECIPE_WANT_PROOF ? RECIPE_REPLY_PROOF : RECIPE_REPLY_HTTP,
                                 .received_ms = provision_wall_ms()};
    return true;
}

static void serve(struct provision_job *job, bool inside_call)
{
    switch (job->want.kind) {
    case RECIPE_WANT_HTTP:
        job->tries = 0;
        provision_gate_enter(provision_gate_of(job), job);
        break;
    case RECIPE_WANT_WAIT:
        wait_for(job, job->want.wait_ms, false);
        break;
    case RECIPE_WANT_COMMIT:
        job->state = PROVISION_AT_COMMIT;
        job->calls->step(job->context, job, job->want.step_index, job->want.result.ids_json,
                         job->want.result.secrets_json);
        break;
    case RECIPE_WANT_DONE:
        if (inside_call)
            provision_later(job, PROVISION_DONE);
        else
            deliver(job);
        break;
    case RECIPE_WANT_PROOF:
        break; /* started by advance */
    }
}

void provision_advance(struct provision_job *job, const struct recipe_reply *reply, bool inside_call)
{
    struct recipe_reply stand_in;
    recipe_next(job->exec, reply, &job->want);
    for (;;) {
        if (answer_for_cancelled(job, &stand_in)) {
            recipe_next(job->exec, &stand_in, &job->want);
            continue;
        }
        if (job->want.kind != RECIPE_WANT_PROOF)
            break;
        if (start_proof(job))
            return;
        stand_in = (struct recipe_reply){.kind = RECIPE_REPLY_PROOF, .received_ms = provision_wall_ms()};
        recipe_next(job->exec, &stand_in, &job->want);
    }
    serve(job, inside_call);
}
