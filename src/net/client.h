/*
 * net/client.h - HTTP requests over curl's multi interface on the loop: exactly one answer for every submit
 *
 * One client per process holds one connection pool for each origin. Credentials are per-request headers (never netrc,
 * never in the URL). The settings are those of the hardening reference: no redirects, no proxy from the environment, TLS
 * 1.2 and newer verified, protocols https (http only to loopback), headers checked for CR, LF and NUL, bodies and headers
 * of answers bounded by own counters. HTTP/2 where the server offers it over TLS.
 *
 * The answer comes from a later loop turn, never from inside net_client_submit, also after net_request_cancel; it comes
 * before the turn of net_loop_on_turn runs. Only net_client_destroy delivers at once.
 *
 * A request with an effect is sent once: when a reused connection turns out dead after the request was written, curl would
 * send it again on a new one, and two effects could hide behind one answer. Unless the caller says that it may be resent,
 * such a request ends as NET_SENT.
 */
#ifndef MF_NET_CLIENT_H
#define MF_NET_CLIENT_H

#include "base/error.h"
#include "base/str.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct net_client;
struct net_request; /* handle of a submitted request; dead once its answer was delivered */

struct net_client_options {
    uint32_t connections_per_origin_max; /* 0: 16 */
    uint32_t connections_max;            /* 0: 256; keep below the descriptor limit */
    const char *ca_file;                 /* NULL: the system's; tests bring their own authority */
    const char *user_agent;              /* NULL: "mayfly/VERSION" */
};

struct net_header {
    struct mf_span name, value;
};

struct net_request_spec {
    const char *method; /* upper case */
    const char *url;    /* whole URL; parsed by curl only; userinfo refused */
    const struct net_header *headers; /* copied; not those that frame a message or name the host */
    uint32_t header_count;
    struct mf_span body;     /* copied; empty: no body. The copy is wiped when it is freed */
    int64_t timeout_ms;      /* whole request; 0: none */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t stall_timeout_ms; /* less than 1 byte/s for so long ends it; rounded up to whole seconds; 0: never */
    uint64_t answer_bytes_max; /* of the body; headers have a limit of the client's */
    bool retry_connection;    /* may be sent again when a reused connection turns out dead; GET and HEAD always may */
};

/* How far a request came: what may be said of its effect. */
enum net_sent {
    NET_NOT_SENT,  /* resolve, connect or TLS failed, or cancelled before: no byte of the request left */
    NET_SENT,      /* some byte may have left, no complete answer: the effect is unknown */
    NET_ANSWERED,  /* a completely framed answer with a status; one that ends with the connection is not framed */
};

struct net_answer {
    enum net_sent sent;
    int status;                        /* when answered */
    const struct net_header *headers;  /* names in lower case; valid during the callback */
    uint32_t header_count;
    struct mf_span body;               /* valid during the callback; wiped afterwards */
    bool too_large;                    /* cut at a limit: sent is NET_SENT then */
    bool cancelled;
    bool untrusted;                    /* the peer could not be verified, or its name leads where it must not: trying again would not help */
    int64_t duration_ms, first_byte_ms;
    int http_version;                  /* 10, 11 or 20; 0 without an answer */
    struct mf_error error;             /* when not answered: what happened, without any header or body */
};

/* May submit and cancel requests, this one's handle is dead. */
typedef void net_done(void *context, const struct net_answer *answer);

int net_client_create(struct net_client **out, struct net_loop *loop, const struct net_client_options *options, struct mf_error *error);
/* Cancels what is open (their callbacks run, with cancelled set) and frees everything. Not from inside a callback; NULL is fine. */
void net_client_destroy(struct net_client *client);
/* 0 and later exactly one call of done; or -1 (bad URL, bad header, no memory) and no call. */
int net_client_submit(struct net_client *client, const struct net_request_spec *spec, net_done *done, void *context, struct net_request **out, struct mf_error *error);
/* The callback still comes, from a later turn. */
void net_request_cancel(struct net_request *request);
/* Some byte of it may have left; before its answer was delivered. */
bool net_request_sent(const struct net_request *request);
uint32_t net_client_in_flight(const struct net_client *client);
/* First header of that lower-case name, or the empty span. */
struct mf_span net_answer_header(const struct net_answer *answer, const char *name);

/* Origin rules in one place: https anywhere, http only where the host is loopback (127.0.0.0/8, [::1], localhost). */
int net_check_base_url(const char *url, bool *loopback, struct mf_error *error);
/* "scheme://host:port" with the default port made explicit, into out. */
int net_origin(const char *url, char *out, size_t out_bytes, struct mf_error *error);

#endif
