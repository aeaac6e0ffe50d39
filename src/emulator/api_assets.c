/*
 * api_assets.c - static assets: upload sessions, their tokens, the files
 *
 * A session is asked for with a manifest of paths and hashes; the answer names the hashes that the account lacks, in buckets.
 * Uploads are authorised by the session's token alone, a real JWT, because the real client decodes it when an upload fails.
 * When the last file is there, the answer is the completion token, which the script's metadata then names.
 */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "emulator/multipart.h"
#include "emulator/worker.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { HASH_CHARACTERS = 32, BUCKET_FILES = 50, SESSION_MS = 3600000, TOKEN_BYTES = 512 };
enum { FILES_MAX_TEMPORARY = 1000, FILES_MAX = 100000, FILE_BYTES_MAX_TEMPORARY = 5 << 20, FILE_BYTES_MAX = 25 << 20 };

/* --- tokens: header.payload.signature, HS256 --- */

static void sign(struct emu_call *call, const char *text, char out[64])
{
    uint8_t signature[EMU_HASH_BYTES];
    emu_hmac(call->emulator->challenge_key, mf_span(text), signature);
    mf_base64url(signature, sizeof(signature), out);
}

static void make_token(struct emu_call *call, const struct emu_object *session, bool complete, char out[TOKEN_BYTES])
{
    char payload[192], encoded[300], signature[64];
    static const char header[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"; /* {"alg":"HS256","typ":"JWT"} */
    snprintf(payload, sizeof(payload), "{\"session\":\"%s\",\"account\":\"%s\",\"complete\":%s,\"exp\":%lld}", session->id, session->account->id, complete ? "true" : "false", (long long)(session->created_ms + SESSION_MS) / 1000);
    mf_base64url(payload, strlen(payload), encoded);
    snprintf(out, TOKEN_BYTES, "%s.%s", header, encoded);
    sign(call, out, signature);
    size_t length = strlen(out);
    snprintf(out + length, TOKEN_BYTES - length, ".%s", signature);
}

/* The session of a token that is whole, ours, of this account and not over. */
static struct emu_object *session_of(struct emu_call *call, struct mf_span token, bool *complete)
{
    char text[TOKEN_BYTES], signature[64], payload[256];
    size_t bytes;
    struct json_document document;
    struct mf_span id;
    if (mf_span_copy(token, text, sizeof(text)) < 0)
        return NULL;
    char *last = strrchr(text, '.'), *first = strchr(text, '.');
    if (last == NULL || first == last)
        return NULL;
    *last = '\0';
    sign(call, text, signature);
    if (strlen(last + 1) != strlen(signature) || CRYPTO_memcmp(last + 1, signature, strlen(signature)) != 0 ||
        mf_unbase64(mf_span(first + 1), (uint8_t *)payload, sizeof(payload), &bytes) < 0 ||
        json_scan(&document, (struct mf_span){payload, bytes}, &json_limits_default, NULL) < 0)
        return NULL;
    struct emu_object *session = NULL;
    if (json_plain(&document, json_member(&document, 0, "session"), &id) == 0)
        session = emu_object_of_id(call->state, call->account, EMU_SESSION, id);
    (void)json_bool(&document, json_member(&document, 0, "complete"), complete);
    json_document_free(&document);
    return session != NULL && session->created_ms + SESSION_MS > call->now_ms ? session : NULL;
}

bool emu_assets_complete(struct emu_call *call, struct mf_span jwt)
{
    bool complete = false;
    return session_of(call, jwt, &complete) != NULL && complete;
}

struct mf_span emu_assets_manifest(struct emu_call *call, struct mf_span jwt)
{
    bool complete = false;
    const struct emu_object *session = session_of(call, jwt, &complete);
    return session == NULL ? (struct mf_span){"", 0} : mf_span(session->document);
}

/* --- sessions --- */

static int check_entry(struct emu_call *call, uint32_t entry, struct mf_span *hash)
{
    int64_t size, size_max = call->account->type == EMU_ACCOUNT_TEMPORARY ? FILE_BYTES_MAX_TEMPORARY : FILE_BYTES_MAX;
    if (emu_text(call, &call->body, json_member(&call->body, entry, "hash"), hash) < 0 || hash->length != HASH_CHARACTERS ||
        json_int(&call->body, json_member(&call->body, entry, "size"), &size) < 0 || size < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "manifest: every path needs a hash of %d characters and a size", HASH_CHARACTERS);
        return -1;
    }
    if (size > size_max) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "manifest: a file is larger than %lld bytes", (long long)size_max);
        return -1;
    }
    return 0;
}

static int check_manifest(struct emu_call *call, uint32_t manifest)
{
    struct mf_span hash;
    uint32_t files_max = call->account->type == EMU_ACCOUNT_TEMPORARY ? FILES_MAX_TEMPORARY : FILES_MAX;
    if (manifest == JSON_NONE || json_kind(&call->body, manifest) != JSON_OBJECT || call->body.nodes[manifest].children > files_max) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "manifest: must be an object of at most %u files", files_max);
        return -1;
    }
    for (uint32_t key = json_first(&call->body, manifest); key != JSON_NONE; key = json_next(&call->body, manifest, key))
        if (check_entry(call, json_value(&call->body, key), &hash) < 0)
            return -1;
    return 0;
}

/* Sessions that are over go when the next one is made. */
static void sweep_sessions(struct emu_call *call)
{
    const struct emu_collection *list = emu_collection(call->account, NULL, EMU_SESSION);
    for (size_t left = list == NULL ? 0 : list->count; left > 0; left--)
        if (list->objects[left - 1]->created_ms + SESSION_MS <= call->now_ms)
            emu_object_delete(call->state, list->objects[left - 1]);
}

