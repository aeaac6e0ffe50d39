/*
 * gateway_audit.c - any bytes as the text of an agent: one line of strict JSON that a terminal may see, without a token; any
 * bytes as lines of a file: what the chain takes is numbered on and hashed
 */
#include "base/alloc.h"
#include "gateway/audit_private.h"
#include "json/scan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool holds_token(const char *text)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    for (const char *at = text; (at = strstr(at, "mfy_")) != NULL; at++) {
        if (strspn(at, digits) >= 20)
            return true;
    }
    return false;
}

static void check_text(struct audit *audit, struct mf_span text)
{
    struct json_document document;
    struct mf_buf shown;
    int64_t bytes = 0;
    mf_buf_init(&shown, AUDIT_LINE_BYTES_MAX);
    audit_begin(audit, 1, "refused");
    audit_put_text(audit, "path", text, AUDIT_TEXT_BYTES_MAX);
    json_close_object(&audit->writer);
    require(!audit->line.failed);
    for (size_t i = 0; i < audit->line.length; i++)
        require((unsigned char)audit->line.data[i] >= 0x20 && audit->line.data[i] != 0x7f);
    require(json_scan(&document, mf_buf_view(&audit->line), &json_limits_default, NULL) == 0);
    require(json_text(&document, json_member(&document, 0, "path"), &shown) == 0);
    require(shown.length <= 3 * AUDIT_TEXT_BYTES_MAX && !holds_token(mf_buf_cstr(&shown)));
    uint32_t whole = json_member(&document, 0, "path_bytes");
    if (whole == JSON_NONE)
        require(mf_span_equal(mf_buf_view(&shown), text));
    else
        require(json_int(&document, whole, &bytes) == 0 && (uint64_t)bytes == text.length &&
                !mf_span_equal(mf_buf_view(&shown), text));
    json_document_free(&document);
    mf_buf_free(&shown);
}

static void check_lines(struct audit *audit, struct mf_span text)
{
    struct audit_chain chain = {.count = 0};
    while (text.length > 0) {
        char hash[AUDIT_HASH_HEX];
        const char *end = memchr(text.data, '\n', text.length);
        struct mf_span line = {text.data, end != NULL ? (size_t)(end - text.data) : text.length};
        struct audit_chain before = chain;
        if (audit_chain_take(&chain, line, NULL) == 0) {
            require(audit_hash(audit, line, hash) == 0 && strcmp(hash, chain.head) == 0);
            require(chain.count == before.count + 1);
        } else {
            require(memcmp(&chain, &before, sizeof chain) == 0);
        }
        size_t taken = line.length + (end != NULL);
        text = (struct mf_span){text.data + taken, text.length - taken};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct audit audit = {.fd = -1};
    if (audit.digest == NULL) {
        audit.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
        audit.digest = EVP_MD_CTX_new();
        mf_buf_init(&audit.line, AUDIT_LINE_BYTES_MAX);
    }
    char *copy = mf_strndup((const char *)data, size);
    check_text(&audit, (struct mf_span){copy, size});
    check_lines(&audit, (struct mf_span){copy, size});
    mf_free(copy);
    return 0;
}
