/*
 * usage_scan.c - takes a few numbers out of a JSON text while it passes, wherever it is cut
 *
 * The text is not kept: for each open container there is one mask of the pointers that lead into it. So an answer of any
 * length costs the same few KiB, and what the strict scanner would refuse inside a text that a model wrote (a lone half of an
 * emoji, a NUL) does not make the numbers unknown. Structure is checked; what breaks it makes the whole text say nothing.
 */
#include "gateway/usage_private.h"

#include <string.h>

enum state {
    A_VALUE,
    A_VALUE_OR_END, /* behind [ */
    A_KEY,
    A_KEY_OR_END, /* behind { */
    A_COLON,
    A_COMMA_OR_END,
    IN_STRING,
    IN_ESCAPE,
    IN_WORD, /* number, true, false, null */
    AT_END,  /* the value is whole: only space may follow */
    BROKEN,
};

/* --- pointers --- */

static bool segment_is(struct mf_span segment, const char *key, uint32_t key_bytes)
{
    uint32_t at = 0;
    for (size_t i = 0; i < segment.length; i++, at++) {
        char c = segment.data[i];
        if (c == '~' && i + 1 < segment.length)
            c = segment.data[++i] == '1' ? '/' : '~';
        if (at == key_bytes || key[at] != c)
            return false;
    }
    return at == key_bytes;
}

/* Of the pointers that lead into the innermost container, those that go on with this key or index. */
static uint32_t step_mask(const struct usage_scan *scan, const char *key, uint32_t key_bytes)
{
    uint32_t level = scan->depth - 1;
    uint32_t mask = 0;
    for (uint32_t rest = scan->levels[level].mask; rest != 0; rest &= rest - 1) {
        uint32_t p = (uint32_t)__builtin_ctz(rest);
        const struct usage_pointer *pointer = &scan->pointers->list[p];
        if (pointer->segment_count > level && segment_is(pointer->segments[level], key, key_bytes))
            mask |= 1u << p;
    }
    return mask;
}

static void enter_element(struct usage_scan *scan)
{
    char index[12];
    struct usage_level *level = &scan->levels[scan->depth - 1];
    scan->mask = 0;
    if (level->mask != 0) {
        mf_format(index, sizeof index, "%u", level->index);
        scan->mask = step_mask(scan, index, (uint32_t)strlen(index));
    }
    level->index += level->index < UINT32_MAX;
}

static void keep(struct usage_scan *scan, bool string)
{
    struct mf_span text = {scan->token, scan->token_bytes};
    for (uint32_t rest = scan->token_lost ? 0 : scan->mask; rest != 0; rest &= rest - 1) {
        const struct usage_pointer *pointer = &scan->pointers->list[__builtin_ctz(rest)];
        enum usage_field field = pointer->field;
        if (pointer->segment_count != scan->depth || (field == USAGE_MODEL) != string)
            continue;
        bool good = string ? mf_span_copy(text, scan->values.model, sizeof scan->values.model) == 0
                           : mf_parse_u64(text, &scan->values.numbers[field]) == 0;
        scan->values.has[field] |= good;
    }
}

/* --- structure --- */

static enum state after_value(const struct usage_scan *scan)
{
    return scan->depth > 0 ? A_COMMA_OR_END : AT_END;
}

static enum state open_container(struct usage_scan *scan, bool array)
{
    if (scan->depth == USAGE_DEPTH_MAX)
        return BROKEN;
    scan->levels[scan->depth++] = (struct usage_level){.mask = scan->mask, .array = array};
    if (!array)
        return A_KEY_OR_END;
    enter_element(scan);
    return A_VALUE_OR_END;
}

static enum state close_container(struct usage_scan *scan, bool array)
{
    if (scan->depth == 0 || scan->levels[scan->depth - 1].array != array)
        return BROKEN;
    scan->depth--;
    return after_value(scan);
}

static enum state begin_token(struct usage_scan *scan, enum state state, bool is_key)
{
    scan->token_bytes = 0;
    scan->token_lost = false;
    scan->is_key = is_key;
    return state;
}

static void put_token(struct usage_scan *scan, char c)
{
    if (scan->token_bytes < sizeof scan->token)
        scan->token[scan->token_bytes++] = c;
    else
        scan->token_lost = true;
}

static enum state end_string(struct usage_scan *scan)
{
    if (!scan->is_key) {
        keep(scan, true);
        return after_value(scan);
    }
    scan->mask = scan->token_lost ? 0 : step_mask(scan, scan->token, scan->token_bytes);
    return A_COLON;
}

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

