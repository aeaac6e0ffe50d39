/*
 * serve_config.c - the directory that workerd reads: modules as files, and a configuration that names them and the
 * bindings
 *
 * Only bindings that can be answered here are written: texts, secrets, JSON, KV, D1 and static files. A script that
 * uses another one finds it undefined.
 */
#include "emulator/emulator_private.h"
#include "emulator/multipart.h"
#include "emulator/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 8 << 20, MODULES_MAX = 1000 };

struct writing {
    struct emulator *emulator;
    const struct emu_visit_spec *spec;
    struct json_document document; /* of the version */
    const char *directory;
    struct mf_buf config, services;
    uint32_t modules, externals;
};

/* --- texts --- */

/* A text in Cap'n Proto's syntax: printable ASCII as it is, the rest as escapes. */
static void put_text(struct mf_buf *out, struct mf_span text)
{
    mf_buf_char(out, '"');
    for (size_t at = 0; at < text.length; at++) {
        unsigned char character = (unsigned char)text.data[at];
        if (character < ' ' || character > '~' || character == '"' || character == '\\')
            mf_buf_printf(out, "\\x%02x", character);
        else
            mf_buf_char(out, (char)character);
    }
    mf_buf_char(out, '"');
}

static void put_member(struct mf_buf *out, const struct json_document *document, uint32_t node)
{
    struct mf_buf text;
    mf_buf_init(&text, CONFIG_BYTES_MAX);
    if (node != JSON_NONE)
        (void)json_text(document, node, &text);
    put_text(out, mf_buf_view(&text));
    mf_buf_free(&text);
}

static int write_file(const char *directory, const char *name, struct mf_span data)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    size_t done = 0;
    ssize_t written = 0;
    while (done < data.length && (written = write(fd, data.data + done, data.length - done)) > 0)
        done += (size_t)written;
    return close(fd) < 0 || done < data.length ? -1 : 0;
}

/* --- modules --- */

static const char *module_kind(struct mf_span type)
{
    static const struct {
        const char *type, *kind;
    } rows[] = {{"application/javascript+module", "esModule"},
                {"text/javascript+module", "esModule"},
                {"application/javascript", "commonJsModule"},
                {"text/javascript", "commonJsModule"},
                {"application/wasm", "wasm"},
                {"text/plain", "text"},
                {"application/json", "json"},
                {"application/octet-stream", "data"},
                {"application/source-map", NULL}};
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++)
        if (mf_span_is(type, rows[each].type))
            return rows[each].kind;
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++)
        if (mf_span_starts(type, rows[each].type) && type.data[strlen(rows[each].type)] == ';')
            return rows[each].kind;
    return NULL;
}

static int put_module(struct writing *writing, const struct emu_part *part, const char *kind)
{
    char name[32];
    snprintf(name, sizeof(name), "module%u", writing->modules++);
    if (writing->modules > MODULES_MAX || write_file(writing->directory, name, part->data) < 0)
        return -1;
    mf_buf_text(&writing->config, "(name = ");
    put_text(&writing->config, part->file_name.length > 0 ? part->file_name : part->name);
    mf_buf_printf(&writing->config, ", %s = embed \"%s\"),\n", kind, name);
    return 0;
}

static struct mf_span version_data(const struct writing *writing)
{
    const struct emu_object *version = writing->spec->version;
    return (struct mf_span){version->data == NULL ? "" : version->data, version->data_bytes};
}

static int version_type(const struct writing *writing, char out[256])
{
    return json_copy(&writing->document, json_member(&writing->document, 0, "content_type"), out, 256);
}

/* workerd takes the first module as the main one. */
static int put_modules(struct writing *writing, const char *main_module)
{
    struct emu_multipart multipart;
    struct emu_part part, first;
    char type[256];
    if (version_type(writing, type) < 0 ||
        !emu_multipart_find(mf_span(type), version_data(writing), main_module, &first) ||
        emu_multipart_begin(&multipart, mf_span(type), version_data(writing)) < 0)
        return -1;
    mf_buf_text(&writing->config, "modules = [\n");
    if (put_module(writing, &first, "esModule") < 0)
        return -1;
    while (emu_multipart_next(&multipart, &part) == 1) {
        const char *kind = module_kind(part.content_type);
        if (kind != NULL && part.data.data != first.data.data && put_module(writing, &part, kind) < 0)
            return -1;
    }
    mf_buf_text(&writing->config, "],\n");
    return 0;
}

