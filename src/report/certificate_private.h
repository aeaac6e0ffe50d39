/* report/certificate_private.h - what certificates are made of (private to certificate*.c) */
#ifndef MF_REPORT_CERTIFICATE_PRIVATE_H
#define MF_REPORT_CERTIFICATE_PRIVATE_H

#include "report/audit.h"
#include "report/tally.h"

#define CERTIFICATE_NONE UINT32_MAX

struct certificate_moment { /* the last record of a kind; seq 0: there is none */
    int64_t at_ms;
    uint64_t seq;
};
struct certificate_life {
    struct certificate_moment moments[CORE_RECORD_COUNT];
    uint64_t first_seq, last_seq;
    uint32_t deeds, first_deed, last_deed;
    uint32_t leases, first_lease, last_lease;
};
struct certificate_lease {
    uint32_t node;
    enum core_stage stage;
    uint64_t seq;
    int64_t granted_ms, dropped_ms; /* 0: not dropped */
    uint32_t next; /* of the same account */
};
struct certificate_deed { /* requests under one rule */
    bool refused;
    char *rule, *why; /* owned; why: the permission, or the reason of a refusal */
    uint64_t count;
    uint32_t next; /* of the same account */
};

struct certificates {
    const struct evidence *evidence;
    uint32_t count;
    struct certificate_life *lives; /* owned; by account */
    struct certificate_lease *leases; /* owned; in the order of the journal */
    size_t lease_count, lease_capacity;
    struct tally deed_keys;
    struct certificate_deed *deeds; /* owned; by number of its key */
    size_t deed_count, deed_capacity;
    struct mf_buf key;
};

const char *certificate_verdict(const struct certificates *all, uint32_t number);

#endif
