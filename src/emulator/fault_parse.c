/*
 * fault_parse.c - reads a fault script
 *
 * Unknown keys are errors, and so are keys that the action does not use: a fault that silently does not happen would make a
 * test pass for nothing.
 */
#include "base/alloc.h"
#include "emulator/fault.h"

#include <string.h>

/* Which keys an action takes, beside those of every rule. */
enum keys {
    TAKES_DELAY = 1,      /* delay | uniform | exponential, before */
    TAKES_STATUS = 2,     /* status, code, message, body, effect */
    TAKES_HEADERS = 4,    /* headers */
    TAKES_EFFECT = 8,     /* effect */
    TAKES_POINTER = 16,   /* pointer */
    TAKES_VALUE = 32,     /* value | previous */
    TAKES_TEXT = 64,      /* text */
    TAKES_BYTES = 128,    /* bytes */
    TAKES_PACE = 256,     /* bytes, interval */
    TAKES_LOCATION = 512, /* location, status */
    TAKES_PLAY = 1024,    /* play, error; neither method nor path: no request is read */
};

static const struct {
    const char *name;
    unsigned keys;
} actions[] = {
#define TAKES_OF_LATENCY TAKES_DELAY
#define TAKES_OF_STATUS (TAKES_STATUS | TAKES_HEADERS | TAKES_EFFECT)
#define TAKES_OF_REDIRECT (TAKES_LOCATION | TAKES_EFFECT)
#define TAKES_OF_LOST_BEFORE 0
#define TAKES_OF_LOST_AFTER 0
#define TAKES_OF_RESET 0
#define TAKES_OF_RESET_AFTER 0
#define TAKES_OF_HANG TAKES_EFFECT
#define TAKES_OF_TRUNCATE 0
#define TAKES_OF_TRUNCATE_HEAD 0
#define TAKES_OF_STALL 0
#define TAKES_OF_DRIP TAKES_PACE
#define TAKES_OF_GARBAGE 0
#define TAKES_OF_ENDLESS_BODY 0
#define TAKES_OF_ENDLESS_HEADERS 0
#define TAKES_OF_SECOND_ID 0
#define TAKES_OF_PENDING TAKES_DELAY
#define TAKES_OF_HTTP2 TAKES_PLAY
#define TAKES_OF_HEADERS TAKES_HEADERS
#define TAKES_OF_HUGE_HEADERS TAKES_BYTES
#define TAKES_OF_EDIT (TAKES_POINTER | TAKES_VALUE)
#define TAKES_OF_REMOVE TAKES_POINTER
#define TAKES_OF_BODY TAKES_TEXT
#define TAKES_OF_PREFIX TAKES_TEXT
#define TAKES_OF_SUFFIX TAKES_TEXT
#define TAKES_OF_CUT TAKES_BYTES
#define TAKES_OF_UTF16 0
#define TAKES_OF_GZIP_BOMB TAKES_BYTES
#define X(action, name, ends, edits) {name, TAKES_OF_##action},
    EMU_ACTIONS(X)
#undef X
};
enum { ACTION_COUNT = sizeof(actions) / sizeof(actions[0]) };

struct parser {
    const struct json_document *document;
    struct emu_rule *rule;
    struct mf_error *error;
};

static int fail(struct parser *parser, const char *key, const char *wanted)
{
    return mf_fail(parser->error, MF_INPUT, "faults: %s: %s", key, wanted);
}

/* --- values --- */

static int read_text(struct parser *parser, uint32_t node, const char *key, char **out)
{
    mf_free(*out);
    *out = json_dup(parser->document, node);
    return *out == NULL ? fail(parser, key, "must be a string") : 0;
}

static int read_raw(struct parser *parser, uint32_t node, char **out)
{
    struct mf_span raw = json_raw(parser->document, node);
    mf_free(*out);
    *out = mf_strndup(raw.data, raw.length);
    return *out == NULL ? mf_fail(parser->error, MF_MEMORY, "no memory") : 0;
}

static int read_count(struct parser *parser, uint32_t node, const char *key, uint64_t *out)
{
    int64_t number;
    if (json_int(parser->document, node, &number) < 0 || number < 0)
        return fail(parser, key, "must be a whole number that is not negative");
    *out = (uint64_t)number;
    return 0;
}

static int read_int(struct parser *parser, uint32_t node, const char *key, int *out)
{
    uint64_t number;
    if (read_count(parser, node, key, &number) < 0)
        return -1;
    *out = number > 1000000 ? 1000000 : (int)number;
    return 0;
}

static int read_duration(struct parser *parser, uint32_t node, const char *key, int64_t *out)
{
    struct mf_span text;
    if (json_plain(parser->document, node, &text) < 0 || mf_parse_duration_ms(text, out) < 0)
        return fail(parser, key, "must be a duration such as \"250ms\"");
    return 0;
}

