/*
 * emulator/emulator.h - a local Cloudflare: one object that serves the API on a loop
 *
 * `mayfly emulate` makes one for a process, tests make one inside theirs. Everything it says it did stands in its ledger.
 */
#ifndef MF_EMULATOR_EMULATOR_H
#define MF_EMULATOR_EMULATOR_H

#include "base/error.h"
#include "base/str.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define EMULATOR_BASE_PATH "/client/v4"

struct emulator;

/* So many requests in a window of time; count 0: no limit. */
struct emulator_limit {
    uint32_t count;
    int64_t window_ms;
};

/* Texts are copied. Zero means the default that is named. */
struct emulator_options {
    const char *host;            /* numeric loopback address; NULL: 127.0.0.1 */
    uint16_t port;               /* 0: that of the data directory if it is free, else any */
    const char *ledger_file;     /* NULL: DATA/ledger.jsonl, else memory */
    const char *faults_file;     /* NULL: none */
    const char *data_directory;  /* NULL: memory */
    const char *admin_socket;    /* NULL: none */
    const char *tls_certificate_file, *tls_key_file;
    const char *operator_token;  /* NULL: generated; see emulator_take_token */
    const char *token_mark;      /* NULL: none */
    const char *workerd;         /* program that runs scripts; NULL: the one in PATH, if there is one */
    bool seeded;
    uint64_t seed;
    uint32_t pow_segments;       /* k; 64 */
    uint32_t pow_hashes;         /* g; 100 */
    uint32_t pow_sample;         /* s: how many segments are verified; 16; at least k: all */
    int64_t lifetime_ms;         /* of temporary accounts; one hour */
    int64_t challenge_ms;        /* a challenge's; five minutes */
    int64_t list_lag_ms;         /* how long lists of accounts lag behind */
    struct emulator_limit rate;      /* per user, then 429 for one more window, as Cloudflare does */
    struct emulator_limit provision; /* temporary accounts per address */
    uint32_t standalone_max;     /* stand-alone accounts; 5 */
    uint32_t accounts_max;       /* of all kinds; one million */
    uint32_t connections_max;    /* 4096 */
};

int emulator_create(struct emulator **out, struct net_loop *loop, const struct emulator_options *options, struct mf_error *error);
void emulator_destroy(struct emulator *emulator); /* NULL is fine */
uint16_t emulator_port(const struct emulator *emulator);
/* "http://127.0.0.1:8787/client/v4"; owned by the emulator. */
const char *emulator_url(const struct emulator *emulator);
/* The random name of this data directory, or of this process without one: for a client that must know whom it talks to. */
const char *emulator_instance(const struct emulator *emulator);
/* The generated operator's token, once; NULL when it was given or taken before. mf_free_secret it. */
char *emulator_take_token(struct emulator *emulator);

/* For tests in the same process: what the admin socket offers. */
void emulator_advance_clock(struct emulator *emulator, int64_t by_ms);
int emulator_set_faults(struct emulator *emulator, struct mf_span script, struct mf_error *error);

#endif
