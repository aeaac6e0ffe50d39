/*
 * egress_dial.c - one address after the other, until one answers
 *
 * The address that is connected to is the one that was classified: nothing is resolved a second time. It is on record before the
 * first packet leaves.
 */
#include "gateway/egress_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t socket_address(const struct egress_address *address, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (address->six) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)out;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        memcpy(&six->sin6_addr, address->bytes, 16);
        return sizeof *six;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)out;
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    memcpy(&four->sin_addr, address->bytes, 4);
    return sizeof *four;
}

/* -1: it cannot be written, so nothing may be dialled. */
static int record(struct tunnel *tunnel, const struct egress_address *address)
{
    struct gateway *gateway = tunnel->stage->gateway;
    struct audit_subject subject;
    char text[INET6_ADDRSTRLEN];
    stage_subject(tunnel->stage, &subject);
    if (inet_ntop(address->six ? AF_INET6 : AF_INET, address->bytes, text, sizeof text) == NULL)
        return -1;
    if (audit_connected(gateway_audit(gateway), gateway_epoch_ms(gateway), &subject, tunnel->request,
                        mf_span(tunnel->target.host), tunnel->target.port, text, NULL) != 0)
        return -1;
    tunnel->recorded = tunnel->dialled = true;
    gateway_recorded(gateway);
    return 0;
}

static void forget_upstream(struct tunnel *tunnel)
{
    if (tunnel->recorded)
        tunnel_record_end(tunnel);
    net_watch_destroy(tunnel->upstream_watch);
    tunnel->upstream_watch = NULL;
    if (tunnel->upstream_fd >= 0)
        close(tunnel->upstream_fd);
    tunnel->upstream_fd = -1;
}

static void on_connected(void *context, int events)
{
    struct tunnel *tunnel = context;
    int trouble = 0;
    socklen_t length = sizeof trouble;
    (void)events;
    if (getsockopt(tunnel->upstream_fd, SOL_SOCKET, SO_ERROR, &trouble, &length) != 0 || trouble != 0)
        tunnel_dial(tunnel);
    else
        tunnel_pass(tunnel);
}

/* -1: this address will not do. */
static int start(struct tunnel *tunnel, const struct egress_address *address)
{
    struct sockaddr_storage where;
    socklen_t length = socket_address(address, tunnel->target.port, &where);
    tunnel->upstream_fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tunnel->upstream_fd < 0)
        return -1;
    setsockopt(tunnel->upstream_fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(tunnel->upstream_fd, (const struct sockaddr *)&where, length) != 0 && errno != EINPROGRESS)
        return -1;
    return net_watch_create(&tunnel->upstream_watch, gateway_loop(tunnel->stage->gateway), tunnel->upstream_fd,
                            NET_WRITE, on_connected, tunnel, NULL);
}

/* For a loopback origin of `reach` the graph's own word counts: it is no target of the agent's choice. */
static bool may_dial(const struct tunnel *tunnel, const struct egress_address *address)
{
    return tunnel->kind == GATEWAY_DOOR_REACH || egress_may_dial(tunnel->grant, &tunnel->target, address);
}

static const struct egress_address *next_address(struct tunnel *tunnel)
{
    while (tunnel->address_next < tunnel->address_count) {
        const struct egress_address *address = &tunnel->addresses[tunnel->address_next++];
        if (may_dial(tunnel, address))
            return address;
    }
    return NULL;
}

/* None of its addresses may be dialled: this one says why. */
static void refuse_address(struct tunnel *tunnel)
{
    enum egress_class worst = EGRESS_CLASS_PUBLIC;
    for (uint32_t i = 0; i < tunnel->address_count; i++) {
        enum egress_class class_of = egress_classify(&tunnel->addresses[i]);
        worst = class_of > worst ? class_of : worst;
    }
    tunnel_refuse(tunnel, 403, egress_class_name(worst), egress_class_text(worst));
}

void tunnel_dial(struct tunnel *tunnel)
{
    const struct egress_address *address;
    int64_t now_ms = net_now_ms();
    bool first = tunnel->state != TUNNEL_DIALLING;
    if (first)
        tunnel->dial_until_ms = now_ms + EGRESS_DIAL_TIMEOUT_MS;
    tunnel->state = TUNNEL_DIALLING;
    forget_upstream(tunnel);
    while (now_ms < tunnel->dial_until_ms && (address = next_address(tunnel)) != NULL) {
        bool last = tunnel->address_next == tunnel->address_count;
        int64_t left_ms = tunnel->dial_until_ms - now_ms;
        if (record(tunnel, address) != 0) {
            tunnel_refuse(tunnel, 503, "unrecorded", "the record of it cannot be written");
            return;
        }
        if (start(tunnel, address) == 0) {
            tunnel_deadline(tunnel,
                            last || left_ms < EGRESS_ONE_DIAL_TIMEOUT_MS ? left_ms : EGRESS_ONE_DIAL_TIMEOUT_MS);
            return;
        }
        forget_upstream(tunnel);
    }
    if (!tunnel->dialled)
        refuse_address(tunnel);
    else
        tunnel_refuse(tunnel, now_ms < tunnel->dial_until_ms ? 502 : 504, "unreachable", "nobody answers there");
}
