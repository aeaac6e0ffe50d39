/* worker.c - documents of workers, uploads, versions, deployments: what the worker routes share */
#include "emulator/worker.h"

#include "base/alloc.h"
#include "emulator/form_json.h"
#include "emulator/multipart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_BYTES_MAX = 16 << 20, VERSIONS_KEPT = 100 };

/* --- the document --- */

static struct mf_span raw_member(const struct json_document *document, const char *name)
{
    uint32_t node = json_member(document, 0, name);
    return node == JSON_NONE ? (struct mf_span){"", 0} : json_raw(document, node);
}

int emu_worker_read(struct emu_worker *worker, const struct emu_object *object)
{
    *worker = (struct emu_worker){0};
    if (json_scan(&worker->document, mf_span(object->document), &json_limits_default, NULL) < 0)
        return -1;
    worker->metadata = raw_member(&worker->document, "metadata");
    worker->settings = raw_member(&worker->document, "settings");
    worker->schedules = raw_member(&worker->document, "schedules");
    (void)json_bool(&worker->document, json_member(&worker->document, 0, "subdomain"), &worker->subdomain);
    (void)json_bool(&worker->document, json_member(&worker->document, 0, "previews"), &worker->previews);
    return 0;
}

void emu_worker_free(struct emu_worker *worker)
{
    json_document_free(&worker->document);
}

static void write_raw(struct json_writer *writer, const char *key, struct mf_span raw)
{
    if (raw.length == 0)
        return;
    json_key(writer, key);
    json_raw_value(writer, raw);
}

int emu_worker_write(struct emu_call *call, struct emu_object *object, const struct emu_worker *worker)
{
    struct mf_buf text;
    struct json_writer writer;
    mf_buf_init(&text, DOCUMENT_BYTES_MAX);
    json_begin(&writer, &text);
    json_open_object(&writer);
    write_raw(&writer, "metadata", worker->metadata);
    write_raw(&writer, "settings", worker->settings);
    write_raw(&writer, "schedules", worker->schedules);
    json_member_bool(&writer, "subdomain", worker->subdomain);
    json_member_bool(&writer, "previews", worker->previews);
    json_close_object(&writer);
    int done = text.failed ? -1 : emu_object_set_document(call->state, object, mf_buf_view(&text));
    mf_buf_free(&text);
    if (done < 0)
        emu_fail(call, EMU_ERROR_NO_MEMORY);
    else
        emu_object_save(call->state, object);
    return done;
}

static bool has_key(const struct json_document *document, const struct json_document *other, uint32_t key)
{
    char name[256];
    return json_copy(other, key, name, sizeof(name)) == 0 && json_member(document, 0, name) != JSON_NONE;
}

static void write_members(struct json_writer *writer, const struct json_document *document, const struct json_document *except)
{
    for (uint32_t key = json_first(document, 0); key != JSON_NONE; key = json_next(document, 0, key)) {
        struct mf_span raw = json_raw(document, key);
        if (except != NULL && has_key(except, document, key))
            continue;
        if (writer->comma)
            mf_buf_char(writer->out, ',');
        mf_buf_span(writer->out, raw);
        mf_buf_char(writer->out, ':');
        mf_buf_span(writer->out, json_raw(document, json_value(document, key)));
        writer->comma = true;
    }
}

int emu_json_merge(struct mf_span base, struct mf_span patch, struct mf_buf *out)
{
    struct json_document old = {0}, new = {0};
    struct json_writer writer;
    if (json_scan(&old, base.length == 0 ? MF_SPAN("{}") : base, &json_limits_default, NULL) < 0)
        return -1;
    if (json_scan(&new, patch, &json_limits_default, NULL) < 0) {
        json_document_free(&old);
        return -1;
    }
    bool objects = json_kind(&old, 0) == JSON_OBJECT && json_kind(&new, 0) == JSON_OBJECT;
    json_begin(&writer, out);
    json_open_object(&writer);
    if (objects) {
        write_members(&writer, &old, &new);
        write_members(&writer, &new, NULL);
    }
    json_close_object(&writer);
    json_document_free(&old);
    json_document_free(&new);
    return objects && !out->failed ? 0 : -1;
}

