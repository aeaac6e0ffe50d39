/* api_kv_bulk.c - KV in bulk: many keys put, deleted or read in one request */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "emulator/kv.h"

enum { BULK_KEYS_MAX = 10000, BULK_GET_MAX = 100 };

static int begin_list(struct emu_call *call, uint32_t list, uint32_t count_max)
{
    if (list != JSON_NONE && json_kind(&call->body, list) == JSON_ARRAY && call->body.nodes[list].children <= count_max)
        return 0;
    emu_fail_text(call, EMU_ERROR_BAD_FIELD, "bulk: must be a list of at most %u keys", count_max);
    return -1;
}

/* A decoded string member in memory of its own, because values are large; the empty span without memory or member. */
static struct mf_span member_text(struct emu_call *call, uint32_t entry, const char *name, struct mf_buf *room)
{
    uint32_t node = json_member(&call->body, entry, name);
    mf_buf_clear(room);
    if (node == JSON_NONE || json_text(&call->body, node, room) < 0)
        return (struct mf_span){"", 0};
    return mf_buf_view(room);
}

struct rooms {
    struct mf_buf name, value, decoded;
};

static int put_one(struct emu_call *call, struct emu_object *namespace, uint32_t node, struct rooms *rooms)
{
    struct emu_kv_entry entry = {0};
    int64_t at_seconds = 0, ttl_seconds = 0;
    bool base64 = false;
    size_t bytes;
    entry.name = member_text(call, node, "key", &rooms->name);
    entry.value = member_text(call, node, "value", &rooms->value);
    (void)json_bool(&call->body, json_member(&call->body, node, "base64"), &base64);
    if (base64) {
        mf_buf_clear(&rooms->decoded);
        if (mf_buf_reserve(&rooms->decoded, entry.value.length + 1) < 0 || mf_unbase64(entry.value, (uint8_t *)rooms->decoded.data, entry.value.length, &bytes) < 0) {
            emu_fail_text(call, EMU_ERROR_BAD_FIELD, "value: is not base64");
            return -1;
        }
        entry.value = (struct mf_span){rooms->decoded.data, bytes};
    }
    uint32_t metadata = json_member(&call->body, node, "metadata");
    if (metadata != JSON_NONE && json_kind(&call->body, metadata) != JSON_NULL)
        entry.metadata = json_raw(&call->body, metadata);
    (void)json_int(&call->body, json_member(&call->body, node, "expiration"), &at_seconds);
    (void)json_int(&call->body, json_member(&call->body, node, "expiration_ttl"), &ttl_seconds);
    if (emu_kv_expiration(call, at_seconds % INT32_MAX, ttl_seconds % INT32_MAX, &entry.expires_ms) < 0)
        return -1;
    return emu_kv_store(call, namespace, &entry);
}

static void answer_count(struct emu_call *call, uint64_t count)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_u64(&call->writer, "successful_key_count", count);
    json_key(&call->writer, "unsuccessful_keys");
    json_raw_value(&call->writer, MF_SPAN("[]"));
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_kv_bulk_put(struct emu_call *call)
{
    struct rooms rooms;
    int done = 0;
    struct emu_object *namespace = emu_kv_find(call);
    if (namespace == NULL || emu_body(call) < 0 || begin_list(call, 0, BULK_KEYS_MAX) < 0)
        return;
    mf_buf_init(&rooms.name, 4096);
    mf_buf_init(&rooms.value, 64u << 20);
    mf_buf_init(&rooms.decoded, 64u << 20);
    for (uint32_t each = json_first(&call->body, 0); done == 0 && each != JSON_NONE; each = json_next(&call->body, 0, each))
        done = put_one(call, namespace, each, &rooms);
    mf_buf_free(&rooms.name);
    mf_buf_free(&rooms.value);
    mf_buf_free(&rooms.decoded);
    if (done == 0)
        answer_count(call, call->body.nodes[0].children);
}

void emu_kv_bulk_delete(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    if (namespace == NULL || emu_body(call) < 0 || begin_list(call, 0, BULK_KEYS_MAX) < 0)
        return;
    size_t text_used = call->text_used;
    for (uint32_t each = json_first(&call->body, 0); each != JSON_NONE; each = json_next(&call->body, 0, each)) {
        struct mf_span name;
        call->text_used = text_used;
        struct emu_object *key = emu_text(call, &call->body, each, &name) < 0 ? NULL : emu_object_of_name(call->account, namespace, EMU_KV_KEY, name);
        if (key != NULL)
            emu_object_delete(call->state, key);
    }
    answer_count(call, call->body.nodes[0].children);
}

/* Values come back as strings, or parsed where the client asks for JSON and they are. */
static void write_value(struct emu_call *call, const struct emu_object *key, bool json)
{
    struct json_document document;
    struct mf_span data = {key->data == NULL ? "" : key->data, key->data_bytes};
    if (json && json_scan(&document, data, &json_limits_default, NULL) == 0) {
        json_document_free(&document);
        json_raw_value(&call->writer, data);
    } else {
        json_string_span(&call->writer, data);
    }
}

void emu_kv_bulk_get(struct emu_call *call)
{
    struct emu_object *namespace = emu_kv_find(call);
    if (namespace == NULL || emu_body(call) < 0)
        return;
    uint32_t list = json_member(&call->body, 0, "keys"), type = json_member(&call->body, 0, "type");
    bool json = type != JSON_NONE && json_is(&call->body, type, "json");
    if (begin_list(call, list, BULK_GET_MAX) < 0)
        return;
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_key(&call->writer, "values");
    json_open_object(&call->writer);
    size_t text_used = call->text_used;
    for (uint32_t each = json_first(&call->body, list); each != JSON_NONE; each = json_next(&call->body, list, each)) {
        struct mf_span name;
        call->text_used = text_used;
        if (emu_text(call, &call->body, each, &name) < 0)
            continue;
        const struct emu_object *key = emu_kv_key(call, namespace, name);
        json_key_span(&call->writer, name);
        if (key == NULL)
            json_null(&call->writer);
        else
            write_value(call, key, json);
    }
    json_close_object(&call->writer);
    json_close_object(&call->writer);
    emu_ok_end(call);
}
