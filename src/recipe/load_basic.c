/*
 * load_basic.c - problems with their place, and values with their type
 *
 * Every getter reports what is wrong and gives a harmless value, so that one pass over a file finds all of its problems.
 */
#include "recipe/load.h"

#include "base/alloc.h"
#include "json/write.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void write_place(struct recipe_loader *loader, uint32_t node, struct mf_buf *line)
{
    const struct json_document *document = loader->document;
    const char *file = document == &loader->recipe->shared ? "the shared permissions" : loader->file_name;
    uint32_t line_number, column;
    json_position(document->text, document->nodes[node].start, &line_number, &column);
    mf_buf_printf(line, "%s:%u:%u: ", file, line_number, column);
    struct mf_buf pointer;
    mf_buf_init(&pointer, 1000);
    if (json_pointer_of(document, node, &pointer) == 0 && pointer.length > 0) {
        json_escape_shown(line, mf_buf_view(&pointer), 200);
        mf_buf_text(line, ": ");
    }
    mf_buf_free(&pointer);
}

void recipe_problem(struct recipe_loader *loader, uint32_t node, const char *format, ...)
{
    if (loader->problem_count++ >= RECIPE_PROBLEMS_MAX)
        return;
    struct mf_buf line;
    mf_buf_init(&line, MF_ERROR_TEXT_MAX - 1);
    write_place(loader, node, &line);
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_escape_shown(&line, mf_span(text), sizeof text);
    if (loader->problem_count == 1)
        mf_fail(loader->error, MF_INPUT, "%s", mf_buf_cstr(&line));
    if (loader->problems != NULL && mf_buf_span(loader->problems, mf_buf_view(&line)) == 0)
        mf_buf_char(loader->problems, '\n');
    mf_buf_free(&line);
}

void *recipe_take(struct recipe_loader *loader, size_t count, size_t bytes)
{
    void *memory = recipe_arena_take(&loader->recipe->arena, count, bytes);
    loader->no_memory = loader->no_memory || memory == NULL;
    return memory;
}

char *recipe_copy(struct recipe_loader *loader, struct mf_span text)
{
    char *copy = recipe_arena_text(&loader->recipe->arena, text);
    loader->no_memory = loader->no_memory || copy == NULL;
    return copy;
}

const char *recipe_hint(struct mf_span wanted, const char *const *names, size_t count, char *room, size_t room_bytes)
{
    const char *nearest = mf_nearest(wanted, names, count);
    room[0] = '\0';
    if (nearest != NULL)
        snprintf(room, room_bytes, ", did you mean `%s`?", nearest);
    return room;
}

static bool is_one_of(const struct json_document *document, uint32_t node, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_is(document, node, names[i]))
            return true;
    return false;
}

bool recipe_keys(struct recipe_loader *loader, uint32_t node, const char *const *names, size_t count)
{
    const struct json_document *document = loader->document;
    if (!recipe_is(loader, node, JSON_OBJECT))
        return false;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        if (is_one_of(document, key, names, count))
            continue;
        char text[80] = "", hint[120];
        if (json_copy(document, key, text, sizeof text) != 0)
            snprintf(text, sizeof text, "...");
        recipe_problem(loader, key, "unknown key `%s`%s", text, recipe_hint(mf_span(text), names, count, hint, sizeof hint));
    }
    return true;
}

uint32_t recipe_required(struct recipe_loader *loader, uint32_t object, const char *name)
{
    uint32_t node = json_member(loader->document, object, name);
    if (node == JSON_NONE)
        recipe_problem(loader, object, "key `%s` is missing", name);
    return node;
}

bool recipe_is(struct recipe_loader *loader, uint32_t node, enum json_kind kind)
{
    enum json_kind found = json_kind(loader->document, node);
    if (found == kind)
        return true;
    recipe_problem(loader, node, "must be %s %s, is %s %s", kind == JSON_ARRAY || kind == JSON_OBJECT ? "an" : "a", json_kind_name(kind),
                   found == JSON_ARRAY || found == JSON_OBJECT ? "an" : "a", json_kind_name(found));
    return false;
}

