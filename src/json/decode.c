/* decode.c - strings and numbers of a scanned text: decoding without a copy, comparing, hashing */
#include "json/decode.h"

#include "base/alloc.h"

#include <string.h>

struct mf_span json_inside(const struct json_document *document, uint32_t node)
{
    struct mf_span raw = json_raw(document, node);
    return (struct mf_span){raw.data + 1, raw.length - 2};
}

static uint32_t hex4(const char *digits)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = digits[i];
        value = value << 4 | (uint32_t)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

static size_t encode_utf8(uint32_t code_point, char *out)
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, code_point >>= 6)
        out[i] = (char)(0x80 | (code_point & 0x3f));
    out[0] = (char)(lead[length] | code_point);
    return length;
}

/* The scanner has checked every escape, also that surrogates come in pairs. */
static struct mf_span decode_escape(struct mf_span *inside, char room[4])
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *at = inside->data + 1;
    size_t used = 2;
    size_t length = 1;
    if (*at == 'u') {
        uint32_t code_point = hex4(at + 1);
        used = 6;
        if (code_point >= 0xd800 && code_point < 0xdc00) {
            code_point = 0x10000 + ((code_point - 0xd800) << 10) + (hex4(at + 7) - 0xdc00);
            used = 12;
        }
        length = encode_utf8(code_point, room);
    } else {
        room[0] = values[strchr(names, *at) - names];
    }
    *inside = (struct mf_span){inside->data + used, inside->length - used};
    return (struct mf_span){room, length};
}

struct mf_span json_decode_next(struct mf_span *inside, char room[4])
{
    if (inside->length > 0 && inside->data[0] == '\\')
        return decode_escape(inside, room);
    const char *escape = inside->length > 0 ? memchr(inside->data, '\\', inside->length) : NULL;
    size_t length = escape != NULL ? (size_t)(escape - inside->data) : inside->length;
    struct mf_span piece = {inside->data, length};
    *inside = (struct mf_span){inside->data + length, inside->length - length};
    return piece;
}

static bool is_string(const struct json_document *document, uint32_t node)
{
    return node < document->count && document->nodes[node].kind == JSON_STRING;
}

bool json_inside_is(struct mf_span inside, struct mf_span text)
{
    char room[4];
    while (inside.length > 0) {
        struct mf_span piece = json_decode_next(&inside, room);
        if (piece.length > text.length || memcmp(piece.data, text.data, piece.length) != 0)
            return false;
        text = (struct mf_span){text.data + piece.length, text.length - piece.length};
    }
    return text.length == 0;
}

bool json_is(const struct json_document *document, uint32_t node, const char *text)
{
    return is_string(document, node) && json_inside_is(json_inside(document, node), mf_span(text));
}

/* Two strings of which at least one has escapes: their pieces do not end at the same places. */
static bool decoded_same(struct mf_span left, struct mf_span right)
{
    char left_room[4];
    char right_room[4];
    struct mf_span left_piece = {"", 0};
    struct mf_span right_piece = {"", 0};
    for (;;) {
        if (left_piece.length == 0)
            left_piece = json_decode_next(&left, left_room);
        if (right_piece.length == 0)
            right_piece = json_decode_next(&right, right_room);
        size_t common = left_piece.length < right_piece.length ? left_piece.length : right_piece.length;
        if (common == 0)
            return left_piece.length == right_piece.length;
        if (memcmp(left_piece.data, right_piece.data, common) != 0)
            return false;
        left_piece = (struct mf_span){left_piece.data + common, left_piece.length - common};
        right_piece = (struct mf_span){right_piece.data + common, right_piece.length - common};
    }
}

bool json_same_text(const struct json_document *document, uint32_t left, uint32_t right)
{
    if (!is_string(document, left) || !is_string(document, right))
        return false;
    if (!document->nodes[left].escaped && !document->nodes[right].escaped)
        return mf_span_equal(json_raw(document, left), json_raw(document, right));
    return decoded_same(json_inside(document, left), json_inside(document, right));
}

