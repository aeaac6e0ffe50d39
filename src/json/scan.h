/*
 * json/scan.h - a strict RFC 8259 scanner with positions: text in, a flat table of nodes out
 *
 * Rejected, beyond what the grammar forbids: duplicate keys (compared after decoding escapes), NUL in any spelling, lone
 * surrogates, invalid UTF-8, a byte-order mark, numbers with a leading zero or plus sign, depth and size above the
 * limits. Comments are accepted only when the caller asks for them. The table refers to the text by offsets: it holds no
 * copy of any value, so a token in an answer never enters a second heap block.
 */
#ifndef MF_JSON_SCAN_H
#define MF_JSON_SCAN_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_NONE UINT32_MAX /* no such node */

#define JSON_KINDS(X) X(NULL, "null") X(FALSE, "boolean") X(TRUE, "boolean") X(NUMBER, "number") X(STRING, "string") X(ARRAY, "array") X(OBJECT, "object")
enum json_kind {
#define X(kind, name) JSON_##kind,
    JSON_KINDS(X)
#undef X
};

/*
 * Nodes stand in document order. An object's children alternate key (a STRING node), value. `end` is the index of the
 * first node behind the subtree, so siblings are walked by child = nodes[child].end.
 */
struct json_node {
    uint32_t start;          /* offset of the first byte; for a string: of the opening quote */
    uint32_t length;         /* bytes of the raw text; for a string with both quotes */
    uint32_t end;            /* index of the node behind this subtree */
    uint32_t kind : 3;       /* enum json_kind */
    uint32_t escaped : 1;    /* a string that holds at least one backslash */
    uint32_t children : 28;  /* array: elements; object: members */
};

struct json_limits {
    uint32_t depth_max;        /* nesting of arrays and objects */
    uint64_t text_bytes_max;   /* at most UINT32_MAX - 1 */
    uint32_t string_bytes_max; /* raw bytes of one string */
    uint32_t nodes_max;
    bool comments;             /* accept // and block comments (never nested) */
};

/* For files that a user wrote and for answers of a provider: depth 32; 16 MiB text; 1 MiB a string; 4 Mi nodes. */
extern const struct json_limits json_limits_default;

/* Where a scan stopped, for a caret; offsets count bytes of the text. */
struct json_failure {
    enum mf_code code; /* MF_INPUT, or MF_MEMORY when it is not the text's fault */
    uint32_t offset;
    char reason[160]; /* "duplicate key `permissions`": lower case, escaped, never quotes a value */
};

struct json_document {
    struct mf_span text;     /* not owned: must outlive the document */
    struct json_node *nodes; /* owned; node 0 is the root */
    uint32_t count;
    uint32_t capacity;
};

/* Scans the whole text. Returns 0 and a document to free, or -1 with *failure filled (may be NULL) and nothing to free. */
int json_scan(struct json_document *document, struct mf_span text, const struct json_limits *limits, struct json_failure *failure);
/* As json_scan, with the failure turned into MF_INPUT "line:column: reason" or into MF_MEMORY. */
int json_scan_error(struct json_document *document, struct mf_span text, const struct json_limits *limits, struct mf_error *error);
void json_document_free(struct json_document *document); /* NULL-safe; the document is empty afterwards */

enum json_kind json_kind(const struct json_document *document, uint32_t node);
const char *json_kind_name(enum json_kind kind);
/* The raw text of a node. */
struct mf_span json_raw(const struct json_document *document, uint32_t node);
/* First child (array: element, object: key) or JSON_NONE. */
uint32_t json_first(const struct json_document *document, uint32_t node);
/* Walks: for (uint32_t child = json_first(d, parent); child != JSON_NONE; child = json_next(d, parent, child)). */
/* The following sibling inside `parent` or JSON_NONE. For objects a sibling is the next key: use json_value for its value. */
uint32_t json_next(const struct json_document *document, uint32_t parent, uint32_t node);
/* The value that belongs to a key node. */
uint32_t json_value(const struct json_document *document, uint32_t key);
/* The value of a member or JSON_NONE; also JSON_NONE when `object` is none or no object. Linear in the members. */
uint32_t json_member(const struct json_document *document, uint32_t object, const char *name);
uint32_t json_element(const struct json_document *document, uint32_t array, uint32_t index);

/* True when the node is a string whose decoded text equals `text`. */
bool json_is(const struct json_document *document, uint32_t node, const char *text);
/* The decoded text without a copy: only for strings without escapes; -1 when it is no string or has escapes. */
int json_plain(const struct json_document *document, uint32_t node, struct mf_span *out);
/* True when both are strings with the same decoded text; a hash of the decoded text, equal for equal texts. */
bool json_same_text(const struct json_document *document, uint32_t left, uint32_t right);
uint64_t json_text_hash(const struct json_document *document, uint32_t node, uint64_t seed);
/* Appends the decoded text of a string node; -1 when it is no string or the buffer is full. */
int json_text(const struct json_document *document, uint32_t node, struct mf_buf *out);
/* Decoded into a caller's array with a terminator; -1 when it does not fit or is no string. */
int json_copy(const struct json_document *document, uint32_t node, char *out, size_t out_bytes);
/* A newly allocated decoded string (mf_free), NULL when it is no string or without memory. */
char *json_dup(const struct json_document *document, uint32_t node);
/* Range-checked on the text; a fraction or an exponent is refused; -1 when it is no such number. */
int json_int(const struct json_document *document, uint32_t node, int64_t *out);
int json_double(const struct json_document *document, uint32_t node, double *out); /* locale-free */
int json_bool(const struct json_document *document, uint32_t node, bool *out);

/* RFC 6901 pointer; JSON_NONE when it leads nowhere. `pointer` "" is the root. */
uint32_t json_pointer(const struct json_document *document, struct mf_span pointer);
/* As json_pointer from a node on. */
uint32_t json_pointer_from(const struct json_document *document, uint32_t node, struct mf_span pointer);
/* Appends the RFC 6901 pointer of a node, for diagnostics; a key has the pointer of its value. */
int json_pointer_of(const struct json_document *document, uint32_t node, struct mf_buf *out);
/* 1-based line and column (columns count characters) of a byte offset. */
void json_position(struct mf_span text, uint32_t offset, uint32_t *line, uint32_t *column);

#endif
