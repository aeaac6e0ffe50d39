/* rules.c - what ids, keys, paths and places to clone from may look like */
#include "document/graph.h"

#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool graph_is_id(struct mf_span text)
{
    if (text.length < 1 || text.length > 64 || !is_letter(text.data[0]))
        return false;
    for (size_t i = 1; i < text.length; i++) {
        if (!is_word(text.data[i]))
            return false;
    }
    return true;
}

bool graph_is_key(struct mf_span text)
{
    if (text.length < 1 || text.length > 64 || mf_span_is(text, ".") || mf_span_is(text, ".."))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (!is_word(text.data[i]) && text.data[i] != '.')
            return false;
    }
    return true;
}

static bool has_control(struct mf_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    }
    return false;
}

const char *graph_path_fault(struct mf_span path)
{
    if (path.length == 0)
        return "is empty";
    if (path.data[0] == '/')
        return "is absolute: it must be relative to the graph file";
    if (has_control(path))
        return "holds a control character";
    while (path.length > 0) {
        const char *slash = memchr(path.data, '/', path.length);
        size_t length = slash != NULL ? (size_t)(slash - path.data) : path.length;
        if (mf_span_is((struct mf_span){path.data, length}, ".."))
            return "leaves the directory of the graph file";
        if (length > 255)
            return "has a part longer than 255 bytes";
        length += slash != NULL;
        path = (struct mf_span){path.data + length, path.length - length};
    }
    return NULL;
}

/* In "scheme://user:password@host/": any user for HTTP, where it is a token, else only one with a password. */
static bool has_credential(struct mf_span url)
{
    const char *scheme_end = memmem(url.data, url.length, "://", 3);
    if (scheme_end == NULL)
        return false;
    const char *authority = scheme_end + 3;
    size_t left = url.length - (size_t)(authority - url.data);
    const char *slash = memchr(authority, '/', left);
    size_t length = slash != NULL ? (size_t)(slash - authority) : left;
    const char *at = memrchr(authority, '@', length);
    if (at == NULL)
        return false;
    return mf_span_starts(url, "http") || memchr(authority, ':', (size_t)(at - authority)) != NULL;
}

static const char *ref_fault(struct mf_span ref)
{
    if (ref.length == 0)
        return "is empty";
    if (ref.data[0] == '-')
        return "starts with a dash";
    for (size_t i = 0; i < ref.length; i++) {
        if (!is_word(ref.data[i]) && strchr("./+@", ref.data[i]) == NULL)
            return "holds a character that no ref has";
    }
    return memmem(ref.data, ref.length, "..", 2) != NULL ? "holds \"..\"" : NULL;
}

const char *graph_git_fault(struct mf_span url, struct mf_span ref)
{
    if (url.length == 0)
        return "is empty";
    if (url.data[0] == '-')
        return "starts with a dash";
    if (has_control(url) || memchr(url.data, ' ', url.length) != NULL)
        return "holds a space or a control character";
    if (memmem(url.data, url.length, "::", 2) != NULL)
        return "names a transport that runs a command";
    if (has_credential(url))
        return "holds a credential";
    return ref_fault(ref);
}
