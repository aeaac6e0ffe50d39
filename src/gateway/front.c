/*
 * front.c - one connection of an API door: from bytes to requests
 *
 *   HEAD --- allowed ---> (WHOLE) ---> EXCHANGE ---> REPLY --- keep-alive ---> HEAD
 *     \-- refused: (DELAY of a 401) ---------------> REPLY --- close --------> LINGER ---> CLOSED
 *
 * front_advance is the only place where a connection moves on; what an exchange or a timer does to it changes the phase and
 * calls it. Requests of one connection are served one after the other: what comes early waits in `in`, and when that is
 * full the socket is not read. After any refusal the connection closes, so that bytes behind a bad request are never read as
 * another one. A 401 is answered at a fixed time after its head was complete: how long the decision took is not to be seen.
 *
 * An agent that closes its sending side counts as gone.
 */
#include "gateway/proxy.h"

#include <string.h>
#include <sys/socket.h>

#define KEPT_BYTES 2048u            /* of each buffer of a connection that waits for its next request */
#define SMALL_BODY_BYTES_MAX 65536u /* read whole before an upstream connection is taken for it */

/* --- the head --- */

void front_view(const struct front *front, struct net_header *headers, struct request_view *out)
{
    const struct http1_head *head = &front->head;
    const char *data = front->in.data;
    for (uint32_t i = 0; i < head->header_count; i++) {
        headers[i].name = http1_piece_span(head->names[i], data);
        headers[i].value = http1_piece_span(head->values[i], data);
    }
    *out = (struct request_view){
        .method = http1_piece_span(head->method, data),
        .path = http1_piece_span(head->path, data),
        .query = http1_piece_span(head->query, data),
        .headers = headers,
        .header_count = head->header_count,
        .has_body = head->chunked || (head->has_length && head->content_length > 0),
    };
}

/* In whose envelope a refusal goes before it is known whose request it is: the same for all of a stage. */
const struct policy *front_common_policy(const struct stage *stage)
{
    return stage->grants != NULL && stage->grants->next == NULL ? stage->grants->policy->policy : NULL;
}

const char *front_message(int status)
{
    switch (status) {
    case 400:
        return "the request is written in a way that is not passed on";
    case 401:
        return "the token is not valid here";
    case 421:
        return "the host is not this one";
    default:
        return "the request is not permitted";
    }
}

static void record_refused(struct front *front, const struct request_view *view, const struct verdict *verdict,
                           int status, const char *reason)
{
    struct gateway *gateway = front->stage->gateway;
    const struct grant *grant = verdict != NULL ? verdict->grant : NULL;
    struct audit_request request = {.method = view->method, .path = view->path, .reserved_micro_usd = -1};
    stage_subject(front->stage, &request.subject);
    if (grant != NULL) {
        grant_subject(grant, &request.subject);
        request.rule = policy_rule_text(grant->policy->policy, verdict->match.rule);
        request.permission = policy_permission_name(grant->policy->policy, verdict->match.permission);
        if (verdict->path_read)
            request.path = (struct mf_span){verdict->path.text, verdict->path.text_length};
    }
    (void)audit_refused(gateway->audit, gateway->epoch_ms(), &request, status, reason, NULL);
    gateway_recorded(gateway);
}

void front_refuse_recorded(struct front *front, const struct request_view *view, const struct verdict *verdict,
                           int status, const char *reason, const char *message, const char *extra)
{
    record_refused(front, view, verdict, status, reason);
    front_refuse(front,
                 verdict != NULL && verdict->grant != NULL ? verdict->grant->policy->policy
                                                           : front_common_policy(front->stage),
                 status, message, extra);
}

/* What is told of a request: its method and path, or the rule that it would have needed. */
static void tell_refused(struct front *front, const struct request_view *view, const struct verdict *verdict)
{
    char route[512], what[WATCH_WHAT_BYTES_MAX];
    struct mf_span rule = {0};
    if (verdict->anomaly < 0)
        return;
    if (verdict->grant != NULL)
        rule = policy_rule_text(verdict->grant->policy->policy, verdict->match.rule);
    struct mf_span path =
        verdict->path_read ? (struct mf_span){verdict->path.text, verdict->path.text_length} : view->path;
    size_t shown = path.length < 400 ? path.length : 400;
    mf_format(route, sizeof route, "%.*s %.*s", MF_SPAN_ARGS(view->method), (int)shown, path.data);
    door_anomaly(front->door, verdict->grant != NULL, verdict->grant != NULL ? verdict->grant->lease : 0,
                 (enum watch_kind)verdict->anomaly, mf_span(route));
    mf_format(what, sizeof what, "refused: %.*s", rule.length > 0 ? (int)rule.length : (int)strlen(verdict->reason),
              rule.length > 0 ? rule.data : verdict->reason);
    stage_peer(front->stage, mf_span(what));
}

