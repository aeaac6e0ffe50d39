/* gateway/usage_private.h - what the rules compile to, and the scan that takes numbers out of a passing text (private to usage*.c) */
#ifndef MF_GATEWAY_USAGE_PRIVATE_H
#define MF_GATEWAY_USAGE_PRIVATE_H

#include "gateway/usage.h"
#include "json/scan.h"

#define USAGE_POINTERS_MAX 32u /* of answers, and as many of events: bits of a mask */
#define USAGE_SEGMENTS_MAX 8u
#define USAGE_REQUEST_POINTERS_MAX 8u
#define USAGE_MODEL_BYTES_MAX 128u
#define USAGE_DEPTH_MAX 64u

#define USAGE_FIELDS(X)                                                                                                \
    X(MODEL, "model") X(INPUT, "input") X(OUTPUT, "output") X(CACHED, "cached") X(CACHE_WRITE, "cache_write")
enum usage_field {
#define X(field, name) USAGE_##field,
    USAGE_FIELDS(X)
#undef X
        USAGE_FIELD_COUNT
};

struct usage_pointer {
    enum usage_field field;
    uint32_t segment_count;
    struct mf_span segments[USAGE_SEGMENTS_MAX]; /* as written, with ~0 and ~1 */
};

struct usage_pointers {
    uint32_t count;
    struct usage_pointer list[USAGE_POINTERS_MAX];
};

struct usage_pointer_list { /* of a request */
    uint32_t count;
    struct mf_span list[USAGE_REQUEST_POINTERS_MAX];
};

/* Millionths of a millionth of a dollar for one token: a price in dollars for a million tokens, times a million. */
struct usage_price {
    struct mf_span prefix;
    int64_t input, output, cached, cache_write;
};

struct usage_rules {
    char *usage_text, *prices_text; /* owned; spans below point into them */
    struct json_document usage, prices;
    struct usage_pointers answer, stream;
    struct usage_pointer_list request_model, request_output, request_times;
    int64_t output_default;
    bool input_includes_cached;
    struct mf_span ask_when, ask_has, ask_missing; /* ask_missing empty: nothing is asked; ask_has empty: of every request */
    uint32_t ask_equals;                  /* node of `usage` */
    struct usage_price *list;             /* owned */
    uint32_t price_count;
};

const struct usage_price *usage_price(const struct usage_rules *rules, struct mf_span model); /* NULL: none */
/* Saturates. */
int64_t usage_cost(const struct usage_price *price, const struct audit_usage *usage);

struct usage_values {
    bool has[USAGE_FIELD_COUNT];
    uint64_t numbers[USAGE_FIELD_COUNT];
    char model[USAGE_MODEL_BYTES_MAX];
};

/* One JSON text, in pieces of any size. */
struct usage_scan {
    const struct usage_pointers *pointers;
    struct usage_values values; /* of this text; count only when it is whole */
    uint8_t state;              /* enum in usage_scan.c */
    bool is_key;                /* the string that is read */
    bool token_lost;            /* longer or stranger than what a pointer could mean */
    uint32_t depth;
    uint32_t mask; /* pointers that fit the path of the value that comes next */
    uint32_t token_bytes;
    char token[USAGE_MODEL_BYTES_MAX];
    struct usage_level {
        uint32_t mask;  /* pointers that fit the path to this container */
        uint32_t index; /* of the next element */
        bool array;
    } levels[USAGE_DEPTH_MAX];
};

void usage_scan_begin(struct usage_scan *scan, const struct usage_pointers *pointers);
void usage_scan_take(struct usage_scan *scan, struct mf_span text);
bool usage_scan_whole(struct usage_scan *scan); /* the text ends here: was it one JSON value? */

#endif
