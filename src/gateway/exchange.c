/*
 * exchange.c - one allowed request on its way up
 *
 *   decided --> (whole body read) --> (its service's place) --> budget, record --> upstream --> answered, recorded
 *        \------------------- refused: 400 413 429 503 --------------------/
 *
 * Nothing leaves before the record of it is with the kernel; whatever was recorded as allowed is recorded as answered exactly
 * once, by exchange_record. After that an exchange belongs to nobody: if curl still has its transfer, it is an orphan until
 * the last callback.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

#define CONNECT_TIMEOUT_MS 10000
#define STALL_TIMEOUT_MS 900000 /* a model may think for ten minutes without a byte */
#define URL_BYTES_MAX 32768u    /* origin, base path, 8 KiB of path and as much of query */

/* --- lists --- */

static void link_into(struct exchange *exchange, struct exchange **list)
{
    exchange->next = *list;
    exchange->link = list;
    if (exchange->next != NULL)
        exchange->next->link = &exchange->next;
    *list = exchange;
}

static void unlink_exchange(struct exchange *exchange)
{
    if (exchange->link == NULL)
        return;
    *exchange->link = exchange->next;
    if (exchange->next != NULL)
        exchange->next->link = exchange->link;
    exchange->link = NULL;
}

void exchange_free(struct exchange *exchange)
{
    mf_assert(exchange->stream == NULL && exchange->grant == NULL);
    unlink_exchange(exchange);
    upstream_release(exchange->upstream);
    usage_reader_destroy(exchange->reader);
    mf_buf_free(&exchange->learned);
    mf_free(exchange->url);
    mf_free_secret(exchange, sizeof *exchange);
}

/* --- ends --- */

/* Gives up what it has of its grant. */
static void leave_grant(struct exchange *exchange)
{
    service_leave(exchange);
    service_release(exchange);
    exchange->grant->stage->running--;
    unlink_exchange(exchange);
    exchange->grant = NULL;
}

void exchange_record(struct exchange *exchange, const char *outcome)
{
    struct gateway *gateway = exchange->gateway;
    struct grant *grant = exchange->grant;
    if (grant == NULL)
        return;
    if (exchange->request != 0) {
        struct audit_answer answer = {
            .request = exchange->request,
            .status = exchange->status,
            .outcome = outcome,
            .sent_bytes = exchange->sent_bytes,
            .received_bytes = exchange->received_bytes,
            .duration_ms = net_now_ms() - exchange->started_ms,
        };
        grant_subject(grant, &answer.subject);
        answer.usage.micro_usd = -1;
        if (exchange->reader != NULL)
            usage_reader_end(exchange->reader, &answer.usage);
        if (grant->service != NULL)
            service_settle(exchange, &answer.usage, exchange->left, &answer.charged_micro_usd);
        /* when it cannot be written, no later request will be allowed either */
        (void)audit_answered(gateway->audit, gateway->epoch_ms(), &answer, NULL);
        gateway_recorded(gateway);
    }
    usage_reader_destroy(exchange->reader); /* its rules are the policy's, which may go with the grant */
    exchange->reader = NULL;
    leave_grant(exchange);
}

/* Nobody's any more; gone, unless curl has it. */
static void let_go(struct exchange *exchange)
{
    if (exchange->front != NULL)
        exchange->front->exchange = NULL;
    exchange->front = NULL;
    if (exchange->stream == NULL) {
        exchange_free(exchange);
        return;
    }
    link_into(exchange, &exchange->gateway->orphans);
    net_stream_cancel(exchange->stream);
}

void exchange_abort(struct exchange *exchange)
{
    exchange_record(exchange, "aborted");
    let_go(exchange);
}

void exchange_discard(struct exchange *exchange)
{
    if (exchange->grant != NULL)
        leave_grant(exchange);
    let_go(exchange);
}

void exchange_drop(struct exchange *exchange)
{
    struct front *front = exchange->front;
    const struct policy *policy = exchange->grant->policy->policy;
    bool sent = exchange->head_sent;
    exchange_record(exchange, "aborted");
    let_go(exchange);
    if (front == NULL)
        return;
    if (sent)
        front_break_answer(front);
    else
        front_refuse(front, policy, 503, "the lease has ended", NULL);
}

