/*
 * gateway/egress_head.h - the head of a request at an EGRESS or REACH door: where to, and what is sent there
 *
 * PURE. Three forms: CONNECT host:port, whose bytes nobody reads; `http://host/...` at the EGRESS door; and an ordinary request
 * at the REACH door of a loopback origin. The last two are written anew: framing, Host and connection are ours, hop-by-hop
 * headers go, one request for each connection.
 */
#ifndef MF_GATEWAY_EGRESS_HEAD_H
#define MF_GATEWAY_EGRESS_HEAD_H

#include "base/buf.h"
#include "gateway/egress_rules.h"
#include "gateway/gateway.h"
#include "http1/request.h"

#define EGRESS_HEAD_BYTES_MAX 16384u /* cookies and tokens of real clients stay below 8 KiB */
#define EGRESS_UPSTREAM_HEAD_BYTES_MAX (2u * EGRESS_HEAD_BYTES_MAX)

struct egress_head {
    bool forward;                /* an HTTP request that is written anew; else CONNECT */
    struct egress_target target;
    bool chunked, expect_continue;
    struct http1_body body;      /* forward: of the request, as it comes from the agent */
    char method[HTTP1_METHOD_BYTES_MAX + 1];
    struct mf_span shown;        /* for the record: "host:port", or the whole target as it came; inside the input */
    int status;                  /* refused: with what, and why (constant texts) */
    const char *reason;
    bool outside;                /* refused because the path is outside of what may be reached */
};

/* Where the head ends, its empty line included; 0: not yet. */
size_t egress_head_end(struct mf_span bytes);

/*
 * `head` is one whole head. -1: refused with out->status. Of a request that is forwarded, `upstream` gets the new head.
 * MF_MEMORY shows as 503.
 */
int egress_head_read(struct mf_span head, enum gateway_door door, uint16_t port, const struct egress_rules *rules,
                     struct egress_head *out, struct mf_buf *upstream);

#endif
