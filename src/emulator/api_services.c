/* api_services.c - services, worker objects, the account's workers.dev subdomain */
#include "emulator/emulator_private.h"

#include "emulator/handlers.h"
#include "emulator/worker.h"

#include <string.h>

/* --- services: what the real client asks before and instead of scripts --- */

static void write_environment(struct json_writer *writer, const struct emu_object *worker)
{
    json_open_object(writer);
    json_member_string(writer, "environment", "production");
    emu_member_time(writer, "created_on", worker->created_ms);
    emu_member_time(writer, "modified_on", worker->modified_ms);
    json_key(writer, "script");
    json_open_object(writer);
    emu_worker_members(writer, worker);
    json_close_object(writer);
    json_close_object(writer);
}

void emu_services_get(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_SERVICE);
    if (worker == NULL)
        return;
    struct json_writer *writer = &call->writer;
    emu_ok_begin(call, 200);
    json_open_object(writer);
    json_member_string(writer, "id", worker->name);
    emu_member_time(writer, "created_on", worker->created_ms);
    emu_member_time(writer, "modified_on", worker->modified_ms);
    json_member_string(writer, "usage_model", "standard");
    json_key(writer, "default_environment");
    write_environment(writer, worker);
    json_key(writer, "environments");
    json_open_array(writer);
    write_environment(writer, worker);
    json_close_array(writer);
    json_close_object(writer);
    emu_ok_end(call);
}

void emu_services_delete(struct emu_call *call)
{
    struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_SERVICE);
    if (worker == NULL)
        return;
    emu_remove(call, worker);
    emu_ok_null(call);
}

/* --- worker objects --- */

static void write_object(struct json_writer *writer, const struct emu_object *object)
{
    struct emu_worker worker;
    bool readable = emu_worker_read(&worker, object) == 0;
    json_open_object(writer);
    json_member_string(writer, "id", object->name);
    json_member_string(writer, "name", object->name);
    emu_member_time(writer, "created_on", object->created_ms);
    emu_member_time(writer, "updated_on", object->modified_ms);
    json_key(writer, "subdomain");
    json_open_object(writer);
    json_member_bool(writer, "enabled", readable && worker.subdomain);
    json_member_bool(writer, "previews_enabled", readable && worker.previews);
    json_close_object(writer);
    json_key(writer, "tags");
    json_raw_value(writer, MF_SPAN("[]"));
    json_member_bool(writer, "logpush", false);
    json_close_object(writer);
    if (readable)
        emu_worker_free(&worker);
}

void emu_workers_objects(struct emu_call *call)
{
    emu_list(call, NULL, EMU_WORKER, 10, 100, write_object);
}

void emu_workers_object(struct emu_call *call)
{
    const struct emu_object *worker = emu_worker_find(call, EMU_ERROR_NO_WORKER);
    if (worker == NULL)
        return;
    emu_ok_begin(call, 200);
    write_object(&call->writer, worker);
    emu_ok_end(call);
}

/* --- the account's subdomain --- */

static void answer_subdomain(struct emu_call *call)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_string(&call->writer, "subdomain", call->account->subdomain);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_subdomain_get(struct emu_call *call)
{
    if (call->account->subdomain[0] == '\0')
        emu_fail(call, EMU_ERROR_NO_SUBDOMAIN);
    else
        answer_subdomain(call);
}

static bool is_label(struct mf_span text)
{
    for (size_t at = 0; at < text.length; at++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-", text.data[at]) == NULL)
            return false;
    return text.length > 0 && text.length < 64;
}

void emu_subdomain_put(struct emu_call *call)
{
    struct mf_span name;
    if (emu_body(call) < 0 || emu_body_text(call, "subdomain", 63, &name) < 0)
        return;
    if (!is_label(name)) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "subdomain: small letters, digits and dashes only");
        return;
    }
    (void)mf_span_copy(name, call->account->subdomain, sizeof(call->account->subdomain));
    emu_account_save(call->state, call->account);
    answer_subdomain(call);
}

/* Free is what is not found: 10007, as the real service says it. Names of other accounts are not searched. */
void emu_subdomain_check(struct emu_call *call)
{
    if (mf_span_is(call->parameters[1], call->account->subdomain))
        answer_subdomain(call);
    else
        emu_fail(call, EMU_ERROR_NO_SUBDOMAIN);
}
