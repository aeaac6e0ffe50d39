/*
 * scan.c - a strict RFC 8259 scanner: one pass, no recursion, one table
 *
 * An open container keeps the index of its parent in `end` until it is closed, so that the depth needs no stack.
 */
#include "json/duplicate.h"

#include "base/alloc.h"

#include <endian.h>
#include <stdarg.h>
#include <string.h>

const struct json_limits json_limits_default = {
    .depth_max = 32,
    .text_bytes_max = 16u << 20,
    .string_bytes_max = 1u << 20,
    .nodes_max = 4u << 20,
};

/* So that the number of children always fits into its 28 bits. */
#define NODES_MAX ((1u << 28) - 1)

struct scanner {
    const char *text;
    const char *at;
    const char *end;
    struct json_document *document;
    const struct json_limits *limits;
    struct json_failure *failure;
    struct json_duplicates duplicates;
    uint32_t open; /* the innermost open container or JSON_NONE */
    uint32_t depth;
    uint32_t nodes_max;
};

/* What may come next. */
enum expected { A_VALUE, A_VALUE_OR_END, A_KEY, A_KEY_OR_END, A_COMMA_OR_END };

static int fail_at(struct scanner *scanner, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail_at(struct scanner *scanner, const char *at, const char *format, ...)
{
    scanner->failure->code = MF_INPUT;
    scanner->failure->offset = (uint32_t)(at - scanner->text);
    va_list arguments;
    va_start(arguments, format);
    mf_format_list(scanner->failure->reason, sizeof scanner->failure->reason, format, arguments);
    va_end(arguments);
    return -1;
}

static int fail_memory(struct scanner *scanner)
{
    (void)fail_at(scanner, scanner->at, "no memory");
    scanner->failure->code = MF_MEMORY;
    return -1;
}

/* "expected `,` or `]`, found `x`" */
static int fail_expected(struct scanner *scanner, const char *wanted)
{
    uint32_t found;
    if (scanner->at == scanner->end)
        return fail_at(scanner, scanner->at, "expected %s, found the end of the text", wanted);
    if (*scanner->at == '/' && !scanner->limits->comments)
        return fail_at(scanner, scanner->at, "comments are not allowed here");
    if (*scanner->at == '\'')
        return fail_at(scanner, scanner->at, "strings take double quotes");
    if (mf_utf8_step(scanner->at, (size_t)(scanner->end - scanner->at), &found) == 0)
        return fail_at(scanner, scanner->at, "expected %s, found a byte that is not UTF-8", wanted);
    if (found > 0x20 && found < 0x7f)
        return fail_at(scanner, scanner->at, "expected %s, found `%c`", wanted, (int)found);
    return fail_at(scanner, scanner->at, "expected %s, found U+%04X", wanted, (unsigned)found);
}

/* Takes "//" to the end of the line or a block comment. */
static int skip_comment(struct scanner *scanner)
{
    const char *start = scanner->at;
    size_t left = (size_t)(scanner->end - start);
    const char *behind = NULL;
    if (left > 1 && start[1] == '/') {
        behind = memchr(start, '\n', left);
        behind = behind != NULL ? behind : scanner->end;
    } else if (left > 1 && start[1] == '*') {
        behind = memmem(start + 2, left - 2, "*/", 2);
        if (behind == NULL)
            return fail_at(scanner, start, "the comment is not closed");
        behind += 2;
    } else {
        return fail_expected(scanner, "a comment");
    }
    if (!mf_utf8_valid(start, (size_t)(behind - start)) || memchr(start, '\0', (size_t)(behind - start)) != NULL)
        return fail_at(scanner, start, "the comment is not valid UTF-8 text");
    scanner->at = behind;
    return 0;
}

static int skip_space(struct scanner *scanner)
{
    for (;;) {
        const char *at = scanner->at;
        while (at < scanner->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
            at++;
        scanner->at = at;
        if (at == scanner->end || *at != '/' || !scanner->limits->comments)
            return 0;
        if (skip_comment(scanner) != 0)
            return -1;
    }
}

/* Appends a node that starts at `start` and counts it in the open container when it is an element or a key. */
static struct json_node *push(struct scanner *scanner, enum json_kind kind, const char *start, bool key)
{
    struct json_document *document = scanner->document;
    if (document->count >= scanner->nodes_max) {
        (void)fail_at(scanner, start, "more than %u values", scanner->nodes_max);
        return NULL;
    }
    if (document->count == document->capacity) {
        size_t capacity = document->capacity;
        void *nodes = document->nodes;
        if (mf_grow(&nodes, &capacity, document->count + (size_t)1, sizeof *document->nodes, 32) != 0) {
            (void)fail_memory(scanner);
            return NULL;
        }
        document->nodes = nodes;
        document->capacity = capacity < UINT32_MAX ? (uint32_t)capacity : UINT32_MAX;
    }
    if (scanner->open != JSON_NONE && (key || document->nodes[scanner->open].kind == JSON_ARRAY))
        document->nodes[scanner->open].children++;
    struct json_node *node = &document->nodes[document->count++];
    *node = (struct json_node){.start = (uint32_t)(start - scanner->text), .end = document->count, .kind = kind & 7u};
    return node;
}

static int hex4_at(const char *at, const char *end)
{
    int value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char digit = at[i];
        if (digit >= '0' && digit <= '9')
            value = value * 16 + digit - '0';
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            value = value * 16 + (digit | 0x20) - 'a' + 10;
        else
            return -1;
    }
    return value;
}

/* Checks one escape at scanner->at and steps over it. */
static int scan_escape(struct scanner *scanner)
{
    const char *at = scanner->at;
    size_t left = (size_t)(scanner->end - at);
    if (left > 1 && at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL) {
        scanner->at = at + 2;
        return 0;
    }
    int unit = left > 1 && at[1] == 'u' ? hex4_at(at + 2, scanner->end) : -1;
    if (unit < 0)
        return fail_at(scanner, at, "bad escape in a string");
    if (unit == 0)
        return fail_at(scanner, at, "\\u0000 is not allowed");
    scanner->at = at + 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return 0;
    int low = left >= 12 && at[6] == '\\' && at[7] == 'u' ? hex4_at(at + 8, scanner->end) : -1;
    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return fail_at(scanner, at, "lone surrogate in a string");
    scanner->at = at + 12;
    return 0;
}

#define EVERY_BYTE(byte) (0x0101010101010101u * (byte))

/* Steps over printable ASCII without quote and backslash, eight bytes at a time. */
static const char *skip_plain(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word);
        /* the top bit of a byte is set for: below 0x20, quote, backslash, not ASCII; a borrow only spoils bytes above a
         * hit */
        uint64_t hits = ((word - EVERY_BYTE(0x20)) | ((word ^ EVERY_BYTE('"')) - EVERY_BYTE(1)) |
                         ((word ^ EVERY_BYTE('\\')) - EVERY_BYTE(1)) | word) &
                        EVERY_BYTE(0x80);
        if (hits != 0)
            return at + __builtin_ctzll(hits) / 8;
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* Steps over what stopped skip_plain inside a string; sets *escaped for a backslash. */
static int scan_special(struct scanner *scanner, bool *escaped)
{
    unsigned char byte = (unsigned char)*scanner->at;
    if (byte == '\\') {
        *escaped = true;
        return scan_escape(scanner);
    }
    if (byte < 0x20)
        return fail_at(scanner, scanner->at, "control character U+%04X in a string", byte);
    size_t step = mf_utf8_step(scanner->at, (size_t)(scanner->end - scanner->at), NULL);
    if (step == 0)
        return fail_at(scanner, scanner->at, "invalid UTF-8 in a string");
    scanner->at += step;
    return 0;
}

static int scan_string(struct scanner *scanner, bool key)
{
    const char *start = scanner->at++;
    bool escaped = false;
    for (;;) {
        scanner->at = skip_plain(scanner->at, scanner->end);
        if (scanner->at == scanner->end)
            return fail_at(scanner, start, "the string is not closed");
        if (*scanner->at == '"')
            break;
        if (scan_special(scanner, &escaped) != 0)
            return -1;
    }
    scanner->at++;
    size_t length = (size_t)(scanner->at - start);
    if (length - 2 > scanner->limits->string_bytes_max)
        return fail_at(scanner, start, "the string is longer than %u bytes", scanner->limits->string_bytes_max);
    struct json_node *node = push(scanner, JSON_STRING, start, key);
    if (node == NULL)
        return -1;
    node->length = (uint32_t)length;
    node->escaped = escaped;
    return 0;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static int scan_number(struct scanner *scanner)
{
    const char *start = scanner->at;
    const char *end = scanner->end;
    const char *at = start + (*start == '-');
    const char *digits = at;
    bool good = (at = skip_digits(at, end)) > digits && (*digits != '0' || at == digits + 1);
    if (good && at < end && *at == '.') {
        digits = at + 1;
        good = (at = skip_digits(digits, end)) > digits;
    }
    if (good && at < end && (*at == 'e' || *at == 'E')) {
        digits = at + 1;
        digits += digits < end && (*digits == '+' || *digits == '-');
        good = (at = skip_digits(digits, end)) > digits;
    }
    if (!good)
        return fail_at(scanner, start, "bad number");
    struct json_node *node = push(scanner, JSON_NUMBER, start, false);
    if (node == NULL)
        return -1;
    node->length = (uint32_t)(at - start);
    scanner->at = at;
    return 0;
}

static int scan_word(struct scanner *scanner)
{
    static const struct {
        enum json_kind kind;
        const char *text;
    } words[] = {{JSON_NULL, "null"}, {JSON_TRUE, "true"}, {JSON_FALSE, "false"}};
    struct mf_span rest = {scanner->at, (size_t)(scanner->end - scanner->at)};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!mf_span_starts(rest, words[i].text))
            continue;
        struct json_node *node = push(scanner, words[i].kind, scanner->at, false);
        if (node == NULL)
            return -1;
        node->length = (uint32_t)strlen(words[i].text);
        scanner->at += node->length;
        return 0;
    }
    return fail_expected(scanner, "a value");
}

