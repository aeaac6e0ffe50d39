/*
 * tokens.c - SHA-256 of every token there is or was
 *
 * A token is 32 random bytes; only its hash is kept, and hashes are compared in constant time. Buckets are found by the first
 * bytes of the hash: what a guesser could learn from the time of a lookup is which bucket the hash of his guess falls into,
 * which he can compute himself. Dead tokens stay known, so that a replay is told from a guess.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#define TOKEN_RANDOM_BYTES 32
#define TOKENS_DEAD_MAX 65536u /* 64 bytes each: 4 MiB */
#define BUCKETS_FIRST 256u
#define NO_TOKEN UINT32_MAX

struct tokens {
    struct token *entries; /* owned */
    size_t capacity;
    uint32_t count;      /* entries ever used */
    uint32_t free_entry; /* list by `next` */
    uint32_t known;      /* entries in buckets */
    uint32_t *buckets;   /* owned */
    uint32_t bucket_count;
    uint8_t (*dead)[TOKEN_HASH_BYTES]; /* owned: a ring */
    uint32_t dead_count, dead_next;
};

/* The algorithm is looked up once: that costs more than hashing a token. Without it nothing can be let in. */
void token_hash(struct mf_span value, uint8_t hash[TOKEN_HASH_BYTES])
{
    static EVP_MD *sha256;
    if (sha256 == NULL)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    int hashed =
        sha256 != NULL ? EVP_Digest(value.data != NULL ? value.data : "", value.length, hash, NULL, sha256, NULL) : 0;
    mf_assert(hashed == 1);
}

bool token_hash_equal(const uint8_t left[TOKEN_HASH_BYTES], const uint8_t right[TOKEN_HASH_BYTES])
{
    return CRYPTO_memcmp(left, right, TOKEN_HASH_BYTES) == 0;
}

static uint32_t bucket_of(uint32_t bucket_count, const uint8_t hash[TOKEN_HASH_BYTES])
{
    uint32_t key;
    memcpy(&key, hash, sizeof key);
    return key & (bucket_count - 1);
}

static int resize(struct tokens *tokens, uint32_t bucket_count)
{
    uint32_t *buckets = mf_calloc(bucket_count, sizeof *buckets);
    if (buckets == NULL)
        return -1;
    memset(buckets, 0xff, bucket_count * sizeof *buckets);
    for (uint32_t b = 0; b < tokens->bucket_count; b++)
        for (uint32_t at = tokens->buckets[b], next; at != NO_TOKEN; at = next) {
            uint32_t to = bucket_of(bucket_count, tokens->entries[at].hash);
            next = tokens->entries[at].next;
            tokens->entries[at].next = buckets[to];
            buckets[to] = at;
        }
    mf_free(tokens->buckets);
    tokens->buckets = buckets;
    tokens->bucket_count = bucket_count;
    return 0;
}

int tokens_create(struct tokens **out, struct mf_error *error)
{
    struct tokens *tokens = mf_calloc(1, sizeof *tokens);
    if (tokens == NULL || resize(tokens, BUCKETS_FIRST) != 0) {
        mf_free(tokens);
        return mf_fail(error, MF_MEMORY, "tokens: no memory");
    }
    tokens->free_entry = NO_TOKEN;
    *out = tokens;
    return 0;
}

void tokens_destroy(struct tokens *tokens)
{
    if (tokens == NULL)
        return;
    mf_free(tokens->entries);
    mf_free(tokens->buckets);
    mf_free(tokens->dead);
    mf_free(tokens);
}

static uint32_t find(const struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES])
{
    uint32_t at = tokens->buckets[bucket_of(tokens->bucket_count, hash)];
    while (at != NO_TOKEN && !token_hash_equal(tokens->entries[at].hash, hash))
        at = tokens->entries[at].next;
    return at;
}

const struct token *tokens_find(const struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES])
{
    uint32_t at = find(tokens, hash);
    return at != NO_TOKEN ? &tokens->entries[at] : NULL;
}

