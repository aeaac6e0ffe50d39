/*
 * finder.c - a grant's secrets, in every spelling, looked for in what passes
 *
 * Spellings: as it is, base64 in both alphabets at all three alignments, and URL-encoded. Of each the first
 * FINDER_PATTERN_MAX bytes are looked for: that much of a secret is evidence enough, and it bounds what is held back. The
 * search is Wu and Manber's: blocks of three bytes tell how far the window may jump, so that most bytes are never looked at.
 * Secrets below SECRET_BYTES_MIN would be found everywhere and are left out.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"

#include <string.h>

#define SECRET_BYTES_MIN 8u
#define PATTERNS_MAX 128u /* 16 secrets of at most eight spellings */
#define BLOCK 3u
#define SHIFTS 4096u

struct pattern {
    char bytes[FINDER_PATTERN_MAX];
    uint32_t length;
};

struct finder {
    struct pattern *patterns; /* owned, wiped */
    uint32_t count;
    uint32_t window; /* the shortest pattern */
    uint8_t shifts[SHIFTS];
};

/* --- building --- */

static int add_pattern(struct finder *finder, const char *bytes, size_t length, struct mf_error *error)
{
    if (length > FINDER_PATTERN_MAX)
        length = FINDER_PATTERN_MAX;
    if (length < SECRET_BYTES_MIN)
        return 0;
    for (uint32_t i = 0; i < finder->count; i++)
        if (finder->patterns[i].length == length && memcmp(finder->patterns[i].bytes, bytes, length) == 0)
            return 0;
    if (finder->count == PATTERNS_MAX)
        return mf_fail(error, MF_LIMIT, "gateway: a lease has more secrets than can be looked for");
    struct pattern *pattern = &finder->patterns[finder->count++];
    memcpy(pattern->bytes, bytes, length);
    pattern->length = (uint32_t)length;
    return 0;
}

/*
 * The secret within a longer base64 text begins at any of three places of a group; the characters that only it decides
 * are the same in all such texts. Its first bytes are enough.
 */
static int add_base64(struct finder *finder, struct mf_span secret, size_t shift, bool url, struct mf_error *error)
{
    char plain[FINDER_PATTERN_MAX + 2] = {0}, encoded[2 * sizeof plain];
    size_t length = secret.length < FINDER_PATTERN_MAX ? secret.length : FINDER_PATTERN_MAX;
    memcpy(plain + shift, secret.data, length);
    size_t bytes = (shift + length) / 3 * 3; /* whole groups: what follows the secret decides the rest */
    if (url)
        mf_base64url(plain, bytes, encoded);
    else
        mf_base64(plain, bytes, encoded);
    size_t skip = shift == 0 ? 0 : shift + 1;
    size_t total = bytes / 3 * 4;
    int result = total > skip ? add_pattern(finder, encoded + skip, total - skip, error) : 0;
    mf_wipe(plain, sizeof plain);
    mf_wipe(encoded, sizeof encoded);
    return result;
}

