/*
 * template.c - `{{name}}` in the strings of a recipe, resolved at load
 *
 * A template is cut once into literals and references; nothing that a reference brings in is ever looked at again, so there is
 * no second expansion. Which names exist depends on the place: a later step, a secret in a path or a credential of the
 * operator in an agent's environment is an error of the file, not of a run. `{{{{` writes `{{`.
 */
#include "base/alloc.h"
#include "recipe/load.h"

#include <stdio.h>
#include <string.h>

#define CANDIDATES_MAX 256u

/* Names without a dot, and whether they are secret. */
#define PLAIN_SOURCES(X)                \
    X("tag", TAG, false)                \
    X("owner_prefix", OWNER_PREFIX, false) \
    X("credential", CREDENTIAL, true)   \
    X("random", RANDOM, true)           \
    X("expires_on", EXPIRES_ON, false)  \
    X("permissions", PERMISSIONS, false) \
    X("base_url", BASE_URL, false)      \
    X("base_origin", BASE_ORIGIN, false) \
    X("token", TOKEN, false)            \
    X("page", PAGE, false)              \
    X("ids", GRANTS, false)             \
    X("item", ITEM, false)

static const struct plain {
    const char *name;
    enum recipe_source source;
} plains[] = {
#define X(name, source, secret) {name, RECIPE_SOURCE_##source},
    PLAIN_SOURCES(X)
#undef X
};

bool recipe_reference_secret(const struct recipe *recipe, const struct recipe_operation *operation, struct recipe_reference reference)
{
    (void)recipe;
    if (reference.source == RECIPE_SOURCE_SLOT)
        return operation->slots[reference.index].secret;
    return reference.source == RECIPE_SOURCE_SECRET || reference.source == RECIPE_SOURCE_CREDENTIAL || reference.source == RECIPE_SOURCE_RANDOM;
}

/* Is a plain name to be had at this place? */
static bool allowed(const struct recipe_place *place, enum recipe_source source)
{
    bool create = place->operation != NULL && place->operation->op == RECIPE_CREATE;
    switch (source) {
    case RECIPE_SOURCE_PERMISSIONS:
        return create && place->permissions;
    case RECIPE_SOURCE_EXPIRES_ON:
    case RECIPE_SOURCE_RANDOM:
        return create && !place->environment;
    case RECIPE_SOURCE_OWNER_PREFIX:
        return place->operation != NULL && place->operation->op == RECIPE_LIST;
    case RECIPE_SOURCE_BASE_URL:
        return place->environment;
    case RECIPE_SOURCE_BASE_ORIGIN:
        return place->origin;
    case RECIPE_SOURCE_TOKEN:
        return place->token;
    case RECIPE_SOURCE_PAGE:
        return place->page;
    case RECIPE_SOURCE_GRANTS:
        return place->grants;
    case RECIPE_SOURCE_ITEM:
        return place->each != RECIPE_NONE;
    case RECIPE_SOURCE_TAG:
        return !place->environment && !place->origin && (place->operation == NULL || place->operation->op != RECIPE_LIST);
    case RECIPE_SOURCE_CREDENTIAL:
        return !place->environment && !place->origin;
    case RECIPE_SOURCE_INPUT:
    case RECIPE_SOURCE_ID:
    case RECIPE_SOURCE_SECRET:
    case RECIPE_SOURCE_SLOT:
        break;
    }
    return true;
}

/* --- looking a name up --- */

static uint32_t find_name(const struct recipe_name *names, uint32_t count, struct mf_span name)
{
    for (uint32_t i = 0; i < count; i++)
        if (mf_span_is(name, names[i].name))
            return i;
    return RECIPE_NONE;
}

static uint32_t find_input(const struct recipe_info *info, struct mf_span name)
{
    for (uint32_t i = 0; i < info->inputs_count; i++)
        if (mf_span_is(name, info->inputs[i]))
            return i;
    return RECIPE_NONE;
}

static uint32_t find_field(const struct recipe_place *place, struct mf_span name)
{
    const struct recipe_slot *list = &place->operation->slots[place->each];
    for (uint32_t i = 0; i < list->field_count; i++)
        if (name.length == 0 ? list->fields[i].name == NULL : list->fields[i].name != NULL && mf_span_is(name, list->fields[i].name))
            return i;
    return RECIPE_NONE;
}

