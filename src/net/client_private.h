/* net/client_private.h - what client.c (the multi handle), transfer.c, answer.c and stream.c (one request) and origin.c (URLs) share */
#ifndef MF_NET_CLIENT_PRIVATE_H
#define MF_NET_CLIENT_PRIVATE_H

#include "net/client.h"
#include "net/stream.h"

#include "base/buf.h"

#include <curl/curl.h>
#include <ev.h>

#define CLIENT_ANSWER_HEADERS_MAX 200u
#define CLIENT_ANSWER_HEAD_BYTES_MAX 131072u /* over all heads of an answer, 1xx included */
#define CLIENT_ORIGIN_BYTES_MAX 300u         /* scheme, a DNS name of 253 bytes, port */
#define CLIENT_ORIGINS_KNOWN 8u              /* recipes and services of one run */

/* "https://api.example.com:443" and what was found out about it. */
struct known_origin {
    char text[CLIENT_ORIGIN_BYTES_MAX]; /* as it stands in the URLs, without path */
    size_t length;
    bool loopback, plain; /* plain: http */
    bool doubtful;        /* a connection to it was just no good: the next request takes a new one */
};

enum request_state { REQUEST_FREE, REQUEST_OPEN, REQUEST_FINISHED, REQUEST_DELIVERING };

struct answer_line {
    uint32_t name_at, name_length, value_at, value_length; /* in `head` */
};

/* The streamed side of a request: part of it, in use when `streaming` is set. */
struct net_stream {
    struct net_request *request;
    struct net_stream_calls calls;
    void *context;
    struct net_stream *next_woken;
    uint64_t bytes_sent, bytes_received;
    int64_t stall_timeout_ms, moved_ms; /* boot time of the last byte in either direction */
    int status;          /* of the head that was passed on; 0: none yet */
    bool read_paused, write_paused, woken;
    bool stalled;
};

struct net_request {
    struct net_client *client;
    struct net_request *next, *previous; /* in the list of its state */
    enum request_state state;
    CURL *easy; /* owned; options that never change are set once */
    net_done *done;
    void *context;
    bool streaming;
    struct net_stream stream;
    struct known_origin origin;
    void *headers_block; /* owned: the list for curl and its text in one piece, wiped */
    size_t headers_block_bytes;
    char *body; /* owned; wiped */
    size_t body_bytes;
    bool resend;       /* may go out more than once */
    uint32_t attempts; /* how often curl was about to send it */
    /* the answer */
    struct mf_buf head;  /* names in lower case and values of the last head */
    struct answer_line *lines;
    size_t line_capacity;
    uint32_t line_count;
    uint64_t head_bytes; /* counted over all heads */
    struct mf_buf content;
    bool head_done;      /* what comes after it are trailers */
    bool framed;         /* by length or chunks */
    bool too_large, no_memory, cancelled, bad_head, address_refused;
    CURLcode result;
    char text[CURL_ERROR_SIZE];
};

struct net_client {
    struct net_loop *loop;
    CURLM *multi;
    struct net_timer *timer;
    ev_prepare deliver; /* before the pump: answers */
    ev_prepare start;   /* after the pump: what it submitted is sent in the same iteration */
    bool kick;          /* curl wants to be run now */
    bool hurt;          /* curl ran out of memory and has forgotten descriptors or its timer */
    bool delivering, closing;
    bool inside;        /* curl is running: its multi handle must not be touched */
    bool cancels;       /* some open request was cancelled from inside */
    struct net_stream *woken; /* streams that may go on */
    struct net_timer *stalls; /* looks at open streams; NULL until one asks for it */
    struct net_request *open;
    struct net_request *finished, **finished_end;
    struct net_request *free_requests;
    uint32_t free_count, in_flight;
    struct socket_watch *free_watches;
    uint32_t watch_count;
    struct net_header *headers; /* of the answer being delivered */
    size_t header_capacity;
    struct known_origin origins[CLIENT_ORIGINS_KNOWN];
    uint32_t origin_count, origin_next;
    char *ca_file, *user_agent;
};

/* --- origin.c --- */

/* Checks the whole URL and finds its origin, from memory for one that was seen before. */
int origin_of(struct net_client *client, const char *url, struct known_origin *out, struct mf_error *error);
/* An HTTP/2 connection to it reset a request or was the wrong one: it may do so again to all that share it. */
void origin_doubt(struct net_client *client, const struct known_origin *origin);
/* May a request to this origin dial this address? */
bool origin_may_dial(const struct known_origin *origin, const struct sockaddr *address);

/* --- client.c, for stream.c --- */

/* A request to be filled, or NULL without memory; then either started or given back. */
struct net_request *client_take(struct net_client *client, struct mf_error *error);
int client_start(struct net_client *client, struct net_request *request, struct mf_error *error);
void client_give_back(struct net_client *client, struct net_request *request);

/* --- stream.c --- */

/* The head is complete. False: end the request. */
bool stream_on_head(struct net_request *request);
/* Lets those go on that were woken; curl may call back. */
void stream_resume_woken(struct net_client *client);
/* The request is over. */
void stream_deliver_end(struct net_request *request, const struct net_answer *answer);
/* Takes what a stream set off the easy handle. */
void stream_clear(struct net_request *request);

/* --- transfer.c --- */

/* A request with an easy handle whose lasting options are set; NULL without memory. */
struct net_request *transfer_create(struct net_client *client);
void transfer_destroy(struct net_request *request);
/* Copies the spec and sets the easy handle up for it. */
int transfer_prepare(struct net_request *request, const struct net_request_spec *spec, struct mf_error *error);
/* Wipes all that belonged to one request; the easy handle stays. */
void transfer_clear(struct net_request *request);

/* --- answer.c --- */

/* curl's header and write callbacks; the context is the request. */
size_t answer_on_header(char *data, size_t size, size_t count, void *context);
size_t answer_on_content(char *data, size_t size, size_t count, void *context);
/* Judges the outcome; the answer's memory is the request's. */
void answer_judge(struct net_request *request, struct net_answer *answer);
/* The headers that came so far. */
void answer_fill_headers(struct net_request *request, struct net_answer *answer);
/* Wipes what came in. */
void answer_clear(struct net_request *request);
bool header_is(struct mf_span name, const char *lower_case);
struct mf_span header_trim(struct mf_span text);

/* --- memory.c --- */

/* curl_global_init with allocators that wipe what they free: curl keeps copies of headers and bodies. Counted. */
int client_memory_begin(struct mf_error *error);
void client_memory_end(void);
/* Fills the reserve for curl's small blocks; -1 when the system has no memory for it. */
int client_memory_refill(void);

#endif
