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
 * The peer signal: within one fan-out (a template's name, the part before '/'), one instance does something (uses a rule, or is
 * refused for one) that none of its siblings does, although at least WATCH_PEERS_MIN of them had their chance: they ended, or made
 * at least as many requests as the one had made when it did it. So an instance that is merely ahead of the others is not told.
 * Told once for each (instance, what). Memory: bounded by the numbers below; what does not fit gives no signal.
 *
 * `what` is one of few texts: a rule's text, or "refused: " and a rule's text or a reason, never a path that an agent made up.
 */
#define WATCH_PEERS_MIN 4u
#define WATCH_TEMPLATES_MAX 256u  /* 256 templates of 256 rules of 400 bytes: 26 MiB at the very most */
#define WATCH_RULES_MAX 256u      /* different things done in one fan-out */
#define WATCH_INSTANCES_MAX 4096u /* of one fan-out that are counted: 32 bytes each at least */
#define WATCH_TASK_BYTES_MAX 136u /* "task/key": 129 */
#define WATCH_WHAT_BYTES_MAX 240u /* a longer one is told apart by its start */
struct watch;
int watch_create(struct watch **out);
void watch_destroy(struct watch *watch); /* NULL is fine */
/* One allowed or refused request of `task` ("deploy/web"), described by `what`. True: tell it. */
bool watch_peer(struct watch *watch, struct mf_span task, struct mf_span what);
/*
 * One instance ended. What a sibling (or it) alone did may become an anomaly now: the task and its `what`, or false. To be
 * called until it is false: one call gives one.
 */
bool watch_peer_ended(struct watch *watch, struct mf_span task, char *task_out, uint32_t task_bytes, char *what_out, uint32_t what_bytes);

/* Told before? Counts; true the first time for (kind, task, detail). Bounded: when it is full, each kind of a task is told once, then each kind. */
#define WATCH_FIRST_MAX 32768u /* 32 bytes each at least, and as many for (kind, task) */
bool watch_first(struct watch *watch, enum watch_kind kind, struct mf_span task, struct mf_span detail);
/* How often watch_first was asked about a kind. */
uint64_t watch_count(const struct watch *watch, enum watch_kind kind);

#endif
