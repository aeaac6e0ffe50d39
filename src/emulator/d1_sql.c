/*
 * d1_sql.c - D1 databases as real SQLite databases
 *
 * The statements come from agents, so SQLite runs them on a short lead: an authorizer refuses what D1 refuses, a progress
 * handler ends what runs too long (the loop is blocked meanwhile), limits bound texts and pages.
 */
#include "emulator/d1_sql.h"

#include "base/alloc.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_PER_CHECK = 10000, RUN_MS_MAX = 5000, SQL_BYTES_MAX = 100000, VALUE_BYTES_MAX = 2000000, PARAMS_MAX = 100 };
enum { PAGE_BYTES = 4096, TEMPORARY_BYTES_MAX = 100 << 20, OPEN_FILES_MAX = 256, ROWS_MAX = 1000000 };
#define FULL_BYTES_MAX ((int64_t)10 << 30)

struct database {
    char id[EMU_UUID_BYTES];
    sqlite3 *handle;
    int64_t deadline_ms;
    struct database *next; /* of all that are open */
};

struct emu_d1 {
    char *directory; /* owned; NULL: memory */
    struct emu_table by_id;
    struct database *open;
    uint32_t open_count;
};

/* --- what a statement may do --- */

static const char *const pragmas[] = {
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list", "foreign_key_check",
    "foreign_keys", "defer_foreign_keys", "case_sensitive_like", "ignore_check_constraints", "legacy_alter_table", "recursive_triggers",
    "reverse_unordered_selects", "quick_check", "optimize",
};

static bool pragma_allowed(const char *name)
{
    for (size_t each = 0; name != NULL && each < sizeof(pragmas) / sizeof(pragmas[0]); each++)
        if (strcasecmp(name, pragmas[each]) == 0)
            return true;
    return false;
}

