/*
 * kernel_shani.c - SHA-256 chains on x86's SHA extensions, several at a time
 *
 * The message of every step but the first is the 32 bytes of the last digest, so it fits one block whose second half
 * never changes. The words of a digest are the first words of the next message: no byte is swapped between two hashes.
 * One round instruction waits for the one before it; with chains interleaved, the unit works on another chain
 * meanwhile.
 *
 * `step` is written once for any number of lanes and inlined with that number as a constant, so that the compiler
 * unrolls the loops over lanes and keeps the state in registers.
 */
#include "pow/kernel.h"

#include "base/assert.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stddef.h>

#define KERNEL __attribute__((target("sha,sse4.1,ssse3")))
#define INLINE KERNEL __attribute__((always_inline)) static inline

/* FIPS 180-4, 4.2.2 */
static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* One chain: the words a to h of its digest. */
struct lane {
    __m128i low, high; /* a b c d, e f g h; the first word in the lowest part */
};

INLINE __m128i constants_at(uint32_t group)
{
    return _mm_load_si128((const __m128i *)(const void *)(constants + (size_t)4 * group));
}

/* The unit wants the state as f e b a and h g d c (lowest part first); FIPS 180-4, 5.3.3 has the initial one. */
INLINE __m128i initial_abef(void)
{
    return _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
}

INLINE __m128i initial_cdgh(void)
{
    return _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

/* Words 4n to 4n+3 of the schedule, from the four groups before them. */
INLINE __m128i schedule(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

/* Four rounds of one chain. */
INLINE void rounds4(__m128i *abef, __m128i *cdgh, __m128i words, uint32_t group)
{
    __m128i message = _mm_add_epi32(words, constants_at(group));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, message);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(message, 0x0e));
}

/* One hash of each of `count` chains; count is a constant where this is inlined. */
INLINE void step(struct lane *lanes, const uint32_t count)
{
    __m128i abef[POW_LANES_MAX], cdgh[POW_LANES_MAX], words[POW_LANES_MAX][4];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        abef[i] = initial_abef();
        cdgh[i] = initial_cdgh();
        words[i][0] = lanes[i].low;
        words[i][1] = lanes[i].high;
        words[i][2] = _mm_set_epi32(0, 0, 0, (int)0x80000000); /* the end mark of the message */
        words[i][3] = _mm_set_epi32(256, 0, 0, 0);             /* its length in bits */
    }
#pragma GCC unroll 16
    for (uint32_t group = 0; group < 16; group++) {
#pragma GCC unroll 4
        for (uint32_t i = 0; i < count; i++) {
            __m128i *w = words[i];
            if (group >= 4)
                w[group % 4] = schedule(w[group % 4], w[(group + 1) % 4], w[(group + 2) % 4], w[(group + 3) % 4]);
            rounds4(&abef[i], &cdgh[i], w[group % 4], group);
        }
    }
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        __m128i feba = _mm_shuffle_epi32(_mm_add_epi32(abef[i], initial_abef()), 0x1b);
        __m128i dchg = _mm_shuffle_epi32(_mm_add_epi32(cdgh[i], initial_cdgh()), 0xb1);
        lanes[i].low = _mm_blend_epi16(feba, dchg, 0xf0);
        lanes[i].high = _mm_alignr_epi8(dchg, feba, 8);
    }
}

/* Digests are big-endian bytes. */
INLINE __m128i swap_words(__m128i words)
{
    return _mm_shuffle_epi8(words, _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
}

INLINE void run(uint8_t digests[][POW_DIGEST_BYTES], const uint32_t count, uint32_t rounds)
{
    struct lane lanes[POW_LANES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        lanes[i].low = swap_words(_mm_loadu_si128((const __m128i *)(const void *)digests[i]));
        lanes[i].high = swap_words(_mm_loadu_si128((const __m128i *)(const void *)(digests[i] + 16)));
    }
    while (rounds-- > 0)
        step(lanes, count);
    for (uint32_t i = 0; i < count; i++) {
        _mm_storeu_si128((__m128i *)(void *)digests[i], swap_words(lanes[i].low));
        _mm_storeu_si128((__m128i *)(void *)(digests[i] + 16), swap_words(lanes[i].high));
    }
}

KERNEL void pow_kernel_shani(uint8_t digests[][POW_DIGEST_BYTES], uint32_t lanes, uint32_t rounds)
{
    switch (lanes) {
    case 0:
        break;
    case 1:
        run(digests, 1, rounds);
        break;
    case 2:
        run(digests, 2, rounds);
        break;
    case 3:
        run(digests, 3, rounds);
        break;
    case 4:
        run(digests, 4, rounds);
        break;
    default:
        mf_unreachable();
    }
}

bool pow_kernel_shani_usable(void)
{
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSE4_1) == 0 || (c & bit_SSSE3) == 0)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

#else

bool pow_kernel_shani_usable(void)
{
    return false;
}

void pow_kernel_shani(uint8_t digests[][POW_DIGEST_BYTES], uint32_t lanes, uint32_t rounds)
{
    (void)digests;
    (void)lanes;
    (void)rounds;
    mf_unreachable();
}

#endif
