/*
 * redact.c - takes secret values out of a stream, whatever the borders of its reads
 *
 * The automaton is a trie with failure links; children are lists, because a full table would cost 64 KiB for each
 * secret and all but the first bytes of a value have one successor. The state's depth says how many of the last bytes
 * are the start of some value; exactly those are held. A value that ends at a state is at most as long as its depth, so
 * every match lies within the held bytes and can still be taken out.
 */
#include "runner/redact.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

struct node {
    uint32_t failure;
    uint32_t child, sibling; /* 0: none; node 0 is the root and nobody's child */
    uint32_t depth;
    uint32_t longest; /* length of the longest value that ends here; 0: none */
    unsigned char byte;
};

struct redactor {
    struct node *nodes; /* owned */
    size_t capacity;
    uint32_t count;
    uint32_t depth_max;
    uint32_t root[256]; /* the root's children by byte */
};

static uint32_t child_of(const struct redactor *redactor, uint32_t at, unsigned char byte)
{
    if (at == 0)
        return redactor->root[byte];
    uint32_t child = redactor->nodes[at].child;
    while (child != 0 && redactor->nodes[child].byte != byte)
        child = redactor->nodes[child].sibling;
    return child;
}

/* --- building --- */

static uint32_t add_child(struct redactor *redactor, uint32_t at, unsigned char byte)
{
    void *nodes = redactor->nodes;
    if (redactor->count >= REDACT_NODES_MAX ||
        mf_grow(&nodes, &redactor->capacity, redactor->count + 1, sizeof(struct node), 256) != 0)
        return 0;
    redactor->nodes = nodes;
    uint32_t made = redactor->count++;
    uint32_t depth = redactor->nodes[at].depth + 1;
    redactor->nodes[made] = (struct node){.byte = byte, .depth = depth, .sibling = redactor->nodes[at].child};
    redactor->nodes[at].child = made;
    if (at == 0)
        redactor->root[byte] = made;
    if (depth > redactor->depth_max)
        redactor->depth_max = depth;
    return made;
}

static int add_pattern(struct redactor *redactor, const char *text, size_t length)
{
    uint32_t at = 0;
    if (length < REDACT_VALUE_BYTES_MIN)
        return 0;
    for (size_t i = 0; i < length; i++) {
        uint32_t next = child_of(redactor, at, (unsigned char)text[i]);
        if (next == 0)
            next = add_child(redactor, at, (unsigned char)text[i]);
        if (next == 0)
            return -1;
        at = next;
    }
    redactor->nodes[at].longest = (uint32_t)length;
    return 0;
}

/*
 * What base64 makes of the value in the middle of other bytes: for each alignment the characters that depend on the
 * value alone. `skip` bytes stand in front; a character holds 6 bits.
 */
static int add_base64(struct redactor *redactor, struct mf_span value, void (*encode)(const void *, size_t, char *))
{
    int result = 0;
    size_t room = mf_base64_length(value.length + 2) + 1;
    char *padded = mf_calloc(1, value.length + 2);
    char *text = mf_alloc(room);
    for (size_t skip = 0; skip < 3 && padded != NULL && text != NULL; skip++) {
        memset(padded, 0, skip);
        memcpy(padded + skip, value.data, value.length);
        encode(padded, skip + value.length, text);
        size_t first = (skip * 8 + 5) / 6;
        size_t last = (skip + value.length) * 8 / 6;
        if (last > first && add_pattern(redactor, text + first, last - first) != 0)
            result = -1;
    }
    if (padded == NULL || text == NULL)
        result = -1;
    mf_free_secret(padded, padded != NULL ? value.length + 2 : 0);
    mf_free_secret(text, text != NULL ? room : 0);
    return result;
}

static int add_percent(struct redactor *redactor, struct mf_span value, const char *digits)
{
    struct mf_buf text;
    mf_buf_init_secret(&text, 3 * REDACT_VALUE_BYTES_MAX);
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("-._~", c) != NULL);
        if (plain)
            mf_buf_char(&text, (char)c);
        else
            mf_buf_printf(&text, "%%%c%c", digits[c >> 4], digits[c & 15]);
    }
    int result = text.failed ? -1 : add_pattern(redactor, mf_buf_cstr(&text), text.length);
    mf_buf_free(&text);
    return result;
}

