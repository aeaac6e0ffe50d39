/* api_r2.c - R2: buckets, and objects through the API */
#include "emulator/emulator_private.h"

#include "emulator/handlers.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MIN = 3, NAME_BYTES_MAX = 63, KEY_BYTES_MAX = 1024 };

static bool is_bucket_name(struct mf_span name)
{
    for (size_t at = 0; at < name.length; at++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.data[at]) == NULL)
            return false;
    return name.length >= NAME_BYTES_MIN && name.length <= NAME_BYTES_MAX && name.data[0] != '-' && name.data[name.length - 1] != '-';
}

static void write_bucket(struct json_writer *writer, const struct emu_object *bucket)
{
    json_open_object(writer);
    json_member_string(writer, "name", bucket->name);
    emu_member_time(writer, "creation_date", bucket->created_ms);
    json_member_string(writer, "location", "WNAM");
    json_member_string(writer, "storage_class", "Standard");
    json_member_string(writer, "jurisdiction", "default");
    json_close_object(writer);
}

static void answer_bucket(struct emu_call *call, const struct emu_object *bucket)
{
    emu_ok_begin(call, 200);
    write_bucket(&call->writer, bucket);
    emu_ok_end(call);
}

static struct emu_object *find_bucket(struct emu_call *call)
{
    struct emu_object *bucket = emu_object_of_name(call->account, NULL, EMU_R2, call->parameters[1]);
    if (bucket == NULL)
        emu_fail(call, EMU_ERROR_NO_BUCKET);
    return bucket;
}

/* The array stands in result.buckets; the cursor is the name where the next page starts. */
void emu_r2_list(struct emu_call *call)
{
    struct mf_span from = {"", 0}, word = {"", 0};
    const struct emu_collection *list = emu_collection(call->account, NULL, EMU_R2);
    uint64_t left = emu_query_u64(call, "per_page", 20);
    (void)emu_query(call, "name_contains", &word);
    if (!emu_query(call, "cursor", &from))
        (void)emu_query(call, "start_after", &from);
    size_t each = list == NULL ? 0 : emu_position(list, from);
    left = left < 1 ? 1 : left > 1000 ? 1000 : left;
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_key(&call->writer, "buckets");
    json_open_array(&call->writer);
    for (; list != NULL && each < list->count && left > 0; each++) {
        const char *name = list->objects[each]->name;
        if (word.length > 0 && memmem(name, strlen(name), word.data, word.length) == NULL)
            continue;
        write_bucket(&call->writer, list->objects[each]);
        left--;
    }
    json_close_array(&call->writer);
    json_close_object(&call->writer);
    emu_ok_info(call);
    json_member_string(&call->writer, "cursor", list != NULL && each < list->count ? list->objects[each]->name : "");
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_r2_create(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    struct emu_object *bucket;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &name) < 0)
        return;
    if (!is_bucket_name(name)) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "The specified bucket name is not valid.");
        return;
    }
    if (emu_object_create(call->state, call->account, NULL, EMU_R2, name, MF_SPAN("{}"), &bucket, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_BUCKET_EXISTS);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, bucket);
    answer_bucket(call, bucket);
}

void emu_r2_get(struct emu_call *call)
{
    const struct emu_object *bucket = find_bucket(call);
    if (bucket != NULL)
        answer_bucket(call, bucket);
}

/* The storage class is all that can be changed, and here there is one. */
void emu_r2_patch(struct emu_call *call)
{
    emu_r2_get(call);
}

/* A bucket with objects in it is not deleted: a teardown has to empty it first, as with the real service. */
void emu_r2_delete(struct emu_call *call)
{
    struct emu_object *bucket = find_bucket(call);
    if (bucket == NULL)
        return;
    if (emu_count(call->account, bucket, EMU_R2_OBJECT) > 0) {
        emu_fail(call, EMU_ERROR_BUCKET_NOT_EMPTY);
        return;
    }
    emu_remove(call, bucket);
    emu_ok_empty(call);
}

/* --- objects --- */

