/*
 * api_zones.c - zones and their DNS records, for accounts that are no temporary ones
 *
 * A zone is a name that nobody else here has; it is active at once, because there is no registrar to ask. A record is
 * kept as the client sent it; its name in the state is its id, for several records may have the same name and type.
 */
#include "emulator/emulator_private.h"

#include "emulator/handlers.h"
#include "emulator/worker.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES_MAX = 253, CONTENT_BYTES_MAX = 4096, RECORD_BYTES_MAX = 1 << 16 };

/* --- showing --- */

static void write_zone(struct json_writer *writer, const struct emu_object *zone)
{
    json_open_object(writer);
    json_member_string(writer, "id", zone->id);
    json_member_string(writer, "name", zone->name);
    json_member_string(writer, "status", "active");
    json_member_bool(writer, "paused", strstr(zone->document, "\"paused\":true") != NULL);
    json_member_string(writer, "type", "full");
    json_member_i64(writer, "development_mode", 0);
    json_key(writer, "name_servers");
    json_raw_value(writer, MF_SPAN("[\"a.ns.emulator.invalid\",\"b.ns.emulator.invalid\"]"));
    emu_member_time(writer, "created_on", zone->created_ms);
    emu_member_time(writer, "modified_on", zone->modified_ms);
    emu_member_time(writer, "activated_on", zone->created_ms);
    json_key(writer, "account");
    json_open_object(writer);
    json_member_string(writer, "id", zone->account->id);
    json_member_string(writer, "name", zone->account->name);
    json_close_object(writer);
    json_key(writer, "plan");
    json_raw_value(writer, MF_SPAN("{\"id\":\"0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee\",\"name\":\"Free Website\"}"));
    json_close_object(writer);
}

static void answer_zone(struct emu_call *call, const struct emu_object *zone)
{
    emu_ok_begin(call, 200);
    write_zone(&call->writer, zone);
    emu_ok_end(call);
}

/* --- zones --- */

struct listing {
    struct emu_call *call;
    struct mf_span name, account;
    struct emu_page page;
    uint64_t seen;
    bool has_name, has_account, writes;
};

static bool may_see(const struct emu_call *call, const struct emu_object *zone)
{
    return call->operator||
        emu_policy_allows(&call->token->policy, emu_access_groups(EMU_ACCESS_ZONE_READ), zone->id, NULL);
}

static void show_account(struct listing *listing, const struct emu_account *account)
{
    const struct emu_collection *zones = emu_collection(account, NULL, EMU_ZONE);
    if (zones == NULL || (listing->has_account && !mf_span_is(listing->account, account->id)))
        return;
    for (size_t each = 0; each < zones->count; each++) {
        if (listing->has_name && !mf_span_is(listing->name, zones->objects[each]->name))
            continue;
        if (!may_see(listing->call, zones->objects[each]))
            continue;
        if (listing->writes && listing->seen >= listing->page.from && listing->seen < listing->page.until)
            write_zone(&listing->call->writer, zones->objects[each]);
        listing->seen++;
    }
}

/* An account's token sees those zones of its account that it may read. */
static void show_all(struct listing *listing)
{
    const struct emu_state *state = listing->call->state;
    if (!listing->call->operator) {
        show_account(listing, listing->call->token->account);
        return;
    }
    for (size_t each = 0; each < state->account_count; each++)
        show_account(listing, state->accounts[each]);
}

void emu_zones_list(struct emu_call *call)
{
    struct listing listing = {.call = call};
    listing.has_name = emu_query(call, "name", &listing.name);
    listing.has_account = emu_query(call, "account.id", &listing.account);
    show_all(&listing);
    listing.page = emu_page(call, 20, 50, listing.seen);
    listing.seen = 0;
    listing.writes = true;
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    show_all(&listing);
    json_close_array(&call->writer);
    emu_ok_page(call, &listing.page);
}

static bool is_host(struct mf_span name)
{
    size_t dots = 0;
    for (size_t at = 0; at < name.length; at++) {
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", name.data[at]) == NULL || name.data[at] == '\0')
            return false;
        dots += name.data[at] == '.';
    }
    return dots > 0 && name.data[0] != '.' && name.data[name.length - 1] != '.';
}