/* As most writers of JSON escape it; only values with such a character differ from the raw one. */
static int add_json(struct redactor *redactor, struct mf_span value, bool slash)
{
    static const char escaped[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    struct mf_buf text;
    mf_buf_init_secret(&text, 6 * REDACT_VALUE_BYTES_MAX);
    for (size_t i = 0; i < value.length; i++) {
        char c = value.data[i];
        const char *found = c != '\0' ? strchr(escaped, c) : NULL;
        if (found != NULL || (slash && c == '/'))
            mf_buf_printf(&text, "\\%c", found != NULL ? letters[found - escaped] : '/');
        else if ((unsigned char)c < 0x20)
            mf_buf_printf(&text, "\\u%04x", (unsigned char)c);
        else
            mf_buf_char(&text, c);
    }
    int result = text.failed ? -1 : add_pattern(redactor, mf_buf_cstr(&text), text.length);
    mf_buf_free(&text);
    return result;
}

static int add_value(struct redactor *redactor, struct mf_span value)
{
    if (value.length < REDACT_VALUE_BYTES_MIN)
        return 0;
    if (value.length > REDACT_VALUE_BYTES_MAX || add_pattern(redactor, value.data, value.length) != 0)
        return -1;
    if (add_base64(redactor, value, mf_base64) != 0 || add_base64(redactor, value, mf_base64url) != 0)
        return -1;
    if (add_percent(redactor, value, "0123456789ABCDEF") != 0 || add_percent(redactor, value, "0123456789abcdef") != 0)
        return -1;
    return add_json(redactor, value, false) != 0 || add_json(redactor, value, true) != 0 ? -1 : 0;
}

/* Failure links in order of depth: a parent's is there before its children's. -1 without memory. */
static int link_failures(struct redactor *redactor)
{
    struct node *nodes = redactor->nodes;
    uint32_t *queue = mf_calloc(redactor->count, sizeof *queue);
    if (queue == NULL)
        return -1;
    uint32_t end = 1; /* queue[0] is the root */
    for (uint32_t begin = 0; begin < end; begin++) {
        uint32_t at = queue[begin];
        for (uint32_t child = nodes[at].child; child != 0; child = nodes[child].sibling) {
            uint32_t failure = nodes[at].failure;
            while (at != 0 && failure != 0 && child_of(redactor, failure, nodes[child].byte) == 0)
                failure = nodes[failure].failure;
            nodes[child].failure = at == 0 ? 0 : child_of(redactor, failure, nodes[child].byte);
            if (nodes[child].longest == 0)
                nodes[child].longest = nodes[nodes[child].failure].longest;
            queue[end++] = child;
        }
    }
    mf_free(queue);
    return 0;
}

int redactor_create(struct redactor **out, const struct mf_span *values, size_t count, struct mf_error *error)
{
    *out = NULL;
    struct redactor *redactor = mf_calloc(1, sizeof *redactor);
    void *nodes = NULL;
    if (redactor == NULL || mf_grow(&nodes, &redactor->capacity, 1, sizeof(struct node), 256) != 0) {
        mf_free(redactor);
        return mf_fail(error, MF_MEMORY, "redactor: no memory");
    }
    redactor->nodes = nodes;
    redactor->nodes[0] = (struct node){.failure = 0};
    redactor->count = 1;
    for (size_t i = 0; i < count; i++) {
        if (add_value(redactor, values[i]) != 0) {
            redactor_destroy(redactor);
            return mf_fail(error, MF_LIMIT, "redactor: a secret is too long, or there are too many");
        }
    }
    if (redactor->count == 1 || link_failures(redactor) != 0) {
        bool empty = redactor->count == 1;
        redactor_destroy(redactor);
        return empty ? 0 : mf_fail(error, MF_MEMORY, "redactor: no memory");
    }
    *out = redactor;
    return 0;
}

void redactor_destroy(struct redactor *redactor)
{
    if (redactor == NULL)
        return;
    mf_free_secret(redactor->nodes, redactor->count * sizeof redactor->nodes[0]);
    mf_free_secret(redactor, sizeof *redactor);
}

/* --- a stream --- */

int redact_stream_init(struct redact_stream *stream, const struct redactor *redactor)
{
    *stream = (struct redact_stream){.redactor = redactor};
    if (redactor == NULL)
        return 0;
    stream->capacity = 2 * ((size_t)redactor->depth_max + 1); /* room to slide, so that moving costs O(1) a byte */
    stream->held = mf_calloc(2, stream->capacity);
    return stream->held != NULL ? 0 : -1;
}

void redact_stream_free(struct redact_stream *stream)
{
    mf_free_secret(stream->held, stream->held != NULL ? 2 * stream->capacity : 0);
    *stream = (struct redact_stream){.redactor = NULL};
}

static void emit_held(struct redact_stream *stream, size_t count, struct mf_buf *out)
{
    char *flags = stream->held + stream->capacity;
    for (; count > 0; count--, stream->start++, stream->length--) {
        bool secret = flags[stream->start] != 0;
        if (secret && !stream->in_mark)
            mf_buf_text(out, REDACT_MARK);
        if (!secret)
            mf_buf_char(out, stream->held[stream->start]);
        stream->in_mark = secret;
    }
}

static void hold(struct redact_stream *stream, char byte)
{
    char *flags = stream->held + stream->capacity;
    if (stream->start + stream->length == stream->capacity) {
        memmove(stream->held, stream->held + stream->start, stream->length);
        memmove(flags, flags + stream->start, stream->length);
        stream->start = 0;
    }
    stream->held[stream->start + stream->length] = byte;
    flags[stream->start + stream->length] = 0;
    stream->length++;
}

static void step(struct redact_stream *stream, char byte, struct mf_buf *out)
{
    const struct redactor *redactor = stream->redactor;
    uint32_t next;
    while ((next = child_of(redactor, stream->state, (unsigned char)byte)) == 0 && stream->state != 0)
        stream->state = redactor->nodes[stream->state].failure;
    stream->state = next;
    hold(stream, byte);
    size_t longest = redactor->nodes[next].longest;
    if (longest > 0)
        memset(stream->held + stream->capacity + stream->start + stream->length - longest, 1, longest);
    emit_held(stream, stream->length - redactor->nodes[next].depth, out);
}

void redact_feed(struct redact_stream *stream, struct mf_span bytes, struct mf_buf *out)
{
    if (stream->redactor == NULL) {
        mf_buf_span(out, bytes);
        return;
    }
    const uint32_t *root = stream->redactor->root;
    for (size_t i = 0; i < bytes.length;) {
        size_t plain = i;
        while (stream->state == 0 && plain < bytes.length && root[(unsigned char)bytes.data[plain]] == 0)
            plain++;
        if (plain > i) { /* nothing is held in the root state */
            mf_buf_append(out, bytes.data + i, plain - i);
            stream->in_mark = false;
            i = plain;
        } else {
            step(stream, bytes.data[i++], out);
        }
    }
}

void redact_end(struct redact_stream *stream, struct mf_buf *out)
{
    emit_held(stream, stream->length, out);
    stream->state = 0;
}
