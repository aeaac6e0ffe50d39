/* audit_chain.c - is this the next line? Reads the chain of records without believing anything in it */
#include "gateway/audit_private.h"

#include <string.h>

#define CHAIN_KEY ",\"chain\":\""
#define CHAIN_BYTES (sizeof CHAIN_KEY - 1 + 64 + 2) /* with the quote and the brace behind the hash */

/* The hash that the line says the line before it has; empty: it is no line of ours. */
static struct mf_span named_hash(struct mf_span line)
{
    if (line.length <= CHAIN_BYTES || line.length >= AUDIT_LINE_BYTES_MAX)
        return (struct mf_span){"", 0};
    const char *tail = line.data + line.length - CHAIN_BYTES;
    if (memcmp(tail, CHAIN_KEY, sizeof CHAIN_KEY - 1) != 0 || memcmp(line.data + line.length - 2, "\"}", 2) != 0)
        return (struct mf_span){"", 0};
    return (struct mf_span){tail + sizeof CHAIN_KEY - 1, 64};
}

int audit_chain_take(struct audit_chain *chain, struct mf_span line, struct mf_error *error)
{
    char start[48];
    uint64_t n = chain->count + 1;
    mf_format(start, sizeof start, "{\"n\":%llu,\"at_ms\":", (unsigned long long)n);
    struct mf_span named = named_hash(line);
    if (named.length == 0 || !mf_span_starts(line, start) || memchr(line.data, '\n', line.length) != NULL)
        return mf_fail(error, MF_STATE, AUDIT_FILE ": line %llu is none of ours, or one is missing before it",
                       (unsigned long long)n);
    if (!mf_span_is(named, chain->count > 0 ? chain->head : AUDIT_FIRST_HEAD))
        return mf_fail(error, MF_STATE,
                       AUDIT_FILE ": line %llu does not follow the line before it: one of them was changed",
                       (unsigned long long)n);
    uint8_t digest[32];
    if (EVP_Digest(line.data, line.length, digest, NULL, EVP_sha256(), NULL) != 1)
        return mf_fail(error, MF_CRYPTO, AUDIT_FILE ": cannot hash line %llu", (unsigned long long)n);
    mf_hex(digest, sizeof digest, chain->head);
    chain->count = n;
    return 0;
}
