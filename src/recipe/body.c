/*
 * body.c - a JSON body with its templates filled in
 *
 * A string that is one whole template takes the value with its JSON type. A member whose whole value is an optional value that
 * is not there is left out. `{{permissions}}` becomes one policy for each scope that has grants, `{{ids}}` the grants inside it.
 */
#include "base/alloc.h"
#include "json/write.h"
#include "recipe/run.h"

#include <string.h>

struct body_writer {
    const struct recipe_scope_of_values *values;
    struct json_writer json;
    struct recipe_why *why;
    uint32_t scope; /* inside permissions.scopes */
    bool failed;
};

static void write_node(struct body_writer *writer, const struct recipe_tree *tree, uint32_t node);

static const struct recipe_template *template_of(const struct recipe_tree *tree, uint32_t node)
{
    uint32_t low = 0, high = tree->leaf_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (tree->leaves[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tree->leaf_count && tree->leaves[low].node == node ? &tree->leaves[low].template : NULL;
}

/* --- permissions --- */

static bool is_wanted(const struct recipe_vars *vars, const struct recipe_permission *permission)
{
    for (uint32_t i = 0; i < vars->permission_count; i++)
        if (mf_span_is(vars->permissions[i], permission->name))
            return true;
    return false;
}

/* Two permissions may share a grant; a provider may dislike to be told twice. */
static bool is_repeated(const struct recipe_permissions *table, const struct recipe_vars *vars, uint32_t scope, uint32_t permission, uint32_t node)
{
    struct mf_span raw = json_raw(table->document, node);
    for (uint32_t i = 0; i <= permission; i++) {
        uint32_t list = table->items[i].grants[scope];
        if (list == RECIPE_NONE || !is_wanted(vars, &table->items[i]))
            continue;
        for (uint32_t item = json_first(table->document, list); item != JSON_NONE; item = json_next(table->document, list, item)) {
            if (item == node)
                return false;
            if (mf_span_equal(json_raw(table->document, item), raw))
                return true;
        }
    }
    return false;
}

/* Writes the grants of the wanted permissions; with `writer` NULL only counts them. */
static uint32_t write_grants(const struct recipe_scope_of_values *values, uint32_t scope, struct json_writer *writer)
{
    const struct recipe_permissions *table = &values->recipe->permissions;
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        uint32_t list = table->items[i].grants[scope];
        if (list == RECIPE_NONE || !is_wanted(values->vars, &table->items[i]))
            continue;
        for (uint32_t item = json_first(table->document, list); item != JSON_NONE; item = json_next(table->document, list, item)) {
            count++;
            if (writer != NULL && !is_repeated(table, values->vars, scope, i, item))
                json_raw_value(writer, json_raw(table->document, item));
        }
    }
    return count;
}

static void write_permissions(struct body_writer *writer)
{
    const struct recipe_permissions *table = &writer->values->recipe->permissions;
    uint32_t policies = 0;
    if (table->scope_count == 0) {
        json_open_array(&writer->json);
        write_grants(writer->values, 0, &writer->json);
        json_close_array(&writer->json);
        return;
    }
    for (uint32_t i = 0; i < table->scope_count; i++)
        policies += write_grants(writer->values, i, NULL) > 0;
    if (policies == 0 && table->none.root != JSON_NONE) {
        write_node(writer, &table->none, table->none.root);
        return;
    }
    json_open_array(&writer->json);
    for (uint32_t i = 0; i < table->scope_count; i++) {
        if (write_grants(writer->values, i, NULL) == 0)
            continue;
        writer->scope = i;
        write_node(writer, &table->scopes[i].policy, table->scopes[i].policy.root);
    }
    json_close_array(&writer->json);
}

/* --- values --- */

static void write_whole(struct body_writer *writer, const struct recipe_template *template)
{
    struct recipe_reference reference = template->parts[0].reference;
    if (reference.source == RECIPE_SOURCE_PERMISSIONS) {
        write_permissions(writer);
        return;
    }
    if (reference.source == RECIPE_SOURCE_GRANTS) {
        json_open_array(&writer->json);
        write_grants(writer->values, writer->scope, &writer->json);
        json_close_array(&writer->json);
        return;
    }
    struct recipe_view view = recipe_resolve(writer->values, reference);
    if (!view.present) {
        writer->failed = true;
        recipe_expand(writer->values, template, RECIPE_IN_TEXT, writer->json.out, writer->why); /* says which */
    } else if (view.kind == JSON_STRING) {
        json_string_span(&writer->json, view.text);
    } else {
        json_raw_value(&writer->json, view.text);
    }
}

static void write_mixed(struct body_writer *writer, const struct recipe_template *template, bool key)
{
    struct mf_buf text;
    mf_buf_init_secret(&text, RECIPE_BODY_BYTES_MAX);
    if (recipe_expand(writer->values, template, RECIPE_IN_TEXT, &text, writer->why) != 0)
        writer->failed = true;
    else if (key)
        json_key_span(&writer->json, mf_buf_view(&text));
    else
        json_string_span(&writer->json, mf_buf_view(&text));
    mf_buf_free(&text);
}

static void write_key(struct body_writer *writer, const struct recipe_tree *tree, uint32_t key)
{
    const struct recipe_template *template = template_of(tree, key);
    struct mf_buf text;
    if (template != NULL) {
        write_mixed(writer, template, true);
        return;
    }
    mf_buf_init(&text, RECIPE_TEXT_BYTES_MAX);
    if (json_text(tree->document, key, &text) != 0)
        writer->failed = true;
    json_key_span(&writer->json, mf_buf_view(&text));
    mf_buf_free(&text);
}

static void write_object(struct body_writer *writer, const struct recipe_tree *tree, uint32_t node)
{
    json_open_object(&writer->json);
    for (uint32_t key = json_first(tree->document, node); key != JSON_NONE && !writer->failed; key = json_next(tree->document, node, key)) {
        uint32_t value = json_value(tree->document, key);
        const struct recipe_template *template = template_of(tree, value);
        if (template != NULL && recipe_is_absent(writer->values, template))
            continue;
        write_key(writer, tree, key);
        if (!writer->failed)
            write_node(writer, tree, value);
    }
    json_close_object(&writer->json);
}

/* The depth is that of the recipe's text, which the scanner bounds. */
static void write_node(struct body_writer *writer, const struct recipe_tree *tree, uint32_t node)
{
    const struct recipe_template *template = template_of(tree, node);
    enum json_kind kind = json_kind(tree->document, node);
    if (template != NULL && template->whole) {
        write_whole(writer, template);
    } else if (template != NULL) {
        write_mixed(writer, template, false);
    } else if (kind == JSON_OBJECT) {
        write_object(writer, tree, node);
    } else if (kind == JSON_ARRAY) {
        json_open_array(&writer->json);
        for (uint32_t item = json_first(tree->document, node); item != JSON_NONE && !writer->failed; item = json_next(tree->document, node, item))
            write_node(writer, tree, item);
        json_close_array(&writer->json);
    } else {
        json_raw_value(&writer->json, json_raw(tree->document, node));
    }
}

int recipe_tree_expand(const struct recipe_scope_of_values *values, const struct recipe_tree *tree, struct mf_buf *out, struct recipe_why *why)
{
    struct body_writer writer = {.values = values, .why = why};
    json_begin(&writer.json, out);
    write_node(&writer, tree, tree->root);
    if (out->failed && !writer.failed)
        *why = (struct recipe_why){"is too long", "body"};
    return writer.failed || out->failed ? -1 : 0;
}
