/*
 * emulator/state.h - what the emulator remembers: accounts, tokens, and everything inside an account as objects
 *
 * Accounts and tokens have structs of their own. All that lives inside an account (workers, namespaces, keys, databases ...)
 * is an *object*: a kind, a name that is unique among its siblings, usually an id, a JSON document of its settings, and bytes.
 * Siblings are kept sorted by name, so a page of a list is a slice and a name is found by bisection; ids are found in one
 * table. Every change is written through to the data directory, where there is one.
 */
#ifndef MF_EMULATOR_STATE_H
#define MF_EMULATOR_STATE_H

#include "base/error.h"
#include "base/heap.h"
#include "base/str.h"
#include "emulator/identity.h"
#include "emulator/policy.h"
#include "emulator/table.h"

#include <stdbool.h>
#include <stdint.h>

/* kind, name in the ledger, form of the id (NAME: the name is the id), 1 when creation and deletion stand in the ledger, most of them under one parent */
#define EMU_KINDS(X)                                 \
    X(WORKER, "worker", NAME, 1, 10000)              \
    X(VERSION, "version", UUID, 0, 10000)            \
    X(DEPLOYMENT, "deployment", UUID, 0, 10000)      \
    X(SECRET, "secret", NAME, 0, 1000)               \
    X(SESSION, "session", HEX, 0, 10000)             \
    X(ASSET, "asset", NAME, 0, 100000)               \
    X(KV, "kv", HEX, 1, 10000)                       \
    X(KV_KEY, "kv_key", NAME, 0, 1000000)            \
    X(D1, "d1", UUID, 1, 50000)                      \
    X(D1_FILE, "d1_file", NAME, 0, 16)               \
    X(QUEUE, "queue", HEX, 1, 10000)                 \
    X(CONSUMER, "consumer", HEX, 0, 100)             \
    X(MESSAGE, "message", HEX, 0, 100000)            \
    X(R2, "r2", NAME, 1, 10000)                      \
    X(R2_OBJECT, "r2_object", NAME, 0, 1000000)      \
    X(HYPERDRIVE, "hyperdrive", HEX, 1, 10000)       \
    X(CERTIFICATE, "certificate", UUID, 1, 10000)    \
    X(ZONE, "zone", HEX, 1, 10000)                   \
    X(DNS_RECORD, "dns_record", HEX, 0, 10000)       \
    X(ROUTE, "route", HEX, 0, 10000)

enum emu_kind {
#define X(kind, name, id, logged, count_max) EMU_##kind,
    EMU_KINDS(X)
#undef X
    EMU_KIND_COUNT
};

#define EMU_ACCOUNT_TYPES(X)    \
    X(TEMPORARY, "temporary")   \
    X(TENANT, "tenant")         \
    X(STANDALONE, "standalone") \
    X(CLAIMED, "claimed")

enum emu_account_type {
#define X(type, name) EMU_ACCOUNT_##type,
    EMU_ACCOUNT_TYPES(X)
#undef X
};

#define EMU_ACCOUNTS_MAX 1000000u
#define EMU_TOKENS_MAX 2000000u
#define EMU_OBJECTS_MAX 8000000u
#define EMU_TOKENS_OF_ACCOUNT_MAX 500u /* Cloudflare's quota */

struct emu_persist;

struct emu_object {
    enum emu_kind kind;
    uint64_t sequence;
    struct emu_account *account;
    struct emu_object *parent; /* NULL: directly in the account */
    char id[EMU_UUID_BYTES];   /* empty for kinds whose name is the id */
    char *name;                /* owned; unique among the siblings of its kind */
    char *document;            /* owned JSON text, never NULL */
    char *data;                /* owned bytes, may be NULL */
    size_t data_bytes;
    int64_t created_ms, modified_ms, expires_ms;
    struct emu_collection *children;
};

struct emu_collection {
    enum emu_kind kind;
    struct emu_object **objects; /* owned array, sorted by name */
    size_t count, capacity;
    struct emu_collection *next; /* of another kind under the same parent */
};

