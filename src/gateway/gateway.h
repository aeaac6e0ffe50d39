/*
 * gateway/gateway.h - the agents' only way out: a strict HTTP/1.1 reverse proxy that holds their credentials, and a CONNECT proxy
 *
 * One gateway for each runner process, on its loop. An agent is one *stage*; a stage has doors (listening sockets) and grants
 * (leases of accounts, services), each with a token of its own that alone says which grant a request is for. A request is
 * parsed once, checked against the grant, recorded, then sent to the grant's one upstream with its credential put in last; the
 * answer comes back filtered. Nothing is decided by reading the agent's bytes twice.
 *
 * Who calls it: runner/ (runner.c, stage.c). What can fail: an audit record that cannot be written (503, nothing goes out), an
 * upstream that does not answer (502, 504), limits (429, 503).
 */
#ifndef MF_GATEWAY_GATEWAY_H
#define MF_GATEWAY_GATEWAY_H

#include "base/error.h"
#include "base/str.h"
#include "gateway/audit.h"
#include "gateway/watch.h"
#include "net/client.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway;

#define GATEWAY_TOKEN_BYTES 48 /* "mfy_" + base64url of 32 bytes + terminator */
/* In the values of a lease's environment and account_json: */
#define GATEWAY_TOKEN_MARK "{{gateway.token}}"
#define GATEWAY_URL_MARK "{{gateway.url}}" /* "http://127.0.0.1:8787" + base path */

struct gateway_usage { /* of one stage and one service so far */
    uint64_t stage;
    struct mf_span service;
    uint64_t requests, input_tokens, output_tokens, cached_tokens, cache_write_tokens;
    int64_t micro_usd; /* -1: no prices */
};

/* A handler is called in the middle of work on the very thing that it is about: it must not call the gateway, only note and tell. */
struct gateway_handlers {
    /* Something looks wrong; `detail` is escaped text for people, no secret. stage 0: nobody's (an unknown token). */
    void (*anomaly)(void *context, uint64_t stage, uint64_t lease, enum watch_kind kind, const char *detail);
    void (*account_dead)(void *context, uint64_t lease); /* three 401s of the provider in a row */
    /* 401 from a service: its credential is to be read again (gateway_add_service replaces it). */
    void (*service_refused)(void *context, uint64_t service);
    /* A budget is used up: of a service or the run when stage is 0. The request was refused. */
    void (*budget)(void *context, uint64_t stage, const char *which);
    void (*usage)(void *context, const struct gateway_usage *usage); /* changed: at most once a second for each, and at the stage's end */
    void (*audit_head)(void *context, uint64_t count, const char *head); /* at most once a second, and at each stage's end, before stage_closed returns */
    void (*dropped)(void *context, uint64_t lease); /* answer to gateway_drop */
};

struct gateway_options {
    struct net_loop *loop;
    struct net_client *client;  /* not owned */
    int run_dir_fd;             /* for audit.log; not owned */
    const char *run_id;
    uint64_t anchored_count;    /* audit_options */
    char anchored_head[AUDIT_HASH_HEX];
    uint32_t requests_per_stage_max;    /* in flight; 0: 64 */
    uint32_t connections_per_stage_max; /* 0: 256 */
    uint64_t body_bytes_max;    /* 0: 512 MiB: what is streamed; bodies that must be read whole have 8 MiB */
    int64_t (*epoch_ms)(void);  /* for records and stalls; NULL: the system's */
};

int gateway_create(struct gateway **out, const struct gateway_options *options, const struct gateway_handlers *handlers, void *context, struct mf_error *error);
void gateway_destroy(struct gateway *gateway); /* aborts what is in flight, recording it; NULL is fine */

/* Replaces one of the same id. The JSON is gateway/policy.h's. */
int gateway_add_policy(struct gateway *gateway, uint64_t policy, struct mf_span json, struct mf_error *error);

struct gateway_header { /* value is secret */
    struct mf_span name, value;
};