void exchange_forget_orphans(struct gateway *gateway)
{
    while (gateway->orphans != NULL) {
        struct exchange *exchange = gateway->orphans;
        unlink_exchange(exchange);
        exchange->gateway = NULL;
    }
}

/* --- refusals --- */

static void describe(const struct exchange *exchange, struct audit_request *out)
{
    *out = (struct audit_request){
        .request = exchange->request,
        .method = mf_span(exchange->method),
        .path = {exchange->url + exchange->path_at, exchange->path_length},
        .rule = exchange->rule,
        .permission = exchange->permission,
        .reserved_micro_usd = exchange->reserved_micro_usd,
    };
    grant_subject(exchange->grant, &out->subject);
}

void exchange_refuse(struct exchange *exchange, int status, const char *reason, const char *message, const char *extra)
{
    struct front *front = exchange->front;
    struct gateway *gateway = exchange->gateway;
    const struct policy *policy = exchange->grant->policy->policy;
    struct audit_request request;
    describe(exchange, &request);
    request.request = 0;
    (void)audit_refused(gateway->audit, gateway->epoch_ms(), &request, status, reason, NULL);
    gateway_recorded(gateway);
    exchange_discard(exchange);
    front_refuse(front, policy, status, message, extra);
}

/* --- a new one --- */

/* Where it goes: the upstream, the policy's base path, the path that was matched, the query as it came. */
static int make_url(struct exchange *exchange, const struct request_view *view, const struct verdict *verdict)
{
    struct mf_span base = policy_base_path(exchange->grant->policy->policy);
    struct mf_span origin = {exchange->upstream->base, exchange->upstream->base_length};
    struct mf_span path = {verdict->path.text, verdict->path.text_length};
    if (base.length > 0 && verdict->path.count == 0)
        path.length = 0; /* the base itself */
    size_t total = origin.length + base.length + path.length + 1 + view->query.length;
    if (total >= URL_BYTES_MAX || (exchange->url = mf_alloc(total + 1)) == NULL)
        return -1;
    char *at = exchange->url;
    struct mf_span parts[] = {origin, base, path, MF_SPAN("?"), view->query};
    for (size_t i = 0; i < (view->query.length > 0 ? 5u : 3u); i++) {
        if (parts[i].length > 0)
            memcpy(at, parts[i].data, parts[i].length);
        at += parts[i].length;
    }
    *at = '\0';
    exchange->path_at = origin.length + base.length;
    exchange->path_length = path.length;
    return 0;
}

static struct exchange *make_exchange(struct front *front, const struct request_view *view,
                                      const struct verdict *verdict)
{
    struct grant *grant = verdict->grant;
    struct exchange *exchange = mf_calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->gateway = front->stage->gateway;
    exchange->grant = grant;
    exchange->upstream = upstream_hold(grant->service != NULL ? grant->service->upstream : grant->upstream);
    mf_buf_init_secret(&exchange->learned, LEARN_BYTES_MAX);
    if (make_url(exchange, view, verdict) != 0) {
        exchange->grant = NULL;
        exchange_free(exchange);
        return NULL;
    }
    (void)mf_span_copy(view->method, exchange->method, sizeof exchange->method);
    exchange->head_only = mf_span_is(view->method, "HEAD");
    exchange->agent_credential = verdict->agent_credential;
    if (exchange->agent_credential)
        (void)mf_span_copy(verdict->credential_header, exchange->credential_header, sizeof exchange->credential_header);
    exchange->free = (verdict->match.flags & HTTP1_RULE_FREE) != 0;
    exchange->rule = policy_rule_text(grant->policy->policy, verdict->match.rule);
    exchange->permission = policy_permission_name(grant->policy->policy, verdict->match.permission);
    exchange->reserved_micro_usd = -1;
    exchange->front = front;
    exchange->started_ms = net_now_ms();
    link_into(exchange, &grant->exchanges);
    grant->stage->running++;
    front->exchange = exchange;
    return exchange;
}

/* Must its body be known before it goes out? */
static bool reads_whole(const struct exchange *exchange)
{
    const struct usage_rules *rules = exchange->grant->policy->rules;
    return exchange->grant->service != NULL && !exchange->free && rules != NULL && usage_rules_priced(rules);
}

