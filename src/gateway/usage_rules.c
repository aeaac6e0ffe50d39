/*
 * usage_rules.c - a recipe's `usage` and `prices` made ready for use
 *
 * The recipe's loader has told its author of every mistake with file and line; what is wrong here is a text that no loader
 * of ours made. Members that are not known are passed over.
 */
#include "gateway/usage_private.h"

#include "base/alloc.h"

#include <string.h>

#define PRICES_MAX 4096u
#define DOLLARS_MAX 1e6 /* for a million tokens; so a price fits 10^12, and 9 * 10^6 tokens of it fit int64 */

static const char *const field_names[] = {
#define X(field, name) name,
    USAGE_FIELDS(X)
#undef X
};

/* --- pointers --- */

static int read_pointer(const struct json_document *document, uint32_t node, struct mf_span *out,
                        struct mf_error *error)
{
    if (json_plain(document, node, out) != 0 || out->length == 0 || out->data[0] != '/')
        return mf_fail(error, MF_INPUT, "usage: a pointer must be a text that begins with /");
    return 0;
}

static int add_pointer(struct usage_pointers *pointers, enum usage_field field, struct mf_span text,
                       struct mf_error *error)
{
    if (pointers->count == USAGE_POINTERS_MAX)
        return mf_fail(error, MF_LIMIT, "usage: more than %u pointers", USAGE_POINTERS_MAX);
    struct usage_pointer *pointer = &pointers->list[pointers->count];
    *pointer = (struct usage_pointer){.field = field};
    const char *end = text.data + text.length;
    for (const char *at = text.data; at < end;) {
        const char *start = at + 1; /* behind the slash */
        const char *slash = memchr(start, '/', (size_t)(end - start));
        at = slash != NULL ? slash : end;
        if (pointer->segment_count == USAGE_SEGMENTS_MAX)
            return mf_fail(error, MF_LIMIT, "usage: a pointer of more than %u parts", USAGE_SEGMENTS_MAX);
        pointer->segments[pointer->segment_count++] = (struct mf_span){start, (size_t)(at - start)};
    }
    pointers->count++;
    return 0;
}

/* Calls for each text of a member that is one text or an array of them. */
static int add_field(struct usage_pointers *pointers, enum usage_field field, const struct json_document *document,
                     uint32_t node, struct mf_error *error)
{
    struct mf_span text;
    if (json_kind(document, node) != JSON_ARRAY)
        return read_pointer(document, node, &text, error) == 0 ? add_pointer(pointers, field, text, error) : -1;
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        if (read_pointer(document, child, &text, error) != 0 || add_pointer(pointers, field, text, error) != 0)
            return -1;
    }
    return 0;
}

static int add_to_list(struct usage_pointer_list *list, const struct json_document *document, uint32_t node,
                       struct mf_error *error)
{
    if (list->count == USAGE_REQUEST_POINTERS_MAX)
        return mf_fail(error, MF_LIMIT, "usage: more than %u pointers into a request", USAGE_REQUEST_POINTERS_MAX);
    return read_pointer(document, node, &list->list[list->count++], error);
}

static int read_list(struct usage_pointer_list *list, const struct json_document *document, uint32_t node,
                     struct mf_error *error)
{
    if (node == JSON_NONE)
        return 0;
    if (json_kind(document, node) != JSON_ARRAY)
        return add_to_list(list, document, node, error);
    for (uint32_t child = json_first(document, node); child != JSON_NONE; child = json_next(document, node, child)) {
        if (add_to_list(list, document, child, error) != 0)
            return -1;
    }
    return 0;
}

/* --- usage --- */