static uint32_t find_slot(const struct recipe_place *place, struct mf_span step, struct mf_span name)
{
    const struct recipe_operation *operation = place->operation;
    for (uint32_t i = 0; operation != NULL && i < operation->slot_count; i++) {
        const struct recipe_slot *slot = &operation->slots[i];
        if (slot->step < place->step && slot->kind != RECIPE_SLOT_LIST && mf_span_is(step, operation->steps[slot->step].name) &&
            mf_span_is(name, slot->name))
            return i;
    }
    return RECIPE_NONE;
}

static bool look_up_plain(const struct recipe_place *place, struct mf_span name, struct recipe_reference *out)
{
    for (size_t i = 0; i < RECIPE_COUNT(plains); i++) {
        if (!mf_span_is(name, plains[i].name) || !allowed(place, plains[i].source))
            continue;
        *out = (struct recipe_reference){plains[i].source, 0};
        if (plains[i].source == RECIPE_SOURCE_ITEM)
            out->index = find_field(place, (struct mf_span){NULL, 0});
        return out->index != RECIPE_NONE;
    }
    return false;
}

static bool look_up_dotted(const struct recipe_loader *loader, const struct recipe_place *place, struct mf_span head, struct mf_span name,
                           struct recipe_reference *out)
{
    const struct recipe *recipe = loader->recipe;
    if (mf_span_is(head, "inputs"))
        *out = (struct recipe_reference){RECIPE_SOURCE_INPUT, find_input(&recipe->info, name)};
    else if (mf_span_is(head, "account"))
        *out = (struct recipe_reference){RECIPE_SOURCE_ID, find_name(recipe->ids, recipe->id_count, name)};
    else if (mf_span_is(head, "secret"))
        *out = (struct recipe_reference){RECIPE_SOURCE_SECRET, find_name(recipe->secrets, recipe->secret_count, name)};
    else if (mf_span_is(head, "item"))
        *out = (struct recipe_reference){RECIPE_SOURCE_ITEM, place->each == RECIPE_NONE || name.length == 0 ? RECIPE_NONE : find_field(place, name)};
    else
        *out = (struct recipe_reference){RECIPE_SOURCE_SLOT, find_slot(place, head, name)};
    return out->index != RECIPE_NONE;
}

static bool look_up(const struct recipe_loader *loader, const struct recipe_place *place, struct mf_span name, struct recipe_reference *out)
{
    const char *dot = memchr(name.data, '.', name.length);
    if (dot == NULL)
        return look_up_plain(place, name, out);
    size_t head = (size_t)(dot - name.data);
    return look_up_dotted(loader, place, (struct mf_span){name.data, head}, (struct mf_span){dot + 1, name.length - head - 1}, out);
}

/* --- the nearest known name --- */

struct candidates {
    char texts[CANDIDATES_MAX][132];
    const char *names[CANDIDATES_MAX];
    size_t count;
};

static void add(struct candidates *all, const char *head, const char *name)
{
    if (all->count == CANDIDATES_MAX)
        return;
    char *text = all->texts[all->count];
    if (head == NULL)
        snprintf(text, sizeof all->texts[0], "%s", name);
    else
        snprintf(text, sizeof all->texts[0], "%s.%s", head, name);
    all->names[all->count++] = text;
}

static void collect(struct candidates *all, const struct recipe *recipe, const struct recipe_place *place)
{
    for (size_t i = 0; i < RECIPE_COUNT(plains); i++)
        if (allowed(place, plains[i].source))
            add(all, NULL, plains[i].name);
    for (uint32_t i = 0; i < recipe->info.inputs_count; i++)
        add(all, "inputs", recipe->info.inputs[i]);
    for (uint32_t i = 0; i < recipe->id_count; i++)
        add(all, "account", recipe->ids[i].name);
    for (uint32_t i = 0; i < recipe->secret_count; i++)
        add(all, "secret", recipe->secrets[i].name);
    const struct recipe_operation *operation = place->operation;
    for (uint32_t i = 0; operation != NULL && i < operation->slot_count; i++)
        if (operation->slots[i].step < place->step && operation->slots[i].kind != RECIPE_SLOT_LIST)
            add(all, operation->steps[operation->slots[i].step].name, operation->slots[i].name);
    const struct recipe_slot *list = place->each == RECIPE_NONE ? NULL : &operation->slots[place->each];
    for (uint32_t i = 0; list != NULL && i < list->field_count; i++)
        if (list->fields[i].name != NULL)
            add(all, "item", list->fields[i].name);
}

