/*
 * serve_binding.c - KV, D1 and files as a running script asks for them
 *
 * workerd speaks its own small protocols to the services behind its bindings. The header that it was told to add
 * names account and object under an HMAC, so a script reaches what it is bound to and nothing else.
 */
#include "emulator/emulator_private.h"
#include "emulator/kv.h"
#include "emulator/serve.h"

#include "http1/path.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { STATEMENT_BYTES_MAX = 1 << 20, LIST_MAX = 1000 };

void emu_binding_sign(struct emulator *emulator, const struct emu_object *target, char out[256])
{
    uint8_t signature[EMU_HASH_BYTES];
    char encoded[64];
    int length = snprintf(out, 256, "%s", target->id);
    emu_hmac(emulator->challenge_key, (struct mf_span){out, (size_t)length}, signature);
    mf_base64url(signature, sizeof(signature), encoded);
    snprintf(out + length, 256 - (size_t)length, ".%s", encoded);
}

static struct emu_object *target_of(struct emu_call *call, struct mf_span header)
{
    char expected[256];
    const char *dot = memchr(header.data, '.', header.length);
    struct emu_object *target = dot == NULL ? NULL
                                            : emu_table_get(&call->state->object_by_id,
                                                            (struct mf_span){header.data, (size_t)(dot - header.data)});
    if (target == NULL)
        return NULL;
    emu_binding_sign(call->emulator, target, expected);
    return header.length == strlen(expected) && CRYPTO_memcmp(expected, header.data, header.length) == 0 ? target
                                                                                                         : NULL;
}

/* --- KV --- */

static void kv_list(struct emu_call *call, const struct emu_object *namespace)
{
    struct mf_span prefix = {"", 0}, cursor;
    char terminated[513];
    uint64_t count = 0, limit = emu_query_u64(call, "key_count_limit", LIST_MAX);
    const struct emu_collection *keys = emu_collection(call->account, namespace, EMU_KV_KEY);
    const struct emu_object *next = NULL;
    (void)emu_query(call, "prefix", &prefix);
    size_t at = keys == NULL
                    ? 0
                    : emu_position(keys, emu_query(call, "cursor", &cursor) && cursor.length > 0 ? cursor : prefix);
    bool fits = mf_span_copy(prefix, terminated, sizeof(terminated)) == 0;
    emu_raw(call, 200, "application/json", MF_SPAN(""));
    json_begin(&call->writer, &call->out);
    json_open_object(&call->writer);
    json_key(&call->writer, "keys");
    json_open_array(&call->writer);
    for (; fits && keys != NULL && at < keys->count && mf_span_starts(mf_span(keys->objects[at]->name), terminated);
         at++) {
        const struct emu_object *key = keys->objects[at];
        if (key->expires_ms != 0 && key->expires_ms <= call->now_ms)
            continue;
        if (count++ >= limit) {
            next = key;
            break;
        }
        json_open_object(&call->writer);
        json_member_string(&call->writer, "name", key->name);
        if (key->expires_ms != 0 && key->expires_ms != MF_NEVER)
            json_member_i64(&call->writer, "expiration", key->expires_ms / 1000);
        if (strcmp(key->document, "{}") != 0) {
            json_key(&call->writer, "metadata");
            json_raw_value(&call->writer, mf_span(key->document));
        }
        json_close_object(&call->writer);
    }
    json_close_array(&call->writer);
    json_member_bool(&call->writer, "list_complete", next == NULL);
    if (next != NULL)
        json_member_string(&call->writer, "cursor", next->name);
    json_close_object(&call->writer);
}

static void kv_get(struct emu_call *call, struct emu_object *namespace, struct mf_span name)
{
    const struct emu_object *key = emu_kv_key(call, namespace, name);
    if (key == NULL) {
        emu_raw(call, 404, "text/plain", MF_SPAN(""));
        return;
    }
    emu_raw(call, 200, "application/octet-stream",
            (struct mf_span){key->data == NULL ? "" : key->data, key->data_bytes});
    if (strcmp(key->document, "{}") != 0)
        emu_answer_header(call, "cf-kv-metadata", key->document);
}

static void kv_put(struct emu_call *call, struct emu_object *namespace, struct mf_span name)
{
    struct json_document metadata;
    struct emu_kv_entry entry = {
        .name = name, .value = call->request->body, .metadata = emu_header(call, "cf-kv-metadata")};
    if (entry.metadata.length > 0 && json_scan(&metadata, entry.metadata, &json_limits_default, NULL) < 0) {
        emu_raw(call, 400, "text/plain", MF_SPAN("metadata is not valid JSON"));
        return;
    }
    if (entry.metadata.length > 0)
        json_document_free(&metadata);
    int64_t at = (int64_t)(emu_query_u64(call, "expiration", 0) % INT32_MAX),
            ttl = (int64_t)(emu_query_u64(call, "expiration_ttl", 0) % INT32_MAX);
    if (emu_kv_expiration(call, at, ttl, &entry.expires_ms) == 0 && emu_kv_store(call, namespace, &entry) == 0)
        emu_raw(call, 200, "text/plain", MF_SPAN(""));
}

