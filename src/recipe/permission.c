/*
 * permission.c - the table of permissions: names for people, grants for the provider, rules for the gateway
 *
 * A grant is any JSON value that the provider understands (a group's id, an access rule). Grants are sorted into scopes,
 * because a provider may want one policy for each kind of resource; a scope is the template of its policy.
 *
 * Rules are those of http1/match.h, as text, or as an object where more is to be said of one. A `{name}` in it is the account's
 * recorded id of that name, else a parameter by which a graph may narrow the permission.
 */
#include "recipe/load.h"

#include <string.h>

/* --- rules --- */

static bool is_recorded(const struct recipe *recipe, struct mf_span name)
{
    for (uint32_t i = 0; i < recipe->id_count; i++)
        if (mf_span_is(name, recipe->ids[i].name))
            return true;
    return false;
}

static int check_text(const char *rule, bool everything, struct mf_error *error)
{
    struct http1_rule_part part;
    struct mf_span path;
    int more;
    if (http1_rule_path(mf_span(rule), &path, error) != 0)
        return -1;
    for (uint32_t count = 0; (more = http1_rule_next(&path, &part, error)) > 0; count++) {
        if (count == HTTP1_SEGMENTS_MAX)
            return mf_fail(error, MF_INPUT, "rule `%.100s` has more than %u segments", rule, HTTP1_SEGMENTS_MAX);
        if (part.kind == HTTP1_PART_REST && count == 0 && !everything)
            return mf_fail(error, MF_INPUT, "rule `%.100s` has a bad segment `**`: it would be everything", rule);
    }
    return more;
}

static bool load_rule(struct recipe_loader *loader, uint32_t node, bool everything, struct recipe_rule *out)
{
    static const char *const keys[] = {"description", "rule", "credential", "shared", "free"}, *const credentials[] = {"account", "agent"};
    const struct json_document *document = loader->document;
    uint32_t text = node;
    *out = (struct recipe_rule){0};
    if (json_kind(document, node) == JSON_OBJECT) {
        if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
            return false;
        uint32_t credential = json_member(document, node, "credential");
        text = recipe_required(loader, node, "rule");
        out->agent = credential != JSON_NONE && recipe_choice(loader, credential, credentials, RECIPE_COUNT(credentials)) == 1;
        out->shared = recipe_boolean(loader, json_member(document, node, "shared"), false);
        out->free = recipe_boolean(loader, json_member(document, node, "free"), false);
    }
    struct mf_error error = {0};
    out->text = recipe_string(loader, text, HTTP1_RULE_BYTES_MAX);
    if (out->text == NULL || check_text(out->text, everything, &error) == 0)
        return out->text != NULL;
    recipe_problem(loader, text, "%s", error.text);
    return false;
}

void recipe_rules_load(struct recipe_loader *loader, uint32_t node, bool everything, struct recipe_rules *out)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_ARRAY))
        return;
    out->items = recipe_take(loader, document->nodes[node].children, sizeof *out->items);
    for (uint32_t item = json_first(document, node); item != JSON_NONE && out->items != NULL; item = json_next(document, node, item))
        out->count += load_rule(loader, item, everything, &out->items[out->count]);
}

/* The names by which the permission can be narrowed: those of its rules that are no recorded ids. */
static void add_parameters(struct recipe_loader *loader, struct recipe_permission *permission, const char *rule)
{
    struct http1_rule_part part;
    struct mf_span path;
    if (http1_rule_path(mf_span(rule), &path, NULL) != 0)
        return;
    while (http1_rule_next(&path, &part, NULL) > 0) {
        bool known = part.name.length == 0 || is_recorded(loader->recipe, part.name);
        for (uint32_t i = 0; !known && i < permission->parameter_count; i++)
            known = mf_span_is(part.name, permission->parameters[i]);
        if (!known && permission->parameter_count < RECIPE_NAMES_MAX)
            permission->parameters[permission->parameter_count++] = recipe_copy(loader, part.name);
    }
}

static void load_rules(struct recipe_loader *loader, uint32_t node, struct recipe_permission *permission)
{
    recipe_rules_load(loader, node, false, &permission->rules);
    permission->parameters = recipe_take(loader, RECIPE_NAMES_MAX, sizeof *permission->parameters);
    for (uint32_t i = 0; i < permission->rules.count && permission->parameters != NULL; i++)
        add_parameters(loader, permission, permission->rules.items[i].text);
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
    return permission != NULL && index < permission->rules.count ? permission->rules.items[index].text : NULL;
}