/* --- finding --- */

struct emu_object *emu_worker_find(struct emu_call *call, enum emu_error missing)
{
    struct emu_object *worker = emu_object_of_name(call->account, NULL, EMU_WORKER, call->parameters[1]);
    if (worker == NULL)
        emu_fail(call, missing);
    return worker;
}

static struct emu_object *newest(const struct emu_object *worker, enum emu_kind kind)
{
    const struct emu_collection *list = emu_collection(worker->account, worker, kind);
    return list == NULL || list->count == 0 ? NULL : list->objects[list->count - 1];
}

struct emu_object *emu_worker_version(const struct emu_object *worker)
{
    return newest(worker, EMU_VERSION);
}

struct emu_object *emu_worker_deployed(const struct emu_call *call, const struct emu_object *worker)
{
    struct json_document document;
    struct mf_span id;
    struct emu_object *deployment = newest(worker, EMU_DEPLOYMENT), *version = NULL;
    if (deployment == NULL || json_scan(&document, mf_span(deployment->document), &json_limits_default, NULL) < 0)
        return NULL;
    uint32_t node = json_pointer(&document, MF_SPAN("/versions/0/version_id"));
    if (node != JSON_NONE && json_plain(&document, node, &id) == 0)
        version = emu_object_of_id(call->state, worker->account, EMU_VERSION, id);
    json_document_free(&document);
    return version;
}

/* --- uploads --- */

static int fail_upload(struct emu_call *call, const char *text)
{
    emu_fail_text(call, EMU_ERROR_UPLOAD, "%s", text);
    return -1;
}

/* A binding must lead to something that is there: an agent that mistypes an id shall see it now. */
static int check_binding(struct emu_call *call, const struct json_document *document, uint32_t binding)
{
    static const struct {
        const char *type, *member;
        enum emu_kind kind;
    } rows[] = {{"kv_namespace", "namespace_id", EMU_KV}, {"d1", "id", EMU_D1}, {"queue", "queue_name", EMU_QUEUE}, {"r2_bucket", "bucket_name", EMU_R2}, {"hyperdrive", "id", EMU_HYPERDRIVE}};
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++) {
        struct mf_span target;
        if (!json_is(document, json_member(document, binding, "type"), rows[each].type))
            continue;
        if (emu_text(call, document, json_member(document, binding, rows[each].member), &target) < 0)
            return fail_upload(call, "binding: lacks the id of its target");
        if (emu_object_of_id(call->state, call->account, rows[each].kind, target) == NULL &&
            emu_object_of_name(call->account, NULL, rows[each].kind, target) == NULL) {
            emu_fail_text(call, EMU_ERROR_UPLOAD, "binding of type %s refers to '%.*s', which does not exist", rows[each].type, (int)(target.length > 64 ? 64 : target.length), target.data);
            return -1;
        }
    }
    return 0;
}

static int check_module(struct emu_call *call, const struct json_document *document)
{
    struct emu_part part;
    char name[256];
    uint32_t module = json_member(document, 0, "main_module");
    if (module == JSON_NONE)
        module = json_member(document, 0, "body_part");
    if (module == JSON_NONE) /* only static files */
        return json_member(document, 0, "assets") != JSON_NONE ? 0 : fail_upload(call, "metadata must name main_module or body_part");
    if (json_copy(document, module, name, sizeof(name)) < 0 ||
        !emu_multipart_find(emu_header(call, "content-type"), call->request->body, name, &part))
        return fail_upload(call, "No such module: the main module is not among the uploaded parts");
    return part.data.length == 0 ? fail_upload(call, "the main module is empty") : 0;
}

static int check_assets(struct emu_call *call, const struct json_document *document)
{
    struct mf_span jwt;
    uint32_t assets = json_member(document, 0, "assets");
    if (assets == JSON_NONE || json_member(document, assets, "jwt") == JSON_NONE)
        return 0;
    if (emu_text(call, document, json_member(document, assets, "jwt"), &jwt) < 0 || !emu_assets_complete(call, jwt))
        return fail_upload(call, "assets: the completion token is not valid");
    return 0;
}