static int read_bool(struct parser *parser, uint32_t node, const char *key, bool *out)
{
    return json_bool(parser->document, node, out) < 0 ? fail(parser, key, "must be true or false") : 0;
}

static int read_nth(struct parser *parser, uint32_t node)
{
    struct emu_rule *rule = parser->rule;
    if (json_kind(parser->document, node) != JSON_ARRAY) {
        rule->nth_count = 1;
        return read_count(parser, node, "nth", &rule->nth[0]);
    }
    for (uint32_t each = json_first(parser->document, node); each != JSON_NONE; each = json_next(parser->document, node, each)) {
        if (rule->nth_count >= EMU_NTH_MAX)
            return fail(parser, "nth", "has too many numbers");
        if (read_count(parser, each, "nth", &rule->nth[rule->nth_count++]) < 0)
            return -1;
    }
    return 0;
}

static int read_uniform(struct parser *parser, uint32_t node)
{
    struct emu_rule *rule = parser->rule;
    rule->distribution = EMU_UNIFORM;
    if (json_kind(parser->document, node) != JSON_ARRAY || parser->document->nodes[node].children != 2)
        return fail(parser, "uniform", "must be a list of two durations");
    if (read_duration(parser, json_element(parser->document, node, 0), "uniform", &rule->low_ms) < 0 ||
        read_duration(parser, json_element(parser->document, node, 1), "uniform", &rule->high_ms) < 0)
        return -1;
    return rule->high_ms < rule->low_ms ? fail(parser, "uniform", "must begin with the smaller duration") : 0;
}

static int add_header(struct parser *parser, uint32_t key, uint32_t value)
{
    struct emu_rule *rule = parser->rule;
    if (rule->header_count >= EMU_RULE_HEADERS_MAX)
        return fail(parser, "headers", "are too many");
    struct emu_fault_header *header = &rule->headers[rule->header_count++];
    *header = (struct emu_fault_header){json_dup(parser->document, key), json_dup(parser->document, value)};
    return header->name == NULL || header->value == NULL ? fail(parser, "headers", "must have string values") : 0;
}

/* A list of values sends the header several times. */
static int read_headers(struct parser *parser, uint32_t node)
{
    if (json_kind(parser->document, node) != JSON_OBJECT)
        return fail(parser, "headers", "must be an object");
    for (uint32_t key = json_first(parser->document, node); key != JSON_NONE; key = json_next(parser->document, node, key)) {
        uint32_t value = json_value(parser->document, key);
        if (json_kind(parser->document, value) != JSON_ARRAY) {
            if (add_header(parser, key, value) < 0)
                return -1;
            continue;
        }
        for (uint32_t each = json_first(parser->document, value); each != JSON_NONE; each = json_next(parser->document, value, each))
            if (add_header(parser, key, each) < 0)
                return -1;
    }
    return 0;
}

static int read_location(struct parser *parser, uint32_t node)
{
    struct emu_rule *rule = parser->rule;
    if (rule->header_count >= EMU_RULE_HEADERS_MAX)
        return fail(parser, "location", "does not fit");
    struct emu_fault_header *header = &rule->headers[rule->header_count++];
    *header = (struct emu_fault_header){mf_strdup("location"), json_dup(parser->document, node)};
    return header->name == NULL || header->value == NULL ? fail(parser, "location", "must be a string") : 0;
}

static int read_body(struct parser *parser, uint32_t node)
{
    if (json_kind(parser->document, node) == JSON_STRING)
        return read_text(parser, node, "body", &parser->rule->text);
    return read_raw(parser, node, &parser->rule->text);
}

static int read_probability(struct parser *parser, uint32_t node)
{
    if (json_double(parser->document, node, &parser->rule->probability) < 0 || parser->rule->probability < 0 || parser->rule->probability > 1)
        return fail(parser, "probability", "must be a number from 0 to 1");
    return 0;
}

static int read_exponential(struct parser *parser, uint32_t node)
{
    parser->rule->distribution = EMU_EXPONENTIAL;
    return read_duration(parser, node, "exponential", &parser->rule->low_ms);
}

static int read_play(struct parser *parser, uint32_t node)
{
    static const char *const names[] = {
#define X(play, name) name,
        EMU_PLAYS(X)
#undef X
    };
    for (unsigned each = 0; each < sizeof(names) / sizeof(names[0]); each++)
        if (json_is(parser->document, node, names[each])) {
            parser->rule->play = (enum emu_play)each;
            return 0;
        }
    return fail(parser, "play", "is not known");
}

static int read_error(struct parser *parser, uint32_t node)
{
    uint64_t number;
    if (read_count(parser, node, "error", &number) < 0)
        return -1;
    if (number > UINT32_MAX)
        return fail(parser, "error", "must fit 32 bits");
    parser->rule->error = (uint32_t)number;
    return 0;
}

