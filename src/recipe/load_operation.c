/* load_operation.c - an operation: its steps and what they result in */
#include "recipe/load.h"

#include <string.h>

static const char *const op_names[] = {
#define X(op, name) name,
    RECIPE_OPS(X)
#undef X
};

/* --- names of what create records: other operations need them before create itself is read --- */

static void load_names(struct recipe_loader *loader, uint32_t node, struct recipe_name *names, uint32_t *count)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        if (*count == RECIPE_NAMES_MAX) {
            recipe_problem(loader, key, "more than %u names", RECIPE_NAMES_MAX);
            return;
        }
        const char *name = recipe_name(loader, key);
        if (name != NULL)
            names[(*count)++] = (struct recipe_name){.name = name, .node = key};
    }
}

void recipe_names_load(struct recipe_loader *loader)
{
    const struct json_document *document = loader->document;
    struct recipe *recipe = loader->recipe;
    uint32_t create = json_member(document, 0, "create");
    uint32_t result = create == JSON_NONE ? JSON_NONE : json_member(document, create, "result");
    if (result == JSON_NONE)
        return;
    load_names(loader, json_member(document, result, "ids"), recipe->ids, &recipe->id_count);
    load_names(loader, json_member(document, result, "secrets"), recipe->secrets, &recipe->secret_count);
}

/* --- results --- */

static struct recipe_place place_of_result(struct recipe_operation *operation)
{
    return (struct recipe_place){.operation = operation, .step = RECIPE_NONE, .each = operation->rows};
}

/* An id becomes part of later paths, so what it is made of must look like one; opaque when its only source is. */
static void settle_id(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node, struct recipe_name *name,
                      const struct recipe_template *template)
{
    for (uint32_t i = 0; i < template->count; i++) {
        const struct recipe_part *part = &template->parts[i];
        if (part->is_reference && (part->reference.source == RECIPE_SOURCE_ID || part->reference.source == RECIPE_SOURCE_SECRET))
            recipe_problem(loader, node, "a result is made of values of steps, not of itself");
        if (part->is_reference && part->reference.source == RECIPE_SOURCE_SLOT) {
            struct recipe_slot *slot = &operation->slots[part->reference.index];
            slot->identifier = true;
            name->opaque = name->opaque || slot->opaque;
            if (operation->op == RECIPE_CREATE && name->known_after < slot->step + 1)
                name->known_after = slot->step + 1;
        }
        if (part->is_reference && part->reference.source == RECIPE_SOURCE_ITEM) {
            struct recipe_field *field = &operation->slots[operation->rows].fields[part->reference.index];
            field->identifier = true;
            name->opaque = name->opaque || field->opaque;
        }
    }
}

static void settle_secret(struct recipe_loader *loader, const struct recipe_operation *operation, uint32_t node, struct recipe_name *name,
                          const struct recipe_template *template)
{
    for (uint32_t i = 0; i < template->count; i++) {
        struct recipe_reference reference = template->parts[i].reference;
        if (!template->parts[i].is_reference)
            continue;
        if (reference.source == RECIPE_SOURCE_CREDENTIAL)
            recipe_problem(loader, node, "the operator's credential is never given to an account");
        if (reference.source == RECIPE_SOURCE_ID || reference.source == RECIPE_SOURCE_SECRET)
            recipe_problem(loader, node, "a result is made of values of steps, not of itself");
        if (reference.source == RECIPE_SOURCE_SLOT && name->known_after < operation->slots[reference.index].step + 1)
            name->known_after = operation->slots[reference.index].step + 1;
    }
}

static uint32_t find_id(const struct json_document *document, uint32_t key, const struct recipe_name *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (json_is(document, key, names[i].name))
            return i;
    return RECIPE_NONE;
}

static void load_ids(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node)
{
    struct recipe *recipe = loader->recipe;
    const struct json_document *document = loader->document;
    struct recipe_place place = place_of_result(operation);
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    operation->ids = recipe_take(loader, RECIPE_NAMES_MAX, sizeof *operation->ids);
    for (uint32_t key = json_first(document, node); key != JSON_NONE && operation->ids != NULL; key = json_next(document, node, key)) {
        uint32_t index = find_id(document, key, recipe->ids, recipe->id_count);
        if (index == RECIPE_NONE) {
            recipe_problem(loader, key, "`create` records no id of this name");
            continue;
        }
        if (!recipe_template_load(loader, &place, json_value(document, key), &operation->ids[index]))
            continue;
        settle_id(loader, operation, json_value(document, key), &recipe->ids[index], &operation->ids[index]);
        recipe->ids[index].found = recipe->ids[index].found || operation->op == RECIPE_FIND;
    }
}

static void load_secrets(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node)
{
    struct recipe *recipe = loader->recipe;
    const struct json_document *document = loader->document;
    struct recipe_place place = place_of_result(operation);
    place.secrets = true;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    operation->secrets = recipe_take(loader, RECIPE_NAMES_MAX, sizeof *operation->secrets);
    for (uint32_t key = json_first(document, node); key != JSON_NONE && operation->secrets != NULL; key = json_next(document, node, key)) {
        uint32_t index = find_id(document, key, recipe->secrets, recipe->secret_count), value = json_value(document, key);
        if (index != RECIPE_NONE && recipe_template_load(loader, &place, value, &operation->secrets[index]))
            settle_secret(loader, operation, value, &recipe->secrets[index], &operation->secrets[index]);
    }
}

