/* load_usage.c - where a service's answers say what they used, and what that costs: checked here, kept as JSON, read by gateway/usage.c */
#include "recipe/load.h"

#include <string.h>

#define POINTERS_MAX 4u  /* alternatives in one place: five places of them fit what gateway/usage.c holds */
#define MODELS_MAX 256u
#define PRICE_MAX 100000.0 /* dollars for a million tokens: above it is a slip of the unit */
#define OUTPUT_TOKENS_MAX 10000000

static void check_pointer(struct recipe_loader *loader, uint32_t node)
{
    struct mf_span pointer = recipe_pointer(loader, node);
    if (pointer.data != NULL && (pointer.length == 0 || loader->document->nodes[node].escaped))
        recipe_problem(loader, node, "must lead to a member, and hold no escapes");
}

/* A pointer, or a list of them. */
static void check_pointers(struct recipe_loader *loader, uint32_t node)
{
    const struct json_document *document = loader->document;
    if (node == JSON_NONE)
        return;
    if (json_kind(document, node) != JSON_ARRAY) {
        check_pointer(loader, node);
        return;
    }
    if (document->nodes[node].children == 0 || document->nodes[node].children > POINTERS_MAX)
        recipe_problem(loader, node, "must have 1 to %u pointers", POINTERS_MAX);
    for (uint32_t item = json_first(document, node); item != JSON_NONE; item = json_next(document, node, item))
        check_pointer(loader, item);
}

static void check_members(struct recipe_loader *loader, uint32_t node, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_pointers(loader, json_member(loader->document, node, names[i]));
}

static void check_request(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"model", "output_max", "times"};
    if (node != JSON_NONE && recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        check_members(loader, node, keys, RECIPE_COUNT(keys));
}

static void check_ask(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"when", "has", "missing"}, *const when_keys[] = {"pointer", "equals"};
    const struct json_document *document = loader->document;
    if (node == JSON_NONE || !recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    check_pointers(loader, json_member(document, node, "has"));
    check_pointers(loader, recipe_required(loader, node, "missing"));
    uint32_t when = recipe_required(loader, node, "when");
    if (when == JSON_NONE || !recipe_keys(loader, when, when_keys, RECIPE_COUNT(when_keys)))
        return;
    uint32_t pointer = recipe_required(loader, when, "pointer"), equals = recipe_required(loader, when, "equals");
    if (pointer != JSON_NONE)
        check_pointer(loader, pointer);
    if (equals != JSON_NONE && (json_kind(document, equals) == JSON_ARRAY || json_kind(document, equals) == JSON_OBJECT))
        recipe_problem(loader, equals, "must be a string, a number, true, false or null");
}

static void load_usage(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"model", "input", "output", "cached", "cache_write", "stream", "request", "output_default", "input_includes_cached", "ask"};
    static const char *const counts[] = {"model", "input", "output", "cached", "cache_write"};
    const struct json_document *document = loader->document;
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t stream = json_member(document, node, "stream");
    recipe_required(loader, node, "input");
    check_members(loader, node, counts, RECIPE_COUNT(counts));
    if (stream != JSON_NONE && recipe_keys(loader, stream, counts, RECIPE_COUNT(counts)))
        check_members(loader, stream, counts, RECIPE_COUNT(counts));
    check_request(loader, json_member(document, node, "request"));
    recipe_number(loader, json_member(document, node, "output_default"), 0, OUTPUT_TOKENS_MAX, 0);
    recipe_boolean(loader, json_member(document, node, "input_includes_cached"), false);
    check_ask(loader, json_member(document, node, "ask"));
    loader->recipe->gateway.usage = node;
}

static void check_model(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"input", "output", "cached", "cache_write"};
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    recipe_required(loader, node, "input");
    recipe_required(loader, node, "output");
    for (size_t i = 0; i < RECIPE_COUNT(keys); i++) {
        double dollars;
        uint32_t price = json_member(loader->document, node, keys[i]);
        if (price != JSON_NONE && (json_double(loader->document, price, &dollars) != 0 || dollars < 0 || dollars > PRICE_MAX))
            recipe_problem(loader, price, "must be dollars for a million tokens, 0 to %.0f", PRICE_MAX);
    }
}

static const char *price_date(struct recipe_loader *loader, uint32_t node)
{
    const char *text = recipe_string(loader, node, 20);
    char moment[32];
    int64_t at_ms;
    if (text == NULL)
        return NULL;
    mf_format(moment, sizeof moment, "%sT00:00:00Z", text);
    if (strlen(text) == 10 && mf_parse_rfc3339_ms(mf_span(moment), &at_ms) == 0)
        return text;
    recipe_problem(loader, node, "date `%s` must be a day such as 2026-11-01", text);
    return NULL;
}

static void load_prices(struct recipe_loader *loader, uint32_t node)
{
    static const char *const keys[] = {"description", "date", "models"};
    const struct json_document *document = loader->document;
    if (!recipe_keys(loader, node, keys, RECIPE_COUNT(keys)))
        return;
    uint32_t date = recipe_required(loader, node, "date"), models = recipe_required(loader, node, "models");
    loader->recipe->gateway.prices = node;
    if (date != JSON_NONE)
        loader->recipe->gateway.price_date = price_date(loader, date);
    if (models == JSON_NONE || !recipe_is(loader, models, JSON_OBJECT))
        return;
    if (document->nodes[models].children == 0 || document->nodes[models].children > MODELS_MAX)
        recipe_problem(loader, models, "must have 1 to %u models", MODELS_MAX);
    for (uint32_t key = json_first(document, models); key != JSON_NONE; key = json_next(document, models, key)) {
        recipe_string(loader, key, 200);
        check_model(loader, json_value(document, key));
    }
}

void recipe_usage_load(struct recipe_loader *loader)
{
    uint32_t usage = json_member(loader->document, 0, "usage"), prices = json_member(loader->document, 0, "prices");
    loader->recipe->gateway.usage = loader->recipe->gateway.prices = JSON_NONE;
    if (usage != JSON_NONE)
        load_usage(loader, usage);
    if (prices != JSON_NONE)
        load_prices(loader, prices);
    if (prices != JSON_NONE && usage == JSON_NONE)
        recipe_problem(loader, prices, "`prices` needs `usage`: what is to be counted");
}
