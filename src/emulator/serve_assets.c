/* serve_assets.c - which of a version's files a path means */
#include "emulator/serve.h"

#include "http1/path.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 2048 };

bool emu_assets_open(const struct emu_object *version, struct json_document *document, uint32_t *manifest)
{
    if (json_scan(document, mf_span(version->document), &json_limits_default, NULL) < 0)
        return false;
    *manifest = json_member(document, 0, "files");
    if (*manifest != JSON_NONE)
        return true;
    json_document_free(document);
    return false;
}

static const struct emu_object *file_at(const struct emu_object *version, const struct json_document *document,
                                        uint32_t manifest, const char *path)
{
    struct mf_span hash;
    uint32_t entry = json_member(document, manifest, path);
    if (entry == JSON_NONE || json_plain(document, json_member(document, entry, "hash"), &hash) < 0)
        return NULL;
    return emu_object_of_name(version->account, NULL, EMU_ASSET, hash);
}

/* As html_handling auto-trailing-slash has it, but without its redirects. */
static const struct emu_object *by_html_rules(const struct emu_object *version, const struct json_document *document,
                                              uint32_t manifest, const char *path)
{
    static const char *const endings[] = {"", ".html", "/index.html"};
    char name[PATH_BYTES + 16];
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    for (size_t each = 0; each < sizeof(endings) / sizeof(endings[0]); each++) {
        snprintf(name, sizeof(name), "%.*s%s", (int)length, path, endings[each]);
        const struct emu_object *file = file_at(version, document, manifest, name);
        if (file != NULL)
            return file;
    }
    return NULL;
}

static const struct emu_object *not_found(const struct emu_object *version, const struct json_document *document,
                                          uint32_t manifest, int *status)
{
    uint32_t handling = json_pointer(document, MF_SPAN("/metadata/assets/config/not_found_handling"));
    if (handling != JSON_NONE && json_is(document, handling, "single-page-application"))
        return file_at(version, document, manifest, "/index.html");
    *status = 404;
    return handling != JSON_NONE && json_is(document, handling, "404-page")
               ? file_at(version, document, manifest, "/404.html")
               : NULL;
}

const struct emu_object *emu_assets_find(const struct emu_object *version, struct mf_span path, int *status)
{
    struct json_document document;
    uint32_t manifest;
    char decoded[PATH_BYTES];
    size_t length;
    const char *query = memchr(path.data, '?', path.length);
    *status = 200;
    if (query != NULL)
        path.length = (size_t)(query - path.data);
    if (path.length >= PATH_BYTES || http1_percent_decode(path, false, decoded, sizeof(decoded), &length) < 0)
        return NULL;
    decoded[length] = '\0';
    if (!emu_assets_open(version, &document, &manifest))
        return NULL;
    const struct emu_object *file = by_html_rules(version, &document, manifest, decoded);
    if (file == NULL)
        file = not_found(version, &document, manifest, status);
    json_document_free(&document);
    return file;
}

void emu_assets_type(const struct emu_object *asset, char out[128])
{
    struct json_document document;
    snprintf(out, 128, "application/octet-stream");
    if (json_scan(&document, mf_span(asset->document), &json_limits_default, NULL) < 0)
        return;
    char type[128];
    if (json_copy(&document, json_member(&document, 0, "content_type"), type, sizeof(type)) == 0 && type[0] != '\0')
        memcpy(out, type, sizeof(type));
    json_document_free(&document);
}