static int check_metadata(struct emu_call *call, const struct json_document *document)
{
    if (json_kind(document, 0) != JSON_OBJECT)
        return fail_upload(call, "metadata must be a JSON object");
    uint32_t bindings = json_member(document, 0, "bindings");
    if (bindings != JSON_NONE && json_kind(document, bindings) == JSON_ARRAY)
        for (uint32_t each = json_first(document, bindings); each != JSON_NONE; each = json_next(document, bindings, each))
            if (check_binding(call, document, each) < 0)
                return -1;
    return check_module(call, document) < 0 || check_assets(call, document) < 0 ? -1 : 0;
}

/* One part of JSON, or, from Cloudflare's own client, a form field for each value in it. */
static int find_metadata(struct emu_call *call, struct mf_span *out)
{
    struct emu_part part;
    struct mf_buf text;
    struct mf_span type = emu_header(call, "content-type");
    if (emu_multipart_find(type, call->request->body, "metadata", &part)) {
        *out = part.data;
        return 0;
    }
    if (json_scan(&call->body, call->request->body, &json_limits_default, NULL) == 0) { /* an upload without files */
        uint32_t node = json_member(&call->body, 0, "metadata");
        *out = node == JSON_NONE ? (struct mf_span){"", 0} : json_raw(&call->body, node);
        return node == JSON_NONE ? -1 : 0;
    }
    mf_buf_init(&text, EMU_TEXT_BYTES / 2);
    char *room = emu_form_json(type, call->request->body, "metadata", &text) == 1 ? emu_room(call, text.length) : NULL;
    if (room != NULL)
        memcpy(room, text.data, text.length);
    *out = (struct mf_span){room, text.length};
    mf_buf_free(&text);
    return room == NULL ? -1 : 0;
}

int emu_upload_check(struct emu_call *call, struct mf_span *metadata)
{
    struct json_document document;
    if (find_metadata(call, metadata) < 0)
        return fail_upload(call, "the upload lacks its metadata part");
    if (json_scan(&document, *metadata, &json_limits_default, NULL) < 0)
        return fail_upload(call, "metadata is not valid JSON");
    int done = check_metadata(call, &document);
    json_document_free(&document);
    return done;
}

/* --- versions and deployments --- */

static void next_name(const struct emu_object *worker, enum emu_kind kind, char out[16])
{
    uint64_t number = 0;
    const struct emu_object *last = newest(worker, kind);
    if (last != NULL)
        number = strtoull(last->name, NULL, 10);
    snprintf(out, 16, "%010llu", (unsigned long long)number + 1);
}

/* The oldest go when there are too many, but never the one that serves. */
static void prune(struct emu_call *call, struct emu_object *worker, enum emu_kind kind)
{
    const struct emu_collection *list = emu_collection(worker->account, worker, kind);
    const struct emu_object *serving = emu_worker_deployed(call, worker);
    while (list != NULL && list->count > VERSIONS_KEPT)
        emu_object_delete(call->state, list->objects[list->objects[0] == serving ? 1 : 0]);
}

