/* persist_load.c - the data directory: reading everything back at the start */
#include "base/alloc.h"
#include "emulator/persist.h"
#include "emulator/persist_private.h"
#include "emulator/state_private.h"

#include <string.h>

#define SELECT_ACCOUNTS                                                                                                   \
    "SELECT sequence, id, name, type, created_ms, expires_ms, claim_hash, claim_expires_ms, subdomain, settings FROM account" \
    " ORDER BY sequence"
#define SELECT_TOKENS                                                                                                  \
    "SELECT sequence, id, hash, account, name, policies, condition, issued_ms, modified_ms, not_before_ms, expires_ms," \
    " disabled, temporary FROM token ORDER BY sequence"
/* Children have higher numbers than their parents. */
#define SELECT_OBJECTS                                                                                                   \
    "SELECT sequence, kind, id, account, name, parent, document, data, created_ms, modified_ms, expires_ms FROM object" \
    " ORDER BY sequence"

#define SELECT_META "SELECT key, value FROM meta WHERE substr(key, 1, length(?1)) = ?1"

struct reader {
    struct emu_state *state;
    sqlite3_stmt *statement;
    struct mf_error *error;
    struct emu_object **parents; /* sequence-ordered: every object read so far that may be a parent */
    size_t parent_count, parent_capacity;
};

static struct mf_span text_at(const struct reader *reader, int column)
{
    const char *text = (const char *)sqlite3_column_text(reader->statement, column);
    return (struct mf_span){text == NULL ? "" : text, (size_t)sqlite3_column_bytes(reader->statement, column)};
}

static char *dup_at(const struct reader *reader, int column)
{
    return sqlite3_column_type(reader->statement, column) == SQLITE_NULL ? NULL : emu_span_dup(text_at(reader, column));
}

static bool hash_at(const struct reader *reader, int column, uint8_t out[EMU_HASH_BYTES])
{
    if (sqlite3_column_bytes(reader->statement, column) != EMU_HASH_BYTES)
        return false;
    memcpy(out, sqlite3_column_blob(reader->statement, column), EMU_HASH_BYTES);
    return true;
}

static int bad_row(struct reader *reader, const char *table)
{
    return mf_fail(reader->error, MF_STATE, "emulator data: a row of %s is not valid", table);
}

static int read_account(struct reader *reader)
{
    struct emu_account *account = mf_calloc(1, sizeof(*account));
    int type = sqlite3_column_int(reader->statement, 3);
    if (account == NULL)
        return mf_fail(reader->error, MF_MEMORY, "no memory");
    account->sequence = (uint64_t)sqlite3_column_int64(reader->statement, 0);
    account->name = dup_at(reader, 2);
    account->created_ms = sqlite3_column_int64(reader->statement, 4);
    account->expires_ms = sqlite3_column_int64(reader->statement, 5);
    account->claimable = hash_at(reader, 6, account->claim_hash);
    account->claim_expires_ms = sqlite3_column_int64(reader->statement, 7);
    account->settings = dup_at(reader, 9);
    if (account->name == NULL || type < 0 || type > EMU_ACCOUNT_CLAIMED || mf_span_copy(text_at(reader, 1), account->id, sizeof(account->id)) < 0 ||
        mf_span_copy(text_at(reader, 8), account->subdomain, sizeof(account->subdomain)) < 0) {
        emu_account_free(account);
        return bad_row(reader, "account");
    }
    account->type = (enum emu_account_type)type;
    return emu_account_restore(reader->state, account, reader->error);
}

static int read_token(struct reader *reader)
{
    struct emu_token *token = mf_calloc(1, sizeof(*token));
    if (token == NULL)
        return mf_fail(reader->error, MF_MEMORY, "no memory");
    token->sequence = (uint64_t)sqlite3_column_int64(reader->statement, 0);
    token->account = emu_account_find(reader->state, text_at(reader, 3));
    token->name = dup_at(reader, 4);
    token->policies = dup_at(reader, 5);
    token->condition = dup_at(reader, 6);
    token->issued_ms = sqlite3_column_int64(reader->statement, 7);
    token->modified_ms = sqlite3_column_int64(reader->statement, 8);
    token->not_before_ms = sqlite3_column_int64(reader->statement, 9);
    token->expires_ms = sqlite3_column_int64(reader->statement, 10);
    token->disabled = sqlite3_column_int(reader->statement, 11) != 0;
    token->temporary = sqlite3_column_int(reader->statement, 12) != 0;
    if (token->account == NULL || token->name == NULL || token->policies == NULL || !hash_at(reader, 2, token->hash) ||
        mf_span_copy(text_at(reader, 1), token->id, sizeof(token->id)) < 0) {
        emu_token_free(token);
        return bad_row(reader, "token");
    }
    return emu_token_restore(reader->state, token, reader->error);
}

