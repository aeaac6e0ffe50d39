/* identity.c - ids, credentials and hashes */
#include "emulator/identity.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

enum { CREDENTIAL_CHARACTERS = 40 };

struct emu_identity {
    bool seeded;
    struct mf_rng rng;
    EVP_MD *sha256;      /* fetched once: a fetch for each hash would cost more than the hash */
    EVP_MD_CTX *context; /* used again for every hash */
    char mark[EMU_MARK_BYTES_MAX + 1];
};

static int fetch_digest(struct emu_identity *identity, struct mf_error *error)
{
    identity->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    identity->context = EVP_MD_CTX_new();
    if (identity->sha256 == NULL || identity->context == NULL)
        return mf_fail(error, MF_CRYPTO, "SHA-256 is not available");
    return 0;
}

static int set_mark(struct emu_identity *identity, const char *mark, struct mf_error *error)
{
    for (const char *at = mark; *at != '\0'; at++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", *at) == NULL)
            return mf_fail(error, MF_USAGE, "token mark: only letters, digits, _ and - are possible in a token");
    if (mf_span_copy(mf_span(mark), identity->mark, sizeof(identity->mark)) < 0)
        return mf_fail(error, MF_USAGE, "token mark: longer than %u characters", EMU_MARK_BYTES_MAX);
    return 0;
}

int emu_identity_create(struct emu_identity **out, bool seeded, uint64_t seed, const char *mark, struct mf_error *error)
{
    struct emu_identity *identity = mf_calloc(1, sizeof(*identity));
    if (identity == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    identity->seeded = seeded;
    mf_rng_seed(&identity->rng, seed);
    if (fetch_digest(identity, error) < 0 || set_mark(identity, mark == NULL ? "" : mark, error) < 0) {
        emu_identity_destroy(identity);
        return -1;
    }
    *out = identity;
    return 0;
}

void emu_identity_destroy(struct emu_identity *identity)
{
    if (identity == NULL)
        return;
    EVP_MD_free(identity->sha256);
    EVP_MD_CTX_free(identity->context);
    mf_free(identity);
}

uint64_t emu_random_u64(void *identity)
{
    uint64_t number;
    emu_random(identity, &number, sizeof(number));
    return number;
}

void emu_random(struct emu_identity *identity, void *out, size_t bytes)
{
    if (!identity->seeded) {
        int drawn = RAND_bytes(out, (int)bytes);
        mf_assert(drawn == 1);
        return;
    }
    uint8_t *at = out;
    for (size_t done = 0; done < bytes; done++)
        at[done] = (uint8_t)(mf_rng_next(&identity->rng) >> 24);
}

void emu_hex_id(struct emu_identity *identity, char out[EMU_HEX_ID_BYTES])
{
    uint8_t bytes[16];
    emu_random(identity, bytes, sizeof(bytes));
    mf_hex(bytes, sizeof(bytes), out);
}

void emu_uuid(struct emu_identity *identity, char out[EMU_UUID_BYTES])
{
    uint8_t bytes[16];
    char hex[EMU_HEX_ID_BYTES];
    emu_random(identity, bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    mf_hex(bytes, sizeof(bytes), hex);
    char *to = out;
    for (unsigned digit = 0; digit < 32; digit++) {
        if (digit == 8 || digit == 12 || digit == 16 || digit == 20)
            *to++ = '-';
        *to++ = hex[digit];
    }
    *to = '\0';
}

/* The real checksum is not published; clients only look at the form. FNV over the characters keeps typing errors visible. */
static void checksum(struct mf_span value, char out[9])
{
    uint64_t hash = mf_hash(value.data, value.length, 0);
    uint8_t bytes[4] = {(uint8_t)(hash >> 24), (uint8_t)(hash >> 16), (uint8_t)(hash >> 8), (uint8_t)hash};
    mf_hex(bytes, sizeof(bytes), out);
}

void emu_credential(struct emu_identity *identity, const char *prefix, char out[EMU_VALUE_BYTES])
{
    uint8_t random[30]; /* 40 base64url characters */
    char text[CREDENTIAL_CHARACTERS + 1], sum[9];
    emu_random(identity, random, sizeof(random));
    mf_base64url(random, sizeof(random), text);
    memcpy(text, identity->mark, strlen(identity->mark));
    checksum(mf_span(text), sum);
    size_t prefix_bytes = strlen(prefix);
    mf_assert(prefix_bytes + CREDENTIAL_CHARACTERS + sizeof(sum) <= EMU_VALUE_BYTES);
    memcpy(out, prefix, prefix_bytes);
    memcpy(out + prefix_bytes, text, CREDENTIAL_CHARACTERS);
    memcpy(out + prefix_bytes + CREDENTIAL_CHARACTERS, sum, sizeof(sum));
    mf_wipe(text, sizeof(text));
    mf_wipe(random, sizeof(random));
}

void emu_sha256(struct emu_identity *identity, struct mf_span data, uint8_t out[EMU_HASH_BYTES])
{
    unsigned length = 0;
    int done = EVP_DigestInit_ex(identity->context, identity->sha256, NULL) == 1 &&
               EVP_DigestUpdate(identity->context, data.data, data.length) == 1 &&
               EVP_DigestFinal_ex(identity->context, out, &length) == 1;
    mf_assert(done && length == EMU_HASH_BYTES);
}

void emu_hmac(const uint8_t key[EMU_HASH_BYTES], struct mf_span data, uint8_t out[EMU_HASH_BYTES])
{
    unsigned length = 0;
    unsigned char *done = HMAC(EVP_sha256(), key, EMU_HASH_BYTES, (const unsigned char *)data.data, data.length, out, &length);
    mf_assert(done != NULL && length == EMU_HASH_BYTES);
}