/* The account is named in the body, so its rights are checked here. */
static struct emu_account *account_of_body(struct emu_call *call)
{
    struct mf_span id;
    struct emu_account *account = NULL;
    if (emu_text(call, &call->body, json_pointer(&call->body, MF_SPAN("/account/id")), &id) == 0)
        account = emu_account_find(call->state, id);
    if (account != NULL && call->operator)
        return account;
    if (account != NULL && account == call->token->account &&
        emu_policy_allows(&call->token->policy, emu_access_groups(EMU_ACCESS_ZONE_WRITE), "*", NULL))
        return account;
    emu_fail(call, call->operator? EMU_ERROR_NO_ACCOUNT : EMU_ERROR_FORBIDDEN);
    return NULL;
}

static bool zone_exists(const struct emu_state *state, struct mf_span name)
{
    for (size_t each = 0; each < state->account_count; each++)
        if (emu_object_of_name(state->accounts[each], NULL, EMU_ZONE, name) != NULL)
            return true;
    return false;
}

void emu_zones_create(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    struct emu_object *zone;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &name) < 0)
        return;
    struct emu_account *account = account_of_body(call);
    if (account == NULL)
        return;
    if (account->type == EMU_ACCOUNT_TEMPORARY) {
        emu_fail(call, EMU_ERROR_FORBIDDEN);
        return;
    }
    if (!is_host(name)) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "name: must be a domain");
        return;
    }
    if (zone_exists(call->state, name)) {
        emu_fail_text(call, EMU_ERROR_ZONE_EXISTS, "%.*s already exists", MF_SPAN_ARGS(name));
        return;
    }
    if (emu_object_create(call->state, account, NULL, EMU_ZONE, name, MF_SPAN("{}"), &zone, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_ZONE_EXISTS);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, zone);
    answer_zone(call, zone);
}

void emu_zones_get(struct emu_call *call)
{
    answer_zone(call, call->zone);
}

void emu_zones_patch(struct emu_call *call)
{
    bool paused = false;
    if (emu_body(call) < 0)
        return;
    if (json_bool(&call->body, json_member(&call->body, 0, "paused"), &paused) == 0 &&
        emu_object_set_document(call->state, call->zone, paused ? MF_SPAN("{\"paused\":true}") : MF_SPAN("{}")) == 0)
        emu_object_save(call->state, call->zone);
    answer_zone(call, call->zone);
}

void emu_zones_delete(struct emu_call *call)
{
    char id[EMU_UUID_BYTES];
    memcpy(id, call->zone->id, sizeof(id));
    emu_remove(call, call->zone);
    call->zone = NULL;
    emu_ok_id(call, id);
}

void emu_zones_purge_cache(struct emu_call *call)
{
    emu_ok_id(call, call->zone->id);
}

/* --- records --- */

static void write_raw(struct json_writer *writer, const struct json_document *document, const char *key,
                      struct mf_span otherwise)
{
    uint32_t node = json_member(document, 0, key);
    json_key(writer, key);
    json_raw_value(writer, node == JSON_NONE ? otherwise : json_raw(document, node));
}

static void write_record(struct json_writer *writer, const struct emu_object *record)
{
    struct json_document document = {0};
    json_open_object(writer);
    json_member_string(writer, "id", record->id);
    if (json_scan(&document, mf_span(record->document), &json_limits_default, NULL) == 0) {
        write_raw(writer, &document, "name", MF_SPAN("\"\""));
        write_raw(writer, &document, "type", MF_SPAN("\"\""));
        write_raw(writer, &document, "content", MF_SPAN("\"\""));
        write_raw(writer, &document, "proxied", MF_SPAN("false"));
        write_raw(writer, &document, "ttl", MF_SPAN("1"));
        write_raw(writer, &document, "comment", MF_SPAN("null"));
        write_raw(writer, &document, "tags", MF_SPAN("[]"));
        write_raw(writer, &document, "settings", MF_SPAN("{}"));
        if (json_member(&document, 0, "priority") != JSON_NONE)
            write_raw(writer, &document, "priority", MF_SPAN("0"));
        if (json_member(&document, 0, "data") != JSON_NONE)
            write_raw(writer, &document, "data", MF_SPAN("{}"));
        json_document_free(&document);
    }
    json_member_bool(writer, "proxiable", true);
    json_key(writer, "meta");
    json_raw_value(writer, MF_SPAN("{}"));
    emu_member_time(writer, "created_on", record->created_ms);
    emu_member_time(writer, "modified_on", record->modified_ms);
    json_close_object(writer);
}

