/* diff.c - a unified diff of known edits: nothing is compared, the lines that an edit touches are replaced */
#include "report/diff.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT 3u

struct walk { /* over the old text, line by line */
    struct mf_span old;
    const struct diff_edit *edits;
    size_t count;
    size_t at, line; /* of the next old line: offset, number from 0 */
    int64_t shift;   /* lines that the new text has more so far */
    struct mf_buf *out;
};

static int by_offset(const void *left, const void *right)
{
    const struct diff_edit *a = left;
    const struct diff_edit *b = right;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static size_t line_start(struct mf_span text, size_t at)
{
    while (at > 0 && text.data[at - 1] != '\n')
        at--;
    return at;
}

/* Behind the newline of the line that holds `at`. */
static size_t line_end(struct mf_span text, size_t at)
{
    const char *newline = at < text.length ? memchr(text.data + at, '\n', text.length - at) : NULL;
    return newline != NULL ? (size_t)(newline - text.data) + 1 : text.length;
}

static size_t lines_in(struct mf_span text)
{
    size_t lines = text.length > 0 && text.data[text.length - 1] != '\n';
    for (size_t i = 0; i < text.length; i++)
        lines += text.data[i] == '\n';
    return lines;
}

static void put_lines(struct mf_buf *out, char mark, struct mf_span text)
{
    for (size_t at = 0; at < text.length;) {
        size_t end = line_end(text, at);
        mf_buf_char(out, mark);
        mf_buf_append(out, text.data + at, end - at);
        if (text.data[end - 1] != '\n')
            mf_buf_text(out, "\n\\ No newline at end of file\n");
        at = end;
    }
}

static struct mf_span part(struct mf_span text, size_t from, size_t to)
{
    return (struct mf_span){text.data + from, to - from};
}

/* Where a hunk that starts with edit `first` ends: edits whose lines meet its context belong to it. */
static size_t hunk_edits(const struct walk *walk, size_t first)
{
    size_t last = first;
    while (last + 1 < walk->count) {
        size_t end = line_end(walk->old, walk->edits[last].offset + walk->edits[last].length);
        size_t start = line_start(walk->old, walk->edits[last + 1].offset);
        if (start > end && lines_in(part(walk->old, end, start)) > 2 * CONTEXT)
            break;
        last++;
    }
    return last + 1;
}

static size_t back(struct mf_span text, size_t at, size_t from, size_t lines)
{
    for (; lines > 0 && at > from; lines--)
        at = line_start(text, at - 1);
    return at;
}

static size_t forth(struct mf_span text, size_t at, size_t lines)
{
    for (; lines > 0 && at < text.length; lines--)
        at = line_end(text, at);
    return at;
}

/* How much the two share at the start, in whole lines. */
static size_t same_start(struct mf_span old, struct mf_span fresh)
{
    size_t at = 0;
    while (at < old.length && at < fresh.length) {
        size_t end = line_end(old, at);
        if (line_end(fresh, at) != end || memcmp(old.data + at, fresh.data + at, end - at) != 0)
            break;
        at = end;
    }
    return at;
}

static size_t same_end(struct mf_span old, struct mf_span fresh)
{
    size_t bytes = 0;
    while (bytes < old.length && bytes < fresh.length) {
        size_t start = line_start(old, old.length - bytes - 1);
        size_t length = old.length - bytes - start;
        if (length > fresh.length - bytes ||
            line_start(fresh, fresh.length - bytes - 1) != fresh.length - bytes - length ||
            memcmp(old.data + start, fresh.data + fresh.length - bytes - length, length) != 0)
            break;
        bytes += length;
    }
    return bytes;
}

/* An edit may cover lines that stay as they are: they are context. */
static void put_change(struct mf_buf *body, struct mf_span old, struct mf_span fresh)
{
    size_t start = same_start(old, fresh);
    struct mf_span gone = part(old, start, old.length);
    struct mf_span come = part(fresh, start, fresh.length);
    size_t end = same_end(gone, come);
    put_lines(body, ' ', part(old, 0, start));
    put_lines(body, '-', part(gone, 0, gone.length - end));
    put_lines(body, '+', part(come, 0, come.length - end));
    put_lines(body, ' ', part(gone, gone.length - end, gone.length));
}

/* The body of one hunk: context, and for each run of edited lines what goes and what comes. */
static void put_body(const struct walk *walk, size_t first, size_t last, size_t start, size_t end, struct mf_buf *body,
                     struct mf_buf *fresh)
{
    size_t at = start;
    for (size_t i = first; i < last;) {
        size_t from = line_start(walk->old, walk->edits[i].offset);
        size_t to = from;
        mf_buf_clear(fresh);
        for (size_t copied = from; i < last; i++) {
            const struct diff_edit *edit = &walk->edits[i];
            if (to > from && line_start(walk->old, edit->offset) >= to)
                break;
            mf_buf_span(fresh, part(walk->old, copied, edit->offset));
            mf_buf_span(fresh, edit->text);
            copied = edit->offset + edit->length;
            to = line_end(walk->old, copied);
            bool more = i + 1 < last && line_start(walk->old, walk->edits[i + 1].offset) < to;
            if (!more)
                mf_buf_span(fresh, part(walk->old, copied, to));
        }
        put_lines(body, ' ', part(walk->old, at, from));
        put_change(body, part(walk->old, from, to), mf_buf_view(fresh));
        at = to;
    }
    put_lines(body, ' ', part(walk->old, at, end));
}

static size_t marked(struct mf_span body, char mark)
{
    size_t lines = 0;
    for (size_t at = 0; at < body.length; at = line_end(body, at))
        lines += body.data[at] == ' ' || body.data[at] == mark;
    return lines;
}

static void put_hunk(struct walk *walk, size_t first, size_t last, struct mf_buf *body, struct mf_buf *fresh)
{
    const struct diff_edit *final = &walk->edits[last - 1];
    size_t start = back(walk->old, line_start(walk->old, walk->edits[first].offset), walk->at, CONTEXT);
    size_t end = forth(walk->old, line_end(walk->old, final->offset + final->length), CONTEXT);
    walk->line += lines_in(part(walk->old, walk->at, start));
    mf_buf_clear(body);
    put_body(walk, first, last, start, end, body, fresh);
    size_t gone = marked(mf_buf_view(body), '-');
    size_t come = marked(mf_buf_view(body), '+');
    mf_buf_printf(walk->out, "@@ -%zu,%zu +%lld,%zu @@\n", walk->line + 1, gone,
                  (long long)((int64_t)walk->line + 1 + walk->shift), come);
    mf_buf_span(walk->out, mf_buf_view(body));
    walk->shift += (int64_t)come - (int64_t)gone;
    walk->line += gone;
    walk->at = end;
}

int diff_make(struct mf_span old, struct diff_edit *edits, size_t count, const char *name, struct mf_buf *out,
              struct mf_error *error)
{
    struct walk walk = {.old = old, .edits = edits, .count = count, .out = out};
    struct mf_buf body;
    struct mf_buf fresh;
    mf_assert(count > 0);
    mf_buf_init(&body, out->bytes_max);
    mf_buf_init(&fresh, out->bytes_max);
    qsort(edits, count, sizeof *edits, by_offset);
    mf_buf_printf(out, "--- a/%s\n+++ b/%s\n", name, name);
    for (size_t first = 0; first < count;) {
        size_t last = hunk_edits(&walk, first);
        put_hunk(&walk, first, last, &body, &fresh);
        first = last;
    }
    bool failed = out->failed || body.failed || fresh.failed;
    mf_buf_free(&body);
    mf_buf_free(&fresh);
    return failed ? mf_fail(error, MF_MEMORY, "audit: no memory for the patch") : 0;
}
