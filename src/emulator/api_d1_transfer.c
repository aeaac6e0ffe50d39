/*
 * api_d1_transfer.c - D1 import and export: SQL texts that come and go by signed URLs
 *
 * An import is asked for with the hash of a file; the answer names a URL where the file is put, and the next call
 * runs it, all or nothing. An export leaves its text behind a URL. The URLs need no credential: they carry their end
 * and a signature.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { URL_MS = 3600000, MD5_BYTES = 16, FILES_MAX = 4, FILE_NAME_BYTES = 64, EXPORT_BYTES_MAX = 100 << 20 };

#define FILES_PATH "/d1-files/"

/* --- signed URLs: /d1-files/DATABASE/FILE?end=SECONDS&signature=... --- */

static void sign(struct emu_call *call, const char *database, struct mf_span file, int64_t end, char out[64])
{
    char text[256];
    uint8_t signature[EMU_HASH_BYTES];
    snprintf(text, sizeof(text), "d1:%s:%.*s:%lld", database, (int)file.length, file.data, (long long)end);
    emu_hmac(call->emulator->challenge_key, mf_span(text), signature);
    mf_base64url(signature, sizeof(signature), out);
}

static void write_url(struct emu_call *call, const char *key, const struct emu_object *database, const char *file)
{
    char url[512], signature[64];
    int64_t end = (call->now_ms + URL_MS) / 1000;
    sign(call, database->id, mf_span(file), end, signature);
    snprintf(url, sizeof(url), "%s" FILES_PATH "%s/%s?end=%lld&signature=%s", call->emulator->origin, database->id,
             file, (long long)end, signature);
    json_member_string(&call->writer, key, url);
    json_member_string(&call->writer, "filename", file);
}

static struct emu_object *store(struct emu_call *call, struct emu_object *database, struct mf_span name,
                                struct mf_span data)
{
    struct mf_error error;
    struct emu_object *file = emu_object_of_name(database->account, database, EMU_D1_FILE, name);
    const struct emu_collection *files = emu_collection(database->account, database, EMU_D1_FILE);
    if (file == NULL && files != NULL && files->count >= FILES_MAX) /* a new one pushes an old one out */
        emu_object_delete(call->state, files->objects[0]);
    if (file == NULL && emu_object_create(call->state, database->account, database, EMU_D1_FILE, name, MF_SPAN("{}"),
                                          &file, &error) < 0)
        return NULL;
    if (emu_object_set_data(call->state, file, data) < 0)
        return NULL;
    emu_object_save(call->state, file);
    return file;
}

/* The database and the file's name of a URL of ours; NULL when it is not, or is over. */
static struct emu_object *check_url(struct emu_call *call, struct mf_span *file)
{
    char signature[64];
    struct mf_span given, rest = call->request->path;
    uint64_t end = emu_query_u64(call, "end", 0);
    rest = (struct mf_span){rest.data + strlen(FILES_PATH), rest.length - strlen(FILES_PATH)};
    if (rest.length < EMU_UUID_BYTES || rest.length > EMU_UUID_BYTES + FILE_NAME_BYTES ||
        rest.data[EMU_UUID_BYTES - 1] != '/')
        return NULL;
    *file = (struct mf_span){rest.data + EMU_UUID_BYTES, rest.length - EMU_UUID_BYTES};
    struct emu_object *database =
        emu_table_get(&call->state->object_by_id, (struct mf_span){rest.data, EMU_UUID_BYTES - 1});
    if (database == NULL || database->kind != EMU_D1 || !emu_query(call, "signature", &given) ||
        end <= (uint64_t)call->now_ms / 1000)
        return NULL;
    sign(call, database->id, *file, (int64_t)end, signature);
    return given.length == strlen(signature) && CRYPTO_memcmp(given.data, signature, given.length) == 0 ? database
                                                                                                        : NULL;
}

