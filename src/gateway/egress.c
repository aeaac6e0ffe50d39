/*
 * egress.c - the doors GATEWAY_DOOR_EGRESS and GATEWAY_DOOR_REACH: what an agent may connect to, and nothing else
 *
 * EGRESS is a proxy for CONNECT and for whole http:// URLs, by the stage's egress list and the https origins of `reach`. REACH
 * stands for one loopback origin of `reach` on its own port, below its path prefixes. Neither knows a credential. Called by
 * the gateway: egress_open_stage, egress_accept for each connection, egress_close_stage.
 *
 * What can fail: a target that is not listed or has no address that may be dialled (403, recorded, an anomaly), a name or an
 * address that does not answer (502, 504), a record that cannot be written (503, nothing is dialled), a head that is none (4xx).
 */
#include "gateway/egress_private.h"

#include "base/alloc.h"
#include "http1/write.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSAL_BYTES_MAX 2048u

/* --- the stage --- */

static void on_sweep(void *context);

int egress_open_stage(struct stage *stage, const struct gateway_stage *spec, struct mf_error *error)
{
    struct egress_list *list = mf_calloc(1, sizeof *list);
    if (list == NULL)
        return mf_fail(error, MF_MEMORY, "egress: no memory");
    if (egress_rules_create(&list->rules, spec->egress, spec->egress_count, spec->reach, spec->reach_count, error) !=
        0) {
        mf_free(list);
        return -1;
    }
    stage->egress = list;
    return 0;
}

void egress_close_stage(struct stage *stage)
{
    struct egress_list *list = stage->egress;
    while (stage->tunnels != NULL)
        tunnel_end(stage->tunnels);
    if (list == NULL)
        return;
    stage->egress = NULL;
    resolver_destroy(list->resolver);
    net_timer_destroy(list->sweep);
    egress_rules_destroy(list->rules);
    mf_free(list);
}

/* --- time --- */

void tunnel_deadline(struct tunnel *tunnel, int64_t after_ms)
{
    tunnel->deadline_ms = net_now_ms() + after_ms;
}

static void answer(struct tunnel *tunnel)
{
    tunnel->state = TUNNEL_ANSWERING;
    tunnel_deadline(tunnel, EGRESS_ANSWER_TIMEOUT_MS);
    tunnel_answer(tunnel);
}

static void on_late(struct tunnel *tunnel)
{
    switch (tunnel->state) {
    case TUNNEL_HEAD:
        tunnel_refuse(tunnel, 408, "timeout", "the head did not come");
        return;
    case TUNNEL_RESOLVING:
        tunnel_refuse(tunnel, 504, "unresolved", "no name server answered");
        return;
    case TUNNEL_DIALLING:
        tunnel_dial(tunnel);
        return;
    case TUNNEL_HOLDING:
        answer(tunnel);
        return;
    case TUNNEL_PASSING:
    case TUNNEL_ANSWERING:
    case TUNNEL_LINGERING:
        tunnel_end(tunnel);
        return;
    }
}

static void on_sweep(void *context)
{
    struct stage *stage = context;
    int64_t now_ms = net_now_ms();
    for (struct tunnel *tunnel = stage->tunnels, *next; tunnel != NULL; tunnel = next) {
        next = tunnel->next;
        if (now_ms >= tunnel->deadline_ms)
            on_late(tunnel);
    }
    if (stage->tunnels != NULL)
        net_timer_set(stage->egress->sweep, now_ms + EGRESS_SWEEP_MS);
}

static int start_sweep(struct stage *stage)
{
    struct egress_list *list = stage->egress;
    if (list->sweep == NULL && net_timer_create(&list->sweep, gateway_loop(stage->gateway), on_sweep, stage, NULL) != 0)
        return -1;
    if (stage->tunnels == NULL)
        net_timer_set(list->sweep, net_now_ms() + EGRESS_SWEEP_MS);
    return 0;
}

/* --- the end of a connection --- */

void tunnel_record_end(struct tunnel *tunnel)
{
    struct gateway *gateway = tunnel->stage->gateway;
    struct audit_subject subject;
    stage_subject(tunnel->stage, &subject);
    /* when it cannot be written, neither can what the next connection needs first */
    audit_closed(gateway_audit(gateway), gateway_epoch_ms(gateway), &subject, tunnel->request, tunnel->up.bytes,
                 tunnel->down.bytes, net_now_ms() - tunnel->opened_ms, NULL);
    tunnel->recorded = false;
    gateway_recorded(gateway);
}

