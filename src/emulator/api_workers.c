/* api_workers.c - Workers: upload, list, content, settings, subdomains, schedules, services */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "emulator/multipart.h"
#include "emulator/worker.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 63, SCRIPT_BYTES_MAX = 64 << 20, DOCUMENT_BYTES_MAX = 16 << 20 };

static bool is_name(struct mf_span name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    for (size_t at = 0; at < name.length; at++)
        if (strchr(allowed, name.data[at]) == NULL)
            return false;
    return name.length > 0 && name.length <= NAME_BYTES_MAX;
}

/* --- upload --- */

static struct emu_object *obtain_worker(struct emu_call *call)
{
    struct emu_object *worker = emu_object_of_name(call->account, NULL, EMU_WORKER, call->parameters[1]);
    struct mf_error error;
    if (worker != NULL)
        return worker;
    if (emu_object_create(call->state, call->account, NULL, EMU_WORKER, call->parameters[1], MF_SPAN("{}"), &worker, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
        return NULL;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, worker);
    return worker;
}

static int keep_metadata(struct emu_call *call, struct emu_object *object, struct mf_span metadata)
{
    struct emu_worker worker;
    if (emu_worker_read(&worker, object) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return -1;
    }
    worker.metadata = metadata;
    int done = emu_worker_write(call, object, &worker);
    emu_worker_free(&worker);
    return done;
}

static int deploy(struct emu_call *call, struct emu_object *worker, const struct emu_object *version)
{
    char document[256];
    snprintf(document, sizeof(document), "{\"strategy\":\"percentage\",\"versions\":[{\"version_id\":\"%s\",\"percentage\":100}],\"annotations\":{}}", version->id);
    return emu_deployment_create(call, worker, mf_span(document)) == NULL ? -1 : 0;
}

/* The version's id without dashes, which the real client shows as a UUID. */
static void write_deployment_id(struct json_writer *writer, const struct emu_object *version)
{
    char id[EMU_UUID_BYTES];
    size_t length = 0;
    for (const char *at = version->id; *at != '\0'; at++)
        if (*at != '-')
            id[length++] = *at;
    id[length] = '\0';
    json_member_string(writer, "deployment_id", id);
}

static void answer_upload(struct emu_call *call, const struct emu_object *worker, const struct emu_object *version)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    emu_worker_members(&call->writer, worker);
    write_deployment_id(&call->writer, version);
    json_member_i64(&call->writer, "startup_time_ms", 1);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

static void upload(struct emu_call *call)
{
    struct mf_span metadata;
    if (call->request->body.length > SCRIPT_BYTES_MAX) {
        emu_fail(call, EMU_ERROR_TOO_LARGE);
        return;
    }
    if (emu_upload_check(call, &metadata) < 0)
        return;
    struct emu_object *worker = obtain_worker(call), *version;
    if (worker == NULL || keep_metadata(call, worker, metadata) < 0 || (version = emu_version_create(call, worker, metadata)) == NULL || deploy(call, worker, version) < 0)
        return;
    answer_upload(call, worker, version);
}

void emu_workers_put(struct emu_call *call)
{
    if (is_name(call->parameters[1]))
        upload(call);
    else
        emu_fail_text(call, EMU_ERROR_UPLOAD, "script name: letters, digits, _ and -, at most %d", NAME_BYTES_MAX);
}

void emu_workers_put_content(struct emu_call *call)
{
    if (emu_worker_find(call, EMU_ERROR_NO_WORKER) != NULL)
        upload(call);
}

/* --- list, content, delete --- */

static void write_worker(struct json_writer *writer, const struct emu_object *worker)
{
    json_open_object(writer);
    emu_worker_members(writer, worker);
    json_close_object(writer);
}

void emu_workers_list(struct emu_call *call)
{
    emu_list(call, NULL, EMU_WORKER, 1000, 1000, write_worker);
}

void emu_workers_content(struct emu_call *call)
{
    struct json_document document;
    struct mf_span content_type;
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    struct emu_object *version = emu_worker_deployed(call, worker);
    if (version == NULL || json_scan(&document, mf_span(version->document), &json_limits_default, NULL) < 0) {
        emu_fail(call, EMU_ERROR_NO_WORKER);
        return;
    }
    if (emu_text(call, &document, json_member(&document, 0, "content_type"), &content_type) < 0)
        content_type = MF_SPAN("application/octet-stream");
    char *room = emu_room(call, content_type.length); /* the document goes before the answer is sent */
    (void)mf_span_copy(content_type, room == NULL ? call->text : room, room == NULL ? 0 : content_type.length + 1);
    emu_raw(call, 200, room == NULL ? "application/octet-stream" : room, (struct mf_span){version->data, version->data_bytes});
    json_document_free(&document);
}

void emu_workers_delete(struct emu_call *call)
{
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    emu_remove(call, worker);
    emu_ok_null(call);
}

/* --- settings --- */

static void write_setting(struct json_writer *writer, const struct json_document *metadata, const char *name, const char *otherwise)
{
    uint32_t node = metadata->count == 0 ? JSON_NONE : json_member(metadata, 0, name);
    json_key(writer, name);
    json_raw_value(writer, node == JSON_NONE ? mf_span(otherwise) : json_raw(metadata, node));
}

static void write_settings(struct json_writer *writer, const struct emu_object *object, const struct emu_worker *worker)
{
    struct json_document metadata = {0};
    if (worker->metadata.length > 0)
        (void)json_scan(&metadata, worker->metadata, &json_limits_default, NULL);
    json_open_object(writer);
    emu_worker_bindings(writer, object, worker->metadata);
    write_setting(writer, &metadata, "compatibility_date", "\"\"");
    write_setting(writer, &metadata, "compatibility_flags", "[]");
    write_setting(writer, &metadata, "placement", "{}");
    write_setting(writer, &metadata, "limits", "{}");
    write_setting(writer, &metadata, "tags", "[]");
    write_setting(writer, &metadata, "logpush", "false");
    write_setting(writer, &metadata, "tail_consumers", "null");
    json_member_string(writer, "usage_model", "standard");
    json_close_object(writer);
    json_document_free(&metadata);
}

typedef void show(struct json_writer *writer, const struct emu_object *object, const struct emu_worker *worker);

static void answer_worker(struct emu_call *call, show *write)
{
    struct emu_worker worker;
    struct emu_object *object = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (object == NULL)
        return;
    if (emu_worker_read(&worker, object) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_ok_begin(call, 200);
    write(&call->writer, object, &worker);
    emu_ok_end(call);
    emu_worker_free(&worker);
}

void emu_workers_settings(struct emu_call *call)
{
    answer_worker(call, write_settings);
}

static void write_bindings(struct json_writer *writer, const struct emu_object *object, const struct emu_worker *worker)
{
    json_open_object(writer);
    emu_worker_bindings(writer, object, worker->metadata);
    json_close_object(writer);
}

void emu_workers_bindings(struct emu_call *call)
{
    answer_worker(call, write_bindings);
}

static void write_script_settings(struct json_writer *writer, const struct emu_object *object, const struct emu_worker *worker)
{
    (void)object;
    json_raw_value(writer, worker->settings.length == 0 ? MF_SPAN("{\"logpush\":false,\"tail_consumers\":null,\"tags\":[]}") : worker->settings);
}

void emu_workers_script_settings(struct emu_call *call)
{
    answer_worker(call, write_script_settings);
}

/* Puts the members of `patch` over one part of the worker's document. */
static int patch_worker(struct emu_call *call, struct mf_span patch, bool script_settings)
{
    struct emu_worker worker;
    struct mf_buf merged;
    struct emu_object *object = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (object == NULL)
        return -1;
    if (emu_worker_read(&worker, object) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return -1;
    }
    mf_buf_init(&merged, DOCUMENT_BYTES_MAX);
    struct mf_span *part = script_settings ? &worker.settings : &worker.metadata;
    int done = emu_json_merge(*part, patch, &merged);
    *part = mf_buf_view(&merged);
    if (done < 0)
        emu_fail(call, EMU_ERROR_BAD_BODY);
    else
        done = emu_worker_write(call, object, &worker);
    mf_buf_free(&merged);
    emu_worker_free(&worker);
    return done;
}

void emu_workers_patch_script_settings(struct emu_call *call)
{
    if (patch_worker(call, call->request->body, true) == 0)
        answer_worker(call, write_script_settings);
}

/* The real client sends a form with one part, others plain JSON. */
void emu_workers_patch_settings(struct emu_call *call)
{
    struct emu_part part = {.data = call->request->body};
    (void)emu_multipart_find(emu_header(call, "content-type"), call->request->body, "settings", &part);
    if (patch_worker(call, part.data.length == 0 ? call->request->body : part.data, false) == 0)
        answer_worker(call, write_settings);
}

void emu_workers_usage_model(struct emu_call *call)
{
    if (emu_worker_find(call, EMU_ERROR_NO_WORKER) == NULL)
        return;
    emu_ok_begin(call, 200);
    json_raw_value(&call->writer, MF_SPAN("{\"usage_model\":\"standard\"}"));
    emu_ok_end(call);
}

void emu_workers_unsupported(struct emu_call *call)
{
    emu_fail(call, EMU_ERROR_UNSUPPORTED);
}

/* --- subdomain of a script --- */

static void write_subdomain(struct json_writer *writer, const struct emu_object *object, const struct emu_worker *worker)
{
    (void)object;
    json_open_object(writer);
    json_member_bool(writer, "enabled", worker->subdomain);
    json_member_bool(writer, "previews_enabled", worker->previews);
    json_close_object(writer);
}

void emu_workers_subdomain(struct emu_call *call)
{
    answer_worker(call, write_subdomain);
}

static void set_subdomain(struct emu_call *call, bool enabled, bool previews)
{
    struct emu_worker worker;
    struct emu_object *object = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (object == NULL)
        return;
    if (emu_worker_read(&worker, object) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    worker.subdomain = enabled;
    worker.previews = previews;
    int done = emu_worker_write(call, object, &worker);
    emu_worker_free(&worker);
    if (done == 0)
        answer_worker(call, write_subdomain);
}

void emu_workers_set_subdomain(struct emu_call *call)
{
    bool enabled = false, previews = false;
    if (emu_body(call) < 0)
        return;
    if (json_bool(&call->body, json_member(&call->body, 0, "enabled"), &enabled) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "enabled: must be true or false");
        return;
    }
    if (json_bool(&call->body, json_member(&call->body, 0, "previews_enabled"), &previews) < 0)
        previews = enabled;
    set_subdomain(call, enabled, previews);
}

void emu_workers_clear_subdomain(struct emu_call *call)
{
    set_subdomain(call, false, false);
}

/* --- schedules --- */

static void write_schedules(struct json_writer *writer, const struct emu_object *object, const struct emu_worker *worker)
{
    (void)object;
    json_open_object(writer);
    json_key(writer, "schedules");
    json_raw_value(writer, worker->schedules.length == 0 ? MF_SPAN("[]") : worker->schedules);
    json_close_object(writer);
}

void emu_workers_schedules(struct emu_call *call)
{
    answer_worker(call, write_schedules);
}

void emu_workers_put_schedules(struct emu_call *call)
{
    struct emu_worker worker;
    struct emu_object *object = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (object == NULL || emu_body(call) < 0)
        return;
    if (json_kind(&call->body, 0) != JSON_ARRAY || emu_worker_read(&worker, object) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "schedules: must be a list");
        return;
    }
    worker.schedules = json_raw(&call->body, 0);
    int done = emu_worker_write(call, object, &worker);
    emu_worker_free(&worker);
    if (done == 0)
        answer_worker(call, write_schedules);
}