struct emu_token {
    uint64_t sequence;
    char id[EMU_HEX_ID_BYTES];
    uint8_t hash[EMU_HASH_BYTES];
    struct emu_account *account; /* NULL: the operator's */
    char *name;                  /* owned */
    char *policies;              /* owned, normalised JSON */
    char *condition;             /* owned JSON or NULL */
    int64_t issued_ms, modified_ms, last_used_ms, not_before_ms, expires_ms; /* MF_NEVER: no end; not_before 0: at once */
    bool disabled, temporary;
    struct emu_policy policy; /* compiled from the texts */
};

/* Requests counted in the current window of the rate limit. */
struct emu_budget {
    int64_t window_ms, blocked_until_ms;
    uint32_t used;
};

struct emu_account {
    uint64_t sequence;
    char id[EMU_HEX_ID_BYTES];
    char *name; /* owned */
    enum emu_account_type type;
    int64_t created_ms, expires_ms;
    uint8_t claim_hash[EMU_HASH_BYTES]; /* of the claim token; valid while claimable */
    int64_t claim_expires_ms;
    bool claimable;
    char subdomain[64]; /* of workers.dev; empty: none */
    char *settings;     /* owned JSON or NULL */
    struct emu_token **tokens; /* owned array, in order of creation */
    size_t token_count, token_capacity;
    struct emu_collection *collections;
    struct emu_account *next_of_name;
    uint32_t expiry_slot; /* 0: never expires */
    struct emu_budget budget;
};

/* A deleted account that lists still show during the list lag. */
struct emu_ghost {
    char id[EMU_HEX_ID_BYTES];
    char *name; /* owned */
    int64_t created_ms, deleted_ms;
};

struct emu_state {
    struct emu_identity *identity;  /* not owned */
    struct emu_persist *persist;    /* not owned; NULL: memory only */
    int64_t clock_offset_ms;        /* virtual time: added to the wall clock */
    uint64_t sequence;              /* the last one given out */
    struct emu_account **accounts;  /* owned array, in order of creation */
    size_t account_count, account_capacity;
    struct emu_table account_by_id, account_by_name, account_by_claim;
    struct emu_table token_by_hash, token_by_id, object_by_id;
    struct mf_heap expiry;
    struct emu_account **expiry_accounts; /* owned array: slot - 1 -> account */
    size_t expiry_capacity;
    uint32_t expiry_slots;
    uint32_t *free_slots;
    size_t free_slot_count, free_slot_capacity;
    struct emu_ghost *ghosts;
    size_t ghost_count, ghost_capacity;
    int64_t list_lag_ms;
    uint64_t bytes, bytes_max; /* documents and data of all objects */
    uint64_t object_count;
    uint32_t standalone_count;
    void (*forgotten)(void *context, const struct emu_object *object); /* NULL, or told of every object that goes */
    void *forgotten_context;
};

const char *emu_kind_name(enum emu_kind kind);
bool emu_kind_logged(enum emu_kind kind);
const char *emu_account_type_name(enum emu_account_type type);
/* The id that the API and the ledger show: the id, or the name for kinds without. */
const char *emu_object_id(const struct emu_object *object);

int emu_state_create(struct emu_state **out, struct emu_identity *identity, struct mf_error *error);
void emu_state_destroy(struct emu_state *state);
int64_t emu_now(const struct emu_state *state); /* virtual wall clock in ms */

/* --- accounts --- */

