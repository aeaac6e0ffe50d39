/*
 * service.c - what all users of a service share: its gate, its places, its budgets
 *
 * One gate: when the provider asks one agent to slow down (429, 529, or 503 with Retry-After), nobody's request goes out until
 * the time is over. A request that finds the gate closed or no place free waits, at most SERVICE_WAIT_MAX_MS; who would have
 * to wait longer is told so at once, with 429 and Retry-After. Of those that wait, the agent with the fewest requests under
 * way is next, so that nobody fills the service by asking much.
 *
 * Money: the most that a request can cost is reserved in three budgets (service, task, run) before it goes out and replaced by
 * what the answer says. What says nothing is charged in full, unless it never left or was refused by the provider.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

#define SERVICE_WAIT_MAX_MS 300000    /* clients give up after ten minutes */
#define PAUSE_DEFAULT_MS 1000         /* a 429 that does not say how long */
#define PAUSE_MAX_MS (15 * 60 * 1000) /* a provider that lies must not close the service for ever */

static struct service *service_of(const struct exchange *exchange)
{
    return exchange->grant != NULL ? exchange->grant->service : NULL;
}

/* --- places --- */

static bool is_open(const struct service *service, int64_t now_ms)
{
    return now_ms >= service->closed_until_ms && (service->running_max == 0 || service->running < service->running_max);
}

static void take_place(struct exchange *exchange)
{
    exchange->running = true;
    exchange->grant->running++;
    service_of(exchange)->running++;
}

static void refuse_wait(struct exchange *exchange, int64_t wait_ms)
{
    char header[64];
    mf_format(header, sizeof header, "retry-after: %lld\r\n", (long long)((wait_ms + 999) / 1000));
    exchange_refuse(exchange, 429, "limit", "the service asks for a pause, or has no place free", header);
}

static void arm_gate(struct service *service, int64_t now_ms)
{
    int64_t at = MF_NEVER;
    for (const struct exchange *exchange = service->waiting; exchange != NULL; exchange = exchange->next_waiting)
        if (exchange->wait_until_ms < at)
            at = exchange->wait_until_ms;
    if (at != MF_NEVER && service->closed_until_ms > now_ms && service->closed_until_ms < at)
        at = service->closed_until_ms;
    net_timer_set(service->gate, at);
}

bool service_admit(struct exchange *exchange)
{
    struct service *service = service_of(exchange);
    int64_t now = net_now_ms();
    if (service == NULL)
        return true;
    if (service->waiting == NULL && is_open(service, now)) {
        take_place(exchange);
        return true;
    }
    if (service->closed_until_ms - now > SERVICE_WAIT_MAX_MS) {
        refuse_wait(exchange, service->closed_until_ms - now);
        return false;
    }
    struct exchange **end = &service->waiting;
    while (*end != NULL)
        end = &(*end)->next_waiting;
    *end = exchange;
    exchange->next_waiting = NULL;
    exchange->waiting = true;
    exchange->wait_until_ms = now + SERVICE_WAIT_MAX_MS;
    arm_gate(service, now);
    return false;
}

void service_leave(struct exchange *exchange)
{
    if (!exchange->waiting)
        return;
    struct exchange **link = &service_of(exchange)->waiting;
    while (*link != exchange)
        link = &(*link)->next_waiting;
    *link = exchange->next_waiting;
    exchange->waiting = false;
}

void service_release(struct exchange *exchange)
{
    struct service *service = service_of(exchange);
    if (!exchange->running)
        return;
    exchange->running = false;
    exchange->grant->running--;
    service->running--;
    if (service->waiting != NULL)
        net_timer_set(service->gate, net_now_ms()); /* not from here: curl may be running */
}

static struct exchange *next_of(const struct service *service)
{
    struct exchange *next = service->waiting;
    for (struct exchange *exchange = next; exchange != NULL; exchange = exchange->next_waiting)
        if (exchange->grant->running < next->grant->running)
            next = exchange;
    return next;
}

static void on_gate(void *context)
{
    struct service *service = context;
    int64_t now = net_now_ms();
    while (service->waiting != NULL && service->waiting->wait_until_ms <= now) { /* they came in order */
        struct exchange *exchange = service->waiting;
        service_leave(exchange);
        refuse_wait(exchange, PAUSE_DEFAULT_MS);
    }
    while (service->waiting != NULL && is_open(service, now)) {
        struct exchange *exchange = next_of(service);
        service_leave(exchange);
        take_place(exchange);
        exchange_go(exchange);
    }
    arm_gate(service, now);
}

int service_gate_create(struct gateway *gateway, struct service *service, struct mf_error *error)
{
    service->gateway = gateway;
    return net_timer_create(&service->gate, gateway->loop, on_gate, service, error);
}

/* --- what an answer's head says --- */