static struct emu_object *make_session(struct emu_call *call, uint32_t manifest)
{
    struct emu_object *session;
    struct mf_error error;
    char name[32];
    snprintf(name, sizeof(name), "%020llu", (unsigned long long)call->state->sequence);
    if (emu_object_create(call->state, call->account, NULL, EMU_SESSION, mf_span(name), json_raw(&call->body, manifest), &session, &error) == 0)
        return session;
    emu_fail_state(call, &error, EMU_ERROR_NO_MEMORY);
    return NULL;
}

/* Calls write for every hash of the manifest that the account lacks; returns how many there are. One hash may come twice. */
static uint32_t each_missing(struct emu_call *call, const struct json_document *document, uint32_t manifest, struct json_writer *writer)
{
    uint32_t missing = 0;
    for (uint32_t key = json_first(document, manifest); key != JSON_NONE; key = json_next(document, manifest, key)) {
        struct mf_span hash;
        uint32_t node = json_member(document, json_value(document, key), "hash");
        if (node == JSON_NONE || json_plain(document, node, &hash) < 0 || emu_object_of_name(call->account, NULL, EMU_ASSET, hash) != NULL)
            continue;
        if (writer != NULL) {
            if (missing % BUCKET_FILES == 0) {
                if (missing > 0)
                    json_close_array(writer);
                json_open_array(writer);
            }
            json_string_span(writer, hash);
        }
        missing++;
    }
    if (writer != NULL && missing > 0)
        json_close_array(writer);
    return missing;
}

void emu_assets_session(struct emu_call *call)
{
    char token[TOKEN_BYTES];
    if (emu_body(call) < 0)
        return;
    uint32_t manifest = json_member(&call->body, 0, "manifest");
    if (check_manifest(call, manifest) < 0)
        return;
    sweep_sessions(call);
    const struct emu_object *session = make_session(call, manifest);
    if (session == NULL)
        return;
    uint32_t missing = each_missing(call, &call->body, manifest, NULL);
    make_token(call, session, missing == 0, token);
    emu_ok_begin(call, 200);
    json_open_object(&call->writer);
    json_member_string(&call->writer, "jwt", token);
    json_key(&call->writer, "buckets");
    json_open_array(&call->writer);
    (void)each_missing(call, &call->body, manifest, &call->writer);
    json_close_array(&call->writer);
    json_close_object(&call->writer);
    emu_ok_end(call);
}

/* --- uploads --- */

static int store_asset(struct emu_call *call, const struct emu_part *part, bool base64)
{
    struct emu_object *asset;
    struct mf_error error;
    struct mf_buf data, document;
    struct json_writer writer;
    size_t bytes = 0;
    if (part->name.length != HASH_CHARACTERS)
        return -1;
    mf_buf_init(&data, 64u << 20);
    mf_buf_init(&document, 4096);
    json_begin(&writer, &document);
    json_open_object(&writer);
    json_member_span(&writer, "content_type", part->content_type);
    json_close_object(&writer);
    int done = mf_buf_reserve(&data, part->data.length + 1);
    if (done == 0 && base64)
        done = mf_unbase64(part->data, (uint8_t *)data.data, part->data.length, &bytes);
    if (done == 0 && !base64)
        memcpy(data.data, part->data.data, bytes = part->data.length);
    asset = emu_object_of_name(call->account, NULL, EMU_ASSET, part->name);
    if (done == 0 && asset == NULL)
        done = emu_object_create(call->state, call->account, NULL, EMU_ASSET, part->name, mf_buf_view(&document), &asset, &error);
    if (done == 0 && (done = emu_object_set_data(call->state, asset, (struct mf_span){data.data, bytes})) == 0)
        emu_object_save(call->state, asset);
    mf_buf_free(&data);
    mf_buf_free(&document);
    return done;
}

static int store_all(struct emu_call *call)
{
    struct emu_multipart multipart;
    struct emu_part part;
    int more = 0;
    bool base64 = emu_query_is(call, "base64", "true");
    if (emu_multipart_begin(&multipart, emu_header(call, "content-type"), call->request->body) < 0)
        more = -1;
    while (more == 0 && (more = emu_multipart_next(&multipart, &part)) == 1)
        more = store_asset(call, &part, base64);
    if (more < 0)
        emu_fail_text(call, EMU_ERROR_BAD_BODY, "assets: the upload is not a form of files named by their hashes");
    return more;
}

static struct emu_object *session_of_call(struct emu_call *call)
{
    bool complete = false;
    struct mf_span header = emu_header(call, "authorization");
    struct emu_object *session = NULL;
    if (mf_span_starts(header, "Bearer "))
        session = session_of(call, (struct mf_span){header.data + 7, header.length - 7}, &complete);
    if (session == NULL)
        emu_fail(call, EMU_ERROR_AUTHENTICATION);
    return session;
}

void emu_assets_upload(struct emu_call *call)
{
    struct json_document manifest;
    char token[TOKEN_BYTES];
    const struct emu_object *session = session_of_call(call);
    if (session == NULL || store_all(call) < 0)
        return;
    if (json_scan(&manifest, mf_span(session->document), &json_limits_default, NULL) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
        return;
    }
    bool complete = each_missing(call, &manifest, 0, NULL) == 0;
    json_document_free(&manifest);
    emu_ok_begin(call, complete ? 201 : 202);
    json_open_object(&call->writer);
    if (complete) {
        make_token(call, session, true, token);
        json_member_string(&call->writer, "jwt", token);
    }
    json_close_object(&call->writer);
    emu_ok_end(call);
}