static struct emu_object *create_child(struct emu_call *call, struct emu_object *worker, enum emu_kind kind, struct mf_span document)
{
    struct emu_object *child;
    struct mf_error error;
    char name[16];
    next_name(worker, kind, name);
    if (emu_object_create(call->state, worker->account, worker, kind, mf_span(name), document, &child, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
        return NULL;
    }
    prune(call, worker, kind);
    return child;
}

/* The manifest of the version's files: of its upload session, or of the version before with `keep_assets`. */
static void write_files(struct emu_call *call, struct json_writer *writer, const struct emu_object *worker, struct mf_span metadata)
{
    struct json_document document, before;
    struct mf_span jwt;
    bool keep = false;
    const struct emu_object *last = emu_worker_version(worker);
    if (json_scan(&document, metadata, &json_limits_default, NULL) < 0)
        return;
    uint32_t assets = json_member(&document, 0, "assets");
    if (emu_text(call, &document, json_member(&document, assets, "jwt"), &jwt) == 0)
        write_raw(writer, "files", emu_assets_manifest(call, jwt));
    (void)json_bool(&document, json_member(&document, 0, "keep_assets"), &keep);
    json_document_free(&document);
    if (!keep || last == NULL || json_scan(&before, mf_span(last->document), &json_limits_default, NULL) < 0)
        return;
    write_raw(writer, "files", raw_member(&before, "files"));
    json_document_free(&before);
}

struct emu_object *emu_version_create(struct emu_call *call, struct emu_object *worker, struct mf_span metadata)
{
    struct mf_buf text;
    struct json_writer writer;
    mf_buf_init(&text, DOCUMENT_BYTES_MAX);
    json_begin(&writer, &text);
    json_open_object(&writer);
    json_member_span(&writer, "content_type", emu_header(call, "content-type"));
    write_raw(&writer, "metadata", metadata);
    write_files(call, &writer, worker, metadata);
    json_close_object(&writer);
    struct emu_object *version = text.failed ? NULL : create_child(call, worker, EMU_VERSION, mf_buf_view(&text));
    mf_buf_free(&text);
    if (version != NULL && emu_object_set_data(call->state, version, call->request->body) < 0) {
        emu_object_delete(call->state, version);
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return NULL;
    }
    if (version != NULL)
        emu_object_save(call->state, version);
    return version;
}

struct emu_object *emu_deployment_create(struct emu_call *call, struct emu_object *worker, struct mf_span document)
{
    return create_child(call, worker, EMU_DEPLOYMENT, document);
}

/* --- showing --- */

void emu_etag(const struct emu_object *object, char out[EMU_HEX_ID_BYTES])
{
    uint64_t hash[2] = {mf_hash(object->name, strlen(object->name), object->sequence), mf_hash(object->data, object->data_bytes, (uint64_t)object->modified_ms)};
    mf_hex(hash, sizeof(hash), out);
}

void emu_worker_members(struct json_writer *writer, const struct emu_object *worker)
{
    char etag[EMU_HEX_ID_BYTES];
    emu_etag(worker, etag);
    json_member_string(writer, "id", worker->name);
    json_member_string(writer, "etag", etag);
    json_member_string(writer, "tag", etag);
    json_key(writer, "tags");
    json_raw_value(writer, MF_SPAN("[]"));
    json_key(writer, "handlers");
    json_raw_value(writer, MF_SPAN("[\"fetch\"]"));
    json_member_string(writer, "usage_model", "standard");
    json_member_bool(writer, "has_modules", true);
    emu_member_time(writer, "created_on", worker->created_ms);
    emu_member_time(writer, "modified_on", worker->modified_ms);
}

static void write_binding(struct json_writer *writer, const struct json_document *document, uint32_t binding)
{
    if (!json_is(document, json_member(document, binding, "type"), "secret_text")) {
        json_raw_value(writer, json_raw(document, binding));
        return;
    }
    uint32_t name = json_member(document, binding, "name");
    json_open_object(writer);
    json_member_string(writer, "type", "secret_text");
    json_key(writer, "name");
    json_raw_value(writer, name == JSON_NONE ? MF_SPAN("\"\"") : json_raw(document, name));
    json_close_object(writer);
}

static void write_secrets(struct json_writer *writer, const struct emu_object *worker)
{
    const struct emu_collection *secrets = emu_collection(worker->account, worker, EMU_SECRET);
    for (size_t each = 0; secrets != NULL && each < secrets->count; each++) {
        json_open_object(writer);
        json_member_string(writer, "type", "secret_text");
        json_member_string(writer, "name", secrets->objects[each]->name);
        json_close_object(writer);
    }
}

void emu_worker_bindings(struct json_writer *writer, const struct emu_object *worker, struct mf_span metadata)
{
    struct json_document document = {0};
    json_key(writer, "bindings");
    json_open_array(writer);
    if (metadata.length > 0 && json_scan(&document, metadata, &json_limits_default, NULL) == 0) {
        uint32_t bindings = json_member(&document, 0, "bindings");
        if (bindings != JSON_NONE && json_kind(&document, bindings) == JSON_ARRAY)
            for (uint32_t each = json_first(&document, bindings); each != JSON_NONE; each = json_next(&document, bindings, each))
                write_binding(writer, &document, each);
        json_document_free(&document);
    }
    write_secrets(writer, worker);
    json_close_array(writer);
}