static void md5_hex(struct mf_span data, char out[2 * MD5_BYTES + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    (void)EVP_Digest(data.data, data.length, digest, NULL, EVP_md5(), NULL);
    mf_hex(digest, MD5_BYTES, out);
}

static void take_file(struct emu_call *call, struct emu_object *database, struct mf_span name)
{
    char hash[2 * MD5_BYTES + 1], tag[2 * MD5_BYTES + 3];
    if (store(call, database, name, call->request->body) == NULL) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    md5_hex(call->request->body, hash);
    snprintf(tag, sizeof(tag), "\"%s\"", hash);
    emu_raw(call, 200, "text/plain", MF_SPAN(""));
    emu_answer_header(call, "etag", tag);
}

bool emu_d1_file(struct emu_call *call)
{
    struct mf_span name;
    if (!mf_span_starts(call->request->path, FILES_PATH))
        return false;
    struct emu_object *database = check_url(call, &name);
    const struct emu_object *file =
        database == NULL ? NULL : emu_object_of_name(database->account, database, EMU_D1_FILE, name);
    if (database != NULL && mf_span_is(call->request->method, "PUT"))
        take_file(call, database, name);
    else if (file != NULL && mf_span_is(call->request->method, "GET"))
        emu_raw(call, 200, "application/sql", (struct mf_span){file->data, file->data_bytes});
    else
        emu_raw(call, 403, "text/plain", MF_SPAN("This URL is not valid, or no longer.\n"));
    return true;
}

/* --- import --- */

static void write_progress(struct json_writer *writer, const char *type, const char *status)
{
    json_member_bool(writer, "success", true);
    json_member_string(writer, "type", type);
    json_member_string(writer, "status", status);
    json_member_string(writer, "at_bookmark", "00000000-00000000-00000000-00000000000000000000000000000000");
}

static void write_messages(struct json_writer *writer, const char *message)
{
    json_key(writer, "messages");
    json_open_array(writer);
    json_string(writer, message);
    json_close_array(writer);
}

static void answer_init(struct emu_call *call, const struct emu_object *database, struct mf_span etag)
{
    char name[FILE_NAME_BYTES];
    snprintf(name, sizeof(name), "import-%.*s.sql", (int)etag.length, etag.data);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_bool(&call->writer, "success", true);
    json_member_string(&call->writer, "type", "import");
    write_url(call, "upload_url", database, name);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

static void write_outcome(struct emu_call *call, const struct emu_object *database, const struct emu_d1_script *script)
{
    struct json_writer *writer = &call->writer;
    int64_t bytes, tables;
    emu_d1_measure(call->emulator->d1, database, &bytes, &tables);
    json_key(writer, "result");
    json_open_object(writer);
    json_member_string(writer, "final_bookmark", "00000000-00000000-00000000-00000000000000000000000000000000");
    json_member_u64(writer, "num_queries", script->statements);
    json_key(writer, "meta");
    json_open_object(writer);
    json_member_string(writer, "served_by", "emulator");
    json_member_i64(writer, "duration", script->duration_ms);
    json_member_i64(writer, "changes", script->changes);
    json_member_i64(writer, "last_row_id", 0);
    json_member_bool(writer, "changed_db", true);
    json_member_i64(writer, "size_after", bytes);
    json_member_i64(writer, "rows_read", 0);
    json_member_i64(writer, "rows_written", script->changes);
    json_close_object(writer);
    json_close_object(writer);
}

static int run_script(struct emu_call *call, struct emu_d1_run *run, struct mf_span sql, struct emu_d1_script *script,
                      struct mf_error *error)
{
    struct mf_error ignored;
    (void)call;
    if (emu_d1_begin(run, error) < 0)
        return -1;
    if (emu_d1_run_script(run, sql, script, error) == 0)
        return emu_d1_end(run, true, error);
    (void)emu_d1_end(run, false, &ignored);
    return -1;
}

static void ingest(struct emu_call *call, struct emu_object *database, struct emu_object *file)
{
    struct emu_d1_run run = {.d1 = call->emulator->d1, .object = database};
    struct emu_d1_script script = {0};
    struct mf_error error = {0};
    struct mf_span sql = file->data == NULL ? MF_SPAN("") : (struct mf_span){file->data, file->data_bytes};
    bool done = run_script(call, &run, sql, &script, &error) == 0;
    emu_object_delete(call->state, file);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    write_progress(&call->writer, "import", done ? "complete" : "error");
    write_messages(&call->writer, done ? "Import finished." : "Import failed: the database is as it was.");
    if (done) {
        write_outcome(call, database, &script);
    } else {
        json_member_string(&call->writer, "error", error.text);
        json_key(&call->writer, "errors");
        json_open_array(&call->writer);
        json_string(&call->writer, error.text);
        json_close_array(&call->writer);
    }
    json_close_object(&call->writer);
    emu_ok_end(call);
}

/* An import is over when its call is answered, so there is never one to ask for. */
static void answer_poll(struct emu_call *call)
{
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_bool(&call->writer, "success", false);
    json_member_string(&call->writer, "error", "Not currently importing anything.");
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_d1_import(struct emu_call *call)
{
    struct mf_span etag, name;
    struct emu_object *database = emu_d1_find(call);
    if (database == NULL || emu_body(call) < 0)
        return;
    uint32_t action = json_member(&call->body, 0, "action");
    if (json_is(&call->body, action, "poll")) {
        answer_poll(call);
        return;
    }
    if (emu_body_text(call, "etag", 2 * MD5_BYTES, &etag) < 0)
        return;
    if (json_is(&call->body, action, "init")) {
        answer_init(call, database, etag);
        return;
    }
    if (!json_is(&call->body, action, "ingest") || emu_body_text(call, "filename", FILE_NAME_BYTES, &name) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "action: must be init, ingest or poll");
        return;
    }
    struct emu_object *file = emu_object_of_name(call->account, database, EMU_D1_FILE, name);
    if (file == NULL)
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "filename: nothing was uploaded under that name");
    else
        ingest(call, database, file);
}

/* --- export --- */

static void read_dump(struct emu_call *call, struct emu_d1_dump *dump)
{
    uint32_t options = json_member(&call->body, 0, "dump_options");
    (void)json_bool(&call->body, json_member(&call->body, options, "no_data"), &dump->no_data);
    (void)json_bool(&call->body, json_member(&call->body, options, "no_schema"), &dump->no_schema);
    dump->document = &call->body;
    dump->tables = json_member(&call->body, options, "tables");
}

static void answer_export(struct emu_call *call, struct emu_object *database, struct mf_span sql)
{
    char name[FILE_NAME_BYTES];
    snprintf(name, sizeof(name), "export-%.8s.sql", database->id);
    if (store(call, database, mf_span(name), sql) == NULL) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    write_progress(&call->writer, "export", "complete");
    write_messages(&call->writer, "Export finished.");
    json_key(&call->writer, "result");
    json_open_object(&call->writer);
    write_url(call, "signed_url", database, name);
    json_close_object(&call->writer);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

void emu_d1_export(struct emu_call *call)
{
    struct mf_buf sql;
    struct mf_error error;
    struct emu_d1_dump dump = {.tables = JSON_NONE};
    struct emu_object *database = emu_d1_find(call);
    if (database == NULL || emu_body(call) < 0)
        return;
    read_dump(call, &dump);
    mf_buf_init(&sql, EXPORT_BYTES_MAX);
    if (emu_d1_write_dump(call->emulator->d1, database, &dump, &sql, &error) < 0)
        emu_fail_text(call, EMU_ERROR_D1_SQL, "%s", error.text);
    else
        answer_export(call, database, mf_buf_view(&sql));
    mf_buf_free(&sql);
}
