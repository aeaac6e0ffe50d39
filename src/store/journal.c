/*
 * journal.c - the database of one run: opened, fenced, appended to in turns
 *
 * A turn is one transaction: BEGIN IMMEDIATE, a look at the epoch (nobody can change it while we hold the write lock), the
 * records and what belongs to them, COMMIT. After a failed write nothing more is written: after a failed sync the pages in the
 * kernel may be lost although the next sync would succeed, and a fenced writer has no business here any more.
 */
#include "store/journal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "json/scan.h"
#include "store/files.h"
#include "store/journal_private.h"
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE_NAME "run.db"
/* There until the first commit: an unfinished database beside it never held anything; one without it was damaged. */
#define UNBORN_NAME ".unborn"
#define NAME_NAME ".name"
#define PATH_BYTES_MAX 4096
#define NAMED_GRAPH_BYTES_MAX (4u << 20)
#define NAMED_NODES_MAX (1u << 20)

int journal_broke(struct journal *journal, struct mf_error *error)
{
    if (journal->in_turn)
        journal_rollback(journal);
    if (error == NULL || error->code != MF_LOCKED)
        journal->broken = true;
    return -1;
}

static int fenced(struct journal *journal, struct mf_error *error)
{
    journal_rollback(journal);
    journal->broken = true;
    return mf_fail(error, MF_LOCKED, "run %s: another mayfly has taken it over: this one stops", journal->id);
}

/* --- opening --- */

static int open_directory(const char *run_dir, struct mf_error *error)
{
    int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return mf_fail(error, errno == ENOENT ? MF_NOT_FOUND : MF_STATE, "%s: %s", run_dir, strerror(errno));
    if (files_check_directory(fd, run_dir, error) == 0)
        return fd;
    close(fd);
    return -1;
}

static struct journal *allocate(const char *key_path, struct mf_error *error)
{
    struct journal *journal = mf_calloc(1, sizeof *journal);
    char *copy = mf_strdup(key_path);
    if (journal == NULL || copy == NULL) {
        mf_free(journal);
        mf_free(copy);
        mf_fail(error, MF_MEMORY, "journal: no memory");
        return NULL;
    }
    journal->key_path = copy;
    return journal;
}

static int database_path(char out[PATH_BYTES_MAX], const char *run_dir, struct mf_error *error)
{
    int length = snprintf(out, PATH_BYTES_MAX, "%s/" DATABASE_NAME, run_dir);
    return length > 0 && length < PATH_BYTES_MAX ? 0 : mf_fail(error, MF_STATE, "%.200s...: path too long", run_dir);
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    journal_rollback(journal);
    database_close(journal->database, journal->writer && !journal->broken);
    seal_key_close(journal->key);
    mf_free(journal->key_path);
    mf_free(journal);
}

/* --- creating --- */

static void bind_run(sqlite3_stmt *statement, const struct journal_run *run)
{
    const struct mf_span texts[] = {run->graph_path,  run->graph_sha256, run->params_json, run->providers_json,
                                    run->limits_json, run->options_json, run->terms_json,  run->socket_path};
    database_bind_span(statement, 1, run->id);
    database_bind_span(statement, 2, run->name);
    database_bind_span(statement, 3, run->owner);
    sqlite3_bind_int64(statement, 4, run->opened_ms);
    for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++)
        database_bind_span(statement, 5 + i, texts[i]);
    sqlite3_bind_int64(statement, 13, run->pid);
    sqlite3_bind_int64(statement, 14, run->birth);
    database_bind_span(statement, 15, run->boot_id);
}

static int insert_run(struct journal *journal, const struct journal_run *run, struct mf_error *error)
{
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_RUN_INSERT, error);
    if (statement == NULL)
        return -1;
    bind_run(statement, run);
    int status = database_step(journal->database, statement, error);
    sqlite3_clear_bindings(statement); /* they point into the caller's memory */
    if (status < 0 || (statement = database_statement(journal->database, STATEMENT_GRAPH_INSERT, error)) == NULL)
        return -1;
    database_bind_span(statement, 1, run->graph_text);
    status = database_step(journal->database, statement, error);
    sqlite3_clear_bindings(statement);
    return status < 0 ? -1 : 0;
}

