/* report/evidence_private.h - what evidence is made of (private to evidence*.c) */
#ifndef MF_REPORT_EVIDENCE_PRIVATE_H
#define MF_REPORT_EVIDENCE_PRIVATE_H

#include "report/evidence.h"
#include "report/tally.h"
#include "store/hash.h"

/* Different things that are listed, of each kind: a million tasks with a few permissions each is 1 GiB. */
#define EVIDENCE_USES_MAX 2000000u
#define EVIDENCE_ANOMALIES_MAX 100000u
/* Numbers of requests that are waited for: 256 MiB. */
#define EVIDENCE_REQUESTS_MAX (64u << 20)

struct evidence {
    struct evidence_sources sources;
    struct view *view; /* owned */
    struct trail_result trail;
    struct trail_anchor *anchors; /* owned */
    size_t anchor_count, anchor_capacity;
    struct mf_buf key; /* of the tally at hand */

    struct tally use_keys, anomaly_keys, connection_keys, service_keys;
    struct evidence_use *uses; /* owned, with their texts; by number of its tally, as the following */
    size_t use_count, use_capacity;
    struct evidence_anomaly *anomalies;
    size_t anomaly_count, anomaly_capacity;
    struct evidence_connection *connections;
    size_t connection_count, connection_capacity;
    struct evidence_service *services;
    size_t service_count, service_capacity;

    struct evidence_account *accounts; /* owned; number - 1 */
    struct store_hash **hashes;        /* owned; by account */
    uint32_t account_count;
    uint32_t *first_use, *next_use; /* owned; by task of the graph, by use */
    uint8_t *tasks; /* owned; by task of the graph: EVIDENCE_RAN, ... */

    struct evidence_open {
        uint32_t use, service, connection; /* + 1; 0: none */
    } *open; /* owned; by number of request */
    size_t open_capacity;
    uint64_t unanswered, left_out;
};

enum { EVIDENCE_RAN = 1, EVIDENCE_SUCCEEDED = 2 };

/* --- evidence_take.c --- */

trail_each evidence_take; /* context: struct evidence */

/* --- evidence_allowing.c --- */

/* Sets, or with `narrow` keeps, the permissions of a policy that allow this request. */
void evidence_allowing(const struct policy *policy, const struct trail_line *line, struct evidence_use *use, bool narrow);

#endif
