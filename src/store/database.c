/* database.c - one SQLite connection with the settings that a run's database needs, and its errors in words */
#include "store/database.h"

#include "base/alloc.h"

#include <string.h>

static const char sql_write_settings[] = "PRAGMA synchronous=FULL;" /* NORMAL may lose the last commits of a WAL on power loss */
                                         "PRAGMA secure_delete=ON;"
                                         "PRAGMA foreign_keys=ON;"
                                         "PRAGMA temp_store=MEMORY;"
                                         "PRAGMA wal_autocheckpoint=1000;"; /* 4 MiB: a log that is written over again syncs faster than one that grows */
static const char sql_settings[] = "PRAGMA cell_size_check=ON;"
                                   "PRAGMA mmap_size=0;"; /* a damaged disk is an error, not a SIGBUS */
static const char sql_wal[] = "PRAGMA journal_mode=WAL";
static const char sql_quick_check[] = "PRAGMA quick_check(1)";
static const char sql_integrity_check[] = "PRAGMA integrity_check(1)";

static const char *const statement_texts[] = {
#define X(name, sql) sql,
    STATEMENTS(X)
#undef X
};

/* A run's largest value is its graph: a million tasks have about 100 MiB. The rest are SQLite's values for hostile input. */
#define LIMITS(X)                                                                                                      \
    X(SQLITE_LIMIT_LENGTH, 512 << 20)                                                                                  \
    X(SQLITE_LIMIT_SQL_LENGTH, 100000)                                                                                 \
    X(SQLITE_LIMIT_COLUMN, 100)                                                                                        \
    X(SQLITE_LIMIT_EXPR_DEPTH, 100)                                                                                    \
    X(SQLITE_LIMIT_FUNCTION_ARG, 8)                                                                                    \
    X(SQLITE_LIMIT_ATTACHED, 0)                                                                                        \
    X(SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50)                                                                            \
    X(SQLITE_LIMIT_VARIABLE_NUMBER, 32)                                                                                \
    X(SQLITE_LIMIT_TRIGGER_DEPTH, 10)                                                                                  \
    X(SQLITE_LIMIT_WORKER_THREADS, 0)

int database_fail(const struct database *database, struct mf_error *error)
{
    const char *path = database->path;
    int extended = database->handle != NULL ? sqlite3_extended_errcode(database->handle) : SQLITE_NOMEM;
    const char *text = database->handle != NULL ? sqlite3_errmsg(database->handle) : "no memory";
    switch (extended & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return mf_fail(error, MF_LOCKED, "%s: another process holds the database: end it, then try again", path);
    case SQLITE_NOMEM:
        return mf_fail(error, MF_MEMORY, "%s: no memory", path);
    case SQLITE_FULL:
        return mf_fail(error, MF_STATE, "%s: the disk is full: make room, then run mayfly teardown", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* our statements fit our schema: one that does not was damaged */
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
        return mf_fail(error, MF_STATE,
                       "%s: is damaged (%s): keep a copy, try sqlite3's .recover on it, and look at the provider for accounts "
                       "whose tag carries this run's id",
                       path, text);
    case SQLITE_CONSTRAINT:
        return mf_fail(error, MF_INTERNAL, "%s: %s", path, text);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return mf_fail(error, MF_STATE, "%s: %s: it must be a plain file on a disk that can be written", path, text);
    default: /* above all SQLITE_IOERR; a failed sync is never tried again, its pages may be lost */
        return mf_fail(error, MF_STATE, "%s: %s (errno %d): check the disk, then run mayfly teardown", path, text,
                       database->handle != NULL ? sqlite3_system_errno(database->handle) : 0);
    }
}

static void harden(sqlite3 *handle)
{
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, DATABASE_BUSY_MS);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
#define X(limit, value) sqlite3_limit(handle, limit, value);
    LIMITS(X)
#undef X
}

/* journal_mode answers with the mode that it has now: a file system without shared memory stays at "delete". */
static int want_wal(struct database *database, struct mf_error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->handle, sql_wal, -1, &statement, NULL) != SQLITE_OK)
        return database_fail(database, error);
    int status = database_step(database, statement, error);
    if (status == 1 && !mf_span_is(database_column(statement, 0), "wal"))
        status = mf_fail(error, MF_STATE, "%s: this file system has no shared memory for a write-ahead log: use a local disk",
                         database->path);
    sqlite3_finalize(statement);
    return status < 0 ? -1 : 0;
}

static int prepare(struct database *database, enum database_mode mode, struct mf_error *error)
{
    harden(database->handle);
    if (database_exec(database, sql_settings, error) != 0)
        return -1;
    if (mode == DATABASE_READ)
        return 0;
    if (want_wal(database, error) != 0)
        return -1;
    return database_exec(database, sql_write_settings, error);
}