/* --- rules --- */

static int read_message(struct parser *parser, uint32_t node)
{
    if (json_kind(parser->document, node) != JSON_STRING)
        return fail(parser, "message", "must be a string");
    return read_raw(parser, node, &parser->rule->value); /* with its quotes, as it goes into the envelope */
}

#define READERS(X)                                                                                    \
    X("name", 0, read_text(parser, node, "name", &rule->name))                                        \
    X("method", 0, read_text(parser, node, "method", &rule->method))                                  \
    X("path", 0, read_text(parser, node, "path", &rule->path))                                        \
    X("nth", 0, read_nth(parser, node))                                                               \
    X("every", 0, read_count(parser, node, "every", &rule->every))                                    \
    X("after", 0, read_count(parser, node, "after", &rule->after))                                    \
    X("times", 0, read_count(parser, node, "times", &rule->times))                                    \
    X("probability", 0, read_probability(parser, node))                                               \
    X("delay", TAKES_DELAY, read_duration(parser, node, "delay", &rule->low_ms))                      \
    X("uniform", TAKES_DELAY, read_uniform(parser, node))                                             \
    X("exponential", TAKES_DELAY, read_exponential(parser, node))                                     \
    X("before", TAKES_DELAY, read_bool(parser, node, "before", &rule->before))                        \
    X("status", TAKES_STATUS | TAKES_LOCATION, read_int(parser, node, "status", &rule->status))       \
    X("code", TAKES_STATUS, read_int(parser, node, "code", &rule->code))                              \
    X("message", TAKES_STATUS, read_message(parser, node))                                            \
    X("body", TAKES_STATUS, read_body(parser, node))                                                  \
    X("effect", TAKES_EFFECT, read_bool(parser, node, "effect", &rule->effect))                       \
    X("headers", TAKES_HEADERS, read_headers(parser, node))                                           \
    X("location", TAKES_LOCATION, read_location(parser, node))                                        \
    X("pointer", TAKES_POINTER, read_text(parser, node, "pointer", &rule->pointer))                   \
    X("value", TAKES_VALUE, read_raw(parser, node, &rule->value))                                     \
    X("previous", TAKES_VALUE, read_bool(parser, node, "previous", &rule->previous))                  \
    X("text", TAKES_TEXT, read_text(parser, node, "text", &rule->text))                               \
    X("bytes", TAKES_BYTES | TAKES_PACE, read_count(parser, node, "bytes", &rule->bytes))             \
    X("interval", TAKES_PACE, read_duration(parser, node, "interval", &rule->every_ms))                \
    X("play", TAKES_PLAY, read_play(parser, node))                                                    \
    X("error", TAKES_PLAY, read_error(parser, node))

static int read_member(struct parser *parser, struct mf_span name, uint32_t node)
{
    struct emu_rule *rule = parser->rule;
    unsigned keys = actions[rule->action].keys;
#define X(key, takes, reader) \
    if (mf_span_is(name, key) && ((takes) == 0 || (keys & (takes)) != 0)) \
        return reader;
    READERS(X)
#undef X
    if (mf_span_is(name, "action"))
        return 0;
    return mf_fail(parser->error, MF_INPUT, "faults: action %s does not take a key \"%.*s\"", actions[rule->action].name,
                   (int)(name.length > 40 ? 40 : name.length), name.data);
}

static int read_action(struct parser *parser, uint32_t node)
{
    uint32_t action = json_member(parser->document, node, "action");
    for (unsigned each = 0; each < ACTION_COUNT; each++)
        if (action != JSON_NONE && json_is(parser->document, action, actions[each].name)) {
            parser->rule->action = (enum emu_action)each;
            return 0;
        }
    return fail(parser, "action", "is missing or not known");
}

static int set_defaults(struct parser *parser)
{
    struct emu_rule *rule = parser->rule;
    if (rule->action == EMU_ACTION_HTTP2 && (rule->path != NULL || rule->method != NULL))
        return fail(parser, "http2", "counts connections: it takes neither method nor path");
    if (rule->path == NULL && (rule->path = mf_strdup("/**")) == NULL)
        return mf_fail(parser->error, MF_MEMORY, "no memory");
    if (rule->status == 0)
        rule->status = rule->action == EMU_ACTION_REDIRECT ? 307 : 500;
    if (rule->status < 100 || rule->status > 599)
        return fail(parser, "status", "must be from 100 to 599");
    if (rule->action == EMU_ACTION_DRIP) {
        rule->bytes = rule->bytes == 0 ? 1 : rule->bytes;
        rule->every_ms = rule->every_ms == 0 ? 1000 : rule->every_ms;
    }
    if ((actions[rule->action].keys & TAKES_POINTER) != 0 && rule->pointer == NULL)
        return fail(parser, "pointer", "is missing");
    if (rule->action == EMU_ACTION_EDIT && rule->value == NULL && !rule->previous)
        return fail(parser, "value", "is missing");
    return 0;
}