static int authorize(void *context, int action, const char *first, const char *second, const char *database, const char *trigger)
{
    (void)context, (void)database, (void)trigger;
    if (action == SQLITE_ATTACH || action == SQLITE_DETACH || action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT)
        return SQLITE_DENY;
    if (action == SQLITE_PRAGMA && !pragma_allowed(first))
        return SQLITE_DENY;
    if (action == SQLITE_FUNCTION && second != NULL && (strcasecmp(second, "load_extension") == 0 || strcasecmp(second, "fts3_tokenizer") == 0))
        return SQLITE_DENY;
    return SQLITE_OK;
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int over_time(void *context)
{
    return clock_ms() > ((struct database *)context)->deadline_ms;
}

/* --- opening and closing --- */

static void close_one(struct emu_d1 *d1, struct database *database)
{
    struct database **at = &d1->open;
    while (*at != database)
        at = &(*at)->next;
    *at = database->next;
    d1->open_count--;
    emu_table_remove(&d1->by_id, mf_span(database->id));
    sqlite3_close(database->handle);
    mf_free(database);
}

static bool path_of(const struct emu_d1 *d1, const char *id, const char *suffix, char out[4096])
{
    return snprintf(out, 4096, "%s/%s.sqlite%s", d1->directory, id, suffix) < 4096;
}

static int set_up(struct database *database, bool temporary)
{
    char sql[160];
    int64_t bytes_max = temporary ? TEMPORARY_BYTES_MAX : FULL_BYTES_MAX;
    snprintf(sql, sizeof(sql), "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON; PRAGMA max_page_count=%lld",
             PAGE_BYTES, (long long)(bytes_max / PAGE_BYTES));
    if (sqlite3_exec(database->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    sqlite3_limit(database->handle, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    sqlite3_limit(database->handle, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
    sqlite3_limit(database->handle, SQLITE_LIMIT_VARIABLE_NUMBER, PARAMS_MAX);
    sqlite3_limit(database->handle, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_progress_handler(database->handle, STEPS_PER_CHECK, over_time, database);
    return 0;
}

static struct database *open_one(struct emu_d1 *d1, const struct emu_object *object)
{
    char path[4096] = ":memory:";
    if (d1->directory != NULL && d1->open_count >= OPEN_FILES_MAX)
        close_one(d1, d1->open); /* files can be opened again */
    struct database *database = mf_calloc(1, sizeof(*database));
    if (database == NULL || (d1->directory != NULL && !path_of(d1, object->id, "", path))) {
        mf_free(database);
        return NULL;
    }
    memcpy(database->id, object->id, sizeof(database->id));
    database->deadline_ms = INT64_MAX;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(path, &database->handle, flags, NULL) != SQLITE_OK || set_up(database, object->account->type == EMU_ACCOUNT_TEMPORARY) < 0 ||
        emu_table_put(&d1->by_id, mf_span(database->id), database) < 0) {
        sqlite3_close(database->handle);
        mf_free(database);
        return NULL;
    }
    database->next = d1->open;
    d1->open = database;
    d1->open_count++;
    return database;
}

static struct database *find(struct emu_d1 *d1, const struct emu_object *object)
{
    return emu_table_get(&d1->by_id, mf_span(object->id));
}

int emu_d1_create(struct emu_d1 **out, const char *directory, struct mf_error *error)
{
    struct emu_d1 *d1 = mf_calloc(1, sizeof(*d1));
    char path[4096];
    if (d1 == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    emu_table_init(&d1->by_id, 0, EMU_OBJECTS_MAX);
    if (directory != NULL) {
        bool fits = snprintf(path, sizeof(path), "%s/d1", directory) < (int)sizeof(path);
        if (!fits || (mkdir(path, 0700) < 0 && errno != EEXIST) || (d1->directory = mf_strdup(path)) == NULL) {
            mf_free(d1);
            return mf_fail_os(error, errno, "%s/d1", directory);
        }
    }
    *out = d1;
    return 0;
}

void emu_d1_destroy(struct emu_d1 *d1)
{
    if (d1 == NULL)
        return;
    while (d1->open != NULL)
        close_one(d1, d1->open);
    emu_table_free(&d1->by_id);
    mf_free(d1->directory);
    mf_free(d1);
}

void emu_d1_forget(struct emu_d1 *d1, const struct emu_object *object)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[4096];
    struct database *database = find(d1, object);
    if (database != NULL)
        close_one(d1, database);
    for (size_t each = 0; d1->directory != NULL && each < sizeof(suffixes) / sizeof(suffixes[0]); each++)
        if (path_of(d1, object->id, suffixes[each], path))
            (void)unlink(path);
}

static int64_t ask_number(sqlite3 *handle, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t number = 0;
    if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

void emu_d1_measure(struct emu_d1 *d1, const struct emu_object *object, int64_t *bytes, int64_t *tables)
{
    struct database *database = find(d1, object);
    *bytes = *tables = 0;
    if (database == NULL && (d1->directory == NULL || (database = open_one(d1, object)) == NULL))
        return;
    database->deadline_ms = INT64_MAX;
    *bytes = ask_number(database->handle, "PRAGMA page_count") * PAGE_BYTES;
    *tables = ask_number(database->handle, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
}

/* --- running --- */

static int fail_sql(sqlite3 *handle, struct mf_error *error)
{
    int code = sqlite3_extended_errcode(handle) & 0xff;
    if (code == SQLITE_INTERRUPT)
        return mf_fail(error, MF_LIMIT, "D1 DB exceeded its CPU time limit and was reset.");
    return mf_fail(error, MF_INPUT, "%s: SQLITE_%s", sqlite3_errmsg(handle), code == SQLITE_CONSTRAINT ? "CONSTRAINT" : code == SQLITE_AUTH ? "AUTH" : code == SQLITE_FULL ? "FULL" : "ERROR");
}

static int run_own(struct database *database, const char *sql, struct mf_error *error)
{
    sqlite3_set_authorizer(database->handle, NULL, NULL);
    return sqlite3_exec(database->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail_sql(database->handle, error);
}

int emu_d1_begin(struct emu_d1_run *run, struct mf_error *error)
{
    struct database *database = find(run->d1, run->object);
    if (database == NULL && (database = open_one(run->d1, run->object)) == NULL)
        return mf_fail(error, MF_STATE, "the database could not be opened");
    database->deadline_ms = clock_ms() + RUN_MS_MAX;
    return run_own(database, "BEGIN IMMEDIATE", error);
}

int emu_d1_end(struct emu_d1_run *run, bool keep, struct mf_error *error)
{
    struct database *database = find(run->d1, run->object);
    database->deadline_ms = INT64_MAX;
    if (sqlite3_get_autocommit(database->handle) != 0) /* SQLite has rolled back by itself */
        return keep ? mf_fail(error, MF_INPUT, "the transaction was rolled back: SQLITE_ERROR") : 0;
    return run_own(database, keep ? "COMMIT" : "ROLLBACK", error);
}

static void write_value(struct json_writer *writer, sqlite3_stmt *statement, int column)
{
    const uint8_t *bytes;
    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        json_i64(writer, sqlite3_column_int64(statement, column));
        break;
    case SQLITE_FLOAT:
        json_number(writer, sqlite3_column_double(statement, column));
        break;
    case SQLITE_TEXT:
        bytes = sqlite3_column_text(statement, column);
        json_string_span(writer, (struct mf_span){(const char *)bytes, (size_t)sqlite3_column_bytes(statement, column)});
        break;
    case SQLITE_BLOB:
        bytes = sqlite3_column_blob(statement, column);
        json_open_array(writer);
        for (int each = 0; each < sqlite3_column_bytes(statement, column); each++)
            json_i64(writer, bytes[each]);
        json_close_array(writer);
        break;
    default:
        json_null(writer);
        break;
    }
}

static void write_row(struct json_writer *writer, sqlite3_stmt *statement, bool raw)
{
    raw ? json_open_array(writer) : json_open_object(writer);
    for (int column = 0; column < sqlite3_column_count(statement); column++) {
        if (!raw)
            json_key(writer, sqlite3_column_name(statement, column));
        write_value(writer, statement, column);
    }
    raw ? json_close_array(writer) : json_close_object(writer);
}

static void open_rows(struct json_writer *writer, sqlite3_stmt *statement, bool raw)
{
    json_key(writer, "results");
    if (raw) {
        json_open_object(writer);
        json_key(writer, "columns");
        json_open_array(writer);
        for (int column = 0; column < sqlite3_column_count(statement); column++)
            json_string(writer, sqlite3_column_name(statement, column));
        json_close_array(writer);
        json_key(writer, "rows");
    }
    json_open_array(writer);
}

static void write_meta(struct json_writer *writer, sqlite3 *handle, sqlite3_stmt *statement, int64_t changes, int64_t rows, int64_t since_ms)
{
    bool reads = sqlite3_stmt_readonly(statement) != 0;
    json_key(writer, "meta");
    json_open_object(writer);
    json_member_string(writer, "served_by", "emulator");
    json_key(writer, "duration");
    json_number(writer, (double)(clock_ms() - since_ms));
    json_member_i64(writer, "changes", changes);
    json_member_i64(writer, "last_row_id", sqlite3_last_insert_rowid(handle));
    json_member_bool(writer, "changed_db", !reads);
    json_member_i64(writer, "size_after", ask_number(handle, "SELECT page_count FROM pragma_page_count") * PAGE_BYTES);
    json_member_i64(writer, "rows_read", rows);
    json_member_i64(writer, "rows_written", changes);
    json_close_object(writer);
}

/* One statement: its rows, then what it did. */
static int step_all(struct emu_d1_run *run, struct database *database, sqlite3_stmt *statement, struct mf_error *error)
{
    struct json_writer *writer = run->writer;
    int64_t before = sqlite3_total_changes64(database->handle), since_ms = clock_ms(), rows = 0;
    int step;
    json_open_object(writer);
    json_member_bool(writer, "success", true);
    open_rows(writer, statement, run->raw);
    while ((step = sqlite3_step(statement)) == SQLITE_ROW && rows < ROWS_MAX && !writer->out->failed) {
        write_row(writer, statement, run->raw);
        rows++;
    }
    json_close_array(writer);
    if (run->raw)
        json_close_object(writer);
    if (step == SQLITE_ROW)
        return mf_fail(error, MF_LIMIT, "the result is too large: SQLITE_TOOBIG");
    if (step != SQLITE_DONE)
        return fail_sql(database->handle, error);
    sqlite3_set_authorizer(database->handle, NULL, NULL);
    write_meta(writer, database->handle, statement, sqlite3_total_changes64(database->handle) - before, rows, since_ms);
    json_close_object(writer);
    return 0;
}

static int bind_one(sqlite3_stmt *statement, int index, const struct json_document *document, uint32_t node, struct mf_buf *room)
{
    int64_t whole;
    double number;
    switch (json_kind(document, node)) {
    case JSON_NULL:
        return sqlite3_bind_null(statement, index);
    case JSON_TRUE:
    case JSON_FALSE:
        return sqlite3_bind_int(statement, index, json_kind(document, node) == JSON_TRUE);
    case JSON_NUMBER:
        if (json_int(document, node, &whole) == 0)
            return sqlite3_bind_int64(statement, index, whole);
        return json_double(document, node, &number) == 0 ? sqlite3_bind_double(statement, index, number) : SQLITE_MISUSE;
    case JSON_STRING:
        mf_buf_clear(room);
        if (json_text(document, node, room) < 0)
            return SQLITE_TOOBIG;
        return sqlite3_bind_text64(statement, index, mf_buf_cstr(room), room->length, SQLITE_TRANSIENT, SQLITE_UTF8);
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return SQLITE_MISUSE;
}

static int bind_all(sqlite3_stmt *statement, const struct json_document *document, uint32_t params, struct mf_error *error)
{
    struct mf_buf room;
    int index = 0, bound = SQLITE_OK;
    if (params == JSON_NONE || json_kind(document, params) != JSON_ARRAY)
        return sqlite3_bind_parameter_count(statement) == 0 ? 0 : mf_fail(error, MF_INPUT, "Wrong number of parameter bindings for SQL query.: SQLITE_ERROR");
    mf_buf_init(&room, VALUE_BYTES_MAX);
    for (uint32_t each = json_first(document, params); bound == SQLITE_OK && each != JSON_NONE; each = json_next(document, params, each))
        bound = bind_one(statement, ++index, document, each, &room);
    mf_buf_free(&room);
    if (bound == SQLITE_OK && index == sqlite3_bind_parameter_count(statement))
        return 0;
    return mf_fail(error, MF_INPUT, "Wrong number of parameter bindings for SQL query.: SQLITE_ERROR");
}

int emu_d1_execute(struct emu_d1_run *run, struct mf_span sql, const struct json_document *document, uint32_t params, struct mf_error *error)
{
    struct database *database = find(run->d1, run->object);
    const char *at = sql.data, *end = sql.data + sql.length;
    if (sql.length > SQL_BYTES_MAX)
        return mf_fail(error, MF_INPUT, "statement is longer than %d bytes: SQLITE_TOOBIG", SQL_BYTES_MAX);
    while (at < end) {
        sqlite3_stmt *statement;
        sqlite3_set_authorizer(database->handle, authorize, NULL);
        if (sqlite3_prepare_v2(database->handle, at, (int)(end - at), &statement, &at) != SQLITE_OK)
            return fail_sql(database->handle, error);
        if (statement == NULL) /* white space or a comment */
            continue;
        int done = bind_all(statement, document, params, error);
        if (done == 0)
            done = step_all(run, database, statement, error);
        sqlite3_finalize(statement);
        if (done < 0)
            return -1;
    }
    return 0;
}

struct sqlite3 *emu_d1_handle(struct emu_d1 *d1, const struct emu_object *object)
{
    struct database *database = find(d1, object);
    if (database == NULL && (database = open_one(d1, object)) == NULL)
        return NULL;
    database->deadline_ms = clock_ms() + RUN_MS_MAX;
    sqlite3_set_authorizer(database->handle, NULL, NULL);
    return database->handle;
}

/* One statement of a script; *at moves behind it. */
static int step_script(struct database *database, const char **at, struct emu_d1_script *script, struct mf_error *error)
{
    sqlite3_stmt *statement;
    int step;
    if (sqlite3_prepare_v2(database->handle, *at, -1, &statement, at) != SQLITE_OK)
        return fail_sql(database->handle, error);
    if (statement == NULL)
        return 0;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW)
        ;
    sqlite3_finalize(statement);
    script->statements++;
    return step == SQLITE_DONE ? 0 : fail_sql(database->handle, error);
}

int emu_d1_run_script(struct emu_d1_run *run, struct mf_span sql, struct emu_d1_script *script, struct mf_error *error)
{
    struct database *database = find(run->d1, run->object);
    int64_t before = sqlite3_total_changes64(database->handle), since_ms = clock_ms();
    char *text = mf_strndup(sql.data, sql.length); /* the length of one statement is limited, not that of the file */
    const char *at = text;
    int done = text == NULL ? mf_fail(error, MF_MEMORY, "no memory") : 0;
    sqlite3_set_authorizer(database->handle, authorize, NULL);
    while (done == 0 && *at != '\0')
        done = step_script(database, &at, script, error);
    mf_free(text);
    script->changes = sqlite3_total_changes64(database->handle) - before;
    script->duration_ms = clock_ms() - since_ms;
    return done;
}