void tunnel_end(struct tunnel *tunnel)
{
    struct stage *stage = tunnel->stage;
    struct tunnel **at = &stage->tunnels;
    while (*at != tunnel)
        at = &(*at)->next;
    *at = tunnel->next;
    if (tunnel->recorded)
        tunnel_record_end(tunnel);
    if (tunnel->lookup != NULL)
        lookup_cancel(stage->egress->resolver, tunnel->lookup);
    net_watch_destroy(tunnel->client_watch);
    net_watch_destroy(tunnel->upstream_watch);
    if (tunnel->upstream_fd >= 0)
        close(tunnel->upstream_fd);
    close(tunnel->client_fd);
    mf_buf_free(&tunnel->input);
    mf_buf_free(&tunnel->up.pending);
    mf_buf_free(&tunnel->down.pending);
    mf_free(tunnel);
    stage_lose_connection(stage);
}

/* --- saying no --- */

/* Of what never was on record as connected: the refusal is. */
static void record_refusal(struct tunnel *tunnel, int status, const char *reason)
{
    struct gateway *gateway = tunnel->stage->gateway;
    struct audit_request request = {.method = mf_span(tunnel->method)};
    char host[EGRESS_HOST_BYTES_MAX + 16];
    snprintf(host, sizeof host, "%s:%u", tunnel->target.host, tunnel->target.port);
    request.path = tunnel->shown.length > 0 ? tunnel->shown : tunnel->target.port != 0 ? mf_span(host) : MF_SPAN("");
    stage_subject(tunnel->stage, &request.subject);
    audit_refused(gateway_audit(gateway), gateway_epoch_ms(gateway), &request, status, reason, NULL);
    gateway_recorded(gateway);
}

void tunnel_refuse(struct tunnel *tunnel, int status, const char *reason, const char *text)
{
    char body[REFUSAL_BYTES_MAX / 2];
    int length = snprintf(body, sizeof body, "mayfly: %s%s%s\n", tunnel->target.host,
                          tunnel->target.host[0] != '\0' ? ": " : "", text);
    if (!tunnel->dialled)
        record_refusal(tunnel, status, reason);
    tunnel->shown = (struct mf_span){NULL, 0};
    mf_buf_free(&tunnel->input);
    net_watch_destroy(tunnel->client_watch);
    net_watch_destroy(tunnel->upstream_watch);
    tunnel->client_watch = tunnel->upstream_watch = NULL;
    struct mf_buf *out = &tunnel->down.pending;
    mf_buf_clear(out);
    http1_write_status(out, status);
    http1_write_header(out, MF_SPAN("content-type"), MF_SPAN("text/plain; charset=utf-8"));
    http1_write_header(out, MF_SPAN("x-mayfly-refusal"), mf_span(reason));
    http1_write_length(out, (uint64_t)length);
    http1_write_header(out, MF_SPAN("connection"), MF_SPAN("close"));
    http1_write_end(out);
    mf_buf_append(out, body, (size_t)length);
    tunnel->state = TUNNEL_HOLDING;
    tunnel->down.ended = true;
    tunnel_deadline(tunnel, EGRESS_HOLD_MS);
    if (out->failed)
        tunnel_end(tunnel);
    else if (tunnel->stage->egress->refusals++ < EGRESS_REFUSALS_AT_ONCE)
        answer(tunnel);
}

/*
 * What the list does not have: also an anomaly, and a word to the siblings' comparison. Both by host and port: a thousand paths
 * of one place are one piece of news.
 */
static void refuse_outside(struct tunnel *tunnel, const char *reason, const char *text)
{
    char where[EGRESS_HOST_BYTES_MAX + 16], what[EGRESS_HOST_BYTES_MAX + 64];
    snprintf(where, sizeof where, "%s:%u", tunnel->target.host, tunnel->target.port);
    snprintf(what, sizeof what, "refused: %s %s", tunnel->method, where);
    stage_anomaly(tunnel->stage, 0, WATCH_EGRESS, tunnel->kind == GATEWAY_DOOR_REACH ? tunnel->shown : mf_span(where));
    stage_peer(tunnel->stage, mf_span(what));
    tunnel_refuse(tunnel, 403, reason, text);
}

/* --- where to --- */

static void on_resolved(void *context, const struct egress_address *addresses, uint32_t count, const char *trouble)
{
    struct tunnel *tunnel = context;
    tunnel->lookup = NULL;
    if (count == 0) {
        tunnel_refuse(tunnel, 502, "unresolved", trouble);
        return;
    }
    memcpy(tunnel->addresses, addresses, count * sizeof addresses[0]);
    tunnel->address_count = count;
    tunnel_dial(tunnel);
}

