/*
 * http1/request.h - a strict, incremental parser for HTTP/1.1 requests that allocates nothing
 *
 * The subset is the one that leaves no two readings: CRLF only, token header names, no folded lines, no control or
 * non-ASCII bytes, exactly one Host, Content-Length or one `Transfer-Encoding: chunked` but not both, origin-form targets
 * (`*` for OPTIONS), no upgrade. Everything else is refused with a status, and the connection must be closed then.
 *
 * The caller keeps the bytes of the head in one piece of memory and calls http1_head_parse again whenever more came; the
 * memory may move between the calls, so results are offsets. The result is the same for every way of cutting the input.
 */
#ifndef MF_HTTP1_REQUEST_H
#define MF_HTTP1_REQUEST_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_HEAD_BYTES_MAX 65536u   /* request line, headers and the empty line: offsets then fit 16 bits */
#define HTTP1_LINE_BYTES_MAX 16384u   /* one header line with its CRLF: cookies and tokens of real clients stay below 8 KiB */
#define HTTP1_TARGET_BYTES_MAX 8192u  /* what common servers take */
#define HTTP1_METHOD_BYTES_MAX 16u    /* the longest registered method in use is PROPPATCH */
#define HTTP1_HEADERS_MAX 100u
#define HTTP1_TRAILER_BYTES_MAX 8192u

enum http1_result {
    HTTP1_BAD = -1,    /* refused: status and reason say why; nothing after it may be read */
    HTTP1_PARTIAL = 0, /* more bytes are needed */
    HTTP1_DONE = 1,
};

/* A part of the head, as an offset into the caller's memory. */
struct http1_piece {
    uint16_t at, length;
};

struct http1_head {
    /* the result; method to header_count are valid after HTTP1_DONE */
    struct http1_piece method, target, path, query; /* path and query: target split at the first '?' */
    uint32_t head_bytes;      /* length of the head with its empty line */
    uint8_t minor;            /* HTTP/1.minor: 0 or 1 */
    bool chunked;             /* the body is framed by chunks */
    bool has_length;          /* the body is framed by content_length; neither: no body */
    bool keep_alive;
    bool expect_continue;
    uint64_t content_length;
    uint16_t header_count;
    struct http1_piece names[HTTP1_HEADERS_MAX]; /* lower case */
    struct http1_piece values[HTTP1_HEADERS_MAX];
    uint16_t status;          /* after HTTP1_BAD */
    const char *reason;       /* after HTTP1_BAD: a constant text that never quotes the input */
    /* progress */
    uint32_t line_start, scanned;
    bool in_headers, has_host, has_connection;
};

/* Starts a new request. */
void http1_head_init(struct http1_head *head);

/*
 * Reads `data[0..length)`, which begins with the first byte of the request and holds all that came so far. Header names
 * are put in lower case in place.
 */
enum http1_result http1_head_parse(struct http1_head *head, char *data, size_t length);

/* The bytes of a piece. */
struct mf_span http1_piece_span(struct http1_piece piece, const char *data);

/* --- the body --- */

struct http1_body {
    uint64_t bytes_max;
    uint64_t total;     /* bytes of content so far */
    uint64_t left;      /* of the content length or of the chunk */
    uint32_t overhead;  /* digits of the chunk size, or bytes of trailers */
    uint8_t state;
    uint16_t status;    /* after HTTP1_BAD */
    const char *reason;
};

/* The body that the head announces; above bytes_max it is refused with 413. */
void http1_body_init(struct http1_body *body, const struct http1_head *head, uint64_t bytes_max);

/*
 * Takes framed bytes, writes content to `out`, which must hold `length` bytes and may be `in` itself or lie before it
 * (decoding in place). Sets *consumed and *produced in every case. HTTP1_DONE: the request is complete, what follows
 * in + *consumed belongs to the next one. Chunk extensions are refused, trailers are checked and dropped.
 */
enum http1_result http1_body_decode(struct http1_body *body, const char *in, size_t length, size_t *consumed, char *out, size_t *produced);

#endif