static int insert_name(struct journal *journal, uint32_t task, struct mf_span name, struct mf_error *error)
{
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_NAME_PUT, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, task);
    database_bind_span(statement, 2, name);
    return database_step(journal->database, statement, error) < 0 ? -1 : 0;
}

/* Names of tasks for the views: only of graphs of a usual size, a million rows would cost the start a second. */
static int insert_names(struct journal *journal, struct mf_span graph_text, struct mf_error *error)
{
    struct json_limits limits = json_limits_default;
    struct json_document graph;
    limits.comments = true;
    limits.nodes_max = NAMED_NODES_MAX;
    if (graph_text.length > NAMED_GRAPH_BYTES_MAX || json_scan(&graph, graph_text, &limits, NULL) != 0)
        return 0;
    uint32_t tasks = json_member(&graph, 0, "tasks"), task = 0;
    uint32_t key = tasks != JSON_NONE && json_kind(&graph, tasks) == JSON_OBJECT ? json_first(&graph, tasks) : JSON_NONE;
    int status = 0;
    for (; status == 0 && key != JSON_NONE; key = json_next(&graph, tasks, key), task++) {
        struct mf_span name;
        if (json_plain(&graph, key, &name) == 0)
            status = insert_name(journal, task, name, error);
    }
    json_document_free(&graph);
    return status;
}

static int fill(struct journal *journal, const struct journal_run *run, struct mf_error *error)
{
    if (database_run(journal->database, STATEMENT_BEGIN, error) != 0 || schema_create(journal->database, error) != 0 ||
        insert_run(journal, run, error) != 0 || insert_names(journal, run->graph_text, error) != 0)
        return -1;
    return database_run(journal->database, STATEMENT_COMMIT, error);
}

