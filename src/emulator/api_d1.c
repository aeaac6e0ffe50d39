/* api_d1.c - D1: databases and queries; see d1_sql.c for what runs them */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/d1_sql.h"
#include "emulator/handlers.h"

#include <string.h>

enum { NAME_BYTES_MAX = 64, TEMPORARY_DATABASES_MAX = 1, STATEMENT_BYTES_MAX = 1 << 20 };

/* A path names a database by its id or, as the real client does, by its name. */
struct emu_object *emu_d1_find(struct emu_call *call)
{
    struct mf_span wanted = call->parameters[1];
    struct emu_object *database = emu_object_of_id(call->state, call->account, EMU_D1, wanted);
    if (database == NULL)
        database = emu_object_of_name(call->account, NULL, EMU_D1, wanted);
    if (database == NULL)
        emu_fail_text(call, EMU_ERROR_NO_D1, "The database %.*s could not be found", (int)(wanted.length > 64 ? 64 : wanted.length), wanted.data);
    return database;
}

static void write_members(struct json_writer *writer, const struct emu_object *database)
{
    json_member_string(writer, "uuid", database->id);
    json_member_string(writer, "name", database->name);
    json_member_string(writer, "version", "production");
    emu_member_time(writer, "created_at", database->created_ms);
    json_key(writer, "jurisdiction");
    json_null(writer);
    json_key(writer, "read_replication");
    json_raw_value(writer, MF_SPAN("{\"mode\":\"disabled\"}"));
}

static void write_database(struct json_writer *writer, const struct emu_object *database)
{
    json_open_object(writer);
    write_members(writer, database);
    json_close_object(writer);
}

static void answer_database(struct emu_call *call, const struct emu_object *database)
{
    int64_t bytes, tables;
    emu_d1_measure(call->emulator->d1, database, &bytes, &tables);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    write_members(&call->writer, database);
    json_member_i64(&call->writer, "file_size", bytes);
    json_member_i64(&call->writer, "num_tables", tables);
    json_member_string(&call->writer, "running_in_region", "LOCAL");
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_d1_list(struct emu_call *call)
{
    struct mf_span name;
    if (!emu_query(call, "name", &name)) {
        emu_list(call, NULL, EMU_D1, 1000, 10000, write_database);
        return;
    }
    const struct emu_object *database = emu_object_of_name(call->account, NULL, EMU_D1, name);
    struct emu_page page = emu_page(call, 1000, 10000, database == NULL ? 0 : 1);
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    if (page.from < page.until)
        write_database(&call->writer, database);
    json_close_array(&call->writer);
    emu_ok_page(call, &page);
}

void emu_d1_create_database(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    struct emu_object *database;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &name) < 0)
        return;
    if (call->account->type == EMU_ACCOUNT_TEMPORARY && emu_count(call->account, NULL, EMU_D1) >= TEMPORARY_DATABASES_MAX &&
        emu_object_of_name(call->account, NULL, EMU_D1, name) == NULL) {
        emu_fail(call, EMU_ERROR_D1_LIMIT);
        return;
    }
    if (emu_object_create(call->state, call->account, NULL, EMU_D1, name, MF_SPAN("{}"), &database, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_D1_EXISTS);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, database);
    answer_database(call, database);
}

void emu_d1_get(struct emu_call *call)
{
    const struct emu_object *database = emu_d1_find(call);
    if (database != NULL)
        answer_database(call, database);
}

/* Only read replication can be changed, and here it changes nothing. */
void emu_d1_update(struct emu_call *call)
{
    emu_d1_get(call);
}

void emu_d1_delete(struct emu_call *call)
{
    struct emu_object *database = emu_d1_find(call);
    if (database == NULL)
        return;
    emu_remove(call, database);
    emu_ok_null(call);
}

/* --- queries --- */

static int execute_one(struct emu_call *call, struct emu_d1_run *run, uint32_t node, struct mf_error *error)
{
    struct mf_buf sql;
    uint32_t text = json_member(&call->body, node, "sql");
    mf_buf_init(&sql, STATEMENT_BYTES_MAX);
    int done = text == JSON_NONE || json_text(&call->body, text, &sql) < 0 ? mf_fail(error, MF_INPUT, "sql: must be a string") : 0;
    if (done == 0)
        done = emu_d1_execute(run, mf_buf_view(&sql), &call->body, json_member(&call->body, node, "params"), error);
    mf_buf_free(&sql);
    return done;
}

static int execute_all(struct emu_call *call, struct emu_d1_run *run, struct mf_error *error)
{
    uint32_t batch = json_member(&call->body, 0, "batch");
    if (batch == JSON_NONE)
        return execute_one(call, run, 0, error);
    for (uint32_t each = json_first(&call->body, batch); each != JSON_NONE; each = json_next(&call->body, batch, each))
        if (execute_one(call, run, each, error) < 0)
            return -1;
    return 0;
}

static int run_queries(struct emu_call *call, struct emu_d1_run *run, struct mf_error *error)
{
    struct mf_error ignored;
    if (emu_d1_begin(run, error) < 0)
        return -1;
    if (execute_all(call, run, error) == 0)
        return emu_d1_end(run, true, error);
    (void)emu_d1_end(run, false, &ignored);
    return -1;
}

static void query(struct emu_call *call, bool raw)
{
    struct mf_error error;
    struct emu_object *database = emu_d1_find(call);
    if (database == NULL || emu_body(call) < 0)
        return;
    struct emu_d1_run run = {.d1 = call->emulator->d1, .object = database, .writer = &call->writer, .raw = raw};
    emu_ok_begin(call, 200);
    json_open_array(&call->writer);
    if (run_queries(call, &run, &error) < 0) {
        emu_fail_text(call, EMU_ERROR_D1_SQL, "%s", error.text);
        return;
    }
    json_close_array(&call->writer);
    emu_ok_end(call);
}

void emu_d1_query(struct emu_call *call)
{
    query(call, false);
}

void emu_d1_raw(struct emu_call *call)
{
    query(call, true);
}