static int put_script(struct writing *writing, const char *body_part)
{
    struct emu_part part;
    char type[256];
    if (version_type(writing, type) < 0 ||
        !emu_multipart_find(mf_span(type), version_data(writing), body_part, &part) ||
        write_file(writing->directory, "module0", part.data) < 0)
        return -1;
    mf_buf_text(&writing->config, "serviceWorkerScript = embed \"module0\",\n");
    return 0;
}

static int put_code(struct writing *writing, uint32_t metadata)
{
    char name[256];
    if (json_copy(&writing->document, json_member(&writing->document, metadata, "main_module"), name, sizeof(name)) ==
        0)
        return put_modules(writing, name);
    if (json_copy(&writing->document, json_member(&writing->document, metadata, "body_part"), name, sizeof(name)) == 0)
        return put_script(writing, name);
    return -1;
}

/* --- bindings --- */

/* A service that leads back to the emulator and says for which object. */
static void put_external(struct writing *writing, const struct emu_object *target)
{
    char signature[256];
    emu_binding_sign(writing->emulator, target, signature);
    mf_buf_printf(&writing->services,
                  "(name = \"external%u\", external = (address = \"%s\", http = (injectRequestHeaders = [(name = "
                  "\"%s\", value = \"%s\")]))),\n",
                  writing->externals, strstr(writing->emulator->origin, "://") + 3, EMU_BINDING_HEADER, signature);
}

static const struct emu_object *target_of(struct writing *writing, uint32_t binding, const char *member,
                                          enum emu_kind kind)
{
    char id[256];
    if (json_copy(&writing->document, json_member(&writing->document, binding, member), id, sizeof(id)) < 0)
        return NULL;
    return emu_object_of_id(writing->emulator->state, writing->spec->worker->account, kind, mf_span(id));
}

static void put_name(struct writing *writing, uint32_t binding)
{
    mf_buf_text(&writing->config, "(name = ");
    put_member(&writing->config, &writing->document, json_member(&writing->document, binding, "name"));
}

static void put_object_binding(struct writing *writing, uint32_t binding, const struct emu_object *target,
                               const char *before, const char *after)
{
    if (target == NULL)
        return;
    put_name(writing, binding);
    mf_buf_printf(&writing->config, ", %s\"external%u\"%s),\n", before, writing->externals, after);
    put_external(writing, target);
    writing->externals++;
}

static void put_binding(struct writing *writing, uint32_t binding)
{
    const struct json_document *document = &writing->document;
    uint32_t type = json_member(document, binding, "type");
    if (json_is(document, type, "plain_text") || json_is(document, type, "secret_text")) {
        put_name(writing, binding);
        mf_buf_text(&writing->config, ", text = ");
        put_member(&writing->config, document, json_member(document, binding, "text"));
        mf_buf_text(&writing->config, "),\n");
    } else if (json_is(document, type, "json") && json_member(document, binding, "json") != JSON_NONE) {
        put_name(writing, binding);
        mf_buf_text(&writing->config, ", json = ");
        put_text(&writing->config, json_raw(document, json_member(document, binding, "json")));
        mf_buf_text(&writing->config, "),\n");
    } else if (json_is(document, type, "kv_namespace")) {
        put_object_binding(writing, binding, target_of(writing, binding, "namespace_id", EMU_KV), "kvNamespace = ", "");
    } else if (json_is(document, type, "d1")) {
        put_object_binding(
            writing, binding, target_of(writing, binding, "id", EMU_D1),
            "wrapped = (moduleName = \"cloudflare-internal:d1-api\", innerBindings = [(name = \"fetcher\", service = ",
            ")])");
    } else if (json_is(document, type, "assets")) {
        put_object_binding(writing, binding, writing->spec->version, "service = ", "");
    }
}