static int read_rule(struct parser *parser, uint32_t node)
{
    const struct json_document *document = parser->document;
    parser->rule->probability = 1.0;
    parser->rule->error = EMU_HTTP2_REFUSED_STREAM;
    if (json_kind(document, node) != JSON_OBJECT)
        return fail(parser, "rules", "must be a list of objects");
    if (read_action(parser, node) < 0)
        return -1;
    for (uint32_t key = json_first(document, node); key != JSON_NONE; key = json_next(document, node, key)) {
        struct mf_span name;
        if (json_plain(document, key, &name) < 0)
            return fail(parser, "rule", "has an unknown key");
        if (read_member(parser, name, json_value(document, key)) < 0)
            return -1;
    }
    return set_defaults(parser);
}

/* --- the script --- */

static int read_rules(struct emu_faults *faults, const struct json_document *document, uint32_t list, struct mf_error *error)
{
    struct parser parser = {.document = document, .error = error};
    if (json_kind(document, list) != JSON_ARRAY)
        return fail(&parser, "rules", "must be a list");
    uint32_t count = document->nodes[list].children;
    if (count > EMU_RULES_MAX)
        return mf_fail(error, MF_LIMIT, "faults: more than %u rules", EMU_RULES_MAX);
    faults->rules = mf_calloc(count == 0 ? 1 : count, sizeof(*faults->rules));
    if (faults->rules == NULL)
        return mf_fail(error, MF_MEMORY, "no memory");
    for (uint32_t node = json_first(document, list); node != JSON_NONE; node = json_next(document, list, node)) {
        parser.rule = &faults->rules[faults->count++];
        if (read_rule(&parser, node) < 0)
            return mf_wrap(error, "rule %u", faults->count);
    }
    return 0;
}

static int read_script(struct emu_faults *faults, const struct json_document *document, struct mf_error *error)
{
    struct parser parser = {.document = document, .error = error};
    uint64_t seed = 0;
    if (json_kind(document, 0) != JSON_OBJECT)
        return fail(&parser, "script", "must be an object");
    for (uint32_t key = json_first(document, 0); key != JSON_NONE; key = json_next(document, 0, key)) {
        uint32_t value = json_value(document, key);
        int done;
        if (json_is(document, key, "seed"))
            done = read_count(&parser, value, "seed", &seed);
        else if (json_is(document, key, "list_lag"))
            done = read_duration(&parser, value, "list_lag", &faults->list_lag_ms);
        else if (json_is(document, key, "rules"))
            done = read_rules(faults, document, value, error);
        else
            done = json_is(document, key, "description") ? 0 : fail(&parser, "script", "has a key other than seed, list_lag, rules, description");
        if (done < 0)
            return -1;
    }
    mf_rng_seed(&faults->rng, seed);
    return 0;
}

static int scan_script(struct emu_faults *faults, struct mf_span text, struct mf_error *error)
{
    struct json_document document;
    struct json_limits limits = json_limits_default;
    limits.comments = true;
    if (json_scan_error(&document, text, &limits, error) < 0)
        return mf_wrap(error, "faults");
    int done = read_script(faults, &document, error);
    json_document_free(&document);
    return done;
}

int emu_faults_parse(struct emu_faults **out, struct mf_span text, struct mf_error *error)
{
    struct emu_faults *faults = mf_calloc(1, sizeof(*faults));
    if (faults == NULL || (faults->text = mf_strndup(text.length == 0 ? "" : text.data, text.length)) == NULL) {
        mf_free(faults);
        return mf_fail(error, MF_MEMORY, "no memory");
    }
    if ((text.length > 0 ? scan_script(faults, text, error) : 0) < 0) {
        emu_faults_free(faults);
        return -1;
    }
    *out = faults;
    return 0;
}

static void free_rule(struct emu_rule *rule)
{
    char *texts[] = {rule->name, rule->method, rule->path, rule->text, rule->pointer, rule->value, rule->last};
    for (size_t each = 0; each < sizeof(texts) / sizeof(texts[0]); each++)
        mf_free(texts[each]);
    for (uint32_t each = 0; each < rule->header_count; each++) {
        mf_free(rule->headers[each].name);
        mf_free(rule->headers[each].value);
    }
}

void emu_faults_free(struct emu_faults *faults)
{
    if (faults == NULL)
        return;
    for (uint32_t each = 0; each < faults->count; each++)
        free_rule(&faults->rules[each]);
    mf_free(faults->rules);
    mf_free(faults->text);
    mf_free(faults);
}
