/*
 * gateway/resolve.h - names to addresses, in threads: the system's resolver may take as long as it likes
 *
 * One resolver for each stage that may connect somewhere: what one agent asks for never waits behind another's. Each name is
 * asked for by a thread of its own that ends with the answer; RESOLVE_RUNNING_MAX of them for a stage, what is above waits. A
 * look-up that is cancelled is forgotten; its thread ends when the system lets it.
 */
#ifndef MF_GATEWAY_RESOLVE_H
#define MF_GATEWAY_RESOLVE_H

#include "gateway/egress_rules.h"
#include "net/loop.h"

#define RESOLVE_RUNNING_MAX 4u   /* of one stage at once */
#define RESOLVE_ADDRESSES_MAX 8u /* what is tried of one name */

struct resolver;
struct lookup; /* dead once its callback was called or it was cancelled */

/* count 0: `trouble` says why, a constant text. From the loop, never from inside resolver_ask. */
typedef void resolve_done(void *context, const struct egress_address *addresses, uint32_t count, const char *trouble);

/* Gives up to RESOLVE_ADDRESSES_MAX addresses of a name; runs in a thread. NULL in resolver_create: getaddrinfo. */
typedef uint32_t resolve_function(const char *host, struct egress_address addresses[RESOLVE_ADDRESSES_MAX],
                                  const char **trouble);

int resolver_create(struct resolver **out, struct net_loop *loop, resolve_function *resolve, struct mf_error *error);
void resolver_destroy(struct resolver *resolver); /* cancels what is open; NULL is fine */
/* -1: no memory, no descriptor, no thread. */
int resolver_ask(struct resolver *resolver, const char *host, resolve_done *done, void *context, struct lookup **out,
                 struct mf_error *error);
void lookup_cancel(struct resolver *resolver, struct lookup *lookup);

#endif
