/*
 * pow/pow.h - proof of work: a queue of challenges, solved by every core, off the loop
 *
 * The chain of Cloudflare's temporary accounts: h = SHA-256(seed); cp[0] = h; for each of k segments, h = SHA-256(h) g times,
 * cp[j+1] = h. The solution is the standard base64 of the (k+1) digests, (k+1)*32 bytes before encoding. A chain is
 * sequential; parallelism is across challenges. A challenge above the bounds is refused before any work: it costs nothing.
 */
#ifndef MF_POW_POW_H
#define MF_POW_POW_H

#include "base/error.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define POW_POLL_HASHES 16384u   /* about a millisecond */
#define POW_HASHES_MAX 64000000u /* k * g; the real client's bound: about 4 s of one core */
#define POW_SEGMENTS_MAX 20000u  /* k; the solution is then 853,376 base64 characters, below 1 MiB */
#define POW_SEED_BYTES 32u

struct pow_challenge {
    uint8_t seed[POW_SEED_BYTES];
    uint32_t k, g;
};

/* Checks the bounds only. */
int pow_check(uint64_t k, uint64_t g, struct mf_error *error);

/*
 * Solves on the calling thread. `checkpoints` takes (k + 1) * 32 bytes. `cancelled` (may be NULL) is polled at least once
 * per segment and every POW_POLL_HASHES; returns -1 with MF_NONE in code when it became true.
 */
int pow_solve(const struct pow_challenge *challenge, uint8_t *checkpoints, const atomic_bool *cancelled, struct mf_error *error);

/*
 * Verifies `segments` random segments (all of them for 0 or >= k) and the first checkpoint; `random` draws the sample.
 * Returns true when they hold.
 */
bool pow_verify(const struct pow_challenge *challenge, const uint8_t *checkpoints, uint32_t segments, uint64_t (*random)(void *context), void *context);

/* Hashes per second of one core that has several challenges, measured for about `budget_ms`: for forecasts. */
double pow_rate(int64_t budget_ms);

/* --- the queue --- */

struct pow_pool;
struct pow_work; /* one challenge in the queue */

/* Called on a worker thread once a result waits: wake the loop here, then call pow_pool_collect on it. */
typedef void pow_wake(void *context);
/* Runs inside pow_pool_collect. `solution` is base64 text, valid during the call; empty when cancelled. */
typedef void pow_done(void *context, struct mf_span solution, bool cancelled);

/*
 * threads 0: one per core that this process may use. Threads start with the first submit; they block all signals. When
 * more challenges wait than there are threads, a thread works on several at a time (see pow/kernel.h).
 */
int pow_pool_create(struct pow_pool **out, uint32_t threads, pow_wake *wake, void *context, struct mf_error *error);
void pow_pool_destroy(struct pow_pool *pool); /* cancels and joins; no callback comes any more */
/* First come, first served. -1 (refused challenge, no memory) and no callback; else exactly one callback. */
int pow_pool_submit(struct pow_pool *pool, const struct pow_challenge *challenge, pow_done *done, void *context, struct pow_work **out, struct mf_error *error);
void pow_work_cancel(struct pow_work *work); /* its callback still comes, with cancelled set */
void pow_pool_collect(struct pow_pool *pool); /* delivers finished work; on the loop's thread */
uint32_t pow_pool_waiting(const struct pow_pool *pool); /* queued and running */
uint32_t pow_pool_threads(const struct pow_pool *pool);

#endif
