/* gateway/proxy.h - what the parts of the reverse proxy share among themselves (the doors GATEWAY_DOOR_API) */
#ifndef MF_GATEWAY_PROXY_H
#define MF_GATEWAY_PROXY_H

#include "gateway/gateway_private.h"

#include "gateway/policy.h"
#include "gateway/usage.h"
#include "http1/match.h"
#include "http1/request.h"
#include "net/stream.h"

#define TOKEN_HASH_BYTES 32
#define GRANT_HEADERS_MAX 8u     /* of a credential: at most two in use */
#define GRANT_REFUSED_MAX 3u     /* 401s in a row: the account is dead */
#define HANDED_MAX 64u           /* credentials that a provider handed to one lease; one for each upload session */
#define WHOLE_BODY_BYTES_MAX (8u << 20) /* of a request that must be read before it is priced */
#define WHOLE_BODIES_BYTES_MAX (256u << 20) /* of all of them together */
#define LEARN_BYTES_MAX (1u << 20)      /* of an answer that may hold a credential for the agent */

/* --- tokens.c: SHA-256 of every token there is or was --- */

enum token_kind { TOKEN_LIVE, TOKEN_DEAD, TOKEN_CANARY };

struct token {
    uint8_t hash[TOKEN_HASH_BYTES];
    enum token_kind kind;
    struct grant *grant; /* LIVE: whose; else NULL */
    uint64_t stage;      /* LIVE and DEAD: whose it is or was */
    uint32_t next;       /* in its bucket */
};

struct tokens;

int tokens_create(struct tokens **out, struct mf_error *error);
void tokens_destroy(struct tokens *tokens); /* NULL is fine */
/* Makes a random token; the hash goes into the table as LIVE. */
int tokens_issue(struct tokens *tokens, struct grant *grant, uint64_t stage, char token[GATEWAY_TOKEN_BYTES],
                 uint8_t hash[TOKEN_HASH_BYTES], struct mf_error *error);
int tokens_add_canary(struct tokens *tokens, struct mf_span value, struct mf_error *error);
/* The token of a grant dies; it stays known as long as TOKENS_DEAD_MAX others have not died after it. */
void tokens_kill(struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES]);
/* NULL: nobody's. */
const struct token *tokens_find(const struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES]);
void token_hash(struct mf_span value, uint8_t hash[TOKEN_HASH_BYTES]);
bool token_hash_equal(const uint8_t left[TOKEN_HASH_BYTES], const uint8_t right[TOKEN_HASH_BYTES]);

/* --- finder.c: a grant's secrets, in every spelling, looked for in what passes --- */

#define FINDER_PATTERN_MAX 64u /* the first bytes of a spelling are evidence enough */

struct finder;

int finder_create(struct finder **out, const struct mf_span *secrets, uint32_t count, struct mf_error *error);
void finder_destroy(struct finder *finder); /* NULL is fine */
bool finder_has(const struct finder *finder, struct mf_span text);

/* The end of what passed so far that may be the beginning of a secret: it is held back until more came. */
struct finder_tail {
    char bytes[FINDER_PATTERN_MAX];
    uint32_t length;
};
/*
 * Takes the next piece. True: a secret is in it, or lies across its border. Else *pass is how many of `tail` + `piece` may go
 * on now, counted from the first held byte; the rest is held in `tail` afterwards. So the caller passes on the old tail, then
 * the piece, up to that count.
 */
bool finder_take(const struct finder *finder, struct finder_tail *tail, struct mf_span piece, size_t *pass);

/* --- grants.c --- */

struct shared_policy { /* stays while somebody uses it */
    struct shared_policy *next;
    uint64_t id;
    uint32_t users;
    struct policy *policy;
    struct usage_rules *rules; /* NULL: the policy has none */
};

struct upstream { /* where to, and the credential for it; stays while somebody uses it */
    uint32_t users;
    char *base;     /* owned: "https://api.example.com" */
    size_t base_length;
    char *block;    /* owned, wiped: names and values of the headers */
    size_t block_bytes;
    struct net_header headers[GRANT_HEADERS_MAX];
    uint32_t header_count;
    struct finder *finder;
};

struct service {
    struct gateway *gateway;
    struct service *next;
    uint64_t id;
    char *name;
    struct shared_policy *policy;
    struct upstream *upstream;
    uint32_t running_max, running; /* 0: unlimited */
    struct exchange *waiting;      /* for the gate or for a place, in order of arrival */
    struct net_timer *gate;        /* when those that wait are looked at again */
    int64_t closed_until_ms;       /* boot time; the provider asked for a pause */
    struct budget budget;
    bool budget_told, refused_told;
};

