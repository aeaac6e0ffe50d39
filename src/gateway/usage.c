/*
 * usage.c - tokens and money: the most that a request can cost, what its answer said it cost, what a budget still allows
 *
 * The gateway asks before a priced request goes out, and again when its answer has passed. All sums saturate: a provider
 * that names absurd numbers uses a budget up, it does not turn it around.
 */
#include "gateway/usage_private.h"

#include "base/alloc.h"

#include <string.h>
#include <strings.h>

#define PICO_PER_MICRO 1000000 /* prices are in millionths of a micro-dollar */
#define TIMES_MAX 1000000

static int64_t add_saturated(int64_t left, int64_t right)
{
    int64_t sum;
    return __builtin_add_overflow(left, right, &sum) ? INT64_MAX : sum;
}

static int64_t multiply_saturated(int64_t left, uint64_t right)
{
    int64_t product;
    return __builtin_mul_overflow(left, right, &product) ? INT64_MAX : product;
}

/* --- what it cost --- */

int64_t usage_cost(const struct usage_price *price, const struct audit_usage *usage)
{
    int64_t pico = multiply_saturated(price->input, usage->input_tokens);
    pico = add_saturated(pico, multiply_saturated(price->output, usage->output_tokens));
    pico = add_saturated(pico, multiply_saturated(price->cached, usage->cached_tokens));
    pico = add_saturated(pico, multiply_saturated(price->cache_write, usage->cache_write_tokens));
    if (pico == INT64_MAX)
        return INT64_MAX;
    return pico / PICO_PER_MICRO + (pico % PICO_PER_MICRO != 0);
}

/* --- what it may cost --- */

/* The first of the pointers that leads to something but null. */
static uint32_t find_first(const struct usage_pointer_list *list, const struct json_document *body)
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t node = json_pointer(body, list->list[i]);
        if (node != JSON_NONE && json_kind(body, node) != JSON_NULL)
            return node;
    }
    return JSON_NONE;
}

/* Folds the whole numbers that the pointers lead to; -1: one of them is none. `count` says how many there were. */
static int fold_numbers(const struct usage_pointer_list *list, const struct json_document *body, bool product,
                        int64_t *out, uint32_t *count)
{
    for (uint32_t i = 0; i < list->count; i++) {
        int64_t number;
        uint32_t node = json_pointer(body, list->list[i]);
        if (node == JSON_NONE || json_kind(body, node) == JSON_NULL)
            continue;
        if (json_int(body, node, &number) != 0 || number < 1)
            return -1;
        *out = product ? multiply_saturated(*out, (uint64_t)number) : number > *out ? number : *out;
        ++*count;
    }
    return 0;
}

static bool same_value(const struct json_document *left, uint32_t left_node, const struct json_document *right,
                       uint32_t right_node)
{
    return left_node != JSON_NONE && json_kind(left, left_node) == json_kind(right, right_node) &&
           mf_span_equal(json_raw(left, left_node), json_raw(right, right_node));
}

/* The agent must ask the provider for usage where the provider does not say it unasked. */
static bool asks(const struct usage_rules *rules, const struct json_document *body)
{
    bool asked;
    if (rules->ask_missing.length == 0 ||
        !same_value(body, json_pointer(body, rules->ask_when), &rules->usage, rules->ask_equals))
        return true;
    if (rules->ask_has.length > 0 && json_pointer(body, rules->ask_has) == JSON_NONE)
        return true;
    return json_bool(body, json_pointer(body, rules->ask_missing), &asked) == 0 && asked;
}

static int64_t price_request(const struct usage_rules *rules, const struct json_document *body, const char **why)
{
    char model[USAGE_MODEL_BYTES_MAX] = "";
    int64_t output = 0, times = 1;
    uint32_t outputs = 0, factors = 0;
    uint32_t node = find_first(&rules->request_model, body);
    if (json_kind(body, 0) != JSON_OBJECT)
        return *why = "the body is no JSON object", -1;
    if (node != JSON_NONE && json_copy(body, node, model, sizeof model) != 0)
        return *why = "the model's name cannot be read", -1;
    const struct usage_price *price = usage_price(rules, mf_span(model));
    if (price == NULL)
        return *why = "the model has no price", -1;
    if (fold_numbers(&rules->request_output, body, false, &output, &outputs) != 0 ||
        fold_numbers(&rules->request_times, body, true, &times, &factors) != 0)
        return *why = "a limit in the body is no whole number above 0", -1;
    if (outputs == 0)
        output = rules->output_default;
    if (output == 0)
        return *why = "the request sets no limit of output tokens", -1;
    if (!asks(rules, body))
        return *why = "the request must ask for usage in its stream", -1;
    int64_t dearest = price->input > price->cache_write ? price->input : price->cache_write;
    struct usage_price most = {.input = dearest, .output = price->output};
    return usage_cost(&most,
                      &(struct audit_usage){.input_tokens = body->text.length,
                                            .output_tokens = (uint64_t)multiply_saturated(output, (uint64_t)times)});
}

