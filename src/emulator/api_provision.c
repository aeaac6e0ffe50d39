/*
 * api_provision.c - temporary accounts: a challenge, a proof of work, an account
 *
 * A challenge token carries all that is needed to check it (nonce, seed, k, g, end) under an HMAC, so asking for challenges
 * costs no memory. Turning one in uses it up, whether the proof holds or not: otherwise a false proof could be tried again
 * until the sample misses what is wrong with it.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "pow/pow.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define TERMS "https://www.cloudflare.com/terms/"
#define PRIVACY "https://www.cloudflare.com/privacypolicy/"

struct challenge {
    uint8_t nonce[16];
    uint8_t seed[POW_SEED_BYTES];
    uint32_t k, g;
    int64_t expires_ms;
};
_Static_assert(sizeof(struct challenge) == 64, "a challenge token holds the struct without padding");

struct signed_challenge {
    struct challenge challenge;
    uint8_t signature[EMU_HASH_BYTES];
};

static struct mf_span bytes_of(const struct challenge *challenge)
{
    return (struct mf_span){(const char *)challenge, sizeof(*challenge)};
}

/* --- asking --- */

void emu_provision_challenge(struct emu_call *call)
{
    struct emulator *emulator = call->emulator;
    struct signed_challenge made;
    char token[2 * sizeof(made)], seed[64];
    emu_random(emulator->identity, made.challenge.nonce, sizeof(made.challenge.nonce));
    emu_random(emulator->identity, made.challenge.seed, sizeof(made.challenge.seed));
    made.challenge.k = emulator->options.pow_segments;
    made.challenge.g = emulator->options.pow_hashes;
    made.challenge.expires_ms = call->now_ms + emulator->options.challenge_ms;
    emu_hmac(emulator->challenge_key, bytes_of(&made.challenge), made.signature);
    mf_base64url(&made, sizeof(made), token);
    mf_base64url(made.challenge.seed, sizeof(made.challenge.seed), seed);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_string(&call->writer, "challengeToken", token);
    json_member_string(&call->writer, "seed", seed);
    json_member_u64(&call->writer, "k", made.challenge.k);
    json_member_u64(&call->writer, "g", made.challenge.g);
    json_member_u64(&call->writer, "s", emulator->options.pow_sample);
    json_member_i64(&call->writer, "expiresAt", made.challenge.expires_ms / 1000);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

/* --- challenges that were turned in --- */

static struct mf_span nonce_key(const uint8_t nonce[16])
{
    return (struct mf_span){(const char *)nonce, 16};
}

/* All live equally long, so the first in is the first to go. */
static void forget_old(struct emulator *emulator, int64_t now_ms)
{
    while (emulator->used_count > 0 && emulator->used[emulator->used_first]->expires_ms < now_ms) {
        struct emu_used_challenge *old = emulator->used[emulator->used_first++];
        emu_table_remove(&emulator->used_by_nonce, nonce_key(old->nonce));
        mf_free(old);
        emulator->used_count--;
    }
    if (emulator->used_first > emulator->used_count) { /* the array slides back when half of it is history */
        memmove(emulator->used, emulator->used + emulator->used_first, emulator->used_count * sizeof(*emulator->used));
        emulator->used_first = 0;
    }
}

static int remember_used(struct emulator *emulator, const struct challenge *challenge)
{
    struct emu_used_challenge *used = mf_calloc(1, sizeof(*used));
    size_t end = emulator->used_first + emulator->used_count;
    if (used == NULL || mf_grow((void **)&emulator->used, &emulator->used_capacity, end + 1, sizeof(*emulator->used), 64) < 0)
        goto fail;
    memcpy(used->nonce, challenge->nonce, sizeof(used->nonce));
    used->expires_ms = challenge->expires_ms;
    if (emu_table_put(&emulator->used_by_nonce, nonce_key(used->nonce), used) < 0)
        goto fail;
    emulator->used[end] = used;
    emulator->used_count++;
    return 0;
fail:
    mf_free(used);
    return -1;
}

void emu_challenges_free(struct emulator *emulator)
{
    for (size_t each = 0; each < emulator->used_count; each++)
        mf_free(emulator->used[emulator->used_first + each]);
    mf_free(emulator->used);
    emu_table_free(&emulator->used_by_nonce);
}

/* --- the proof --- */

static int read_challenge(struct emu_call *call, struct challenge *out)
{
    struct emulator *emulator = call->emulator;
    struct signed_challenge given;
    struct mf_span text;
    uint8_t expected[EMU_HASH_BYTES];
    size_t bytes;
    if (emu_text(call, &call->body, json_member(&call->body, 0, "challengeToken"), &text) < 0 ||
        mf_unbase64(text, (uint8_t *)&given, sizeof(given), &bytes) < 0 || bytes != sizeof(given)) {
        emu_fail(call, EMU_ERROR_INVALID_CHALLENGE);
        return -1;
    }
    emu_hmac(emulator->challenge_key, bytes_of(&given.challenge), expected);
    *out = given.challenge;
    if (CRYPTO_memcmp(expected, given.signature, sizeof(expected)) == 0)
        return 0;
    emu_fail(call, EMU_ERROR_INVALID_CHALLENGE);
    return -1;
}

static int use_up(struct emu_call *call, const struct challenge *challenge)
{
    struct emulator *emulator = call->emulator;
    enum emu_error error;
    forget_old(emulator, call->now_ms);
    if (challenge->expires_ms <= call->now_ms)
        error = EMU_ERROR_CHALLENGE_EXPIRED;
    else if (emu_table_get(&emulator->used_by_nonce, nonce_key(challenge->nonce)) != NULL)
        error = EMU_ERROR_CHALLENGE_USED;
    else if (remember_used(emulator, challenge) < 0)
        error = EMU_ERROR_NO_MEMORY;
    else
        return 0;
    emu_fail(call, error);
    return -1;
}

static bool solves(struct emu_call *call, const struct challenge *challenge)
{
    struct mf_span text;
    size_t wanted = ((size_t)challenge->k + 1) * 32, bytes = 0;
    uint32_t solution = json_member(&call->body, 0, "solution");
    if (emu_text(call, &call->body, json_member(&call->body, solution, "checkpoints"), &text) < 0)
        return false;
    uint8_t *checkpoints = mf_alloc(wanted);
    if (checkpoints == NULL)
        return false;
    struct pow_challenge work = {.k = challenge->k, .g = challenge->g};
    memcpy(work.seed, challenge->seed, sizeof(work.seed));
    bool held = mf_unbase64(text, checkpoints, wanted, &bytes) == 0 && bytes == wanted &&
                pow_verify(&work, checkpoints, call->emulator->options.pow_sample, emu_random_u64, call->emulator->identity);
    mf_free(checkpoints);
    return held;
}

/* --- the account --- */

static int check_terms(struct emu_call *call)
{
    const struct json_document *body = &call->body;
    if (json_is(body, json_member(body, 0, "acceptTermsOfService"), "yes") && json_is(body, json_member(body, 0, "termsOfService"), TERMS) &&
        json_is(body, json_member(body, 0, "privacyPolicy"), PRIVACY))
        return 0;
    emu_fail(call, EMU_ERROR_TERMS);
    return -1;
}

/* Codes of an event are letters, digits and dashes; `error-1037` and so on ask for that error. */
static int check_event(struct emu_call *call, bool *given)
{
    struct mf_span code;
    uint64_t number;
    uint32_t node = json_member(&call->body, 0, "eventCode");
    *given = node != JSON_NONE;
    if (!*given)
        return 0;
    if (emu_text(call, &call->body, node, &code) < 0 || code.length == 0 || code.length > 64) {
        emu_fail(call, EMU_ERROR_EVENT_MALFORMED);
        return -1;
    }
    if (!mf_span_starts(code, "error-") || mf_parse_u64((struct mf_span){code.data + 6, code.length - 6}, &number) < 0)
        return 0;
    emu_raw(call, 400, "application/json", (struct mf_span){"", 0});
    mf_buf_printf(&call->out, "{\"success\":false,\"errors\":[{\"code\":%u,\"message\":\"event code refused\"}],\"messages\":[],\"result\":null}", (unsigned)(number % 100000));
    return -1;
}

struct made {
    struct emu_account *account;
    struct emu_token *token;
    char token_value[EMU_VALUE_BYTES], claim_token[EMU_VALUE_BYTES];
};

static int make_account(struct emu_call *call, struct made *made)
{
    struct emulator *emulator = call->emulator;
    struct mf_error error;
    char name[64], id[EMU_HEX_ID_BYTES];
    uint8_t claim_hash[EMU_HASH_BYTES];
    emu_hex_id(emulator->identity, id);
    snprintf(name, sizeof(name), "temporary-%.12s", id);
    emu_credential(emulator->identity, "cfat_", made->token_value);
    emu_credential(emulator->identity, "claim_", made->claim_token);
    emu_sha256(emulator->identity, mf_span(made->claim_token), claim_hash);
    struct emu_account_spec account = {
        .name = mf_span(name), .type = EMU_ACCOUNT_TEMPORARY, .lifetime_ms = emulator->options.lifetime_ms, .subdomain = name, .claim_hash = claim_hash};
    if (emu_account_create(call->state, &account, &made->account, &error) < 0)
        return -1;
    struct emu_token_spec token = {
        .value = mf_span(made->token_value), .name = MF_SPAN("temporary account"), .expires_ms = made->account->expires_ms, .temporary = true};
    if (emu_token_create(call->state, made->account, &token, &made->token, &error) == 0)
        return 0;
    emu_account_delete(call->state, made->account);
    return -1;
}

static void write_made(struct emu_call *call, const struct made *made, bool event)
{
    struct json_writer *writer = &call->writer;
    char url[256];
    snprintf(url, sizeof(url), "%s/claim-preview?claimToken=%s", call->emulator->origin, made->claim_token);
    emu_ok_begin(call, 200);
    json_open_object(writer);
    json_key(writer, "account");
    json_open_object(writer);
    json_member_string(writer, "id", made->account->id);
    json_member_string(writer, "name", made->account->name);
    json_member_string(writer, "type", "standard");
    json_member_string(writer, "apiToken", made->token_value);
    json_member_string(writer, "tokenId", made->token->id);
    emu_member_time(writer, "expiresAt", made->account->expires_ms);
    json_close_object(writer);
    json_key(writer, "claim");
    json_open_object(writer);
    json_member_string(writer, "token", made->claim_token);
    json_member_string(writer, "url", url);
    emu_member_time(writer, "expiresAt", made->account->claim_expires_ms);
    json_close_object(writer);
    if (event)
        json_member_bool(writer, "eventCodeAccepted", true);
    json_close_object(writer);
    emu_ok_end(call);
    mf_wipe(url, sizeof(url));
}

static int check_limits(struct emu_call *call)
{
    struct emulator *emulator = call->emulator;
    int64_t retry_ms;
    if (call->state->account_count >= emulator->options.accounts_max) {
        emu_fail(call, EMU_ERROR_ACCOUNT_LIMIT);
        return -1;
    }
    if (emu_budget_take(&emulator->provision_budget, &emulator->options.provision, call->now_ms, &retry_ms))
        return 0;
    emu_throttle(call, retry_ms);
    return -1;
}

void emu_provision_create(struct emu_call *call)
{
    struct challenge challenge;
    struct made made;
    bool event;
    if (emu_body(call) < 0 || check_terms(call) < 0 || check_event(call, &event) < 0 || check_limits(call) < 0 ||
        read_challenge(call, &challenge) < 0 || use_up(call, &challenge) < 0)
        return;
    if (!solves(call, &challenge)) {
        emu_fail(call, EMU_ERROR_INVALID_SOLUTION);
        return;
    }
    if (make_account(call, &made) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_record(call, EMU_LEDGER_CREATE, "account", made.account->id, made.account->id);
    emu_record(call, EMU_LEDGER_CREATE, "token", made.token->id, made.account->id);
    write_made(call, &made, event);
    mf_wipe(&made, sizeof(made));
}