void exchange_create(struct front *front, const struct request_view *view, const struct verdict *verdict)
{
    const struct policy *policy = verdict->grant->policy->policy;
    struct stage *stage = front->stage;
    if (stage->running >= stage->gateway->requests_per_stage_max) {
        front_refuse_recorded(front, view, verdict, 429, "limit", "too many requests at the same time",
                              "retry-after: 1\r\n");
        return;
    }
    struct exchange *exchange = make_exchange(front, view, verdict);
    if (exchange == NULL) {
        front_refuse(front, policy, 503, "no memory", NULL);
        return;
    }
    front_begin_body(front, reads_whole(exchange));
}

/* --- on its way --- */

void exchange_begin(struct exchange *exchange)
{
    if (service_admit(exchange))
        exchange_go(exchange);
}

static int64_t read_body(void *context, char *out, size_t bytes_max)
{
    struct exchange *exchange = context;
    if (exchange->front == NULL || exchange->status >= 300)
        return 0; /* refused before it was read: there is nobody for the rest of it */
    int64_t got = front_read_body(exchange->front, out, bytes_max);
    if (got == FRONT_BODY_BAD) {
        exchange->broken = true;
        net_stream_cancel(exchange->stream);
        return -1;
    }
    if (got > 0)
        exchange->sent_bytes += (uint64_t)got;
    return got;
}

static int64_t body_length(const struct front *front)
{
    if (front->body_done && (front->head.chunked || front->whole.length > 0))
        return (int64_t)front->whole.length;
    if (front->head.chunked)
        return NET_STREAM_CHUNKED;
    return front->head.has_length ? (int64_t)front->head.content_length : NET_STREAM_NO_BODY;
}

static int open_stream(struct exchange *exchange)
{
    static const struct net_stream_calls calls = {
        .read = read_body, .head = answer_on_head, .data = answer_on_data, .done = answer_on_done};
    struct net_header agents[HTTP1_HEADERS_MAX], headers[HTTP1_HEADERS_MAX + GRANT_HEADERS_MAX];
    struct request_view view;
    front_view(exchange->front, agents, &view);
    struct net_stream_spec spec = {
        .method = exchange->method,
        .url = exchange->url,
        .headers = headers,
        .body_bytes = body_length(exchange->front),
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .stall_timeout_ms = STALL_TIMEOUT_MS,
    };
    struct mf_span own = mf_span(exchange->credential_header);
    spec.header_count = headers_for_upstream(&view, exchange->grant->policy->policy, exchange->upstream, own, headers);
    return net_stream_open(&exchange->stream, exchange->gateway->client, &spec, &calls, exchange, NULL);
}

static int record_allowed(struct exchange *exchange)
{
    struct gateway *gateway = exchange->gateway;
    struct audit_request request;
    exchange->request = audit_next_request(gateway->audit);
    describe(exchange, &request);
    if (audit_allowed(gateway->audit, gateway->epoch_ms(), &request, NULL) != 0) {
        exchange->request = 0;
        return -1;
    }
    gateway_recorded(gateway);
    return 0;
}

/* Nothing can be sent: what was reserved is given back, the agent is told. */
static void fail(struct exchange *exchange, int status, const char *message)
{
    struct front *front = exchange->front;
    const struct policy *policy = exchange->grant->policy->policy;
    exchange_record(exchange, "lost");
    let_go(exchange);
    front_refuse(front, policy, status, message, NULL);
}

void exchange_go(struct exchange *exchange)
{
    struct front *front = exchange->front;
    struct mf_span whole = mf_buf_view(&front->whole);
    if (!service_reserve(exchange, whole))
        return;
    if (record_allowed(exchange) != 0) {
        int64_t charged;
        if (exchange->grant->service != NULL)
            service_settle(exchange, &(struct audit_usage){.micro_usd = -1}, false, &charged);
        fail(exchange, 503, "the request cannot be recorded");
        return;
    }
    stage_peer(exchange->grant->stage, exchange->rule);
    if (open_stream(exchange) != 0)
        fail(exchange, 502, "the upstream cannot be asked");
}

void exchange_more(struct exchange *exchange)
{
    if (exchange->stream != NULL)
        net_stream_more(exchange->stream);
}

void exchange_resume(struct exchange *exchange)
{
    if (exchange->stream != NULL)
        net_stream_resume(exchange->stream);
}
