/*
 * gateway/egress_private.h - what the parts of the egress doors share
 *
 *   egress.c       life of a stage's doors and of their connections; names; the record
 *   egress_dial.c  one address after the other, until one answers
 *   egress_pass.c  bytes both ways, with back pressure
 *   egress_head.c  PURE: what the head asks for
 *   egress_rules.c PURE: what may be asked for
 *   resolve.c      names to addresses
 *
 * A tunnel is one connection of an agent: HEAD → (RESOLVING →) DIALLING → PASSING, or from each of them → (HOLDING →) ANSWERING,
 * which says no, and LINGERING, which lets the agent read it. A function that may end the tunnel says so: after tunnel_end it is gone.
 */
#ifndef MF_GATEWAY_EGRESS_PRIVATE_H
#define MF_GATEWAY_EGRESS_PRIVATE_H

#include "gateway/egress_head.h"
#include "gateway/egress_rules.h"
#include "gateway/gateway_private.h"
#include "gateway/resolve.h"

#define EGRESS_HEAD_TIMEOUT_MS 10000    /* from the first byte that could come to the end of the head */
#define EGRESS_RESOLVE_TIMEOUT_MS 15000 /* three tries of a stub resolver are 15 s */
#define EGRESS_DIAL_TIMEOUT_MS 10000    /* all addresses of a name together */
#define EGRESS_ONE_DIAL_TIMEOUT_MS 4000 /* one of several */
#define EGRESS_IDLE_TIMEOUT_MS 600000   /* no byte in either direction: long enough for a model that thinks */
#define EGRESS_HALF_TIMEOUT_MS 60000    /* no byte since one side said that it is through */
#define EGRESS_ANSWER_TIMEOUT_MS 5000   /* for the agent to take a refusal */
#define EGRESS_LINGER_TIMEOUT_MS 2000   /* to read what the agent still says, so that a reset does not eat our last words */
#define EGRESS_REFUSALS_AT_ONCE 64u     /* of a stage; the answers to later ones wait, so that no agent fills the record */
#define EGRESS_HOLD_MS 1000
#define EGRESS_SWEEP_MS 500             /* how exactly these are kept */
/* What one read may leave in a buffer: what it brought, framed as one chunk, behind a head that was written anew. */
#define EGRESS_PENDING_BYTES_MAX (2u * GATEWAY_SCRATCH_BYTES + EGRESS_UPSTREAM_HEAD_BYTES_MAX)

struct egress_list { /* of a stage */
    struct egress_rules *rules;  /* owned */
    struct resolver *resolver;   /* owned; NULL: nothing needed a name so far */
    struct net_timer *sweep;     /* owned; runs while there are tunnels */
    uint32_t refusals;
};

enum tunnel_state { TUNNEL_HEAD, TUNNEL_RESOLVING, TUNNEL_DIALLING, TUNNEL_PASSING, TUNNEL_HOLDING, TUNNEL_ANSWERING, TUNNEL_LINGERING };

struct flow { /* one direction */
    struct mf_buf pending; /* read from one side, not yet taken by the other */
    bool ended;            /* the reading side said its end */
    bool told;             /* and the other one was told */
    uint64_t bytes;
};

struct tunnel {
    struct tunnel *next;
    struct stage *stage;
    enum gateway_door kind;
    uint16_t port; /* of the door */
    enum tunnel_state state;
    int client_fd, upstream_fd; /* owned; upstream -1: none */
    struct net_watch *client_watch, *upstream_watch; /* owned */
    struct flow up, down;
    struct mf_buf input; /* HEAD: what came so far; later what came behind the head */
    struct mf_span shown; /* what the agent wrote as its target, inside `input`; empty once it is taken */
    struct lookup *lookup; /* while RESOLVING */
    struct egress_target target;
    enum egress_grant grant;
    struct egress_address addresses[RESOLVE_ADDRESSES_MAX];
    uint32_t address_count, address_next;
    bool forward, chunked, expect_continue, body_done;
    struct http1_body body;
    char method[HTTP1_METHOD_BYTES_MAX + 1];
    uint64_t request;   /* number in the record */
    bool dialled;     /* some address was: what came of it is in the record, so a refusal needs no line of its own */
    bool recorded;    /* as connected: wants its closed */
    int64_t opened_ms, deadline_ms, dial_until_ms;
};

/* --- egress.c --- */
void tunnel_end(struct tunnel *tunnel); /* records, closes, frees */
/* Says no and closes once that was taken. `reason` is the record's name for it, `text` what the agent reads. */
void tunnel_refuse(struct tunnel *tunnel, int status, const char *reason, const char *text);
void tunnel_record_end(struct tunnel *tunnel); /* of the address that was on record as connected */
void tunnel_deadline(struct tunnel *tunnel, int64_t after_ms);

/* --- egress_dial.c --- */
void tunnel_dial(struct tunnel *tunnel); /* the next address that may be dialled; refuses when there is none left */

/* --- egress_pass.c --- */
void tunnel_pass(struct tunnel *tunnel); /* connected: from now on only bytes */
/* Writes what is pending towards the agent, who then has some time to read it; ends the tunnel when the agent is gone. */
void tunnel_answer(struct tunnel *tunnel);
void tunnel_linger(struct tunnel *tunnel);

#endif
