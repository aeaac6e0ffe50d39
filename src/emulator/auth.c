/*
 * auth.c - who asks, and may they?
 *
 * In this order: a credential of a valid form; a live token; an address that its condition admits; the account of the path,
 * which must be the token's own; a group that opens the route. Whoever is not the operator learns nothing about accounts
 * that are not its own: foreign and missing look the same.
 */
#include "emulator/emulator_private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* --- the credential --- */

/* RFC 7235 token68 */
static bool is_token68(struct mf_span text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    for (size_t at = 0; at < text.length; at++)
        if (text.data[at] == '\0' || strchr(allowed, text.data[at]) == NULL)
            return false;
    return text.length > 0;
}

static struct emu_token *token_of_value(struct emu_call *call, struct mf_span value)
{
    uint8_t hash[EMU_HASH_BYTES];
    emu_sha256(call->state->identity, value, hash);
    struct emu_token *token = emu_token_of_hash(call->state, hash);
    if (token != NULL)
        memcpy(call->token_id, token->id, sizeof(call->token_id));
    if (token != NULL && token->account != NULL)
        memcpy(call->token_account, token->account->id, sizeof(call->token_account));
    return token;
}

/* The value of `Authorization: Bearer VALUE`; the empty span when it is of another form. */
static struct mf_span bearer_value(struct mf_span header)
{
    if (header.length < 7 || strncasecmp(header.data, "bearer ", 7) != 0)
        return (struct mf_span){"", 0};
    struct mf_span value = {header.data + 7, header.length - 7};
    return is_token68(value) ? value : (struct mf_span){"", 0};
}

struct emu_token *emu_bearer(struct emu_call *call)
{
    struct mf_span value = bearer_value(emu_header(call, "authorization"));
    if (value.length == 0)
        value = emu_header(call, "x-auth-key");
    return value.length == 0 ? NULL : token_of_value(call, value);
}

/* An old-style pair of key and e-mail address: only the operator has one. */
static int authenticate_key(struct emu_call *call, struct mf_span key)
{
    call->token = token_of_value(call, key);
    if (emu_header(call, "x-auth-email").length > 0 && call->token != NULL && call->token->account == NULL)
        return 0;
    call->token = NULL;
    emu_fail(call, EMU_ERROR_UNKNOWN_KEY);
    return -1;
}

static int authenticate(struct emu_call *call)
{
    struct mf_span header = emu_header(call, "authorization"), key = emu_header(call, "x-auth-key");
    if (header.length == 0 && key.length > 0)
        return authenticate_key(call, key);
    struct mf_span value = bearer_value(header);
    if (value.length == 0) {
        emu_fail(call, header.length == 0 ? EMU_ERROR_NO_CREDENTIAL : EMU_ERROR_BAD_HEADERS);
        return -1;
    }
    call->token = token_of_value(call, value);
    if (call->token == NULL) {
        emu_fail(call, call->route->access == EMU_ACCESS_ANY_TOKEN ? EMU_ERROR_INVALID_TOKEN : EMU_ERROR_AUTHENTICATION);
        return -1;
    }
    return 0;
}

/* The verify calls tell an expired token that it is one; everything else treats it as unknown. */
static bool is_verify(const struct emu_route *route)
{
    return mf_span_ends(mf_span(route->path), "/tokens/verify");
}

static int check_alive(struct emu_call *call)
{
    const struct emu_token *token = call->token;
    bool alive = !token->disabled && call->now_ms >= token->not_before_ms && call->now_ms < token->expires_ms;
    if (!alive && !is_verify(call->route)) {
        emu_fail(call, EMU_ERROR_AUTHENTICATION);
        return -1;
    }
    if (!emu_policy_admits(&token->policy, call->request->peer)) {
        emu_fail_text(call, EMU_ERROR_LOCATION, "Cannot use the access token from location: %s", call->request->peer);
        return -1;
    }
    return 0;
}

/* --- limits --- */

bool emu_budget_take(struct emu_budget *budget, const struct emulator_limit *limit, int64_t now_ms, int64_t *retry_ms)
{
    if (limit->count == 0)
        return true;
    *retry_ms = budget->blocked_until_ms - now_ms;
    if (*retry_ms > 0)
        return false;
    if (now_ms - budget->window_ms >= limit->window_ms) {
        budget->window_ms = now_ms;
        budget->used = 0;
    }
    if (budget->used < limit->count) {
        budget->used++;
        return true;
    }
    budget->blocked_until_ms = now_ms + limit->window_ms;
    *retry_ms = limit->window_ms;
    return false;
}

void emu_throttle(struct emu_call *call, int64_t retry_ms)
{
    char text[64];
    time_t opens = (time_t)((call->now_ms + retry_ms + 999) / 1000);
    struct tm parts;
    emu_fail(call, EMU_ERROR_THROTTLED);
    snprintf(text, sizeof(text), "%lld", (long long)((retry_ms + 999) / 1000));
    emu_answer_header(call, "retry-after", text);
    gmtime_r(&opens, &parts);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    emu_answer_header(call, "x-ratelimit-reset", text);
}