int64_t usage_reserve(const struct usage_rules *rules, struct mf_span body, const char **why)
{
    static const struct json_limits limits = {
        .depth_max = 64,                  /* tool schemas nest */
        .text_bytes_max = UINT32_MAX - 1, /* the gateway bounds bodies that are read whole */
        .string_bytes_max = UINT32_MAX,   /* pictures are one string */
        .nodes_max = 1u << 20,
    };
    struct json_document document;
    *why = "";
    if (!usage_rules_priced(rules))
        return *why = "the service has no prices", -1;
    if (json_scan(&document, body, &limits, NULL) != 0) /* strict: two servers must not read two different limits */
        return *why = "the body is no JSON that everybody reads the same way", -1;
    int64_t most = price_request(rules, &document, why);
    json_document_free(&document);
    return most;
}

/* --- what the answer says --- */

/* One event stream, as its standard has it: fields of lines, an empty line ends the event. */
struct events {
    enum {
        IN_NAME,
        BEFORE_DATA, /* behind the colon: one space may follow */
        IN_DATA,
        IN_OTHER, /* a field or comment that is passed over */
    } place;
    char name[6];
    uint32_t name_bytes;
    uint32_t mark_bytes; /* of a byte-order mark at the start */
    bool after_return;   /* a line feed would belong to the line before */
    bool has_data;       /* the event has a data line already */
};

struct usage_reader {
    const struct usage_rules *rules;
    bool stream;
    struct usage_values values; /* the last of each that was said */
    struct usage_scan scan;
    struct events events;
};

static void adopt(struct usage_reader *reader)
{
    struct usage_values *said = &reader->scan.values;
    if (!usage_scan_whole(&reader->scan))
        return;
    for (uint32_t field = 0; field < USAGE_FIELD_COUNT; field++) {
        if (!said->has[field])
            continue;
        reader->values.has[field] = true;
        reader->values.numbers[field] = said->numbers[field];
        if (field == USAGE_MODEL)
            memcpy(reader->values.model, said->model, sizeof said->model);
    }
}

static void end_event(struct usage_reader *reader)
{
    if (reader->events.has_data)
        adopt(reader);
    usage_scan_begin(&reader->scan, &reader->rules->stream);
    reader->events.has_data = false;
}

static void begin_data(struct usage_reader *reader)
{
    if (reader->events.has_data)
        usage_scan_take(&reader->scan, MF_SPAN("\n"));
    reader->events.has_data = true;
}

static void end_line(struct usage_reader *reader)
{
    struct events *events = &reader->events;
    if (events->place == IN_NAME && events->name_bytes == 0)
        end_event(reader);
    else if (events->place == IN_NAME && mf_span_is((struct mf_span){events->name, events->name_bytes}, "data"))
        begin_data(reader);
    events->place = IN_NAME;
    events->name_bytes = 0;
}

static void take_name(struct usage_reader *reader, char c)
{
    static const char mark[] = "\xef\xbb\xbf";
    struct events *events = &reader->events;
    if (events->mark_bytes < sizeof mark - 1) {
        bool is_mark = events->name_bytes == 0 && c == mark[events->mark_bytes];
        events->mark_bytes = is_mark ? events->mark_bytes + 1 : sizeof mark - 1;
        if (is_mark)
            return;
    }
    if (c != ':') {
        if (events->name_bytes < sizeof events->name)
            events->name[events->name_bytes++] = c;
        return;
    }
    bool data = mf_span_is((struct mf_span){events->name, events->name_bytes}, "data");
    if (data)
        begin_data(reader);
    events->place = data ? BEFORE_DATA : IN_OTHER;
}

