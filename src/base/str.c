/* str.c - spans of bytes, UTF-8, near names, hashing */
#include "base/str.h"

#include <string.h>

struct mf_span mf_span(const char *text)
{
    return text != NULL ? (struct mf_span){text, strlen(text)} : (struct mf_span){"", 0};
}

bool mf_span_equal(struct mf_span left, struct mf_span right)
{
    return left.length == right.length && (left.length == 0 || memcmp(left.data, right.data, left.length) == 0);
}

bool mf_span_is(struct mf_span span, const char *text)
{
    return mf_span_equal(span, mf_span(text));
}

bool mf_span_starts(struct mf_span span, const char *prefix)
{
    size_t length = strlen(prefix);
    return length <= span.length && (length == 0 || memcmp(span.data, prefix, length) == 0);
}

bool mf_span_ends(struct mf_span span, const char *suffix)
{
    size_t length = strlen(suffix);
    return length <= span.length && (length == 0 || memcmp(span.data + span.length - length, suffix, length) == 0);
}

int mf_span_compare(struct mf_span left, struct mf_span right)
{
    size_t common = left.length < right.length ? left.length : right.length;
    int order = common > 0 ? memcmp(left.data, right.data, common) : 0;
    if (order != 0)
        return order;
    return (left.length > right.length) - (left.length < right.length);
}

int mf_span_copy(struct mf_span span, char *out, size_t out_bytes)
{
    if (span.length >= out_bytes || (span.length > 0 && memchr(span.data, '\0', span.length) != NULL))
        return -1;
    if (span.length > 0)
        memcpy(out, span.data, span.length);
    out[span.length] = '\0';
    return 0;
}

/* Length of the well-formed sequence at `bytes` (table 3-7 of the Unicode standard), 0 when there is none. */
static size_t sequence_length(const unsigned char *bytes, size_t left)
{
    unsigned char lead = bytes[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < length)
        return 0;
    unsigned char lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < lowest || bytes[1] > highest)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

size_t mf_utf8_step(const char *data, size_t length, uint32_t *code_point)
{
    const unsigned char *bytes = (const unsigned char *)data;
    size_t step = sequence_length(bytes, length);
    if (code_point == NULL || step == 0)
        return step;
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *code_point = bytes[0] & lead_bits[step];
    for (size_t i = 1; i < step; i++)
        *code_point = *code_point << 6 | (bytes[i] & 0x3fu);
    return step;
}

bool mf_utf8_valid(const char *data, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)data;
    size_t at = 0;
    while (at < length) {
        uint64_t word;
        if (length - at >= sizeof word) { /* most text is ASCII: take it by the word */
            memcpy(&word, bytes + at, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t step = sequence_length(bytes + at, length - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

#define EDIT_BYTES_MAX 64

static unsigned least(unsigned left, unsigned right)
{
    return left < right ? left : right;
}

/* One row of the table: the costs of turning left[0..row] into every prefix of `right`. Returns the smallest of them.
 */
static unsigned edit_row(struct mf_span left, struct mf_span right, size_t row, const unsigned *before_last,
                         const unsigned *last, unsigned *now)
{
    unsigned smallest = now[0] = (unsigned)row + 1;
    for (size_t i = 0; i < right.length; i++) {
        unsigned cost = least(least(last[i + 1], now[i]) + 1, last[i] + (left.data[row] != right.data[i]));
        if (row > 0 && i > 0 && left.data[row] == right.data[i - 1] && left.data[row - 1] == right.data[i])
            cost = least(cost, before_last[i - 1] + 1);
        now[i + 1] = cost;
        smallest = least(smallest, cost);
    }
    return smallest;
}

unsigned mf_edit_distance(struct mf_span left, struct mf_span right, unsigned max)
{
    size_t gap = left.length > right.length ? left.length - right.length : right.length - left.length;
    if (left.length > EDIT_BYTES_MAX || right.length > EDIT_BYTES_MAX || gap > max)
        return max + 1;
    unsigned rows[3][EDIT_BYTES_MAX + 1];
    for (size_t i = 0; i <= right.length; i++)
        rows[0][i] = (unsigned)i;
    for (size_t row = 0; row < left.length; row++) {
        unsigned smallest = edit_row(left, right, row, rows[(row + 2) % 3], rows[row % 3], rows[(row + 1) % 3]);
        if (smallest > max) /* also a swap, which steps over a row, costs one more than that row */
            return max + 1;
    }
    return least(rows[left.length % 3][right.length], max + 1);
}

const char *mf_nearest(struct mf_span wanted, const char *const *names, size_t count)
{
    unsigned max = wanted.length < 6 ? 1 : wanted.length < 9 ? 2 : 3;
    const char *best = NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = mf_edit_distance(wanted, mf_span(names[i]), max);
        if (distance <= max) {
            best = names[i];
            if (distance == 0)
                break;
            max = distance - 1; /* the first of equally near names wins */
        }
    }
    return best;
}

uint64_t mf_hash(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *at = data;
    uint64_t hash = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu; /* FNV leaves the high bits thin */
    return hash ^ (hash >> 33);
}
