/*
 * answer.c - the answer of an exchange on its way down
 *
 * An answer is written anew: our framing, headers that pass, bytes as they come. While it passes, the credential is looked for in its
 * headers and in the first SEARCH_BYTES_MAX of its body, also across the borders of reads. A short answer of known length, and one
 * that may hold a credential for the agent, is kept until it is complete; so what is wrong with it can still be told as a 502.
 * Of a longer one the head has left by then, and the connection is broken off instead.
 *
 * All but answer_on_done are called while curl is running: no request may be started from here.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "http1/write.h"
#include "json/scan.h"

#include <string.h>

#define SEARCH_BYTES_MAX (1u << 20)
#define WHOLE_ANSWER_BYTES_MAX 65536  /* kept until it is complete */
#define UNSENT_BYTES_MAX (256u << 10) /* for an agent that reads slowly; then the upstream waits */
#define HEAD_RESERVED_BYTES 768u      /* most heads; growing step by step copies and wipes */
#define FLUSH_BYTES 65536u            /* of a long answer of known length: one write for so much */

static bool is_json(const struct net_stream_head *head)
{
    for (uint32_t i = 0; i < head->header_count; i++)
        if (mf_span_is(head->headers[i].name, "content-type"))
            return mf_span_starts(head->headers[i].value, "application/json");
    return false;
}

static bool is_encoded(const struct net_stream_head *head)
{
    for (uint32_t i = 0; i < head->header_count; i++)
        if (mf_span_is(head->headers[i].name, "content-encoding"))
            return !mf_span_is(head->headers[i].value, "identity");
    return false;
}

/* --- the credential came back --- */

/* The agent gets a 502, or the end of the connection when the head is gone; answer_on_done sees `filtered` and does that. */
static void withhold(struct exchange *exchange)
{
    exchange->filtered = true;
    stage_anomaly(exchange->grant->stage, exchange->grant->lease, WATCH_ECHO, exchange->rule);
    net_stream_cancel(exchange->stream);
}

static bool head_holds_secret(const struct exchange *exchange, const struct net_stream_head *head)
{
    for (uint32_t i = 0; i < head->header_count; i++)
        if (finder_has(exchange->upstream->finder, head->headers[i].value) ||
            finder_has(exchange->upstream->finder, head->headers[i].name))
            return true;
    return false;
}

/* --- the head --- */

static void count_refused(struct exchange *exchange, int status)
{
    struct grant *grant = exchange->grant;
    struct gateway *gateway = exchange->gateway;
    grant->refused_in_row = status == 401 ? grant->refused_in_row + 1 : 0;
    if (grant->refused_in_row < GRANT_REFUSED_MAX || grant->dead_told)
        return;
    grant->dead_told = true;
    if (gateway->handlers.account_dead != NULL)
        gateway->handlers.account_dead(gateway->context, grant->lease);
}

/* Framing, by us alone. An agent that speaks HTTP/1.0 learns the end from the end of the connection. */
static void write_framing(struct exchange *exchange)
{
    struct front *front = exchange->front;
    struct mf_buf *out = &front->out;
    if (exchange->head_only || exchange->status == 304) {
        if (exchange->body_bytes >= 0)
            http1_write_length(out, (uint64_t)exchange->body_bytes);
    } else if (!exchange->no_body && exchange->body_bytes >= 0) {
        http1_write_length(out, (uint64_t)exchange->body_bytes);
    } else if (!exchange->no_body && front->head.minor > 0) {
        exchange->chunked = true;
        http1_write_header(out, MF_SPAN("transfer-encoding"), MF_SPAN("chunked"));
    } else if (!exchange->no_body) {
        front->close_after = true;
    }
    if (!front->body_done || !front->head.keep_alive)
        front->close_after = true;
    if (front->close_after)
        http1_write_header(out, MF_SPAN("connection"), MF_SPAN("close"));
    http1_write_end(out);
    exchange->head_written = true;
}

