/*
 * requests.c - the table `request`: the record of requests, taken in from the file for people with the sqlite3 shell
 *
 * Called by app/ when a run ends, with the runner gone and the file complete. The file stays what is proven; the table is a
 * copy that can be joined with the rest. What can fail: no space, a foreign lock; then the table ends early, and the next end
 * of the run goes on there.
 */
#include "store/journal_private.h"

#include "json/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AUDIT_FILE "audit.log"
#define READ_BYTES 65536u
#define HELD_BYTES_MAX (READ_BYTES + 65536u) /* a line has less than 16 KiB */
#define LINES_PER_COMMIT 5000u               /* 2 MiB of the write-ahead log */

struct taking {
    struct journal *journal;
    uint64_t line, known; /* the last one that was read; that the table has */
    uint32_t in_turn;
    struct mf_buf held;
};

static int put(struct taking *taking, struct mf_span line, struct mf_error *error)
{
    struct json_document document;
    int64_t at_ms = 0;
    int64_t account = 0;
    if (json_scan_error(&document, line, &json_limits_default, error) != 0)
        return mf_wrap(error, AUDIT_FILE ": line %llu", (unsigned long long)taking->line);
    (void)json_int(&document, json_member(&document, 0, "at_ms"), &at_ms);
    (void)json_int(&document, json_member(&document, 0, "account"), &account);
    json_document_free(&document);
    struct database *database = taking->journal->database;
    sqlite3_stmt *statement = database_statement(database, STATEMENT_REQUEST_PUT, error);
    if (statement == NULL)
        return -1;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)taking->line);
    sqlite3_bind_int64(statement, 2, at_ms);
    if (account > 0)
        sqlite3_bind_int64(statement, 3, account);
    database_bind_span(statement, 4, line);
    return database_step(database, statement, error) < 0 ? -1 : 0;
}

static int take_line(struct taking *taking, struct mf_span line, struct mf_error *error)
{
    if (++taking->line <= taking->known)
        return 0;
    if (taking->in_turn == 0 && journal_begin(taking->journal, error) != 0)
        return -1;
    taking->in_turn++;
    if (put(taking, line, error) != 0) {
        journal_rollback(taking->journal);
        taking->in_turn = 0;
        return -1;
    }
    if (taking->in_turn < LINES_PER_COMMIT)
        return 0;
    taking->in_turn = 0;
    return journal_commit(taking->journal, error);
}

static int take_lines(struct taking *taking, struct mf_error *error)
{
    size_t at = 0;
    const char *end;
    while (at < taking->held.length && (end = memchr(taking->held.data + at, '\n', taking->held.length - at)) != NULL) {
        struct mf_span line = {taking->held.data + at, (size_t)(end - taking->held.data) - at};
        if (take_line(taking, line, error) != 0)
            return -1;
        at += line.length + 1;
    }
    mf_buf_consume(&taking->held, at);
    return 0;
}

static int take_file(struct taking *taking, int fd, struct mf_error *error)
{
    ssize_t got = 1;
    while (got > 0) {
        if (mf_buf_reserve(&taking->held, READ_BYTES) != 0)
            return mf_fail(error, MF_LIMIT, AUDIT_FILE ": a line is too long, or there is no memory");
        got = read(fd, taking->held.data + taking->held.length, READ_BYTES);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        if (got < 0)
            return mf_fail_os(error, errno, AUDIT_FILE ": cannot read");
        taking->held.length += (size_t)got;
        if (take_lines(taking, error) != 0)
            return -1;
    }
    if (taking->in_turn == 0)
        return 0;
    taking->in_turn = 0;
    return journal_commit(taking->journal, error);
}

/* Paths become numbers of tasks in one statement, so that SQLite joins them with an index of its own. */
static int name_tasks(struct journal *journal, struct mf_error *error)
{
    if (journal_begin(journal, error) != 0)
        return -1;
    if (database_run(journal->database, STATEMENT_REQUEST_TASKS, error) != 0) {
        journal_rollback(journal);
        return -1;
    }
    return journal_commit(journal, error);
}

static int open_file(int run_dir_fd, struct mf_error *error)
{
    struct stat found;
    int fd = openat(run_dir_fd, AUDIT_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -1 : mf_fail_os(error, errno, AUDIT_FILE ": cannot open");
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode))
        return fd;
    close(fd);
    return mf_fail(error, MF_STATE, AUDIT_FILE ": is no regular file");
}

int journal_take_requests(struct journal *journal, int run_dir_fd, struct mf_error *error)
{
    struct mf_error none = {0};
    struct taking taking = {.journal = journal};
    sqlite3_int64 known;
    int fd = open_file(run_dir_fd, &none);
    if (fd < 0)
        return none.code == MF_NONE ? 0 : mf_fail(error, none.code, "%s", none.text);
    mf_buf_init(&taking.held, HELD_BYTES_MAX);
    int status = database_number(journal->database, STATEMENT_REQUEST_LAST, &known, error);
    taking.known = status == 0 ? (uint64_t)known : 0;
    if (status == 0)
        status = take_file(&taking, fd, error);
    if (status != 0 && taking.in_turn > 0)
        journal_rollback(journal);
    if (status == 0 && taking.line > taking.known)
        status = name_tasks(journal, error);
    mf_buf_free(&taking.held);
    close(fd);
    return status;
}
