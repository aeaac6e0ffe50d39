/*
 * http1/write.h - the head of an HTTP/1.1 answer, piece by piece
 *
 * Every piece is checked: a name that is no token or a value with a control byte marks the buffer as failed, so that a
 * writer looks at `failed` once at the end.
 */
#ifndef MF_HTTP1_WRITE_H
#define MF_HTTP1_WRITE_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* The phrase of a status; "Unknown" for one that has none. */
const char *http1_reason(int status);
/* False for 1xx, 204 and 304, which have neither body nor content-length. */
bool http1_has_body(int status);
/* May this header be sent? Values may hold bytes above 0x7f, but no CR, LF, NUL or other control byte except tab. */
bool http1_header_valid(struct mf_span name, struct mf_span value);

int http1_write_status(struct mf_buf *out, int status);
int http1_write_header(struct mf_buf *out, struct mf_span name, struct mf_span value);
int http1_write_length(struct mf_buf *out, uint64_t content_length);
int http1_write_end(struct mf_buf *out); /* the empty line */

#endif
