/*
 * provision_gate.c - one gate for all requests to a provider: its budget, its Retry-After, teardown first
 *
 * A provider that says "too many" means all of us, so the answer to one request shuts the gate for every job, and through the
 * shared file for every run on this host. A fifth of the budget can only be used by teardown: a run that spent everything on
 * creating must still be able to clean up.
 */
#include "app/provision_private.h"

#include "base/alloc.h"
#include "base/heap.h"

#include <stdio.h>
#include <string.h>

#define TEARDOWN_SHARE 5   /* one request of so many is kept back */
#define REFUSED_MS_MIN 250 /* first pause after a 429 that names no time; doubles */
#define REFUSED_MS_MAX 60000
#define NOTE_FROM_MS 1000 /* shorter pauses are nobody's business */

void provision_queue_push(struct provision_queue *queue, struct provision_job *job)
{
    job->next_in_queue = NULL;
    if (queue->last == NULL)
        queue->first = job;
    else
        queue->last->next_in_queue = job;
    queue->last = job;
}

struct provision_job *provision_queue_pop(struct provision_queue *queue)
{
    struct provision_job *job = queue->first;
    if (job != NULL)
        provision_queue_remove(queue, job);
    return job;
}

void provision_queue_remove(struct provision_queue *queue, struct provision_job *job)
{
    struct provision_job *before = NULL;
    for (struct provision_job *at = queue->first; at != NULL; before = at, at = at->next_in_queue) {
        if (at != job)
            continue;
        if (before == NULL)
            queue->first = job->next_in_queue;
        else
            before->next_in_queue = job->next_in_queue;
        if (queue->last == job)
            queue->last = before;
        job->next_in_queue = NULL;
        return;
    }
}

/* --- the budget --- */

/* Without a shared file: the same rule for this process alone, in whole windows. */
static int64_t take_here(struct provision_gate *gate, int64_t now_ms, bool reserved)
{
    const struct recipe_info *info = recipe_info(gate->provider.recipe);
    uint32_t requests = info->requests_per_window, kept = requests / TEARDOWN_SHARE;
    if (requests == 0)
        return 0;
    if (gate->window_ms == 0 || now_ms >= gate->window_ms + info->window_ms) {
        gate->window_ms = now_ms;
        gate->used = 0;
    }
    if (gate->used >= (reserved ? requests : requests - kept))
        return gate->window_ms + info->window_ms;
    gate->used++;
    return 0;
}

/* 0 when a request may go now, else the time to ask again. */
static int64_t take(struct provision_gate *gate, bool reserved)
{
    int64_t now_ms = net_now_ms();
    if (now_ms < gate->shut_until_ms)
        return gate->shut_until_ms;
    return gate->rate != NULL ? store_rate_take(gate->rate, now_ms, reserved) : take_here(gate, now_ms, reserved);
}

static void drain(struct provision_gate *gate)
{
    for (;;) {
        struct provision_queue *queue = gate->teardown.first != NULL ? &gate->teardown : &gate->others;
        if (queue->first == NULL)
            return;
        int64_t at_ms = take(gate, queue == &gate->teardown);
        if (at_ms != 0) {
            net_timer_set(gate->timer, at_ms);
            return;
        }
        gate->sent_ms = net_now_ms();
        provision_send(provision_queue_pop(queue));
    }
}

static void fired(void *context)
{
    drain(context);
}

void provision_gate_enter(struct provision_gate *gate, struct provision_job *job)
{
    job->state = PROVISION_AT_GATE;
    provision_queue_push(job->teardown ? &gate->teardown : &gate->others, job);
    drain(gate);
}

/* --- what answers say --- */

static struct mf_span header(const struct recipe_reply *reply, const char *name)
{
    for (uint32_t i = 0; i < reply->header_count; i++)
        if (mf_span_is(reply->headers[i].name, name))
            return reply->headers[i].value;
    return (struct mf_span){NULL, 0};
}

static int64_t limit_ms(int64_t wait_ms)
{
    if (wait_ms <= 0)
        return 0;
    return wait_ms < PROVISION_RETRY_AFTER_MS_MAX ? wait_ms : PROVISION_RETRY_AFTER_MS_MAX;
}