static void resolve(struct tunnel *tunnel)
{
    struct egress_list *list = tunnel->stage->egress;
    tunnel->state = TUNNEL_RESOLVING;
    tunnel_deadline(tunnel, EGRESS_RESOLVE_TIMEOUT_MS);
    if ((list->resolver == NULL &&
         resolver_create(&list->resolver, gateway_loop(tunnel->stage->gateway), NULL, NULL) != 0) ||
        resolver_ask(list->resolver, tunnel->target.host, on_resolved, tunnel, &tunnel->lookup, NULL) != 0)
        tunnel_refuse(tunnel, 503, "unresolved", "there is no memory to resolve it");
}

static void go(struct tunnel *tunnel)
{
    char what[EGRESS_HOST_BYTES_MAX + 64];
    snprintf(what, sizeof what, "%s %s:%u", tunnel->method, tunnel->target.host, tunnel->target.port);
    stage_peer(tunnel->stage, mf_span(what));
    tunnel->request = audit_next_request(gateway_audit(tunnel->stage->gateway));
    net_watch_destroy(tunnel->client_watch); /* until there is somebody to pass its bytes to */
    tunnel->client_watch = NULL;
    if (!tunnel->target.numeric) {
        resolve(tunnel);
        return;
    }
    tunnel->addresses[0] = tunnel->target.address;
    tunnel->address_count = 1;
    tunnel_dial(tunnel);
}

/* --- the head --- */

static void take_head(struct tunnel *tunnel, size_t head_bytes)
{
    struct egress_head head;
    const struct egress_rules *rules = tunnel->stage->egress->rules;
    struct mf_span bytes = {tunnel->input.data, head_bytes};
    int result = egress_head_read(bytes, tunnel->kind, tunnel->port, rules, &head, &tunnel->up.pending);
    memcpy(tunnel->method, head.method, sizeof tunnel->method);
    tunnel->target = head.target;
    tunnel->shown = head.shown;
    tunnel->grant = egress_rules_match(rules, &head.target);
    if (result != 0 && head.outside) {
        refuse_outside(tunnel, "outside_reach", head.reason);
    } else if (result != 0) {
        stage_anomaly(tunnel->stage, 0, WATCH_MALFORMED, head.shown);
        tunnel_refuse(tunnel, head.status, "malformed", head.reason);
    } else if (tunnel->kind == GATEWAY_DOOR_EGRESS && tunnel->grant == EGRESS_NO) {
        refuse_outside(tunnel, "not_listed", "is not on the task's egress list");
    } else {
        tunnel->forward = head.forward;
        tunnel->chunked = head.chunked;
        tunnel->expect_continue = head.expect_continue;
        tunnel->body = head.body;
        tunnel->shown = (struct mf_span){NULL, 0};
        mf_buf_consume(&tunnel->input, head_bytes);
        go(tunnel);
    }
}

static void on_head(void *context, int events)
{
    struct tunnel *tunnel = context;
    (void)events;
    if (mf_buf_reserve(&tunnel->input, 4096) != 0) {
        tunnel_refuse(tunnel, 431, "malformed", "the head is too long");
        return;
    }
    ssize_t got = recv(tunnel->client_fd, tunnel->input.data + tunnel->input.length, 4096, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        tunnel_end(tunnel);
        return;
    }
    size_t before = tunnel->input.length < 3 ? 0 : tunnel->input.length - 3; /* the end may have begun there */
    tunnel->input.length += (size_t)got;
    size_t head_bytes = egress_head_end((struct mf_span){tunnel->input.data + before, tunnel->input.length - before});
    if (head_bytes > 0)
        take_head(tunnel, before + head_bytes);
    else if (tunnel->input.length >= EGRESS_HEAD_BYTES_MAX)
        tunnel_refuse(tunnel, 431, "malformed", "the head is too long");
}

void egress_accept(struct door *door, int fd)
{
    struct stage *stage = door->stage;
    struct tunnel *tunnel = stage->egress != NULL ? mf_calloc(1, sizeof *tunnel) : NULL;
    if (tunnel == NULL || start_sweep(stage) != 0 ||
        net_watch_create(&tunnel->client_watch, gateway_loop(stage->gateway), fd, NET_READ, on_head, tunnel, NULL) !=
            0) {
        mf_free(tunnel);
        close(fd);
        stage_lose_connection(stage);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    tunnel->stage = stage;
    tunnel->kind = door->kind;
    tunnel->port = door->port;
    tunnel->client_fd = fd;
    tunnel->upstream_fd = -1;
    tunnel->opened_ms = net_now_ms();
    mf_buf_init_secret(&tunnel->input, EGRESS_HEAD_BYTES_MAX + 8192);
    mf_buf_init(&tunnel->up.pending, EGRESS_PENDING_BYTES_MAX);
    mf_buf_init(&tunnel->down.pending, EGRESS_PENDING_BYTES_MAX);
    tunnel_deadline(tunnel, EGRESS_HEAD_TIMEOUT_MS);
    tunnel->next = stage->tunnels;
    stage->tunnels = tunnel;
}
