/* path.c - a request path as segments in one canonical spelling; the query; percent-decoding */
#include "http1/path.h"

#include "http1/chars.h"

#include <string.h>

/* One byte of a path: what it stands for, and whether it was escaped. */
struct unit {
    unsigned char byte;
    bool escaped;
    bool canonical; /* was spelled as emit() will spell it */
    uint8_t width;
};

/* Raw bytes that RFC 3986 has in a segment; ';' is among them and marked as a trait. */
static bool is_segment_byte(unsigned char c)
{
    return http1_is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@", c) != NULL);
}

/* Raw bytes that browsers' URL parsers leave alone although RFC 3986 wants them escaped: we escape them. */
static bool is_tolerated_byte(unsigned char c)
{
    return c != '\0' && strchr("|^[]", c) != NULL;
}

static int read_unit(struct mf_span text, size_t at, struct unit *out)
{
    unsigned char c = (unsigned char)text.data[at];
    if (c != '%') {
        *out = (struct unit){c, is_tolerated_byte(c), is_segment_byte(c), 1};
        return is_segment_byte(c) || is_tolerated_byte(c) ? 0 : -1;
    }
    if (text.length - at < 3)
        return -1;
    int high = http1_hex_value((unsigned char)text.data[at + 1]),
        low = http1_hex_value((unsigned char)text.data[at + 2]);
    if (high < 0 || low < 0)
        return -1;
    unsigned char byte = (unsigned char)(high << 4 | low);
    bool capitals = text.data[at + 1] < 'a' && text.data[at + 2] < 'a';
    *out = (struct unit){byte, !http1_is_unreserved(byte), capitals && !http1_is_unreserved(byte), 3};
    return 0;
}

static int emit(struct http1_path *path, struct unit unit)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t width = unit.escaped ? 3 : 1;
    if (path->text_length + width > HTTP1_PATH_BYTES_MAX)
        return -1;
    char *out = path->text + path->text_length;
    out[0] = unit.escaped ? '%' : (char)unit.byte;
    if (unit.escaped) {
        out[1] = digits[unit.byte >> 4];
        out[2] = digits[unit.byte & 15];
    }
    path->text_length = (uint16_t)(path->text_length + width);
    path->was_canonical = path->was_canonical && unit.canonical;
    return 0;
}

static unsigned unit_traits(struct unit unit, struct mf_span rest)
{
    unsigned char c = unit.byte;
    if (c == ';')
        return HTTP1_TRAIT_PARAMETER;
    if (!unit.escaped)
        return 0;
    if (c == '/')
        return HTTP1_TRAIT_SLASH;
    if (c == '\\')
        return HTTP1_TRAIT_BACKSLASH;
    if (c < 0x20 || c == 0x7f)
        return HTTP1_TRAIT_CONTROL;
    if (c >= 0x80)
        return HTTP1_TRAIT_NON_ASCII;
    if (c != '%')
        return 0;
    /* "%252e": decoded twice it is a dot. The two digits may be escaped themselves, so look at what they stand for. */
    struct unit first, second;
    if (rest.length > 0 && read_unit(rest, 0, &first) == 0 && rest.length > first.width &&
        read_unit(rest, first.width, &second) == 0 && http1_hex_value(first.byte) >= 0 &&
        http1_hex_value(second.byte) >= 0)
        return HTTP1_TRAIT_PERCENT | HTTP1_TRAIT_DOUBLE;
    return HTTP1_TRAIT_PERCENT;
}

/* Traits of the decoded segment as a whole. An encoded slash or backslash parts it, because an upstream may decode it.
 */
static unsigned whole_traits(const char *decoded, size_t length)
{
    unsigned traits = length == 0 ? HTTP1_TRAIT_EMPTY : 0;
    size_t start = 0;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && decoded[i] != '/' && decoded[i] != '\\')
            continue;
        size_t part = i - start;
        if ((part == 1 && decoded[start] == '.') || (part == 2 && decoded[start] == '.' && decoded[start + 1] == '.'))
            traits |= HTTP1_TRAIT_DOTS;
        start = i + 1;
    }
    if (!mf_utf8_valid(decoded, length))
        traits |= HTTP1_TRAIT_BAD_UTF8;
    return traits;
}