static int read_fields(struct usage_rules *rules, struct mf_error *error)
{
    const struct json_document *document = &rules->usage;
    uint32_t stream = json_member(document, 0, "stream");
    for (uint32_t i = 0; i < USAGE_FIELD_COUNT; i++) {
        enum usage_field field = (enum usage_field)i;
        uint32_t node = json_member(document, 0, field_names[i]);
        uint32_t streamed = json_member(document, stream, field_names[i]);
        if (node != JSON_NONE && add_field(&rules->answer, field, document, node, error) != 0)
            return -1;
        if (streamed == JSON_NONE)
            streamed = node;
        if (streamed != JSON_NONE && add_field(&rules->stream, field, document, streamed, error) != 0)
            return -1;
    }
    return 0;
}

static int read_request(struct usage_rules *rules, struct mf_error *error)
{
    const struct json_document *document = &rules->usage;
    uint32_t request = json_member(document, 0, "request");
    uint32_t output_default = json_member(document, 0, "output_default");
    if (output_default != JSON_NONE &&
        (json_int(document, output_default, &rules->output_default) != 0 || rules->output_default < 0))
        return mf_fail(error, MF_INPUT, "usage: output_default must be a whole number");
    if (read_list(&rules->request_model, document, json_member(document, request, "model"), error) != 0 ||
        read_list(&rules->request_output, document, json_member(document, request, "output_max"), error) != 0)
        return -1;
    return read_list(&rules->request_times, document, json_member(document, request, "times"), error);
}

static int read_ask(struct usage_rules *rules, struct mf_error *error)
{
    const struct json_document *document = &rules->usage;
    uint32_t ask = json_member(document, 0, "ask");
    if (ask == JSON_NONE)
        return 0;
    uint32_t when = json_member(document, ask, "when");
    rules->ask_equals = json_member(document, when, "equals");
    if (rules->ask_equals == JSON_NONE)
        return mf_fail(error, MF_INPUT, "usage: ask.when needs `equals`");
    uint32_t has = json_member(document, ask, "has");
    if (read_pointer(document, json_member(document, when, "pointer"), &rules->ask_when, error) != 0 ||
        (has != JSON_NONE && read_pointer(document, has, &rules->ask_has, error) != 0))
        return -1;
    return read_pointer(document, json_member(document, ask, "missing"), &rules->ask_missing, error);
}

static int read_usage(struct usage_rules *rules, struct mf_span json, struct mf_error *error)
{
    uint32_t flag;
    if ((rules->usage_text = mf_strndup(json.data, json.length)) == NULL)
        return mf_fail(error, MF_MEMORY, "usage: no memory");
    struct mf_span text = {rules->usage_text, json.length};
    if (json_scan_error(&rules->usage, text, &json_limits_default, error) != 0)
        return mf_wrap(error, "usage");
    if (json_kind(&rules->usage, 0) != JSON_OBJECT)
        return mf_fail(error, MF_INPUT, "usage: must be an object");
    flag = json_member(&rules->usage, 0, "input_includes_cached");
    if (flag != JSON_NONE && json_bool(&rules->usage, flag, &rules->input_includes_cached) != 0)
        return mf_fail(error, MF_INPUT, "usage: input_includes_cached must be true or false");
    if (read_fields(rules, error) != 0 || read_request(rules, error) != 0)
        return -1;
    return read_ask(rules, error);
}

/* --- prices --- */

/* `otherwise` < 0: must be there. */
static int read_dollars(const struct json_document *document, uint32_t model, const char *name, int64_t otherwise,
                        int64_t *out, struct mf_error *error)
{
    double dollars;
    uint32_t node = json_member(document, model, name);
    if (node == JSON_NONE && otherwise >= 0) {
        *out = otherwise;
        return 0;
    }
    if (json_double(document, node, &dollars) != 0 || dollars < 0 || dollars > DOLLARS_MAX)
        return mf_fail(error, MF_INPUT, "prices: `%s` must be dollars for a million tokens", name);
    *out = (int64_t)(dollars * 1e6 + 0.5);
    return 0;
}