void front_refuse_malformed(struct front *front, int status, const char *reason)
{
    size_t length = 0;
    while (length < front->in.length && length < AUDIT_TEXT_BYTES_MAX && front->in.data[length] != '\r')
        length++;
    struct request_view view = {.path = {front->in.data, length}};
    record_refused(front, &view, NULL, status, watch_name(WATCH_MALFORMED));
    door_anomaly(front->door, false, 0, WATCH_MALFORMED, mf_span(reason));
    front_refuse(front, front_common_policy(front->stage), status, reason, NULL);
}

static void take_head(struct front *front)
{
    struct net_header headers[HTTP1_HEADERS_MAX];
    struct request_view view;
    struct verdict verdict;
    front_view(front, headers, &view);
    front->in_at = front->head.head_bytes;
    front->head_only = mf_span_is(view.method, "HEAD");
    decide(front->stage, front->stage->gateway->tokens, front->door->port, &view, &verdict);
    if (verdict.status == 0) {
        exchange_create(front, &view, &verdict);
        return;
    }
    tell_refused(front, &view, &verdict);
    if (verdict.status != 401) {
        front_refuse_recorded(front, &view, &verdict, verdict.status, verdict.reason, front_message(verdict.status),
                              NULL);
        return;
    }
    record_refused(front, &view, &verdict, 401, verdict.reason);
    front->phase = FRONT_DELAY;
}

/* True: go on; false: more input is needed. */
static bool step_head(struct front *front)
{
    if (front->in.length == 0)
        return false;
    front->idle_since_ms = MF_NEVER;
    enum http1_result result = http1_head_parse(&front->head, front->in.data, front->in.length);
    if (result == HTTP1_PARTIAL)
        return false;
    if (result == HTTP1_BAD)
        front_refuse_malformed(front, front->head.status, front->head.reason);
    else
        take_head(front);
    return true;
}

/* --- the body --- */

static void put_continue(struct front *front)
{
    if (!front->head.expect_continue || front->body_done || front->in.length > front->in_at)
        return;
    mf_buf_text(&front->out, "HTTP/1.1 100 Continue\r\n\r\n");
    front->flush_wanted = true;
}

static bool begin_exchange(struct front *front)
{
    front->phase = FRONT_EXCHANGE;
    exchange_begin(front->exchange);
    return true;
}

void front_begin_body(struct front *front, bool whole)
{
    size_t consumed, produced;
    const struct http1_head *head = &front->head;
    uint64_t limit = front->stage->gateway->body_bytes_max;
    if (whole && limit > WHOLE_BODY_BYTES_MAX)
        limit = WHOLE_BODY_BYTES_MAX;
    http1_body_init(&front->body, head, limit);
    enum http1_result result = http1_body_decode(&front->body, "", 0, &consumed, NULL, &produced);
    if (result == HTTP1_BAD) {
        exchange_refuse(front->exchange, front->body.status, "too_large", front->body.reason, NULL);
        return;
    }
    front->body_done = result == HTTP1_DONE;
    front->must_whole = whole;
    front->whole.bytes_max = whole ? (size_t)limit : SMALL_BODY_BYTES_MAX + front->in.bytes_max;
    put_continue(front);
    bool small = head->chunked || head->content_length <= SMALL_BODY_BYTES_MAX;
    if (!front->body_done && (whole || small))
        front->phase = FRONT_WHOLE;
    else
        begin_exchange(front);
}

void front_refuse_body(struct front *front, int status, const char *reason)
{
    door_anomaly(front->door, true, 0, WATCH_MALFORMED, mf_span(reason));
    exchange_refuse(front->exchange, status, watch_name(WATCH_MALFORMED), reason, NULL);
}

