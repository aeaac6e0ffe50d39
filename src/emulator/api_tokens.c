/*
 * api_tokens.c - account-owned API tokens: create, list, read, change, roll, delete, verify
 *
 * A value is shown once, in the answer that made it. What a token may do is compiled when it is made; see policy.c.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"

#include <string.h>

enum { NAME_BYTES_MAX = 120, POLICIES_BYTES_MAX = 1 << 18 };

static const char *status_of(const struct emu_token *token, int64_t now_ms)
{
    return now_ms >= token->expires_ms ? "expired" : token->disabled ? "disabled" : "active";
}

static void write_times(struct json_writer *writer, const struct emu_token *token)
{
    if (token->not_before_ms > 0)
        emu_member_time(writer, "not_before", token->not_before_ms);
    if (token->expires_ms != MF_NEVER)
        emu_member_time(writer, "expires_on", token->expires_ms);
}

static void write_token(struct emu_call *call, const struct emu_token *token, const char *value)
{
    struct json_writer *writer = &call->writer;
    json_open_object(writer);
    json_member_string(writer, "id", token->id);
    json_member_string(writer, "name", token->name);
    json_member_string(writer, "status", status_of(token, call->now_ms));
    emu_member_time(writer, "issued_on", token->issued_ms / 1000 * 1000);
    emu_member_time(writer, "modified_on", token->modified_ms / 1000 * 1000);
    emu_member_time(writer, "last_used_on", token->last_used_ms == 0 ? MF_NEVER : token->last_used_ms / 1000 * 1000);
    write_times(writer, token);
    json_key(writer, "policies");
    json_raw_value(writer, token->policies[0] == '\0' ? MF_SPAN("[]") : mf_span(token->policies));
    json_key(writer, "condition");
    json_raw_value(writer, token->condition == NULL ? MF_SPAN("{}") : mf_span(token->condition));
    if (value != NULL)
        json_member_string(writer, "value", value);
    json_close_object(writer);
}

static void answer_token(struct emu_call *call, const struct emu_token *token, const char *value)
{
    emu_ok_begin(call, 200);
    write_token(call, token, value);
    emu_ok_end(call);
}

/* The token of the path; NULL with the call failed. */
static struct emu_token *find(struct emu_call *call)
{
    struct emu_token *token = emu_token_find(call->state, call->account, call->parameters[1]);
    if (token == NULL)
        emu_fail(call, EMU_ERROR_TOKEN_NOT_FOUND);
    return token;
}

/* --- create and change --- */

/* RFC 3339; absent or null is `otherwise`. */
static int read_time(struct emu_call *call, const char *name, int64_t otherwise, int64_t *out)
{
    struct mf_span text;
    uint32_t node = json_member(&call->body, 0, name);
    *out = otherwise;
    if (node == JSON_NONE || json_kind(&call->body, node) == JSON_NULL)
        return 0;
    if (emu_text(call, &call->body, node, &text) == 0 && mf_parse_rfc3339_ms(text, out) == 0)
        return 0;
    emu_fail_text(call, EMU_ERROR_BAD_FIELD, "%s: must be a date and time like 2026-01-01T00:00:00Z", name);
    return -1;
}

/* Reads the whole object; `policies` takes the normalised text and must live as long as the spec. */
static int read_spec(struct emu_call *call, struct emu_token_spec *spec, struct mf_buf *policies)
{
    struct mf_error error;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &spec->name) < 0 || read_time(call, "not_before", 0, &spec->not_before_ms) < 0 ||
        read_time(call, "expires_on", MF_NEVER, &spec->expires_ms) < 0)
        return -1;
    uint32_t condition = json_member(&call->body, 0, "condition");
    if (condition != JSON_NONE && json_kind(&call->body, condition) == JSON_OBJECT)
        spec->condition = json_raw(&call->body, condition);
    if (emu_policy_normalise(&call->body, json_member(&call->body, 0, "policies"), call->account->id, call->state->identity, policies, &error) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "%s", error.text);
        return -1;
    }
    spec->policies = mf_buf_view(policies);
    if (spec->expires_ms != MF_NEVER && spec->expires_ms <= call->now_ms) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "expires_on: must be in the future");
        return -1;
    }
    return 0;
}

static void create(struct emu_call *call, struct emu_token_spec *spec)
{
    struct emu_token *token;
    struct mf_error error;
    char value[EMU_VALUE_BYTES];
    if (call->account->token_count >= EMU_TOKENS_OF_ACCOUNT_MAX) {
        emu_fail(call, EMU_ERROR_TOKEN_LIMIT);
        return;
    }
    emu_credential(call->state->identity, "cfat_", value);
    spec->value = mf_span(value);
    if (emu_token_create(call->state, call->account, spec, &token, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_BAD_FIELD);
    } else {
        emu_record(call, EMU_LEDGER_CREATE, "token", token->id, call->account->id);
        answer_token(call, token, value);
    }
    mf_wipe(value, sizeof(value));
}