int database_open(struct database **out, const char *path, enum database_mode mode, struct mf_error *error)
{
    struct database *database = mf_calloc(1, sizeof *database);
    char *copy = mf_strdup(path);
    if (database == NULL || copy == NULL) {
        mf_free(database);
        mf_free(copy);
        return mf_fail(error, MF_MEMORY, "%s: no memory", path);
    }
    database->path = copy;
    int flags = SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
    flags |= mode == DATABASE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int status = 0;
    if (sqlite3_open_v2(path, &database->handle, flags, NULL) != SQLITE_OK)
        status = database_fail(database, error);
    else
        status = prepare(database, mode, error);
    if (status != 0) {
        database_close(database, false);
        return -1;
    }
    *out = database;
    return 0;
}

void database_close(struct database *database, bool checkpoint)
{
    if (database == NULL)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(database->statements[i]);
    if (checkpoint) /* a reader may be in the way: then the log stays, and nothing is lost */
        sqlite3_wal_checkpoint_v2(database->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_close(database->handle);
    mf_free(database->path);
    mf_free(database);
}

sqlite3_stmt *database_statement(struct database *database, enum statement statement, struct mf_error *error)
{
    sqlite3_stmt **slot = &database->statements[statement];
    if (*slot == NULL) {
        if (sqlite3_prepare_v3(database->handle, statement_texts[statement], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL) != SQLITE_OK) {
            database_fail(database, error);
            return NULL;
        }
    } else {
        sqlite3_reset(*slot);
        sqlite3_clear_bindings(*slot);
    }
    return *slot;
}

int database_step(struct database *database, sqlite3_stmt *statement, struct mf_error *error)
{
    int status = sqlite3_step(statement);
    if (status == SQLITE_ROW)
        return 1;
    if (status != SQLITE_DONE)
        database_fail(database, error);
    sqlite3_reset(statement);
    return status == SQLITE_DONE ? 0 : -1;
}

int database_run(struct database *database, enum statement statement, struct mf_error *error)
{
    sqlite3_stmt *prepared = database_statement(database, statement, error);
    if (prepared == NULL)
        return -1;
    return database_step(database, prepared, error) < 0 ? -1 : 0;
}

int database_exec(struct database *database, const char *sql, struct mf_error *error)
{
    return sqlite3_exec(database->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : database_fail(database, error);
}

int database_number(struct database *database, enum statement statement, sqlite3_int64 *out, struct mf_error *error)
{
    sqlite3_stmt *prepared = database_statement(database, statement, error);
    if (prepared == NULL)
        return -1;
    int status = database_step(database, prepared, error);
    if (status == 1)
        *out = sqlite3_column_int64(prepared, 0);
    sqlite3_reset(prepared);
    if (status == 0)
        return mf_fail(error, MF_STATE, "%s: is damaged: its run row is missing", database->path);
    return status == 1 ? 0 : -1;
}

int database_pragma(struct database *database, const char *sql, sqlite3_int64 *out, struct mf_error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL) != SQLITE_OK)
        return database_fail(database, error);
    int status = database_step(database, statement, error);
    if (status == 1)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status < 0 ? -1 : 0;
}

int database_check(struct database *database, bool quick, struct mf_error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(database->handle, quick ? sql_quick_check : sql_integrity_check, -1, &statement, NULL) != SQLITE_OK)
        return database_fail(database, error);
    int status = database_step(database, statement, error);
    if (status == 1 && !mf_span_is(database_column(statement, 0), "ok"))
        status = mf_fail(error, MF_STATE,
                         "%s: is damaged (%.200s): keep a copy, try sqlite3's .recover on it, and look at the provider for "
                         "accounts whose tag carries this run's id",
                         database->path, (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return status < 0 ? -1 : 0;
}

/* The text must live until the statement is reset. An empty span without a pointer is an empty text, not NULL. */
void database_bind_span(sqlite3_stmt *statement, int index, struct mf_span text)
{
    sqlite3_bind_text64(statement, index, text.data != NULL ? text.data : "", text.length, SQLITE_STATIC, SQLITE_UTF8);
}

struct mf_span database_column(sqlite3_stmt *statement, int index)
{
    const void *data = sqlite3_column_blob(statement, index); /* raw bytes: no conversion of damaged text */
    int bytes = sqlite3_column_bytes(statement, index);
    return data != NULL && bytes > 0 ? (struct mf_span){data, (size_t)bytes} : (struct mf_span){"", 0};
}
