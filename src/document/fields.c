/* fields.c - readers of single values, and saying what is wrong with them */
#include "document/load.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* A pointer is cut for showing anyway; a hostile key may be a megabyte long. */
#define POINTER_BYTES_MAX (2u << 20)

static void add(struct loader *loader, enum diagnostic_kind kind, uint32_t node, struct diagnostic_place *place,
                const char *format, va_list arguments) __attribute__((format(printf, 5, 0)));

static void add(struct loader *loader, enum diagnostic_kind kind, uint32_t node, struct diagnostic_place *place,
                const char *format, va_list arguments)
{
    struct mf_buf pointer;
    mf_buf_init(&pointer, POINTER_BYTES_MAX);
    if (node != JSON_NONE && !diagnostics_full(loader->diagnostics)) {
        json_pointer_of(loader->document, node, &pointer);
        place->text = loader->document->text;
        place->offset += loader->document->nodes[node].start;
        place->pointer = mf_buf_cstr(&pointer);
    }
    if (diagnostics_add_list(loader->diagnostics, kind, place, format, arguments) != 0)
        loader->no_memory = true;
    mf_buf_free(&pointer);
}

void load_fail(struct loader *loader, uint32_t node, const char *format, ...)
{
    struct diagnostic_place place = {0};
    va_list arguments;
    va_start(arguments, format);
    add(loader, DIAGNOSTIC_ERROR, node, &place, format, arguments);
    va_end(arguments);
}

void load_fail_hint(struct loader *loader, uint32_t node, const char *hint, const char *format, ...)
{
    struct diagnostic_place place = {.suggestion = hint};
    va_list arguments;
    va_start(arguments, format);
    add(loader, DIAGNOSTIC_ERROR, node, &place, format, arguments);
    va_end(arguments);
}

void load_fail_at(struct loader *loader, uint32_t node, uint32_t skip, bool secret, const char *format, ...)
{
    struct diagnostic_place place = {.offset = skip, .secret = secret};
    va_list arguments;
    va_start(arguments, format);
    add(loader, DIAGNOSTIC_ERROR, node, &place, format, arguments);
    va_end(arguments);
}

void load_note(struct loader *loader, uint32_t node, const char *format, ...)
{
    struct diagnostic_place place = {0};
    va_list arguments;
    va_start(arguments, format);
    add(loader, DIAGNOSTIC_NOTE, node, &place, format, arguments);
    va_end(arguments);
}

const char *load_hint(char room[LOAD_HINT_BYTES], struct mf_span wanted, const char *const *names, size_t count)
{
    const char *near = mf_nearest(wanted, names, count);
    room[0] = '\0';
    if (near != NULL)
        snprintf(room, LOAD_HINT_BYTES, "did you mean `%s`?", near);
    return room;
}

bool load_grow(struct loader *loader, void **array, size_t *capacity, size_t needed, size_t element_bytes)
{
    if (mf_grow(array, capacity, needed, element_bytes, 16) == 0)
        return true;
    loader->no_memory = true;
    return false;
}

/* The text of a key or name for a message, cut; the diagnostics escape it. */
#define SHOWN_NAME_MAX 80

static struct mf_span shown(struct mf_span name)
{
    return name.length <= SHOWN_NAME_MAX ? name : (struct mf_span){name.data, SHOWN_NAME_MAX};
}

static struct mf_span inside(const struct loader *loader, uint32_t node)
{
    struct mf_span raw = json_raw(loader->document, node);
    return (struct mf_span){raw.data + 1, raw.length - 2};
}

/* A key that no table knows: lists are short, so the nearest name is looked for among all. */
static void fail_unknown_key(struct loader *loader, uint32_t key, const struct load_field *fields, size_t count)
{
    const char *names[64];
    char room[LOAD_HINT_BYTES];
    if (diagnostics_full(loader->diagnostics)) /* it is only counted: no need for a suggestion */
        count = 0;
    for (size_t i = 0; i < count && i < sizeof names / sizeof names[0]; i++)
        names[i] = fields[i].name;
    struct mf_span name = inside(loader, key);
    load_fail_hint(loader, key, load_hint(room, name, names, count), "unknown key `%.*s`", MF_SPAN_ARGS(shown(name)));
}

bool load_object(struct loader *loader, uint32_t node, const struct load_field *fields, size_t count, void *target)
{
    if (!load_expect(loader, node, JSON_OBJECT))
        return false;
    const struct json_document *document = loader->document;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        struct mf_span name = inside(loader, key);
        size_t at = 0;
        while (at < count && !mf_span_is(name, fields[at].name))
            at++;
        if (at < count)
            fields[at].read(loader, json_value(document, key), target);
        else
            fail_unknown_key(loader, key, fields, count);
    }
    return true;
}

