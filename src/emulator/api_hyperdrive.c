/* api_hyperdrive.c - Hyperdrive configurations, and mTLS certificates */
#include "emulator/emulator_private.h"

#include "base/alloc.h"
#include "emulator/handlers.h"
#include "emulator/worker.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>

enum { NAME_BYTES_MAX = 255, TEMPORARY_CONFIGS_MAX = 2, DOCUMENT_BYTES_MAX = 1 << 20, PEM_BYTES_MAX = 1 << 18 };

/* --- Hyperdrive --- */

/* The origin as it was sent, without its password: that is never shown again. */
static void write_origin(struct json_writer *writer, const struct json_document *document, uint32_t origin)
{
    json_key(writer, "origin");
    json_open_object(writer);
    for (uint32_t key = json_first(document, origin); key != JSON_NONE; key = json_next(document, origin, key)) {
        struct mf_span name;
        if (json_plain(document, key, &name) < 0 || mf_span_is(name, "password") || mf_span_is(name, "access_client_secret"))
            continue;
        json_key_span(writer, name);
        json_raw_value(writer, json_raw(document, json_value(document, key)));
    }
    json_close_object(writer);
}

static void write_config(struct json_writer *writer, const struct emu_object *config)
{
    struct json_document document = {0};
    bool readable = json_scan(&document, mf_span(config->document), &json_limits_default, NULL) == 0;
    uint32_t caching = readable ? json_member(&document, 0, "caching") : JSON_NONE;
    json_open_object(writer);
    json_member_string(writer, "id", config->id);
    json_member_string(writer, "name", config->name);
    emu_member_time(writer, "created_on", config->created_ms);
    emu_member_time(writer, "modified_on", config->modified_ms);
    if (readable)
        write_origin(writer, &document, json_member(&document, 0, "origin"));
    json_key(writer, "caching");
    json_raw_value(writer, caching == JSON_NONE ? MF_SPAN("{\"disabled\":false}") : json_raw(&document, caching));
    json_close_object(writer);
    json_document_free(&document);
}

static void answer_config(struct emu_call *call, const struct emu_object *config)
{
    emu_ok_begin(call, 200);
    write_config(&call->writer, config);
    emu_ok_end(call);
}

void emu_hyperdrive_list(struct emu_call *call)
{
    emu_list(call, NULL, EMU_HYPERDRIVE, 20, 100, write_config);
}

void emu_hyperdrive_create(struct emu_call *call)
{
    struct mf_span name;
    struct mf_error error;
    struct emu_object *config;
    if (emu_body(call) < 0 || emu_body_text(call, "name", NAME_BYTES_MAX, &name) < 0)
        return;
    if (json_member(&call->body, 0, "origin") == JSON_NONE) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "origin: is missing");
        return;
    }
    if (call->account->type == EMU_ACCOUNT_TEMPORARY && emu_count(call->account, NULL, EMU_HYPERDRIVE) >= TEMPORARY_CONFIGS_MAX) {
        emu_fail_text(call, EMU_ERROR_TOO_MANY, "a temporary account has at most %d Hyperdrive configurations", TEMPORARY_CONFIGS_MAX);
        return;
    }
    if (emu_object_create(call->state, call->account, NULL, EMU_HYPERDRIVE, name, json_raw(&call->body, 0), &config, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_HYPERDRIVE_EXISTS);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, config);
    answer_config(call, config);
}

static struct emu_object *find_config(struct emu_call *call)
{
    struct emu_object *config = emu_object_of_id(call->state, call->account, EMU_HYPERDRIVE, call->parameters[1]);
    if (config == NULL)
        emu_fail(call, EMU_ERROR_NO_HYPERDRIVE);
    return config;
}

void emu_hyperdrive_get(struct emu_call *call)
{
    const struct emu_object *config = find_config(call);
    if (config != NULL)
        answer_config(call, config);
}

/* Takes the body's name, if it has one that nobody else has. */
static int rename_config(struct emu_call *call, struct emu_object *config)
{
    struct mf_span name;
    if (emu_text(call, &call->body, json_member(&call->body, 0, "name"), &name) < 0 || name.length == 0 || mf_span_is(name, config->name))
        return 0;
    if (name.length > NAME_BYTES_MAX || emu_object_of_name(call->account, NULL, EMU_HYPERDRIVE, name) != NULL)
        return -1;
    return emu_object_rename(call->state, config, name);
}

void emu_hyperdrive_put(struct emu_call *call)
{
    struct mf_buf merged;
    struct emu_object *config = find_config(call);
    if (config == NULL || emu_body(call) < 0)
        return;
    mf_buf_init(&merged, DOCUMENT_BYTES_MAX);
    if (emu_json_merge(mf_span(config->document), json_raw(&call->body, 0), &merged) < 0) {
        emu_fail(call, EMU_ERROR_BAD_BODY);
    } else if (rename_config(call, config) < 0) {
        emu_fail(call, EMU_ERROR_HYPERDRIVE_EXISTS);
    } else if (emu_object_set_document(call->state, config, mf_buf_view(&merged)) < 0) {
        emu_fail(call, EMU_ERROR_NO_MEMORY);
    } else {
        emu_object_save(call->state, config);
        answer_config(call, config);
    }
    mf_buf_free(&merged);
}

