/*
 * report_trail.c - any bytes as a line of audit.log, and as edits of a text: what is taken apart stays within what was given, and
 * a diff of edits never reads beyond them
 */
#include "report/diff.h"
#include "report/trail.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_span(struct mf_span text, struct mf_span raw, const struct mf_buf *room)
{
    if (text.length == 0)
        return;
    bool in_raw = text.data >= raw.data && text.data + text.length <= raw.data + raw.length;
    bool in_room = text.data >= room->data && text.data + text.length <= room->data + room->length;
    require(in_raw || in_room);
    require(mf_utf8_valid(text.data, text.length));
}

static void check_line(struct mf_span raw)
{
    struct trail_line line;
    struct mf_buf room;
    struct mf_error error = {0};
    mf_buf_init(&room, 2 * AUDIT_LINE_BYTES_MAX);
    if (trail_parse(&line, raw, &room, &error) == 0) {
        require(line.n > 0);
#define X(name) check_span(line.name, raw, &room);
        TRAIL_TEXTS(X)
        X(model)
#undef X
    } else {
        require(error.text[0] != '\0');
    }
    mf_buf_free(&room);
}

/* The first bytes say where and how long the edits are; the rest is the text. */
static void check_diff(const uint8_t *data, size_t size)
{
    struct diff_edit edits[4];
    struct mf_buf out;
    struct mf_error error;
    size_t count = 0;
    size_t at = 0;
    if (size < 10)
        return;
    struct mf_span old = {(const char *)data + 9, size - 9};
    for (; count < 4; count++) {
        size_t offset = at + data[2 * count];
        size_t length = data[2 * count + 1] % 16;
        if (offset + length > old.length)
            break;
        edits[count] = (struct diff_edit){offset, length, count % 2 == 0 ? MF_SPAN("a\nb") : MF_SPAN("")};
        at = offset + length + 1;
    }
    if (count == 0)
        return;
    mf_buf_init(&out, 1u << 22);
    require(diff_make(old, edits, count, "g", &out, &error) == 0);
    require(memmem(out.data, out.length, "@@ -", 4) != NULL);
    mf_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < AUDIT_LINE_BYTES_MAX)
        check_line((struct mf_span){(const char *)data, size});
    check_diff(data, size);
    return 0;
}
