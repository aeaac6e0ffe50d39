/* buf.c - a growable byte buffer with a maximum */
#include "base/buf.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mf_buf_init(struct mf_buf *buf, size_t bytes_max)
{
    *buf = (struct mf_buf){.bytes_max = bytes_max};
}

void mf_buf_init_secret(struct mf_buf *buf, size_t bytes_max)
{
    *buf = (struct mf_buf){.bytes_max = bytes_max, .secret = true};
}

static void release(struct mf_buf *buf)
{
    if (buf->secret)
        mf_free_secret(buf->data, buf->capacity);
    else
        mf_free(buf->data);
}

void mf_buf_free(struct mf_buf *buf)
{
    release(buf);
    buf->data = NULL;
    buf->length = buf->capacity = 0;
    buf->failed = false;
}

void mf_buf_clear(struct mf_buf *buf)
{
    if (buf->secret)
        mf_wipe(buf->data, buf->length);
    buf->length = 0;
    buf->failed = false;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

/* A secret is never handed to realloc, which may leave a copy behind. */
static char *enlarge(struct mf_buf *buf, size_t capacity)
{
    if (!buf->secret)
        return mf_realloc(buf->data, capacity, 1);
    char *data = mf_alloc(capacity);
    if (data == NULL)
        return NULL;
    if (buf->length > 0)
        memcpy(data, buf->data, buf->length);
    release(buf);
    return data;
}

int mf_buf_reserve(struct mf_buf *buf, size_t bytes)
{
    if (buf->failed || bytes > buf->bytes_max - buf->length) {
        buf->failed = true;
        return -1;
    }
    size_t needed = buf->length + bytes + 1;
    if (needed <= buf->capacity)
        return 0;
    size_t capacity = buf->capacity > 0 ? buf->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > buf->bytes_max + 1)
        capacity = buf->bytes_max + 1;
    char *data = enlarge(buf, capacity);
    if (data == NULL) {
        buf->failed = true;
        return -1;
    }
    buf->data = data;
    buf->data[buf->length] = '\0'; /* so that reserved room reads as text too */
    buf->capacity = capacity;
    return 0;
}

int mf_buf_append(struct mf_buf *buf, const void *data, size_t bytes)
{
    if (mf_buf_reserve(buf, bytes) != 0)
        return -1;
    if (bytes > 0)
        memcpy(buf->data + buf->length, data, bytes);
    buf->length += bytes;
    buf->data[buf->length] = '\0';
    return 0;
}

int mf_buf_text(struct mf_buf *buf, const char *text)
{
    return mf_buf_append(buf, text, strlen(text));
}

int mf_buf_span(struct mf_buf *buf, struct mf_span span)
{
    return mf_buf_append(buf, span.data, span.length);
}

int mf_buf_char(struct mf_buf *buf, char character)
{
    return mf_buf_append(buf, &character, 1);
}

int mf_buf_printf(struct mf_buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || mf_buf_reserve(buf, (size_t)length) != 0) {
        buf->failed = true;
        return -1;
    }
    va_start(arguments, format);
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buf->length += (size_t)length;
    return 0;
}

void mf_buf_consume(struct mf_buf *buf, size_t bytes)
{
    mf_assert(bytes <= buf->length);
    if (bytes == 0)
        return;
    memmove(buf->data, buf->data + bytes, buf->length - bytes);
    if (buf->secret)
        mf_wipe(buf->data + buf->length - bytes, bytes);
    buf->length -= bytes;
    buf->data[buf->length] = '\0';
}

const char *mf_buf_cstr(const struct mf_buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}

struct mf_span mf_buf_view(const struct mf_buf *buf)
{
    return (struct mf_span){mf_buf_cstr(buf), buf->length};
}

char *mf_buf_take(struct mf_buf *buf)
{
    if (buf->failed || mf_buf_reserve(buf, 0) != 0)
        return NULL;
    char *data = buf->data;
    data[buf->length] = '\0';
    buf->data = NULL;
    buf->length = buf->capacity = 0;
    return data;
}
