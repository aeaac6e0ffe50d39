/* api_queues.c - Queues: queues, consumers, messages with leases */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 63, TEMPORARY_QUEUES_MAX = 10, MESSAGE_BYTES_MAX = 128 << 10, PULL_MAX = 100, LEASE_MS = 30000 };

/* --- queues --- */

static void write_queue(struct json_writer *writer, const struct emu_object *queue)
{
    json_open_object(writer);
    json_member_string(writer, "queue_id", queue->id);
    json_member_string(writer, "queue_name", queue->name);
    emu_member_time(writer, "created_on", queue->created_ms);
    emu_member_time(writer, "modified_on", queue->modified_ms);
    json_key(writer, "settings");
    json_raw_value(writer, mf_span(queue->document));
    json_member_u64(writer, "consumers_total_count", emu_count(queue->account, queue, EMU_CONSUMER));
    json_member_u64(writer, "producers_total_count", 0);
    json_key(writer, "consumers");
    json_raw_value(writer, MF_SPAN("[]"));
    json_key(writer, "producers");
    json_raw_value(writer, MF_SPAN("[]"));
    json_close_object(writer);
}

static void answer_queue(struct emu_call *call, int status, const struct emu_object *queue)
{
    emu_ok_begin(call, status);
    write_queue(&call->writer, queue);
    emu_ok_end(call);
}

static struct emu_object *find_queue(struct emu_call *call)
{
    struct emu_object *queue = emu_object_of_id(call->state, call->account, EMU_QUEUE, call->parameters[1]);
    if (queue == NULL)
        emu_fail(call, EMU_ERROR_NO_QUEUE);
    return queue;
}

/* ?name= asks for one queue. */
void emu_queues_list(struct emu_call *call)
{
    struct mf_span name;
    if (!emu_query(call, "name", &name)) {
        emu_list(call, NULL, EMU_QUEUE, 20, 100, write_queue);
        return;
    }
    const struct emu_object *queue = emu_object_of_name(call->account, NULL, EMU_QUEUE, name);
    struct emu_page page = emu_page(call, 20, 100, queue == NULL ? 0 : 1);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    if (page.from < page.until)
        write_queue(&call->writer, queue);
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}

static struct mf_span settings_of(const struct emu_call *call)
{
    uint32_t settings = json_member(&call->body, 0, "settings");
    bool given = settings != JSON_NONE && json_kind(&call->body, settings) == JSON_OBJECT;
    return given ? json_raw(&call->body, settings) : MF_SPAN("{\"delivery_delay\":0,\"message_retention_period\":345600}");
}

void emu_queues_create(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    struct emu_object *queue;
    if (emu_body(call) < 0 || emu_body_text(call, "queue_name", NAME_BYTES_MAX, &name) < 0)
        return;
    if (call->account->type == EMU_ACCOUNT_TEMPORARY && emu_count(call->account, NULL, EMU_QUEUE) >= TEMPORARY_QUEUES_MAX) {
        emu_fail_text(call, EMU_ERROR_TOO_MANY, "a temporary account has at most %d queues", TEMPORARY_QUEUES_MAX);
        return;
    }
    if (emu_object_create(call->state, call->account, NULL, EMU_QUEUE, name, settings_of(call), &queue, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_QUEUE_EXISTS);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, queue);
    answer_queue(call, 201, queue);
}

void emu_queues_get(struct emu_call *call)
{
    const struct emu_object *queue = find_queue(call);
    if (queue != NULL)
        answer_queue(call, 200, queue);
}

void emu_queues_put(struct emu_call *call)
{
    struct mf_span name;
    struct emu_object *queue = find_queue(call);
    if (queue == NULL || emu_body(call) < 0)
        return;
    if (emu_text(call, &call->body, json_member(&call->body, 0, "queue_name"), &name) == 0 && !mf_span_is(name, queue->name)) {
        if (emu_object_of_name(call->account, NULL, EMU_QUEUE, name) != NULL || emu_object_rename(call->state, queue, name) < 0) {
            emu_fail(call, EMU_ERROR_QUEUE_EXISTS);
            return;
        }
    }
    if (emu_object_set_document(call->state, queue, settings_of(call)) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_object_save(call->state, queue);
    answer_queue(call, 200, queue);
}

void emu_queues_delete(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call);
    if (queue == NULL)
        return;
    emu_remove(call, queue);
    emu_ok_null(call);
}