static int read_price(struct usage_price *price, const struct json_document *document, uint32_t key,
                      struct mf_error *error)
{
    uint32_t model = json_value(document, key);
    if (json_plain(document, key, &price->prefix) != 0)
        return mf_fail(error, MF_INPUT, "prices: a model's name must be plain text");
    if (read_dollars(document, model, "input", -1, &price->input, error) != 0 ||
        read_dollars(document, model, "output", -1, &price->output, error) != 0 ||
        read_dollars(document, model, "cached", price->input, &price->cached, error) != 0)
        return -1;
    return read_dollars(document, model, "cache_write", price->input, &price->cache_write, error);
}

static int read_prices(struct usage_rules *rules, struct mf_span json, struct mf_error *error)
{
    struct json_document *document = &rules->prices;
    if ((rules->prices_text = mf_strndup(json.data, json.length)) == NULL)
        return mf_fail(error, MF_MEMORY, "prices: no memory");
    if (json_scan_error(document, (struct mf_span){rules->prices_text, json.length}, &json_limits_default, error) != 0)
        return mf_wrap(error, "prices");
    uint32_t models = json_member(document, 0, "models");
    if (models == JSON_NONE || json_kind(document, models) != JSON_OBJECT)
        return mf_fail(error, MF_INPUT, "prices: `models` must be an object");
    uint32_t count = document->nodes[models].children;
    if (count > PRICES_MAX)
        return mf_fail(error, MF_LIMIT, "prices: more than %u models", PRICES_MAX);
    if ((rules->list = mf_calloc(count, sizeof *rules->list)) == NULL)
        return mf_fail(error, MF_MEMORY, "prices: no memory");
    for (uint32_t key = json_first(document, models); key != JSON_NONE; key = json_next(document, models, key)) {
        if (read_price(&rules->list[rules->price_count], document, key, error) != 0)
            return -1;
        rules->price_count++;
    }
    return 0;
}

const struct usage_price *usage_price(const struct usage_rules *rules, struct mf_span model)
{
    const struct usage_price *best = NULL;
    const struct usage_price *any = NULL;
    for (uint32_t i = 0; i < rules->price_count; i++) {
        const struct usage_price *price = &rules->list[i];
        if (mf_span_is(price->prefix, "*"))
            any = price;
        else if (price->prefix.length <= model.length && (best == NULL || price->prefix.length > best->prefix.length) &&
                 memcmp(price->prefix.data, model.data, price->prefix.length) == 0)
            best = price;
    }
    return best != NULL ? best : any;
}

/* --- life --- */

static int read_all(struct usage_rules *rules, struct mf_span usage_json, struct mf_span prices_json,
                    struct mf_error *error)
{
    if (usage_json.length > 0 && read_usage(rules, usage_json, error) != 0)
        return -1;
    if (prices_json.length > 0 && usage_json.length == 0)
        return mf_fail(error, MF_INPUT, "prices: mean nothing without `usage`");
    return prices_json.length > 0 ? read_prices(rules, prices_json, error) : 0;
}

int usage_rules_create(struct usage_rules **out, struct mf_span usage_json, struct mf_span prices_json,
                       struct mf_error *error)
{
    *out = NULL;
    struct usage_rules *rules = mf_calloc(1, sizeof *rules);
    if (rules == NULL)
        return mf_fail(error, MF_MEMORY, "usage: no memory");
    if (read_all(rules, usage_json, prices_json, error) != 0) {
        usage_rules_destroy(rules);
        return -1;
    }
    *out = rules;
    return 0;
}

void usage_rules_destroy(struct usage_rules *rules)
{
    if (rules == NULL)
        return;
    json_document_free(&rules->usage);
    json_document_free(&rules->prices);
    mf_free(rules->usage_text);
    mf_free(rules->prices_text);
    mf_free(rules->list);
    mf_free(rules);
}

bool usage_rules_priced(const struct usage_rules *rules)
{
    return rules->price_count > 0;
}