struct past { /* what an earlier life of the runner spent, from its record */
    struct past *next;
    char *service;
    int64_t micro_usd;
    uint64_t tokens, requests;
};

struct dropping { /* a lease that ended and is to be told as dropped */
    struct dropping *next;
    uint64_t lease;
};

struct gateway {
    struct net_loop *loop;
    struct net_client *client;
    struct gateway_handlers handlers;
    void *context;
    uint32_t requests_per_stage_max, connections_per_stage_max;
    uint64_t body_bytes_max;
    int64_t (*epoch_ms)(void);
    struct audit *audit;
    struct watch *watch;
    struct tokens *tokens;
    struct stage *stages;
    struct shared_policy *policies;
    struct service *services;
    struct budget run_budget;
    bool run_budget_told;
    struct past *past;        /* until its service is added; NULL service: of the whole run */
    struct exchange *orphans; /* recorded, but curl is not done with them */
    struct dropping *droppings, **droppings_end;
    struct net_timer *drop_timer, *tell_timer;
    bool telling, head_changed;
    uint64_t whole_bytes; /* of bodies that are set aside */
    char *scratch;
};

struct use { /* of a service by a stage: what is told as usage */
    uint64_t requests;
    struct audit_usage total;
    bool changed;
};

struct grant {
    struct stage *stage;
    struct grant *next;
    uint64_t lease;          /* 0: a use of `service` */
    struct service *service; /* NULL: a lease */
    struct shared_policy *policy;
    struct upstream *upstream; /* of a lease; a use has its service's */
    struct http1_grant rights;
    char *rights_block;      /* owned: bindings, narrowings and their text */
    uint8_t hash[TOKEN_HASH_BYTES];
    uint8_t handed[HANDED_MAX][TOKEN_HASH_BYTES];
    uint32_t handed_count, handed_next;
    uint32_t account;
    uint32_t refused_in_row;
    bool dead_told;
    struct exchange *exchanges; /* in flight or waiting */
    uint32_t running;           /* of them with a service */
    struct use use;
};

struct grant *grant_find(struct gateway *gateway, uint64_t lease); /* NULL: not there */
void services_free(struct gateway *gateway);
void policies_free(struct gateway *gateway);
void grant_subject(const struct grant *grant, struct audit_subject *out);
/* Its token dies, what is in flight is aborted and recorded, its memory goes. */
void grant_close(struct grant *grant);
/* A credential that the provider handed to this agent: only its hash is kept. */
void grant_hand_on(struct grant *grant, struct mf_span credential);
bool grant_was_handed(const struct grant *grant, const uint8_t hash[TOKEN_HASH_BYTES]);
struct upstream *upstream_hold(struct upstream *upstream);
void upstream_release(struct upstream *upstream); /* NULL is fine */

/* --- decide.c, screen.c: PURE --- */

struct request_view { /* one parsed head */
    struct mf_span method, path, query;
    const struct net_header *headers; /* names in lower case */
    uint32_t header_count;
    bool has_body;
};

struct verdict {
    int status;            /* 0: allowed; else what the agent gets */
    const char *reason;    /* for the record */
    int anomaly;           /* enum watch_kind; -1: none */
    struct grant *grant;   /* whose token it was; NULL: nobody's here */
    struct http1_match match;
    struct http1_path path; /* canonical, without the base path; valid once the path was read (path.count or text) */
    bool path_read;
    bool agent_credential; /* the agent's own credential passes, the account's does not */
    struct mf_span credential_header; /* name of the header that carried token or credential */
};

void decide(const struct stage *stage, const struct tokens *tokens, uint16_t port, const struct request_view *view,
            struct verdict *out);
/* Host, origin, method overrides: before anybody is asked who he is. False: refused. */
bool screen_headers(const struct request_view *view, uint16_t port, struct verdict *out);
/* Is it a header by which some client presents a credential? */
bool is_credential_header(struct mf_span name);
/* Takes the segments of `base` off the path. False: the path is not below it. */
bool path_strip(struct http1_path *path, struct mf_span base);

/* --- headers.c: PURE --- */

/* Those that go upstream, the credential last, or instead of it the agent's header `own` (empty: none); `out` has room for HTTP1_HEADERS_MAX + GRANT_HEADERS_MAX. Returns how many. */
uint32_t headers_for_upstream(const struct request_view *view, const struct policy *policy,
                              const struct upstream *upstream, struct mf_span own, struct net_header *out);
/* Writes status line and headers of an answer, up to but without framing; the buffer's `failed` says whether it fits. */
void headers_for_agent(const struct net_stream_head *head, const struct upstream *upstream, uint16_t port,
                       struct mf_buf *out);
/* "retry-after" as milliseconds; -1: none that can be read. `now_ms` is epoch time. */
int64_t headers_retry_after(const struct net_header *headers, uint32_t count, int64_t now_ms);

