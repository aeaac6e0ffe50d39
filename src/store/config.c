/* config.c - what the state directory keeps for all runs: accepted terms, the owner of tags, rate files */
#include "base/alloc.h"
#include "base/buf.h"
#include "json/scan.h"
#include "json/write.h"
#include "store/files.h"
#include "store/state_private.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_NAME "config"
#define CONFIG_LOCK_NAME "config.lock"
#define OWNER_NAME "owner"
#define CONFIG_BYTES_MAX (1u << 20)
#define OWNER_BYTES_MAX 24
#define MACHINE_ID_BYTES 32

/* --- accepted terms: {"mayfly": 1, "terms": {"NAME": "when"}, ...} --- */

struct config {
    struct mf_buf text;
    struct json_document document;
};

static void config_free(struct config *config)
{
    json_document_free(&config->document);
    mf_buf_free(&config->text);
}

/* A missing file is an empty object. */
static int config_read(int state_fd, struct config *config, struct mf_error *error)
{
    *config = (struct config){0};
    mf_buf_init(&config->text, CONFIG_BYTES_MAX);
    struct mf_error cause = {0};
    if (files_read(state_fd, CONFIG_NAME, &config->text, &cause) != 0) {
        if (cause.code != MF_NOT_FOUND)
            return mf_fail(error, MF_STATE, "%s", cause.text);
        if (mf_buf_text(&config->text, "{\"mayfly\":1}") != 0)
            return mf_fail(error, MF_MEMORY, "config: no memory");
    }
    if (json_scan_error(&config->document, mf_buf_view(&config->text), &json_limits_default, &cause) != 0)
        return mf_fail(error, cause.code == MF_MEMORY ? MF_MEMORY : MF_STATE, "config: %s", cause.text);
    if (json_kind(&config->document, 0) != JSON_OBJECT)
        return mf_fail(error, MF_STATE, "config: is no JSON object");
    return 0;
}

bool state_terms_accepted(const struct state_dir *state, const char *provider)
{
    struct config config;
    bool accepted = false;
    if (config_read(state->fd, &config, NULL) == 0) {
        uint32_t terms = json_member(&config.document, 0, "terms");
        uint32_t when = json_member(&config.document, terms, provider);
        accepted = when != JSON_NONE && json_kind(&config.document, when) == JSON_STRING;
    }
    config_free(&config);
    return accepted;
}

/* All members of an object but one, as they are. */
static void copy_members(struct json_writer *writer, const struct json_document *document, uint32_t object, const char *but)
{
    for (uint32_t key = json_first(document, object); key != JSON_NONE; key = json_next(document, object, key)) {
        char name[256];
        if (json_copy(document, key, name, sizeof name) != 0 || strcmp(name, but) == 0)
            continue;
        json_key(writer, name);
        json_raw_value(writer, json_raw(document, json_value(document, key)));
    }
}

static void write_accepted(const struct config *config, const char *provider, struct mf_buf *out)
{
    struct timespec now;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    mf_format_rfc3339((int64_t)now.tv_sec * 1000, when);
    uint32_t terms = json_member(&config->document, 0, "terms");
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    copy_members(&writer, &config->document, 0, "terms");
    json_key(&writer, "terms");
    json_open_object(&writer);
    if (terms != JSON_NONE && json_kind(&config->document, terms) == JSON_OBJECT)
        copy_members(&writer, &config->document, terms, provider);
    json_member_string(&writer, provider, when);
    json_close_object(&writer);
    json_close_object(&writer);
    mf_buf_char(out, '\n');
}

static int accept_locked(int state_fd, const char *provider, struct mf_error *error)
{
    struct config config;
    struct mf_buf text;
    mf_buf_init(&text, CONFIG_BYTES_MAX);
    int status = config_read(state_fd, &config, error);
    if (status == 0) {
        write_accepted(&config, provider, &text);
        status = text.failed ? mf_fail(error, MF_LIMIT, "config: would be above %u bytes", CONFIG_BYTES_MAX)
                             : files_replace(state_fd, CONFIG_NAME, mf_buf_view(&text), error);
    }
    mf_buf_free(&text);
    config_free(&config);
    return status;
}

int state_accept_terms(struct state_dir *state, const char *provider, struct mf_error *error)
{
    int lock_fd;
    if (files_lock(state->fd, CONFIG_LOCK_NAME, true, &lock_fd, error) != 0)
        return -1;
    int status = accept_locked(state->fd, provider, error);
    state_unlock(lock_fd);
    return status;
}

/* --- rate files --- */

