/*
 * rule.c - the text of a rule, read the same way by the matcher and by whoever checks a table of rules
 */
#include "http1/match.h"

#include "http1/chars.h"

#include <string.h>

static bool name_valid(struct mf_span name)
{
    if (name.length == 0 || name.length > 64 || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (!(c >= 'a' && c <= 'z') && !http1_is_digit(c) && c != '_' && c != '-')
            return false;
    }
    return true;
}

static bool literal_valid(struct mf_span text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!http1_is_unreserved((unsigned char)text.data[i]))
            return false;
    return text.length > 0 && !mf_span_is(text, ".") && !mf_span_is(text, "..");
}

/* Is `text` the `head`, or the head with ":opaque" behind it? */
static bool is_marked(struct mf_span text, const char *head, bool *opaque)
{
    size_t length = strlen(head);
    *opaque = text.length > length && mf_span_is((struct mf_span){text.data + length, text.length - length}, ":opaque");
    return mf_span_is(text, head) || (*opaque && mf_span_starts(text, head));
}

static bool read_part(struct mf_span text, struct http1_rule_part *out)
{
    *out = (struct http1_rule_part){.kind = HTTP1_PART_ANY, .text = text};
    if (mf_span_is(text, "*"))
        return true;
    if (is_marked(text, "**", &out->opaque)) {
        out->kind = HTTP1_PART_REST;
        return true;
    }
    out->opaque = false;
    if (text.length > 2 && text.data[0] == '{' && text.data[text.length - 1] == '}') {
        struct mf_span name = {text.data + 1, text.length - 2};
        out->opaque = mf_span_ends(name, ":opaque");
        name.length -= out->opaque ? strlen(":opaque") : 0;
        out->name = name;
        return name_valid(name);
    }
    out->kind = HTTP1_PART_LITERAL;
    return literal_valid(text);
}

uint32_t http1_rule_method(struct mf_span name)
{
    static const char *const methods[] = {
#define X(method, text) text,
        HTTP1_RULE_METHODS(X)
#undef X
    };
    for (uint32_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (mf_span_is(name, methods[i]))
            return i;
    return UINT32_MAX;
}

static struct mf_span word_of(struct mf_span text)
{
    const char *space = text.length > 0 ? memchr(text.data, ' ', text.length) : NULL;
    return (struct mf_span){text.data, space == NULL ? text.length : (size_t)(space - text.data)};
}

int http1_rule_path(struct mf_span text, struct mf_span *path, struct mf_error *error)
{
    struct mf_span method = word_of(text);
    int shown = text.length > 100 ? 100 : (int)text.length;
    if (text.length > HTTP1_RULE_BYTES_MAX)
        return mf_fail(error, MF_INPUT, "rule `%.*s...` is longer than %u bytes", shown, text.data, HTTP1_RULE_BYTES_MAX);
    if (mf_span_is(method, "HEAD"))
        return mf_fail(error, MF_INPUT, "rule `%.*s`: HEAD is matched as GET: write GET", shown, text.data);
    if (http1_rule_method(method) == UINT32_MAX || method.length + 2 > text.length || text.data[method.length + 1] != '/')
        return mf_fail(error, MF_INPUT, "rule `%.*s` must be a method in capitals, a space and a path", shown, text.data);
    *path = (struct mf_span){text.data + method.length + 1, text.length - method.length - 1};
    if (path->length == 1)
        path->length = 0; /* "/" has no segments */
    return 0;
}

int http1_rule_next(struct mf_span *path, struct http1_rule_part *part, struct mf_error *error)
{
    if (path->length == 0)
        return 0;
    const char *slash = path->length > 1 ? memchr(path->data + 1, '/', path->length - 1) : NULL;
    size_t length = slash == NULL ? path->length - 1 : (size_t)(slash - path->data) - 1;
    struct mf_span text = {path->data + 1, length};
    *path = (struct mf_span){path->data + length + 1, path->length - length - 1};
    if (!read_part(text, part) || (part->kind == HTTP1_PART_REST && path->length > 0))
        return mf_fail(error, MF_INPUT, "rule has a bad segment `%.*s`", length > 40 ? 40 : (int)length, text.data);
    return 1;
}
