/* hash.c - SHA-256 as hex, for folders that do not see OpenSSL */
#include "store/hash.h"

#include "base/assert.h"

#include <openssl/evp.h>
#include <stdint.h>

void store_sha256(struct mf_span text, char out[65])
{
    uint8_t digest[32];
    int done = EVP_Digest(text.data, text.length, digest, NULL, EVP_sha256(), NULL);
    mf_assert(done == 1); /* cannot fail: a fixed digest over memory */
    mf_hex(digest, sizeof digest, out);
}
