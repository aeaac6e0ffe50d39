/* gateway/audit_private.h - the open file of records (private to gateway/audit*.c) */
#ifndef MF_GATEWAY_AUDIT_PRIVATE_H
#define MF_GATEWAY_AUDIT_PRIVATE_H

#include "base/buf.h"
#include "gateway/audit.h"
#include "json/write.h"

#include <openssl/evp.h>

struct audit {
    int fd;            /* owned; -1: given up, nothing is written any more */
    uint64_t bytes;    /* of the file: all of them whole lines */
    uint64_t requests; /* highest number given out */
    struct audit_chain chain;
    EVP_MD *sha256;     /* owned; fetched once: a fetch costs more than the hash of a line */
    EVP_MD_CTX *digest; /* owned */
    struct mf_buf line; /* the one that is being written */
    struct json_writer writer;
};

#define AUDIT_FIRST_HEAD "0000000000000000000000000000000000000000000000000000000000000000"

/* What opening found of an earlier life. */
struct audit_past {
    uint64_t lives;
    uint64_t torn_bytes;
    char torn_file[32];
};

/* Opens or makes the file and reads what is in it into `audit` (bytes, requests, chain) and `past`. */
int audit_find(struct audit *audit, const struct audit_options *options, struct audit_past *past,
               struct mf_error *error);

/* One line: begin, members, end. */
void audit_begin(struct audit *audit, int64_t at_ms, const char *event);
int audit_end(struct audit *audit, struct mf_error *error);

/* SHA-256 in hex; -1 when OpenSSL has no memory. */
int audit_hash(struct audit *audit, struct mf_span text, char out[AUDIT_HASH_HEX]);

/* Puts text that an agent may have chosen; at most `bytes_max` of it (<= AUDIT_TEXT_BYTES_MAX). */
void audit_put_text(struct audit *audit, const char *key, struct mf_span text, size_t bytes_max);

#endif
