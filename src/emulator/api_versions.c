/* api_versions.c - versions, deployments and secrets of a Worker */
#include "emulator/emulator_private.h"

#include "emulator/handlers.h"
#include "emulator/worker.h"

#include <stdlib.h>

enum { SECRET_BYTES_MAX = 5120 };

/* --- versions --- */

static struct mf_span metadata_of(const struct json_document *document)
{
    uint32_t node = json_member(document, 0, "metadata");
    return node == JSON_NONE ? (struct mf_span){"", 0} : json_raw(document, node);
}

static void write_resources(struct json_writer *writer, const struct emu_object *version, const struct json_document *document)
{
    char etag[EMU_HEX_ID_BYTES];
    emu_etag(version, etag);
    json_key(writer, "resources");
    json_open_object(writer);
    emu_worker_bindings(writer, version->parent, metadata_of(document));
    json_key(writer, "script");
    json_open_object(writer);
    json_member_string(writer, "etag", etag);
    json_key(writer, "handlers");
    json_raw_value(writer, MF_SPAN("[\"fetch\"]"));
    json_member_string(writer, "last_deployed_from", "api");
    json_close_object(writer);
    json_key(writer, "script_runtime");
    json_raw_value(writer, MF_SPAN("{\"usage_model\":\"standard\"}"));
    json_close_object(writer);
}

static void write_annotations(struct json_writer *writer, const struct json_document *document)
{
    uint32_t node = json_pointer(document, MF_SPAN("/metadata/annotations"));
    json_key(writer, "annotations");
    json_raw_value(writer, node == JSON_NONE ? MF_SPAN("{}") : json_raw(document, node));
}

static void write_version(struct json_writer *writer, const struct emu_object *version)
{
    struct json_document document = {0};
    bool readable = json_scan(&document, mf_span(version->document), &json_limits_default, NULL) == 0;
    json_open_object(writer);
    json_member_string(writer, "id", version->id);
    json_member_u64(writer, "number", strtoull(version->name, NULL, 10));
    json_key(writer, "metadata");
    json_open_object(writer);
    emu_member_time(writer, "created_on", version->created_ms);
    emu_member_time(writer, "modified_on", version->created_ms);
    json_member_string(writer, "source", "api");
    json_member_string(writer, "author_id", "00000000000000000000000000000001");
    json_member_string(writer, "author_email", "operator@emulator.invalid");
    json_member_bool(writer, "has_preview", false);
    json_close_object(writer);
    if (readable) {
        write_annotations(writer, &document);
        write_resources(writer, version, &document);
        json_document_free(&document);
    }
    json_member_i64(writer, "startup_time_ms", 1);
    json_close_object(writer);
}

/* Newest first; the array stands in result.items. */
void emu_versions_list(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    const struct emu_collection *list = emu_collection(worker->account, worker, EMU_VERSION);
    struct emu_page page = emu_page(call, 100, 100, list == NULL ? 0 : list->count);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_key(&call->writer, "items");
    json_open_array(&call->writer);
    for (uint64_t each = page.from; each < page.until; each++)
        write_version(&call->writer, list->objects[page.total - 1 - each]);
    json_close_array(&call->writer);
    json_close_object(&call->writer);
    emu_ok_page(call, &page);
}

static void answer_version(struct emu_call *call, const struct emu_object *version)
{
    emu_ok_begin(call, 200);
    write_version(&call->writer, version);
    emu_ok_end(call);
}

void emu_versions_get(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    const struct emu_object *version = emu_object_of_id(call->state, call->account, EMU_VERSION, call->parameters[2]);
    if (version == NULL || version->parent != worker)
        emu_fail(call, EMU_ERROR_NO_VERSION);
    else
        answer_version(call, version);
}

void emu_versions_create(struct emu_call *call)
{
    struct mf_span metadata;
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL || emu_upload_check(call, &metadata) < 0)
        return;
    const struct emu_object *version = emu_version_create(call, worker, metadata);
    if (version != NULL)
        answer_version(call, version);
}

/* --- deployments --- */

static void write_deployment(struct json_writer *writer, const struct emu_object *deployment)
{
    struct json_document document = {0};
    bool readable = json_scan(&document, mf_span(deployment->document), &json_limits_default, NULL) == 0;
    uint32_t versions = readable ? json_member(&document, 0, "versions") : JSON_NONE;
    uint32_t annotations = readable ? json_member(&document, 0, "annotations") : JSON_NONE;
    json_open_object(writer);
    json_member_string(writer, "id", deployment->id);
    json_member_string(writer, "source", "api");
    json_member_string(writer, "strategy", "percentage");
    json_member_string(writer, "author_email", "operator@emulator.invalid");
    emu_member_time(writer, "created_on", deployment->created_ms);
    json_key(writer, "annotations");
    json_raw_value(writer, annotations == JSON_NONE ? MF_SPAN("{}") : json_raw(&document, annotations));
    json_key(writer, "versions");
    json_raw_value(writer, versions == JSON_NONE ? MF_SPAN("[]") : json_raw(&document, versions));
    json_close_object(writer);
    json_document_free(&document);
}

