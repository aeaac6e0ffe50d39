/* api_kv.c - KV: namespaces, keys, values, metadata, expiration */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "emulator/kv.h"
#include "emulator/multipart.h"

#include <string.h>

enum { TITLE_BYTES_MAX = 512, KEY_BYTES_MAX = 512, VALUE_BYTES_MAX = 25 << 20, METADATA_BYTES_MAX = 1024, TTL_SECONDS_MIN = 60 };

/* --- namespaces --- */

static void write_namespace(struct json_writer *writer, const struct emu_object *namespace)
{
    json_open_object(writer);
    json_member_string(writer, "id", namespace->id);
    json_member_string(writer, "title", namespace->name);
    json_member_bool(writer, "supports_url_encoding", true);
    json_close_object(writer);
}

static void answer_namespace(struct emu_call *call, const struct emu_object *namespace)
{
    emu_ok_begin(call, 200);
    write_namespace(&call->writer, namespace);
    emu_ok_end(call);
}

struct emu_object *emu_kv_find(struct emu_call *call)
{
    struct emu_object *namespace = emu_object_of_id(call->state, call->account, EMU_KV, call->parameters[1]);
    if (namespace == NULL)
        emu_fail_text(call, EMU_ERROR_NO_KV, "namespace not found");
    return namespace;
}

void emu_kv_list(struct emu_call *call)
{
    emu_list(call, NULL, EMU_KV, 20, 1000, write_namespace);
}

void emu_kv_create(struct emu_call *call)
{
    struct mf_span title;
    struct mf_error error;
    struct emu_object *namespace;
    if (emu_body(call) < 0 || emu_body_text(call, "title", TITLE_BYTES_MAX, &title) < 0)
        return;
    if (emu_object_create(call->state, call->account, NULL, EMU_KV, title, MF_SPAN("{}"), &namespace, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_KV_EXISTS);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, namespace);
    answer_namespace(call, namespace);
}

void emu_kv_get(struct emu_call *call)
{
    const struct emu_object *namespace = emu_kv_find(call);
    if (namespace != NULL)
        answer_namespace(call, namespace);
}

void emu_kv_rename(struct emu_call *call)
{
    struct mf_span title;
    struct emu_object *namespace = emu_kv_find(call);
    if (namespace == NULL || emu_body(call) < 0 || emu_body_text(call, "title", TITLE_BYTES_MAX, &title) < 0)
        return;
    struct emu_object *other = emu_object_of_name(call->account, NULL, EMU_KV, title);
    if (other != NULL && other != namespace) {
        emu_fail(call, EMU_ERROR_KV_EXISTS);
        return;
    }
    if (emu_object_rename(call->state, namespace, title) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_object_save(call->state, namespace);
    answer_namespace(call, namespace);
}

void emu_kv_delete(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    if (namespace == NULL)
        return;
    emu_remove(call, namespace);
    emu_ok_null(call);
}

/* --- keys --- */

static bool is_over(const struct emu_object *key, int64_t now_ms)
{
    return key->expires_ms <= now_ms;
}

struct emu_object *emu_kv_key(struct emu_call *call, struct emu_object *namespace, struct mf_span name)
{
    struct emu_object *key = emu_object_of_name(call->account, namespace, EMU_KV_KEY, name);
    if (key == NULL || !is_over(key, call->now_ms))
        return key;
    emu_object_delete(call->state, key);
    return NULL;
}

/* The key of the path; NULL with the call failed. */
static struct emu_object *find_key(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    struct emu_object *key = namespace == NULL ? NULL : emu_kv_key(call, namespace, call->parameters[2]);
    if (namespace != NULL && key == NULL)
        emu_fail_text(call, EMU_ERROR_NO_KV_KEY, "get: 'key not found'");
    return key;
}

static void write_key(struct json_writer *writer, const struct emu_object *key)
{
    json_open_object(writer);
    json_member_string(writer, "name", key->name);
    if (key->expires_ms != MF_NEVER)
        json_member_i64(writer, "expiration", key->expires_ms / 1000);
    if (strcmp(key->document, "{}") != 0) {
        json_key(writer, "metadata");
        json_raw_value(writer, mf_span(key->document));
    }
    json_close_object(writer);
}

/* The cursor is the first name of the next page, in base64url: opaque to clients, and right when keys come and go. */
static size_t start_of(struct emu_call *call, const struct emu_collection *keys, struct mf_span prefix)
{
    struct mf_span cursor;
    size_t bytes;
    char *name;
    if (emu_query(call, "cursor", &cursor) && cursor.length > 0 && (name = emu_room(call, cursor.length)) != NULL &&
        mf_unbase64(cursor, (uint8_t *)name, cursor.length, &bytes) == 0)
        return emu_position(keys, (struct mf_span){name, bytes});
    return emu_position(keys, prefix);
}

static void write_cursor(struct json_writer *writer, const struct emu_object *next)
{
    char text[2 * KEY_BYTES_MAX + 1] = "";
    if (next != NULL)
        mf_base64url(next->name, strlen(next->name), text);
    json_member_string(writer, "cursor", text);
}

void emu_kv_keys(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    struct mf_span prefix = {"", 0};
    uint64_t count = 0, limit = emu_query_u64(call, "limit", 1000);
    if (namespace == NULL)
        return;
    const struct emu_collection *keys = emu_collection(call->account, namespace, EMU_KV_KEY);
    const struct emu_object *next = NULL;
    (void)emu_query(call, "prefix", &prefix);
    char terminated[KEY_BYTES_MAX + 1];
    if (mf_span_copy(prefix, terminated, sizeof(terminated)) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "prefix: longer than %d bytes", KEY_BYTES_MAX);
        return;
    }
    limit = limit < 10 ? 10 : limit > 1000 ? 1000 : limit;
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (size_t each = keys == NULL ? 0 : start_of(call, keys, prefix); keys != NULL && each < keys->count; each++) {
        const struct emu_object *key = keys->objects[each];
        if (!mf_span_starts(mf_span(key->name), terminated))
            break;
        if (is_over(key, call->now_ms))
            continue;
        if (count == limit) {
            next = key;
            break;
        }
        write_key(&call->writer, key);
        count++;
    }
    json_close_array(&call->writer);
    emu_ok_info(call);
    json_member_u64(&call->writer, "count", count);
    write_cursor(&call->writer, next);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

/* --- values --- */

void emu_kv_value(struct emu_call *call)
{
    const struct emu_object *key = find_key(call);
    if (key != NULL)
        emu_raw(call, 200, "application/octet-stream", (struct mf_span){key->data == NULL ? "" : key->data, key->data_bytes});
}

void emu_kv_metadata(struct emu_call *call)
{
    const struct emu_object *key = find_key(call);
    if (key == NULL)
        return;
    emu_ok_begin(call, 200);
    json_raw_value(&call->writer, strcmp(key->document, "{}") == 0 ? MF_SPAN("null") : mf_span(key->document));
    emu_ok_end(call);
}

int emu_kv_store(struct emu_call *call, struct emu_object *namespace, const struct emu_kv_entry *entry)
{
    struct mf_error error;
    struct emu_object *key = emu_object_of_name(call->account, namespace, EMU_KV_KEY, entry->name);
    if (entry->name.length == 0 || entry->name.length > KEY_BYTES_MAX || entry->value.length > VALUE_BYTES_MAX || entry->metadata.length > METADATA_BYTES_MAX) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "key: at most %d bytes, value: at most %d, metadata: at most %d", KEY_BYTES_MAX, VALUE_BYTES_MAX, METADATA_BYTES_MAX);
        return -1;
    }
    if (key == NULL && emu_object_create(call->state, call->account, namespace, EMU_KV_KEY, entry->name, MF_SPAN("{}"), &key, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
        return -1;
    }
    key->expires_ms = entry->expires_ms;
    if (emu_object_set_data(call->state, key, entry->value) < 0 ||
        emu_object_set_document(call->state, key, entry->metadata.length == 0 ? MF_SPAN("{}") : entry->metadata) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return -1;
    }
    emu_object_save(call->state, key);
    return 0;
}

