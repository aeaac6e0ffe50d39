/*
 * api_accounts.c - accounts: create (tenant and stand-alone), list, read, change, delete
 *
 * Lists may lag behind: a created account appears late, a deleted one stays for a while (list_lag), as with the real service.
 * Reading one account never lags.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 100 };

static void write_account(struct json_writer *writer, const char *id, const char *name, const char *settings, int64_t created_ms)
{
    json_open_object(writer);
    json_member_string(writer, "id", id);
    json_member_string(writer, "name", name);
    json_member_string(writer, "type", "standard");
    json_key(writer, "settings");
    json_raw_value(writer, settings == NULL ? MF_SPAN("{\"enforce_twofactor\":false}") : mf_span(settings));
    emu_member_time(writer, "created_on", created_ms);
    json_close_object(writer);
}

static void answer_account(struct emu_call *call, const struct emu_account *account)
{
    emu_ok_begin(call, 200);
    write_account(&call->writer, account->id, account->name, account->settings, account->created_ms);
    emu_ok_end(call);
}

/* --- idempotency keys --- */

static struct emu_idempotency *remember_key(struct emulator *emulator, struct mf_span key, const uint8_t request[EMU_HASH_BYTES], const char *account_id)
{
    struct emu_idempotency *entry = mf_calloc(1, sizeof(*entry));
    if (entry == NULL || (entry->key = mf_strndup(key.data, key.length)) == NULL ||
        emu_table_put(&emulator->idempotency, mf_span(entry->key), entry) < 0) {
        if (entry != NULL)
            mf_free(entry->key);
        mf_free(entry);
        return NULL;
    }
    memcpy(entry->request, request, EMU_HASH_BYTES);
    (void)mf_span_copy(mf_span(account_id), entry->account_id, sizeof(entry->account_id));
    entry->next = emulator->idempotency_list;
    emulator->idempotency_list = entry;
    return entry;
}

void emu_idempotency_free(struct emulator *emulator)
{
    for (struct emu_idempotency *entry = emulator->idempotency_list, *next; entry != NULL; entry = next) {
        next = entry->next;
        mf_free(entry->key);
        mf_free(entry);
    }
    emulator->idempotency_list = NULL;
    emu_table_free(&emulator->idempotency);
}

static void keep_key(struct emulator *emulator, const struct emu_idempotency *entry)
{
    struct mf_buf key;
    char value[2 * EMU_HASH_BYTES + EMU_HEX_ID_BYTES + 1];
    mf_buf_init(&key, 1024);
    mf_buf_printf(&key, "key:%s", entry->key);
    mf_hex(entry->request, EMU_HASH_BYTES, value);
    memcpy(value + (size_t)2 * EMU_HASH_BYTES, entry->account_id, EMU_HEX_ID_BYTES);
    emu_persist_set(emulator->persist, mf_buf_cstr(&key), mf_span(value));
    mf_buf_free(&key);
}

static int restore_key(void *context, const char *key, struct mf_span value)
{
    uint8_t request[EMU_HASH_BYTES];
    char account_id[EMU_HEX_ID_BYTES];
    size_t hex = (size_t)2 * EMU_HASH_BYTES;
    if (value.length <= hex || mf_unhex((struct mf_span){value.data, hex}, request, sizeof(request)) < 0 ||
        mf_span_copy((struct mf_span){value.data + hex, value.length - hex}, account_id, sizeof(account_id)) < 0)
        return 0;
    return remember_key(context, mf_span(key + strlen("key:")), request, account_id) == NULL ? -1 : 0;
}

int emu_idempotency_restore(struct emulator *emulator)
{
    return emu_persist_each(emulator->persist, "key:", restore_key, emulator);
}

/* 0: go on and create; 1: the call is answered. */
static int check_key(struct emu_call *call, uint8_t request[EMU_HASH_BYTES])
{
    struct mf_span key = emu_header(call, "idempotency-key");
    if (key.length == 0 || key.length > 255) {
        emu_fail(call, EMU_ERROR_KEY_MISSING);
        return 1;
    }
    emu_sha256(call->state->identity, call->request->body, request);
    const struct emu_idempotency *used = emu_table_get(&call->emulator->idempotency, key);
    if (used == NULL || call->second_id)
        return 0;
    struct emu_account *account = emu_account_find(call->state, mf_span(used->account_id));
    if (memcmp(used->request, request, EMU_HASH_BYTES) != 0)
        emu_fail(call, EMU_ERROR_KEY_REUSED);
    else if (account == NULL) /* created and deleted since: the key is spent */
        emu_fail(call, EMU_ERROR_KEY_REUSED);
    else
        answer_account(call, account);
    return 1;
}

static void spend_key(struct emu_call *call, const uint8_t request[EMU_HASH_BYTES], const char *account_id)
{
    struct mf_span key = emu_header(call, "idempotency-key");
    if (emu_table_get(&call->emulator->idempotency, key) != NULL)
        return;
    const struct emu_idempotency *entry = remember_key(call->emulator, key, request, account_id);
    if (entry != NULL)
        keep_key(call->emulator, entry);
}

/* --- create --- */

static int check_limits(struct emu_call *call, bool standalone)
{
    const struct emulator_options *options = &call->emulator->options;
    bool full = call->state->account_count >= options->accounts_max || (standalone && call->state->standalone_count >= options->standalone_max);
    if (full)
        emu_fail(call, EMU_ERROR_ACCOUNT_LIMIT);
    return full ? -1 : 0;
}