/* --- tell.c --- */

/* As stage_anomaly, for what came in at a door: unless `known`, at a door that others can reach it is nobody's. */
void door_anomaly(struct door *door, bool known, uint64_t lease, enum watch_kind kind, struct mf_span route);
int tell_create(struct gateway *gateway, struct mf_error *error);
void tell_destroy(struct gateway *gateway);
void tell_use_changed(struct grant *grant);
/* Usage of the stage's grants and the head, now. */
void tell_stage_now(struct stage *stage);
/* The budget is used up: told once for each. `stage` NULL: a service's or the run's. */
void tell_budget(struct gateway *gateway, struct stage *stage, bool *told, const char *which);

/* --- restore.c: from the lines of an earlier life --- */

struct restore;
struct restore *restore_create(struct gateway *gateway); /* NULL without memory */
void restore_line(void *restore, struct mf_span line);
/* What was open is charged in full. */
void restore_end(struct restore *restore);
void restore_service(struct service *service); /* puts into its budget what it spent */
void restore_free(struct gateway *gateway);

/* --- door.c --- */

int door_open(struct stage *stage, enum gateway_door kind, int fd, uint16_t port, bool guarded, struct mf_error *error);
void doors_close(struct stage *stage);

/* --- front.c, reply.c: one connection of an API door --- */

enum front_phase {
    FRONT_HEAD,     /* a request is coming, or none */
    FRONT_WHOLE,    /* its body is read before anything goes out */
    FRONT_EXCHANGE, /* it is with its exchange */
    FRONT_DELAY,    /* a 401 waits for its time */
    FRONT_REPLY,    /* an answer is being sent, nothing else is left to do */
    FRONT_LINGER,   /* what still comes is dropped, so that the answer arrives */
    FRONT_CLOSED,
};

/* What the timer of the connection waits for. */
enum front_wait { FRONT_WAIT_NOTHING, FRONT_WAIT_IDLE, FRONT_WAIT_HEAD, FRONT_WAIT_BODY, FRONT_WAIT_WRITE, FRONT_WAIT_DELAY, FRONT_WAIT_LINGER };

struct front {
    struct door *door;
    struct stage *stage;
    struct front *next, **link;
    int fd; /* owned; -1 when closed */
    struct net_watch *watch;
    struct net_timer *timer;
    enum front_phase phase;
    enum front_wait wait;
    int64_t since_ms;    /* when `wait` began, or something moved */
    bool advancing, peer_done;
    bool head_only;      /* HEAD: an answer has no body */
    bool close_after;    /* the answer is the last one */
    bool body_done;      /* the request's body is complete */
    bool body_bad;       /* or cannot be read any further */
    bool starved;        /* the exchange waits for more of it */
    bool flush_wanted;   /* something in `out` is to go */
    int64_t idle_since_ms; /* between two requests; MF_NEVER: not idle */
    uint64_t linger_bytes;
    struct mf_buf in;    /* the head of the request stays at its start until the answer is given */
    size_t in_at;        /* consumed so far */
    struct mf_buf whole; /* the body that was read before the exchange began: all of it, or its first part */
    size_t whole_at;     /* of it given to the exchange */
    bool must_whole;     /* it is not to begin before */
    struct mf_buf out;   /* for the socket */
    size_t out_at;       /* of it sent */
    struct http1_head head;
    struct http1_body body;
    struct exchange *exchange; /* FRONT_WHOLE and FRONT_EXCHANGE; else NULL */
};

void front_accept(struct door *door, int fd);
/* Ends it at once; its exchange is aborted and recorded. */
void front_close(struct front *front);
void front_free(struct front *front); /* the memory of a closed one */
void front_begin_request(struct front *front);
void front_drop_whole(struct front *front); /* the body that was set aside */
/* Moves on as far as possible; it may be gone afterwards. */
void front_advance(struct front *front);
/* Sets watch and timer to what it waits for now. */
void front_arm(struct front *front);
/* The head of the current request; `headers` has room for HTTP1_HEADERS_MAX. */
void front_view(const struct front *front, struct net_header *headers, struct request_view *out);
/* Begins with the body of a request that is allowed: whole, or as it comes. */
void front_begin_body(struct front *front, bool whole);
/* The next piece of the decoded body, as net_stream_calls.read. */
#define FRONT_BODY_BAD (-2)
int64_t front_read_body(struct front *front, char *out, size_t bytes_max);

/* Answers in the provider's envelope and closes; `extra` is a whole header line or NULL. Whatever was not sent yet goes. */
void front_refuse(struct front *front, const struct policy *policy, int status, const char *message, const char *extra);
/* As front_refuse, with a record. */
void front_refuse_recorded(struct front *front, const struct request_view *view, const struct verdict *verdict, int status,
                           const char *reason, const char *message, const char *extra);