static int add_segment(struct http1_path *path, struct mf_span segment)
{
    char decoded[HTTP1_PATH_BYTES_MAX];
    size_t length = 0;
    unsigned traits = 0;
    uint16_t at = path->text_length;
    for (size_t i = 0; i < segment.length;) {
        struct unit unit;
        if (read_unit(segment, i, &unit) != 0 || emit(path, unit) != 0)
            return -1;
        i += unit.width;
        traits |= unit_traits(unit, (struct mf_span){segment.data + i, segment.length - i});
        decoded[length++] = (char)unit.byte;
    }
    traits |= whole_traits(decoded, length);
    path->at[path->count] = at;
    path->length[path->count] = (uint16_t)(path->text_length - at);
    path->traits[path->count] = (uint16_t)traits;
    path->count++;
    return 0;
}

int http1_path_parse(struct http1_path *out, struct mf_span path, struct mf_error *error)
{
    out->count = 0;
    out->text_length = 0;
    out->was_canonical = true;
    out->text[0] = '\0';
    if (path.length == 0 || path.data[0] != '/')
        return mf_fail(error, MF_INPUT, "path does not begin with a slash");
    if (path.length > HTTP1_PATH_BYTES_MAX)
        return mf_fail(error, MF_LIMIT, "path is longer than %u bytes", HTTP1_PATH_BYTES_MAX);
    struct unit slash = {'/', false, true, 1};
    for (size_t at = 0; at < path.length;) {
        const char *next = memchr(path.data + at + 1, '/', path.length - at - 1);
        size_t end = next != NULL ? (size_t)(next - path.data) : path.length;
        if (out->count == HTTP1_SEGMENTS_MAX)
            return mf_fail(error, MF_LIMIT, "path has more than %u segments", HTTP1_SEGMENTS_MAX);
        if (emit(out, slash) != 0)
            return mf_fail(error, MF_LIMIT, "path is longer than %u bytes", HTTP1_PATH_BYTES_MAX);
        if (path.length > 1 && add_segment(out, (struct mf_span){path.data + at + 1, end - at - 1}) != 0)
            return mf_fail(error, MF_INPUT, "path holds a bad escape or a byte that must be escaped");
        at = end;
    }
    out->text[out->text_length] = '\0';
    return 0;
}

struct mf_span http1_path_segment(const struct http1_path *path, uint32_t index)
{
    return (struct mf_span){path->text + path->at[index], path->length[index]};
}

static const struct {
    bool opaque;
    const char *text;
} trait_rules[] = {
#define X(trait, opaque, text) {opaque, text},
    HTTP1_TRAITS(X)
#undef X
};

int http1_path_check(const struct http1_path *path, uint64_t opaque, struct mf_error *error)
{
    for (uint32_t i = 0; i < path->count; i++) {
        for (unsigned bit = 0; bit < HTTP1_TRAIT_COUNT; bit++) {
            bool has = (path->traits[i] >> bit & 1) != 0;
            if (has && !(trait_rules[bit].opaque && (opaque >> i & 1) != 0))
                return mf_fail(error, MF_INPUT, "path %s", trait_rules[bit].text);
        }
    }
    return 0;
}

int http1_percent_decode(struct mf_span text, bool plus, char *out, size_t out_bytes, size_t *out_length)
{
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = text.length - i > 2 ? http1_hex_value((unsigned char)text.data[i + 1]) : -1;
            int low = text.length - i > 2 ? http1_hex_value((unsigned char)text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (length + 1 >= out_bytes)
            return -1;
        out[length++] = c;
    }
    if (out_bytes == 0)
        return -1;
    out[length] = '\0';
    *out_length = length;
    return 0;
}

static struct mf_span cut(struct mf_span *rest, char mark)
{
    const char *found = rest->length > 0 ? memchr(rest->data, mark, rest->length) : NULL;
    size_t length = found != NULL ? (size_t)(found - rest->data) : rest->length;
    struct mf_span head = {rest->data, length};
    length += found != NULL;
    *rest = (struct mf_span){rest->data + length, rest->length - length};
    return head;
}

bool http1_query_next(struct mf_span *rest, struct mf_span *name, struct mf_span *value)
{
    while (rest->length > 0) {
        struct mf_span item = cut(rest, '&');
        if (item.length == 0)
            continue;
        *name = cut(&item, '=');
        *value = item;
        return true;
    }
    return false;
}
