/* ps.c - mayfly ps: the runs of the state directory, newest first */
#include "cmd/commands.h"
#include "cmd/read.h"
#include "cmd/table.h"
#include "json/write.h"

#include <stdio.h>
#include <string.h>

struct listing {
    const struct options *options;
    struct state_dir *state;
    struct table *table;
    struct mf_buf json; /* with --json */
    struct json_writer writer;
    bool json_wanted;
    int code;
};

static void list_table(struct table *table, const struct reader *reader)
{
    const struct view_run *run = view_run(reader->view);
    struct view_totals totals;
    char age[24];
    view_totals(reader->view, &totals);
    table_cell(table, "%s", reader->id);
    table_cell(table, "%.*s", MF_SPAN_ARGS(run->name));
    table_state(table, reader_state(reader));
    table_cell(table, "%s", mf_format_duration(read_now_ms() - run->opened_ms, age));
    table_cell(table, "%u/%u", totals.final_count, totals.task_count);
    table_cell(table, "%u", totals.open);
    if (run->settled)
        table_cell(table, "%d", run->exit_code);
    else
        table_cell(table, "-");
}

static void list_json(struct json_writer *writer, const struct reader *reader)
{
    const struct view_run *run = view_run(reader->view);
    struct view_totals totals;
    view_totals(reader->view, &totals);
    json_open_object(writer);
    json_member_string(writer, "run", reader->id);
    json_member_span(writer, "name", run->name);
    json_member_string(writer, "state", reader_state(reader));
    json_member_i64(writer, "opened_ms", run->opened_ms);
    json_member_u64(writer, "tasks", totals.task_count);
    json_member_u64(writer, "tasks_final", totals.final_count);
    json_member_u64(writer, "accounts_created", totals.created);
    json_member_u64(writer, "accounts_open", totals.open);
    json_member_u64(writer, "accounts_leaked", totals.accounts[CORE_ACCOUNT_STATE_LEAKED]);
    if (run->settled)
        json_member_i64(writer, "exit", run->exit_code);
    json_close_object(writer);
}

static void list_damaged(struct listing *listing, const char *id, const struct mf_error *error)
{
    bool unborn = error->code == MF_NOT_FOUND; /* killed before it had a database: nothing was started */
    const char *state = unborn ? "empty" : "damaged";
    if (!unborn)
        listing->code = 5;
    if (!listing->json_wanted) {
        const char *const cells[] = {"", state, "-", "-", "-", "-"};
        table_cell(listing->table, "%s", id);
        for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++)
            table_state(listing->table, cells[i]);
        return;
    }
    json_open_object(&listing->writer);
    json_member_string(&listing->writer, "run", id);
    json_member_string(&listing->writer, "state", state);
    json_member_string(&listing->writer, "reason", error->text);
    json_close_object(&listing->writer);
}

static int list_one(void *context, const char *id)
{
    struct listing *listing = context;
    struct mf_error error = {0};
    struct reader reader;
    if (reader_open_id(&reader, listing->state, id, &error) != 0) {
        read_fail(&error);
        list_damaged(listing, id, &error);
    } else if (listing->json_wanted) {
        list_json(&listing->writer, &reader);
    } else {
        reader_notice(&reader);
        list_table(listing->table, &reader);
    }
    reader_close(&reader);
    return 0;
}

static int list_named(struct listing *listing, const struct options *options, struct mf_error *error)
{
    for (size_t i = 0; i < options->argument_count; i++) {
        char id[STATE_RUN_ID_BYTES];
        if (state_run_find(listing->state, options->arguments[i], id, error) != 0)
            return -1;
        list_one(listing, id);
    }
    return 0;
}

static int list_runs(struct listing *listing, const struct options *options, struct mf_error *error)
{
    if (state_open(&listing->state, option_value(options, "state"), false, error) != 0)
        return error->code == MF_NOT_FOUND && options->argument_count == 0 ? 0 : -1; /* no state yet: no runs */
    if (options->argument_count > 0)
        return list_named(listing, options, error);
    return state_runs(listing->state, list_one, listing, error);
}

static int print(struct listing *listing, struct mf_error *error)
{
    if (!listing->json_wanted)
        return table_print(listing->table, stdout, error);
    json_close_array(&listing->writer);
    json_close_object(&listing->writer);
    if (listing->json.failed)
        return mf_fail(error, MF_MEMORY, "ps: no memory");
    puts(mf_buf_cstr(&listing->json));
    return 0;
}

int cmd_ps(const struct options *options)
{
    struct mf_error error = {0};
    struct listing listing = {.options = options, .json_wanted = option_set(options, "json")};
    mf_buf_init(&listing.json, 1u << 30);
    json_begin(&listing.writer, &listing.json);
    json_open_object(&listing.writer);
    json_member_i64(&listing.writer, "mayfly", 1);
    json_key(&listing.writer, "runs");
    json_open_array(&listing.writer);
    int status = table_create(&listing.table, "RUN NAME STATE AGE> TASKS> ACCOUNTS> EXIT>", &error);
    if (status == 0)
        status = list_runs(&listing, options, &error);
    if (status == 0)
        status = print(&listing, &error);
    int code = status == 0 ? listing.code : read_fail(&error);
    table_destroy(listing.table);
    mf_buf_free(&listing.json);
    state_close(listing.state);
    return code;
}