static int check_rate(struct emu_call *call)
{
    struct emulator *emulator = call->emulator;
    const struct emulator_limit *limit = &emulator->options.rate;
    struct emu_budget *budget = call->token->account == NULL ? &emulator->operator_budget : &call->token->account->budget;
    int64_t retry_ms;
    char text[16];
    if (limit->count == 0)
        return 0;
    bool taken = emu_budget_take(budget, limit, call->now_ms, &retry_ms);
    if (!taken)
        emu_throttle(call, retry_ms);
    snprintf(text, sizeof(text), "%u", limit->count);
    emu_answer_header(call, "x-ratelimit-limit", text);
    snprintf(text, sizeof(text), "%u", taken ? limit->count - budget->used : 0);
    emu_answer_header(call, "x-ratelimit-remaining", text);
    return taken ? 0 : -1;
}

/* --- the account and the zone of the path --- */

static bool is_hex_id(struct mf_span text)
{
    uint8_t bytes[16];
    return mf_unhex(text, bytes, sizeof(bytes)) == 0;
}

static int refuse_foreign(struct emu_call *call)
{
    bool the_account = call->route->segment_count == 2;
    emu_fail(call, the_account ? EMU_ERROR_NOT_YOURS : EMU_ERROR_FORBIDDEN);
    return -1;
}

static int resolve_account(struct emu_call *call)
{
    struct mf_span id = call->parameters[0];
    call->account = emu_account_find(call->state, id);
    if (call->operator && call->account != NULL)
        memcpy(call->token_account, call->account->id, sizeof(call->token_account));
    if (!call->operator && (call->account == NULL || call->account != call->token->account))
        return refuse_foreign(call);
    if (call->account != NULL)
        return 0;
    enum emu_error error = is_hex_id(id) ? EMU_ERROR_NO_ACCOUNT : EMU_ERROR_BAD_ROUTE;
    emu_fail_text(call, error, "Could not route to %s/accounts/%.*s, perhaps your object identifier is invalid?", EMULATOR_BASE_PATH, (int)(id.length > 64 ? 64 : id.length), id.data);
    return -1;
}

static int resolve_zone(struct emu_call *call)
{
    struct emu_object *zone = emu_table_get(&call->state->object_by_id, call->parameters[0]);
    if (zone == NULL || zone->kind != EMU_ZONE || (!call->operator && zone->account != call->token->account)) {
        emu_fail(call, call->operator ? EMU_ERROR_NO_ZONE : EMU_ERROR_FORBIDDEN);
        return -1;
    }
    call->zone = zone;
    call->account = zone->account;
    return 0;
}

static int resolve(struct emu_call *call)
{
    if (call->route->has_account && resolve_account(call) < 0)
        return -1;
    if (call->route->has_zone && resolve_zone(call) < 0)
        return -1;
    return 0;
}

/* --- the group --- */

/* account_jurisdiction_bucket, as the resource of a policy names a bucket. */
static const char *bucket_of(struct emu_call *call, char *out, size_t out_bytes)
{
    if (call->route->access != EMU_ACCESS_R2_ITEM_READ && call->route->access != EMU_ACCESS_R2_ITEM_WRITE)
        return NULL;
    struct mf_span bucket = call->parameters[1];
    int length = snprintf(out, out_bytes, "%s_default_%.*s", call->account->id, (int)(bucket.length > 63 ? 63 : bucket.length), bucket.data);
    return length > 0 && (size_t)length < out_bytes ? out : NULL;
}

static bool group_opens(struct emu_call *call)
{
    char bucket[EMU_RESOURCE_BYTES];
    enum emu_access access = call->route->access;
    if (call->operator || access == EMU_ACCESS_ANY_TOKEN || access == EMU_ACCESS_ANY_ACCOUNT)
        return true;
    if (access == EMU_ACCESS_OPERATOR)
        return false;
    const char *zone = call->zone == NULL ? NULL : call->zone->id;
    return emu_policy_allows(&call->token->policy, emu_access_groups(access), zone, bucket_of(call, bucket, sizeof(bucket)));
}

int emu_authorise(struct emu_call *call)
{
    enum emu_access access = call->route->access;
    if (access == EMU_ACCESS_OPEN)
        return 0;
    if (access == EMU_ACCESS_SESSION) { /* the handler checks the session; the account must exist */
        call->account = emu_account_find(call->state, call->parameters[0]);
        if (call->account == NULL)
            emu_fail(call, EMU_ERROR_AUTHENTICATION);
        return call->account == NULL ? -1 : 0;
    }
    if (authenticate(call) < 0 || check_alive(call) < 0 || check_rate(call) < 0)
        return -1;
    call->token->last_used_ms = call->now_ms; /* in memory only: a write for each request would be a high price */
    call->operator = call->token->account == NULL;
    if (resolve(call) < 0)
        return -1;
    if (group_opens(call))
        return 0;
    /* an account's token has no user behind it: the real client goes on after this code, and gives up after the other */
    emu_fail(call, strcmp(call->route->path, "/user") == 0 ? EMU_ERROR_NOT_YOURS : EMU_ERROR_FORBIDDEN);
    return -1;
}
