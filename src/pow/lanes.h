/*
 * pow/lanes.h - private: several challenges under way on one thread
 *
 * Lanes are independent: one is added or taken out whenever it comes or ends, and the rest goes on. A step advances all of
 * them by as many hashes as the nearest end of a segment allows.
 */
#ifndef MF_POW_LANES_H
#define MF_POW_LANES_H

#include "pow/kernel.h"
#include "pow/pow.h"

struct pow_lanes {
    pow_kernel *kernel;
    uint32_t count;
    uint8_t digests[POW_LANES_MAX][POW_DIGEST_BYTES];
    struct pow_lane {
        const struct pow_challenge *challenge;
        uint8_t *checkpoints; /* (k + 1) * 32 bytes, the caller's */
        void *owner;          /* the caller's */
        uint32_t segment;     /* checkpoints after the first that are done */
        uint32_t left;        /* hashes of the segment */
    } lane[POW_LANES_MAX];
};

void pow_lanes_init(struct pow_lanes *lanes);
/* Room must be there. Hashes the seed, which is the first checkpoint. */
void pow_lanes_add(struct pow_lanes *lanes, const struct pow_challenge *challenge, uint8_t *checkpoints, void *owner);
/* At most POW_POLL_HASHES for each lane; no lane may be finished. */
void pow_lanes_step(struct pow_lanes *lanes);
bool pow_lanes_finished(const struct pow_lanes *lanes, uint32_t index);
/* The last lane takes the place of the removed one. */
void pow_lanes_remove(struct pow_lanes *lanes, uint32_t index);

#endif
