/*
 * store/seal.h - sealed values: AES-256-GCM under the state directory's key
 *
 * A sealed value is 1 byte format, 12 bytes nonce, the ciphertext, 16 bytes tag. The context (run, account, name) is
 * authenticated with it: a value that was moved to another row does not open.
 */
#ifndef MF_STORE_SEAL_H
#define MF_STORE_SEAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

struct seal_key;

#define SEAL_OVERHEAD_BYTES 29
#define SEAL_VALUE_BYTES_MAX (1u << 20)

/* Reads the key file (0600), which is made when it is missing and `create` is set. */
int seal_key_open(struct seal_key **out, const char *path, bool create, struct mf_error *error);
void seal_key_close(struct seal_key *key); /* wipes; NULL is fine */

/* Appends the sealed value. */
int seal_value(const struct seal_key *key, struct mf_span context, struct mf_span value, struct mf_buf *out, struct mf_error *error);
/* Appends the value to a secret buffer; -1 with MF_CRYPTO when it was changed, moved or sealed with another key. */
int seal_open(const struct seal_key *key, struct mf_span context, struct mf_span sealed, struct mf_buf *out, struct mf_error *error);

#endif
