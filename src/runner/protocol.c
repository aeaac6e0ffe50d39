/* protocol.c - frames between the orchestrator, the runner and its spawner: one table, one reader, one writer */
#include "runner/protocol.h"

#include "base/alloc.h"

#include <string.h>

struct type_row {
    const char *name;
    uint16_t number;
    unsigned senders;
    uint32_t descriptors;
};

static const struct type_row type_rows[] = {
#define X(name, number, senders, descriptors) {#name, number, senders, descriptors},
    FRAME_TYPES(X)
#undef X
};

static const struct type_row *type_row(uint16_t type)
{
    for (size_t i = 0; i < sizeof type_rows / sizeof type_rows[0]; i++)
        if (type_rows[i].number == type)
            return &type_rows[i];
    return NULL;
}

const char *frame_type_name(uint16_t type)
{
    const struct type_row *row = type_row(type);
    return row != NULL ? row->name : "?";
}

uint32_t frame_type_descriptors(uint16_t type)
{
    const struct type_row *row = type_row(type);
    return row != NULL ? row->descriptors : 0;
}

static uint64_t load(const char *at, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = bytes; i > 0; i--)
        number = number << 8 | (unsigned char)at[i - 1];
    return number;
}

static void store(char *at, size_t bytes, uint64_t number)
{
    for (size_t i = 0; i < bytes; i++, number >>= 8)
        at[i] = (char)(unsigned char)(number & 0xff);
}

enum frame_parse frame_parse(struct mf_span bytes, unsigned senders, struct frame *frame, size_t *consumed)
{
    if (bytes.length < FRAME_LENGTH_BYTES)
        return FRAME_PARSE_PARTIAL;
    uint64_t length = load(bytes.data, FRAME_LENGTH_BYTES);
    if (length > FRAME_BYTES_MAX || length < FRAME_HEAD_BYTES - FRAME_LENGTH_BYTES)
        return FRAME_PARSE_BAD;
    if (bytes.length < FRAME_HEAD_BYTES)
        return FRAME_PARSE_PARTIAL;
    frame->type = (uint16_t)load(bytes.data + 4, 2);
    const struct type_row *row = type_row(frame->type);
    if (row == NULL || (row->senders & senders) == 0)
        return FRAME_PARSE_BAD;
    if (bytes.length < FRAME_LENGTH_BYTES + length)
        return FRAME_PARSE_PARTIAL;
    frame->stage = load(bytes.data + 6, 8);
    frame->lease = load(bytes.data + 14, 8);
    frame->payload =
        (struct mf_span){bytes.data + FRAME_HEAD_BYTES, (size_t)length + FRAME_LENGTH_BYTES - FRAME_HEAD_BYTES};
    *consumed = FRAME_LENGTH_BYTES + (size_t)length;
    return FRAME_PARSE_WHOLE;
}

/* --- writing --- */

void frame_begin(struct frame_writer *writer, struct mf_buf *out, enum frame_type type, uint64_t stage, uint64_t lease)
{
    writer->out = out;
    writer->start = out->length;
    char head[FRAME_HEAD_BYTES];
    store(head, 4, 0); /* known at the end */
    store(head + 4, 2, (uint64_t)type);
    store(head + 6, 8, stage);
    store(head + 14, 8, lease);
    mf_buf_append(out, head, sizeof head);
}

void frame_put_span(struct frame_writer *writer, struct mf_span span)
{
    char length[4];
    if (span.length > FRAME_BYTES_MAX) {
        writer->out->failed = true;
        return;
    }
    store(length, sizeof length, span.length);
    mf_buf_append(writer->out, length, sizeof length);
    if (span.length > 0)
        mf_buf_append(writer->out, span.data, span.length);
}

void frame_put_text(struct frame_writer *writer, const char *text)
{
    frame_put_span(writer, mf_span(text));
}

void frame_put_u64(struct frame_writer *writer, uint64_t number)
{
    char bytes[8];
    store(bytes, sizeof bytes, number);
    frame_put_span(writer, (struct mf_span){bytes, sizeof bytes});
}

void frame_put_i64(struct frame_writer *writer, int64_t number)
{
    frame_put_u64(writer, (uint64_t)number);
}

void frame_put_flag(struct frame_writer *writer, bool flag)
{
    frame_put_u64(writer, flag ? 1 : 0);
}

int frame_end(struct frame_writer *writer)
{
    struct mf_buf *out = writer->out;
    size_t length = out->length - writer->start;
    if (out->failed || length < FRAME_HEAD_BYTES || length > FRAME_WHOLE_BYTES_MAX) {
        if (out->data != NULL && out->length > writer->start)
            mf_wipe(out->data + writer->start, out->length - writer->start);
        out->length = writer->start;
        out->failed = false;
        return -1;
    }
    store(out->data + writer->start, FRAME_LENGTH_BYTES, length - FRAME_LENGTH_BYTES);
    return 0;
}

/* --- reading --- */

void frame_read(struct frame_reader *reader, struct mf_span payload)
{
    *reader = (struct frame_reader){payload.data, payload.length, false};
}

struct mf_span frame_take_span(struct frame_reader *reader)
{
    if (reader->bad || reader->left < 4) {
        reader->bad = true;
        return MF_SPAN("");
    }
    uint64_t length = load(reader->at, 4);
    if (length > reader->left - 4) {
        reader->bad = true;
        return MF_SPAN("");
    }
    struct mf_span span = {reader->at + 4, (size_t)length};
    reader->at += 4 + length;
    reader->left -= 4 + (size_t)length;
    return span;
}

uint64_t frame_take_u64(struct frame_reader *reader)
{
    struct mf_span span = frame_take_span(reader);
    if (span.length != 8) {
        reader->bad = true;
        return 0;
    }
    return load(span.data, 8);
}

int64_t frame_take_i64(struct frame_reader *reader)
{
    return (int64_t)frame_take_u64(reader);
}

uint32_t frame_take_u32(struct frame_reader *reader)
{
    uint64_t number = frame_take_u64(reader);
    if (number > UINT32_MAX)
        reader->bad = true;
    return reader->bad ? 0 : (uint32_t)number;
}

bool frame_take_flag(struct frame_reader *reader)
{
    uint64_t number = frame_take_u64(reader);
    if (number > 1)
        reader->bad = true;
    return !reader->bad && number == 1;
}

uint32_t frame_take_count(struct frame_reader *reader)
{
    uint32_t count = frame_take_u32(reader);
    if (count > reader->left / 4)
        reader->bad = true;
    return reader->bad ? 0 : count;
}

void frame_take_text(struct frame_reader *reader, char *out, size_t out_bytes)
{
    if (mf_span_copy(frame_take_span(reader), out, out_bytes) != 0)
        reader->bad = true;
    if (reader->bad)
        out[0] = '\0';
}

bool frame_read_end(const struct frame_reader *reader)
{
    return !reader->bad && reader->left == 0;
}
