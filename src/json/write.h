/*
 * json/write.h - writes one JSON value into a buffer, compactly
 *
 * Commas are put by the writer. Strings are escaped so that a line stays a line and a terminal stays safe: C0, DEL, C1,
 * U+2028/2029, bidirectional and zero-width characters become \u escapes; invalid UTF-8 becomes U+FFFD. Errors stick in
 * the buffer (`failed`): write freely, look once at the end.
 */
#ifndef MF_JSON_WRITE_H
#define MF_JSON_WRITE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct json_writer {
    struct mf_buf *out; /* not owned */
    bool comma;         /* a value stands before on this level */
};

void json_begin(struct json_writer *writer, struct mf_buf *out);
void json_open_object(struct json_writer *writer);
void json_close_object(struct json_writer *writer);
void json_open_array(struct json_writer *writer);
void json_close_array(struct json_writer *writer);
void json_key(struct json_writer *writer, const char *key);
void json_key_span(struct json_writer *writer, struct mf_span key);
void json_string(struct json_writer *writer, const char *text); /* NULL writes null */
void json_string_span(struct json_writer *writer, struct mf_span text);
void json_i64(struct json_writer *writer, int64_t number);
void json_u64(struct json_writer *writer, uint64_t number);
void json_number(struct json_writer *writer, double number); /* shortest form that reads back the same; null for NaN and infinities */
void json_boolean(struct json_writer *writer, bool value);
void json_null(struct json_writer *writer);
void json_raw_value(struct json_writer *writer, struct mf_span text); /* already valid JSON */

/* "key": value in one call. */
void json_member_string(struct json_writer *writer, const char *key, const char *text);
void json_member_span(struct json_writer *writer, const char *key, struct mf_span text);
void json_member_i64(struct json_writer *writer, const char *key, int64_t number);
void json_member_u64(struct json_writer *writer, const char *key, uint64_t number);
void json_member_bool(struct json_writer *writer, const char *key, bool value);

/* Appends the quoted and escaped form of a text to a buffer, as json_string does. */
int json_escape(struct mf_buf *out, struct mf_span text);
/*
 * For a terminal or an error message: no quotes around, quotes and backslashes as they are, all else escaped as above; at
 * most `shown_max` characters of the text, then "...".
 */
int json_escape_shown(struct mf_buf *out, struct mf_span text, size_t shown_max);

#endif
