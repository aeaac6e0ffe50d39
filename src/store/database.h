/*
 * store/database.h - one SQLite connection with the settings that a run's database needs, and its errors in words
 *
 * Nothing outside store/ sees sqlite3. A connection never crosses a fork.
 */
#ifndef MF_STORE_DATABASE_H
#define MF_STORE_DATABASE_H

#include "base/error.h"
#include "base/str.h"
#include "store/statements.h"

#include <sqlite3.h>
#include <stdbool.h>

struct database {
    sqlite3 *handle; /* owned */
    char *path;      /* owned, for messages */
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* owned; NULL until first used */
};

enum database_mode { DATABASE_CREATE, DATABASE_WRITE, DATABASE_READ };

/* Another process may hold the write lock so long before we give up. */
#define DATABASE_BUSY_MS 5000

int database_open(struct database **out, const char *path, enum database_mode mode, struct mf_error *error);
/* `checkpoint` brings the write-ahead log home first. NULL is fine. */
void database_close(struct database *database, bool checkpoint);

/* Turns SQLite's last failure into an error with the way out: MF_LOCKED, MF_MEMORY, MF_INTERNAL or MF_STATE. Returns -1. */
int database_fail(const struct database *database, struct mf_error *error);

/* The statement, reset and without bindings; NULL after an error. */
sqlite3_stmt *database_statement(struct database *database, enum statement statement, struct mf_error *error);
/* 1 for a row, 0 at the end, -1 after an error. The end and an error reset the statement. */
int database_step(struct database *database, sqlite3_stmt *statement, struct mf_error *error);
/* Runs a statement that takes nothing and gives nothing. */
int database_run(struct database *database, enum statement statement, struct mf_error *error);
/* Several statements of the schema in one text. */
int database_exec(struct database *database, const char *sql, struct mf_error *error);
/* The first column of a statement's only row. */
int database_number(struct database *database, enum statement statement, sqlite3_int64 *out, struct mf_error *error);
int database_pragma(struct database *database, const char *sql, sqlite3_int64 *out, struct mf_error *error);
/* quick: structure only. -1 with MF_STATE and the first finding. */
int database_check(struct database *database, bool quick, struct mf_error *error);

void database_bind_span(sqlite3_stmt *statement, int index, struct mf_span text);
struct mf_span database_column(sqlite3_stmt *statement, int index);

#endif