/* A provider's name comes from a graph: anything that could leave the folder becomes an underscore. */
char *state_rate_path(const struct state_dir *state, const char *provider)
{
    struct mf_buf path;
    mf_buf_init(&path, 1u << 16);
    mf_buf_printf(&path, "%s/providers/", state->path);
    for (const char *c = provider; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
        mf_buf_char(&path, plain ? *c : '_');
    }
    mf_buf_text(&path, ".rate");
    char *text = mf_buf_take(&path);
    mf_buf_free(&path);
    return text;
}

/* --- owner --- */

static bool owner_valid(const char *owner)
{
    size_t length = strspn(owner, "abcdefghijklmnopqrstuvwxyz0123456789");
    return length >= 1 && length <= OWNER_BYTES_MAX && owner[length] == '\0';
}

/* 32 hex digits that are not all the same: cloned images carry zeros or the word "uninitialized". */
static bool read_machine_id(char out[MACHINE_ID_BYTES + 1])
{
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, out, MACHINE_ID_BYTES);
    close(fd);
    out[MACHINE_ID_BYTES] = '\0';
    return got == MACHINE_ID_BYTES && strspn(out, "0123456789abcdef") == MACHINE_ID_BYTES &&
           strspn(out, (char[]){out[0], '\0'}) != MACHINE_ID_BYTES;
}

static int derive_owner(const char *machine_id, char out[25], struct mf_error *error)
{
    char text[MACHINE_ID_BYTES + 24];
    int length = snprintf(text, sizeof text, "%s%lu", machine_id, (unsigned long)geteuid());
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(text, (size_t)length, digest, NULL, EVP_sha256(), NULL) != 1)
        return mf_fail(error, MF_CRYPTO, "owner: SHA-256 failed");
    mf_hex(digest, 6, out);
    return 0;
}

/* 1: there is none. */
static int stored_owner(int state_fd, char out[25], struct mf_error *error)
{
    struct mf_buf text;
    struct mf_error cause = {0};
    mf_buf_init(&text, 64);
    int status = files_read(state_fd, OWNER_NAME, &text, &cause);
    if (status == 0) {
        struct mf_span line = mf_buf_view(&text);
        if (line.length > 0 && line.data[line.length - 1] == '\n')
            line.length--;
        if (mf_span_copy(line, out, 25) != 0 || !owner_valid(out))
            status = mf_fail(error, MF_STATE, "owner: the stored one is not 1 to 24 of [a-z0-9]: put it right, accounts are tagged with it");
    } else {
        status = cause.code == MF_NOT_FOUND ? 1 : mf_fail(error, cause.code, "%s", cause.text);
    }
    mf_buf_free(&text);
    return status;
}

static int generate_owner(struct state_dir *state, char out[25], bool *generated, struct mf_error *error)
{
    if (files_random_name(out, 12, error) != 0)
        return -1;
    char line[32];
    int length = snprintf(line, sizeof line, "%s\n", out);
    struct mf_error cause = {0};
    if (files_publish(state->fd, OWNER_NAME, (struct mf_span){line, (size_t)length}, &cause) == 0) {
        *generated = true;
        return 0;
    }
    if (cause.os_errno == EEXIST) /* another run was faster: its owner is ours too */
        return stored_owner(state->fd, out, error) == 0 ? 0 : -1;
    return mf_fail(error, cause.code, "%s", cause.text);
}

/* Given, stored or derived; 1: it is none of them. */
static int find_owner(struct state_dir *state, const char *given, char out[25], struct mf_error *error)
{
    if (given != NULL) {
        if (!owner_valid(given))
            return mf_fail(error, MF_USAGE, "owner: must be 1 to 24 of a-z and 0-9");
        memcpy(out, given, strlen(given) + 1);
        return 0;
    }
    int status = state != NULL ? stored_owner(state->fd, out, error) : 1;
    if (status <= 0)
        return status;
    char machine_id[MACHINE_ID_BYTES + 1];
    return read_machine_id(machine_id) ? derive_owner(machine_id, out, error) : 1;
}

int state_owner(struct state_dir *state, const char *given, char out[25], bool *generated, struct mf_error *error)
{
    *generated = false;
    int status = find_owner(state, given, out, error);
    return status == 1 ? generate_owner(state, out, generated, error) : status;
}

int state_owner_known(struct state_dir *state, const char *given, char out[25], struct mf_error *error)
{
    int status = find_owner(state, given, out, error);
    return status == 1 ? mf_fail(error, MF_USAGE, "owner: this machine has no usable machine-id: give the one that `mayfly run` printed with --owner NAME") : status;
}
