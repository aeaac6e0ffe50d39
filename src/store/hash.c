/* hash.c - SHA-256 as hex, for folders that do not see OpenSSL */
#include "store/hash.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <openssl/evp.h>
#include <stdint.h>

struct store_hash {
    EVP_MD_CTX *all;  /* owned; every part so far */
    EVP_MD_CTX *room; /* owned; where a copy is ended */
};

void store_sha256(struct mf_span text, char out[65])
{
    uint8_t digest[32];
    int done = EVP_Digest(text.data, text.length, digest, NULL, EVP_sha256(), NULL);
    mf_assert(done == 1); /* cannot fail: a fixed digest over memory */
    mf_hex(digest, sizeof digest, out);
}

struct store_hash *store_hash_create(void)
{
    struct store_hash *hash = mf_calloc(1, sizeof *hash);
    if (hash == NULL)
        return NULL;
    hash->all = EVP_MD_CTX_new();
    hash->room = EVP_MD_CTX_new();
    if (hash->all != NULL && hash->room != NULL && EVP_DigestInit_ex(hash->all, EVP_sha256(), NULL) == 1 &&
        EVP_MD_CTX_copy_ex(hash->room, hash->all) == 1)
        return hash;
    store_hash_destroy(hash);
    return NULL;
}

void store_hash_add(struct store_hash *hash, struct mf_span part)
{
    int done = EVP_DigestUpdate(hash->all, part.data, part.length);
    mf_assert(done == 1); /* memory was taken when it was made */
}

void store_hash_end(const struct store_hash *hash, char out[65])
{
    uint8_t digest[32];
    int done = EVP_MD_CTX_copy_ex(hash->room, hash->all) == 1 && EVP_DigestFinal_ex(hash->room, digest, NULL) == 1;
    mf_assert(done == 1); /* the copy before has left the room that this one needs */
    mf_hex(digest, sizeof digest, out);
}

void store_hash_destroy(struct store_hash *hash)
{
    if (hash == NULL)
        return;
    EVP_MD_CTX_free(hash->all);
    EVP_MD_CTX_free(hash->room);
    mf_free(hash);
}
