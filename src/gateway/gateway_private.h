/*
 * gateway/gateway_private.h - what the parts of the gateway share
 *
 *   gateway.c     life of the gateway and of stages
 *   tell.c        what is told: anomalies, siblings, and once a second usage and head; restore.c: what an earlier life spent
 *   grants.c      policies, services, leases and uses; their ends
 *   tokens.c      SHA-256 of every token there is or was
 *   door.c        listening sockets of a stage, limits on connections
 *   front.c       one connection of an API door: bytes to requests (reply.c: answers to bytes; front_event.c: time, ends)
 *   decide.c      PURE: a head, a stage's grants -> a verdict
 *   exchange.c    one allowed request on its way up (answer.c: and its answer on its way down)
 *   headers.c     PURE: which headers pass, in both directions
 *   finder.c      PURE: a grant's secrets, looked for in an answer while it passes
 *   service.c     gate, running_max and budgets of a service
 *   egress.c      the doors GATEWAY_DOOR_EGRESS and GATEWAY_DOOR_REACH
 *
 * Everything runs on the loop's thread. A stage owns its doors, grants and connections; an exchange belongs to a connection and
 * a grant and is recorded exactly once as answered, before either of them goes.
 */
#ifndef MF_GATEWAY_GATEWAY_PRIVATE_H
#define MF_GATEWAY_GATEWAY_PRIVATE_H

#include "gateway/gateway.h"

#include "base/buf.h"
#include "gateway/usage.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct grant;
struct front;
struct service;
struct tunnel;      /* egress.c: one connection of an EGRESS or REACH door */
struct egress_list; /* egress.c: a stage's egress and reach, compiled */

struct stage {
    struct gateway *gateway;
    struct stage *next;
    uint64_t id;
    char *task;              /* owned: "deploy/web" */
    uint32_t attempt;
    const char *kind;        /* "agent" | "verify" | "setup", static */
    struct door *doors;      /* owned */
    struct grant *grants;    /* owned */
    struct front *fronts;    /* owned: connections of API doors */
    uint32_t connection_count; /* of all doors, tunnels included */
    uint32_t running;        /* exchanges in flight */
    struct budget budget;    /* of this task's services */
    bool budget_told;
    struct egress_list *egress; /* owned by egress.c; NULL: nothing is open */
    struct tunnel *tunnels;     /* owned by egress.c */
};

struct door {
    struct stage *stage;
    struct door *next;
    enum gateway_door kind;
    int fd; /* owned, listening */
    uint16_t port;
    bool guarded;
    struct net_watch *watch;
    struct net_timer *again; /* after a lack of descriptors or memory */
};

/* --- gateway.c: for every part --- */

struct net_loop *gateway_loop(struct gateway *gateway);
struct net_client *gateway_client(struct gateway *gateway);
struct audit *gateway_audit(struct gateway *gateway); /* never NULL */
int64_t gateway_epoch_ms(struct gateway *gateway);    /* for records; durations are counted by net_now_ms */
/* GATEWAY_SCRATCH_BYTES of room for one read; nobody keeps anything in it. */
#define GATEWAY_SCRATCH_BYTES 65536u
char *gateway_scratch(struct gateway *gateway);
struct stage *gateway_find_stage(struct gateway *gateway, uint64_t id); /* NULL: not there */

/* Who it is, for the record: task, attempt, kind. Provider and account are the caller's to fill. */
void stage_subject(const struct stage *stage, struct audit_subject *out);
/*
 * Something looks wrong: told through the handlers and written to the record, once for each kind, task and `route` (an agent's
 * text is fine: it is escaped and cut here); a repeat is only counted. `lease` 0: none.
 */
void stage_anomaly(struct stage *stage, uint64_t lease, enum watch_kind kind, struct mf_span route);
/* One request or connection, allowed or refused (`what` begins with "refused: "), for the peer signal. */
void stage_peer(struct stage *stage, struct mf_span what);
/* audit_head is to be told (at most once a second): call after each record. */
void gateway_recorded(struct gateway *gateway);

/* --- door.c --- */

/* A connection of the stage ended: its place is free. Every accepted descriptor was counted before it was handed on. */
void stage_lose_connection(struct stage *stage);

/* --- egress.c --- */

/* Compiles egress and reach of a stage that is being opened; sets stage->egress. */
int egress_open_stage(struct stage *stage, const struct gateway_stage *spec, struct mf_error *error);
/* One accepted connection, non-blocking and counted: takes the descriptor, calls stage_lose_connection once when it ends. */
void egress_accept(struct door *door, int fd);
/* Ends every tunnel, recorded as closed, and frees what egress_open_stage made. Also for a stage that was never opened. */
void egress_close_stage(struct stage *stage);

#endif