void emu_deployments_list(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    const struct emu_collection *list = emu_collection(worker->account, worker, EMU_DEPLOYMENT);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_key(&call->writer, "deployments");
    json_open_array(&call->writer);
    for (size_t left = list == NULL ? 0 : list->count; left > 0; left--)
        write_deployment(&call->writer, list->objects[left - 1]);
    json_close_array(&call->writer);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

static void answer_deployment(struct emu_call *call, const struct emu_object *deployment)
{
    emu_ok_begin(call, 200);
    write_deployment(&call->writer, deployment);
    emu_ok_end(call);
}

void emu_deployments_get(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    const struct emu_object *deployment = emu_object_of_id(call->state, call->account, EMU_DEPLOYMENT, call->parameters[2]);
    if (deployment == NULL || deployment->parent != worker)
        emu_fail(call, EMU_ERROR_NO_OBJECT);
    else
        answer_deployment(call, deployment);
}

static int check_versions(struct emu_call *call, const struct emu_object *worker)
{
    uint32_t list = json_member(&call->body, 0, "versions");
    double sum = 0;
    for (uint32_t each = list == JSON_NONE ? JSON_NONE : json_first(&call->body, list); each != JSON_NONE; each = json_next(&call->body, list, each)) {
        struct mf_span id;
        double percentage = 0;
        (void)json_double(&call->body, json_member(&call->body, each, "percentage"), &percentage);
        sum += percentage;
        const struct emu_object *version = NULL;
        if (emu_text(call, &call->body, json_member(&call->body, each, "version_id"), &id) == 0)
            version = emu_object_of_id(call->state, call->account, EMU_VERSION, id);
        if (version == NULL || version->parent != worker) {
            emu_fail(call, EMU_ERROR_NO_VERSION);
            return -1;
        }
    }
    if (sum > 99.9 && sum < 100.1)
        return 0;
    emu_fail_text(call, EMU_ERROR_BAD_FIELD, "versions: percentages must add up to 100");
    return -1;
}

void emu_deployments_create(struct emu_call *call)
{
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL || emu_body(call) < 0 || check_versions(call, worker) < 0)
        return;
    const struct emu_object *deployment = emu_deployment_create(call, worker, json_raw(&call->body, 0));
    if (deployment != NULL)
        answer_deployment(call, deployment);
}

/* --- secrets: names are shown, values never --- */

static void write_secret(struct json_writer *writer, const struct emu_object *secret)
{
    json_open_object(writer);
    json_member_string(writer, "name", secret->name);
    json_member_string(writer, "type", "secret_text");
    json_close_object(writer);
}

void emu_secrets_list(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker != NULL)
        emu_list(call, worker, EMU_SECRET, 1000, 1000, write_secret);
}

static struct emu_object *put_secret(struct emu_call *call, struct emu_object *worker, struct mf_span name, struct mf_span text)
{
    struct mf_error error;
    struct emu_object *secret = emu_object_of_name(call->account, worker, EMU_SECRET, name);
    if (secret == NULL && emu_object_create(call->state, call->account, worker, EMU_SECRET, name, MF_SPAN("{}"), &secret, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
        return NULL;
    }
    if (emu_object_set_data(call->state, secret, text) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return NULL;
    }
    emu_object_save(call->state, secret);
    return secret;
}

void emu_secrets_put(struct emu_call *call)
{
    struct mf_span name, text;
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL || emu_body(call) < 0 || emu_body_text(call, "name", 255, &name) < 0 || emu_body_text(call, "text", SECRET_BYTES_MAX, &text) < 0)
        return;
    const struct emu_object *secret = put_secret(call, worker, name, text);
    if (secret == NULL)
        return;
    emu_ok_begin(call, 200);
    write_secret(&call->writer, secret);
    emu_ok_end(call);
}

/* {"secrets": {"NAME": {"type", "text"} | null}}, or that map alone: null removes. */
void emu_secrets_bulk(struct emu_call *call)
{
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL || emu_body(call) < 0)
        return;
    uint32_t map = json_member(&call->body, 0, "secrets");
    map = map == JSON_NONE ? 0 : map;
    for (uint32_t key = json_kind(&call->body, map) == JSON_OBJECT ? json_first(&call->body, map) : JSON_NONE; key != JSON_NONE; key = json_next(&call->body, map, key)) {
        struct mf_span name, text;
        uint32_t value = json_value(&call->body, key);
        if (emu_text(call, &call->body, key, &name) < 0)
            continue;
        struct emu_object *old = emu_object_of_name(call->account, worker, EMU_SECRET, name);
        if (json_kind(&call->body, value) == JSON_NULL && old != NULL)
            emu_object_delete(call->state, old);
        else if (emu_text(call, &call->body, json_member(&call->body, value, "text"), &text) == 0 && put_secret(call, worker, name, text) == NULL)
            return;
    }
    emu_secrets_list(call);
}

static struct emu_object *find_secret(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    struct emu_object *secret = worker == NULL ? NULL : emu_object_of_name(call->account, worker, EMU_SECRET, call->parameters[2]);
    if (worker != NULL && secret == NULL)
        emu_fail(call, EMU_ERROR_NO_SECRET);
    return secret;
}

void emu_secrets_get(struct emu_call *call)
{
    const struct emu_object *secret = find_secret(call);
    if (secret == NULL)
        return;
    emu_ok_begin(call, 200);
    write_secret(&call->writer, secret);
    emu_ok_end(call);
}

void emu_secrets_delete(struct emu_call *call)
{
    struct emu_object *secret = find_secret(call);
    if (secret == NULL)
        return;
    emu_object_delete(call->state, secret);
    emu_ok_null(call);
}
