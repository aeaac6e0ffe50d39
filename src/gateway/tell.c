/*
 * tell.c - what the gateway tells the orchestrator: anomalies at once, usage and the head of the record once a second
 *
 * An anomaly is in the record before it is told. A handler must not call back into the gateway: it is told in the middle of
 * work on the very stage that it is about.
 */
#include "gateway/proxy.h"

#include <string.h>

#define TELL_EVERY_MS 1000
#define DETAIL_SHOWN_MAX 200u /* characters of an agent's text that a person reads */

/* --- anomalies --- */

static void tell_anomaly(struct stage *stage, uint64_t told_stage, uint64_t lease, enum watch_kind kind,
                         struct mf_span detail)
{
    struct gateway *gateway = stage->gateway;
    struct audit_subject subject;
    struct mf_buf shown;
    if (!watch_first(gateway->watch, kind, mf_span(stage->task), detail))
        return;
    stage_subject(stage, &subject);
    (void)audit_anomaly(gateway->audit, gateway->epoch_ms(), &subject, watch_name(kind), detail, NULL);
    gateway_recorded(gateway);
    mf_buf_init(&shown, 4096);
    audit_show_text(&shown, detail, DETAIL_SHOWN_MAX);
    if (gateway->handlers.anomaly != NULL)
        gateway->handlers.anomaly(gateway->context, told_stage, lease, kind, mf_buf_cstr(&shown));
    mf_buf_free(&shown);
}

void stage_anomaly(struct stage *stage, uint64_t lease, enum watch_kind kind, struct mf_span route)
{
    tell_anomaly(stage, stage->id, lease, kind, route);
}

void door_anomaly(struct door *door, bool known, uint64_t lease, enum watch_kind kind, struct mf_span route)
{
    tell_anomaly(door->stage, known || door->guarded ? door->stage->id : 0, lease, kind, route);
}

/* --- siblings --- */

/* Only agents: verify and setup run what the graph's author wrote, and the first verify is not a stray agent. */
void stage_peer(struct stage *stage, struct mf_span what)
{
    if (strcmp(stage->kind, "agent") == 0 && watch_peer(stage->gateway->watch, mf_span(stage->task), what))
        stage_anomaly(stage, 0, WATCH_PEER, what);
}

/* --- usage and head --- */

static void tell_use(struct grant *grant)
{
    struct gateway *gateway = grant->stage->gateway;
    struct gateway_usage usage = {
        .stage = grant->stage->id,
        .service = mf_span(grant->service->name),
        .requests = grant->use.requests,
        .input_tokens = grant->use.total.input_tokens,
        .output_tokens = grant->use.total.output_tokens,
        .cached_tokens = grant->use.total.cached_tokens,
        .cache_write_tokens = grant->use.total.cache_write_tokens,
        .micro_usd = grant->use.total.micro_usd,
    };
    grant->use.changed = false;
    if (gateway->handlers.usage != NULL)
        gateway->handlers.usage(gateway->context, &usage);
}

static void tell_uses(struct stage *stage)
{
    for (struct grant *grant = stage->grants; grant != NULL; grant = grant->next)
        if (grant->service != NULL && grant->use.changed)
            tell_use(grant);
}

static void tell_head(struct gateway *gateway)
{
    if (!gateway->head_changed)
        return;
    gateway->head_changed = false;
    if (gateway->handlers.audit_head != NULL)
        gateway->handlers.audit_head(gateway->context, audit_count(gateway->audit), audit_head(gateway->audit));
}

void tell_stage_now(struct stage *stage)
{
    tell_uses(stage);
    tell_head(stage->gateway);
}

static void on_tell(void *context)
{
    struct gateway *gateway = context;
    gateway->telling = false;
    for (struct stage *stage = gateway->stages; stage != NULL; stage = stage->next)
        tell_uses(stage);
    tell_head(gateway);
}

static void tell_later(struct gateway *gateway)
{
    if (gateway->telling)
        return;
    gateway->telling = true;
    net_timer_set(gateway->tell_timer, net_now_ms() + TELL_EVERY_MS);
}

void gateway_recorded(struct gateway *gateway)
{
    gateway->head_changed = true;
    tell_later(gateway);
}

void tell_use_changed(struct grant *grant)
{
    grant->use.changed = true;
    tell_later(grant->stage->gateway);
}

int tell_create(struct gateway *gateway, struct mf_error *error)
{
    return net_timer_create(&gateway->tell_timer, gateway->loop, on_tell, gateway, error);
}

void tell_destroy(struct gateway *gateway)
{
    if (gateway->audit != NULL)
        tell_head(gateway);
    net_timer_destroy(gateway->tell_timer);
}

/* --- budgets --- */

void tell_budget(struct gateway *gateway, struct stage *stage, bool *told, const char *which)
{
    if (*told)
        return;
    *told = true;
    if (gateway->handlers.budget != NULL)
        gateway->handlers.budget(gateway->context, stage != NULL ? stage->id : 0, which);
}
