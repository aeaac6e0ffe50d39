/*
 * base/buf.h - a growable byte buffer with a maximum
 *
 * The maximum is said at init and never passed: an append that would not fit changes nothing, marks the buffer as failed
 * and returns -1. So a writer may append freely and look at `failed` once at the end. The data is always followed by a
 * NUL that `length` does not count.
 */
#ifndef MF_BASE_BUF_H
#define MF_BASE_BUF_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_buf {
    char *data; /* owned; NULL while nothing was appended */
    size_t length;
    size_t capacity;
    size_t bytes_max;
    bool failed;  /* an append did not fit or there was no memory */
    bool secret;  /* wiped when it grows and when it is freed */
};

void mf_buf_init(struct mf_buf *buf, size_t bytes_max);
void mf_buf_init_secret(struct mf_buf *buf, size_t bytes_max);
void mf_buf_free(struct mf_buf *buf);  /* frees the data, wipes a secret one, leaves an empty buffer that can be used again */
void mf_buf_clear(struct mf_buf *buf); /* length 0, failed false, keeps the memory */

int mf_buf_reserve(struct mf_buf *buf, size_t bytes); /* room for so many more bytes */
int mf_buf_append(struct mf_buf *buf, const void *data, size_t bytes);
int mf_buf_text(struct mf_buf *buf, const char *text);
int mf_buf_span(struct mf_buf *buf, struct mf_span span);
int mf_buf_char(struct mf_buf *buf, char character);
int mf_buf_printf(struct mf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mf_buf_consume(struct mf_buf *buf, size_t bytes); /* drops the first bytes */

/* The text so far, never NULL, owned by the buffer. */
const char *mf_buf_cstr(const struct mf_buf *buf);
struct mf_span mf_buf_view(const struct mf_buf *buf);

/* Hands the data over to the caller (mf_free it) and empties the buffer; NULL without memory or when it failed. */
char *mf_buf_take(struct mf_buf *buf);

#endif
