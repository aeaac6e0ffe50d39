/*
 * gateway/watch.h - what looks wrong: kinds of anomalies, and the one that siblings give away
 *
 * PURE. An anomaly is told once for each kind, task and route, then counted. Only those marked VIOLATION stop an agent
 * whose task says so; none of them lets a request pass.
 */
#ifndef MF_GATEWAY_WATCH_H
#define MF_GATEWAY_WATCH_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* kind, name, VIOLATION or INFORM, text */
#define WATCH_KINDS(X)                                                                                                 \
    X(OUTSIDE, "outside_permissions", VIOLATION, "a request outside the declared permissions")                         \
    X(FOREIGN_ACCOUNT, "foreign_account", VIOLATION, "a request for an account that is not its own")                   \
    X(FOREIGN_TOKEN, "foreign_token", VIOLATION, "a token of another agent")                                           \
    X(REPLAY, "replay", VIOLATION, "a token after its agent's end")                                                    \
    X(UNKNOWN_TOKEN, "unknown_token", INFORM, "a token that nobody was given, or none")                                \
    X(TOKEN_PLACE, "token_place", VIOLATION, "a token where none belongs")                                             \
    X(MALFORMED, "malformed", INFORM, "bytes that are no acceptable request")                                          \
    X(TRICK, "trick", VIOLATION, "a path or header that is written to deceive")                                        \
    X(CANARY, "canary", VIOLATION, "a planted credential was used")                                                    \
    X(ECHO, "echo", VIOLATION, "the provider sent the credential back; the answer was withheld")                       \
    X(EGRESS, "egress", VIOLATION, "a connection that is not on the task's egress list")                               \
    X(PEER, "peer", INFORM, "one instance does what none of its siblings does")                                        \
    X(BUDGET, "budget", INFORM, "a budget is used up")
enum watch_kind {
#define X(kind, name, effect, text) WATCH_##kind,
    WATCH_KINDS(X)
#undef X
    WATCH_KIND_COUNT
};
const char *watch_name(enum watch_kind kind);
const char *watch_text(enum watch_kind kind);
bool watch_is_violation(enum watch_kind kind);

/*
 * The peer signal: within one fan-out (a template's name), one instance uses a rule, or is refused, while at least
 * WATCH_PEERS_MIN siblings ended or are past their first WATCH_REQUESTS_MIN requests and none of them did. Told once for each
 * (instance, what). Memory: bounded by WATCH_TEMPLATES_MAX templates of WATCH_RULES_MAX different rules each.
 */
#define WATCH_PEERS_MIN 4u
#define WATCH_REQUESTS_MIN 1u
struct watch;
int watch_create(struct watch **out);
void watch_destroy(struct watch *watch);
/* One allowed or refused request of `task` ("deploy/web"), described by `what` (rule text, or "refused: ..."). True: tell it. */
bool watch_peer(struct watch *watch, struct mf_span task, struct mf_span what);
/* One instance ended. What it alone did may become an anomaly now: the last `what` of a sibling that stands alone, or false. */
bool watch_peer_ended(struct watch *watch, struct mf_span task, char *task_out, uint32_t task_bytes, char *what_out, uint32_t what_bytes);

/* Told before? Counts; true the first time for (kind, task, detail). Bounded: when it is full, each kind of a task is told once. */
bool watch_first(struct watch *watch, enum watch_kind kind, struct mf_span task, struct mf_span detail);

#endif
