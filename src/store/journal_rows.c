/* journal_rows.c - what stands beside the journal: the run row, sealed secrets, ids, names, results */
#include "base/alloc.h"
#include "base/assert.h"
#include "store/journal_private.h"

#include <stdio.h>
#include <string.h>

/* Columns of the run row that may change: the columns and their statements are one list. */
#define RUN_COLUMNS(X)                                                                                                 \
    X(socket_path) X(providers_json) X(options_json) X(limits_json) X(terms_json) X(pid) X(birth) X(boot_id) X(graph_path) X(graph_sha256)

static const struct {
    const char *column, *sql;
} run_updates[] = {
#define X(column) {#column, "UPDATE run SET " #column " = ?1 WHERE epoch = ?2"},
    RUN_COLUMNS(X)
#undef X
};

static int may_write(struct journal *journal, struct mf_error *error)
{
    mf_assert(journal->writer);
    if (journal->broken)
        return mf_fail(error, MF_STATE, "run %s: an earlier write failed: its journal is closed", journal->id);
    return 0;
}

/* Runs a bound statement; the bindings point into the caller's memory and go. A failure ends the turn that it belongs to. */
static int finish(struct journal *journal, sqlite3_stmt *statement, struct mf_error *error)
{
    struct mf_error cause = {0};
    error = error != NULL ? error : &cause;
    int status = database_step(journal->database, statement, error);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status < 0 ? journal_broke(journal, error) : 0;
}

int journal_set_run(struct journal *journal, const char *column, struct mf_span value, struct mf_error *error)
{
    const char *sql = NULL;
    for (size_t i = 0; i < sizeof run_updates / sizeof run_updates[0]; i++)
        if (strcmp(run_updates[i].column, column) == 0)
            sql = run_updates[i].sql;
    mf_assert(sql != NULL);
    sqlite3_stmt *statement = NULL;
    if (may_write(journal, error) != 0)
        return -1;
    if (sqlite3_prepare_v2(journal->database->handle, sql, -1, &statement, NULL) != SQLITE_OK)
        return database_fail(journal->database, error);
    database_bind_span(statement, 1, value);
    sqlite3_bind_int64(statement, 2, journal->epoch);
    int status = database_step(journal->database, statement, error);
    if (status == 0 && sqlite3_changes(journal->database->handle) != 1)
        status = mf_fail(error, MF_LOCKED, "run %s: another mayfly has taken it over", journal->id);
    sqlite3_finalize(statement);
    return status;
}

int journal_put_graph(struct journal *journal, struct mf_span text, struct mf_error *error)
{
    if (may_write(journal, error) != 0)
        return -1;
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_GRAPH_REVISE, error);
    if (statement == NULL)
        return -1;
    database_bind_span(statement, 1, text);
    return finish(journal, statement, error);
}

/* --- secrets --- */

/* What a sealed value is bound to: it opens in no other row and no other run. */
static struct mf_span secret_context(const struct journal *journal, uint32_t account, const char *name, char out[128])
{
    int length = snprintf(out, 128, "%s/%u/%.64s", journal->id, account, name);
    return (struct mf_span){out, (size_t)length};
}

static int need_key(struct journal *journal, struct mf_error *error)
{
    return journal->key != NULL ? 0 : seal_key_open(&journal->key, journal->key_path, false, error);
}

int journal_put_secret(struct journal *journal, uint32_t account, const char *name, struct mf_span value, struct mf_error *error)
{
    char context[128];
    struct mf_buf sealed;
    mf_buf_init(&sealed, SEAL_VALUE_BYTES_MAX + SEAL_OVERHEAD_BYTES);
    int status = may_write(journal, error);
    if (status == 0)
        status = seal_value(journal->key, secret_context(journal, account, name, context), value, &sealed, error);
    sqlite3_stmt *statement = status == 0 ? database_statement(journal->database, STATEMENT_SECRET_PUT, error) : NULL;
    if (statement != NULL) {
        sqlite3_bind_int64(statement, 1, account);
        database_bind_span(statement, 2, mf_span(name));
        sqlite3_bind_blob64(statement, 3, sealed.data, sealed.length, SQLITE_STATIC);
        status = finish(journal, statement, error);
    }
    mf_buf_free(&sealed);
    return statement != NULL ? status : -1;
}

