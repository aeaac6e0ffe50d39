/* chain.c - a challenge: its bounds, its solution on the calling thread, its verification */
#include "base/assert.h"
#include "base/error.h"
#include "pow/lanes.h"
#include "pow/pow.h"

#include <string.h>
#include <time.h>

int pow_check(uint64_t k, uint64_t g, struct mf_error *error)
{
    if (k == 0 || g == 0)
        return mf_fail(error, MF_PROVIDER, "proof of work: k and g must not be 0");
    if (k > POW_SEGMENTS_MAX)
        return mf_fail(error, MF_LIMIT, "proof of work: k is above %u", POW_SEGMENTS_MAX);
    if (g > POW_HASHES_MAX / k)
        return mf_fail(error, MF_LIMIT, "proof of work: k * g is above %u", POW_HASHES_MAX);
    return 0;
}

/* --- lanes --- */

void pow_lanes_init(struct pow_lanes *lanes)
{
    *lanes = (struct pow_lanes){.kernel = pow_kernel_best()};
}

void pow_lanes_add(struct pow_lanes *lanes, const struct pow_challenge *challenge, uint8_t *checkpoints, void *owner)
{
    mf_assert(lanes->count < POW_LANES_MAX);
    uint32_t index = lanes->count++;
    memcpy(lanes->digests[index], challenge->seed, POW_SEED_BYTES);
    lanes->kernel(&lanes->digests[index], 1, 1);
    memcpy(checkpoints, lanes->digests[index], POW_DIGEST_BYTES);
    lanes->lane[index] = (struct pow_lane){challenge, checkpoints, owner, 0, challenge->g};
}

void pow_lanes_step(struct pow_lanes *lanes)
{
    uint32_t rounds = POW_POLL_HASHES;
    for (uint32_t i = 0; i < lanes->count; i++)
        rounds = lanes->lane[i].left < rounds ? lanes->lane[i].left : rounds;
    lanes->kernel(lanes->digests, lanes->count, rounds);
    for (uint32_t i = 0; i < lanes->count; i++) {
        struct pow_lane *lane = &lanes->lane[i];
        lane->left -= rounds;
        if (lane->left > 0)
            continue;
        lane->segment++;
        lane->left = lane->challenge->g;
        memcpy(lane->checkpoints + (size_t)lane->segment * POW_DIGEST_BYTES, lanes->digests[i], POW_DIGEST_BYTES);
    }
}

bool pow_lanes_finished(const struct pow_lanes *lanes, uint32_t index)
{
    return lanes->lane[index].segment == lanes->lane[index].challenge->k;
}

void pow_lanes_remove(struct pow_lanes *lanes, uint32_t index)
{
    mf_assert(index < lanes->count);
    uint32_t last = --lanes->count;
    lanes->lane[index] = lanes->lane[last];
    memmove(lanes->digests[index], lanes->digests[last], POW_DIGEST_BYTES);
}

/* --- one challenge --- */

int pow_solve(const struct pow_challenge *challenge, uint8_t *checkpoints, const atomic_bool *cancelled,
              struct mf_error *error)
{
    struct pow_lanes lanes;
    if (pow_check(challenge->k, challenge->g, error) != 0)
        return -1;
    pow_lanes_init(&lanes);
    pow_lanes_add(&lanes, challenge, checkpoints, NULL);
    while (!pow_lanes_finished(&lanes, 0)) {
        if (cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed))
            return mf_fail(error, MF_NONE, "proof of work: cancelled");
        pow_lanes_step(&lanes);
    }
    return 0;
}

/* Segments are independent, so several are recomputed at a time. */
static bool segments_hold(pow_kernel *kernel, const uint8_t *checkpoints, const uint32_t *segments, uint32_t count,
                          uint32_t g)
{
    uint8_t digests[POW_LANES_MAX][POW_DIGEST_BYTES];
    for (uint32_t i = 0; i < count; i++)
        memcpy(digests[i], checkpoints + (size_t)segments[i] * POW_DIGEST_BYTES, POW_DIGEST_BYTES);
    kernel(digests, count, g);
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(digests[i], checkpoints + ((size_t)segments[i] + 1) * POW_DIGEST_BYTES, POW_DIGEST_BYTES) != 0)
            return false;
    return true;
}

bool pow_verify(const struct pow_challenge *challenge, const uint8_t *checkpoints, uint32_t segments,
                uint64_t (*random)(void *context), void *context)
{
    if (pow_check(challenge->k, challenge->g, NULL) != 0)
        return false;
    pow_kernel *kernel = pow_kernel_best();
    uint8_t first[1][POW_DIGEST_BYTES];
    memcpy(first[0], challenge->seed, POW_SEED_BYTES);
    kernel(first, 1, 1);
    if (memcmp(first[0], checkpoints, POW_DIGEST_BYTES) != 0)
        return false;
    bool all = segments == 0 || segments >= challenge->k;
    uint32_t count = all ? challenge->k : segments;
    for (uint32_t done = 0; done < count;) {
        uint32_t chosen[POW_LANES_MAX], lanes = 0;
        for (; lanes < POW_LANES_MAX && done < count; lanes++, done++)
            chosen[lanes] = all ? done : (uint32_t)(random(context) % challenge->k);
        if (!segments_hold(kernel, checkpoints, chosen, lanes, challenge->g))
            return false;
    }
    return true;
}

static double seconds_now(void)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_MONOTONIC, &now);
    mf_assert(result == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double pow_rate(int64_t budget_ms)
{
    uint8_t digests[POW_LANES_MAX][POW_DIGEST_BYTES] = {{0}};
    pow_kernel *kernel = pow_kernel_best();
    double start = seconds_now(), spent = 0, hashes = 0;
    do {
        kernel(digests, POW_LANES_MAX, 1000);
        hashes += 1000.0 * POW_LANES_MAX;
        spent = seconds_now() - start;
    } while (spent * 1000.0 < (double)budget_ms);
    return hashes / spent;
}
