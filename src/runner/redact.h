/*
 * runner/redact.h - takes secret values out of a stream, whatever the borders of its reads
 *
 * Each value is looked for as it is, in base64 and base64url at each of the three alignments, percent-encoded and as a
 * JSON string escapes it. All of them are found in one pass whose cost does not depend on how many there are (Aho and
 * Corasick, 1975). Bytes are held back only as long as they may be the start of a value; what matched leaves as one
 * "[redacted]".
 */
#ifndef MF_RUNNER_REDACT_H
#define MF_RUNNER_REDACT_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Shorter values are not looked for: they would take words out of every log. */
#define REDACT_VALUE_BYTES_MIN 6
#define REDACT_VALUE_BYTES_MAX ((size_t)64 << 10)
#define REDACT_NODES_MAX (1u << 20) /* 24 bytes each: some thirty values of the longest kind */
#define REDACT_MARK "[redacted]"

struct redactor; /* immutable, shared by the streams of a stage */

/* *out is NULL when no value is long enough to be looked for. The values are only read during the call. */
int redactor_create(struct redactor **out, const struct mf_span *values, size_t count, struct mf_error *error);
void redactor_destroy(struct redactor *redactor); /* wipes; NULL is fine */

struct redact_stream {
    const struct redactor *redactor; /* not owned; NULL: everything passes */
    uint32_t state;
    char *held; /* owned: bytes that may be the start of a value, then as many flags */
    size_t capacity;
    size_t start, length; /* of what is held, inside `held` */
    bool in_mark;         /* the last byte that left was part of a value */
};

int redact_stream_init(struct redact_stream *stream, const struct redactor *redactor); /* -1 without memory */
void redact_stream_free(struct redact_stream *stream);
/* Appends what can be shown to `out`; when that is full it is marked as failed and the rest is dropped. */
void redact_feed(struct redact_stream *stream, struct mf_span bytes, struct mf_buf *out);
void redact_end(struct redact_stream *stream, struct mf_buf *out); /* the stream ended: what is held leaves */

#endif
