/* body.c - the content of a request: by length or by chunks */
#include "http1/request.h"

#include "base/assert.h"
#include "http1/chars.h"

#include <string.h>

enum state {
    STATE_LENGTH,     /* content framed by content-length */
    STATE_SIZE_FIRST, /* first digit of a chunk size */
    STATE_SIZE,       /* more digits, or CR */
    STATE_SIZE_FEED,
    STATE_DATA,
    STATE_DATA_RETURN,
    STATE_DATA_FEED,
    STATE_LINE_START, /* after the last chunk: CR, or the name of a trailer */
    STATE_NAME,
    STATE_VALUE,
    STATE_VALUE_FEED,
    STATE_END_FEED,
    STATE_DONE,
    STATE_BAD,
};

#define SIZE_DIGITS_MAX 16 /* 64 bits */

static enum http1_result bad(struct http1_body *body, uint16_t status, const char *reason)
{
    body->state = STATE_BAD;
    body->status = status;
    body->reason = reason;
    return HTTP1_BAD;
}

void http1_body_init(struct http1_body *body, const struct http1_head *head, uint64_t bytes_max)
{
    *body = (struct http1_body){.bytes_max = bytes_max, .state = STATE_DONE};
    if (head->chunked) {
        body->state = STATE_SIZE_FIRST;
    } else if (head->has_length && head->content_length > bytes_max) {
        (void)bad(body, 413, "the body is too large");
    } else if (head->has_length && head->content_length > 0) {
        body->state = STATE_LENGTH;
        body->left = head->content_length;
    }
}

static enum http1_result expect(struct http1_body *body, char c, char wanted, enum state next)
{
    if (c != wanted)
        return bad(body, 400, "a chunk is not framed by carriage return and line feed");
    body->state = (uint8_t)next;
    return HTTP1_PARTIAL;
}

static enum http1_result take_size(struct http1_body *body, char c)
{
    int digit = http1_hex_value((unsigned char)c);
    if (digit < 0 && body->state == STATE_SIZE)
        return c == '\r' ? expect(body, c, '\r', STATE_SIZE_FEED)
                         : bad(body, 400, "a chunk size is followed by something else than a line end");
    if (digit < 0)
        return bad(body, 400, "a chunk size is not a hexadecimal number");
    if (body->overhead == SIZE_DIGITS_MAX)
        return bad(body, 400, "a chunk size has too many digits");
    body->overhead++;
    body->left = body->left << 4 | (unsigned)digit;
    body->state = STATE_SIZE;
    return HTTP1_PARTIAL;
}

static enum http1_result take_size_feed(struct http1_body *body, char c)
{
    body->overhead = 0;
    if (expect(body, c, '\n', body->left > 0 ? STATE_DATA : STATE_LINE_START) == HTTP1_BAD)
        return HTTP1_BAD;
    if (body->left > body->bytes_max - body->total)
        return bad(body, 413, "the body is too large");
    return HTTP1_PARTIAL;
}

/* Trailers are read to find the end and to refuse what no header may hold; their content is dropped. */
static enum http1_result take_trailer(struct http1_body *body, char c)
{
    if (++body->overhead > HTTP1_TRAILER_BYTES_MAX)
        return bad(body, 431, "the trailers are too long");
    bool token = http1_is_token((unsigned char)c);
    if (body->state == STATE_LINE_START && c == '\r')
        body->state = STATE_END_FEED;
    else if (body->state == STATE_LINE_START && token)
        body->state = STATE_NAME;
    else if (body->state == STATE_NAME && c == ':')
        body->state = STATE_VALUE;
    else if (body->state == STATE_VALUE && c == '\r')
        body->state = STATE_VALUE_FEED;
    else if (!(body->state == STATE_NAME && token) && !(body->state == STATE_VALUE && http1_is_field((unsigned char)c)))
        return bad(body, 400, "a trailer line is not `name: value`");
    return HTTP1_PARTIAL;
}

static enum http1_result take_byte(struct http1_body *body, char c)
{
    switch ((enum state)body->state) {
    case STATE_SIZE_FIRST:
    case STATE_SIZE:
        return take_size(body, c);
    case STATE_SIZE_FEED:
        return take_size_feed(body, c);
    case STATE_DATA_RETURN:
        return expect(body, c, '\r', STATE_DATA_FEED);
    case STATE_DATA_FEED:
        return expect(body, c, '\n', STATE_SIZE_FIRST);
    case STATE_LINE_START:
    case STATE_NAME:
    case STATE_VALUE:
        return take_trailer(body, c);
    case STATE_VALUE_FEED:
        return expect(body, c, '\n', STATE_LINE_START);
    case STATE_END_FEED:
        return expect(body, c, '\n', STATE_DONE);
    case STATE_LENGTH:
    case STATE_DATA:
    case STATE_DONE:
    case STATE_BAD:
        break;
    }
    mf_unreachable();
}

/* Moves what is there of the content; returns how much. */
static size_t take_content(struct http1_body *body, const char *in, size_t length, char *out)
{
    size_t bytes = body->left < length ? (size_t)body->left : length;
    if (bytes > 0 && out != in)
        memmove(out, in, bytes);
    body->left -= bytes;
    body->total += bytes;
    if (body->left == 0)
        body->state = body->state == STATE_LENGTH ? STATE_DONE : STATE_DATA_RETURN;
    return bytes;
}

enum http1_result http1_body_decode(struct http1_body *body, const char *in, size_t length, size_t *consumed, char *out,
                                    size_t *produced)
{
    size_t at = 0, made = 0;
    enum http1_result result = HTTP1_PARTIAL;
    while (at < length && body->state < STATE_DONE && result == HTTP1_PARTIAL) {
        if (body->state == STATE_LENGTH || body->state == STATE_DATA) {
            size_t bytes = take_content(body, in + at, length - at, out + made);
            at += bytes;
            made += bytes;
        } else {
            result = take_byte(body, in[at++]);
        }
    }
    *consumed = at;
    *produced = made;
    if (body->state == STATE_BAD)
        return HTTP1_BAD;
    return body->state == STATE_DONE ? HTTP1_DONE : HTTP1_PARTIAL;
}
