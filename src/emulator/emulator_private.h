/* emulator/emulator_private.h - the emulator's own struct, for the files that serve parts of its API */
#ifndef MF_EMULATOR_EMULATOR_PRIVATE_H
#define MF_EMULATOR_EMULATOR_PRIVATE_H

#include "emulator/call.h"
#include "emulator/d1_sql.h"
#include "emulator/deliver.h"
#include "emulator/emulator.h"
#include "emulator/fault.h"
#include "emulator/persist.h"

#define EMU_CHALLENGES_USED_MAX 1000000u
#define EMU_IDEMPOTENCY_MAX 100000u

/* A challenge that was turned in: it may not come again before it expires by itself. */
struct emu_used_challenge {
    uint8_t nonce[16];
    int64_t expires_ms;
};

/* What a key was used for. */
struct emu_idempotency {
    char *key; /* owned */
    uint8_t request[EMU_HASH_BYTES];
    char account_id[EMU_HEX_ID_BYTES];
    struct emu_idempotency *next; /* in order of use, for the end */
};

struct emu_tls;
struct emu_runs;

struct emulator {
    struct emulator_options options; /* texts are not kept */
    struct net_loop *loop;
    struct emu_identity *identity;
    struct emu_state *state;
    struct emu_persist *persist; /* NULL: memory only */
    struct emu_ledger *ledger;
    struct emu_router *router;
    struct emu_faults *faults;
    struct emu_deliveries *deliveries;
    struct emu_d1 *d1;
    struct emu_runs *runs; /* deployed scripts */
    struct emu_tls *tls; /* NULL: plain */
    struct net_server *server, *admin;
    struct net_timer *expiry;
    int64_t armed_ms; /* what the timer waits for; 0: not armed */
    struct emu_token *operator_token; /* owned by the state's tables; freed by us */
    struct emu_budget operator_budget, provision_budget;
    char *generated_token;
    char *data_directory; /* owned; NULL: memory */
    char instance[EMU_HEX_ID_BYTES];
    char origin[128]; /* http://HOST:PORT */
    char url[160];    /* origin + base path */
    uint8_t challenge_key[EMU_HASH_BYTES];
    struct emu_table used_by_nonce;
    struct emu_used_challenge **used; /* owned ring in order of expiry, from used_first on */
    size_t used_first, used_count, used_capacity;
    struct emu_table idempotency;
    struct emu_idempotency *idempotency_list;
    uint64_t request_count;
    int64_t date_second;
    char date[40];
    struct emu_call call;
};

/* --- auth.c --- */

/* Finds the token of the request without judging it; NULL when there is none. */
struct emu_token *emu_bearer(struct emu_call *call);
/* Account, token, group: 0, or -1 with the call failed. */
int emu_authorise(struct emu_call *call);
/* Counts one request; false when the limit is reached, and *retry_ms says when it opens again. */
bool emu_budget_take(struct emu_budget *budget, const struct emulator_limit *limit, int64_t now_ms, int64_t *retry_ms);
/* Fails the call with 429 and its headers. */
void emu_throttle(struct emu_call *call, int64_t retry_ms);

/* --- emulator.c --- */

/* Accounts whose time has come die, each with its line in the ledger. */
void emu_expire(struct emulator *emulator, int64_t now_ms);
void emu_arm_expiry(struct emulator *emulator);
void emu_expiry_fired(void *emulator);
net_handler emu_handle;       /* of the API's listener */
emu_resume emu_resume_held;   /* of requests that a fault held back */
void emu_call_begin(struct emulator *emulator, const struct net_server_request *request);
void emu_call_end(struct emu_call *call);
/* The headers of every answer: its time and its number. */
void emu_add_headers(struct emu_call *call);

/* --- admin.c --- */

net_handler emu_admin_handle;

/* --- claim.c --- */

/* Answers GET and POST of the claim page. */
void emu_claim_page(struct emu_call *call);

/* --- api_d1.c, api_d1_transfer.c --- */

/* The database of the path, by id or name; NULL with the call failed. */
struct emu_object *emu_d1_find(struct emu_call *call);
/* Answers the signed URLs of imports and exports; false when the path is none. */
bool emu_d1_file(struct emu_call *call);

/* --- tls.c --- */

/* Asks *faults at each connection whether HTTP/2 is to be played on it. */
int emu_tls_create(struct emu_tls **out, const char *certificate_file, const char *key_file, struct emu_faults *const *faults, struct mf_error *error);
void emu_tls_destroy(struct emu_tls *tls);
const struct net_filter *emu_tls_filter(const struct emu_tls *tls);

/* --- api_provision.c --- */

void emu_challenges_free(struct emulator *emulator);
/* --- api_accounts.c --- */
void emu_idempotency_free(struct emulator *emulator);
int emu_idempotency_restore(struct emulator *emulator);

#endif