struct gateway_service {
    uint64_t service;        /* id, chosen by the caller */
    uint64_t policy;
    struct mf_span name;     /* "anthropic" */
    struct mf_span upstream; /* "https://api.anthropic.com", no trailing slash; the policy's base path comes after it */
    const struct gateway_header *headers; /* copied into wiped memory */
    uint32_t header_count;
    uint32_t running_max;    /* requests in flight over all agents; 0: unlimited */
    int64_t budget_micro_usd;/* -1: none */
    int64_t run_budget_micro_usd; /* of all services together; the last one given counts; -1: none */
};
int gateway_add_service(struct gateway *gateway, const struct gateway_service *service, struct mf_error *error);

struct gateway_stage {
    uint64_t stage;
    struct mf_span task;     /* "deploy/web"; the fan-out is the part before '/' */
    uint32_t attempt;
    const char *kind;        /* "agent" | "verify" */
    int64_t budget_micro_usd;/* of this task's services; -1: none */
    const struct mf_span *egress; /* "host:port", "*.suffix:port", with "!" before it: private addresses are allowed */
    uint32_t egress_count;
    const struct mf_span *reach;  /* https origins whose first label may be a star; "http://127.0.0.1:8123/__workers/" with a path prefix */
    uint32_t reach_count;
};
int gateway_open_stage(struct gateway *gateway, const struct gateway_stage *stage, struct mf_error *error);

struct gateway_lease {
    uint64_t lease, stage;
    uint64_t policy;
    uint32_t account;        /* n of the account, for the record */
    struct mf_span upstream;
    const struct gateway_header *headers; /* what carries the real credential */
    uint32_t header_count;
    const struct mf_span *permissions;    /* names; one that the policy does not know is an error */
    uint32_t permission_count;
    const struct http1_binding *bindings; /* the account's ids */
    uint32_t binding_count;
    const struct gateway_narrowing {
        struct mf_span permission, name, value;
    } *narrowings;
    uint32_t narrowing_count;
    const struct mf_span *secrets; /* never to be seen in an answer */
    uint32_t secret_count;
};
/* Gives the lease's token: the caller hands it to the agent and wipes it. */
int gateway_open_lease(struct gateway *gateway, const struct gateway_lease *lease, char token[GATEWAY_TOKEN_BYTES], struct mf_error *error);
/* The stage may use the service. */
int gateway_open_use(struct gateway *gateway, uint64_t stage, uint64_t service, char token[GATEWAY_TOKEN_BYTES], struct mf_error *error);

enum gateway_door {
    GATEWAY_DOOR_API,    /* the reverse proxy */
    GATEWAY_DOOR_EGRESS, /* CONNECT and absolute-form http, by the egress list and reach */
    GATEWAY_DOOR_REACH,  /* stands for a loopback origin of `reach` on its own port: http only, its path prefix only */
};
/*
 * A listening socket of the stage; the descriptor is taken, also on failure. `port` is what agents call it (Host must say
 * 127.0.0.1:PORT or localhost:PORT). `guarded`: only processes of the agent can connect (its own network namespace, or a unix
 * socket in a private directory).
 */
int gateway_open_door(struct gateway *gateway, uint64_t stage, enum gateway_door door, int listening_fd, uint16_t port, bool guarded, struct mf_error *error);
/* Opens one on host loopback, for agents without a sandbox. */
int gateway_open_loopback(struct gateway *gateway, uint64_t stage, uint16_t *port, struct mf_error *error);

/*
 * The lease ends: its token dies at once, requests in flight are aborted (and recorded as such); then `dropped`, from a later
 * turn. Also for a lease that is not there.
 */
void gateway_drop(struct gateway *gateway, uint64_t lease);
/*
 * The agent's main process ended: every token of the stage dies, its doors and connections close, requests in flight are
 * aborted and recorded. Usage and head are told before it returns. Tokens stay known as dead, to recognise a replay.
 */
void gateway_close_stage(struct gateway *gateway, uint64_t stage);

#endif
