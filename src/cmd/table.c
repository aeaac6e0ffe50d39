/* table.c - aligned columns for people: colour only on a terminal, texts escaped */
#include "cmd/table.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "json/write.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_TEXT_BYTES_MAX (1u << 30) /* a million rows of a kilobyte */
#define CELL_BYTES_MAX 1024
#define COLOUR_OFF "\033[0m"

/* word, sequence: red needs a person, yellow is on its way, green is well */
#define STATE_COLOURS(X)                                                                                               \
    X("succeeded", "\033[32m")                                                                                         \
    X("gone", "\033[32m") X("finished", "\033[32m") X("expired", "\033[32m") X("ok", "\033[32m")                       \
        X("failed", "\033[31m") X("timed_out", "\033[31m") X("leaked", "\033[31m") X("unfinished", "\033[31m")         \
            X("damaged", "\033[31m") X("problem", "\033[31m") X("cancelled", "\033[33m") X("running", "\033[36m")      \
                X("verifying", "\033[36m") X("expiring", "\033[33m") X("claimable", "\033[33m")                        \
                    X("unknown", "\033[33m") X("note", "\033[33m") X("backoff", "\033[33m")

struct cell {
    size_t offset, length; /* in text */
    unsigned width;        /* characters */
    const char *colour;    /* static; "" without */
};

struct table {
    struct mf_buf text;
    struct cell *cells; /* owned; the first row are the titles */
    size_t cell_count, cell_capacity;
    size_t columns;
    bool right[TABLE_COLUMNS_MAX];
    bool failed;
};

bool table_colour(FILE *out)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return (none == NULL || none[0] == '\0') && isatty(fileno(out)) != 0 && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

const char *table_colour_of(const char *state)
{
    static const struct {
        const char *word, *colour;
    } colours[] = {
#define X(word, colour) {word, colour},
        STATE_COLOURS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++)
        if (strcmp(colours[i].word, state) == 0)
            return colours[i].colour;
    return "";
}

static unsigned width_of(const char *text, size_t length)
{
    unsigned width = 0;
    for (size_t i = 0; i < length; i++)
        width += ((unsigned char)text[i] & 0xc0u) != 0x80u; /* characters, not bytes */
    return width;
}

static void add_cell(struct table *table, const char *text, const char *colour)
{
    struct cell cell = {.offset = table->text.length, .colour = colour};
    if (json_escape_shown(&table->text, mf_span(text), CELL_BYTES_MAX) != 0 ||
        mf_grow((void **)&table->cells, &table->cell_capacity, table->cell_count + 1, sizeof cell, 64) != 0) {
        table->failed = true;
        return;
    }
    cell.length = table->text.length - cell.offset;
    cell.width = width_of(table->text.data + cell.offset, cell.length);
    table->cells[table->cell_count++] = cell;
}

static void add_title(struct table *table, const char *title, size_t length)
{
    char text[64];
    bool right = length > 0 && title[length - 1] == '>';
    snprintf(text, sizeof text, "%.*s", (int)(right ? length - 1 : length), title);
    table->right[table->columns++] = right;
    add_cell(table, text, "\033[1m");
}

int table_create(struct table **out, const char *titles, struct mf_error *error)
{
    struct table *table = mf_calloc(1, sizeof *table);
    if (table == NULL)
        return mf_fail(error, MF_MEMORY, "table: no memory");
    mf_buf_init(&table->text, TABLE_TEXT_BYTES_MAX);
    while (*titles != '\0' && table->columns < TABLE_COLUMNS_MAX) {
        size_t length = strcspn(titles, " ");
        add_title(table, titles, length);
        titles += length + (titles[length] == ' ');
    }
    *out = table;
    return 0;
}

void table_destroy(struct table *table)
{
    if (table == NULL)
        return;
    mf_buf_free(&table->text);
    mf_free(table->cells);
    mf_free(table);
}

void table_cell(struct table *table, const char *format, ...)
{
    char text[CELL_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_cell(table, text, "");
}

void table_state(struct table *table, const char *state)
{
    add_cell(table, state, table_colour_of(state));
}

size_t table_rows(const struct table *table)
{
    return table->cell_count / table->columns - 1;
}

/* Spaces that are owed come before the next text, so that no line ends with them. */
static unsigned print_cell(const struct table *table, const struct cell *cell, unsigned width, bool right,
                           unsigned owed, FILE *out)
{
    unsigned pad = width > cell->width ? width - cell->width : 0;
    bool coloured = cell->colour[0] != '\0' && table_colour(out);
    if (cell->length == 0)
        return owed + width + 2;
    fprintf(out, "%*s%s%.*s%s", (int)(owed + (right ? pad : 0)), "", coloured ? cell->colour : "", (int)cell->length,
            table->text.data + cell->offset, coloured ? COLOUR_OFF : "");
    return (right ? 0 : pad) + 2;
}

int table_print(const struct table *table, FILE *out, struct mf_error *error)
{
    unsigned widths[TABLE_COLUMNS_MAX] = {0};
    if (table->failed || table->text.failed)
        return mf_fail(error, MF_MEMORY, "table: no memory");
    for (size_t i = 0; i < table->cell_count; i++)
        if (table->cells[i].width > widths[i % table->columns])
            widths[i % table->columns] = table->cells[i].width;
    unsigned owed = 0;
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->columns;
        owed = print_cell(table, &table->cells[i], widths[column], table->right[column], owed, out);
        if (column + 1 == table->columns) {
            fputc('\n', out);
            owed = 0;
        }
    }
    return 0;
}
