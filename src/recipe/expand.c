/*
 * expand.c - values and the templates that take them in, escaped for their place
 *
 * A value is never looked at for `{{`: what an answer brought cannot name anything. In a path a value must be an identifier, or
 * one whole opaque segment; in a header it may not hold a line end.
 */
#include "base/alloc.h"
#include "http1/write.h"
#include "json/write.h"
#include "recipe/run.h"

#include <stdio.h>
#include <string.h>

void recipe_values_init(struct recipe_scope_of_values *values, const struct recipe *recipe, const struct recipe_operation *operation,
                        const struct recipe_vars *vars)
{
    *values = (struct recipe_scope_of_values){.recipe = recipe, .operation = operation, .vars = vars, .each = RECIPE_NONE, .page = 1};
    recipe_values_clock(values, 0);
}

void recipe_values_clock(struct recipe_scope_of_values *values, int64_t offset_ms)
{
    if (values->vars->expires_ms > 0) /* whole seconds, rounded up: a lease must not become shorter */
        mf_format_rfc3339((values->vars->expires_ms + offset_ms + 999) / 1000 * 1000, values->expires_on);
}

void recipe_cell_clear(struct recipe_cell *cell)
{
    mf_free_secret(cell->text, cell->text == NULL ? 0 : cell->length);
    *cell = (struct recipe_cell){0};
}

int recipe_cell_set(struct recipe_cell *cell, struct mf_span text, enum json_kind kind)
{
    char *copy = mf_alloc(text.length + 1);
    if (copy == NULL)
        return -1;
    if (text.length > 0)
        memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    recipe_cell_clear(cell);
    *cell = (struct recipe_cell){copy, text.length, kind, true};
    return 0;
}

static void free_rows(struct recipe_rows *rows, uint32_t fields)
{
    for (size_t i = 0; i < (size_t)rows->count * fields; i++)
        recipe_cell_clear(&rows->cells[i]);
    mf_free(rows->cells);
}

void recipe_values_free(struct recipe_scope_of_values *values)
{
    for (uint32_t i = 0; i < RECIPE_NAMES_MAX; i++) {
        recipe_cell_clear(&values->ids[i]);
        recipe_cell_clear(&values->secrets[i]);
    }
    for (uint32_t i = 0; values->slots != NULL && i < values->operation->slot_count; i++)
        recipe_cell_clear(&values->slots[i]);
    for (uint32_t i = 0; values->lists != NULL && i < values->operation->slot_count; i++)
        free_rows(&values->lists[i], values->operation->slots[i].field_count);
    mf_free(values->slots);
    mf_free(values->lists);
    values->slots = NULL;
    values->lists = NULL;
}

/* --- what the journal kept --- */

static int read_name(const struct json_document *document, uint32_t node, struct recipe_cell *cell)
{
    enum json_kind kind = json_kind(document, node);
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_BODY_BYTES_MAX);
    int result = -1;
    if (kind == JSON_STRING)
        result = json_text(document, node, &text);
    else if (kind == JSON_NUMBER || kind == JSON_TRUE || kind == JSON_FALSE)
        result = mf_buf_span(&text, json_raw(document, node));
    if (result == 0)
        result = recipe_cell_set(cell, mf_buf_view(&text), kind);
    mf_buf_free(&text);
    return result;
}

static int read_names(struct mf_span text, const struct recipe_name *names, uint32_t count, struct recipe_cell *cells, const char *what,
                      struct mf_error *error)
{
    struct json_document document;
    if (text.length == 0)
        return 0;
    if (json_scan(&document, text, &json_limits_default, NULL) != 0)
        return mf_fail(error, MF_INPUT, "recorded %s are no JSON object", what);
    int result = json_kind(&document, 0) == JSON_OBJECT ? 0 : mf_fail(error, MF_INPUT, "recorded %s are no JSON object", what);
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        uint32_t node = json_member(&document, 0, names[i].name);
        if (node != JSON_NONE && read_name(&document, node, &cells[i]) != 0)
            result = mf_fail(error, MF_INPUT, "recorded %s: `%s` cannot be read", what, names[i].name);
    }
    json_document_free(&document);
    return result;
}

int recipe_values_read(struct recipe_scope_of_values *values, struct mf_error *error)
{
    const struct recipe *recipe = values->recipe;
    if (read_names(values->vars->ids_json, recipe->ids, recipe->id_count, values->ids, "ids", error) != 0)
        return -1;
    return read_names(values->vars->secrets_json, recipe->secrets, recipe->secret_count, values->secrets, "secrets", error);
}

/* --- resolving --- */

static struct recipe_view text_view(struct mf_span text)
{
    return (struct recipe_view){text, JSON_STRING, text.length > 0};
}

static struct recipe_view cell_view(const struct recipe_cell *cell)
{
    return (struct recipe_view){{cell->text, cell->length}, cell->kind, cell->present};
}

static struct recipe_view input_view(const struct recipe_scope_of_values *values, uint32_t index)
{
    const struct recipe_vars *vars = values->vars;
    for (uint32_t i = 0; i < vars->input_count; i++)
        if (mf_span_is(vars->inputs[i].name, values->recipe->info.inputs[index]))
            return text_view(vars->inputs[i].value);
    return (struct recipe_view){0};
}

static struct recipe_view item_view(const struct recipe_scope_of_values *values, uint32_t field)
{
    if (values->each == RECIPE_NONE)
        return (struct recipe_view){0};
    const struct recipe_rows *rows = &values->lists[values->each];
    if (values->row >= rows->count)
        return (struct recipe_view){0};
    return cell_view(&rows->cells[(size_t)values->row * values->operation->slots[values->each].field_count + field]);
}

