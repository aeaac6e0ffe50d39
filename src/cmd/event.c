/* event.c - one record of the journal as a line */
#include "cmd/event.h"

#include "store/record.h"
#include "json/scan.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *path_of(const struct view *view, int64_t node)
{
    return node >= 0 && node < view_task_count(view) ? view_task(view, (uint32_t)node)->path : NULL;
}

/* The record's own members after ours; damaged ones are left out, so that a line is always valid JSON. */
static bool extra_valid(struct mf_span extra, struct mf_buf *object, struct json_document *document)
{
    if (extra.length == 0)
        return false;
    mf_buf_printf(object, "{%.*s}", MF_SPAN_ARGS(extra));
    return !object->failed && json_scan(document, mf_buf_view(object), &json_limits_default, NULL) == 0;
}

static void json_facts(struct json_writer *writer, const struct core_record *record)
{
    for (int fact = CORE_FACT_NONE + 1; fact < CORE_FACT_KIND_COUNT; fact++) {
        int64_t value;
        if (!record_fact(record, (enum core_fact)fact, &value))
            continue;
        const char *word = record_fact_word((enum core_fact)fact, value);
        if (word != NULL)
            json_member_string(writer, record_fact_name((enum core_fact)fact), word);
        else
            json_member_i64(writer, record_fact_name((enum core_fact)fact), value);
    }
}

void event_json(struct mf_buf *out, const struct view *view, const struct core_record *record, struct mf_span extra)
{
    struct json_writer writer;
    struct mf_buf object;
    struct json_document document;
    char tag[96];
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_string(&writer, "type", view_record_name(record->kind));
    json_member_i64(&writer, "at_ms", record->at_ms);
    json_member_u64(&writer, "seq", record->seq);
    if (record->node != CORE_NONE)
        json_member_string(&writer, "task", path_of(view, record->node));
    if (record->account != CORE_NONE) {
        view_tag(view, record->account, tag, sizeof tag);
        json_member_string(&writer, "account", tag);
    }
    json_facts(&writer, record);
    mf_buf_init(&object, RECORD_EXTRA_BYTES_MAX + 2);
    if (extra_valid(extra, &object, &document)) {
        mf_buf_char(out, ',');
        mf_buf_span(out, extra);
        json_document_free(&document);
    }
    mf_buf_free(&object);
    json_close_object(&writer);
}

/* --- for people --- */

static void text_time(struct mf_buf *out, int64_t at_ms)
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm local;
    char clock[16] = "?";
    if (localtime_r(&seconds, &local) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    mf_buf_printf(out, "%s.%03d", clock, (int)(at_ms % 1000));
}

static void text_fact(struct mf_buf *out, const struct view *view, enum core_fact fact, int64_t value,
                      const char *before)
{
    const char *word = record_fact_word(fact, value), *name = record_fact_name(fact);
    const char *path = fact == CORE_FACT_TASK ? path_of(view, value) : NULL;
    mf_buf_printf(out, "%s%s ", before, name);
    if (word != NULL || path != NULL)
        mf_buf_text(out, word != NULL ? word : path);
    else
        mf_buf_printf(out, "%lld", (long long)value);
}

static void text_extra(struct mf_buf *out, struct mf_span extra, const char *before)
{
    struct mf_buf object;
    struct json_document document;
    mf_buf_init(&object, RECORD_EXTRA_BYTES_MAX + 2);
    if (extra_valid(extra, &object, &document)) {
        for (uint32_t key = json_first(&document, 0); key != JSON_NONE; key = json_next(&document, 0, key)) {
            mf_buf_text(out, before);
            json_text(&document, key, out);
            mf_buf_char(out, ' ');
            if (json_text(&document, json_value(&document, key), out) != 0)
                mf_buf_span(out, json_raw(&document, json_value(&document, key)));
            before = ", ";
        }
        json_document_free(&document);
    }
    mf_buf_free(&object);
}

void event_text(struct mf_buf *out, const struct view *view, const struct core_record *record, struct mf_span extra)
{
    struct mf_buf line;
    char tag[96] = "";
    const char *subject = record->node != CORE_NONE ? path_of(view, record->node) : tag, *before = "  ";
    if (record->account != CORE_NONE)
        view_tag(view, record->account, tag, sizeof tag);
    mf_buf_init(&line, 2 * RECORD_EXTRA_BYTES_MAX);
    text_time(&line, record->at_ms);
    mf_buf_printf(&line, "  %-17s  %s", view_record_name(record->kind), subject != NULL ? subject : "?");
    for (int fact = CORE_FACT_NONE + 1; fact < CORE_FACT_KIND_COUNT; fact++) {
        int64_t value;
        if (!record_fact(record, (enum core_fact)fact, &value))
            continue;
        text_fact(&line, view, (enum core_fact)fact, value, before);
        before = ", ";
    }
    text_extra(&line, extra, before);
    json_escape_shown(out, mf_buf_view(&line), line.length);
    mf_buf_free(&line);
}