static void report_unknown(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct mf_span name)
{
    char hint[160];
    struct candidates *all = mf_calloc(1, sizeof *all);
    if (all == NULL) {
        loader->no_memory = true;
        return;
    }
    collect(all, loader->recipe, place);
    int shown = name.length > 80 ? 80 : (int)name.length;
    recipe_problem(loader, node, "unknown name `%.*s`%s", shown, name.data, recipe_hint(name, all->names, all->count, hint, sizeof hint));
    mf_free(all);
}

/* --- compiling --- */

static void mark_identifier(const struct recipe_place *place, struct recipe_reference reference)
{
    if (reference.source == RECIPE_SOURCE_SLOT)
        place->operation->slots[reference.index].identifier = true;
    if (reference.source == RECIPE_SOURCE_ITEM)
        place->operation->slots[place->each].fields[reference.index].identifier = true;
}

static void note_use(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct recipe_reference reference)
{
    struct recipe_operation *operation = place->operation;
    if (operation == NULL)
        return;
    if (mf_grow((void **)&operation->uses, &operation->use_capacity, operation->use_count + 1, sizeof *operation->uses, 32) != 0) {
        loader->no_memory = true;
        return;
    }
    operation->uses[operation->use_count++] =
        (struct recipe_use){reference, place->step, node, loader->document == &loader->recipe->shared};
}

static bool add_reference(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct mf_span name,
                          struct recipe_part *part)
{
    struct recipe_reference reference;
    if (!look_up(loader, place, name, &reference)) {
        report_unknown(loader, place, node, name);
        return false;
    }
    if (!place->secrets && recipe_reference_secret(loader->recipe, place->operation, reference)) {
        recipe_problem(loader, node, "`%.*s` is secret: it may stand only in headers and bodies", (int)name.length, name.data);
        return false;
    }
    if (place->path)
        mark_identifier(place, reference);
    note_use(loader, place, node, reference);
    *part = (struct recipe_part){.reference = reference, .is_reference = true};
    return true;
}

static size_t find_braces(struct mf_span text, const char *braces)
{
    for (size_t at = 0; at + 1 < text.length; at++)
        if (text.data[at] == braces[0] && text.data[at + 1] == braces[1])
            return at;
    return text.length;
}

/* Takes the next part off *rest. */
static bool next_part(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct mf_span *rest, struct recipe_part *part)
{
    size_t at = find_braces(*rest, "{{");
    if (at == 0 && mf_span_starts(*rest, "{{{{")) {
        *part = (struct recipe_part){.literal = {rest->data, 2}};
        at = 4;
    } else if (at > 0) {
        *part = (struct recipe_part){.literal = {rest->data, at}};
    } else {
        struct mf_span name = {rest->data + 2, rest->length - 2};
        name.length = find_braces(name, "}}");
        if (name.length + 2 == rest->length) {
            recipe_problem(loader, node, "`{{` has no `}}` (write `{{{{` for the characters themselves)");
            return false;
        }
        if (!add_reference(loader, place, node, name, part))
            return false;
        at = name.length + 4;
    }
    *rest = (struct mf_span){rest->data + at, rest->length - at};
    return true;
}

static uint32_t most_parts(struct mf_span text)
{
    uint32_t braces = 0;
    for (size_t at = 0; at + 1 < text.length; at++)
        braces += text.data[at] == '{' && text.data[at + 1] == '{';
    return 2 * braces + 1;
}

static bool compile(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct mf_span text, struct recipe_template *out)
{
    *out = (struct recipe_template){.parts = recipe_take(loader, most_parts(text), sizeof *out->parts)};
    if (out->parts == NULL)
        return false;
    while (text.length > 0)
        if (!next_part(loader, place, node, &text, &out->parts[out->count++]))
            return false;
    out->whole = out->count == 1 && out->parts[0].is_reference;
    for (uint32_t i = 0; i < out->count; i++) {
        enum recipe_source source = out->parts[i].reference.source;
        if (out->whole || !out->parts[i].is_reference || (source != RECIPE_SOURCE_PERMISSIONS && source != RECIPE_SOURCE_GRANTS))
            continue;
        recipe_problem(loader, node, "a list can only be the whole string");
        return false;
    }
    return true;
}

