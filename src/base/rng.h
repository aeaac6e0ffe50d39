/*
 * base/rng.h - a seeded generator: a seed is a replay
 *
 * xoshiro256** (Blackman and Vigna, 2018) seeded by SplitMix64. For jitter and simulation, never for secrets.
 */
#ifndef MF_BASE_RNG_H
#define MF_BASE_RNG_H

#include <stdint.h>

struct mf_rng {
    uint64_t state[4];
};

void mf_rng_seed(struct mf_rng *rng, uint64_t seed);
uint64_t mf_rng_next(struct mf_rng *rng);
uint64_t mf_rng_below(struct mf_rng *rng, uint64_t bound); /* uniform in 0..bound-1; 0 for bound 0 */
double mf_rng_unit(struct mf_rng *rng);                    /* uniform in [0, 1) */

#endif