const char *recipe_string(struct recipe_loader *loader, uint32_t node, size_t bytes_max)
{
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_STRING))
        return NULL;
    struct mf_buf text;
    mf_buf_init(&text, bytes_max);
    char *copy = NULL;
    bool read = json_text(loader->document, node, &text) == 0;
    if (!read && loader->document->nodes[node].length <= bytes_max)
        loader->no_memory = true;
    else if (!read || text.length == 0)
        recipe_problem(loader, node, "must have 1 to %zu bytes", bytes_max);
    else
        copy = recipe_copy(loader, mf_buf_view(&text));
    bool bad = false;
    for (size_t i = 0; i < text.length; i++)
        bad = bad || (unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f;
    if (bad && copy != NULL)
        recipe_problem(loader, node, "has a control character");
    mf_buf_free(&text);
    return bad ? NULL : copy;
}

bool recipe_name_valid(struct mf_span text)
{
    if (text.length == 0 || text.length > 64 || text.data[0] < 'a' || text.data[0] > 'z')
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

const char *recipe_name(struct recipe_loader *loader, uint32_t node)
{
    const char *text = recipe_string(loader, node, 200);
    if (text == NULL || recipe_name_valid(mf_span(text)))
        return text;
    recipe_problem(loader, node, "name `%.80s` must match [a-z][a-z0-9_-]{0,63}", text);
    return NULL;
}

struct mf_span recipe_pointer(struct recipe_loader *loader, uint32_t node)
{
    const char *text = NULL;
    if (node != JSON_NONE && json_is(loader->document, node, ""))
        return MF_SPAN(""); /* the whole answer */
    text = recipe_string(loader, node, 256);
    if (text != NULL && text[0] != '/') {
        recipe_problem(loader, node, "pointer `%.80s` must begin with `/`", text);
        text = NULL;
    }
    for (const char *tilde = text; tilde != NULL && (tilde = strchr(tilde, '~')) != NULL; tilde++) {
        if (tilde[1] == '0' || tilde[1] == '1')
            continue;
        recipe_problem(loader, node, "pointer `%.80s` has a `~` that is neither ~0 nor ~1", text);
        return (struct mf_span){NULL, 0};
    }
    return mf_span(text);
}

const char *recipe_header_name(struct recipe_loader *loader, uint32_t node)
{
    const char *text = recipe_string(loader, node, 100);
    char *lower = text == NULL ? NULL : recipe_copy(loader, mf_span(text));
    for (char *c = lower; c != NULL && *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
        if ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_')
            continue;
        recipe_problem(loader, node, "header name `%.80s` may hold letters, digits, `-` and `_`", text);
        return NULL;
    }
    return lower;
}

bool recipe_boolean(struct recipe_loader *loader, uint32_t node, bool otherwise)
{
    bool value = otherwise;
    if (node != JSON_NONE && json_bool(loader->document, node, &value) != 0)
        recipe_problem(loader, node, "must be true or false");
    return value;
}

int64_t recipe_number(struct recipe_loader *loader, uint32_t node, int64_t min, int64_t max, int64_t otherwise)
{
    int64_t value;
    if (node == JSON_NONE)
        return otherwise;
    if (json_int(loader->document, node, &value) == 0 && value >= min && value <= max)
        return value;
    recipe_problem(loader, node, "must be a whole number from %lld to %lld", (long long)min, (long long)max);
    return otherwise;
}

int64_t recipe_duration(struct recipe_loader *loader, uint32_t node, int64_t max_ms)
{
    char text[32], most[32];
    int64_t value_ms;
    if (node == JSON_NONE)
        return 0;
    if (json_copy(loader->document, node, text, sizeof text) == 0 && mf_parse_duration_ms(mf_span(text), &value_ms) == 0 && value_ms > 0 &&
        value_ms <= max_ms)
        return value_ms;
    recipe_problem(loader, node, "must be a duration such as \"60m\", at most %s", mf_format_duration(max_ms, most));
    return 0;
}

int recipe_choice(struct recipe_loader *loader, uint32_t node, const char *const *names, size_t count)
{
    char hint[120];
    const char *text = recipe_string(loader, node, 200);
    if (text == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return (int)i;
    char all[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", names[i]);
    recipe_hint(mf_span(text), names, count, hint, sizeof hint);
    recipe_problem(loader, node, "`%.80s` must be one of %s%s", text, all, hint);
    return -1;
}
