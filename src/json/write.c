/* write.c - writes one JSON value into a buffer, compactly */
#include "json/write.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Code points above ASCII that reorder, hide or break a line: first and last of each range. */
static const uint32_t unsafe_ranges[][2] = {
    {0x80, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200f},
    {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

static bool is_unsafe(uint32_t code_point)
{
    for (size_t i = 0; i < sizeof unsafe_ranges / sizeof unsafe_ranges[0]; i++) {
        if (code_point <= unsafe_ranges[i][1])
            return code_point >= unsafe_ranges[i][0];
    }
    return false;
}

static void append_hex(struct mf_buf *out, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {
        '\\', 'u', digits[unit >> 12 & 15], digits[unit >> 8 & 15], digits[unit >> 4 & 15], digits[unit & 15]};
    mf_buf_append(out, escape, sizeof escape);
}

static void append_code_point_escape(struct mf_buf *out, uint32_t code_point)
{
    static const char names[] = "btn\0fr"; /* from U+0008 on */
    if (code_point >= 0x10000) {
        append_hex(out, 0xd800 + ((code_point - 0x10000) >> 10));
        append_hex(out, 0xdc00 + ((code_point - 0x10000) & 0x3ff));
    } else if (code_point >= 8 && code_point <= 13 && names[code_point - 8] != '\0') {
        mf_buf_append(out, (char[2]){'\\', names[code_point - 8]}, 2);
    } else {
        append_hex(out, code_point);
    }
}

/* Appends one character that may need care, and returns how many bytes of the text it took. */
static size_t append_character(struct mf_buf *out, struct mf_span text, bool quotes)
{
    uint32_t code_point;
    size_t step = mf_utf8_step(text.data, text.length, &code_point);
    if (step == 0) {
        mf_buf_text(out, "\xef\xbf\xbd");
        return 1;
    }
    if (code_point < 0x20 || code_point == 0x7f || is_unsafe(code_point)) {
        append_code_point_escape(out, code_point);
        return step;
    }
    if (quotes && (code_point == '"' || code_point == '\\'))
        mf_buf_char(out, '\\');
    mf_buf_append(out, text.data, step);
    return step;
}

static size_t plain_run(struct mf_span text)
{
    size_t run = 0;
    while (run < text.length) {
        unsigned char byte = (unsigned char)text.data[run];
        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\')
            break;
        run++;
    }
    return run;
}

int json_escape(struct mf_buf *out, struct mf_span text)
{
    mf_buf_char(out, '"');
    while (text.length > 0 && !out->failed) {
        size_t step = plain_run(text);
        if (step > 0)
            mf_buf_append(out, text.data, step);
        else
            step = append_character(out, text, true);
        text = (struct mf_span){text.data + step, text.length - step};
    }
    mf_buf_char(out, '"');
    return out->failed ? -1 : 0;
}

int json_escape_shown(struct mf_buf *out, struct mf_span text, size_t shown_max)
{
    for (size_t shown = 0; text.length > 0 && !out->failed; shown++) {
        if (shown == shown_max) {
            mf_buf_text(out, "...");
            break;
        }
        size_t step = append_character(out, text, false);
        text = (struct mf_span){text.data + step, text.length - step};
    }
    return out->failed ? -1 : 0;
}

void json_begin(struct json_writer *writer, struct mf_buf *out)
{
    *writer = (struct json_writer){.out = out};
}

/* Puts the comma in front of a value or key where one stands before. */
static void separate(struct json_writer *writer)
{
    if (writer->comma)
        mf_buf_char(writer->out, ',');
    writer->comma = true;
}

static void open_level(struct json_writer *writer, char bracket)
{
    separate(writer);
    mf_buf_char(writer->out, bracket);
    writer->comma = false;
}

static void close_level(struct json_writer *writer, char bracket)
{
    mf_buf_char(writer->out, bracket);
    writer->comma = true;
}

void json_open_object(struct json_writer *writer)
{
    open_level(writer, '{');
}

void json_close_object(struct json_writer *writer)
{
    close_level(writer, '}');
}

void json_open_array(struct json_writer *writer)
{
    open_level(writer, '[');
}

void json_close_array(struct json_writer *writer)
{
    close_level(writer, ']');
}

void json_key_span(struct json_writer *writer, struct mf_span key)
{
    separate(writer);
    json_escape(writer->out, key);
    mf_buf_char(writer->out, ':');
    writer->comma = false;
}

void json_key(struct json_writer *writer, const char *key)
{
    json_key_span(writer, mf_span(key));
}

void json_raw_value(struct json_writer *writer, struct mf_span text)
{
    separate(writer);
    mf_buf_span(writer->out, text);
}

void json_string_span(struct json_writer *writer, struct mf_span text)
{
    separate(writer);
    json_escape(writer->out, text);
}

void json_string(struct json_writer *writer, const char *text)
{
    if (text == NULL)
        json_null(writer);
    else
        json_string_span(writer, mf_span(text));
}

void json_i64(struct json_writer *writer, int64_t number)
{
    separate(writer);
    mf_buf_printf(writer->out, "%" PRId64, number);
}

void json_u64(struct json_writer *writer, uint64_t number)
{
    separate(writer);
    mf_buf_printf(writer->out, "%" PRIu64, number);
}

void json_number(struct json_writer *writer, double number)
{
    char text[32];
    if (isfinite(number))
        json_raw_value(writer, mf_span(mf_format_double(number, text)));
    else
        json_null(writer);
}

void json_boolean(struct json_writer *writer, bool value)
{
    json_raw_value(writer, value ? MF_SPAN("true") : MF_SPAN("false"));
}

void json_null(struct json_writer *writer)
{
    json_raw_value(writer, MF_SPAN("null"));
}

void json_member_string(struct json_writer *writer, const char *key, const char *text)
{
    json_key(writer, key);
    json_string(writer, text);
}

void json_member_span(struct json_writer *writer, const char *key, struct mf_span text)
{
    json_key(writer, key);
    json_string_span(writer, text);
}

void json_member_i64(struct json_writer *writer, const char *key, int64_t number)
{
    json_key(writer, key);
    json_i64(writer, number);
}

void json_member_u64(struct json_writer *writer, const char *key, uint64_t number)
{
    json_key(writer, key);
    json_u64(writer, number);
}

void json_member_bool(struct json_writer *writer, const char *key, bool value)
{
    json_key(writer, key);
    json_boolean(writer, value);
}