static int add_url_encoded(struct finder *finder, struct mf_span secret, const char *digits, struct mf_error *error)
{
    char text[FINDER_PATTERN_MAX + 3];
    size_t length = 0;
    for (size_t i = 0; i < secret.length && length < FINDER_PATTERN_MAX; i++) {
        unsigned char c = (unsigned char)secret.data[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || strchr("-._~", c) != NULL;
        if (plain && c != '\0') {
            text[length++] = (char)c;
            continue;
        }
        text[length++] = '%';
        text[length++] = digits[c >> 4];
        text[length++] = digits[c & 15];
    }
    int result = add_pattern(finder, text, length, error);
    mf_wipe(text, sizeof text);
    return result;
}

static int add_secret(struct finder *finder, struct mf_span secret, struct mf_error *error)
{
    if (secret.length < SECRET_BYTES_MIN)
        return 0;
    int result = add_pattern(finder, secret.data, secret.length, error);
    for (size_t shift = 0; result == 0 && shift < 3; shift++) {
        result = add_base64(finder, secret, shift, false, error);
        if (result == 0)
            result = add_base64(finder, secret, shift, true, error);
    }
    if (result == 0)
        result = add_url_encoded(finder, secret, "0123456789ABCDEF", error);
    return result == 0 ? add_url_encoded(finder, secret, "0123456789abcdef", error) : -1;
}

static uint32_t block_of(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    uint32_t value = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16;
    return (value * 2654435761u) >> 20;
}

static void fill_shifts(struct finder *finder)
{
    finder->window = FINDER_PATTERN_MAX;
    for (uint32_t i = 0; i < finder->count; i++)
        if (finder->patterns[i].length < finder->window)
            finder->window = finder->patterns[i].length;
    memset(finder->shifts, (int)(finder->window - BLOCK + 1), sizeof finder->shifts);
    for (uint32_t i = 0; i < finder->count; i++)
        for (uint32_t end = BLOCK; end <= finder->window; end++) {
            uint8_t *shift = &finder->shifts[block_of(finder->patterns[i].bytes + end - BLOCK)];
            if (finder->window - end < *shift)
                *shift = (uint8_t)(finder->window - end);
        }
}

static int add_all(struct finder *finder, const struct mf_span *secrets, uint32_t count, struct mf_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        if (add_secret(finder, secrets[i], error) != 0)
            return -1;
    return 0;
}

/* Each idle agent has one: no more memory than its patterns need. */
static int shrink(struct finder *finder, struct mf_error *error)
{
    struct pattern *all = finder->patterns, *kept = mf_calloc(finder->count + 1, sizeof *kept);
    if (kept == NULL)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    memcpy(kept, all, finder->count * sizeof *kept);
    mf_free_secret(all, PATTERNS_MAX * sizeof *all);
    finder->patterns = kept;
    return 0;
}

int finder_create(struct finder **out, const struct mf_span *secrets, uint32_t count, struct mf_error *error)
{
    struct finder *finder = mf_calloc(1, sizeof *finder);
    if (finder == NULL || (finder->patterns = mf_calloc(PATTERNS_MAX, sizeof *finder->patterns)) == NULL) {
        mf_free(finder);
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    }
    if (add_all(finder, secrets, count, error) != 0 || shrink(finder, error) != 0) {
        finder_destroy(finder);
        return -1;
    }
    fill_shifts(finder);
    *out = finder;
    return 0;
}

void finder_destroy(struct finder *finder)
{
    if (finder == NULL)
        return;
    mf_free_secret(finder->patterns, finder->count * sizeof *finder->patterns);
    mf_free_secret(finder, sizeof *finder);
}

/* --- searching --- */

static bool matches_at(const struct finder *finder, const char *at, size_t left)
{
    for (uint32_t i = 0; i < finder->count; i++) {
        const struct pattern *pattern = &finder->patterns[i];
        if (pattern->length <= left && memcmp(pattern->bytes, at, pattern->length) == 0)
            return true;
    }
    return false;
}

bool finder_has(const struct finder *finder, struct mf_span text)
{
    if (finder->count == 0 || text.length < finder->window)
        return false;
    size_t end = finder->window;
    while (end <= text.length) {
        uint8_t shift = finder->shifts[block_of(text.data + end - BLOCK)];
        if (shift > 0) {
            end += shift;
            continue;
        }
        size_t at = end - finder->window;
        if (matches_at(finder, text.data + at, text.length - at))
            return true;
        end++;
    }
    return false;
}

/* How many of the last bytes are the beginning of a pattern that could go on. */
static size_t open_end(const struct finder *finder, struct mf_span text)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < finder->count; i++) {
        const struct pattern *pattern = &finder->patterns[i];
        size_t length = text.length < pattern->length - 1 ? text.length : pattern->length - 1;
        for (; length > longest; length--) {
            const char *start = text.data + text.length - length;
            if (*start == pattern->bytes[0] && memcmp(start, pattern->bytes, length) == 0)
                longest = length;
        }
    }
    return longest;
}

bool finder_take(const struct finder *finder, struct finder_tail *tail, struct mf_span piece, size_t *pass)
{
    char border[2 * FINDER_PATTERN_MAX];
    size_t total = tail->length + piece.length;
    struct mf_span end = piece;
    *pass = total;
    if (finder->count == 0)
        return false;
    if (tail->length > 0) {
        size_t some = piece.length < FINDER_PATTERN_MAX ? piece.length : FINDER_PATTERN_MAX;
        memcpy(border, tail->bytes, tail->length);
        if (some > 0)
            memcpy(border + tail->length, piece.data, some);
        struct mf_span joined = {border, tail->length + some};
        bool found = finder_has(finder, joined);
        if (piece.length < FINDER_PATTERN_MAX)
            end = joined;
        if (found) {
            mf_wipe(border, sizeof border);
            return true;
        }
    }
    bool found = finder_has(finder, piece);
    size_t held = found ? 0 : open_end(finder, end);
    if (held > 0)
        memmove(tail->bytes, end.data + end.length - held, held);
    tail->length = (uint32_t)held;
    *pass = total - held;
    mf_wipe(border, sizeof border);
    return found;
}