/*
 * A text is hashed in blocks, each seeded by the one before: an escaped text gives the same hash as its plain spelling
 * and needs no more than one block of memory.
 */
#define HASH_BLOCK_BYTES 256

static uint64_t hash_escaped(struct mf_span inside, uint64_t hash)
{
    char block[HASH_BLOCK_BYTES];
    char room[4];
    size_t used = 0;
    while (inside.length > 0) {
        struct mf_span piece = json_decode_next(&inside, room);
        while (piece.length > 0) {
            size_t take = piece.length < sizeof block - used ? piece.length : sizeof block - used;
            memcpy(block + used, piece.data, take);
            piece = (struct mf_span){piece.data + take, piece.length - take};
            used += take;
            if (used == sizeof block) {
                hash = mf_hash(block, used, hash);
                used = 0;
            }
        }
    }
    return mf_hash(block, used, hash);
}

uint64_t json_text_hash(const struct json_document *document, uint32_t node, uint64_t seed)
{
    if (!is_string(document, node))
        return 0;
    struct mf_span inside = json_inside(document, node);
    if (document->nodes[node].escaped)
        return hash_escaped(inside, seed);
    for (; inside.length >= HASH_BLOCK_BYTES; inside.data += HASH_BLOCK_BYTES, inside.length -= HASH_BLOCK_BYTES)
        seed = mf_hash(inside.data, HASH_BLOCK_BYTES, seed);
    return mf_hash(inside.data, inside.length, seed);
}

int json_plain(const struct json_document *document, uint32_t node, struct mf_span *out)
{
    if (!is_string(document, node) || document->nodes[node].escaped)
        return -1;
    *out = json_inside(document, node);
    return 0;
}

int json_text(const struct json_document *document, uint32_t node, struct mf_buf *out)
{
    if (!is_string(document, node))
        return -1;
    char room[4];
    struct mf_span inside = json_inside(document, node);
    while (inside.length > 0) {
        if (mf_buf_span(out, json_decode_next(&inside, room)) != 0)
            return -1;
    }
    return 0;
}

int json_copy(const struct json_document *document, uint32_t node, char *out, size_t out_bytes)
{
    if (!is_string(document, node) || out_bytes == 0)
        return -1;
    char room[4];
    size_t used = 0;
    struct mf_span inside = json_inside(document, node);
    while (inside.length > 0) {
        struct mf_span piece = json_decode_next(&inside, room);
        if (piece.length >= out_bytes - used)
            return -1;
        memcpy(out + used, piece.data, piece.length);
        used += piece.length;
    }
    out[used] = '\0';
    return 0;
}

char *json_dup(const struct json_document *document, uint32_t node)
{
    if (!is_string(document, node))
        return NULL;
    size_t room_bytes = document->nodes[node].length; /* decoding never makes a text longer */
    char *copy = mf_alloc(room_bytes);
    if (copy != NULL)
        (void)json_copy(document, node, copy, room_bytes);
    return copy;
}

int json_int(const struct json_document *document, uint32_t node, int64_t *out)
{
    if (node >= document->count || document->nodes[node].kind != JSON_NUMBER)
        return -1;
    struct mf_span raw = json_raw(document, node);
    return mf_parse_i64(mf_span_is(raw, "-0") ? MF_SPAN("0") : raw, out);
}

int json_double(const struct json_document *document, uint32_t node, double *out)
{
    if (node >= document->count || document->nodes[node].kind != JSON_NUMBER)
        return -1;
    return mf_parse_double(json_raw(document, node), out);
}

int json_bool(const struct json_document *document, uint32_t node, bool *out)
{
    enum json_kind kind = node < document->count ? json_kind(document, node) : JSON_NULL;
    if (kind != JSON_TRUE && kind != JSON_FALSE)
        return -1;
    *out = kind == JSON_TRUE;
    return 0;
}