static int mark_unborn(int dir_fd, const char *path, struct mf_error *error)
{
    int fd = openat(dir_fd, UNBORN_NAME, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return mf_fail(error, MF_STATE, "%s: cannot make: %s", path, strerror(errno));
    close(fd);
    return 0; /* make_file syncs the directory */
}

static bool is_unborn(int dir_fd)
{
    struct stat status;
    return fstatat(dir_fd, UNBORN_NAME, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The file exists, empty and 0600, before SQLite opens it: the log and its index take over the mode. */
static int make_file(int dir_fd, const char *path, struct mf_error *error)
{
    int fd = openat(dir_fd, DATABASE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return mf_fail(error, MF_STATE, "%s: cannot make: %s", path, strerror(errno));
    close(fd);
    return fsync(dir_fd) == 0 ? 0 : mf_fail_os(error, errno, "%s", path);
}

static int create(struct journal *journal, int dir_fd, const char *path, const struct journal_run *run, struct mf_error *error)
{
    if (mf_span_copy(run->id, journal->id, sizeof journal->id) != 0)
        return mf_fail(error, MF_INTERNAL, "run id: too long");
    if (seal_key_open(&journal->key, journal->key_path, true, error) != 0 || mark_unborn(dir_fd, path, error) != 0 ||
        make_file(dir_fd, path, error) != 0)
        return -1;
    if (run->name.length > 0 && files_publish(dir_fd, NAME_NAME, run->name, error) != 0)
        return -1;
    if (database_open(&journal->database, path, DATABASE_CREATE, error) != 0)
        return -1;
    journal->writer = true;
    journal->epoch = 1;
    if (fill(journal, run, error) != 0)
        return -1;
    unlinkat(dir_fd, UNBORN_NAME, 0);
    return 0;
}

int journal_create(struct journal **out, const char *run_dir, const char *key_path, const struct journal_run *run, struct mf_error *error)
{
    char path[PATH_BYTES_MAX];
    if (database_path(path, run_dir, error) != 0)
        return -1;
    int dir_fd = open_directory(run_dir, error);
    struct journal *journal = dir_fd >= 0 ? allocate(key_path, error) : NULL;
    int status = journal != NULL ? create(journal, dir_fd, path, run, error) : -1;
    if (dir_fd >= 0)
        close(dir_fd);
    if (status == 0)
        *out = journal;
    else
        journal_close(journal);
    return status;
}

/* --- opening what is there --- */

static int read_id(struct journal *journal, struct mf_error *error)
{
    sqlite3_stmt *statement = database_statement(journal->database, STATEMENT_RUN_ID, error);
    int status = statement != NULL ? database_step(journal->database, statement, error) : -1;
    if (status == 1)
        status = mf_span_copy(database_column(statement, 0), journal->id, sizeof journal->id);
    else if (status == 0)
        status = -1;
    if (statement != NULL)
        sqlite3_reset(statement);
    if (status != 0 && (error == NULL || error->code == MF_NONE))
        return mf_fail(error, MF_STATE, "%s: is damaged: its run row is missing", journal->database->path);
    return status;
}

/* A higher epoch: whoever had the run before cannot commit any more. */
static int take_epoch(struct journal *journal, struct mf_error *error)
{
    struct database *database = journal->database;
    sqlite3_int64 last = 0;
    if (database_check(database, true, error) != 0 || database_run(database, STATEMENT_BEGIN, error) != 0 ||
        database_run(database, STATEMENT_EPOCH_TAKE, error) != 0 ||
        database_number(database, STATEMENT_EPOCH_READ, &journal->epoch, error) != 0 ||
        database_number(database, STATEMENT_LAST_SEQ, &last, error) != 0)
        return -1;
    journal->committed_seq = journal->last_seq = (uint64_t)last;
    return database_run(database, STATEMENT_COMMIT, error);
}

static int open_existing(struct journal *journal, const char *path, bool writer, struct mf_error *error)
{
    if (database_open(&journal->database, path, writer ? DATABASE_WRITE : DATABASE_READ, error) != 0 ||
        schema_check(journal->database, error) != 0 || read_id(journal, error) != 0)
        return -1;
    if (!writer)
        return 0;
    if (seal_key_open(&journal->key, journal->key_path, false, error) != 0 || take_epoch(journal, error) != 0)
        return -1;
    journal->writer = true;
    return 0;
}

int journal_open(struct journal **out, const char *run_dir, const char *key_path, bool writer, struct mf_error *error)
{
    char path[PATH_BYTES_MAX];
    struct mf_error own = {0};
    error = error != NULL ? error : &own;
    error->code = MF_NONE;
    if (database_path(path, run_dir, error) != 0)
        return -1;
    int dir_fd = open_directory(run_dir, error);
    int status = dir_fd >= 0 ? files_check_name(dir_fd, DATABASE_NAME, path, error) : -1;
    struct journal *journal = status == 0 ? allocate(key_path, error) : NULL;
    if (journal != NULL)
        status = open_existing(journal, path, writer, error);
    if (journal != NULL && status != 0 && is_unborn(dir_fd))
        mf_fail(error, MF_NOT_FOUND, "%s: nothing was written to it: the run did not begin", path);
    if (dir_fd >= 0)
        close(dir_fd);
    if (journal == NULL || status != 0) {
        journal_close(journal);
        return -1;
    }
    *out = journal;
    return 0;
}

/* --- turns --- */

static int check_epoch(struct journal *journal, struct mf_error *error)
{
    sqlite3_int64 epoch = 0;
    if (database_number(journal->database, STATEMENT_EPOCH_READ, &epoch, error) != 0)
        return journal_broke(journal, error);
    return epoch == journal->epoch ? 0 : fenced(journal, error);
}

int journal_begin(struct journal *journal, struct mf_error *error)
{
    mf_assert(journal->writer && !journal->in_turn);
    if (journal->broken)
        return mf_fail(error, MF_STATE, "run %s: an earlier write failed: its journal is closed", journal->id);
    struct mf_error cause = {0};
    error = error != NULL ? error : &cause;
    if (database_run(journal->database, STATEMENT_BEGIN, error) != 0)
        return journal_broke(journal, error);
    journal->in_turn = true;
    return check_epoch(journal, error);
}

static void bind_or_null(sqlite3_stmt *statement, int index, uint32_t number)
{
    if (number != CORE_NONE)
        sqlite3_bind_int64(statement, index, number);
    else
        sqlite3_bind_null(statement, index);
}

/* The statement of the inner loop: all of it is bound anew each time. */
static sqlite3_stmt *append_statement(struct journal *journal, struct mf_error *error)
{
    sqlite3_stmt *statement = journal->database->statements[STATEMENT_APPEND];
    return statement != NULL ? statement : database_statement(journal->database, STATEMENT_APPEND, error);
}

static int append(struct journal *journal, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    if (record->seq != journal->last_seq + 1)
        return mf_fail(error, MF_INTERNAL, "record %llu: does not follow %llu", (unsigned long long)record->seq,
                       (unsigned long long)journal->last_seq);
    size_t length;
    if (record_encode(record, extra, journal->facts, &length, error) != 0)
        return -1;
    sqlite3_stmt *statement = append_statement(journal, error);
    if (statement == NULL)
        return -1;
    enum core_subject subject = record_subject(record->kind);
    struct mf_span kind = record_kind_name(record->kind);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)record->seq);
    sqlite3_bind_int64(statement, 2, record->at_ms);
    sqlite3_bind_text(statement, 3, kind.data, (int)kind.length, SQLITE_STATIC);
    bind_or_null(statement, 4, subject == CORE_SUBJECT_TASK ? record->node : CORE_NONE);
    bind_or_null(statement, 5, subject == CORE_SUBJECT_ACCOUNT ? record->account : CORE_NONE);
    sqlite3_bind_text(statement, 6, journal->facts, (int)length, SQLITE_STATIC);
    if (database_step(journal->database, statement, error) < 0)
        return -1;
    journal->last_seq = record->seq;
    return 0;
}

static int no_turn(const struct journal *journal, struct mf_error *error)
{
    return mf_fail(error, MF_INTERNAL, "run %s: the turn was given up after a failed write", journal->id);
}

/* An append that failed cannot be left out: the whole turn is given up. */
int journal_append(struct journal *journal, const struct core_record *record, struct mf_span extra, struct mf_error *error)
{
    struct mf_error cause = {0};
    error = error != NULL ? error : &cause;
    if (!journal->in_turn)
        return no_turn(journal, error);
    return append(journal, record, extra, error) == 0 ? 0 : journal_broke(journal, error);
}

int journal_commit(struct journal *journal, struct mf_error *error)
{
    struct mf_error cause = {0};
    error = error != NULL ? error : &cause;
    if (!journal->in_turn)
        return no_turn(journal, error);
    if (database_run(journal->database, STATEMENT_COMMIT, error) != 0)
        return journal_broke(journal, error);
    journal->in_turn = false;
    journal->committed_seq = journal->last_seq;
    journal->commits++;
    return 0;
}

void journal_rollback(struct journal *journal)
{
    if (!journal->in_turn)
        return;
    if (sqlite3_get_autocommit(journal->database->handle) == 0) /* SQLite may have rolled back by itself */
        database_run(journal->database, STATEMENT_ROLLBACK, NULL);
    journal->in_turn = false;
    journal->last_seq = journal->committed_seq;
}

uint64_t journal_commits(const struct journal *journal)
{
    return journal->commits;
}

uint64_t journal_last_seq(const struct journal *journal)
{
    return journal->committed_seq;
}

int journal_check(struct journal *journal, bool quick, struct mf_error *error)
{
    return database_check(journal->database, quick, error);
}
