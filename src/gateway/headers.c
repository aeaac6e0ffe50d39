/*
 * headers.c - which headers pass, in both directions
 *
 * PURE. Upstream: those of a list, those that the policy forwards, the credential last. Whatever the agent says about the
 * connection, its origin, a proxy or a credential stays here, also what it names in `Connection`. Accept-Encoding stays here
 * too: an answer that is not compressed can be searched for the credential. Back to the agent: everything but cookies,
 * what belongs to the connection or to a browser's view of the provider's origin, and a Location that leads elsewhere.
 */
#include "gateway/proxy.h"

#include "http1/write.h"

#include <string.h>

static bool is_one_of(struct mf_span name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (mf_span_is(name, names[i]))
            return true;
    return false;
}
#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof *(names))

/* --- upstream --- */

static bool is_passed(struct mf_span name)
{
    static const char *const names[] = {"accept",
                                        "accept-language",
                                        "cache-control",
                                        "content-disposition",
                                        "content-encoding",
                                        "content-language",
                                        "content-md5",
                                        "content-type",
                                        "digest",
                                        "idempotency-key",
                                        "if-match",
                                        "if-modified-since",
                                        "if-none-match",
                                        "if-range",
                                        "if-unmodified-since",
                                        "prefer",
                                        "range",
                                        "user-agent",
                                        "x-request-id"};
    return IS_ONE_OF(name, names);
}

/* No policy can let these pass. */
static bool is_never_passed(struct mf_span name)
{
    static const char *const names[] = {"connection",
                                        "content-length",
                                        "expect",
                                        "forwarded",
                                        "host",
                                        "http2-settings",
                                        "keep-alive",
                                        "proxy-connection",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "via",
                                        "x-forwarded-for",
                                        "x-forwarded-host",
                                        "x-real-ip",
                                        "x-forwarded-proto"};
    return IS_ONE_OF(name, names) || is_credential_header(name);
}

static bool is_injected(const struct upstream *upstream, struct mf_span name)
{
    for (uint32_t i = 0; i < upstream->header_count; i++)
        if (mf_span_equal(upstream->headers[i].name, name))
            return true;
    return false;
}

uint32_t headers_for_upstream(const struct request_view *view, const struct policy *policy,
                              const struct upstream *upstream, struct mf_span own, struct net_header *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < view->header_count; i++) {
        const struct net_header *header = &view->headers[i];
        bool passes = own.length > 0 && mf_span_equal(header->name, own);
        if (!passes && !is_injected(upstream, header->name))
            passes =
                is_passed(header->name) || (policy_forwards(policy, header->name) && !is_never_passed(header->name));
        if (passes)
            out[count++] = *header;
    }
    for (uint32_t i = 0; i < upstream->header_count; i++)
        if (own.length == 0)
            out[count++] = upstream->headers[i];
    return count;
}

/* --- to the agent --- */

static bool is_withheld(struct mf_span name)
{
    static const char *const names[] = {"set-cookie",
                                        "set-cookie2",
                                        "alt-svc",
                                        "strict-transport-security",
                                        "proxy-authenticate",
                                        "via",
                                        "clear-site-data",
                                        "public-key-pins",
                                        "report-to",
                                        "nel",
                                        "proxy-authentication-info"};
    return IS_ONE_OF(name, names) || mf_span_starts(name, "access-control-");
}

/* Writes the agent's own spelling of a place of the same origin; nothing for any other. */
static void write_location(struct mf_span name, struct mf_span value, const struct upstream *upstream, uint16_t port,
                           struct mf_buf *out)
{
    char place[HTTP1_LINE_BYTES_MAX];
    struct mf_span rest = value;
    if (mf_span_starts(value, upstream->base)) {
        rest = (struct mf_span){value.data + upstream->base_length, value.length - upstream->base_length};
        if (rest.length > 0 && rest.data[0] != '/' && rest.data[0] != '?' && rest.data[0] != '#')
            return;
    } else if (value.length == 0 || value.data[0] != '/' || mf_span_starts(value, "//") ||
               memchr(value.data, '\\', value.length) != NULL) {
        return;
    }
    if (rest.length >= sizeof place - 64)
        return;
    mf_format(place, sizeof place, "http://127.0.0.1:%u%.*s", port, MF_SPAN_ARGS(rest));
    http1_write_header(out, name, rest.data == value.data ? value : mf_span(place));
}

void headers_for_agent(const struct net_stream_head *head, const struct upstream *upstream, uint16_t port,
                       struct mf_buf *out)
{
    http1_write_status(out, head->status);
    for (uint32_t i = 0; i < head->header_count; i++) {
        const struct net_header *header = &head->headers[i];
        if (mf_span_is(header->name, "location") || mf_span_is(header->name, "content-location"))
            write_location(header->name, header->value, upstream, port, out);
        else if (!is_withheld(header->name))
            http1_write_header(out, header->name, header->value);
    }
}

int64_t headers_retry_after(const struct net_header *headers, uint32_t count, int64_t now_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t at = -1;
        if (!mf_span_is(headers[i].name, "retry-after"))
            continue;
        if (mf_parse_i64(headers[i].value, &at) == 0)
            return at < 0 ? -1 : at > INT32_MAX ? (int64_t)INT32_MAX * 1000 : at * 1000;
        if (mf_parse_http_date_ms(headers[i].value, &at) == 0)
            return at > now_ms ? at - now_ms : 0;
    }
    return -1;
}
