/* journal_read.c - the journal read back: replay, following, the run row, names; all of it is external input */
#include "base/assert.h"
#include "store/journal_private.h"

#include <string.h>

/* --- records --- */

/* A number column that must fit; NULL is CORE_NONE. */
static int read_index(sqlite3_stmt *statement, int column, uint32_t *out)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
        *out = CORE_NONE;
        return 0;
    }
    sqlite3_int64 number = sqlite3_column_int64(statement, column);
    *out = (uint32_t)number;
    return number >= 0 && number < (sqlite3_int64)CORE_NONE ? 0 : -1;
}

static int read_record(sqlite3_stmt *statement, uint64_t expected_seq, struct core_record *record, struct mf_span *extra,
                       struct mf_error *error)
{
    *record = (struct core_record){.seq = (uint64_t)sqlite3_column_int64(statement, 0), .at_ms = sqlite3_column_int64(statement, 1)};
    if (record->seq != expected_seq)
        return mf_fail(error, MF_STATE, "journal: record %llu is missing (%llu follows)", (unsigned long long)expected_seq,
                       (unsigned long long)record->seq);
    if (read_index(statement, 3, &record->node) != 0 || read_index(statement, 4, &record->account) != 0)
        return mf_fail(error, MF_STATE, "journal: record %llu: task or account out of range", (unsigned long long)record->seq);
    return record_decode(record, database_column(statement, 2), database_column(statement, 5), extra, error);
}

typedef int each_record(void *context, const struct core_record *record, struct mf_span extra, struct mf_error *error);

static int read_records(struct journal *journal, uint64_t after_seq, each_record *each, void *context, uint64_t *last, struct mf_error *error)
{
    *last = after_seq;
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_REPLAY, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)after_seq);
    int status;
    while ((status = database_step(journal->database, statement, error)) == 1) {
        struct core_record record;
        struct mf_span extra;
        if (read_record(statement, *last + 1, &record, &extra, error) != 0) {
            status = mf_wrap(error, "%s", journal->database->path);
            break;
        }
        if (each(context, &record, extra, error) != 0) {
            status = -1;
            break;
        }
        *last = record.seq;
    }
    sqlite3_reset(statement);
    return status;
}

int journal_replay(struct journal *journal, each_record *each, void *context, struct mf_error *error)
{
    uint64_t last;
    return read_records(journal, 0, each, context, &last, error);
}

int journal_read_from(struct journal *journal, uint64_t after_seq, each_record *each, void *context, uint64_t *last, struct mf_error *error)
{
    return read_records(journal, after_seq, each, context, last, error);
}

/* --- the run row --- */

static int keep_texts(sqlite3_stmt *statement, struct mf_span *const texts[], int count, struct mf_buf *hold)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += database_column(statement, i).length;
    if (mf_buf_reserve(hold, bytes) != 0) /* all at once: what follows does not move */
        return -1;
    for (int i = 0; i < count; i++) {
        struct mf_span column = database_column(statement, i);
        *texts[i] = (struct mf_span){hold->data + hold->length, column.length};
        mf_buf_span(hold, column);
    }
    return 0;
}

static int read_run(struct journal *journal, enum statement which, struct journal_run *run, struct mf_buf *hold, struct mf_error *error)
{
    struct mf_span *const texts[] = {&run->id,          &run->name,           &run->owner,       &run->graph_path,  &run->graph_text,
                                     &run->graph_sha256, &run->params_json,   &run->providers_json, &run->limits_json, &run->options_json,
                                     &run->terms_json,  &run->socket_path,    &run->boot_id};
    enum { TEXT_COUNT = sizeof texts / sizeof texts[0] };
    sqlite3_stmt *statement = database_statement(journal->database, which, error);
    if (statement == NULL)
        return -1;
    int status = database_step(journal->database, statement, error);
    if (status == 0)
        status = mf_fail(error, MF_STATE, "%s: is damaged: its run row is missing", journal->database->path);
    else if (status == 1 && keep_texts(statement, texts, TEXT_COUNT, hold) != 0)
        status = mf_fail(error, MF_LIMIT, "%s: the run row is longer than %zu bytes", journal->database->path, hold->bytes_max);
    if (status == 1) {
        run->opened_ms = sqlite3_column_int64(statement, TEXT_COUNT);
        run->pid = sqlite3_column_int64(statement, TEXT_COUNT + 1);
        run->birth = sqlite3_column_int64(statement, TEXT_COUNT + 2);
        status = 0;
    }
    sqlite3_reset(statement);
    return status;
}

int journal_read_run(struct journal *journal, struct journal_run *run, struct mf_buf *hold, struct mf_error *error)
{
    return read_run(journal, STATEMENT_RUN_READ, run, hold, error);
}

int journal_read_run_small(struct journal *journal, struct journal_run *run, struct mf_buf *hold, struct mf_error *error)
{
    return read_run(journal, STATEMENT_RUN_READ_SMALL, run, hold, error);
}

/* --- names --- */

int journal_nodes_from(struct journal *journal, uint32_t first, each_node *each, void *context, struct mf_error *error)
{
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_NODES, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, first);
    int status;
    while ((status = database_step(journal->database, statement, error)) == 1) {
        uint32_t node, template_node, ordinal;
        if (read_index(statement, 0, &node) != 0 || read_index(statement, 1, &template_node) != 0 ||
            read_index(statement, 2, &ordinal) != 0 || node == CORE_NONE) {
            status = mf_fail(error, MF_STATE, "%s: is damaged: a name has no number", journal->database->path);
            break;
        }
        if (each(context, node, template_node, ordinal, database_column(statement, 3), database_column(statement, 4), error) != 0) {
            status = -1;
            break;
        }
    }
    sqlite3_reset(statement);
    return status;
}

int journal_nodes(struct journal *journal, each_node *each, void *context, struct mf_error *error)
{
    return journal_nodes_from(journal, 0, each, context, error);
}