void emu_hyperdrive_delete(struct emu_call *call)
{
    struct emu_object *config = find_config(call);
    if (config == NULL)
        return;
    emu_remove(call, config);
    emu_ok_null(call);
}

/* --- mTLS certificates: the document keeps the certificates, the private key is not kept at all --- */

static void write_certificate(struct json_writer *writer, const struct emu_object *certificate)
{
    struct json_document document = {0};
    json_open_object(writer);
    json_member_string(writer, "id", certificate->id);
    emu_member_time(writer, "uploaded_on", certificate->created_ms);
    if (json_scan(&document, mf_span(certificate->document), &json_limits_default, NULL) == 0)
        for (uint32_t key = json_first(&document, 0); key != JSON_NONE; key = json_next(&document, 0, key)) {
            struct mf_span name;
            if (json_plain(&document, key, &name) < 0 || mf_span_is(name, "private_key"))
                continue;
            json_key_span(writer, name);
            json_raw_value(writer, json_raw(&document, json_value(&document, key)));
        }
    json_close_object(writer);
    json_document_free(&document);
}

static void answer_certificate(struct emu_call *call, const struct emu_object *certificate)
{
    emu_ok_begin(call, 200);
    write_certificate(&call->writer, certificate);
    emu_ok_end(call);
}

void emu_certificates_list(struct emu_call *call)
{
    emu_list(call, NULL, EMU_CERTIFICATE, 20, 50, write_certificate);
}

/* Issuer and end of the first certificate; -1 when the text is none. */
static int read_certificate(struct mf_span pem, struct json_writer *writer)
{
    char issuer[512];
    struct tm end;
    char when[32];
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.length);
    X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (certificate == NULL)
        return -1;
    X509_NAME_oneline(X509_get_issuer_name(certificate), issuer, sizeof(issuer));
    json_member_string(writer, "issuer", issuer);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1 && strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &end) > 0)
        json_member_string(writer, "expires_on", when);
    X509_free(certificate);
    return 0;
}

static int make_document(struct emu_call *call, struct mf_span name, struct mf_span pem, struct mf_buf *out)
{
    struct json_writer writer;
    bool authority = false;
    (void)json_bool(&call->body, json_member(&call->body, 0, "ca"), &authority);
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_span(&writer, "name", name);
    json_member_bool(&writer, "ca", authority);
    json_member_span(&writer, "certificates", pem);
    if (read_certificate(pem, &writer) < 0) {
        emu_fail_text(call, EMU_ERROR_BAD_FIELD, "certificates: must be certificates in PEM form");
        return -1;
    }
    json_close_object(&writer);
    return out->failed ? -1 : 0;
}

static void create_certificate(struct emu_call *call, struct mf_span name, struct mf_buf *document)
{
    struct mf_error error;
    struct emu_object *certificate;
    if (emu_object_create(call->state, call->account, NULL, EMU_CERTIFICATE, name, mf_buf_view(document), &certificate, &error) < 0) {
        emu_fail_state(call, &error, EMU_ERROR_BAD_FIELD);
        return;
    }
    emu_record_object(call, EMU_LEDGER_CREATE, certificate);
    answer_certificate(call, certificate);
}

void emu_certificates_create(struct emu_call *call)
{
    struct mf_span name, pem;
    struct mf_buf document;
    if (emu_body(call) < 0 || emu_body_text(call, "certificates", PEM_BYTES_MAX, &pem) < 0)
        return;
    if (emu_text(call, &call->body, json_member(&call->body, 0, "name"), &name) < 0 || name.length == 0)
        name = MF_SPAN("certificate");
    mf_buf_init(&document, DOCUMENT_BYTES_MAX);
    if (make_document(call, name, pem, &document) == 0)
        create_certificate(call, name, &document);
    mf_buf_free(&document);
}

static struct emu_object *find_certificate(struct emu_call *call)
{
    struct emu_object *certificate = emu_object_of_id(call->state, call->account, EMU_CERTIFICATE, call->parameters[1]);
    if (certificate == NULL)
        emu_fail(call, EMU_ERROR_NO_CERTIFICATE);
    return certificate;
}

void emu_certificates_get(struct emu_call *call)
{
    const struct emu_object *certificate = find_certificate(call);
    if (certificate != NULL)
        answer_certificate(call, certificate);
}

void emu_certificates_delete(struct emu_call *call)
{
    struct emu_object *certificate = find_certificate(call);
    if (certificate == NULL)
        return;
    emu_remove(call, certificate);
    emu_ok_null(call);
}
