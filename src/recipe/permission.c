/*
 * permission.c - the table of permissions: names for people, grants for the provider, rules for the gateway
 *
 * A grant is any JSON value that the provider understands (a group's id, an access rule). Grants are sorted into scopes,
 * because a provider may want one policy for each kind of resource; a scope is the template of its policy.
 *
 * A rule is "METHOD /path". A segment is a literal, `*` (one segment), `**` (the rest), or `{name}`: the account's recorded id
 * of that name, else a parameter by which a graph may narrow the permission. `{name:opaque}` may hold any bytes.
 */
#include "http1/path.h"
#include "recipe/load.h"

#include <stdio.h>
#include <string.h>

/* --- rules --- */

static const char *const rule_methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

static bool is_literal(struct mf_span segment)
{
    for (size_t i = 0; i < segment.length; i++) {
        char c = segment.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c) != NULL))
            return false;
    }
    return segment.length > 0 && !mf_span_is(segment, ".") && !mf_span_is(segment, "..");
}

/* The name of `{name}` or `{name:opaque}`; the empty span when it is none. */
static struct mf_span parameter_of(struct mf_span segment)
{
    if (segment.length < 3 || segment.data[0] != '{' || segment.data[segment.length - 1] != '}')
        return (struct mf_span){NULL, 0};
    struct mf_span name = {segment.data + 1, segment.length - 2};
    if (mf_span_ends(name, ":opaque"))
        name.length -= strlen(":opaque");
    return recipe_name_valid(name) ? name : (struct mf_span){NULL, 0};
}

/* Takes the next segment off a path; false at its end. */
static bool next_segment(struct mf_span *rest, struct mf_span *segment)
{
    if (rest->length == 0)
        return false;
    const char *slash = memchr(rest->data + 1, '/', rest->length - 1);
    size_t length = slash == NULL ? rest->length - 1 : (size_t)(slash - rest->data) - 1;
    *segment = (struct mf_span){rest->data + 1, length};
    *rest = (struct mf_span){rest->data + length + 1, rest->length - length - 1};
    return true;
}

static struct mf_span path_of_rule(const char *rule)
{
    const char *space = strchr(rule, ' ');
    return mf_span(space == NULL ? "" : space + 1);
}

bool recipe_rule_check(struct recipe_loader *loader, uint32_t node, const char *rule)
{
    bool method = false;
    for (size_t i = 0; i < RECIPE_COUNT(rule_methods); i++)
        method = method || (strncmp(rule, rule_methods[i], strlen(rule_methods[i])) == 0 && rule[strlen(rule_methods[i])] == ' ');
    struct mf_span rest = path_of_rule(rule), segment;
    if (!method || rest.length < 2 || rest.data[0] != '/') {
        recipe_problem(loader, node, "rule `%.100s` must be a method in capitals, a space and a path", rule);
        return false;
    }
    for (uint32_t count = 0; next_segment(&rest, &segment); count++) {
        bool good = is_literal(segment) || mf_span_is(segment, "*") || (mf_span_is(segment, "**") && rest.length == 0 && count > 0) ||
                    parameter_of(segment).length > 0;
        if (good && count < HTTP1_SEGMENTS_MAX)
            continue;
        recipe_problem(loader, node, "rule `%.100s` has a bad segment `%.*s`", rule, (int)(segment.length > 40 ? 40 : segment.length), segment.data);
        return false;
    }
    return true;
}

static bool is_recorded(const struct recipe *recipe, struct mf_span name)
{
    for (uint32_t i = 0; i < recipe->id_count; i++)
        if (mf_span_is(name, recipe->ids[i].name))
            return true;
    return false;
}

static void add_parameters(struct recipe_loader *loader, struct recipe_permission *permission, const char *rule)
{
    struct mf_span rest = path_of_rule(rule), segment;
    while (next_segment(&rest, &segment)) {
        struct mf_span name = parameter_of(segment);
        bool known = name.length == 0 || is_recorded(loader->recipe, name);
        for (uint32_t i = 0; !known && i < permission->parameter_count; i++)
            known = mf_span_is(name, permission->parameters[i]);
        if (!known && permission->parameter_count < RECIPE_NAMES_MAX)
            permission->parameters[permission->parameter_count++] = recipe_copy(loader, name);
    }
}