static void answer_record(struct emu_call *call, const struct emu_object *record)
{
    emu_ok_begin(call, 200);
    write_record(&call->writer, record);
    emu_ok_end(call);
}

static bool record_matches(struct emu_call *call, const struct emu_object *record)
{
    static const char *const keys[] = {"name", "type", "content"};
    struct json_document document;
    bool matches = true;
    if (json_scan(&document, mf_span(record->document), &json_limits_default, NULL) < 0)
        return false;
    for (size_t each = 0; each < sizeof(keys) / sizeof(keys[0]); each++) {
        struct mf_span wanted, value;
        char exact[16];
        snprintf(exact, sizeof(exact), "%s.exact", keys[each]);
        if (!emu_query(call, keys[each], &wanted) && !emu_query(call, exact, &wanted))
            continue;
        matches = matches && emu_text(call, &document, json_member(&document, 0, keys[each]), &value) == 0 &&
                  mf_span_equal(wanted, value);
    }
    json_document_free(&document);
    return matches;
}

void emu_records_list(struct emu_call *call)
{
    const struct emu_collection *records = emu_collection(call->account, call->zone, EMU_DNS_RECORD);
    uint64_t total = 0, seen = 0;
    for (size_t each = 0; records != NULL && each < records->count; each++)
        total += record_matches(call, records->objects[each]);
    struct emu_page page = emu_page(call, 100, 5000, total);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    for (size_t each = 0; records != NULL && each < records->count; each++) {
        if (!record_matches(call, records->objects[each]))
            continue;
        if (seen >= page.from && seen < page.until)
            write_record(&call->writer, records->objects[each]);
        seen++;
    }
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}

/* The members that a whole record needs; content may be missing where the type has data. */
static int check_record(struct emu_call *call)
{
    struct mf_span text;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &text) < 0 ||
        emu_body_text(call, "type", 16, &text) < 0)
        return -1;
    if (json_member(&call->body, 0, "data") == JSON_NONE &&
        emu_body_text(call, "content", CONTENT_BYTES_MAX, &text) < 0)
        return -1;
    return 0;
}

void emu_records_create(struct emu_call *call)
{
    struct emu_object *record;
    struct mf_error error;
    char name[32];
    if (check_record(call) < 0)
        return;
    snprintf(name, sizeof(name), "%020llu", (unsigned long long)call->state->sequence);
    if (emu_object_create(call->state, call->account, call->zone, EMU_DNS_RECORD, mf_span(name),
                          json_raw(&call->body, 0), &record, &error) < 0)
        emu_fail_state(call, &error, EMU_ERROR_BAD_FIELD);
    else
        answer_record(call, record);
}

static struct emu_object *find_record(struct emu_call *call)
{
    struct emu_object *record = emu_object_of_id(call->state, call->account, EMU_DNS_RECORD, call->parameters[1]);
    if (record != NULL && record->parent == call->zone)
        return record;
    emu_fail(call, EMU_ERROR_NO_RECORD);
    return NULL;
}

void emu_records_get(struct emu_call *call)
{
    const struct emu_object *record = find_record(call);
    if (record != NULL)
        answer_record(call, record);
}

static void change(struct emu_call *call, struct emu_object *record, struct mf_span document)
{
    if (emu_object_set_document(call->state, record, document) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_object_save(call->state, record);
    answer_record(call, record);
}

void emu_records_put(struct emu_call *call)
{
    struct emu_object *record = find_record(call);
    if (record != NULL && check_record(call) == 0)
        change(call, record, json_raw(&call->body, 0));
}

void emu_records_patch(struct emu_call *call)
{
    struct mf_buf merged;
    struct emu_object *record = find_record(call);
    if (record == NULL || emu_body(call) < 0)
        return;
    mf_buf_init(&merged, RECORD_BYTES_MAX);
    if (emu_json_merge(mf_span(record->document), json_raw(&call->body, 0), &merged) < 0)
        emu_fail(call, EMU_ERROR_BAD_BODY);
    else
        change(call, record, mf_buf_view(&merged));
    mf_buf_free(&merged);
}

void emu_records_delete(struct emu_call *call)
{
    char id[EMU_UUID_BYTES];
    struct emu_object *record = find_record(call);
    if (record == NULL)
        return;
    memcpy(id, record->id, sizeof(id));
    emu_object_delete(call->state, record);
    emu_ok_id(call, id);
}