static void begin_reading(struct exchange *exchange, const struct net_stream_head *head)
{
    const struct usage_rules *rules = exchange->grant->policy->rules;
    struct mf_span type = {0};
    if (exchange->grant->service == NULL || rules == NULL || exchange->free || head->status >= 400)
        return;
    for (uint32_t i = 0; i < head->header_count; i++)
        if (mf_span_is(head->headers[i].name, "content-type"))
            type = head->headers[i].value;
    if (usage_reader_create(&exchange->reader, rules, type) != 0)
        exchange->reader = NULL; /* nothing known: charged in full */
}

bool answer_on_head(void *context, const struct net_stream_head *head)
{
    struct exchange *exchange = context;
    struct front *front = exchange->front;
    if (exchange->grant == NULL || exchange->broken)
        return false;
    exchange->status = head->status;
    exchange->left = true;
    exchange->head_sent =
        front->flush_wanted; /* a `100 Continue` is still on its way: what is written behind it leaves with it */
    exchange->body_bytes = head->body_bytes;
    if (head_holds_secret(exchange, head)) {
        withhold(exchange);
        return false;
    }
    if (exchange->grant->service != NULL)
        service_look(exchange, head);
    else
        count_refused(exchange, head->status);
    begin_reading(exchange, head);
    if (head->status >= 300)
        net_stream_more(exchange->stream); /* a body that it did not want ends here */
    exchange->no_body = exchange->head_only || !http1_has_body(head->status);
    exchange->learning = policy_hand_on(exchange->grant->policy->policy).length > 0 && head->status < 300 &&
                         !exchange->no_body && is_json(head) && !is_encoded(head);
    exchange->collecting = exchange->learning || exchange->no_body ||
                           (head->body_bytes >= 0 && head->body_bytes <= WHOLE_ANSWER_BYTES_MAX);
    (void)mf_buf_reserve(&front->out,
                         HEAD_RESERVED_BYTES +
                             (head->body_bytes > 0 && exchange->collecting ? (size_t)head->body_bytes : 0));
    headers_for_agent(head, exchange->upstream, front->door->port, &front->out);
    if (!exchange->learning)
        write_framing(exchange);
    return !front->out.failed;
}

/* --- the body --- */

static int put_body(struct exchange *exchange, struct mf_span piece)
{
    struct mf_buf *out = &exchange->front->out;
    if (piece.length == 0)
        return 0;
    if (exchange->chunked)
        mf_buf_printf(out, "%zx\r\n", piece.length);
    mf_buf_span(out, piece);
    if (exchange->chunked)
        mf_buf_text(out, "\r\n");
    return out->failed ? -1 : 0;
}

/* What was kept to be learned from goes on as it is: it is longer than any answer that holds a credential. */
static int stop_learning(struct exchange *exchange)
{
    exchange->learning = exchange->collecting = false;
    write_framing(exchange);
    int result = put_body(exchange, mf_buf_view(&exchange->learned));
    mf_buf_free(&exchange->learned);
    return result;
}

static int pass(struct exchange *exchange, struct mf_span piece)
{
    if (exchange->learning) {
        if (mf_buf_span(&exchange->learned, piece) == 0)
            return 0;
        if (stop_learning(exchange) != 0)
            return -1;
    }
    return put_body(exchange, piece);
}

/* Passes what cannot be part of a secret; the rest is held until more came. False: a secret is in it. */
static bool search_and_pass(struct exchange *exchange, struct mf_span data, int *result)
{
    struct finder_tail before = exchange->tail;
    size_t count;
    if (exchange->searched_bytes >= SEARCH_BYTES_MAX) {
        *result = pass(exchange, data);
        return true;
    }
    exchange->searched_bytes += data.length;
    if (finder_take(exchange->upstream->finder, &exchange->tail, data, &count))
        return false;
    if (exchange->searched_bytes >= SEARCH_BYTES_MAX) { /* the last that is looked at: nothing stays behind */
        exchange->tail.length = 0;
        count = before.length + data.length;
    }
    size_t held = count < before.length ? count : before.length;
    *result = pass(exchange, (struct mf_span){before.bytes, held});
    if (*result == 0 && count > held)
        *result = pass(exchange, (struct mf_span){data.data, count - held});
    return true;
}