static void write_object(struct json_writer *writer, const struct emu_object *object)
{
    char etag[17];
    uint64_t hash = mf_hash(object->data == NULL ? "" : object->data, object->data_bytes, 0);
    mf_hex(&hash, sizeof(hash), etag);
    json_open_object(writer);
    json_member_string(writer, "key", object->name);
    json_member_u64(writer, "size", object->data_bytes);
    json_member_string(writer, "etag", etag);
    emu_member_time(writer, "last_modified", object->modified_ms);
    json_member_string(writer, "storage_class", "Standard");
    json_close_object(writer);
}

void emu_r2_objects(struct emu_call *call)
{
    struct mf_span prefix = {"", 0}, cursor;
    char terminated[KEY_BYTES_MAX + 1];
    struct emu_object *bucket = find_bucket(call);
    uint64_t left = emu_query_u64(call, "per_page", 1000);
    if (bucket == NULL)
        return;
    (void)emu_query(call, "prefix", &prefix);
    if (mf_span_copy(prefix, terminated, sizeof(terminated)) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "prefix: longer than %d bytes", KEY_BYTES_MAX);
        return;
    }
    const struct emu_collection *list = emu_collection(call->account, bucket, EMU_R2_OBJECT);
    size_t each = list == NULL ? 0 : emu_position(list, emu_query(call, "cursor", &cursor) ? cursor : prefix);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (; list != NULL && each < list->count && left > 0 && mf_span_starts(mf_span(list->objects[each]->name), terminated); each++, left--)
        write_object(&call->writer, list->objects[each]);
    json_close_array(&call->writer);
    bool more = list != NULL && each < list->count && mf_span_starts(mf_span(list->objects[each]->name), terminated);
    emu_ok_info(call);
    json_member_string(&call->writer, "cursor", more ? list->objects[each]->name : "");
    json_member_bool(&call->writer, "is_truncated", more);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

static struct emu_object *find_object(struct emu_call *call)
{
    struct emu_object *bucket = find_bucket(call);
    struct emu_object *object = bucket == NULL ? NULL : emu_object_of_name(call->account, bucket, EMU_R2_OBJECT, call->parameters[2]);
    if (bucket != NULL && object == NULL)
        emu_fail(call, EMU_ERROR_NO_R2_OBJECT);
    return object;
}

void emu_r2_object_get(struct emu_call *call)
{
    const struct emu_object *object = find_object(call);
    if (object == NULL)
        return;
    const char *type = strcmp(object->document, "{}") == 0 ? "application/octet-stream" : object->document;
    emu_raw(call, 200, type, (struct mf_span){object->data == NULL ? "" : object->data, object->data_bytes});
}

/* The object's document is its content type, as plain text: nothing else of it is kept. */
static int fill_object(struct emu_call *call, struct emu_object *object)
{
    struct mf_span type = emu_header(call, "content-type");
    return emu_object_set_data(call->state, object, call->request->body) == 0 && (type.length == 0 || emu_object_set_document(call->state, object, type) == 0) ? 0 : -1;
}

void emu_r2_object_put(struct emu_call *call)
{
    struct mf_error error;
    struct emu_object *bucket = find_bucket(call);
    if (bucket == NULL)
        return;
    struct emu_object *object = emu_object_of_name(call->account, bucket, EMU_R2_OBJECT, call->parameters[2]);
    if (call->parameters[2].length > KEY_BYTES_MAX) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "key: longer than %d bytes", KEY_BYTES_MAX);
        return;
    }
    if (object == NULL && emu_object_create(call->state, call->account, bucket, EMU_R2_OBJECT, call->parameters[2], MF_SPAN("{}"), &object, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
        return;
    }
    if (fill_object(call, object) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_object_save(call->state, object);
    emu_ok_begin(call, 200);
    write_object(&call->writer, object);
    emu_ok_end(call);
}

void emu_r2_object_delete(struct emu_call *call)
{
    struct emu_object *bucket = find_bucket(call);
    if (bucket == NULL)
        return;
    struct emu_object *object = emu_object_of_name(call->account, bucket, EMU_R2_OBJECT, call->parameters[2]);
    if (object != NULL)
        emu_object_delete(call->state, object);
    emu_ok_empty(call);
}