void emu_tokens_create(struct emu_call *call)
{
    struct emu_token_spec spec = {0};
    struct mf_buf policies;
    mf_buf_init(&policies, POLICIES_BYTES_MAX);
    if (read_spec(call, &spec, &policies) == 0)
        create(call, &spec);
    mf_buf_free(&policies);
}

static void change(struct emu_call *call, struct emu_token *token, const struct emu_token_spec *spec)
{
    struct mf_error error;
    uint32_t status = json_member(&call->body, 0, "status");
    if (status != JSON_NONE)
        token->disabled = json_is(&call->body, status, "disabled");
    if (emu_token_change(call->state, token, spec, &error) < 0)
        emu_fail_state(call, &error, EMU_ERROR_BAD_FIELD);
    else
        answer_token(call, token, NULL);
}

void emu_tokens_put(struct emu_call *call)
{
    struct emu_token_spec spec = {0};
    struct mf_buf policies;
    struct emu_token *token = find(call);
    mf_buf_init(&policies, POLICIES_BYTES_MAX);
    if (token != NULL && read_spec(call, &spec, &policies) == 0)
        change(call, token, &spec);
    mf_buf_free(&policies);
}

/* The old value dies with this answer; the token, its id and its end stay. */
void emu_tokens_roll(struct emu_call *call)
{
    struct emu_token *token = find(call);
    char value[EMU_VALUE_BYTES];
    if (token == NULL)
        return;
    emu_credential(call->state->identity, "cfat_", value);
    if (emu_token_roll(call->state, token, mf_span(value)) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
    } else {
        emu_ok_begin(call, 200);
        json_string(&call->writer, value);
        emu_ok_end(call);
    }
    mf_wipe(value, sizeof(value));
}

/* --- read and delete --- */

void emu_tokens_get(struct emu_call *call)
{
    const struct emu_token *token = find(call);
    if (token != NULL)
        answer_token(call, token, NULL);
}

void emu_tokens_list(struct emu_call *call)
{
    const struct emu_account *account = call->account;
    struct emu_page page = emu_page(call, 20, 50, account->token_count);
    bool descending = emu_query_is(call, "direction", "desc");
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (uint64_t each = page.from; each < page.until; each++)
        write_token(call, account->tokens[descending ? account->token_count - 1 - each : each], NULL);
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}

void emu_tokens_delete(struct emu_call *call)
{
    char id[EMU_HEX_ID_BYTES];
    struct emu_token *token = find(call);
    if (token == NULL)
        return;
    memcpy(id, token->id, sizeof(id));
    emu_record(call, EMU_LEDGER_REVOKE, "token", id, call->account->id);
    emu_token_delete(call->state, token);
    emu_ok_id(call, id);
}

/* --- verify --- */

static void answer_verify(struct emu_call *call, const struct emu_token *token)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_string(&call->writer, "id", token->id);
    json_member_string(&call->writer, "status", status_of(token, call->now_ms));
    write_times(&call->writer, token);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_tokens_verify(struct emu_call *call)
{
    answer_verify(call, call->token);
}

/* Only a user's token verifies here: an account-owned one is refused by the real service too. */
void emu_user_verify(struct emu_call *call)
{
    if (call->operator)
        answer_verify(call, call->token);
    else
        emu_fail(call, EMU_ERROR_INVALID_TOKEN);
}

/* --- permission groups --- */

static bool group_wanted(struct emu_call *call, enum emu_group group)
{
    struct mf_span name, scope;
    if (emu_query(call, "name", &name) && !mf_span_is(name, emu_group_name(group)))
        return false;
    return !emu_query(call, "scope", &scope) || mf_span_is(scope, emu_scope_name(emu_group_scope(group)));
}

void emu_tokens_groups(struct emu_call *call)
{
    size_t text_used = call->text_used;
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (unsigned each = 0; each < EMU_GROUP_COUNT; each++) {
        enum emu_group group = (enum emu_group)each;
        call->text_used = text_used; /* the query is decoded again for every group */
        if (!group_wanted(call, group))
            continue;
        json_open_object(&call->writer);
        json_member_string(&call->writer, "id", emu_group_id(group));
        json_member_string(&call->writer, "name", emu_group_name(group));
        json_key(&call->writer, "scopes");
        json_open_array(&call->writer);
        json_string(&call->writer, emu_scope_name(emu_group_scope(group)));
        json_close_array(&call->writer);
        json_close_object(&call->writer);
    }
    json_close_array(&call->writer);
    emu_ok_end(call);
}