static void load_rules(struct recipe_loader *loader, uint32_t node, struct recipe_permission *permission)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    permission->rules = recipe_take(loader, document->nodes[node].children, sizeof *permission->rules);
    permission->parameters = recipe_take(loader, RECIPE_NAMES_MAX, sizeof *permission->parameters);
    if (permission->rules == NULL || permission->parameters == NULL)
        return;
    for (uint32_t item = json_first(document, node); item != JSON_NONE; item = json_next(document, node, item)) {
        const char *rule = recipe_string(loader, item, 500);
        if (rule == NULL || !recipe_rule_check(loader, item, rule))
            continue;
        permission->rules[permission->rule_count++] = rule;
        add_parameters(loader, permission, rule);
    }
}

/* --- the table --- */

static uint32_t find_scope(const struct recipe_permissions *table, const struct json_document *document, uint32_t key)
{
    for (uint32_t i = 0; i < table->scope_count; i++)
        if (json_is(document, key, table->scopes[i].name))
            return i;
    return RECIPE_NONE;
}

/* An array of grants, or an object with one array for each scope. Without scopes there is one nameless list. */
static void load_grants(struct recipe_loader *loader, uint32_t node, struct recipe_permission *permission)
{
    const struct json_document *document = loader->document;
    const struct recipe_permissions *table = &loader->recipe->permissions;
    uint32_t room = table->scope_count > 0 ? table->scope_count : 1;
    permission->grants = recipe_take(loader, room, sizeof *permission->grants);
    for (uint32_t i = 0; permission->grants != NULL && i < room; i++)
        permission->grants[i] = RECIPE_NONE;
    if (permission->grants == NULL || node == JSON_NONE)
        return;
    if (table->scope_count == 0) {
        if (recipe_is(loader, node, JSON_ARRAY))
            permission->grants[0] = node;
        return;
    }
    if (!recipe_is(loader, node, JSON_OBJECT))
        return;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        uint32_t scope = find_scope(table, document, key);
        if (scope == RECIPE_NONE)
            recipe_problem(loader, key, "no scope has this name");
        else if (recipe_is(loader, json_value(document, key), JSON_ARRAY))
            permission->grants[scope] = json_value(document, key);
    }
}

static const char *permission_name(struct recipe_loader *loader, uint32_t key)
{
    const char *name = recipe_string(loader, key, 64);
    for (const char *c = name; c != NULL && *c != '\0'; c++) {
        if ((*c >= 'a' && *c <= 'z') || (c > name && ((*c >= '0' && *c <= '9') || strchr("_:-", *c) != NULL)))
            continue;
        recipe_problem(loader, key, "permission `%.64s` must match [a-z][a-z0-9_:-]*", name);
        return NULL;
    }
    return name;
}

static void load_names(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"description", "grants", "rules"};
    const struct json_document *document = loader->document;
    struct recipe_permissions *table = &loader->recipe->permissions;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    if (document->nodes[node].children > RECIPE_PERMISSIONS_MAX) {
        recipe_problem(loader, node, "more than %u permissions", RECIPE_PERMISSIONS_MAX);
        return;
    }
    table->items = recipe_take(loader, document->nodes[node].children, sizeof *table->items);
    for (uint32_t key = json_first(document, node); key != JSON_NONE && table->items != NULL; key = json_next(document, node, key)) {
        uint32_t value = json_value(document, key);
        const char *name = permission_name(loader, key);
        if (name == NULL || !recipe_keys(loader, value, keys, RECIPE_COUNT(keys)))
            continue;
        struct recipe_permission *permission = &table->items[table->count++];
        permission->name = name;
        load_grants(loader, json_member(document, value, "grants"), permission);
        load_rules(loader, json_member(document, value, "rules"), permission);
    }
}

