/* store/hash.h - SHA-256 as hex, for folders that do not see OpenSSL */
#ifndef MF_STORE_HASH_H
#define MF_STORE_HASH_H

#include "base/str.h"

/* Lower-case hex of SHA-256(text), terminated. */
void store_sha256(struct mf_span text, char out[65]);

/* The same over a text that comes in parts. */
struct store_hash;
struct store_hash *store_hash_create(void); /* NULL: no memory */
void store_hash_add(struct store_hash *hash, struct mf_span part);
/* Of all parts so far; more may follow. */
void store_hash_end(const struct store_hash *hash, char out[65]);
void store_hash_destroy(struct store_hash *hash); /* NULL is fine */

#endif
