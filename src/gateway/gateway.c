/*
 * gateway.c - life of the gateway and of its stages
 *
 * A stage that ends takes everything of its own with it before gateway_close_stage returns: tokens first, so that nothing new
 * is let in; then what is in flight, each recorded; then its doors. curl may need another turn to let go of a transfer;
 * such an exchange is an orphan that only waits for its last callback.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>
#include <time.h>

#define REQUESTS_PER_STAGE_DEFAULT 64u
#define CONNECTIONS_PER_STAGE_DEFAULT 256u
#define BODY_BYTES_DEFAULT (512ull << 20)

/* --- for every part --- */

struct net_loop *gateway_loop(struct gateway *gateway)
{
    return gateway->loop;
}

struct net_client *gateway_client(struct gateway *gateway)
{
    return gateway->client;
}

struct audit *gateway_audit(struct gateway *gateway)
{
    return gateway->audit;
}

int64_t gateway_epoch_ms(struct gateway *gateway)
{
    return gateway->epoch_ms();
}

char *gateway_scratch(struct gateway *gateway)
{
    return gateway->scratch;
}

struct stage *gateway_find_stage(struct gateway *gateway, uint64_t id)
{
    struct stage *stage = gateway->stages;
    while (stage != NULL && stage->id != id)
        stage = stage->next;
    return stage;
}

void stage_subject(const struct stage *stage, struct audit_subject *out)
{
    *out = (struct audit_subject){.task = mf_span(stage->task), .attempt = stage->attempt, .stage = stage->kind};
}

/* --- the gateway --- */

