/* report/least_private.h - a change of the graph while it is made (private to least*.c) */
#ifndef MF_REPORT_LEAST_PRIVATE_H
#define MF_REPORT_LEAST_PRIVATE_H

#include "report/least.h"

struct least_set { /* of permissions of one policy */
    uint64_t bits[HTTP1_PERMISSIONS_MAX / 64];
};

struct least {
    const struct evidence *evidence;
    struct least_options options;
    struct least_set *lent; /* owned; by slot: what borrowers need of it */
    struct least_change *changes; /* owned, with their texts */
    size_t change_count, change_capacity;
    uint32_t unjudged;
};

bool least_has(const struct least_set *set, uint32_t permission);
uint32_t least_read_of(const struct policy *policy, struct mf_span name);

/* --- least_change.c --- */

/* Notes the change of one list when it is one. */
int least_put(struct least *least, const struct evidence_subject *subject, const struct policy *policy, uint32_t object,
              uint32_t node, const struct least_set *declared, const struct least_set *chosen, struct mf_error *error);

#endif