static int open_container(struct scanner *scanner, enum json_kind kind)
{
    if (scanner->depth == scanner->limits->depth_max)
        return fail_at(scanner, scanner->at, "nested deeper than %u levels", scanner->limits->depth_max);
    struct json_node *node = push(scanner, kind, scanner->at, false);
    if (node == NULL)
        return -1;
    node->end = scanner->open;
    scanner->open = scanner->document->count - 1;
    scanner->depth++;
    scanner->at++;
    return 0;
}

static int close_container(struct scanner *scanner)
{
    struct json_document *document = scanner->document;
    struct json_node *node = &document->nodes[scanner->open];
    uint32_t closed = scanner->open;
    scanner->at++;
    node->length = (uint32_t)(scanner->at - scanner->text) - node->start;
    scanner->open = node->end;
    node->end = document->count;
    scanner->depth--;
    if (node->kind == JSON_ARRAY || node->children < 2)
        return 0;
    uint32_t duplicate;
    if (json_find_duplicate(&scanner->duplicates, document, closed, &duplicate) != 0)
        return fail_memory(scanner);
    if (duplicate == JSON_NONE)
        return 0;
    scanner->failure->code = MF_INPUT;
    scanner->failure->offset = document->nodes[duplicate].start;
    json_describe_duplicate(document, duplicate, scanner->failure->reason, sizeof scanner->failure->reason);
    return -1;
}

