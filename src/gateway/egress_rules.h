/*
 * gateway/egress_rules.h - where an agent may connect to: its list, what a target is, which addresses are nobody's business
 *
 * PURE. A target has one spelling: a name of letters, digits, `-` and `_` in lower case without a dot at its end, or a dotted
 * quad, or an IPv6 address in brackets; "127.1", "0x7f000001" and "2130706433" are no targets. A star stands for one or more
 * labels and never for an address. An address as a target must be listed as one.
 *
 * What a name resolves to is checked again as an address, and only the address that was checked is dialled. Without "!" only
 * addresses of the public internet; with it also private, loopback, shared (CGNAT) and unique-local ones. Link-local ones, where
 * clouds keep their metadata, only when the address itself is listed with "!", never through a name. Others never.
 */
#ifndef MF_GATEWAY_EGRESS_RULES_H
#define MF_GATEWAY_EGRESS_RULES_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EGRESS_HOST_BYTES_MAX 254u /* of a DNS name, with terminator */
#define EGRESS_ENTRIES_MAX 1024u
#define EGRESS_REACH_PATH_BYTES_MAX 256u

/* class, name in records, text */
#define EGRESS_CLASSES(X)                                                                                              \
    X(PUBLIC, "public", "an address of the public internet")                                                           \
    X(PRIVATE, "private_address", "a private address")                                                                 \
    X(LINK_LOCAL, "link_local_address", "a link-local address, where clouds keep their metadata")                      \
    X(NEVER, "special_address", "an address that is nobody's: unspecified, multicast, reserved or translated")
enum egress_class {
#define X(class, name, text) EGRESS_CLASS_##class,
    EGRESS_CLASSES(X)
#undef X
};
const char *egress_class_name(enum egress_class class_of);
const char *egress_class_text(enum egress_class class_of);

struct egress_address {
    bool six;
    uint8_t bytes[16]; /* in network order; four of them unless `six` */
};

/* IPv4 addresses inside IPv6 ones (mapped, NAT64) count as what they are inside; one class for every address there is. */
enum egress_class egress_classify(const struct egress_address *address);

struct egress_target {
    char host[EGRESS_HOST_BYTES_MAX]; /* in lower case; an IPv6 address without brackets */
    uint16_t port;
    bool numeric;                     /* host is an address */
    struct egress_address address;    /* then */
};

/* "host:port"; without a port the default counts, 0: there must be one. -1: is no target. */
int egress_target_parse(struct mf_span authority, uint16_t default_port, struct egress_target *out);

struct egress_rules;

/*
 * `egress`: "host:port", "*.suffix:port", with "!" before it: private addresses too. `reach`: "https://host", also with a star,
 * with a port; and "http://127.0.0.1:8123/prefix/". MF_INPUT names the entry that cannot be read.
 */
int egress_rules_create(struct egress_rules **out, const struct mf_span *egress, uint32_t egress_count,
                       const struct mf_span *reach, uint32_t reach_count, struct mf_error *error);
void egress_rules_destroy(struct egress_rules *rules); /* NULL is fine */

enum egress_grant { EGRESS_NO, EGRESS_PUBLIC, EGRESS_WITH_PRIVATE };
/* May the agent ask for this target? */
enum egress_grant egress_rules_match(const struct egress_rules *rules, const struct egress_target *target);
/* May this address be dialled for a target that was matched? */
bool egress_may_dial(enum egress_grant grant, const struct egress_target *target, const struct egress_address *address);

/* Is the canonical path below a prefix of a loopback origin with this port? */
bool egress_rules_reach(const struct egress_rules *rules, uint16_t port, struct mf_span canonical_path);

/* The ports of an agent's `reach` that need a door of their own (loopback http); at most `max`. Above max: too many. */
uint32_t egress_reach_ports(const struct mf_span *reach, uint32_t reach_count, uint16_t *ports, uint32_t max);
/* Is there anything that the CONNECT proxy could let through? */
bool egress_needs_proxy(uint32_t egress_count, const struct mf_span *reach, uint32_t reach_count);

#endif