static struct token *take_entry(struct tokens *tokens)
{
    uint32_t at = tokens->free_entry;
    if (tokens->known >= tokens->bucket_count && resize(tokens, tokens->bucket_count * 2) != 0)
        return NULL;
    if (at != NO_TOKEN) {
        tokens->free_entry = tokens->entries[at].next;
        return &tokens->entries[at];
    }
    if (mf_grow((void **)&tokens->entries, &tokens->capacity, (size_t)tokens->count + 1, sizeof *tokens->entries, 64) !=
        0)
        return NULL;
    return &tokens->entries[tokens->count++];
}

static int add(struct tokens *tokens, const struct token *token, struct mf_error *error)
{
    struct token *entry = take_entry(tokens);
    if (entry == NULL)
        return mf_fail(error, MF_MEMORY, "tokens: no memory");
    uint32_t bucket = bucket_of(tokens->bucket_count, token->hash);
    *entry = *token;
    entry->next = tokens->buckets[bucket];
    tokens->buckets[bucket] = (uint32_t)(entry - tokens->entries);
    tokens->known++;
    return 0;
}

static void forget(struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES])
{
    uint32_t *link = &tokens->buckets[bucket_of(tokens->bucket_count, hash)];
    while (*link != NO_TOKEN && !token_hash_equal(tokens->entries[*link].hash, hash))
        link = &tokens->entries[*link].next;
    if (*link == NO_TOKEN)
        return;
    uint32_t at = *link;
    *link = tokens->entries[at].next;
    tokens->entries[at].next = tokens->free_entry;
    tokens->free_entry = at;
    tokens->known--;
}

int tokens_issue(struct tokens *tokens, struct grant *grant, uint64_t stage, char token[GATEWAY_TOKEN_BYTES],
                 uint8_t hash[TOKEN_HASH_BYTES], struct mf_error *error)
{
    uint8_t random[TOKEN_RANDOM_BYTES];
    struct token entry = {.kind = TOKEN_LIVE, .grant = grant, .stage = stage};
    token[0] = '\0';
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return mf_fail(error, MF_OS, "token: no random bytes");
    memcpy(token, "mfy_", 4);
    mf_base64url(random, sizeof random, token + 4);
    mf_wipe(random, sizeof random);
    token_hash(mf_span(token), entry.hash);
    memcpy(hash, entry.hash, TOKEN_HASH_BYTES);
    if (add(tokens, &entry, error) == 0)
        return 0;
    mf_wipe(token, GATEWAY_TOKEN_BYTES);
    return -1;
}

int tokens_add_canary(struct tokens *tokens, struct mf_span value, struct mf_error *error)
{
    struct token entry = {.kind = TOKEN_CANARY};
    token_hash(value, entry.hash);
    return find(tokens, entry.hash) != NO_TOKEN ? 0 : add(tokens, &entry, error);
}

/* Without memory for the ring a dead token is forgotten: it is refused all the same, as one that nobody was given. */
static void remember_dead(struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES])
{
    if (tokens->dead == NULL && (tokens->dead = mf_calloc(TOKENS_DEAD_MAX, sizeof *tokens->dead)) == NULL) {
        forget(tokens, hash);
        return;
    }
    if (tokens->dead_count == TOKENS_DEAD_MAX)
        forget(tokens, tokens->dead[tokens->dead_next]);
    else
        tokens->dead_count++;
    memcpy(tokens->dead[tokens->dead_next], hash, TOKEN_HASH_BYTES);
    tokens->dead_next = (tokens->dead_next + 1) % TOKENS_DEAD_MAX;
}

void tokens_kill(struct tokens *tokens, const uint8_t hash[TOKEN_HASH_BYTES])
{
    uint32_t at = find(tokens, hash);
    if (at == NO_TOKEN || tokens->entries[at].kind != TOKEN_LIVE)
        return;
    tokens->entries[at].kind = TOKEN_DEAD;
    tokens->entries[at].grant = NULL;
    remember_dead(tokens, hash);
}