static enum state end_word(struct usage_scan *scan)
{
    struct mf_span text = {scan->token, scan->token_bytes};
    bool number = text.data[0] == '-' || (text.data[0] >= '0' && text.data[0] <= '9');
    if (!number && !mf_span_is(text, "true") && !mf_span_is(text, "false") && !mf_span_is(text, "null"))
        return BROKEN;
    if (number)
        keep(scan, false);
    return after_value(scan);
}

static enum state begin_value(struct usage_scan *scan, char c)
{
    if (c == '{' || c == '[')
        return open_container(scan, c == '[');
    if (c == '"')
        return begin_token(scan, IN_STRING, false);
    if (!is_word_byte(c))
        return BROKEN;
    enum state state = begin_token(scan, IN_WORD, false);
    put_token(scan, c);
    return state;
}

static enum state comma_or_end(struct usage_scan *scan, char c)
{
    if (c != ',')
        return c == '}' || c == ']' ? close_container(scan, c == ']') : BROKEN;
    if (!scan->levels[scan->depth - 1].array)
        return A_KEY;
    enter_element(scan);
    return A_VALUE;
}

/* A byte outside strings and words that is no space. */
static enum state step(struct usage_scan *scan, char c)
{
    switch ((enum state)scan->state) {
    case A_VALUE_OR_END:
        return c == ']' ? close_container(scan, true) : begin_value(scan, c);
    case A_VALUE:
        return begin_value(scan, c);
    case A_KEY_OR_END:
        if (c == '}')
            return close_container(scan, false);
        return c == '"' ? begin_token(scan, IN_STRING, true) : BROKEN;
    case A_KEY:
        return c == '"' ? begin_token(scan, IN_STRING, true) : BROKEN;
    case A_COLON:
        return c == ':' ? A_VALUE : BROKEN;
    case A_COMMA_OR_END:
        return comma_or_end(scan, c);
    case IN_STRING:
    case IN_ESCAPE:
    case IN_WORD:
    case AT_END:
    case BROKEN:
    default:
        return BROKEN;
    }
}

/* Inside a string: as far as it goes; the bytes taken. */
static size_t take_string(struct usage_scan *scan, const char *data, size_t length)
{
    size_t at = 0;
    while (at < length && data[at] != '"' && data[at] != '\\') {
        if (scan->is_key || scan->mask != 0) /* else nobody wants to know it */
            put_token(scan, data[at]);
        at++;
    }
    if (at == length)
        return at;
    scan->state = (uint8_t)(data[at] == '"' ? end_string(scan) : IN_ESCAPE);
    return at + 1;
}

/* The names that matter are written plainly; of the escapes only those of one byte that is itself are read. */
static void take_escape(struct usage_scan *scan, char c)
{
    if (c == '"' || c == '\\' || c == '/')
        put_token(scan, c);
    else
        scan->token_lost = true;
    scan->state = IN_STRING;
}

static size_t take_word(struct usage_scan *scan, const char *data, size_t length)
{
    size_t at = 0;
    while (at < length && is_word_byte(data[at]))
        put_token(scan, data[at++]);
    if (at < length)
        scan->state = (uint8_t)end_word(scan);
    return at;
}

void usage_scan_begin(struct usage_scan *scan, const struct usage_pointers *pointers)
{
    scan->pointers = pointers;
    scan->values = (struct usage_values){.has = {false}};
    scan->state = A_VALUE;
    scan->depth = 0;
    scan->mask = pointers->count < 32 ? (1u << pointers->count) - 1 : UINT32_MAX;
}

void usage_scan_take(struct usage_scan *scan, struct mf_span text)
{
    for (size_t at = 0; at < text.length && scan->state != BROKEN;) {
        char c = text.data[at];
        if (scan->state == IN_STRING) {
            at += take_string(scan, text.data + at, text.length - at);
        } else if (scan->state == IN_WORD) {
            at += take_word(scan, text.data + at, text.length - at);
        } else if (scan->state == IN_ESCAPE) {
            take_escape(scan, c);
            at++;
        } else {
            if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
                scan->state = (uint8_t)step(scan, c);
            at++;
        }
    }
}

bool usage_scan_whole(struct usage_scan *scan)
{
    if (scan->state == IN_WORD && scan->depth == 0)
        scan->state = (uint8_t)end_word(scan);
    return scan->state == AT_END;
}
