/*
 * persist.c - the data directory: writing
 *
 * synchronous=OFF on purpose: kill -9 loses nothing, and the emulator is not where durability is measured. Token values
 * never come here, only their SHA-256.
 */
#include "emulator/persist.h"

#include "base/alloc.h"
#include "emulator/persist_private.h"
#include "emulator/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char schema_sql[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON; PRAGMA locking_mode=EXCLUSIVE;"
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS account(sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, type INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, claim_hash BLOB, claim_expires_ms INTEGER NOT NULL, subdomain TEXT NOT NULL,"
    " settings TEXT) STRICT;"
    "CREATE TABLE IF NOT EXISTS token(sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash BLOB NOT NULL,"
    " account TEXT NOT NULL REFERENCES account(id) ON DELETE CASCADE, name TEXT NOT NULL, policies TEXT NOT NULL, condition TEXT,"
    " issued_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, not_before_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
    " disabled INTEGER NOT NULL, temporary INTEGER NOT NULL) STRICT;"
    "CREATE INDEX IF NOT EXISTS token_account ON token(account);"
    "CREATE TABLE IF NOT EXISTS object(sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL,"
    " account TEXT NOT NULL REFERENCES account(id) ON DELETE CASCADE, parent INTEGER REFERENCES object(sequence) ON DELETE CASCADE,"
    " name TEXT NOT NULL, document TEXT NOT NULL, data BLOB, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX IF NOT EXISTS object_account ON object(account);"
    "CREATE INDEX IF NOT EXISTS object_parent ON object(parent);";

/* An UPSERT, not REPLACE: replacing would delete the row first, and its children with it. */
#define STATEMENTS(X)                                                                                                        \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                              \
    X(COMMIT, "COMMIT")                                                                                                      \
    X(GET, "SELECT value FROM meta WHERE key=?1")                                                                            \
    X(SET, "INSERT INTO meta VALUES(?1,?2) ON CONFLICT DO UPDATE SET value=?2")                                              \
    X(ACCOUNT, "INSERT INTO account VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT(sequence) DO UPDATE SET name=?3,"     \
               " type=?4, expires_ms=?6, claim_hash=?7, claim_expires_ms=?8, subdomain=?9, settings=?10")                    \
    X(ACCOUNT_DELETE, "DELETE FROM account WHERE sequence=?1")                                                               \
    X(TOKEN, "INSERT INTO token VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13) ON CONFLICT(sequence) DO UPDATE SET"      \
             " hash=?3, name=?5, policies=?6, condition=?7, modified_ms=?9, not_before_ms=?10, expires_ms=?11, disabled=?12") \
    X(TOKEN_DELETE, "DELETE FROM token WHERE sequence=?1")                                                                   \
    X(OBJECT, "INSERT INTO object VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT(sequence) DO UPDATE SET"            \
              " name=?6, document=?7, data=?8, modified_ms=?10, expires_ms=?11")                                             \
    X(OBJECT_DELETE, "DELETE FROM object WHERE sequence=?1")

enum statement {
#define X(name, sql) STATEMENT_##name,
    STATEMENTS(X)
#undef X
    STATEMENT_COUNT
};

static const char *const statement_sql[] = {
#define X(name, sql) sql,
    STATEMENTS(X)
#undef X
};

struct emu_persist {
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int lock_fd;
    bool in_transaction, failed;
};

/* --- opening --- */

static int lock_directory(struct emu_persist *persist, const char *directory, struct mf_error *error)
{
    char path[4096];
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return mf_fail_os(error, errno, "%s", directory);
    if (snprintf(path, sizeof(path), "%s/lock", directory) >= (int)sizeof(path))
        return mf_fail(error, MF_LIMIT, "%s: path is too long", directory);
    persist->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (persist->lock_fd < 0)
        return mf_fail_os(error, errno, "%s", path);
    if (flock(persist->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return mf_fail(error, MF_LOCKED, "%s: another emulator uses this directory", directory);
    return 0;
}

static int fail_sql(struct emu_persist *persist, struct mf_error *error)
{
    return mf_fail(error, MF_STATE, "emulator data: %s", persist->database == NULL ? "no memory" : sqlite3_errmsg(persist->database));
}

static int open_database(struct emu_persist *persist, const char *directory, struct mf_error *error)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/emulator.db", directory) >= (int)sizeof(path))
        return mf_fail(error, MF_LIMIT, "%s: path is too long", directory);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &persist->database, flags, NULL) != SQLITE_OK ||
        sqlite3_exec(persist->database, schema_sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail_sql(persist, error);
    for (unsigned each = 0; each < STATEMENT_COUNT; each++)
        if (sqlite3_prepare_v3(persist->database, statement_sql[each], -1, SQLITE_PREPARE_PERSISTENT, &persist->statements[each], NULL) != SQLITE_OK)
            return fail_sql(persist, error);
    return 0;
}

int emu_persist_open(struct emu_persist **out, const char *directory, struct mf_error *error)
{
    struct emu_persist *persist = mf_calloc(1, sizeof(*persist));
    if (persist == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    persist->lock_fd = -1;
    if (lock_directory(persist, directory, error) < 0 || open_database(persist, directory, error) < 0) {
        emu_persist_close(persist);
        return -1;
    }
    *out = persist;
    return 0;
}

void emu_persist_close(struct emu_persist *persist)
{
    if (persist == NULL)
        return;
    (void)emu_persist_commit(persist);
    for (unsigned each = 0; each < STATEMENT_COUNT; each++)
        sqlite3_finalize(persist->statements[each]);
    sqlite3_close(persist->database);
    if (persist->lock_fd >= 0)
        close(persist->lock_fd);
    mf_free(persist);
}

sqlite3 *emu_persist_database(struct emu_persist *persist)
{
    return persist->database;
}

/* --- statements --- */

static void run(struct emu_persist *persist, enum statement which)
{
    sqlite3_stmt *statement = persist->statements[which];
    if (sqlite3_step(statement) != SQLITE_DONE)
        persist->failed = true;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* The statement, inside the transaction of this request. */
static sqlite3_stmt *start(struct emu_persist *persist, enum statement which)
{
    if (!persist->in_transaction)
        run(persist, STATEMENT_BEGIN);
    persist->in_transaction = true;
    return persist->statements[which];
}

int emu_persist_commit(struct emu_persist *persist)
{
    if (persist == NULL || !persist->in_transaction)
        return 0;
    run(persist, STATEMENT_COMMIT);
    persist->in_transaction = false;
    return persist->failed ? -1 : 0;
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC); /* NULL binds NULL */
}

bool emu_persist_get(struct emu_persist *persist, const char *key, char *out, size_t out_bytes)
{
    if (persist == NULL)
        return false;
    sqlite3_stmt *statement = persist->statements[STATEMENT_GET];
    bind_text(statement, 1, key);
    bool found = sqlite3_step(statement) == SQLITE_ROW;
    if (found) {
        const char *value = sqlite3_column_blob(statement, 0);
        found = mf_span_copy((struct mf_span){value, (size_t)sqlite3_column_bytes(statement, 0)}, out, out_bytes) == 0;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return found;
}

void emu_persist_set(struct emu_persist *persist, const char *key, struct mf_span value)
{
    if (persist == NULL)
        return;
    sqlite3_stmt *statement = start(persist, STATEMENT_SET);
    bind_text(statement, 1, key);
    sqlite3_bind_blob64(statement, 2, value.data, value.length, SQLITE_STATIC);
    run(persist, STATEMENT_SET);
}

void emu_persist_account(struct emu_persist *persist, const struct emu_account *account)
{
    if (persist == NULL)
        return;
    sqlite3_stmt *statement = start(persist, STATEMENT_ACCOUNT);
    sqlite3_bind_int64(statement, 1, (int64_t)account->sequence);
    bind_text(statement, 2, account->id);
    bind_text(statement, 3, account->name);
    sqlite3_bind_int(statement, 4, (int)account->type);
    sqlite3_bind_int64(statement, 5, account->created_ms);
    sqlite3_bind_int64(statement, 6, account->expires_ms);
    if (account->claimable)
        sqlite3_bind_blob(statement, 7, account->claim_hash, EMU_HASH_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 8, account->claim_expires_ms);
    bind_text(statement, 9, account->subdomain);
    bind_text(statement, 10, account->settings);
    run(persist, STATEMENT_ACCOUNT);
}

static void delete_row(struct emu_persist *persist, enum statement which, uint64_t sequence)
{
    if (persist == NULL)
        return;
    sqlite3_bind_int64(start(persist, which), 1, (int64_t)sequence);
    run(persist, which);
}

void emu_persist_account_delete(struct emu_persist *persist, const struct emu_account *account)
{
    delete_row(persist, STATEMENT_ACCOUNT_DELETE, account->sequence);
}

void emu_persist_token(struct emu_persist *persist, const struct emu_token *token)
{
    if (persist == NULL)
        return;
    sqlite3_stmt *statement = start(persist, STATEMENT_TOKEN);
    sqlite3_bind_int64(statement, 1, (int64_t)token->sequence);
    bind_text(statement, 2, token->id);
    sqlite3_bind_blob(statement, 3, token->hash, EMU_HASH_BYTES, SQLITE_STATIC);
    bind_text(statement, 4, token->account->id);
    bind_text(statement, 5, token->name);
    bind_text(statement, 6, token->policies);
    bind_text(statement, 7, token->condition);
    sqlite3_bind_int64(statement, 8, token->issued_ms);
    sqlite3_bind_int64(statement, 9, token->modified_ms);
    sqlite3_bind_int64(statement, 10, token->not_before_ms);
    sqlite3_bind_int64(statement, 11, token->expires_ms);
    sqlite3_bind_int(statement, 12, token->disabled);
    sqlite3_bind_int(statement, 13, token->temporary);
    run(persist, STATEMENT_TOKEN);
}

void emu_persist_token_delete(struct emu_persist *persist, const struct emu_token *token)
{
    delete_row(persist, STATEMENT_TOKEN_DELETE, token->sequence);
}

void emu_persist_object(struct emu_persist *persist, const struct emu_object *object)
{
    if (persist == NULL)
        return;
    sqlite3_stmt *statement = start(persist, STATEMENT_OBJECT);
    sqlite3_bind_int64(statement, 1, (int64_t)object->sequence);
    bind_text(statement, 2, emu_kind_name(object->kind));
    bind_text(statement, 3, object->id);
    bind_text(statement, 4, object->account->id);
    if (object->parent != NULL)
        sqlite3_bind_int64(statement, 5, (int64_t)object->parent->sequence);
    bind_text(statement, 6, object->name);
    bind_text(statement, 7, object->document);
    if (object->data != NULL)
        sqlite3_bind_blob64(statement, 8, object->data, object->data_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 9, object->created_ms);
    sqlite3_bind_int64(statement, 10, object->modified_ms);
    sqlite3_bind_int64(statement, 11, object->expires_ms);
    run(persist, STATEMENT_OBJECT);
}

void emu_persist_object_delete(struct emu_persist *persist, const struct emu_object *object)
{
    delete_row(persist, STATEMENT_OBJECT_DELETE, object->sequence);
}
