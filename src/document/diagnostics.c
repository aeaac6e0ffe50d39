/* diagnostics.c - everything that is wrong with a file, at once */
#include "document/diagnostics.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "json/scan.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

/* Longest message and pointer, in characters: a cycle is printed as its whole path. */
#define MESSAGE_SHOWN_MAX 4000
#define POINTER_SHOWN_MAX 200
/* What is shown of a source line around the place: one line of a terminal. */
#define SOURCE_BEFORE_BYTES 60
#define SOURCE_BEHIND_BYTES 40

struct diagnostics {
    char *file_name;          /* owned, escaped */
    struct diagnostic *items; /* owned, with their texts */
    size_t capacity;
    uint32_t count;
    uint32_t shown_max;
    uint32_t found[2]; /* by kind */
};

static char *escaped_copy(const char *text, size_t shown_max)
{
    struct mf_buf shown;
    mf_buf_init(&shown, 6 * strlen(text) + 8);
    json_escape_shown(&shown, mf_span(text), shown_max);
    char *copy = mf_buf_take(&shown);
    mf_buf_free(&shown);
    return copy;
}

int diagnostics_create(struct diagnostics **out, const char *file_name, uint32_t shown_max, struct mf_error *error)
{
    struct diagnostics *diagnostics = mf_calloc(1, sizeof *diagnostics);
    if (diagnostics != NULL) {
        diagnostics->shown_max = shown_max;
        diagnostics->file_name = escaped_copy(file_name, POINTER_SHOWN_MAX);
    }
    if (diagnostics == NULL || diagnostics->file_name == NULL) {
        diagnostics_destroy(diagnostics);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    *out = diagnostics;
    return 0;
}

/* The texts are declared const for the readers; they are ours to free. */
static void free_text(const char *text)
{
    char *owned;
    memcpy(&owned, &text, sizeof owned);
    mf_free(owned);
}

static void free_item(struct diagnostic *item)
{
    free_text(item->pointer);
    free_text(item->message);
    free_text(item->suggestion);
    free_text(item->source);
}

void diagnostics_destroy(struct diagnostics *diagnostics)
{
    if (diagnostics == NULL)
        return;
    for (uint32_t i = 0; i < diagnostics->count; i++)
        free_item(&diagnostics->items[i]);
    mf_free(diagnostics->items);
    mf_free(diagnostics->file_name);
    mf_free(diagnostics);
}

uint32_t diagnostics_errors(const struct diagnostics *diagnostics)
{
    return diagnostics->found[DIAGNOSTIC_ERROR];
}

uint32_t diagnostics_notes(const struct diagnostics *diagnostics)
{
    return diagnostics->found[DIAGNOSTIC_NOTE];
}

uint32_t diagnostics_count(const struct diagnostics *diagnostics)
{
    return diagnostics->count;
}

const struct diagnostic *diagnostics_at(const struct diagnostics *diagnostics, uint32_t index)
{
    mf_assert(index < diagnostics->count);
    return &diagnostics->items[index];
}

bool diagnostics_full(const struct diagnostics *diagnostics)
{
    return diagnostics->count >= diagnostics->shown_max;
}

static bool inside_character(struct mf_span text, size_t at)
{
    return at < text.length && ((unsigned char)text.data[at] & 0xc0) == 0x80;
}

/* Appends text[first..end), a tab as one column. */
static void append_source(struct mf_buf *out, struct mf_span text, size_t first, size_t end)
{
    char piece[SOURCE_BEFORE_BYTES + SOURCE_BEHIND_BYTES + 8];
    size_t length = end - first < sizeof piece ? end - first : sizeof piece;
    for (size_t i = 0; i < length; i++)
        piece[i] = text.data[first + i] == '\t' || text.data[first + i] == '\r' ? ' ' : text.data[first + i];
    json_escape_shown(out, (struct mf_span){piece, length}, length);
}

static uint32_t columns_of(struct mf_span shown)
{
    uint32_t columns = 0;
    for (size_t i = 0; i < shown.length; i++)
        columns += !inside_character(shown, i);
    return columns;
}

/* The line around the place, cut on both sides where it is long. */
static char *source_line(struct mf_span text, size_t offset, uint32_t *caret)
{
    size_t first = offset;
    while (first > 0 && text.data[first - 1] != '\n' && offset - first < SOURCE_BEFORE_BYTES)
        first--;
    while (first < offset && inside_character(text, first))
        first++;
    size_t end = offset;
    while (end < text.length && text.data[end] != '\n' && end - offset < SOURCE_BEHIND_BYTES)
        end++;
    while (end > offset && inside_character(text, end))
        end--;
    struct mf_buf shown;
    mf_buf_init(&shown, 6 * (SOURCE_BEFORE_BYTES + SOURCE_BEHIND_BYTES) + 32);
    if (first > 0 && text.data[first - 1] != '\n')
        mf_buf_text(&shown, "...");
    append_source(&shown, text, first, offset);
    *caret = columns_of(mf_buf_view(&shown));
    append_source(&shown, text, offset, end);
    if (end < text.length && text.data[end] != '\n' && text.data[end] != '\r')
        mf_buf_text(&shown, "...");
    char *line = mf_buf_take(&shown);
    mf_buf_free(&shown);
    return line;
}

static char *format_text(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static char *format_text(const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *raw = length >= 0 ? mf_alloc((size_t)length + 1) : NULL;
    if (raw == NULL)
        return NULL;
    vsnprintf(raw, (size_t)length + 1, format, arguments);
    char *shown = escaped_copy(raw, MESSAGE_SHOWN_MAX);
    mf_free(raw);
    return shown;
}

/* Everything but the message; -1 when a text could not be made. */
static int fill_place(struct diagnostic *item, const struct diagnostic_place *place)
{
    item->pointer = escaped_copy(place->pointer != NULL ? place->pointer : "", POINTER_SHOWN_MAX);
    item->suggestion = escaped_copy(place->suggestion != NULL ? place->suggestion : "", MESSAGE_SHOWN_MAX);
    size_t offset = place->offset < place->text.length ? place->offset : place->text.length;
    if (place->text.length > 0)
        json_position(place->text, (uint32_t)offset, &item->line, &item->column);
    item->offset = (uint32_t)offset;
    item->source =
        place->text.length > 0 && !place->secret ? source_line(place->text, offset, &item->caret) : mf_strdup("");
    return item->pointer != NULL && item->suggestion != NULL && item->source != NULL ? 0 : -1;
}

int diagnostics_add_list(struct diagnostics *diagnostics, enum diagnostic_kind kind,
                         const struct diagnostic_place *place, const char *format, va_list arguments)
{
    diagnostics->found[kind]++;
    if (diagnostics_full(diagnostics))
        return 0;
    void *items = diagnostics->items;
    if (mf_grow(&items, &diagnostics->capacity, diagnostics->count + (size_t)1, sizeof *diagnostics->items, 4) != 0)
        return -1;
    diagnostics->items = items;
    struct diagnostic item = {.kind = kind, .message = format_text(format, arguments)};
    if (item.message == NULL || fill_place(&item, place) != 0) {
        free_item(&item);
        return -1;
    }
    diagnostics->items[diagnostics->count++] = item;
    return 0;
}

int diagnostics_add(struct diagnostics *diagnostics, enum diagnostic_kind kind, const struct diagnostic_place *place,
                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = diagnostics_add_list(diagnostics, kind, place, format, arguments);
    va_end(arguments);
    return result;
}

void diagnostics_sort(struct diagnostics *diagnostics)
{
    for (uint32_t i = 1; i < diagnostics->count; i++) { /* stable, and there are few */
        struct diagnostic item = diagnostics->items[i];
        uint32_t at = i;
        for (; at > 0 && diagnostics->items[at - 1].offset > item.offset; at--)
            diagnostics->items[at] = diagnostics->items[at - 1];
        diagnostics->items[at] = item;
    }
}

static const char *kind_name(enum diagnostic_kind kind)
{
    static const char *const names[] = {
#define X(kind, name) [DIAGNOSTIC_##kind] = name,
        DIAGNOSTIC_KINDS(X)
#undef X
    };
    return names[kind];
}

static void print_item(const struct diagnostics *diagnostics, const struct diagnostic *item, struct mf_buf *out)
{
    mf_buf_text(out, diagnostics->file_name);
    if (item->line > 0)
        mf_buf_printf(out, ":%u:%u", item->line, item->column);
    mf_buf_printf(out, ": %s: %s", kind_name(item->kind), item->message);
    if (item->suggestion[0] != '\0')
        mf_buf_printf(out, "; %s", item->suggestion);
    if (item->pointer[0] != '\0')
        mf_buf_printf(out, " (%s)", item->pointer);
    mf_buf_char(out, '\n');
    if (item->source[0] != '\0')
        mf_buf_printf(out, "%7u | %s\n%7s | %*s^\n", item->line, item->source, "", (int)item->caret, "");
}

int diagnostics_print(const struct diagnostics *diagnostics, struct mf_buf *out)
{
    for (uint32_t i = 0; i < diagnostics->count; i++)
        print_item(diagnostics, &diagnostics->items[i], out);
    uint32_t found = diagnostics->found[DIAGNOSTIC_ERROR] + diagnostics->found[DIAGNOSTIC_NOTE];
    if (found > diagnostics->count)
        mf_buf_printf(out, "%s: and %u more\n", diagnostics->file_name, found - diagnostics->count);
    return out->failed ? -1 : 0;
}

/* The texts are escaped for a terminal already; JSON escapes their backslashes once more, which readers undo. */
int diagnostics_json(const struct diagnostics *diagnostics, struct mf_buf *out)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_array(&writer);
    for (uint32_t i = 0; i < diagnostics->count; i++) {
        const struct diagnostic *item = &diagnostics->items[i];
        json_open_object(&writer);
        json_member_string(&writer, "kind", kind_name(item->kind));
        json_member_string(&writer, "file", diagnostics->file_name);
        json_member_u64(&writer, "line", item->line);
        json_member_u64(&writer, "column", item->column);
        json_member_string(&writer, "pointer", item->pointer);
        json_member_string(&writer, "message", item->message);
        json_member_string(&writer, "suggestion", item->suggestion[0] != '\0' ? item->suggestion : NULL);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    return out->failed ? -1 : 0;
}

static const struct diagnostic *first_error(const struct diagnostics *diagnostics)
{
    for (uint32_t i = 0; i < diagnostics->count; i++) {
        if (diagnostics->items[i].kind == DIAGNOSTIC_ERROR)
            return &diagnostics->items[i];
    }
    return NULL;
}

int diagnostics_fail(const struct diagnostics *diagnostics, struct mf_error *error)
{
    uint32_t errors = diagnostics->found[DIAGNOSTIC_ERROR];
    const struct diagnostic *first = first_error(diagnostics);
    if (first == NULL)
        return mf_fail(error, MF_INPUT, "%s: %u errors", diagnostics->file_name, errors);
    char place[32] = "";
    char more[48] = "";
    if (first->line > 0)
        snprintf(place, sizeof place, ":%u:%u", first->line, first->column);
    if (errors > 1)
        snprintf(more, sizeof more, " (and %u more error%s)", errors - 1, errors > 2 ? "s" : "");
    return mf_fail(error, MF_INPUT, "%s%s: %.600s%s%.200s%s", diagnostics->file_name, place, first->message,
                   first->suggestion[0] != '\0' ? "; " : "", first->suggestion, more);
}
