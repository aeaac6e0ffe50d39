/* encode.c - hexadecimal and base64 */
#include "base/str.h"

#include <string.h>

void mf_hex(const void *data, size_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * bytes] = '\0';
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

int mf_unhex(struct mf_span text, uint8_t *out, size_t out_bytes)
{
    if (text.length % 2 != 0 || text.length / 2 != out_bytes)
        return -1;
    for (size_t i = 0; i < out_bytes; i++) {
        int high = hex_value(text.data[2 * i]);
        int low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

size_t mf_base64_length(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

static const char standard_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Writes the digits without padding and returns their number. */
static size_t encode_base64(const uint8_t *in, size_t bytes, const char *digits, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        out[used++] = digits[group >> 18];
        out[used++] = digits[group >> 12 & 63];
        if (left > 1)
            out[used++] = digits[group >> 6 & 63];
        if (left > 2)
            out[used++] = digits[group & 63];
    }
    return used;
}

void mf_base64(const void *data, size_t bytes, char *out)
{
    size_t used = encode_base64(data, bytes, standard_digits, out);
    while (used % 4 != 0)
        out[used++] = '=';
    out[used] = '\0';
}

void mf_base64url(const void *data, size_t bytes, char *out)
{
    out[encode_base64(data, bytes, url_digits, out)] = '\0';
}

static int base64_value(char digit)
{
    if (digit == '-')
        return 62;
    if (digit == '_')
        return 63;
    const char *found = memchr(standard_digits, digit, sizeof standard_digits - 1);
    return found != NULL ? (int)(found - standard_digits) : -1;
}

/* Takes the padding away; -1 when there is the wrong amount of it. */
static int strip_padding(struct mf_span *text)
{
    size_t padding = 0;
    while (padding < 2 && padding < text->length && text->data[text->length - 1 - padding] == '=')
        padding++;
    if (padding > 0 && text->length % 4 != 0)
        return -1;
    text->length -= padding;
    return text->length % 4 == 1 ? -1 : 0;
}

int mf_unbase64(struct mf_span text, uint8_t *out, size_t out_bytes_max, size_t *out_bytes)
{
    if (strip_padding(&text) != 0)
        return -1;
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    for (size_t i = 0; i < text.length; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (used == out_bytes_max)
            return -1;
        out[used++] = (uint8_t)(bits >> held);
        bits &= (1u << held) - 1;
    }
    if (bits != 0) /* a second spelling of the same bytes */
        return -1;
    *out_bytes = used;
    return 0;
}