/* What all connections keep together is bounded: many agents with large bodies get 503, nobody's memory ends. */
static bool keep_whole(struct front *front, const char *data, size_t bytes)
{
    struct gateway *gateway = front->stage->gateway;
    if (bytes == 0)
        return true;
    if (gateway->whole_bytes + bytes > WHOLE_BODIES_BYTES_MAX || mf_buf_append(&front->whole, data, bytes) != 0)
        return false;
    gateway->whole_bytes += bytes;
    return true;
}

void front_drop_whole(struct front *front)
{
    front->stage->gateway->whole_bytes -= front->whole.length;
    mf_buf_free(&front->whole);
    front->whole_at = 0;
}

/* Decodes in place and sets aside. A body without a known length that grows too long goes on as it comes. */
static bool step_whole(struct front *front)
{
    size_t consumed, produced;
    char *at = front->in.data + front->in_at;
    if (front->in.length == front->in_at)
        return false;
    enum http1_result result =
        http1_body_decode(&front->body, at, front->in.length - front->in_at, &consumed, at, &produced);
    front->in_at += consumed;
    if (result == HTTP1_BAD) {
        front_refuse_body(front, front->body.status, front->body.reason);
        return true;
    }
    if (!keep_whole(front, at, produced)) {
        front_refuse_body(front, 503, "no memory");
        return true;
    }
    front->body_done = result == HTTP1_DONE;
    if (front->body_done || (!front->must_whole && front->whole.length >= SMALL_BODY_BYTES_MAX))
        return begin_exchange(front);
    return consumed > 0;
}

int64_t front_read_body(struct front *front, char *out, size_t bytes_max)
{
    size_t left = front->whole.length - front->whole_at, some = left < bytes_max ? left : bytes_max;
    if (some > 0) {
        memcpy(out, front->whole.data + front->whole_at, some);
        front->whole_at += some;
        return (int64_t)some;
    }
    while (!front->body_done) {
        size_t there = front->in.length - front->in_at, consumed, produced;
        if (there > bytes_max)
            there = bytes_max;
        enum http1_result result =
            http1_body_decode(&front->body, front->in.data + front->in_at, there, &consumed, out, &produced);
        front->in_at += consumed;
        front->body_done = result == HTTP1_DONE;
        front->body_bad = result == HTTP1_BAD;
        if (front->body_bad)
            return FRONT_BODY_BAD;
        if (produced > 0) {
            front_arm(front); /* there is room again */
            return (int64_t)produced;
        }
        if (!front->body_done && consumed == 0) {
            front->starved = true;
            front_arm(front);
            return -1;
        }
    }
    return 0;
}

/* --- moving on --- */

void front_begin_request(struct front *front)
{
    mf_buf_consume(&front->in, front->in_at);
    front->in_at = 0;
    if (front->in.capacity > KEPT_BYTES && front->in.length == 0)
        mf_buf_free(&front->in);
    mf_buf_clear(&front->out);
    if (front->out.capacity > KEPT_BYTES)
        mf_buf_free(&front->out);
    front_drop_whole(front);
    front->out_at = 0;
    front->must_whole = front->body_done = front->body_bad = front->starved = front->head_only = false;
    front->flush_wanted = false;
    http1_head_init(&front->head);
    front->phase = FRONT_HEAD;
    front->wait = FRONT_WAIT_NOTHING;
    front->idle_since_ms = front->in.length == 0 ? net_now_ms() : MF_NEVER;
}

static bool step_reply(struct front *front)
{
    if (front_unsent(front) > 0)
        return false;
    if (!front->close_after) {
        front_begin_request(front);
        return true;
    }
    if (front->peer_done || shutdown(front->fd, SHUT_WR) != 0)
        front_close(front);
    else
        front->phase = FRONT_LINGER;
    return false;
}

static bool step(struct front *front)
{
    if (front->flush_wanted && front->phase != FRONT_CLOSED && !front_flush(front))
        return false;
    switch (front->phase) {
    case FRONT_HEAD:
        return step_head(front);
    case FRONT_WHOLE:
        return step_whole(front);
    case FRONT_REPLY:
        return step_reply(front);
    case FRONT_EXCHANGE:
    case FRONT_DELAY:
    case FRONT_LINGER:
    case FRONT_CLOSED:
        break;
    }
    return false;
}

void front_advance(struct front *front)
{
    if (front->advancing || front->phase == FRONT_CLOSED)
        return;
    front->advancing = true;
    while (step(front))
        ;
    front->advancing = false;
    if (front->phase == FRONT_CLOSED)
        front_free(front);
    else
        front_arm(front);
}