static void answer_purge(struct emu_call *call)
{
    emu_ok_begin(call, 200);
    json_raw_value(&call->writer, MF_SPAN("{\"completed\":true}"));
    emu_ok_end(call);
}

void emu_queues_purge_status(struct emu_call *call)
{
    if (find_queue(call) != NULL)
        answer_purge(call);
}

void emu_queues_purge(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call);
    if (queue == NULL)
        return;
    const struct emu_collection *messages = emu_collection(call->account, queue, EMU_MESSAGE);
    while (messages != NULL && messages->count > 0)
        emu_object_delete(call->state, messages->objects[messages->count - 1]);
    answer_purge(call);
}

/* --- consumers: kept as the client sent them --- */

static void write_consumer(struct json_writer *writer, const struct emu_object *consumer)
{
    json_open_object(writer);
    json_member_string(writer, "consumer_id", consumer->id);
    json_member_string(writer, "queue_name", consumer->parent->name);
    emu_member_time(writer, "created_on", consumer->created_ms);
    json_key(writer, "configuration");
    json_raw_value(writer, mf_span(consumer->document));
    json_close_object(writer);
}

void emu_consumers_list(struct emu_call *call)
{
    const struct emu_object *queue = find_queue(call);
    if (queue != NULL)
        emu_list(call, queue, EMU_CONSUMER, 100, 100, write_consumer);
}

static void answer_consumer(struct emu_call *call, const struct emu_object *consumer)
{
    emu_ok_begin(call, 200);
    write_consumer(&call->writer, consumer);
    emu_ok_end(call);
}

static void padded_name(struct emu_call *call, char out[32])
{
    snprintf(out, 32, "%020llu", (unsigned long long)call->state->sequence);
}

void emu_consumers_create(struct emu_call *call)
{
    struct emu_object *consumer, *queue = find_queue(call);
    struct mf_error error;
    char name[32];
    if (queue == NULL || emu_body(call) < 0)
        return;
    padded_name(call, name);
    if (emu_object_create(call->state, call->account, queue, EMU_CONSUMER, mf_span(name), json_raw(&call->body, 0), &consumer, &error) < 0)
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
    else
        answer_consumer(call, consumer);
}

static struct emu_object *find_consumer(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call), *consumer;
    if (queue == NULL)
        return NULL;
    consumer = emu_object_of_id(call->state, call->account, EMU_CONSUMER, call->parameters[2]);
    if (consumer != NULL && consumer->parent == queue)
        return consumer;
    emu_fail(call, EMU_ERROR_NO_OBJECT);
    return NULL;
}

void emu_consumers_put(struct emu_call *call)
{
    struct emu_object *consumer = find_consumer(call);
    if (consumer == NULL || emu_body(call) < 0)
        return;
    if (emu_object_set_document(call->state, consumer, json_raw(&call->body, 0)) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_object_save(call->state, consumer);
    answer_consumer(call, consumer);
}

void emu_consumers_delete(struct emu_call *call)
{
    struct emu_object *consumer = find_consumer(call);
    if (consumer == NULL)
        return;
    emu_object_delete(call->state, consumer);
    emu_ok_null(call);
}

/* --- messages: the document is the body as sent; `expires_ms` is the end of a lease --- */

static int push(struct emu_call *call, struct emu_object *queue, uint32_t node)
{
    struct emu_object *message;
    struct mf_error error;
    char name[32];
    struct mf_span raw = json_raw(&call->body, node);
    if (raw.length > MESSAGE_BYTES_MAX || json_member(&call->body, node, "body") == JSON_NONE) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "message: needs a body, at most %d bytes", MESSAGE_BYTES_MAX);
        return -1;
    }
    padded_name(call, name);
    if (emu_object_create(call->state, call->account, queue, EMU_MESSAGE, mf_span(name), raw, &message, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
        return -1;
    }
    message->expires_ms = 0;
    return 0;
}