/* A head that cannot be read, or did not come. */
void front_refuse_malformed(struct front *front, int status, const char *reason);
/* The body of a request that was allowed, before it went out. */
void front_refuse_body(struct front *front, int status, const char *reason);
/* In whose envelope a refusal goes before it is known whose request it is: the same for all of a stage. */
const struct policy *front_common_policy(const struct stage *stage);
const char *front_message(int status);
/* The answer of the exchange is complete in `out`: keeps the connection or ends it. The exchange is no longer its own. */
void front_end_answer(struct front *front);
/* The answer broke off: the agent must not take it for a whole one. */
void front_break_answer(struct front *front);
/* Sends what the socket takes. False: the connection was closed by it, and is gone. */
bool front_flush(struct front *front);
void front_flush_soon(struct front *front); /* in the next turn */
size_t front_unsent(const struct front *front);

/* --- exchange.c, answer.c --- */

struct exchange {
    struct gateway *gateway;
    struct grant *grant;      /* NULL once it is recorded as answered */
    struct exchange *next, **link; /* in the list of its grant, or of orphans */
    struct exchange *next_waiting; /* in its service's queue */
    struct front *front;      /* NULL: nobody waits for the answer */
    struct net_stream *stream; /* NULL: not begun, or over */
    struct upstream *upstream; /* held */
    bool waiting, running, head_only, agent_credential, free;
    int64_t wait_until_ms, started_ms;
    uint64_t request;
    int64_t reserved_micro_usd;
    char *url;                /* owned */
    size_t path_at, path_length; /* in url: what is recorded */
    char method[HTTP1_METHOD_BYTES_MAX + 1];
    struct mf_span rule, permission; /* the policy's */
    char credential_header[64]; /* agent_credential: which header it came in */
    /* the answer */
    int status;
    uint64_t sent_bytes, received_bytes;
    bool head_written;        /* into the front's out */
    bool head_sent;           /* some byte of it may have left */
    bool left;                /* some byte of the request may have left */
    bool chunked, no_body, collecting, learning, filtered, broken;
    uint64_t searched_bytes;
    struct finder_tail tail;
    struct usage_reader *reader;
    struct mf_buf learned;    /* an answer that may hold a credential for the agent */
    int64_t body_bytes;       /* as announced */
};

/* A decided request; the front is in FRONT_HEAD. Refuses by itself. */
void exchange_create(struct front *front, const struct request_view *view, const struct verdict *verdict);
/* Its whole body is there, or none is to be read first. */
void exchange_begin(struct exchange *exchange);
/* Its place has come. */
void exchange_go(struct exchange *exchange);
/* The agent is gone, or its grant: recorded as aborted. The exchange is no longer anybody's. */
void exchange_abort(struct exchange *exchange);
/* More of the body came, or its end. */
void exchange_more(struct exchange *exchange);
/* The front's out has room again. */
void exchange_resume(struct exchange *exchange);
/* Its grant ends while the agent still waits: as exchange_abort, and the agent is told. */
void exchange_drop(struct exchange *exchange);
/* The gateway goes before curl has let go of them. */
void exchange_forget_orphans(struct gateway *gateway);
/* Refused, or never begun: the front has its answer, the exchange goes. */
void exchange_discard(struct exchange *exchange);
/* Records the answer once, settles budgets, gives its place free. */
void exchange_record(struct exchange *exchange, const char *outcome);
void exchange_free(struct exchange *exchange);
/* Refused after it was decided; `extra` as front_refuse's. The exchange is gone. */
void exchange_refuse(struct exchange *exchange, int status, const char *reason, const char *message, const char *extra);

/* answer.c: what the stream calls */
bool answer_on_head(void *context, const struct net_stream_head *head);
bool answer_on_data(void *context, struct mf_span data);
void answer_on_done(void *context, const struct net_stream_end *end);

/* --- service.c --- */

int service_gate_create(struct gateway *gateway, struct service *service, struct mf_error *error);

/* True: it may go now. False: it waits, and exchange_go comes later; or it was refused. */
bool service_admit(struct exchange *exchange);
void service_leave(struct exchange *exchange);   /* out of the queue */
void service_release(struct exchange *exchange); /* its place is free */
/* Reserves the most that it can cost. False: refused. */
bool service_reserve(struct exchange *exchange, struct mf_span body);
void service_settle(struct exchange *exchange, const struct audit_usage *usage, bool sent, int64_t *charged_micro_usd);
/* The head of an answer: gates and refused credentials. */
void service_look(struct exchange *exchange, const struct net_stream_head *head);

#endif
