/*
 * net/stream.h - one HTTP request whose body and answer are passed on while they come: for the gateway
 *
 * Uses the client's connection pool and settings (net/client.h). Both directions have back pressure: a reader that has nothing
 * yet and a writer that cannot take more pause the transfer until they are woken. A streamed request is sent once: when a
 * reused connection turns out dead after a byte of the request was written it ends as NET_SENT (GET and HEAD without a body
 * may be sent again as long as no byte of the answer was passed on).
 *
 * All callbacks come from the loop, never from inside net_stream_open. `done` comes exactly once, after every other one.
 */
#ifndef MF_NET_STREAM_H
#define MF_NET_STREAM_H

#include "net/client.h"

struct net_stream; /* dead once `done` was called */

#define NET_STREAM_NO_BODY (-1)
#define NET_STREAM_CHUNKED (-2) /* length not known: chunked to an HTTP/1.1 upstream */

struct net_stream_spec {
    const char *method; /* upper case */
    const char *url;    /* whole URL, sent as it is (no squeezing of dots); userinfo refused */
    const struct net_header *headers; /* copied, wiped; not those that frame a message or name the host */
    uint32_t header_count;
    int64_t body_bytes; /* or one of the two above */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t timeout_ms;         /* whole request; 0: none */
    int64_t stall_timeout_ms;   /* nothing moved in either direction for so long, time that our side paused not counted; 0: never */
};

struct net_stream_end {
    enum net_sent sent;  /* NET_ANSWERED: the answer was complete and framed */
    int status;          /* 0: no head came */
    bool cancelled, untrusted;
    uint64_t body_bytes_sent, body_bytes_received;
    struct mf_error error; /* when not answered: no header, no body, no URL */
};

struct net_stream_head { /* valid during the callback */
    int status;                       /* never a 1xx */
    const struct net_header *headers; /* names in lower case; framing and hop-by-hop headers are left out */
    uint32_t header_count;
    int64_t body_bytes;               /* as announced (for HEAD and 304: of a body that does not come); -1: not told */
};

struct net_stream_calls {
    /* The next piece of the body: up to `bytes_max` into `out`. Returns how many; 0: the end; -1: nothing yet (net_stream_more). */
    int64_t (*read)(void *context, char *out, size_t bytes_max);
    /* The final head. False: end it. */
    bool (*head)(void *context, const struct net_stream_head *head);
    /* The next piece of the answer, as it came (no decoding). False: cannot take it now; it is given again after net_stream_resume. */
    bool (*data)(void *context, struct mf_span data);
    void (*done)(void *context, const struct net_stream_end *end);
};

int net_stream_open(struct net_stream **out, struct net_client *client, const struct net_stream_spec *spec, const struct net_stream_calls *calls, void *context, struct mf_error *error);
void net_stream_more(struct net_stream *stream);   /* read has something, or its end */
void net_stream_resume(struct net_stream *stream); /* data can take more */
void net_stream_cancel(struct net_stream *stream); /* done still comes, from a later turn */

#endif
