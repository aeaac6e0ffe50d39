/*
 * accounts.c - mayfly accounts: every account of a run and what became of it, so that a receipt can be checked
 *
 * Without RUN: of all runs that have something left.
 */
#include "cmd/commands.h"
#include "cmd/read.h"
#include "cmd/table.h"
#include "json/write.h"

#include <stdio.h>

struct listing {
    struct state_dir *state;
    struct table *table;
    struct mf_buf json;
    struct json_writer writer;
    bool json_wanted, open_only;
    bool all_runs;
    int64_t now_ms;
    uint32_t may_exist;
    int code;
};

static void list_table(struct listing *listing, const struct reader *reader, uint32_t number)
{
    const struct view_account *account = view_account(reader->view, number);
    char tag[96], since[32], expires[32] = "-";
    struct mf_buf story;
    mf_buf_init(&story, 4096);
    read_account_story(account, listing->now_ms, &story);
    view_tag(reader->view, number, tag, sizeof tag);
    table_cell(listing->table, "%s", tag);
    table_state(listing->table, view_account_state_name(account->state));
    table_cell(listing->table, "%s", view_provider(reader->view, account->provider));
    table_cell(listing->table, "%s",
               account->node < view_task_count(reader->view) ? view_task(reader->view, account->node)->path : "?");
    table_cell(listing->table, "%s", read_clock(account->since_ms, since));
    table_cell(listing->table, "%s", account->expires_ms > 0 ? read_clock(account->expires_ms, expires) : expires);
    table_cell(listing->table, "%s", mf_buf_cstr(&story));
    mf_buf_free(&story);
}

static void list_json(struct listing *listing, const struct reader *reader, uint32_t number)
{
    const struct view_account *account = view_account(reader->view, number);
    struct json_writer *writer = &listing->writer;
    struct mf_buf ids;
    char tag[96];
    mf_buf_init(&ids, 1u << 20);
    view_tag(reader->view, number, tag, sizeof tag);
    json_open_object(writer);
    json_member_string(writer, "run", reader->id);
    json_member_u64(writer, "number", number);
    json_member_string(writer, "tag", tag);
    json_member_string(writer, "state", view_account_state_name(account->state));
    json_member_bool(writer, "may_exist", view_account_may_exist(account, listing->now_ms));
    json_member_string(writer, "provider", view_provider(reader->view, account->provider));
    if (account->node < view_task_count(reader->view))
        json_member_string(writer, "task", view_task(reader->view, account->node)->path);
    json_member_i64(writer, "created_ms", account->created_ms);
    json_member_i64(writer, "since_ms", account->since_ms);
    if (account->expires_ms > 0)
        json_member_i64(writer, "expires_ms", account->expires_ms);
    json_member_u64(writer, "leases", account->leases);
    json_member_bool(writer, "revoked", account->revoked);
    if (account->reason != NULL)
        json_member_string(writer, "reason", account->reason);
    if (journal_get_ids(reader->journal, number, &ids, NULL) == 0 && ids.length > 0) {
        json_key(writer, "ids");
        json_raw_value(writer, mf_buf_view(&ids));
    }
    json_close_object(writer);
    mf_buf_free(&ids);
}

static void list_run(struct listing *listing, const struct reader *reader)
{
    for (uint32_t number = 1; number <= view_account_count(reader->view); number++) {
        const struct view_account *account = view_account(reader->view, number);
        bool may_exist = view_account_may_exist(account, listing->now_ms);
        listing->may_exist += may_exist;
        if (account->state == CORE_ACCOUNT_STATE_NEW || ((listing->open_only || listing->all_runs) && !may_exist))
            continue;
        if (listing->json_wanted)
            list_json(listing, reader, number);
        else
            list_table(listing, reader, number);
    }
    reader_notice(reader);
}

static int list_one(void *context, const char *id)
{
    struct listing *listing = context;
    struct mf_error error = {0};
    struct reader reader;
    if (reader_open_id(&reader, listing->state, id, &error) == 0)
        list_run(listing, &reader);
    else
        listing->code = read_fail(&error);
    reader_close(&reader);
    return 0;
}

static int list(struct listing *listing, const struct options *options, struct mf_error *error)
{
    char id[STATE_RUN_ID_BYTES];
    if (state_open(&listing->state, option_value(options, "state"), false, error) != 0)
        return error->code == MF_NOT_FOUND && listing->all_runs ? 0 : -1;
    if (listing->all_runs)
        return state_runs(listing->state, list_one, listing, error);
    if (state_run_find(listing->state, options->arguments[0], id, error) != 0)
        return -1;
    list_one(listing, id);
    return 0;
}

static int print(struct listing *listing, struct mf_error *error)
{
    if (!listing->json_wanted)
        return table_print(listing->table, stdout, error);
    json_close_array(&listing->writer);
    json_member_u64(&listing->writer, "may_exist", listing->may_exist);
    json_close_object(&listing->writer);
    if (listing->json.failed)
        return mf_fail(error, MF_MEMORY, "accounts: no memory");
    puts(mf_buf_cstr(&listing->json));
    return 0;
}

int cmd_accounts(const struct options *options)
{
    struct mf_error error = {0};
    struct listing listing = {.json_wanted = option_set(options, "json"),
                              .open_only = option_set(options, "open"),
                              .all_runs = options->argument_count == 0,
                              .now_ms = read_now_ms()};
    mf_buf_init(&listing.json, 1u << 30);
    json_begin(&listing.writer, &listing.json);
    json_open_object(&listing.writer);
    json_member_i64(&listing.writer, "mayfly", 1);
    json_key(&listing.writer, "accounts");
    json_open_array(&listing.writer);
    int status = table_create(&listing.table, "TAG STATE PROVIDER TASK SINCE EXPIRES NOTE", &error);
    if (status == 0)
        status = list(&listing, options, &error);
    if (status == 0)
        status = print(&listing, &error);
    int code = status == 0 ? listing.code : read_fail(&error);
    table_destroy(listing.table);
    mf_buf_free(&listing.json);
    state_close(listing.state);
    return code;
}