static const char *with_article(enum json_kind kind)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_FALSE] = "a boolean", [JSON_TRUE] = "a boolean",   [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",  [JSON_OBJECT] = "an object",
    };
    return names[kind];
}

bool load_expect(struct loader *loader, uint32_t node, enum json_kind kind)
{
    enum json_kind found = json_kind(loader->document, node);
    if (found == kind)
        return true;
    load_fail(loader, node, "expected %s, found %s", with_article(kind), with_article(found));
    return false;
}

void load_ignore(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_expect(loader, node, JSON_STRING);
}

void load_description(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_expect(loader, node, JSON_STRING);
}

void load_labels(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    const struct json_document *document = loader->document;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key))
        load_expect(loader, json_value(document, key), JSON_STRING);
}

bool load_name(struct loader *loader, uint32_t node, struct mf_span *out)
{
    if (!load_expect(loader, node, JSON_STRING))
        return false;
    if (json_plain(loader->document, node, out) == 0)
        return true;
    load_fail(loader, node, "a name is written without escapes");
    return false;
}

bool load_id(struct loader *loader, uint32_t node, const char *what, struct mf_span *out)
{
    if (!load_name(loader, node, out))
        return false;
    if (graph_is_id(*out))
        return true;
    load_fail(loader, node, "%s `%.*s` does not match [A-Za-z][A-Za-z0-9_-]{0,63}", what, MF_SPAN_ARGS(shown(*out)));
    return false;
}

bool load_duration(struct loader *loader, uint32_t node, int64_t *out_ms)
{
    struct mf_span text;
    int64_t ms;
    if (json_kind(loader->document, node) == JSON_NUMBER) {
        load_fail(loader, node, "a duration is a string with a unit, such as \"30s\" (ms, s, m, h, d)");
        return false;
    }
    if (!load_name(loader, node, &text))
        return false;
    bool bare = text.length > 0 && text.data[text.length - 1] >= '0' && text.data[text.length - 1] <= '9';
    if (bare || mf_parse_duration_ms(text, &ms) != 0) {
        load_fail(loader, node,
                  "`%.*s` is no duration: digits and a unit, such as \"30s\" or \"1h30m\" (ms, s, m, h, d)",
                  MF_SPAN_ARGS(shown(text)));
        return false;
    }
    if (ms < 1 || ms > LOAD_DURATION_MS_MAX) {
        load_fail(loader, node, "`%.*s` is out of range: 1ms to 30d", MF_SPAN_ARGS(shown(text)));
        return false;
    }
    *out_ms = ms;
    return true;
}