static void serve_kv(struct emu_call *call, struct emu_object *namespace)
{
    struct mf_span path = call->request->path;
    char *name = emu_room(call, path.length);
    size_t length;
    if (name == NULL || path.length == 0 ||
        http1_percent_decode((struct mf_span){path.data + 1, path.length - 1}, false, name, path.length, &length) < 0) {
        emu_raw(call, 400, "text/plain", MF_SPAN("bad key"));
        return;
    }
    struct mf_span key = {name, length};
    if (mf_span_is(call->request->method, "PUT")) {
        kv_put(call, namespace, key);
    } else if (mf_span_is(call->request->method, "DELETE")) {
        struct emu_object *old = emu_kv_key(call, namespace, key);
        if (old != NULL)
            emu_object_delete(call->state, old);
        emu_raw(call, 200, "text/plain", MF_SPAN(""));
    } else if (length == 0) {
        kv_list(call, namespace);
    } else {
        kv_get(call, namespace, key);
    }
}

/* --- D1 --- */

static int execute(struct emu_call *call, struct emu_d1_run *run, uint32_t node, struct mf_error *error)
{
    struct mf_buf sql;
    mf_buf_init(&sql, STATEMENT_BYTES_MAX);
    uint32_t text = json_member(&call->body, node, "sql");
    int done = text == JSON_NONE || json_text(&call->body, text, &sql) < 0
                   ? mf_fail(error, MF_INPUT, "sql: must be a string")
                   : 0;
    if (done == 0)
        done = emu_d1_execute(run, mf_buf_view(&sql), &call->body, json_member(&call->body, node, "params"), error);
    mf_buf_free(&sql);
    return done;
}

static int execute_all(struct emu_call *call, struct emu_d1_run *run, struct mf_error *error)
{
    if (json_kind(&call->body, 0) != JSON_ARRAY)
        return execute(call, run, 0, error);
    for (uint32_t each = json_first(&call->body, 0); each != JSON_NONE; each = json_next(&call->body, 0, each))
        if (execute(call, run, each, error) < 0)
            return -1;
    return 0;
}

static int run_d1(struct emu_call *call, struct emu_d1_run *run, struct mf_error *error)
{
    struct mf_error ignored;
    if (emu_d1_begin(run, error) < 0)
        return -1;
    if (execute_all(call, run, error) == 0)
        return emu_d1_end(run, true, error);
    (void)emu_d1_end(run, false, &ignored);
    return -1;
}

static void serve_d1(struct emu_call *call, struct emu_object *database)
{
    struct mf_error error = {0};
    struct emu_d1_run run = {.d1 = call->emulator->d1, .object = database, .writer = &call->writer};
    run.raw = emu_query_is(call, "resultsFormat", "ROWS_AND_COLUMNS");
    if (emu_body(call) < 0)
        return;
    bool many = json_kind(&call->body, 0) == JSON_ARRAY;
    emu_raw(call, 200, "application/json", MF_SPAN(""));
    json_begin(&call->writer, &call->out);
    if (many)
        json_open_array(&call->writer);
    int done = run_d1(call, &run, &error);
    if (many)
        json_close_array(&call->writer);
    if (done == 0)
        return;
    mf_buf_clear(&call->out);
    json_begin(&call->writer, &call->out);
    json_open_object(&call->writer);
    json_member_bool(&call->writer, "success", false);
    json_member_string(&call->writer, "error", error.text);
    json_close_object(&call->writer);
}

/* --- files --- */

static void serve_file(struct emu_call *call, const struct emu_object *version)
{
    int status;
    char *type = emu_room(call, 128);
    const struct emu_object *asset = emu_assets_find(version, call->request->path, &status);
    if (asset == NULL || type == NULL) {
        emu_raw(call, 404, "text/plain", MF_SPAN("Not Found"));
        return;
    }
    emu_assets_type(asset, type);
    emu_raw(call, status, type, (struct mf_span){asset->data == NULL ? "" : asset->data, asset->data_bytes});
}

bool emu_binding(struct emu_call *call)
{
    struct mf_span header = emu_header(call, EMU_BINDING_HEADER);
    if (header.length == 0)
        return false;
    struct emu_object *target = target_of(call, header);
    call->account = target == NULL ? NULL : target->account;
    if (target != NULL && target->kind == EMU_KV)
        serve_kv(call, target);
    else if (target != NULL && target->kind == EMU_D1)
        serve_d1(call, target);
    else if (target != NULL && target->kind == EMU_VERSION)
        serve_file(call, target);
    else
        emu_raw(call, 403, "text/plain", MF_SPAN("this binding is not valid, or what it is bound to is gone"));
    return true;
}
