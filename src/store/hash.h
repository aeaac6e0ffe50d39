/* store/hash.h - SHA-256 as hex, for folders that do not see OpenSSL */
#ifndef MF_STORE_HASH_H
#define MF_STORE_HASH_H

#include "base/str.h"

/* Lower-case hex of SHA-256(text), terminated. */
void store_sha256(struct mf_span text, char out[65]);

#endif
