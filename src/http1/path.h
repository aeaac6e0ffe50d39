/*
 * http1/path.h - a request path as segments in one canonical spelling; the query; percent-decoding
 *
 * Who decides by path must decide on the same bytes that the upstream will see, so a path is parsed once, and the upstream
 * path is rebuilt from the result (http1_path.text). Canonical: unreserved characters decoded, every other escape kept
 * and in capitals. What two servers may read differently is marked as a trait of its segment; http1_path_check refuses a
 * path with such traits, except for segments that the caller knows to be opaque names (object keys).
 */
#ifndef MF_HTTP1_PATH_H
#define MF_HTTP1_PATH_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_SEGMENTS_MAX 64u /* the deepest route in use has 12 */
#define HTTP1_PATH_BYTES_MAX 8192u

/* trait, may an opaque segment have it, text */
#define HTTP1_TRAITS(X)                                                                                                \
    X(EMPTY, false, "has an empty segment")                                                                            \
    X(DOTS, false, "has a `.` or `..` segment")                                                                        \
    X(CONTROL, false, "has an encoded control byte")                                                                   \
    X(DOUBLE, false, "has an escape that is encoded twice")                                                            \
    X(BAD_UTF8, false, "has escapes that are not UTF-8")                                                               \
    X(SLASH, true, "has an encoded slash")                                                                             \
    X(BACKSLASH, true, "has an encoded backslash")                                                                     \
    X(PERCENT, true, "has an encoded percent sign")                                                                    \
    X(PARAMETER, true, "has a `;` parameter")                                                                          \
    X(NON_ASCII, true, "has an encoded byte above 0x7f")

enum http1_trait_bit {
#define X(trait, opaque, text) HTTP1_TRAIT_BIT_##trait,
    HTTP1_TRAITS(X)
#undef X
    HTTP1_TRAIT_COUNT,
};

enum http1_trait {
#define X(trait, opaque, text) HTTP1_TRAIT_##trait = 1 << HTTP1_TRAIT_BIT_##trait,
    HTTP1_TRAITS(X)
#undef X
};

struct http1_path {
    uint32_t count;                        /* "/" has none */
    uint16_t traits[HTTP1_SEGMENTS_MAX];   /* sets of enum http1_trait */
    uint16_t at[HTTP1_SEGMENTS_MAX], length[HTTP1_SEGMENTS_MAX];
    bool was_canonical;                    /* the input was spelled as the result */
    uint16_t text_length;
    char text[HTTP1_PATH_BYTES_MAX + 1];   /* the canonical path, "/" + segments joined by "/" */
};

/* -1 for what no caller can accept: no leading slash, a bad escape, a raw byte that no URL holds, too long or deep. */
int http1_path_parse(struct http1_path *out, struct mf_span path, struct mf_error *error);

/* The canonical, still encoded text of a segment; index < count. */
struct mf_span http1_path_segment(const struct http1_path *path, uint32_t index);

/* -1 when a segment has a trait that it may not have. Bit i of `opaque` says that segment i is an opaque name. */
int http1_path_check(const struct http1_path *path, uint64_t opaque, struct mf_error *error);

/*
 * Decodes every escape into `out` (a terminator is added, NULs are possible) and sets *out_length. `plus` turns '+' into
 * a space, as forms do. -1 for a bad escape or too little room; decoding never makes a text longer.
 */
int http1_percent_decode(struct mf_span text, bool plus, char *out, size_t out_bytes, size_t *out_length);

/* Takes the next `name[=value]` off *rest; false at the end. Still encoded; empty items are skipped. */
bool http1_query_next(struct mf_span *rest, struct mf_span *name, struct mf_span *value);

#endif