/* 0 for an expiration that is absent or right; sets *out. */
int emu_kv_expiration(struct emu_call *call, int64_t at_seconds, int64_t ttl_seconds, int64_t *out)
{
    *out = MF_NEVER;
    if (ttl_seconds > 0)
        *out = call->now_ms + ttl_seconds * 1000;
    else if (at_seconds > 0)
        *out = at_seconds * 1000;
    if (*out == MF_NEVER || *out >= call->now_ms + (TTL_SECONDS_MIN - 1) * 1000)
        return 0;
    emu_fail_text(call, EMU_ERROR_BAD_FIELD, "expiration: must be at least %d seconds in the future", TTL_SECONDS_MIN);
    return -1;
}

void emu_kv_put(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    struct emu_kv_entry entry = {.name = call->parameters[2], .value = call->request->body};
    struct emu_part part;
    struct mf_span type = emu_header(call, "content-type"), body = call->request->body;
    struct json_document metadata;
    if (namespace == NULL ||
        emu_kv_expiration(call, (int64_t)(emu_query_u64(call, "expiration", 0) % INT32_MAX), (int64_t)(emu_query_u64(call, "expiration_ttl", 0) % INT32_MAX), &entry.expires_ms) < 0)
        return;
    if (emu_multipart_find(type, body, "value", &part)) {
        entry.value = part.data;
        if (emu_multipart_find(type, body, "metadata", &part))
            entry.metadata = part.data;
    }
    if (entry.metadata.length > 0 && json_scan(&metadata, entry.metadata, &json_limits_default, NULL) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "metadata: must be valid JSON");
        return;
    }
    if (entry.metadata.length > 0)
        json_document_free(&metadata);
    if (emu_kv_store(call, namespace, &entry) == 0)
        emu_ok_empty(call);
}

/* Deleting a key that is not there succeeds, as with the real service. */
void emu_kv_key_delete(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    if (namespace == NULL)
        return;
    struct emu_object *key = emu_object_of_name(call->account, namespace, EMU_KV_KEY, call->parameters[2]);
    if (key != NULL)
        emu_object_delete(call->state, key);
    emu_ok_empty(call);
}
