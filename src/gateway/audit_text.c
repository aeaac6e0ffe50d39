/*
 * audit_text.c - text that an agent chose, made fit for one line of JSON
 *
 * The line must stay a line, a terminal must stay safe, two different texts must stay different, and no token may be kept.
 * What JSON escapes keep apart is only escaped. NUL (which the strict reader refuses in any spelling) and bytes that are no
 * UTF-8 are shown as U+FFFD, a long text is cut, a gateway token is taken out; then the length and the hash of the whole text
 * stand behind it.
 */
#include "gateway/audit_private.h"

#include "base/assert.h"

#include <string.h>

#define TOKEN_MARK "mfy_"
#define TOKEN_DIGITS_MIN 16 /* a real one has 43; a part of it that is long enough to matter goes too */
#define TOKEN_SHOWN "mfy_[redacted]"

static bool is_token_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The next token in the text: its place, its length in *bytes; NULL: none. */
static const char *find_token(struct mf_span text, size_t *bytes)
{
    const char *end = text.data + text.length;
    const char *at = text.data;
    while (at < end && (at = memmem(at, (size_t)(end - at), TOKEN_MARK, sizeof TOKEN_MARK - 1)) != NULL) {
        const char *last = at + sizeof TOKEN_MARK - 1;
        while (last < end && is_token_digit(*last))
            last++;
        *bytes = (size_t)(last - at);
        if (*bytes >= sizeof TOKEN_MARK - 1 + TOKEN_DIGITS_MIN)
            return at;
        at = last;
    }
    return NULL;
}

/* Appends with NUL as a byte that is no UTF-8. */
static void append_visible(struct mf_buf *out, const char *data, size_t bytes)
{
    while (bytes > 0) {
        const char *nul = memchr(data, '\0', bytes);
        size_t run = nul != NULL ? (size_t)(nul - data) : bytes;
        mf_buf_append(out, data, run);
        if (nul != NULL)
            mf_buf_char(out, '\xff');
        run += nul != NULL;
        data += run;
        bytes -= run;
    }
}

/* At most `bytes_max`, not within a character. */
static size_t cut_length(struct mf_span text, size_t bytes_max)
{
    size_t length = text.length < bytes_max ? text.length : bytes_max;
    if (length == text.length)
        return length;
    size_t back = length;
    while (back > 0 && length - back < 3 && ((unsigned char)text.data[back] & 0xc0) == 0x80)
        back--;
    return ((unsigned char)text.data[back] & 0xc0) == 0x80 ? length : back;
}

static void put_whole(struct audit *audit, const char *key, struct mf_span text)
{
    char name[48], hex[AUDIT_HASH_HEX];
    if (audit_hash(audit, text, hex) != 0) {
        audit->line.failed = true; /* such a line is never written */
        return;
    }
    mf_format(name, sizeof name, "%s_bytes", key);
    json_member_u64(&audit->writer, name, text.length);
    mf_format(name, sizeof name, "%s_sha256", key);
    json_member_string(&audit->writer, name, hex);
}

static void put_changed(struct audit *audit, const char *key, struct mf_span text, size_t bytes_max)
{
    char room[AUDIT_TEXT_BYTES_MAX + 1];
    struct mf_buf shown = {.data = room, .capacity = sizeof room, .bytes_max = bytes_max}; /* never grows */
    struct mf_span rest = text;
    mf_assert(bytes_max < sizeof room);
    while (rest.length > 0 && !shown.failed) {
        size_t token_bytes = 0;
        const char *token = find_token(rest, &token_bytes);
        struct mf_span plain = {rest.data, token != NULL ? (size_t)(token - rest.data) : rest.length};
        append_visible(&shown, plain.data, cut_length(plain, bytes_max - shown.length));
        if (token != NULL)
            mf_buf_text(&shown, TOKEN_SHOWN); /* what has no room sets `failed`: the text ends there */
        size_t taken = plain.length + (token != NULL ? token_bytes : 0);
        rest = (struct mf_span){rest.data + taken, rest.length - taken};
    }
    json_member_span(&audit->writer, key, (struct mf_span){room, shown.length});
    put_whole(audit, key, text);
}

void audit_put_text(struct audit *audit, const char *key, struct mf_span text, size_t bytes_max)
{
    size_t token_bytes;
    if (text.length == 0 || (text.length <= bytes_max && memchr(text.data, '\0', text.length) == NULL &&
                             mf_utf8_valid(text.data, text.length) && find_token(text, &token_bytes) == NULL))
        json_member_span(&audit->writer, key, text);
    else
        put_changed(audit, key, text, bytes_max);
}

int audit_show_text(struct mf_buf *out, struct mf_span text, size_t shown_max)
{
    size_t token_bytes = 0;
    const char *token;
    while ((token = find_token(text, &token_bytes)) != NULL) {
        struct mf_span plain = {text.data, (size_t)(token - text.data)};
        size_t before = out->length;
        if (json_escape_shown(out, plain, shown_max) != 0 || mf_buf_text(out, TOKEN_SHOWN) != 0)
            return -1;
        size_t shown = out->length - before; /* at least as many as characters were shown */
        shown_max -= shown < shown_max ? shown : shown_max;
        text = (struct mf_span){token + token_bytes, text.length - plain.length - token_bytes};
    }
    return json_escape_shown(out, text, shown_max);
}