bool recipe_template_load(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct recipe_template *out)
{
    *out = (struct recipe_template){0};
    enum json_kind kind = node == JSON_NONE ? JSON_NULL : json_kind(loader->document, node);
    if (kind == JSON_NUMBER || kind == JSON_TRUE || kind == JSON_FALSE)
        return compile(loader, place, node, json_raw(loader->document, node), out);
    const char *text = recipe_string(loader, node, RECIPE_TEMPLATE_BYTES_MAX);
    return text != NULL && compile(loader, place, node, mf_span(text), out);
}

/* --- JSON bodies --- */

static bool has_braces(struct recipe_loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    struct mf_span raw = json_raw(document, node);
    if (!document->nodes[node].escaped)
        return find_braces(raw, "{{") < raw.length;
    struct mf_buf text; /* an escape may spell a brace */
    mf_buf_init(&text, RECIPE_TEXT_BYTES_MAX);
    loader->no_memory = json_text(document, node, &text) != 0 || loader->no_memory;
    bool found = find_braces(mf_buf_view(&text), "{{") < text.length;
    mf_buf_free(&text);
    return found;
}

static uint32_t count_leaves(struct recipe_loader *loader, uint32_t root)
{
    const struct json_document *document = loader->document;
    uint32_t count = 0;
    for (uint32_t node = root; node < document->nodes[root].end; node++)
        count += json_kind(document, node) == JSON_STRING && has_braces(loader, node);
    return count;
}

bool recipe_tree_load(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct recipe_tree *out)
{
    const struct json_document *document = loader->document;
    *out = (struct recipe_tree){.document = document, .root = node};
    out->leaves = recipe_take(loader, count_leaves(loader, node), sizeof *out->leaves);
    if (out->leaves == NULL)
        return false;
    bool good = true;
    for (uint32_t child = node; child < document->nodes[node].end; child++) {
        if (json_kind(document, child) != JSON_STRING || !has_braces(loader, child))
            continue;
        struct recipe_leaf *leaf = &out->leaves[out->leaf_count++];
        leaf->node = child;
        good = recipe_template_load(loader, place, child, &leaf->template) && good;
    }
    return good;
}

/* --- named values: headers, query, form, environment --- */

/* Set by the client: a second one could be read differently by two servers. */
static const char *const own_headers[] = {"host", "content-length", "transfer-encoding", "connection", "expect", "te", "upgrade"};

bool recipe_header_is_own(const char *name)
{
    for (size_t i = 0; i < RECIPE_COUNT(own_headers); i++)
        if (strcmp(name, own_headers[i]) == 0)
            return true;
    return false;
}

static const char *pair_name(struct recipe_loader *loader, uint32_t key, bool headers)
{
    const char *name = headers ? recipe_header_name(loader, key) : recipe_string(loader, key, 200);
    if (headers && name != NULL && recipe_header_is_own(name)) {
        recipe_problem(loader, key, "header `%s` is set by the client", name);
        return NULL;
    }
    for (const char *c = name; c != NULL && *c != '\0'; c++) {
        if ((unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f && strchr("{}=&?#%", *c) == NULL)
            continue;
        recipe_problem(loader, key, "name `%.80s` has a character that is not allowed here", name);
        return NULL;
    }
    return name;
}

/* A step's own header replaces the one of its operation. */
static void put_pair(struct recipe_pairs *pairs, const struct recipe_pair *pair)
{
    uint32_t i = 0;
    while (i < pairs->count && strcmp(pairs->items[i].name, pair->name) != 0)
        i++;
    pairs->items[i] = *pair;
    pairs->count += i == pairs->count;
}

bool recipe_pairs_load(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, bool headers, struct recipe_pairs *out)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE)
        return true;
    if (!recipe_is(loader, node, JSON_OBJECT))
        return false;
    if (document->nodes[node].children + out->count > RECIPE_HEADERS_MAX) {
        recipe_problem(loader, node, "has more than %u members", RECIPE_HEADERS_MAX);
        return false;
    }
    struct recipe_pair *items = recipe_take(loader, RECIPE_HEADERS_MAX, sizeof *items);
    if (items == NULL)
        return false;
    if (out->count > 0)
        memcpy(items, out->items, out->count * sizeof *items);
    out->items = items;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        struct recipe_pair pair = {.name = pair_name(loader, key, headers)};
        if (pair.name != NULL && recipe_template_load(loader, place, json_value(document, key), &pair.value))
            put_pair(out, &pair);
    }
    return true;
}