static void put_secrets(struct writing *writing)
{
    const struct emu_collection *secrets =
        emu_collection(writing->spec->worker->account, writing->spec->worker, EMU_SECRET);
    for (size_t each = 0; secrets != NULL && each < secrets->count; each++) {
        const struct emu_object *secret = secrets->objects[each];
        mf_buf_text(&writing->config, "(name = ");
        put_text(&writing->config, mf_span(secret->name));
        mf_buf_text(&writing->config, ", text = ");
        put_text(&writing->config, (struct mf_span){secret->data == NULL ? "" : secret->data, secret->data_bytes});
        mf_buf_text(&writing->config, "),\n");
    }
}

static void put_bindings(struct writing *writing, uint32_t metadata)
{
    const struct json_document *document = &writing->document;
    uint32_t bindings = json_member(document, metadata, "bindings");
    mf_buf_text(&writing->config, "bindings = [\n");
    if (bindings != JSON_NONE && json_kind(document, bindings) == JSON_ARRAY)
        for (uint32_t each = json_first(document, bindings); each != JSON_NONE;
             each = json_next(document, bindings, each))
            put_binding(writing, each);
    put_secrets(writing);
    mf_buf_text(&writing->config, "],\n");
}

/* --- the whole --- */

static void put_compatibility(struct writing *writing, uint32_t metadata)
{
    const struct json_document *document = &writing->document;
    uint32_t flags = json_member(document, metadata, "compatibility_flags"),
             date = json_member(document, metadata, "compatibility_date");
    mf_buf_text(&writing->config, "compatibilityDate = ");
    if (date == JSON_NONE)
        mf_buf_text(&writing->config, "\"2021-11-02\"");
    else
        put_member(&writing->config, document, date);
    mf_buf_text(&writing->config, ",\ncompatibilityFlags = [");
    if (flags != JSON_NONE && json_kind(document, flags) == JSON_ARRAY)
        for (uint32_t each = json_first(document, flags); each != JSON_NONE; each = json_next(document, flags, each)) {
            put_member(&writing->config, document, each);
            mf_buf_text(&writing->config, ", ");
        }
    mf_buf_text(&writing->config, "],\n");
}

static int put_all(struct writing *writing)
{
    uint32_t metadata = json_member(&writing->document, 0, "metadata");
    mf_buf_text(&writing->config, "using Workerd = import \"/workerd/workerd.capnp\";\nconst config :Workerd.Config = "
                                  "(services = [\n(name = \"main\", worker = (\n");
    if (metadata == JSON_NONE || put_code(writing, metadata) < 0)
        return -1;
    put_bindings(writing, metadata);
    put_compatibility(writing, metadata);
    mf_buf_text(&writing->config, ")),\n");
    mf_buf_span(&writing->config, mf_buf_view(&writing->services));
    /* as on this machine, an agent's script shall not reach further than its bindings */
    mf_buf_text(&writing->config,
                "(name = \"internet\", network = (allow = [])),\n],\n"
                "sockets = [(name = \"http\", address = \"127.0.0.1:0\", http = (), service = \"main\")]);\n");
    return writing->config.failed ? -1 : write_file(writing->directory, "config.capnp", mf_buf_view(&writing->config));
}

int emu_serve_configure(struct emulator *emulator, const struct emu_visit_spec *spec, const char *directory,
                        struct mf_error *error)
{
    struct writing writing = {.emulator = emulator, .spec = spec, .directory = directory};
    if (json_scan_error(&writing.document, mf_span(spec->version->document), &json_limits_default, error) < 0)
        return -1;
    mf_buf_init_secret(&writing.config, CONFIG_BYTES_MAX);
    mf_buf_init_secret(&writing.services, CONFIG_BYTES_MAX);
    int done = put_all(&writing);
    mf_buf_free(&writing.config);
    mf_buf_free(&writing.services);
    json_document_free(&writing.document);
    return done < 0 ? mf_fail(error, MF_INPUT,
                              "this script cannot be run here: its main module was not found, or no space is left")
                    : 0;
}
