/* call.c - reading a request and writing its envelope */
#include "emulator/call.h"

#include "base/alloc.h"
#include "http1/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status, code;
    const char *message;
} error_rows[] = {
#define X(error, status, code, message) {status, code, message},
    EMU_ERRORS(X)
#undef X
};

/* --- reading --- */

char *emu_room(struct emu_call *call, size_t bytes)
{
    if (bytes >= sizeof(call->text) - call->text_used)
        return NULL;
    char *room = call->text + call->text_used;
    call->text_used += bytes + 1;
    return room;
}

static bool decode(struct emu_call *call, struct mf_span encoded, struct mf_span *out)
{
    char *room = emu_room(call, encoded.length);
    size_t length;
    if (room == NULL || http1_percent_decode(encoded, true, room, encoded.length + 1, &length) < 0)
        return false;
    *out = (struct mf_span){room, length};
    return true;
}

bool emu_query(struct emu_call *call, const char *name, struct mf_span *out)
{
    struct mf_span rest = call->request->query, key, value;
    while (http1_query_next(&rest, &key, &value))
        if (mf_span_is(key, name))
            return decode(call, value, out);
    return false;
}

bool emu_query_is(struct emu_call *call, const char *name, const char *value)
{
    struct mf_span found;
    return emu_query(call, name, &found) && mf_span_is(found, value);
}

uint64_t emu_query_u64(struct emu_call *call, const char *name, uint64_t otherwise)
{
    struct mf_span text;
    uint64_t number;
    return emu_query(call, name, &text) && mf_parse_u64(text, &number) == 0 ? number : otherwise;
}

struct mf_span emu_header(const struct emu_call *call, const char *name)
{
    for (uint32_t each = 0; each < call->request->header_count; each++)
        if (mf_span_is(call->request->headers[each].name, name))
            return call->request->headers[each].value;
    return (struct mf_span){"", 0};
}

/* Bodies are read by what the route expects, never by their content type: real clients send JSON as text/plain too. */
int emu_body(struct emu_call *call)
{
    struct json_failure failure;
    static const struct json_limits limits = {
        .depth_max = 32, .text_bytes_max = 100u << 20, .string_bytes_max = 64u << 20, .nodes_max = 4u << 20};
    if (json_scan(&call->body, call->request->body, &limits, &failure) == 0)
        return 0;
    emu_fail_text(call, EMU_ERROR_BAD_BODY, "Could not parse the request body as JSON: %s", failure.reason);
    return -1;
}

int emu_text(struct emu_call *call, const struct json_document *document, uint32_t node, struct mf_span *out)
{
    if (node == JSON_NONE || json_kind(document, node) != JSON_STRING)
        return -1;
    if (json_plain(document, node, out) == 0)
        return 0;
    size_t bytes = json_raw(document, node).length;
    char *room = emu_room(call, bytes);
    if (room == NULL || json_copy(document, node, room, bytes + 1) < 0)
        return -1;
    *out = mf_span(room);
    return 0;
}

int emu_body_text(struct emu_call *call, const char *name, size_t length_max, struct mf_span *out)
{
    if (emu_text(call, &call->body, json_member(&call->body, 0, name), out) == 0 && out->length > 0 && out->length <= length_max)
        return 0;
    emu_fail_text(call, EMU_ERROR_BAD_FIELD, "%s: must be a string of 1 to %zu bytes", name, length_max);
    return -1;
}

/* --- answering --- */

static void begin(struct emu_call *call, int status, bool success)
{
    call->status = status;
    call->content_type = "application/json";
    mf_buf_clear(&call->out);
    json_begin(&call->writer, &call->out);
    json_open_object(&call->writer);
    json_member_bool(&call->writer, "success", success);
    json_key(&call->writer, "errors");
    json_open_array(&call->writer);
}

void emu_ok_begin(struct emu_call *call, int status)
{
    begin(call, status, true);
    json_close_array(&call->writer);
    json_key(&call->writer, "messages");
    json_open_array(&call->writer);
    json_close_array(&call->writer);
    json_key(&call->writer, "result");
}

void emu_ok_end(struct emu_call *call)
{
    json_close_object(&call->writer);
}

void emu_ok_null(struct emu_call *call)
{
    emu_ok_begin(call, 200);
    json_null(&call->writer);
    emu_ok_end(call);
}