static int scan_value(struct scanner *scanner, enum expected *expected)
{
    char first = scanner->at < scanner->end ? *scanner->at : '\0';
    *expected = A_COMMA_OR_END;
    switch (first) {
    case '{':
        *expected = A_KEY_OR_END;
        return open_container(scanner, JSON_OBJECT);
    case '[':
        *expected = A_VALUE_OR_END;
        return open_container(scanner, JSON_ARRAY);
    case '"':
        return scan_string(scanner, false);
    default:
        return first == '-' || (first >= '0' && first <= '9') ? scan_number(scanner) : scan_word(scanner);
    }
}

static int scan_key(struct scanner *scanner, enum expected *expected)
{
    if (scanner->at == scanner->end || *scanner->at != '"')
        return fail_expected(scanner, *expected == A_KEY ? "a key" : "a key or `}`");
    if (scan_string(scanner, true) != 0 || skip_space(scanner) != 0)
        return -1;
    if (scanner->at == scanner->end || *scanner->at != ':')
        return fail_expected(scanner, "`:`");
    scanner->at++;
    *expected = A_VALUE;
    return 0;
}

/* Behind an element or a member: a comma or the end of its container. */
static int scan_comma(struct scanner *scanner, enum expected *expected)
{
    bool object = scanner->document->nodes[scanner->open].kind == JSON_OBJECT;
    if (scanner->at == scanner->end || *scanner->at != ',')
        return fail_expected(scanner, object ? "`,` or `}`" : "`,` or `]`");
    scanner->at++;
    *expected = object ? A_KEY : A_VALUE;
    return 0;
}

