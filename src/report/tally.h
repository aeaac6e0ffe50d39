/* report/tally.h - numbers for keys: the first one gets 0, the next new one 1, ... */
#ifndef MF_REPORT_TALLY_H
#define MF_REPORT_TALLY_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally { /* zero-initialised */
    struct tally_slot {
        uint64_t hash;
        uint32_t number; /* + 1; 0: free */
    } *slots;            /* owned */
    size_t capacity;
    struct tally_key {
        char *data; /* owned */
        size_t length;
    } *keys; /* owned; by number */
    size_t count, key_capacity;
};

/* The number of a key; *fresh when it is new. -1: no memory. */
int tally_number(struct tally *tally, struct mf_span key, uint32_t *number, bool *fresh);
/* As above for a key that must be there already; false when it is not. */
bool tally_known(const struct tally *tally, struct mf_span key, uint32_t *number);
void tally_free(struct tally *tally);

#endif