void emu_ok_empty(struct emu_call *call)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_ok_id(struct emu_call *call, const char *id)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_string(&call->writer, "id", id);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

static void fail(struct emu_call *call, enum emu_error error, const char *message)
{
    begin(call, error_rows[error].status, false);
    json_open_object(&call->writer);
    json_member_i64(&call->writer, "code", error_rows[error].code);
    json_member_string(&call->writer, "message", message);
    if (error == EMU_ERROR_BAD_HEADERS) {
        json_key(&call->writer, "error_chain");
        json_raw_value(&call->writer, MF_SPAN("[{\"code\":6111,\"message\":\"Invalid format for Authorization header\"}]"));
    }
    json_close_object(&call->writer);
    json_close_array(&call->writer);
    json_key(&call->writer, "messages");
    json_open_array(&call->writer);
    json_close_array(&call->writer);
    json_key(&call->writer, "result");
    json_null(&call->writer);
    json_close_object(&call->writer);
}

void emu_fail(struct emu_call *call, enum emu_error error)
{
    fail(call, error, error_rows[error].message);
}

void emu_fail_text(struct emu_call *call, enum emu_error error, const char *format, ...)
{
    char text[MF_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fail(call, error, text);
}

void emu_fail_state(struct emu_call *call, const struct mf_error *error, enum emu_error taken)
{
    if (error->code == MF_STATE)
        emu_fail(call, taken);
    else if (error->code == MF_LIMIT)
        emu_fail_text(call, EMU_ERROR_TOO_MANY, "%s", error->text);
    else if (error->code == MF_INPUT)
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "%s", error->text);
    else
        emu_fail(call, EMU_ERROR_NO_MEMORY);
}

void emu_raw(struct emu_call *call, int status, const char *content_type, struct mf_span body)
{
    call->status = status;
    call->content_type = content_type;
    mf_buf_clear(&call->out);
    mf_buf_span(&call->out, body);
}

void emu_answer_header(struct emu_call *call, const char *name, const char *value)
{
    size_t length = strlen(value);
    char *room = emu_room(call, length);
    if (room == NULL || call->header_count >= EMU_ANSWER_HEADERS_MAX)
        return;
    memcpy(room, value, length + 1);
    call->headers[call->header_count++] = (struct net_header){mf_span(name), {room, length}};
}

void emu_member_time(struct json_writer *writer, const char *key, int64_t at_ms)
{
    char text[32];
    if (at_ms != MF_NEVER) {
        json_member_string(writer, key, mf_format_rfc3339(at_ms, text));
        return;
    }
    json_key(writer, key);
    json_null(writer);
}

/* --- pages --- */

static uint64_t clamp(uint64_t number, uint64_t low, uint64_t high)
{
    return number < low ? low : number > high ? high : number;
}

struct emu_page emu_page(struct emu_call *call, uint64_t size_default, uint64_t size_max, uint64_t total)
{
    struct emu_page page = {.total = total};
    page.number = clamp(emu_query_u64(call, "page", 1), 1, UINT32_MAX);
    page.size = clamp(emu_query_u64(call, "per_page", size_default), 1, size_max);
    page.from = clamp((page.number - 1) * page.size, 0, total);
    page.until = clamp(page.from + page.size, 0, total);
    return page;
}

void emu_ok_info(struct emu_call *call)
{
    json_key(&call->writer, "result_info");
    json_open_object(&call->writer);
}

void emu_ok_page(struct emu_call *call, const struct emu_page *page)
{
    emu_ok_info(call);
    json_member_u64(&call->writer, "page", page->number);
    json_member_u64(&call->writer, "per_page", page->size);
    json_member_u64(&call->writer, "count", page->until - page->from);
    json_member_u64(&call->writer, "total_count", page->total);
    json_member_u64(&call->writer, "total_pages", (page->total + page->size - 1) / page->size);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_list(struct emu_call *call, const struct emu_object *parent, enum emu_kind kind, uint64_t size_default, uint64_t size_max, emu_object_writer *write)
{
    const struct emu_collection *collection = emu_collection(call->account, parent, kind);
    struct emu_page page = emu_page(call, size_default, size_max, collection == NULL ? 0 : collection->count);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (uint64_t each = page.from; each < page.until; each++)
        write(&call->writer, collection->objects[each]);
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}