int journal_drop_secrets(struct journal *journal, uint32_t account, const char *name, struct mf_error *error)
{
    if (may_write(journal, error) != 0)
        return -1;
    sqlite3_stmt *statement =
        database_statement(journal->database, name != NULL ? STATEMENT_SECRET_DROP : STATEMENT_SECRET_DROP_ALL, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, account);
    if (name != NULL)
        database_bind_span(statement, 2, mf_span(name));
    return finish(journal, statement, error);
}

int journal_get_secret(struct journal *journal, uint32_t account, const char *name, struct mf_buf *out, struct mf_error *error)
{
    char context[128];
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_SECRET_GET, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, account);
    database_bind_span(statement, 2, mf_span(name));
    int status = database_step(journal->database, statement, error);
    if (status == 0) {
        status = mf_fail(error, MF_NOT_FOUND, "account %u: no %s is kept", account, name);
    } else if (status == 1) {
        status = need_key(journal, error);
        if (status == 0)
            status = seal_open(journal->key, secret_context(journal, account, name, context), database_column(statement, 0), out, error);
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

int journal_secret_count(struct journal *journal, uint32_t *out, struct mf_error *error)
{
    sqlite3_int64 count = 0;
    if (database_number(journal->database, STATEMENT_SECRET_COUNT, &count, error) != 0)
        return -1;
    *out = (uint32_t)count;
    return 0;
}

/* --- ids, names, results --- */

int journal_put_ids(struct journal *journal, uint32_t account, struct mf_span ids_json, struct mf_error *error)
{
    if (may_write(journal, error) != 0)
        return -1;
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_IDS_PUT, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, account);
    database_bind_span(statement, 2, ids_json);
    return finish(journal, statement, error);
}

/* Appends a text column; a column that does not fit is no memory or damage. */
static int append_column(struct journal *journal, sqlite3_stmt *statement, int column, struct mf_buf *out, struct mf_error *error)
{
    if (mf_buf_span(out, database_column(statement, column)) == 0)
        return 0;
    return mf_fail(error, MF_LIMIT, "%s: a value is longer than %zu bytes", journal->database->path, out->bytes_max);
}

int journal_get_ids(struct journal *journal, uint32_t account, struct mf_buf *out, struct mf_error *error)
{
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_IDS_GET, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, account);
    int status = database_step(journal->database, statement, error);
    if (status == 1)
        status = append_column(journal, statement, 0, out, error);
    sqlite3_reset(statement);
    return status;
}

int journal_put_node(struct journal *journal, uint32_t node, uint32_t template_node, uint32_t ordinal, struct mf_span path,
                     struct mf_span item_json, struct mf_error *error)
{
    if (may_write(journal, error) != 0)
        return -1;
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_NODE_PUT, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, node);
    if (template_node != CORE_NONE)
        sqlite3_bind_int64(statement, 2, template_node);
    sqlite3_bind_int64(statement, 3, ordinal);
    database_bind_span(statement, 4, path);
    database_bind_span(statement, 5, item_json);
    return finish(journal, statement, error);
}

int journal_put_result(struct journal *journal, uint32_t node, uint32_t attempt, struct mf_span sha256, struct mf_span outputs_path,
                       struct mf_error *error)
{
    if (may_write(journal, error) != 0)
        return -1;
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_RESULT_PUT, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, node);
    sqlite3_bind_int64(statement, 2, attempt);
    database_bind_span(statement, 3, sha256);
    database_bind_span(statement, 4, outputs_path);
    return finish(journal, statement, error);
}

int journal_get_result(struct journal *journal, uint32_t node, struct mf_buf *sha256, struct mf_buf *outputs_path, struct mf_error *error)
{
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_RESULT_GET, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, node);
    int status = database_step(journal->database, statement, error);
    if (status == 1 && append_column(journal, statement, 0, sha256, error) == 0)
        status = append_column(journal, statement, 1, outputs_path, error);
    else if (status == 1)
        status = -1;
    sqlite3_reset(statement);
    return status;
}