/* `X-RateLimit-Remaining: 0`: the next request would be refused until Reset, an HTTP date or seconds. */
static int64_t until_reset_ms(const struct recipe_reply *reply)
{
    int64_t at_ms, now_ms = reply->received_ms;
    uint64_t remaining, seconds;
    struct mf_span reset = header(reply, "x-ratelimit-reset");
    if (mf_parse_u64(header(reply, "x-ratelimit-remaining"), &remaining) != 0 || remaining > 0)
        return 0;
    mf_parse_http_date_ms(header(reply, "date"), &now_ms);
    if (mf_parse_http_date_ms(reset, &at_ms) == 0)
        return limit_ms(at_ms - now_ms);
    if (mf_parse_u64(reset, &seconds) != 0 || seconds > INT64_MAX / 1000)
        return 0;
    /* some providers count seconds from now, some since 1970 */
    return limit_ms((int64_t)seconds * 1000 > now_ms / 2 ? (int64_t)seconds * 1000 - now_ms : (int64_t)seconds * 1000);
}

/* A refusal of a request that was sent before the last one was answered is the same news: it does not count again. */
static int64_t own_pause_ms(struct provision_gate *gate, int64_t sent_ms)
{
    if (gate->refusals == 0 || sent_ms >= gate->shut_until_ms)
        gate->refusals = gate->refusals < 10 ? gate->refusals + 1 : 10;
    int64_t pause_ms = (int64_t)REFUSED_MS_MIN << (gate->refusals - 1);
    if (pause_ms > REFUSED_MS_MAX)
        pause_ms = REFUSED_MS_MAX;
    return pause_ms / 2 + (int64_t)mf_rng_below(&gate->provision->rng, (uint64_t)pause_ms);
}

static void shut(struct provision_gate *gate, int64_t wait_ms, int status)
{
    int64_t until_ms = net_now_ms() + wait_ms;
    if (until_ms <= gate->shut_until_ms)
        return;
    bool was_open = gate->shut_until_ms < net_now_ms();
    gate->shut_until_ms = until_ms;
    if (gate->rate != NULL)
        store_rate_shut(gate->rate, until_ms);
    const struct provision_events *events = gate->provision->events;
    if (events->hold != NULL)
        events->hold(gate->provision->context, gate->index, until_ms);
    if (events->note == NULL || !was_open || wait_ms < NOTE_FROM_MS)
        return;
    char text[160], duration[24];
    snprintf(text, sizeof text, "provider %s: HTTP %d, waiting %s", recipe_info(gate->provider.recipe)->name, status,
             mf_format_duration(wait_ms, duration));
    events->note(gate->provision->context, gate->index, text);
}

int64_t provision_gate_learn(struct provision_gate *gate, const struct recipe_reply *reply, int64_t sent_ms)
{
    if (!reply->answered)
        return 0;
    bool refused = reply->status == 429;
    int64_t wait_ms = refused || reply->status == 503 ? recipe_retry_after_ms(reply) : 0;
    if (refused)
        gate->provision->counters.rate_limited++;
    if (wait_ms == 0)
        wait_ms = until_reset_ms(reply);
    if (wait_ms == 0 && refused)
        wait_ms = own_pause_ms(gate, sent_ms);
    if (!refused)
        gate->refusals = 0;
    if (wait_ms > 0)
        shut(gate, wait_ms, reply->status);
    return wait_ms;
}

/* --- open and close --- */

int provision_gate_open(struct provision_gate *gate, struct mf_error *error)
{
    const struct recipe_info *info = recipe_info(gate->provider.recipe);
    size_t length = strlen(gate->provider.base_url);
    while (length > 0 && gate->provider.base_url[length - 1] == '/')
        length--;
    gate->base_url = mf_strndup(gate->provider.base_url, length);
    if (gate->base_url == NULL)
        return mf_fail(error, MF_MEMORY, "provider %s: no memory", info->name);
    if (gate->provider.rate_file != NULL &&
        store_rate_open(&gate->rate, gate->provider.rate_file, info->requests_per_window, info->window_ms,
                        info->requests_per_window / TEARDOWN_SHARE, error) != 0)
        return mf_wrap(error, "provider %s", info->name);
    return net_timer_create(&gate->timer, gate->provision->loop, fired, gate, error);
}

void provision_gate_close(struct provision_gate *gate)
{
    if (gate->rate != NULL)
        store_rate_close(gate->rate);
    if (gate->timer != NULL)
        net_timer_destroy(gate->timer);
    mf_free(gate->base_url);
}
