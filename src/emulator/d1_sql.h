/*
 * emulator/d1_sql.h - D1 databases as real SQLite databases
 *
 * A database is opened at its first query and stays open: in memory it lives only here, with a data directory it is a file.
 * What a statement may do is limited as in D1: no attached databases, no transactions of its own, few pragmas, bounded time
 * and size.
 */
#ifndef MF_EMULATOR_D1_SQL_H
#define MF_EMULATOR_D1_SQL_H

#include "base/error.h"
#include "emulator/state.h"
#include "json/scan.h"
#include "json/write.h"

#include <stdbool.h>

struct emu_d1;

/* `directory` NULL: databases in memory. */
int emu_d1_create(struct emu_d1 **out, const char *directory, struct mf_error *error);
void emu_d1_destroy(struct emu_d1 *d1);
/* The database is deleted, with its file. */
void emu_d1_forget(struct emu_d1 *d1, const struct emu_object *object);
/* Its size in bytes and how many tables it has; zeros before the first query. */
void emu_d1_measure(struct emu_d1 *d1, const struct emu_object *object, int64_t *bytes, int64_t *tables);

/* One request: all its statements run in one transaction; the first failure undoes everything. */
struct emu_d1_run {
    struct emu_d1 *d1;
    const struct emu_object *object;
    struct json_writer *writer; /* takes one result for each statement, as elements of an array */
    bool raw;                   /* rows as arrays with a list of columns, else as objects */
};
int emu_d1_begin(struct emu_d1_run *run, struct mf_error *error);
/* Runs every statement of `sql`; `params` (an array node or JSON_NONE) only where there is one statement. */
int emu_d1_execute(struct emu_d1_run *run, struct mf_span sql, const struct json_document *document, uint32_t params, struct mf_error *error);
int emu_d1_end(struct emu_d1_run *run, bool keep, struct mf_error *error);

/* What a script of many statements did. */
struct emu_d1_script {
    uint64_t statements;
    int64_t changes, duration_ms;
};
/* Runs a whole file inside a begun run; rows that it asks for go nowhere. */
int emu_d1_run_script(struct emu_d1_run *run, struct mf_span sql, struct emu_d1_script *script, struct mf_error *error);

struct emu_d1_dump {
    bool no_schema, no_data;
    const struct json_document *document;
    uint32_t tables; /* array of names in the document; JSON_NONE or empty: all */
};
int emu_d1_write_dump(struct emu_d1 *d1, const struct emu_object *object, const struct emu_d1_dump *dump, struct mf_buf *out, struct mf_error *error);
/* SQLite's own handle, without an authorizer; NULL when the database cannot be opened. */
struct sqlite3 *emu_d1_handle(struct emu_d1 *d1, const struct emu_object *object);

#endif