bool load_count(struct loader *loader, uint32_t node, uint32_t min, uint32_t max, uint32_t *out)
{
    int64_t number;
    if (!load_expect(loader, node, JSON_NUMBER))
        return false;
    if (json_int(loader->document, node, &number) != 0 || number < min || number > max) {
        load_fail(loader, node, "`%.*s` is out of range: a whole number from %u to %u",
                  MF_SPAN_ARGS(shown(json_raw(loader->document, node))), min, max);
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

bool load_bytes(struct loader *loader, uint32_t node, uint64_t *out)
{
    struct mf_span text;
    uint64_t bytes;
    if (json_kind(loader->document, node) == JSON_NUMBER)
        text = json_raw(loader->document, node);
    else if (!load_name(loader, node, &text))
        return false;
    if (mf_parse_bytes(text, &bytes) != 0) {
        load_fail(loader, node, "`%.*s` is no size: a whole number of bytes, or a string such as \"256M\" (K, M, G, T)",
                  MF_SPAN_ARGS(shown(text)));
        return false;
    }
    if (bytes < 1 || bytes > LOAD_BYTES_MAX) {
        load_fail(loader, node, "`%.*s` is out of range: 1 byte to 1T", MF_SPAN_ARGS(shown(text)));
        return false;
    }
    *out = bytes;
    return true;
}

bool load_flag(struct loader *loader, uint32_t node, bool *out)
{
    if (json_bool(loader->document, node, out) == 0)
        return true;
    return load_expect(loader, node, JSON_TRUE);
}

int load_parse_decimal(struct mf_span text, unsigned digits, int64_t *out)
{
    const char *point = text.length > 0 ? memchr(text.data, '.', text.length) : NULL;
    size_t whole_bytes = point != NULL ? (size_t)(point - text.data) : text.length;
    size_t fraction_bytes = point != NULL ? text.length - whole_bytes - 1 : 0;
    int64_t number;
    if (fraction_bytes > digits || (text.length > 0 && text.data[0] == '-') ||
        mf_parse_i64((struct mf_span){text.data, whole_bytes}, &number) != 0)
        return -1;
    for (unsigned i = 0; i < digits; i++) {
        char digit = i < fraction_bytes ? point[1 + i] : '0';
        if (digit < '0' || digit > '9' || __builtin_mul_overflow(number, INT64_C(10), &number) ||
            __builtin_add_overflow(number, (int64_t)(digit - '0'), &number))
            return -1;
    }
    *out = number;
    return 0;
}

bool load_decimal(struct loader *loader, uint32_t node, unsigned digits, int64_t min, int64_t max, int64_t *out)
{
    int64_t number;
    int64_t unit = 1;
    for (unsigned i = 0; i < digits; i++)
        unit *= 10;
    if (!load_expect(loader, node, JSON_NUMBER))
        return false;
    if (load_parse_decimal(json_raw(loader->document, node), digits, &number) != 0 || number < min || number > max) {
        load_fail(loader, node,
                  "`%.*s` is out of range: a number from %g to %g with at most %u digits behind the point",
                  MF_SPAN_ARGS(shown(json_raw(loader->document, node))), (double)min / (double)unit,
                  (double)max / (double)unit, digits);
        return false;
    }
    *out = number;
    return true;
}

bool load_choice(struct loader *loader, uint32_t node, const char *const *names, size_t count, uint32_t *out)
{
    char list[256] = "";
    char room[LOAD_HINT_BYTES];
    if (!load_expect(loader, node, JSON_STRING))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (json_is(loader->document, node, names[i])) {
            *out = (uint32_t)i;
            return true;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s`%s`", i == 0 ? "" : i + 1 < count ? ", " : " or ", names[i]);
    }
    struct mf_span found = inside(loader, node);
    load_fail_hint(loader, node, load_hint(room, found, names, count), "`%.*s` is not %s", MF_SPAN_ARGS(shown(found)),
                   list);
    return false;
}

bool load_without_template(struct loader *loader, uint32_t node)
{
    if (!graph_has_template(loader->graph, node))
        return true;
    load_fail(loader, node, "no template may stand here");
    return false;
}

bool load_strings(struct loader *loader, uint32_t node, void (*check)(struct loader *, uint32_t element))
{
    if (!load_expect(loader, node, JSON_ARRAY))
        return false;
    const struct json_document *document = loader->document;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        if (load_expect(loader, child, JSON_STRING))
            check(loader, child);
    }
    return true;
}

void load_check_path(struct loader *loader, uint32_t node)
{
    if (!load_expect(loader, node, JSON_STRING) || !load_without_template(loader, node))
        return;
    char path[4096];
    const char *fault = json_copy(loader->document, node, path, sizeof path) != 0 ? "is longer than 4095 bytes"
                                                                                  : graph_path_fault(mf_span(path));
    if (fault != NULL)
        load_fail(loader, node, "path `%.*s` %s", MF_SPAN_ARGS(shown(inside(loader, node))), fault);
}

static void check_plain(struct loader *loader, uint32_t node)
{
    load_without_template(loader, node);
}

static void check_any(struct loader *loader, uint32_t node)
{
    (void)loader;
    (void)node;
}

void load_command(struct loader *loader, uint32_t node, bool templates)
{
    if (!load_strings(loader, node, templates ? check_any : check_plain))
        return;
    uint32_t first = json_first(loader->document, node);
    if (first == JSON_NONE)
        load_fail(loader, node, "a command has at least one element");
    else if (json_kind(loader->document, first) == JSON_STRING && json_is(loader->document, first, ""))
        load_fail(loader, first, "the program's name is empty");
    else if (templates && graph_has_template(loader->graph, first))
        load_fail(loader, first, "no template may stand in the program's name");
}

/* "[A-Za-z_][A-Za-z0-9_]*", and not one of ours. */
static bool check_variable(struct loader *loader, uint32_t node)
{
    struct mf_span name = inside(loader, node);
    bool good = name.length > 0 && name.length <= 255 && !(name.data[0] >= '0' && name.data[0] <= '9');
    for (size_t i = 0; good && i < name.length; i++) {
        char c = name.data[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    }
    if (!good)
        load_fail(loader, node, "variable `%.*s` does not match [A-Za-z_][A-Za-z0-9_]{0,254}",
                  MF_SPAN_ARGS(shown(name)));
    else if (mf_span_starts(name, "MAYFLY_"))
        load_fail(loader, node, "variable `%.*s`: names that start with MAYFLY_ are taken", MF_SPAN_ARGS(shown(name)));
    return good;
}

void load_env(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    if (!load_expect(loader, node, JSON_OBJECT))
        return;
    const struct json_document *document = loader->document;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        check_variable(loader, key);
        load_expect(loader, json_value(document, key), JSON_STRING);
    }
}

static void check_pass_name(struct loader *loader, uint32_t node)
{
    check_variable(loader, node);
}

void load_pass_env(struct loader *loader, uint32_t node, void *target)
{
    (void)target;
    load_strings(loader, node, check_pass_name);
}