static int find_kind(struct mf_span name, enum emu_kind *out)
{
    for (unsigned kind = 0; kind < EMU_KIND_COUNT; kind++)
        if (mf_span_is(name, emu_kind_name((enum emu_kind)kind))) {
            *out = (enum emu_kind)kind;
            return 0;
        }
    return -1;
}

/* Rows come in order of sequence, so the list is sorted. */
static struct emu_object *find_parent(const struct reader *reader, uint64_t sequence)
{
    size_t low = 0, high = reader->parent_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (reader->parents[middle]->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low < reader->parent_count && reader->parents[low]->sequence == sequence ? reader->parents[low] : NULL;
}

static int fill_object(struct reader *reader, struct emu_object *object)
{
    bool has_parent = sqlite3_column_type(reader->statement, 5) != SQLITE_NULL;
    object->sequence = (uint64_t)sqlite3_column_int64(reader->statement, 0);
    object->account = emu_account_find(reader->state, text_at(reader, 3));
    object->parent = has_parent ? find_parent(reader, (uint64_t)sqlite3_column_int64(reader->statement, 5)) : NULL;
    object->name = dup_at(reader, 4);
    object->document = dup_at(reader, 6);
    object->data = dup_at(reader, 7);
    object->data_bytes = object->data == NULL ? 0 : (size_t)sqlite3_column_bytes(reader->statement, 7);
    object->created_ms = sqlite3_column_int64(reader->statement, 8);
    object->modified_ms = sqlite3_column_int64(reader->statement, 9);
    object->expires_ms = sqlite3_column_int64(reader->statement, 10);
    bool whole = object->account != NULL && object->name != NULL && object->document != NULL && (!has_parent || object->parent != NULL);
    return whole && find_kind(text_at(reader, 1), &object->kind) == 0 && mf_span_copy(text_at(reader, 2), object->id, sizeof(object->id)) == 0 ? 0 : -1;
}

static int read_object(struct reader *reader)
{
    struct emu_object *object = mf_calloc(1, sizeof(*object));
    if (object == NULL || mf_grow((void **)&reader->parents, &reader->parent_capacity, reader->parent_count + 1, sizeof(struct emu_object *), 64) < 0) {
        emu_object_free(object);
        return mf_fail(reader->error, MF_MEMORY, "no memory");
    }
    if (fill_object(reader, object) < 0) {
        emu_object_free(object);
        return bad_row(reader, "object");
    }
    reader->parents[reader->parent_count++] = object;
    return emu_object_restore(reader->state, object, reader->error);
}

static int read_rows(struct reader *reader, sqlite3 *database, const char *sql, int (*row)(struct reader *reader))
{
    if (sqlite3_prepare_v2(database, sql, -1, &reader->statement, NULL) != SQLITE_OK)
        return mf_fail(reader->error, MF_STATE, "emulator data: %s", sqlite3_errmsg(database));
    int step, done = 0;
    while (done == 0 && (step = sqlite3_step(reader->statement)) == SQLITE_ROW)
        done = row(reader);
    if (done == 0 && step != SQLITE_DONE)
        done = mf_fail(reader->error, MF_STATE, "emulator data: %s", sqlite3_errmsg(database));
    sqlite3_finalize(reader->statement);
    return done;
}

int emu_persist_load(struct emu_persist *persist, struct emu_state *state, struct mf_error *error)
{
    struct reader reader = {.state = state, .error = error};
    sqlite3 *database = emu_persist_database(persist);
    int done = read_rows(&reader, database, SELECT_ACCOUNTS, read_account);
    if (done == 0)
        done = read_rows(&reader, database, SELECT_TOKENS, read_token);
    if (done == 0)
        done = read_rows(&reader, database, SELECT_OBJECTS, read_object);
    mf_free(reader.parents);
    return done;
}

int emu_persist_each(struct emu_persist *persist, const char *prefix, int (*each)(void *context, const char *key, struct mf_span value), void *context)
{
    sqlite3_stmt *statement;
    int done = 0;
    if (persist == NULL)
        return 0;
    if (sqlite3_prepare_v2(emu_persist_database(persist), SELECT_META, -1, &statement, NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_text(statement, 1, prefix, -1, SQLITE_STATIC);
    while (done == 0 && sqlite3_step(statement) == SQLITE_ROW) {
        const char *value = sqlite3_column_blob(statement, 1);
        done = each(context, (const char *)sqlite3_column_text(statement, 0), (struct mf_span){value, (size_t)sqlite3_column_bytes(statement, 1)});
    }
    sqlite3_finalize(statement);
    return done;
}
