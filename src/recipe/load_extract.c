/* load_extract.c - what a step takes from an answer: values by pointer or header, lists row by row */
#include "recipe/load.h"

#include <string.h>

/* The slots of an operation stand in one array of fixed size, because templates keep indexes and the loader keeps pointers. */
static struct recipe_slot *new_slot(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t step, uint32_t key)
{
    if (operation->slot_count - operation->steps[step].slot_first >= RECIPE_NAMES_MAX) {
        recipe_problem(loader, key, "step extracts more than %u values", RECIPE_NAMES_MAX);
        return NULL;
    }
    struct recipe_slot *slot = &operation->slots[operation->slot_count];
    *slot = (struct recipe_slot){.name = recipe_name(loader, key), .step = step};
    if (slot->name == NULL)
        return NULL;
    operation->slot_count++;
    operation->steps[step].slot_count++;
    return slot;
}

static void load_field(struct recipe_loader *loader, uint32_t key, uint32_t value, struct recipe_field *out)
{
    static const char *const keys[] = {"pointer", "opaque", "optional"};
    out->name = key == JSON_NONE ? NULL : recipe_name(loader, key);
    if (json_kind(loader->document, value) == JSON_STRING) {
        out->pointer = recipe_pointer(loader, value);
        return;
    }
    if (!recipe_keys(loader, value, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t pointer = recipe_required(loader, value, "pointer");
    out->pointer = pointer == JSON_NONE ? (struct mf_span){NULL, 0} : recipe_pointer(loader, pointer);
    out->opaque = recipe_boolean(loader, json_member(loader->document, value, "opaque"), false);
    out->optional = recipe_boolean(loader, json_member(loader->document, value, "optional"), false);
}

static void load_fields(struct recipe_loader *loader, uint32_t node, struct recipe_slot *slot)
{
    const struct json_document *document = loader->document;
    uint32_t fields = json_member(document, node, "fields"), pointer = json_member(document, node, "pointer");
    if ((fields == JSON_NONE) == (pointer == JSON_NONE)) {
        recipe_problem(loader, node, "a list needs `pointer` or `fields`");
        return;
    }
    bool many = fields != JSON_NONE;
    if (many && (!recipe_is(loader, fields, JSON_OBJECT) || document->nodes[fields].children > RECIPE_NAMES_MAX))
        return;
    slot->fields = recipe_take(loader, many ? document->nodes[fields].children : 1, sizeof *slot->fields);
    if (slot->fields == NULL)
        return;
    for (uint32_t key = many ? json_first(document, fields) : JSON_NONE; key != JSON_NONE; key = json_next(document, fields, key))
        load_field(loader, key, json_value(document, key), &slot->fields[slot->field_count++]);
    if (many)
        return;
    slot->field_count = 1;
    slot->fields[0].pointer = recipe_pointer(loader, pointer);
    slot->fields[0].opaque = slot->opaque;
}

static void load_where(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node, struct recipe_slot *slot)
{
    static const char *const keys[] = {"pointer", "equals", "starts_with"};
    uint32_t where = json_member(loader->document, node, "where");
    if (where == JSON_NONE || !recipe_keys(loader, where, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t pointer = recipe_required(loader, where, "pointer");
    if (pointer != JSON_NONE)
        slot->where_pointer = recipe_pointer(loader, pointer);
    uint32_t equals = json_member(loader->document, where, "equals"), starts = json_member(loader->document, where, "starts_with");
    if ((equals == JSON_NONE) == (starts == JSON_NONE)) {
        recipe_problem(loader, where, "needs exactly one of `equals`, `starts_with`");
        return;
    }
    struct recipe_place place = {.operation = operation, .step = slot->step, .each = RECIPE_NONE};
    slot->where = equals != JSON_NONE ? RECIPE_TEST_EQUALS : RECIPE_TEST_CONTAINS;
    recipe_template_load(loader, &place, equals != JSON_NONE ? equals : starts, &slot->where_value);
}

static void load_list(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t node, struct recipe_slot *slot)
{
    static const char *const keys[] = {"each", "pointer", "fields", "where", "max", "opaque"};
    slot->kind = RECIPE_SLOT_LIST;
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    slot->pointer = recipe_pointer(loader, json_member(loader->document, node, "each"));
    slot->opaque = recipe_boolean(loader, json_member(loader->document, node, "opaque"), false);
    slot->rows_max = (uint32_t)recipe_number(loader, json_member(loader->document, node, "max"), 1, RECIPE_ROWS_OF_PAGE_MAX, RECIPE_ROWS_OF_PAGE_MAX);
    load_fields(loader, node, slot);
    load_where(loader, operation, node, slot);
}

static void load_value(struct recipe_loader *loader, uint32_t node, struct recipe_slot *slot)
{
    static const char *const keys[] = {"pointer", "header", "secret", "optional", "opaque"};
    const struct json_document *document = loader->document;
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t pointer = json_member(document, node, "pointer"), header = json_member(document, node, "header");
    if ((pointer == JSON_NONE) == (header == JSON_NONE)) {
        recipe_problem(loader, node, "needs exactly one of `pointer`, `header`, `each`");
        return;
    }
    slot->kind = header != JSON_NONE ? RECIPE_SLOT_HEADER : RECIPE_SLOT_POINTER;
    if (header != JSON_NONE)
        slot->header = recipe_header_name(loader, header);
    else
        slot->pointer = recipe_pointer(loader, pointer);
    slot->secret = recipe_boolean(loader, json_member(document, node, "secret"), false);
    slot->optional = recipe_boolean(loader, json_member(document, node, "optional"), false);
    slot->opaque = recipe_boolean(loader, json_member(document, node, "opaque"), false);
}

void recipe_extract_load(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t step, uint32_t node)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE || !recipe_is(loader, node, JSON_OBJECT))
        return;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        uint32_t value = json_value(document, key);
        struct recipe_slot *slot = new_slot(loader, operation, step, key);
        if (slot == NULL)
            continue;
        if (json_kind(document, value) == JSON_STRING)
            slot->pointer = recipe_pointer(loader, value);
        else if (json_member(document, value, "each") != JSON_NONE)
            load_list(loader, operation, value, slot);
        else
            load_value(loader, value, slot);
    }
}

/* "{{STEP.NAME}}" naming a list of a step before `before`; RECIPE_NONE after a problem. */
uint32_t recipe_list_load(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t before, uint32_t node)
{
    const char *text = recipe_string(loader, node, 200);
    if (text == NULL)
        return RECIPE_NONE;
    for (uint32_t i = 0; i < operation->slot_count; i++) {
        const struct recipe_slot *slot = &operation->slots[i];
        const char *step = operation->steps[slot->step].name;
        size_t step_length = step == NULL ? 0 : strlen(step), name_length = strlen(slot->name);
        if (slot->kind == RECIPE_SLOT_LIST && slot->step < before && step != NULL && strlen(text) == step_length + name_length + 5 &&
            memcmp(text, "{{", 2) == 0 && memcmp(text + 2, step, step_length) == 0 && text[2 + step_length] == '.' &&
            memcmp(text + 3 + step_length, slot->name, name_length) == 0 && strcmp(text + 3 + step_length + name_length, "}}") == 0)
            return i;
    }
    recipe_problem(loader, node, "`%.80s` is no list of an earlier step", text);
    return RECIPE_NONE;
}