struct emu_account_spec {
    struct mf_span name;
    enum emu_account_type type;
    int64_t lifetime_ms;     /* 0: for ever */
    const char *subdomain;   /* NULL: one of the emulator's own */
    const uint8_t *claim_hash; /* NULL: cannot be claimed */
};
int emu_account_create(struct emu_state *state, const struct emu_account_spec *spec, struct emu_account **out, struct mf_error *error);
/* Deletes it with its tokens and all that is inside. */
void emu_account_delete(struct emu_state *state, struct emu_account *account);
struct emu_account *emu_account_find(const struct emu_state *state, struct mf_span id);
/* First account of that name; follow next_of_name. */
struct emu_account *emu_account_of_name(const struct emu_state *state, struct mf_span name);
/* Permanent, no claim left, the temporary tokens gone. */
void emu_account_claim(struct emu_state *state, struct emu_account *account);
/* Sets when it dies by itself. */
int emu_account_end_at(struct emu_state *state, struct emu_account *account, int64_t at_ms);
int emu_account_rename(struct emu_state *state, struct emu_account *account, struct mf_span name, struct mf_error *error);
void emu_account_save(struct emu_state *state, const struct emu_account *account);
/* The account that expires first, if its time has come. */
struct emu_account *emu_account_due(const struct emu_state *state, int64_t now_ms);
int64_t emu_next_expiry(const struct emu_state *state); /* MF_NEVER: none */
/* Puts an account that was read from the data directory back. Takes over `account`. */
int emu_account_restore(struct emu_state *state, struct emu_account *account, struct mf_error *error);

/* --- tokens --- */

struct emu_token_spec {
    struct mf_span value; /* only its hash is kept */
    struct mf_span name;
    struct mf_span policies, condition;
    int64_t not_before_ms, expires_ms;
    bool temporary;
};
/* `account` NULL makes the operator's token, which is never written to the data directory. */
int emu_token_create(struct emu_state *state, struct emu_account *account, const struct emu_token_spec *spec, struct emu_token **out, struct mf_error *error);
void emu_token_delete(struct emu_state *state, struct emu_token *token);
struct emu_token *emu_token_of_hash(const struct emu_state *state, const uint8_t hash[EMU_HASH_BYTES]);
struct emu_token *emu_token_find(const struct emu_state *state, const struct emu_account *account, struct mf_span id);
int emu_token_roll(struct emu_state *state, struct emu_token *token, struct mf_span value);
/* Replaces name, policies, condition and times. */
int emu_token_change(struct emu_state *state, struct emu_token *token, const struct emu_token_spec *spec, struct mf_error *error);
void emu_token_save(struct emu_state *state, const struct emu_token *token);
int emu_token_restore(struct emu_state *state, struct emu_token *token, struct mf_error *error);
void emu_token_free(struct emu_token *token);

/* --- objects --- */

/* MF_LIMIT when the kind's maximum or the byte limit is reached, MF_STATE when the name is taken. `document` is JSON text. */
int emu_object_create(struct emu_state *state, struct emu_account *account, struct emu_object *parent, enum emu_kind kind, struct mf_span name, struct mf_span document, struct emu_object **out, struct mf_error *error);
void emu_object_delete(struct emu_state *state, struct emu_object *object);
int emu_object_set_data(struct emu_state *state, struct emu_object *object, struct mf_span data);
int emu_object_set_document(struct emu_state *state, struct emu_object *object, struct mf_span document);
int emu_object_rename(struct emu_state *state, struct emu_object *object, struct mf_span name);
/* Writes a changed object through; call once after the last change. */
void emu_object_save(struct emu_state *state, struct emu_object *object);
int emu_object_restore(struct emu_state *state, struct emu_object *object, struct mf_error *error);
void emu_object_free(struct emu_object *object);

struct emu_object *emu_object_of_name(const struct emu_account *account, const struct emu_object *parent, enum emu_kind kind, struct mf_span name);
struct emu_object *emu_object_of_id(const struct emu_state *state, const struct emu_account *account, enum emu_kind kind, struct mf_span id);
/* The siblings of a kind; NULL when there never were any. */
const struct emu_collection *emu_collection(const struct emu_account *account, const struct emu_object *parent, enum emu_kind kind);
size_t emu_count(const struct emu_account *account, const struct emu_object *parent, enum emu_kind kind);
/* Index of the first object whose name is not before `name`. */
size_t emu_position(const struct emu_collection *collection, struct mf_span name);

#endif