void emu_messages_push(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call);
    if (queue != NULL && emu_body(call) == 0 && push(call, queue, 0) == 0)
        emu_ok_empty(call);
}

void emu_messages_batch(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call);
    if (queue == NULL || emu_body(call) < 0)
        return;
    uint32_t list = json_member(&call->body, 0, "messages");
    for (uint32_t each = list == JSON_NONE ? JSON_NONE : json_first(&call->body, list); each != JSON_NONE; each = json_next(&call->body, list, each))
        if (push(call, queue, each) < 0)
            return;
    emu_ok_empty(call);
}

static void write_message(struct json_writer *writer, const struct emu_object *message, int64_t attempts)
{
    struct json_document document = {0};
    if (json_scan(&document, mf_span(message->document), &json_limits_default, NULL) < 0)
        return;
    json_open_object(writer);
    json_member_string(writer, "id", message->id);
    json_member_string(writer, "lease_id", message->id);
    json_member_i64(writer, "timestamp_ms", message->created_ms);
    json_member_i64(writer, "attempts", attempts);
    json_key(writer, "body");
    json_raw_value(writer, json_raw(&document, json_member(&document, 0, "body")));
    json_key(writer, "metadata");
    json_raw_value(writer, MF_SPAN("{}"));
    json_close_object(writer);
    json_document_free(&document);
}

void emu_messages_pull(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call);
    int64_t count_max = 5, lease_ms = LEASE_MS, count = 0;
    if (queue == NULL || (call->request->body.length > 0 && emu_body(call) < 0))
        return;
    if (call->body.count > 0) {
        (void)json_int(&call->body, json_member(&call->body, 0, "batch_size"), &count_max);
        (void)json_int(&call->body, json_member(&call->body, 0, "visibility_timeout_ms"), &lease_ms);
    }
    count_max = count_max > PULL_MAX ? PULL_MAX : count_max;
    const struct emu_collection *messages = emu_collection(call->account, queue, EMU_MESSAGE);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_u64(&call->writer, "message_backlog_count", messages == NULL ? 0 : messages->count);
    json_key(&call->writer, "messages");
    json_open_array(&call->writer);
    for (size_t each = 0; messages != NULL && each < messages->count && count < count_max; each++) {
        struct emu_object *message = messages->objects[each];
        if (message->expires_ms > call->now_ms)
            continue;
        write_message(&call->writer, message, message->expires_ms == 0 ? 1 : 2);
        message->expires_ms = call->now_ms + lease_ms % (int64_t)INT32_MAX;
        count++;
    }
    json_close_array(&call->writer);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

/* Both lists hold {"lease_id"}; an acknowledged message goes, a retried one is free again. */
static uint64_t settle(struct emu_call *call, struct emu_object *queue, const char *name, bool acknowledged)
{
    uint64_t count = 0;
    uint32_t list = json_member(&call->body, 0, name);
    for (uint32_t each = list == JSON_NONE ? JSON_NONE : json_first(&call->body, list); each != JSON_NONE; each = json_next(&call->body, list, each)) {
        struct mf_span id;
        if (json_plain(&call->body, json_member(&call->body, each, "lease_id"), &id) < 0)
            continue;
        struct emu_object *message = emu_object_of_id(call->state, call->account, EMU_MESSAGE, id);
        if (message == NULL || message->parent != queue)
            continue;
        if (acknowledged)
            emu_object_delete(call->state, message);
        else
            message->expires_ms = 1;
        count++;
    }
    return count;
}

void emu_messages_ack(struct emu_call *call)
{
    struct emu_object *queue = find_queue(call);
    if (queue == NULL || emu_body(call) < 0)
        return;
    uint64_t acknowledged = settle(call, queue, "acks", true), retried = settle(call, queue, "retries", false);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_u64(&call->writer, "ackCount", acknowledged);
    json_member_u64(&call->writer, "retryCount", retried);
    json_key(&call->writer, "warnings");
    json_raw_value(&call->writer, MF_SPAN("[]"));
    json_close_object(&call->writer);
    emu_ok_end(call);
}
