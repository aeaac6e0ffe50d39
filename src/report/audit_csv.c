/* audit_csv.c - the log as a table for auditors: one row a line, made safe for spreadsheets */
#include "report/audit.h"

#include "json/write.h"

#include <errno.h>
#include <string.h>

#define CELL_CHARACTERS_MAX 4096u

struct table {
    FILE *out;
    struct mf_buf row, cell;
    uint64_t anchored; /* the last line that is journaled */
};

static bool is_formula(struct mf_span text)
{
    return text.length > 0 && memchr("=+-@\t\r", text.data[0], 6) != NULL;
}

/* Control and invisible characters are escaped as on a terminal; then quotes are doubled. */
static void put_text(struct table *table, struct mf_span text)
{
    mf_buf_clear(&table->cell);
    if (is_formula(text))
        mf_buf_char(&table->cell, '\'');
    if (text.length > 0)
        json_escape_shown(&table->cell, text, CELL_CHARACTERS_MAX);
    mf_buf_char(&table->row, '"');
    for (size_t i = 0; i < table->cell.length; i++) {
        if (table->cell.data[i] == '"')
            mf_buf_char(&table->row, '"');
        mf_buf_char(&table->row, table->cell.data[i]);
    }
    mf_buf_char(&table->row, '"');
}

static void put_number(struct table *table, int64_t number)
{
    mf_buf_char(&table->row, ',');
    if (number != 0)
        mf_buf_printf(&table->row, "%lld", (long long)number);
}

static int put_row(struct table *table, struct mf_error *error)
{
    mf_buf_text(&table->row, "\r\n");
    if (table->row.failed || table->cell.failed)
        return mf_fail(error, MF_MEMORY, "audit: no memory");
    if (fwrite(table->row.data, 1, table->row.length, table->out) != table->row.length)
        return mf_fail_os(error, errno, "audit: cannot write the table");
    mf_buf_clear(&table->row);
    return 0;
}

static int put_line(void *context, const struct trail_line *line, struct mf_error *error)
{
    struct table *table = context;
    char at[40];
    mf_buf_printf(&table->row, "%llu,%s,%s,%s", (unsigned long long)line->n, mf_format_rfc3339(line->at_ms, at),
                  trail_event_name(line->event), line->n <= table->anchored ? "yes" : "no");
#define X(name)                                                                                                        \
    mf_buf_char(&table->row, ',');                                                                                     \
    put_text(table, line->name);
    TRAIL_TEXTS(X)
    X(model)
#undef X
#define X(name) put_number(table, line->name);
    TRAIL_NUMBERS(X)
    TRAIL_USAGES(X)
#undef X
    return put_row(table, error);
}

int audit_csv(const struct evidence *evidence, FILE *out, struct mf_error *error)
{
    struct table table = {.out = out, .anchored = evidence_trail(evidence)->anchored};
    mf_buf_init(&table.row, 16u << 20);
    mf_buf_init(&table.cell, 1u << 20);
    mf_buf_text(&table.row, "n,at,event,journaled");
#define X(name) mf_buf_text(&table.row, "," #name);
    TRAIL_TEXTS(X)
    X(model)
    TRAIL_NUMBERS(X)
    TRAIL_USAGES(X)
#undef X
    int status = put_row(&table, error);
    if (status == 0)
        status = evidence_each(evidence, put_line, &table, error);
    mf_buf_free(&table.row);
    mf_buf_free(&table.cell);
    return status;
}
