/* multipart.c - reads multipart/form-data */
#include "emulator/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The value of `key=` in a header with parameters, without quotes; the empty span when it is absent. */
static struct mf_span parameter(struct mf_span header, const char *key)
{
    size_t key_bytes = strlen(key);
    for (size_t at = 0; at + key_bytes < header.length; at++) {
        bool starts = at > 0 && (header.data[at - 1] == ' ' || header.data[at - 1] == ';');
        if (!starts || strncasecmp(header.data + at, key, key_bytes) != 0 || header.data[at + key_bytes] != '=')
            continue;
        const char *from = header.data + at + key_bytes + 1, *end = header.data + header.length;
        char stop = ';';
        if (from < end && *from == '"')
            stop = *from++;
        const char *to = from < end ? memchr(from, stop, (size_t)(end - from)) : NULL;
        return (struct mf_span){from, (size_t)((to == NULL ? end : to) - from)};
    }
    return (struct mf_span){"", 0};
}

/*
 * Cloudflare's own client sends some forms as application/javascript: then the body's first line says what the boundary is.
 */
static struct mf_span boundary_of(struct mf_span content_type, struct mf_span body)
{
    if (content_type.length >= 19 && strncasecmp(content_type.data, "multipart/form-data", 19) == 0)
        return parameter(content_type, "boundary");
    if (!mf_span_starts(content_type, "application/javascript"))
        return (struct mf_span){"", 0};
    const char *end = mf_span_starts(body, "--") ? memmem(body.data, body.length, "\r\n", 2) : NULL;
    bool is_form = end != NULL && mf_span_starts((struct mf_span){end + 2, body.length - (size_t)(end - body.data) - 2}, "Content-Disposition:");
    return is_form ? (struct mf_span){body.data + 2, (size_t)(end - body.data) - 2} : (struct mf_span){"", 0};
}

int emu_multipart_begin(struct emu_multipart *multipart, struct mf_span content_type, struct mf_span body)
{
    struct mf_span boundary = boundary_of(content_type, body);
    if (boundary.length == 0 || boundary.length > 70)
        return -1;
    snprintf(multipart->delimiter, sizeof(multipart->delimiter), "\r\n--%.*s", MF_SPAN_ARGS(boundary));
    if (!mf_span_starts(body, multipart->delimiter + 2)) /* the first delimiter has no line before it */
        return -1;
    size_t length = strlen(multipart->delimiter) - 2;
    multipart->rest = (struct mf_span){body.data + length, body.length - length};
    return 0;
}

/* Takes one line of a part's head; false at its end. Sets *bad when there is no line. */
static bool take_line(struct mf_span *rest, struct mf_span *line, bool *bad)
{
    const char *end = memmem(rest->data, rest->length, "\r\n", 2);
    *bad = end == NULL;
    if (end == NULL)
        return false;
    *line = (struct mf_span){rest->data, (size_t)(end - rest->data)};
    *rest = (struct mf_span){end + 2, rest->length - line->length - 2};
    return line->length > 0;
}

static void read_header(struct mf_span line, struct emu_part *part)
{
    if (line.length > 20 && strncasecmp(line.data, "content-disposition:", 20) == 0) {
        part->name = parameter(line, "name");
        part->file_name = parameter(line, "filename");
    } else if (line.length > 13 && strncasecmp(line.data, "content-type:", 13) == 0) {
        part->content_type = (struct mf_span){line.data + 13, line.length - 13};
        while (part->content_type.length > 0 && part->content_type.data[0] == ' ') {
            part->content_type.data++;
            part->content_type.length--;
        }
    }
}

int emu_multipart_next(struct emu_multipart *multipart, struct emu_part *out)
{
    struct mf_span line;
    bool bad;
    *out = (struct emu_part){0};
    if (mf_span_starts(multipart->rest, "--"))
        return 0;
    if (take_line(&multipart->rest, &line, &bad) || bad) /* behind a delimiter stands nothing */
        return -1;
    while (take_line(&multipart->rest, &line, &bad))
        read_header(line, out);
    if (bad)
        return -1;
    size_t length = strlen(multipart->delimiter);
    const char *end = memmem(multipart->rest.data, multipart->rest.length, multipart->delimiter, length);
    if (end == NULL)
        return -1;
    out->data = (struct mf_span){multipart->rest.data, (size_t)(end - multipart->rest.data)};
    multipart->rest = (struct mf_span){end + length, multipart->rest.length - out->data.length - length};
    return 1;
}

bool emu_multipart_find(struct mf_span content_type, struct mf_span body, const char *name, struct emu_part *out)
{
    struct emu_multipart multipart;
    struct emu_part part;
    bool found = false;
    if (emu_multipart_begin(&multipart, content_type, body) < 0)
        return false;
    while (emu_multipart_next(&multipart, &part) == 1) {
        bool named = mf_span_is(part.name, name);
        if (named || (!found && mf_span_is(part.file_name, name)))
            *out = part;
        if (named)
            return true;
        found = found || mf_span_is(part.file_name, name);
    }
    return found;
}