static bool wants_flush(const struct exchange *exchange)
{
    return !exchange->collecting && (exchange->chunked || front_unsent(exchange->front) >= FLUSH_BYTES);
}

bool answer_on_data(void *context, struct mf_span data)
{
    struct exchange *exchange = context;
    int result = 0;
    if (exchange->grant == NULL || exchange->filtered)
        return true; /* cancelled: nobody wants it */
    if (!exchange->collecting && front_unsent(exchange->front) >= UNSENT_BYTES_MAX)
        return false;
    if (exchange->no_body || exchange->broken)
        return true;
    exchange->received_bytes += data.length;
    if (exchange->reader != NULL)
        usage_reader_take(exchange->reader, data);
    if (!search_and_pass(exchange, data, &result)) {
        withhold(exchange);
        return true;
    }
    if (result != 0) {
        net_stream_cancel(exchange->stream);
        exchange->broken = true;
    } else if (wants_flush(exchange)) {
        exchange->head_sent = true;
        (void)front_flush(exchange->front);
    } else if (!exchange->collecting) {
        exchange->head_sent = true;
        front_flush_soon(exchange->front);
    }
    return true;
}

/* --- the end --- */

/* Only its hash is kept, and before the agent can have it. */
static void learn(struct exchange *exchange)
{
    struct json_document json;
    struct mf_buf credential;
    if (json_scan(&json, mf_buf_view(&exchange->learned), &json_limits_default, NULL) != 0)
        return;
    uint32_t node = json_pointer(&json, policy_hand_on(exchange->grant->policy->policy));
    mf_buf_init_secret(&credential, HTTP1_LINE_BYTES_MAX);
    if (node != JSON_NONE && json_text(&json, node, &credential) == 0 && credential.length > 0)
        grant_hand_on(exchange->grant, mf_buf_view(&credential));
    mf_buf_free(&credential);
    json_document_free(&json);
}

static int finish_body(struct exchange *exchange)
{
    struct mf_span tail = {exchange->tail.bytes, exchange->tail.length};
    if (pass(exchange, tail) != 0)
        return -1;
    if (exchange->learning) {
        learn(exchange);
        exchange->body_bytes = (int64_t)exchange->learned.length;
        write_framing(exchange);
        if (put_body(exchange, mf_buf_view(&exchange->learned)) != 0)
            return -1;
    }
    if (exchange->chunked)
        mf_buf_text(&exchange->front->out, "0\r\n\r\n");
    return exchange->front->out.failed ? -1 : 0;
}

static void lose(struct exchange *exchange, const struct net_stream_end *end, const char *outcome)
{
    struct front *front = exchange->front;
    const struct policy *policy = exchange->grant->policy->policy;
    bool late = strstr(end->error.text, "timed out") != NULL || strstr(end->error.text, "nothing moved") != NULL;
    bool sent = exchange->head_sent;
    int status = exchange->broken && front->body_bad ? front->body.status : late ? 504 : 502;
    exchange_record(exchange, outcome);
    front->exchange = NULL;
    exchange_free(exchange);
    if (sent)
        front_break_answer(front);
    else
        front_refuse(front, policy, status,
                     status == 504   ? "the upstream did not answer in time"
                     : status == 502 ? "the upstream's answer cannot be passed on"
                                     : "the body is not framed as it must be",
                     NULL);
}

void answer_on_done(void *context, const struct net_stream_end *end)
{
    struct exchange *exchange = context;
    struct front *front = exchange->front;
    exchange->stream = NULL;
    if (exchange->grant == NULL) { /* an orphan */
        exchange_free(exchange);
        return;
    }
    exchange->left = end->sent != NET_NOT_SENT;
    bool complete = end->sent == NET_ANSWERED && !exchange->filtered && !exchange->broken;
    if (!complete || finish_body(exchange) != 0) {
        lose(exchange, end, exchange->filtered ? "filtered" : exchange->broken ? "aborted" : "lost");
        return;
    }
    exchange_record(exchange, "complete");
    front->exchange = NULL;
    exchange_free(exchange);
    front_end_answer(front);
}