static void load_scopes(struct recipe_loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    struct recipe_permissions *table = &loader->recipe->permissions;
    struct recipe_place place = {.operation = &loader->recipe->operations[RECIPE_CREATE], .step = RECIPE_NONE, .each = RECIPE_NONE, .grants = true};
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    table->scopes = recipe_take(loader, document->nodes[node].children, sizeof *table->scopes);
    for (uint32_t key = json_first(document, node); key != JSON_NONE && table->scopes != NULL; key = json_next(document, node, key)) {
        struct recipe_scope *scope = &table->scopes[table->scope_count];
        scope->name = recipe_name(loader, key);
        if (scope->name != NULL && recipe_tree_load(loader, &place, json_value(document, key), &scope->policy))
            table->scope_count++;
    }
}

static void load_table(struct recipe_loader *loader, uint32_t node)
{
    struct recipe_permissions *table = &loader->recipe->permissions;
    struct recipe_place place = {.operation = &loader->recipe->operations[RECIPE_CREATE], .step = RECIPE_NONE, .each = RECIPE_NONE};
    table->document = loader->document;
    load_scopes(loader, json_member(loader->document, node, "scopes"));
    uint32_t none = json_member(loader->document, node, "none");
    table->none.root = JSON_NONE;
    if (none != JSON_NONE && recipe_is(loader, none, JSON_ARRAY))
        recipe_tree_load(loader, &place, none, &table->none);
    load_names(loader, recipe_required(loader, node, "names"));
}

static void load_shared(struct recipe_loader *loader, uint32_t from)
{
    static const char *const keys[] = {"$schema", "permissions", "description", "scopes", "none", "names"};
    const char *name = recipe_name(loader, from);
    struct mf_span text = name == NULL ? (struct mf_span){NULL, 0} : recipe_shipped_table(name);
    if (text.length == 0) {
        recipe_problem(loader, from, "no permission table `%.64s` is shipped", name == NULL ? "" : name);
        return;
    }
    struct json_failure failure;
    if (json_scan(&loader->recipe->shared, text, &json_limits_default, &failure) != 0) {
        loader->no_memory = failure.code == MF_MEMORY;
        recipe_problem(loader, from, "permission table `%s`: %s", name, failure.reason);
        return;
    }
    const struct json_document *own = loader->document;
    loader->document = &loader->recipe->shared;
    if (recipe_keys(loader, 0, keys, RECIPE_COUNT(keys)))
        load_table(loader, 0);
    loader->document = own;
}

void recipe_permissions_load(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"from"}, *const own[] = {"scopes", "none", "names"};
    loader->recipe->permissions.none.root = JSON_NONE;
    if (node == JSON_NONE)
        return;
    uint32_t from = json_member(loader->document, node, "from");
    if (from != JSON_NONE && recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        load_shared(loader, from);
    else if (from == JSON_NONE && recipe_keys(loader, node, own, RECIPE_COUNT(own)))
        load_table(loader, node);
}

/* --- for callers --- */

static const struct recipe_permission *find(const struct recipe *recipe, struct mf_span name)
{
    for (uint32_t i = 0; i < recipe->permissions.count; i++)
        if (mf_span_is(name, recipe->permissions.items[i].name))
            return &recipe->permissions.items[i];
    return NULL;
}

const char *recipe_permission_name(const struct recipe *recipe, uint32_t index)
{
    return index < recipe->permissions.count ? recipe->permissions.items[index].name : NULL;
}

bool recipe_has_permission(const struct recipe *recipe, struct mf_span name)
{
    return find(recipe, name) != NULL;
}

const char *recipe_permission_parameter(const struct recipe *recipe, struct mf_span name, uint32_t index)
{
    const struct recipe_permission *permission = find(recipe, name);
    return permission != NULL && index < permission->parameter_count ? permission->parameters[index] : NULL;
}

const char *recipe_permission_rule(const struct recipe *recipe, struct mf_span name, uint32_t index)
{
    const struct recipe_permission *permission = find(recipe, name);
    return permission != NULL && index < permission->rule_count ? permission->rules[index] : NULL;
}
