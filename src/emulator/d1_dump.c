/* d1_dump.c - a D1 database as SQL text: schema, rows, then indexes, triggers and views */
#include "emulator/d1_sql.h"

#include <sqlite3.h>

/* --- names and filters --- */

static void put_name(struct mf_buf *out, const char *name)
{
    mf_buf_char(out, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"')
            mf_buf_char(out, '"');
        mf_buf_char(out, *name);
    }
    mf_buf_char(out, '"');
}

static bool wanted(const struct emu_d1_dump *dump, const char *table)
{
    if (dump->tables == JSON_NONE || json_kind(dump->document, dump->tables) != JSON_ARRAY ||
        json_first(dump->document, dump->tables) == JSON_NONE)
        return true;
    for (uint32_t each = json_first(dump->document, dump->tables); each != JSON_NONE;
         each = json_next(dump->document, dump->tables, each))
        if (json_is(dump->document, each, table))
            return true;
    return false;
}

static int fail(sqlite3 *handle, struct mf_error *error)
{
    return mf_fail(error, MF_STATE, "%s", sqlite3_errmsg(handle));
}

/* --- rows --- */

/* SELECT quote("a"), quote("b") FROM "t", and the head of the INSERT, with the same columns. */
static int make_texts(sqlite3 *handle, const char *table, struct mf_buf *query, struct mf_buf *head)
{
    sqlite3_stmt *columns;
    int count = 0;
    if (sqlite3_prepare_v2(handle, "SELECT name FROM pragma_table_info(?1)", -1, &columns, NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_text(columns, 1, table, -1, SQLITE_STATIC);
    mf_buf_text(query, "SELECT ");
    mf_buf_text(head, "INSERT INTO ");
    put_name(head, table);
    while (sqlite3_step(columns) == SQLITE_ROW) {
        mf_buf_text(head, count == 0 ? " (" : ",");
        put_name(head, (const char *)sqlite3_column_text(columns, 0));
        mf_buf_text(query, count++ == 0 ? "quote(" : ",quote(");
        put_name(query, (const char *)sqlite3_column_text(columns, 0));
        mf_buf_char(query, ')');
    }
    sqlite3_finalize(columns);
    mf_buf_text(query, " FROM ");
    put_name(query, table);
    mf_buf_text(head, ") VALUES(");
    return count == 0 || query->failed || head->failed ? -1 : 0;
}

static int put_rows(sqlite3 *handle, const char *query, struct mf_span head, struct mf_buf *out)
{
    sqlite3_stmt *rows;
    int step;
    if (sqlite3_prepare_v2(handle, query, -1, &rows, NULL) != SQLITE_OK)
        return -1;
    while ((step = sqlite3_step(rows)) == SQLITE_ROW && !out->failed) {
        mf_buf_span(out, head);
        for (int column = 0; column < sqlite3_column_count(rows); column++) {
            if (column > 0)
                mf_buf_char(out, ',');
            mf_buf_append(out, sqlite3_column_text(rows, column), (size_t)sqlite3_column_bytes(rows, column));
        }
        mf_buf_text(out, ");\n");
    }
    sqlite3_finalize(rows);
    return step == SQLITE_DONE ? 0 : -1;
}

static int put_table_rows(sqlite3 *handle, const char *table, struct mf_buf *out, struct mf_error *error)
{
    struct mf_buf query, head;
    mf_buf_init(&query, 1u << 20);
    mf_buf_init(&head, 1u << 20);
    int done = make_texts(handle, table, &query, &head);
    if (done == 0)
        done = put_rows(handle, mf_buf_cstr(&query), mf_buf_view(&head), out);
    mf_buf_free(&query);
    mf_buf_free(&head);
    return done < 0 && !out->failed ? fail(handle, error) : done;
}

/* --- the whole --- */

static int put_tables(sqlite3 *handle, const struct emu_d1_dump *dump, struct mf_buf *out, struct mf_error *error)
{
    static const char sql[] = "SELECT name, sql FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite\\_%' "
                              "ESCAPE '\\' ORDER BY rowid";
    sqlite3_stmt *tables;
    int done = 0;
    if (sqlite3_prepare_v2(handle, sql, -1, &tables, NULL) != SQLITE_OK)
        return fail(handle, error);
    while (done == 0 && sqlite3_step(tables) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(tables, 0);
        if (!wanted(dump, name))
            continue;
        if (!dump->no_schema)
            mf_buf_printf(out, "%s;\n", (const char *)sqlite3_column_text(tables, 1));
        if (!dump->no_data)
            done = put_table_rows(handle, name, out, error);
    }
    sqlite3_finalize(tables);
    return done;
}

static int put_rest(sqlite3 *handle, const struct emu_d1_dump *dump, struct mf_buf *out, struct mf_error *error)
{
    sqlite3_stmt *rest;
    if (dump->no_schema)
        return 0;
    if (sqlite3_prepare_v2(
            handle, "SELECT tbl_name, sql FROM sqlite_schema WHERE type<>'table' AND sql IS NOT NULL ORDER BY rowid",
            -1, &rest, NULL) != SQLITE_OK)
        return fail(handle, error);
    while (sqlite3_step(rest) == SQLITE_ROW)
        if (wanted(dump, (const char *)sqlite3_column_text(rest, 0)))
            mf_buf_printf(out, "%s;\n", (const char *)sqlite3_column_text(rest, 1));
    sqlite3_finalize(rest);
    return 0;
}

int emu_d1_write_dump(struct emu_d1 *d1, const struct emu_object *object, const struct emu_d1_dump *dump,
                      struct mf_buf *out, struct mf_error *error)
{
    sqlite3 *handle = emu_d1_handle(d1, object);
    if (handle == NULL)
        return mf_fail(error, MF_STATE, "the database could not be opened");
    mf_buf_text(out, "PRAGMA defer_foreign_keys=TRUE;\n");
    if (put_tables(handle, dump, out, error) < 0 || put_rest(handle, dump, out, error) < 0)
        return out->failed ? mf_fail(error, MF_LIMIT, "the export is too large") : -1;
    return out->failed ? mf_fail(error, MF_LIMIT, "the export is too large") : 0;
}