static bool wants_standalone(const struct emu_call *call)
{
    bool standalone = false;
    (void)json_bool(&call->body, json_member(&call->body, 0, "standalone"), &standalone);
    return standalone;
}

void emu_accounts_create(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    struct emu_account *account;
    uint8_t request[EMU_HASH_BYTES];
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &name) < 0)
        return;
    bool standalone = wants_standalone(call);
    if ((standalone && check_key(call, request) != 0) || check_limits(call, standalone) < 0)
        return;
    struct emu_account_spec spec = {.name = name, .type = standalone ? EMU_ACCOUNT_STANDALONE : EMU_ACCOUNT_TENANT};
    if (emu_account_create(call->state, &spec, &account, &error) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    if (standalone)
        spend_key(call, request, account->id);
    emu_record(call, EMU_LEDGER_CREATE, "account", account->id, account->id);
    answer_account(call, account);
}

/* --- list --- */

struct listing {
    struct emu_call *call;
    struct mf_span name;
    bool has_name, writes;
    struct emu_page page;
    uint64_t seen;
};

static void show(struct listing *listing, const char *id, const char *name, const char *settings, int64_t created_ms)
{
    if (listing->writes && listing->seen >= listing->page.from && listing->seen < listing->page.until)
        write_account(&listing->call->writer, id, name, settings, created_ms);
    listing->seen++;
}

static void show_account(struct listing *listing, const struct emu_account *account)
{
    const struct emu_state *state = listing->call->state;
    if (state->list_lag_ms == 0 || listing->call->now_ms - account->created_ms >= state->list_lag_ms)
        show(listing, account->id, account->name, account->settings, account->created_ms);
}

static void show_ghosts(struct listing *listing)
{
    struct emu_state *state = listing->call->state;
    size_t kept = 0;
    for (size_t each = 0; each < state->ghost_count; each++) {
        struct emu_ghost *ghost = &state->ghosts[each];
        if (listing->call->now_ms - ghost->deleted_ms >= state->list_lag_ms) {
            mf_free(ghost->name);
            continue;
        }
        if (!listing->has_name || mf_span_is(listing->name, ghost->name))
            show(listing, ghost->id, ghost->name, NULL, ghost->created_ms);
        state->ghosts[kept++] = *ghost;
    }
    state->ghost_count = kept;
}

/* Without a lag the page is a slice of the array: a fleet of 10,000 lists itself without walking all of it. */
static void show_slice(struct listing *listing)
{
    const struct emu_state *state = listing->call->state;
    bool descending = emu_query_is(listing->call, "direction", "desc");
    listing->seen = listing->page.from;
    for (uint64_t each = listing->page.from; each < listing->page.until; each++)
        show_account(listing, state->accounts[descending ? state->account_count - 1 - each : each]);
}

/* A token sees its own account and no other. */
static void show_all(struct listing *listing)
{
    const struct emu_state *state = listing->call->state;
    const struct emu_account *own = listing->call->operator ? NULL : listing->call->token->account;
    if (own != NULL) {
        if (!listing->has_name || mf_span_is(listing->name, own->name))
            show_account(listing, own);
        return;
    }
    if (listing->has_name) {
        for (const struct emu_account *each = emu_account_of_name(state, listing->name); each != NULL; each = each->next_of_name)
            show_account(listing, each);
    } else {
        for (size_t each = 0; each < state->account_count; each++)
            show_account(listing, state->accounts[each]);
    }
    show_ghosts(listing);
}

void emu_accounts_list(struct emu_call *call)
{
    struct listing listing = {.call = call};
    listing.has_name = emu_query(call, "name", &listing.name);
    bool slice = call->operator && !listing.has_name && call->state->list_lag_ms == 0;
    if (slice)
        listing.seen = call->state->account_count;
    else
        show_all(&listing);
    listing.page = emu_page(call, 20, 50, listing.seen);
    listing.seen = 0;
    listing.writes = true;
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    if (slice)
        show_slice(&listing);
    else
        show_all(&listing);
    json_close_array(&call->writer);
    emu_ok_page(call, &listing.page);
}

/* --- one account --- */

void emu_accounts_get(struct emu_call *call)
{
    answer_account(call, call->account);
}

void emu_accounts_put(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &name) < 0)
        return;
    uint32_t settings = json_member(&call->body, 0, "settings");
    if (settings != JSON_NONE && json_kind(&call->body, settings) == JSON_OBJECT) {
        struct mf_span raw = json_raw(&call->body, settings);
        char *copy = mf_strndup(raw.data, raw.length);
        mf_free(call->account->settings);
        call->account->settings = copy;
    }
    if (emu_account_rename(call->state, call->account, name, &error) < 0)
        emu_fail(call, EMU_ERROR_NO_MEMORY);
    else
        answer_account(call, call->account);
}

/* With the fault `pending` the account goes on for a while: 202 now, gone later, as some providers do. */
static void delete_later(struct emu_call *call)
{
    if (emu_account_end_at(call->state, call->account, call->now_ms + call->pending_ms) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_ok_id(call, call->account->id);
    call->status = 202;
}

void emu_accounts_delete(struct emu_call *call)
{
    char id[EMU_HEX_ID_BYTES];
    if (call->pending_ms > 0) {
        delete_later(call);
        return;
    }
    memcpy(id, call->account->id, sizeof(id));
    emu_record(call, EMU_LEDGER_DELETE, "account", id, id);
    emu_account_delete(call->state, call->account);
    call->account = NULL;
    emu_ok_id(call, id);
}