static int64_t system_epoch_ms(void)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    mf_assert(result == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int open_audit(struct gateway *gateway, const struct gateway_options *options, struct mf_error *error)
{
    struct restore *restore = restore_create(gateway);
    if (restore == NULL)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    struct audit_options audit = {
        .run_dir_fd = options->run_dir_fd,
        .run_id = options->run_id,
        .at_ms = gateway->epoch_ms(),
        .anchored_count = options->anchored_count,
        .found = restore_line,
        .context = restore,
    };
    memcpy(audit.anchored_head, options->anchored_head, sizeof audit.anchored_head);
    int result = audit_open(&gateway->audit, &audit, error);
    restore_end(restore);
    return result;
}

static void on_dropped(void *context)
{
    struct gateway *gateway = context;
    while (gateway->droppings != NULL) {
        struct dropping *dropping = gateway->droppings;
        uint64_t lease = dropping->lease;
        gateway->droppings = dropping->next;
        if (gateway->droppings == NULL)
            gateway->droppings_end = &gateway->droppings;
        mf_free(dropping);
        if (gateway->handlers.dropped != NULL)
            gateway->handlers.dropped(gateway->context, lease);
    }
}

static int fill_gateway(struct gateway *gateway, const struct gateway_options *options, struct mf_error *error)
{
    gateway->scratch = mf_alloc(GATEWAY_SCRATCH_BYTES);
    if (gateway->scratch == NULL || watch_create(&gateway->watch) != 0)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    if (tokens_create(&gateway->tokens, error) != 0 || tell_create(gateway, error) != 0 ||
        net_timer_create(&gateway->drop_timer, gateway->loop, on_dropped, gateway, error) != 0)
        return -1;
    return open_audit(gateway, options, error);
}

int gateway_create(struct gateway **out, const struct gateway_options *options, const struct gateway_handlers *handlers,
                   void *context, struct mf_error *error)
{
    struct gateway *gateway = mf_calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    gateway->loop = options->loop;
    gateway->client = options->client;
    gateway->handlers = *handlers;
    gateway->context = context;
    gateway->requests_per_stage_max =
        options->requests_per_stage_max > 0 ? options->requests_per_stage_max : REQUESTS_PER_STAGE_DEFAULT;
    gateway->connections_per_stage_max =
        options->connections_per_stage_max > 0 ? options->connections_per_stage_max : CONNECTIONS_PER_STAGE_DEFAULT;
    gateway->body_bytes_max = options->body_bytes_max > 0 ? options->body_bytes_max : BODY_BYTES_DEFAULT;
    gateway->epoch_ms = options->epoch_ms != NULL ? options->epoch_ms : system_epoch_ms;
    gateway->run_budget.limit_micro_usd = -1;
    gateway->droppings_end = &gateway->droppings;
    if (fill_gateway(gateway, options, error) != 0) {
        gateway_destroy(gateway);
        return -1;
    }
    *out = gateway;
    return 0;
}

void gateway_destroy(struct gateway *gateway)
{
    if (gateway == NULL)
        return;
    while (gateway->stages != NULL)
        gateway_close_stage(gateway, gateway->stages->id);
    services_free(gateway);
    policies_free(gateway);
    exchange_forget_orphans(gateway);
    while (gateway->droppings != NULL) {
        struct dropping *dropping = gateway->droppings;
        gateway->droppings = dropping->next;
        mf_free(dropping);
    }
    tell_destroy(gateway);
    net_timer_destroy(gateway->drop_timer);
    audit_close(gateway->audit);
    tokens_destroy(gateway->tokens);
    watch_destroy(gateway->watch);
    restore_free(gateway);
    mf_free_secret(gateway->scratch, GATEWAY_SCRATCH_BYTES);
    mf_free(gateway);
}

/* --- stages --- */

/* The kinds are few and outlive everything. */
static const char *kind_of(const char *kind)
{
    static const char *const kinds[] = {"agent", "verify", "setup"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return kinds[i];
    return NULL;
}

int gateway_open_stage(struct gateway *gateway, const struct gateway_stage *spec, struct mf_error *error)
{
    const char *kind = kind_of(spec->kind);
    if (spec->stage == 0 || kind == NULL || gateway_find_stage(gateway, spec->stage) != NULL)
        return mf_fail(error, MF_INPUT, "gateway: stage %llu is there already, or of no known kind",
                       (unsigned long long)spec->stage);
    struct stage *stage = mf_calloc(1, sizeof *stage);
    if (stage == NULL || (stage->task = mf_strndup(spec->task.data, spec->task.length)) == NULL) {
        mf_free(stage);
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    }
    stage->gateway = gateway;
    stage->id = spec->stage;
    stage->attempt = spec->attempt;
    stage->kind = kind;
    stage->budget.limit_micro_usd = spec->budget_micro_usd;
    stage->next = gateway->stages;
    gateway->stages = stage;
    if (egress_open_stage(stage, spec, error) != 0) {
        gateway_close_stage(gateway, spec->stage);
        return -1;
    }
    return 0;
}

/* What one instance alone did may show only now, when its siblings have ended. */
static void tell_lone_siblings(struct gateway *gateway, struct mf_span task)
{
    char sibling[WATCH_TASK_BYTES_MAX + 1], what[WATCH_WHAT_BYTES_MAX + 1];
    while (watch_peer_ended(gateway->watch, task, sibling, sizeof sibling, what, sizeof what)) {
        struct stage ended = {.gateway = gateway, .task = sibling, .kind = "agent"};
        struct stage *stage = gateway->stages;
        while (stage != NULL && strcmp(stage->task, sibling) != 0)
            stage = stage->next;
        stage_anomaly(stage != NULL ? stage : &ended, 0, WATCH_PEER, mf_span(what));
    }
}

void gateway_close_stage(struct gateway *gateway, uint64_t id)
{
    struct stage *stage = gateway_find_stage(gateway, id);
    if (stage == NULL)
        return;
    struct stage **link = &gateway->stages;
    for (struct grant *grant = stage->grants; grant != NULL; grant = grant->next)
        tokens_kill(gateway->tokens, grant->hash);
    while (stage->fronts != NULL)
        front_close(stage->fronts);
    egress_close_stage(stage);
    doors_close(stage);
    tell_lone_siblings(gateway, mf_span(stage->task));
    tell_stage_now(stage);
    while (stage->grants != NULL)
        grant_close(stage->grants);
    while (*link != stage)
        link = &(*link)->next;
    *link = stage->next;
    mf_free(stage->task);
    mf_free(stage);
}

/* --- leases that end --- */

void gateway_drop(struct gateway *gateway, uint64_t lease)
{
    struct grant *grant = grant_find(gateway, lease);
    if (grant != NULL)
        grant_close(grant);
    struct dropping *dropping = mf_calloc(1, sizeof *dropping);
    mf_assert(dropping != NULL); /* 24 bytes; who waits for the answer would wait for ever */
    dropping->lease = lease;
    *gateway->droppings_end = dropping;
    gateway->droppings_end = &dropping->next;
    net_timer_set(gateway->drop_timer, net_now_ms());
}
