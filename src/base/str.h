/*
 * base/str.h - spans of bytes, numbers with units, encodings, near names
 *
 * Nothing here allocates. A span is a view: it owns nothing and is not terminated.
 */
#ifndef MF_BASE_STR_H
#define MF_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mf_span {
    const char *data;
    size_t length;
};

#define MF_SPAN(literal) ((struct mf_span){(literal), sizeof(literal) - 1})
#define MF_SPAN_ARGS(span) (int)(span).length, (span).data /* for "%.*s" */

struct mf_span mf_span(const char *text); /* NULL gives the empty span */
bool mf_span_is(struct mf_span span, const char *text);
bool mf_span_equal(struct mf_span left, struct mf_span right);
bool mf_span_starts(struct mf_span span, const char *prefix);
bool mf_span_ends(struct mf_span span, const char *suffix);
int mf_span_compare(struct mf_span left, struct mf_span right); /* bytewise, as memcmp; a prefix sorts first */
/* Copies into `out` with a terminator; -1 when it does not fit or holds a NUL. */
int mf_span_copy(struct mf_span span, char *out, size_t out_bytes);

/* Valid UTF-8 by RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
bool mf_utf8_valid(const char *data, size_t length);
/* Bytes of the valid sequence at `data` (`length` > 0), its code point in *code_point (may be NULL); 0 when there is none. */
size_t mf_utf8_step(const char *data, size_t length, uint32_t *code_point);

/* Whole decimal number without sign, spaces or leading zeros; -1 when it is none or does not fit. */
int mf_parse_u64(struct mf_span text, uint64_t *out);
int mf_parse_i64(struct mf_span text, int64_t *out);
/* A decimal number with fraction and exponent, the same in any locale; -1 when it is none, not finite or above 1,199 bytes. */
int mf_parse_double(struct mf_span text, double *out);
/* The shortest of 15 to 17 digits that reads back the same; needs 32 bytes. `number` must be finite. Returns `out`. */
char *mf_format_double(double number, char *out);
/* snprintf for folders that may call base only; cuts what does not fit. */
void mf_format(char *out, size_t out_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
void mf_format_list(char *out, size_t out_bytes, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));
/* "250ms", "30s", "5m", "2h", "1d", also "1h30m"; a bare number is seconds. Result in ms; -1 when it is none. */
int mf_parse_duration_ms(struct mf_span text, int64_t *out_ms);
/* "512", "64K", "2M", "1G" with binary multiples (optional "iB" or "B"); -1 when it is none. */
int mf_parse_bytes(struct mf_span text, uint64_t *out);
/* RFC 3339 date-time to ms since the epoch; -1 when it is none. Offset required (Z or +hh:mm). */
int mf_parse_rfc3339_ms(struct mf_span text, int64_t *out_ms);
/* IMF-fixdate of RFC 9110 ("Sun, 06 Nov 1994 08:49:37 GMT") to ms since the epoch; -1 when it is none. */
int mf_parse_http_date_ms(struct mf_span text, int64_t *out_ms);
/* "2026-11-23T19:00:00.123Z" (ms only when not zero); needs 32 bytes. Returns `out`. */
char *mf_format_rfc3339(int64_t at_ms, char *out);
/* "850ms", "4.2s", "3m20s", "1h05m": at most 15 bytes. Returns `out`. */
char *mf_format_duration(int64_t duration_ms, char *out);

/* Lower-case hex; `out` takes 2 * bytes + 1. */
void mf_hex(const void *data, size_t bytes, char *out);
int mf_unhex(struct mf_span text, uint8_t *out, size_t out_bytes); /* exactly out_bytes; -1 otherwise */
/* Encoded length without terminator. */
size_t mf_base64_length(size_t bytes);
/* Standard alphabet with padding, terminated; `out` takes mf_base64_length(bytes) + 1. */
void mf_base64(const void *data, size_t bytes, char *out);
/* base64url without padding, terminated; same room. */
void mf_base64url(const void *data, size_t bytes, char *out);
/* Accepts the standard or the url alphabet, padding optional, nothing else; -1 when bad or too long. Sets *out_bytes. */
int mf_unbase64(struct mf_span text, uint8_t *out, size_t out_bytes_max, size_t *out_bytes);

/* Optimal-string-alignment distance, cut off at `max` (returns max + 1 above it). Inputs above 64 bytes count as far. */
unsigned mf_edit_distance(struct mf_span left, struct mf_span right, unsigned max);
/* The nearest of `count` names within a third of the length (at least 1, at most 3 edits); NULL when none is near. */
const char *mf_nearest(struct mf_span wanted, const char *const *names, size_t count);

/* FNV-1a with a 64-bit finaliser: for hash tables over names of files we read; not for secrets. */
uint64_t mf_hash(const void *data, size_t bytes, uint64_t seed);

#endif
