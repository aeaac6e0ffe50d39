/*
 * kernel.c - the portable kernel on OpenSSL, and the choice between kernels
 *
 * OpenSSL 3 deprecates SHA256_Init and its sisters in favour of EVP. EVP costs a fetch or a context reset for every
 * hash, which for a message of 32 bytes is more than the hash itself (measured: 66 ns against 570 ns). The deprecated
 * calls are still the documented low-level API, so the warning is switched off here and nowhere else.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "pow/kernel.h"

#include <openssl/sha.h>

_Static_assert(SHA256_DIGEST_LENGTH == POW_DIGEST_BYTES, "the chain is over SHA-256");

void pow_kernel_portable(uint8_t digests[][POW_DIGEST_BYTES], uint32_t lanes, uint32_t rounds)
{
    SHA256_CTX context;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        for (uint32_t i = 0; i < rounds; i++) {
            SHA256_Init(&context);
            SHA256_Update(&context, digests[lane], POW_DIGEST_BYTES);
            SHA256_Final(digests[lane], &context);
        }
    }
}

pow_kernel *pow_kernel_best(void)
{
    return pow_kernel_shani_usable() ? pow_kernel_shani : pow_kernel_portable;
}
