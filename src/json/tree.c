/* tree.c - walking the flat table: members, elements, pointers, positions */
#include "json/decode.h"

#include "base/assert.h"

#include <string.h>

enum json_kind json_kind(const struct json_document *document, uint32_t node)
{
    mf_assert(node < document->count);
    return (enum json_kind)document->nodes[node].kind;
}

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {
#define X(kind, name) [JSON_##kind] = name,
        JSON_KINDS(X)
#undef X
    };
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "nothing";
}

struct mf_span json_raw(const struct json_document *document, uint32_t node)
{
    mf_assert(node < document->count);
    return (struct mf_span){document->text.data + document->nodes[node].start, document->nodes[node].length};
}

static bool is_container(const struct json_document *document, uint32_t node)
{
    return node < document->count && document->nodes[node].kind >= JSON_ARRAY;
}

uint32_t json_first(const struct json_document *document, uint32_t node)
{
    return is_container(document, node) && document->nodes[node].children > 0 ? node + 1 : JSON_NONE;
}

uint32_t json_next(const struct json_document *document, uint32_t parent, uint32_t node)
{
    if (!is_container(document, parent) || node <= parent || node >= document->nodes[parent].end)
        return JSON_NONE;
    uint32_t value = document->nodes[parent].kind == JSON_OBJECT ? node + 1 : node;
    uint32_t next = document->nodes[value].end;
    return next < document->nodes[parent].end ? next : JSON_NONE;
}

uint32_t json_value(const struct json_document *document, uint32_t key)
{
    mf_assert(key < document->count - 1);
    return key + 1;
}

uint32_t json_member(const struct json_document *document, uint32_t object, const char *name)
{
    if (!is_container(document, object) || document->nodes[object].kind != JSON_OBJECT)
        return JSON_NONE;
    for (uint32_t key = json_first(document, object); key != JSON_NONE; key = json_next(document, object, key)) {
        if (json_is(document, key, name))
            return key + 1;
    }
    return JSON_NONE;
}

uint32_t json_element(const struct json_document *document, uint32_t array, uint32_t index)
{
    if (!is_container(document, array) || document->nodes[array].kind != JSON_ARRAY ||
        index >= document->nodes[array].children)
        return JSON_NONE;
    uint32_t node = array + 1;
    for (uint32_t i = 0; i < index; i++)
        node = document->nodes[node].end;
    return node;
}

/* Takes one byte off a pointer's token, undoing "~0" and "~1"; -1 at its end, -2 when the escape is bad. */
static int take_token_byte(struct mf_span *token)
{
    if (token->length == 0)
        return -1;
    unsigned char byte = (unsigned char)token->data[0];
    size_t used = 1;
    if (byte == '~') {
        if (token->length < 2 || (token->data[1] != '0' && token->data[1] != '1'))
            return -2;
        byte = token->data[1] == '0' ? '~' : '/';
        used = 2;
    }
    *token = (struct mf_span){token->data + used, token->length - used};
    return byte;
}

static bool token_is_key(struct mf_span inside, struct mf_span token)
{
    char room[4];
    while (inside.length > 0) {
        struct mf_span piece = json_decode_next(&inside, room);
        for (size_t i = 0; i < piece.length; i++) {
            if (take_token_byte(&token) != (unsigned char)piece.data[i])
                return false;
        }
    }
    return token.length == 0;
}

static uint32_t step_into(const struct json_document *document, uint32_t node, struct mf_span token)
{
    uint64_t index;
    if (!is_container(document, node))
        return JSON_NONE;
    if (document->nodes[node].kind == JSON_ARRAY)
        return mf_parse_u64(token, &index) == 0 && index < UINT32_MAX ? json_element(document, node, (uint32_t)index)
                                                                      : JSON_NONE;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        if (token_is_key(json_inside(document, key), token))
            return key + 1;
    }
    return JSON_NONE;
}

uint32_t json_pointer_from(const struct json_document *document, uint32_t node, struct mf_span pointer)
{
    if (node >= document->count)
        return JSON_NONE;
    while (pointer.length > 0 && node != JSON_NONE) {
        if (pointer.data[0] != '/')
            return JSON_NONE;
        const char *token = pointer.data + 1;
        const char *slash = memchr(token, '/', pointer.length - 1);
        size_t length = slash != NULL ? (size_t)(slash - token) : pointer.length - 1;
        node = step_into(document, node, (struct mf_span){token, length});
        pointer = (struct mf_span){token + length, pointer.length - 1 - length};
    }
    return node;
}

uint32_t json_pointer(const struct json_document *document, struct mf_span pointer)
{
    return json_pointer_from(document, 0, pointer);
}

static int append_token(const struct json_document *document, uint32_t key, struct mf_buf *out)
{
    char room[4];
    struct mf_span inside = json_inside(document, key);
    while (inside.length > 0) {
        struct mf_span piece = json_decode_next(&inside, room);
        for (size_t i = 0; i < piece.length; i++) {
            const char *escape = piece.data[i] == '~' ? "~0" : piece.data[i] == '/' ? "~1" : NULL;
            int appended = escape != NULL ? mf_buf_text(out, escape) : mf_buf_char(out, piece.data[i]);
            if (appended != 0)
                return -1;
        }
    }
    return 0;
}

int json_pointer_of(const struct json_document *document, uint32_t node, struct mf_buf *out)
{
    mf_assert(node < document->count);
    uint32_t at = 0;
    while (at != node) {
        uint32_t index = 0;
        uint32_t child = at + 1;
        bool object = document->nodes[at].kind == JSON_OBJECT;
        for (uint32_t next; (next = document->nodes[child + object].end) <= node; child = next)
            index++;
        if (object ? mf_buf_char(out, '/') != 0 || append_token(document, child, out) != 0
                   : mf_buf_printf(out, "/%u", index) != 0)
            return -1;
        if (child == node) /* a key stands for its value */
            return 0;
        at = child + object;
    }
    return 0;
}

void json_position(struct mf_span text, uint32_t offset, uint32_t *line, uint32_t *column)
{
    const char *end = text.data + (offset < text.length ? offset : text.length);
    const char *start = text.data;
    *line = 1;
    for (const char *feed; start < end && (feed = memchr(start, '\n', (size_t)(end - start))) != NULL; start = feed + 1)
        (*line)++;
    *column = 1;
    for (; start < end; start++)
        *column += ((unsigned char)*start & 0xc0) != 0x80;
}
