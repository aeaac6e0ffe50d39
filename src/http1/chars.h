/* http1/chars.h - character classes of RFC 9110 and RFC 3986, private to http1/ */
#ifndef MF_HTTP1_CHARS_H
#define MF_HTTP1_CHARS_H

#include <stdbool.h>

static inline bool http1_is_alpha(unsigned char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static inline bool http1_is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 9110, 5.6.2 */
static inline bool http1_is_token(unsigned char c)
{
    if (http1_is_alpha(c) || http1_is_digit(c))
        return true;
    switch (c) {
    case '!': case '#': case '$': case '%': case '&': case '\'': case '*': case '+':
    case '-': case '.': case '^': case '_': case '`': case '|': case '~':
        return true;
    default:
        return false;
    }
}

/* RFC 9110, 5.5 without obs-text: nobody needs raw bytes above 0x7f in a header, and readers differ on them. */
static inline bool http1_is_field(unsigned char c)
{
    return (c >= 0x20 && c < 0x7f) || c == '\t';
}

/* RFC 3986, 2.3 */
static inline bool http1_is_unreserved(unsigned char c)
{
    return http1_is_alpha(c) || http1_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* The value of a hex digit, or -1. */
static inline int http1_hex_value(unsigned char c)
{
    if (http1_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
