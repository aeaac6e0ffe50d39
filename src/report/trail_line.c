/* trail_line.c - one line of audit.log, taken apart */
#include "report/trail.h"

#include "json/scan.h"

#include <stddef.h>
#include <string.h>

static const char *const event_names[] = {
#define X(event, name) [TRAIL_##event] = name,
    TRAIL_EVENTS(X)
#undef X
};

const char *trail_event_name(enum trail_event event)
{
    return event_names[event];
}

struct field {
    const char *name;
    size_t offset;
};
static const struct field texts[] = {
#define X(name) {#name, offsetof(struct trail_line, name)},
    TRAIL_TEXTS(X)
#undef X
};
static const struct field numbers[] = {
#define X(name) {#name, offsetof(struct trail_line, name)},
    TRAIL_NUMBERS(X)
#undef X
};
static const struct field usages[] = {
#define X(name) {#name, offsetof(struct trail_line, name)},
    TRAIL_USAGES(X)
#undef X
};

static const struct field *find(const struct field *fields, size_t count, struct mf_span name)
{
    for (size_t i = 0; i < count; i++) {
        if (mf_span_is(name, fields[i].name))
            return &fields[i];
    }
    return NULL;
}
#define FIND(fields, name) find(fields, sizeof(fields) / sizeof(fields)[0], name)

/* The decoded text; the room was made large enough, so that earlier texts stay where they are. */
static int take_text(const struct json_document *document, uint32_t node, struct mf_buf *room, struct mf_span *out)
{
    size_t before = room->length;
    if (json_plain(document, node, out) == 0)
        return 0;
    if (json_text(document, node, room) != 0)
        return -1;
    *out = (struct mf_span){room->data + before, room->length - before};
    return 0;
}

static int take_number(const struct json_document *document, uint32_t node, const struct field *field,
                       struct trail_line *line)
{
    return json_int(document, node, (int64_t *)(void *)((char *)line + field->offset));
}

static int take_usage(const struct json_document *document, uint32_t usage, struct mf_buf *room,
                      struct trail_line *line)
{
    line->has_usage = true;
    line->micro_usd = -1;
    for (uint32_t key = json_first(document, usage); key != JSON_NONE; key = json_next(document, usage, key)) {
        struct mf_span name;
        uint32_t value = json_value(document, key);
        if (json_plain(document, key, &name) != 0)
            continue;
        const struct field *field = FIND(usages, name);
        if (field != NULL && take_number(document, value, field, line) != 0)
            return -1;
        if (mf_span_is(name, "model") && take_text(document, value, room, &line->model) != 0)
            return -1;
    }
    return 0;
}

static void take_event(const struct json_document *document, uint32_t node, struct trail_line *line)
{
    line->event = TRAIL_OTHER;
    for (size_t i = 0; i < sizeof event_names / sizeof event_names[0]; i++) {
        if (json_is(document, node, event_names[i]))
            line->event = (enum trail_event)i;
    }
}

static int take_member(const struct json_document *document, struct mf_span name, uint32_t value, struct mf_buf *room,
                       struct trail_line *line)
{
    const struct field *field;
    int64_t n;
    if ((field = FIND(texts, name)) != NULL)
        return take_text(document, value, room, (struct mf_span *)(void *)((char *)line + field->offset));
    if ((field = FIND(numbers, name)) != NULL)
        return take_number(document, value, field, line);
    if (mf_span_is(name, "at_ms"))
        return json_int(document, value, &line->at_ms);
    if (mf_span_is(name, "event"))
        take_event(document, value, line);
    else if (mf_span_is(name, "usage"))
        return take_usage(document, value, room, line);
    else if (mf_span_is(name, "n") && json_int(document, value, &n) == 0 && n > 0)
        line->n = (uint64_t)n;
    return 0;
}

int trail_parse(struct trail_line *out, struct mf_span raw, struct mf_buf *room, struct mf_error *error)
{
    struct json_document document;
    *out = (struct trail_line){.raw = raw, .event = TRAIL_OTHER};
    mf_buf_clear(room);
    if (mf_buf_reserve(room, AUDIT_LINE_BYTES_MAX) != 0)
        return mf_fail(error, MF_MEMORY, AUDIT_FILE ": no memory");
    if (json_scan_error(&document, raw, &json_limits_default, error) != 0)
        return error->code == MF_MEMORY ? -1 : mf_fail(error, MF_STATE, AUDIT_FILE ": a line is no record");
    int status = 0;
    for (uint32_t key = json_first(&document, 0); key != JSON_NONE && status == 0; key = json_next(&document, 0, key)) {
        struct mf_span name;
        if (json_plain(&document, key, &name) == 0)
            status = take_member(&document, name, json_value(&document, key), room, out);
    }
    json_document_free(&document);
    if (status == 0 && out->n > 0)
        return 0;
    return mf_fail(error, MF_STATE, AUDIT_FILE ": line %llu has a member of the wrong kind",
                   (unsigned long long)out->n);
}