static bool may_close(const struct scanner *scanner, enum expected expected)
{
    if (scanner->open == JSON_NONE || scanner->at == scanner->end)
        return false;
    if (scanner->document->nodes[scanner->open].kind == JSON_OBJECT)
        return *scanner->at == '}' && (expected == A_KEY_OR_END || expected == A_COMMA_OR_END);
    return *scanner->at == ']' && (expected == A_VALUE_OR_END || expected == A_COMMA_OR_END);
}

static int scan_step(struct scanner *scanner, enum expected *expected)
{
    if (may_close(scanner, *expected)) {
        *expected = A_COMMA_OR_END;
        return close_container(scanner);
    }
    switch (*expected) {
    case A_KEY:
    case A_KEY_OR_END:
        return scan_key(scanner, expected);
    case A_COMMA_OR_END:
        return scan_comma(scanner, expected);
    case A_VALUE:
    case A_VALUE_OR_END:
    default:
        return scan_value(scanner, expected);
    }
}

static int scan_all(struct scanner *scanner)
{
    if ((uint64_t)(scanner->end - scanner->text) > scanner->limits->text_bytes_max)
        return fail_at(scanner, scanner->text, "the text is longer than %llu bytes",
                       (unsigned long long)scanner->limits->text_bytes_max);
    if (scanner->end - scanner->text >= 3 && memcmp(scanner->text, "\xef\xbb\xbf", 3) == 0)
        return fail_at(scanner, scanner->text, "byte-order mark; the text must start without one");
    enum expected expected = A_VALUE;
    do {
        if (skip_space(scanner) != 0 || scan_step(scanner, &expected) != 0)
            return -1;
    } while (scanner->open != JSON_NONE);
    if (skip_space(scanner) != 0)
        return -1;
    return scanner->at == scanner->end ? 0 : fail_expected(scanner, "the end of the text");
}

int json_scan(struct json_document *document, struct mf_span text, const struct json_limits *limits,
              struct json_failure *failure)
{
    struct json_failure ignored;
    *document = (struct json_document){.text = text};
    struct scanner scanner = {
        .text = text.data,
        .at = text.data,
        .end = text.data + text.length,
        .document = document,
        .limits = limits,
        .failure = failure != NULL ? failure : &ignored,
        .open = JSON_NONE,
        .nodes_max = limits->nodes_max < NODES_MAX ? limits->nodes_max : NODES_MAX,
    };
    int result = scan_all(&scanner);
    json_duplicates_free(&scanner.duplicates);
    if (result != 0)
        json_document_free(document);
    return result;
}

int json_scan_error(struct json_document *document, struct mf_span text, const struct json_limits *limits,
                    struct mf_error *error)
{
    struct json_failure failure;
    if (json_scan(document, text, limits, &failure) == 0)
        return 0;
    if (failure.code == MF_MEMORY)
        return mf_fail(error, MF_MEMORY, "no memory");
    uint32_t line, column;
    json_position(text, failure.offset, &line, &column);
    return mf_fail(error, MF_INPUT, "%u:%u: %s", line, column, failure.reason);
}

void json_document_free(struct json_document *document)
{
    if (document == NULL)
        return;
    mf_free(document->nodes);
    *document = (struct json_document){0};
}