void service_look(struct exchange *exchange, const struct net_stream_head *head)
{
    struct service *service = service_of(exchange);
    struct gateway *gateway = exchange->gateway;
    if (head->status == 401 && !service->refused_told) {
        service->refused_told = true;
        if (gateway->handlers.service_refused != NULL)
            gateway->handlers.service_refused(gateway->context, service->id);
    }
    int64_t pause = headers_retry_after(head->headers, head->header_count, gateway->epoch_ms());
    if (head->status != 429 && head->status != 529 && !(head->status == 503 && pause >= 0))
        return;
    if (pause < 0)
        pause = PAUSE_DEFAULT_MS;
    int64_t until = net_now_ms() + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
    if (until > service->closed_until_ms)
        service->closed_until_ms = until;
}

/* --- money --- */

struct purse {
    struct budget *budget;
    bool *told;
    struct stage *stage; /* NULL: not a task's */
    const char *name;
};

#define PURSES 3
static void purses_of(struct exchange *exchange, struct purse purses[PURSES])
{
    struct service *service = service_of(exchange);
    struct stage *stage = exchange->grant->stage;
    struct gateway *gateway = exchange->gateway;
    purses[0] = (struct purse){&stage->budget, &stage->budget_told, stage, "task"};
    purses[1] = (struct purse){&service->budget, &service->budget_told, NULL, service->name};
    purses[2] = (struct purse){&gateway->run_budget, &gateway->run_budget_told, NULL, "run"};
}

static bool refuse_budget(struct exchange *exchange, const struct purse *purse)
{
    stage_anomaly(exchange->grant->stage, exchange->grant->lease, WATCH_BUDGET, mf_span(purse->name));
    tell_budget(exchange->gateway, purse->stage, purse->told, purse->name);
    exchange_refuse(exchange, 429, watch_name(WATCH_BUDGET), "the budget is used up", "x-should-retry: false\r\n");
    return false;
}

static bool is_priced(const struct grant *grant)
{
    return grant->policy->rules != NULL && usage_rules_priced(grant->policy->rules);
}

/* The most that it can cost; -1: cannot be told. */
static int64_t most_of(struct exchange *exchange, struct mf_span body, const char **why)
{
    bool reads = strcmp(exchange->method, "GET") == 0 || strcmp(exchange->method, "HEAD") == 0;
    if (exchange->free || (reads && body.length == 0))
        return 0;
    *why = "the service has no prices";
    return is_priced(exchange->grant) ? usage_reserve(exchange->grant->policy->rules, body, why) : -1;
}

bool service_reserve(struct exchange *exchange, struct mf_span body)
{
    struct purse purses[PURSES];
    const char *why = "";
    if (service_of(exchange) == NULL)
        return true;
    int64_t most = most_of(exchange, body, &why);
    bool priced = is_priced(exchange->grant);
    purses_of(exchange, purses);
    for (int i = 0; i < PURSES && most != 0; i++) {
        if (purses[i].budget->limit_micro_usd >= 0 && most < 0 && priced) {
            exchange_refuse(exchange, 400, "unpriced", why, NULL);
            return false;
        }
        if (!budget_allows(purses[i].budget, most > 0 ? most : 0))
            return refuse_budget(exchange, &purses[i]);
    }
    exchange->reserved_micro_usd = most;
    for (int i = 0; i < PURSES; i++)
        budget_reserve(purses[i].budget, most > 0 ? most : 0);
    return true;
}

static uint64_t add(uint64_t left, uint64_t right)
{
    uint64_t sum;
    return __builtin_add_overflow(left, right, &sum) ? UINT64_MAX : sum;
}

static void count_use(struct grant *grant, const struct audit_usage *usage, int64_t charged)
{
    struct audit_usage *total = &grant->use.total;
    grant->use.requests++;
    if (usage->known) {
        total->input_tokens = add(total->input_tokens, usage->input_tokens);
        total->output_tokens = add(total->output_tokens, usage->output_tokens);
        total->cached_tokens = add(total->cached_tokens, usage->cached_tokens);
        total->cache_write_tokens = add(total->cache_write_tokens, usage->cache_write_tokens);
    }
    if (!is_priced(grant))
        total->micro_usd = -1;
    else if (charged > 0 && __builtin_add_overflow(total->micro_usd, charged, &total->micro_usd))
        total->micro_usd = INT64_MAX;
    tell_use_changed(grant);
}

void service_settle(struct exchange *exchange, const struct audit_usage *usage, bool sent, int64_t *charged_micro_usd)
{
    struct purse purses[PURSES];
    int64_t reserved = exchange->reserved_micro_usd > 0 ? exchange->reserved_micro_usd : 0;
    int64_t charged = reserved;
    uint64_t tokens = 0;
    if (usage->known && usage->micro_usd >= 0)
        charged = usage->micro_usd;
    else if (!sent || exchange->status >= 400)
        charged = 0;
    if (usage->known)
        tokens =
            add(add(usage->input_tokens, usage->output_tokens), add(usage->cached_tokens, usage->cache_write_tokens));
    purses_of(exchange, purses);
    for (int i = 0; i < PURSES; i++)
        budget_settle(purses[i].budget, reserved, charged, tokens);
    count_use(exchange->grant, usage, charged);
    *charged_micro_usd = charged;
}