static void load_create_result(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node)
{
    static const char *const keys[] = {"ids", "secrets", "expires"};
    struct recipe_place place = place_of_result(operation);
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    load_ids(loader, operation, json_member(loader->document, node, "ids"));
    load_secrets(loader, operation, json_member(loader->document, node, "secrets"));
    uint32_t expires = json_member(loader->document, node, "expires");
    if (expires != JSON_NONE)
        recipe_template_load(loader, &place, expires, &loader->recipe->expires);
}

static void load_found_result(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node)
{
    static const char *const keys[] = {"for_each", "ids", "tag", "created"};
    size_t count = operation->op == RECIPE_CHECK ? 1 : operation->op == RECIPE_FIND ? 2 : 4;
    if (!recipe_keys(loader, node, keys, count))
        return;
    uint32_t rows = json_member(loader->document, node, "for_each");
    if (rows != JSON_NONE)
        operation->rows = recipe_list_load(loader, operation, RECIPE_NONE, rows);
    struct recipe_place place = place_of_result(operation);
    load_ids(loader, operation, json_member(loader->document, node, "ids"));
    uint32_t tag = operation->op == RECIPE_LIST ? recipe_required(loader, node, "tag") : JSON_NONE;
    if (tag != JSON_NONE)
        recipe_template_load(loader, &place, tag, &operation->tag);
    uint32_t created = operation->op == RECIPE_LIST ? json_member(loader->document, node, "created") : JSON_NONE;
    if (created != JSON_NONE)
        loader->recipe->info.lists_created = recipe_template_load(loader, &place, created, &operation->created);
}

static void load_result(struct recipe_loader *loader, struct recipe_operation *operation)
{
    uint32_t node = json_member(loader->document, operation->node, "result");
    if (node == JSON_NONE && operation->op != RECIPE_CHECK && operation->op != RECIPE_REVOKE && operation->op != RECIPE_DELETE)
        recipe_required(loader, operation->node, "result");
    if (node == JSON_NONE)
        return;
    if (operation->op == RECIPE_CREATE)
        load_create_result(loader, operation, node);
    else if (operation->op != RECIPE_REVOKE && operation->op != RECIPE_DELETE)
        load_found_result(loader, operation, node);
}

/* --- revoke.kills, delete.ends --- */

static void load_kills(struct recipe_loader *loader, struct recipe_operation *operation)
{
    struct recipe *recipe = loader->recipe;
    const struct json_document *document = loader->document;
    uint32_t kills = json_member(document, operation->node, "kills");
    for (uint32_t i = 0; i < recipe->secret_count; i++)
        recipe->secrets[i].killed = kills == JSON_NONE;
    if (kills == JSON_NONE || !recipe_is(loader, kills, JSON_ARRAY))
        return;
    for (uint32_t item = json_first(document, kills); item != JSON_NONE; item = json_next(document, kills, item)) {
        uint32_t index = find_id(document, item, recipe->secrets, recipe->secret_count);
        if (index == RECIPE_NONE)
            recipe_problem(loader, item, "`create` records no secret of this name");
        else
            recipe->secrets[index].killed = true;
    }
}

static void load_ends(struct recipe_loader *loader, struct recipe_operation *operation)
{
    static const char *const names[] = {"gone", "expiring"};
    uint32_t ends = json_member(loader->document, operation->node, "ends");
    if (ends != JSON_NONE)
        loader->recipe->info.delete_ends_expiring = recipe_choice(loader, ends, names, RECIPE_COUNT(names)) == 1;
}

static bool check_keys(struct recipe_loader *loader, enum recipe_op op, uint32_t node)
{
    static const char *const with_result[] = {"description", "headers", "steps", "result"};
    static const char *const revoke[] = {"description", "headers", "steps", "kills"};
    static const char *const delete[] = {"description", "headers", "steps", "ends"};
    const char *const *keys = op == RECIPE_REVOKE ? revoke : op == RECIPE_DELETE ? delete : with_result;
    return recipe_keys(loader, node, keys, 4);
}

void recipe_operation_load(struct recipe_loader *loader, enum recipe_op op)
{
    const struct json_document *document = loader->document;
    struct recipe_operation *operation = &loader->recipe->operations[op];
    uint32_t node = json_member(document, 0, op_names[op]);
    *operation = (struct recipe_operation){.op = op, .node = node, .rows = RECIPE_NONE};
    if (node == JSON_NONE || !check_keys(loader, op, node))
        return;
    operation->present = loader->recipe->info.has[op] = true;
    uint32_t steps = recipe_required(loader, node, "steps");
    if (steps == JSON_NONE || !recipe_is(loader, steps, JSON_ARRAY))
        return;
    uint32_t count = document->nodes[steps].children;
    if (count == 0 || count > RECIPE_STEPS_MAX) {
        recipe_problem(loader, steps, "must have 1 to %u steps", RECIPE_STEPS_MAX);
        return;
    }
    operation->steps = recipe_take(loader, count, sizeof *operation->steps);
    operation->slots = recipe_take(loader, (size_t)count * RECIPE_NAMES_MAX, sizeof *operation->slots);
    if (operation->steps == NULL || operation->slots == NULL)
        return;
    uint32_t headers = json_member(document, node, "headers");
    for (uint32_t item = json_first(document, steps); item != JSON_NONE; item = json_next(document, steps, item))
        recipe_step_load(loader, operation, operation->step_count++, item, headers);
    load_result(loader, operation);
    if (op == RECIPE_REVOKE)
        load_kills(loader, operation);
    if (op == RECIPE_DELETE)
        load_ends(loader, operation);
}