struct recipe_view recipe_resolve(const struct recipe_scope_of_values *values, struct recipe_reference reference)
{
    const struct recipe_vars *vars = values->vars;
    switch (reference.source) {
    case RECIPE_SOURCE_TAG:
        return text_view(vars->tag);
    case RECIPE_SOURCE_OWNER_PREFIX:
        return text_view(vars->owner_prefix);
    case RECIPE_SOURCE_CREDENTIAL:
        return text_view(vars->credential);
    case RECIPE_SOURCE_RANDOM:
        return text_view(vars->random);
    case RECIPE_SOURCE_BASE_URL:
        return text_view(vars->base_url);
    case RECIPE_SOURCE_BASE_ORIGIN:
        return text_view(recipe_origin_of(vars->base_url));
    case RECIPE_SOURCE_TOKEN:
        return text_view(MF_SPAN(RECIPE_TOKEN_MARK));
    case RECIPE_SOURCE_EXPIRES_ON:
        return text_view(mf_span(values->expires_on));
    case RECIPE_SOURCE_PAGE:
        return (struct recipe_view){mf_span(values->page_text), JSON_NUMBER, true};
    case RECIPE_SOURCE_INPUT:
        return input_view(values, reference.index);
    case RECIPE_SOURCE_ID:
        return cell_view(&values->ids[reference.index]);
    case RECIPE_SOURCE_SECRET:
        return cell_view(&values->secrets[reference.index]);
    case RECIPE_SOURCE_SLOT:
        return cell_view(&values->slots[reference.index]);
    case RECIPE_SOURCE_ITEM:
        return item_view(values, reference.index);
    case RECIPE_SOURCE_PERMISSIONS:
    case RECIPE_SOURCE_GRANTS:
        break; /* lists: written by body.c */
    }
    return (struct recipe_view){0};
}

static void name_of(const struct recipe_scope_of_values *values, struct recipe_reference reference, struct recipe_why *why)
{
    const char *name = "a value";
    if (reference.source == RECIPE_SOURCE_ID)
        name = values->recipe->ids[reference.index].name;
    else if (reference.source == RECIPE_SOURCE_SECRET)
        name = values->recipe->secrets[reference.index].name;
    else if (reference.source == RECIPE_SOURCE_SLOT)
        name = values->operation->slots[reference.index].name;
    else if (reference.source == RECIPE_SOURCE_INPUT)
        name = values->recipe->info.inputs[reference.index];
    else if (reference.source == RECIPE_SOURCE_TAG)
        name = "tag";
    else if (reference.source == RECIPE_SOURCE_CREDENTIAL)
        name = "credential";
    else if (reference.source == RECIPE_SOURCE_BASE_URL || reference.source == RECIPE_SOURCE_BASE_ORIGIN)
        name = "base_url";
    else if (reference.source == RECIPE_SOURCE_ITEM)
        name = "item";
    snprintf(why->name, sizeof why->name, "%s", name);
}

static bool is_opaque(const struct recipe_scope_of_values *values, struct recipe_reference reference)
{
    if (reference.source == RECIPE_SOURCE_ID)
        return values->recipe->ids[reference.index].opaque;
    if (reference.source == RECIPE_SOURCE_SLOT)
        return values->operation->slots[reference.index].opaque;
    return reference.source == RECIPE_SOURCE_ITEM && values->operation->slots[values->each].fields[reference.index].opaque;
}

bool recipe_is_identifier(struct mf_span text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return text.length > 0 && text.length <= 128;
}

/* --- writing --- */

static int write_encoded(struct mf_buf *out, struct mf_span text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL);
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        if ((plain ? mf_buf_char(out, (char)c) : mf_buf_append(out, escape, 3)) != 0)
            return -1;
    }
    return 0;
}

static int write_value(const struct recipe_scope_of_values *values, struct recipe_reference reference, struct mf_span text,
                       enum recipe_place_kind place, struct mf_buf *out, struct recipe_why *why)
{
    if (place == RECIPE_IN_PATH) {
        bool dots = mf_span_is(text, ".") || mf_span_is(text, "..");
        if (is_opaque(values, reference) ? dots || text.length > 1024 : !recipe_is_identifier(text)) {
            why->text = "does not fit into a path";
            return -1;
        }
    }
    if (place == RECIPE_IN_HEADER || place == RECIPE_IN_TEXT)
        return mf_buf_span(out, text);
    return write_encoded(out, text);
}

int recipe_expand(const struct recipe_scope_of_values *values, const struct recipe_template *template, enum recipe_place_kind place,
                  struct mf_buf *out, struct recipe_why *why)
{
    for (uint32_t i = 0; i < template->count; i++) {
        const struct recipe_part *part = &template->parts[i];
        bool encode = place == RECIPE_IN_QUERY || place == RECIPE_IN_FORM;
        if (!part->is_reference) {
            if ((encode ? write_encoded(out, part->literal) : mf_buf_span(out, part->literal)) != 0) {
                *why = (struct recipe_why){"is too long", "request"};
                return -1;
            }
            continue;
        }
        struct recipe_view view = recipe_resolve(values, part->reference);
        name_of(values, part->reference, why);
        if (!view.present) {
            why->text = "is not known";
            return -1;
        }
        why->text = "is too long";
        if (write_value(values, part->reference, view.text, place, out, why) != 0)
            return -1;
    }
    return 0;
}

bool recipe_is_absent(const struct recipe_scope_of_values *values, const struct recipe_template *template)
{
    if (!template->whole)
        return false;
    struct recipe_reference reference = template->parts[0].reference;
    bool optional = reference.source == RECIPE_SOURCE_EXPIRES_ON ||
                    (reference.source == RECIPE_SOURCE_SLOT && values->operation->slots[reference.index].optional);
    return optional && !recipe_resolve(values, reference).present;
}
