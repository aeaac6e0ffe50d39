/*
 * pow/kernel.h - private: SHA-256 chains, h = SHA-256(h) over and over, behind one function pointer
 *
 * A kernel advances `lanes` independent chains by `rounds` hashes each. A chain is sequential and leaves most of a core's
 * units idle, so a kernel may interleave several; callers hand over as many chains as they have, up to POW_LANES_MAX.
 */
#ifndef MF_POW_KERNEL_H
#define MF_POW_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#define POW_LANES_MAX 4u
#define POW_DIGEST_BYTES 32u

typedef void pow_kernel(uint8_t digests[][POW_DIGEST_BYTES], uint32_t lanes, uint32_t rounds);

/* The fastest kernel that this CPU can run; chosen once. */
pow_kernel *pow_kernel_best(void);
/* OpenSSL's one, for every CPU. */
void pow_kernel_portable(uint8_t digests[][POW_DIGEST_BYTES], uint32_t lanes, uint32_t rounds);
/* x86's SHA extensions; only when pow_kernel_shani_usable. */
bool pow_kernel_shani_usable(void);
void pow_kernel_shani(uint8_t digests[][POW_DIGEST_BYTES], uint32_t lanes, uint32_t rounds);

#endif