/* As far as the line goes, at least one byte. */
static size_t take_event_bytes(struct usage_reader *reader, const char *data, size_t length)
{
    struct events *events = &reader->events;
    size_t run = 0;
    if (data[0] == '\n' || data[0] == '\r') {
        if (data[0] == '\r' || !events->after_return)
            end_line(reader);
        events->after_return = data[0] == '\r';
        return 1;
    }
    events->after_return = false;
    if (events->place == IN_NAME) {
        take_name(reader, data[0]);
        return 1;
    }
    if (events->place == BEFORE_DATA) {
        events->place = IN_DATA;
        if (data[0] == ' ')
            return 1;
    }
    while (run < length && data[run] != '\n' && data[run] != '\r')
        run++;
    if (events->place == IN_DATA)
        usage_scan_take(&reader->scan, (struct mf_span){data, run});
    return run;
}

static bool is_event_stream(struct mf_span content_type)
{
    static const char name[] = "text/event-stream";
    size_t length = sizeof name - 1;
    return content_type.length >= length && strncasecmp(content_type.data, name, length) == 0 &&
           (content_type.length == length || strchr("; \t", content_type.data[length]) != NULL);
}

int usage_reader_create(struct usage_reader **out, const struct usage_rules *rules, struct mf_span content_type)
{
    *out = mf_calloc(1, sizeof **out);
    if (*out == NULL)
        return -1;
    (*out)->rules = rules;
    (*out)->stream = is_event_stream(content_type);
    usage_scan_begin(&(*out)->scan, (*out)->stream ? &rules->stream : &rules->answer);
    return 0;
}

void usage_reader_take(struct usage_reader *reader, struct mf_span data)
{
    if (!reader->stream) {
        usage_scan_take(&reader->scan, data);
        return;
    }
    for (size_t at = 0; at < data.length;)
        at += take_event_bytes(reader, data.data + at, data.length - at);
}

void usage_reader_end(struct usage_reader *reader, struct audit_usage *out)
{
    const struct usage_values *values = &reader->values;
    const struct usage_rules *rules = reader->rules;
    if (reader->stream)
        end_event(reader); /* an event without its empty line was said all the same */
    else
        adopt(reader);
    *out = (struct audit_usage){.micro_usd = -1};
    out->model = mf_span(values->model);
    /* A whole answer without output (embeddings) used none; a stream that broke off has not said it yet. */
    out->known = values->has[USAGE_INPUT] && (values->has[USAGE_OUTPUT] || !reader->stream);
    if (!out->known)
        return;
    out->cached_tokens = values->numbers[USAGE_CACHED];
    out->cache_write_tokens = values->numbers[USAGE_CACHE_WRITE];
    out->output_tokens = values->numbers[USAGE_OUTPUT];
    out->input_tokens = values->numbers[USAGE_INPUT];
    if (rules->input_includes_cached)
        out->input_tokens -= out->cached_tokens < out->input_tokens ? out->cached_tokens : out->input_tokens;
    const struct usage_price *price = usage_price(rules, out->model);
    if (price != NULL)
        out->micro_usd = usage_cost(price, out);
}

void usage_reader_destroy(struct usage_reader *reader)
{
    mf_free(reader);
}

/* --- budgets --- */

bool budget_allows(const struct budget *budget, int64_t reserve_micro_usd)
{
    if (budget->limit_tokens > 0 && budget->tokens >= budget->limit_tokens)
        return false;
    if (budget->limit_micro_usd < 0)
        return true;
    int64_t held = add_saturated(budget->spent_micro_usd, budget->reserved_micro_usd);
    return reserve_micro_usd >= 0 && add_saturated(held, reserve_micro_usd) <= budget->limit_micro_usd;
}

void budget_reserve(struct budget *budget, int64_t reserve_micro_usd)
{
    budget->requests++;
    if (reserve_micro_usd > 0)
        budget->reserved_micro_usd = add_saturated(budget->reserved_micro_usd, reserve_micro_usd);
}

void budget_settle(struct budget *budget, int64_t reserved_micro_usd, int64_t charged_micro_usd, uint64_t tokens)
{
    int64_t freed = reserved_micro_usd > 0 ? reserved_micro_usd : 0;
    budget->reserved_micro_usd -= freed < budget->reserved_micro_usd ? freed : budget->reserved_micro_usd;
    if (charged_micro_usd > 0)
        budget->spent_micro_usd = add_saturated(budget->spent_micro_usd, charged_micro_usd);
    if (__builtin_add_overflow(budget->tokens, tokens, &budget->tokens))
        budget->tokens = UINT64_MAX;
}
