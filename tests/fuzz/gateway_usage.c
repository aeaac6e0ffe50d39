/*
 * gateway_usage.c - any bytes as an answer and as a stream: the same numbers however they are cut, and those that the strict
 * scanner finds; any bytes as a request: a reservation that is a number or a reason
 */
#include "base/alloc.h"
#include "gateway/usage.h"
#include "json/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char usage_json[] =
    "{\"model\":\"/model\",\"input\":[\"/usage/in\",\"/a/1/i\"],\"output\":\"/usage/out\",\"cached\":\"/usage/hit\","
    "\"stream\":{\"input\":\"/m/in\"},\"request\":{\"model\":\"/model\",\"output_max\":[\"/max\",\"/usage/"
    "out\"],\"times\":\"/n\"},"
    "\"ask\":{\"when\":{\"pointer\":\"/stream\",\"equals\":true},\"missing\":\"/o/u\"}}";
static const char prices_json[] =
    "{\"models\":{\"a\":{\"input\":1,\"output\":2},\"ab\":{\"input\":0.5,\"output\":1e6}}}";

static void require(bool condition)
{
    if (!condition)
        abort();
}

struct result {
    struct audit_usage usage;
    char model[256];
};

/* `cut` 0: whole; else in pieces of so many bytes. */
static struct result read_all(const struct usage_rules *rules, const char *type, struct mf_span text, size_t cut)
{
    struct result result;
    struct usage_reader *reader;
    require(usage_reader_create(&reader, rules, mf_span(type)) == 0);
    for (size_t at = 0, piece; at < text.length; at += piece) {
        piece = cut == 0 || cut > text.length - at ? text.length - at : cut;
        char *copy = mf_strndup(text.data + at, piece); /* so that reading over its end is seen */
        usage_reader_take(reader, (struct mf_span){copy, piece});
        mf_free(copy);
    }
    usage_reader_end(reader, &result.usage);
    require(mf_span_copy(result.usage.model, result.model, sizeof result.model) == 0);
    result.usage.model = MF_SPAN("");
    usage_reader_destroy(reader);
    return result;
}

static void check_cuts(const struct usage_rules *rules, const char *type, struct mf_span text, size_t cut)
{
    struct result whole = read_all(rules, type, text, 0);
    struct result pieces = read_all(rules, type, text, cut);
    struct result bytes = read_all(rules, type, text, 1);
    require(whole.usage.known == pieces.usage.known && whole.usage.known == bytes.usage.known);
    require(whole.usage.input_tokens == pieces.usage.input_tokens &&
            whole.usage.input_tokens == bytes.usage.input_tokens);
    require(whole.usage.output_tokens == pieces.usage.output_tokens &&
            whole.usage.output_tokens == bytes.usage.output_tokens);
    require(whole.usage.micro_usd == pieces.usage.micro_usd && whole.usage.micro_usd == bytes.usage.micro_usd);
    require(strcmp(whole.model, pieces.model) == 0 && strcmp(whole.model, bytes.model) == 0);
}

/* What the strict scanner takes, the passing one must read alike (but for escaped names, which it passes over). */
static void check_against_strict(const struct usage_rules *rules, struct mf_span text)
{
    struct json_document document;
    int64_t output;
    if (memchr(text.data, '\\', text.length) != NULL || json_scan(&document, text, &json_limits_default, NULL) != 0)
        return;
    struct result read = read_all(rules, "application/json", text, 7);
    bool said = json_int(&document, json_pointer(&document, MF_SPAN("/usage/out")), &output) == 0 && output >= 0;
    if (read.usage.known && said)
        require(read.usage.output_tokens == (uint64_t)output);
    int64_t first, second;
    bool has_first = json_int(&document, json_pointer(&document, MF_SPAN("/usage/in")), &first) == 0 && first >= 0;
    bool has_second = json_int(&document, json_pointer(&document, MF_SPAN("/a/1/i")), &second) == 0 && second >= 0;
    if (has_first || has_second) {
        require(read.usage.known);
        require((has_first && read.usage.input_tokens == (uint64_t)first) ||
                (has_second && read.usage.input_tokens == (uint64_t)second));
    }
    json_document_free(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct usage_rules *rules;
    if (rules == NULL)
        require(usage_rules_create(&rules, mf_span(usage_json), mf_span(prices_json), NULL) == 0);
    char *copy = mf_strndup((const char *)data, size);
    struct mf_span text = {copy, size};
    size_t cut = size > 0 ? data[size - 1] % 17 + 2u : 2;
    const char *why;
    check_cuts(rules, "application/json", text, cut);
    check_cuts(rules, "text/event-stream", text, cut);
    check_against_strict(rules, text);
    int64_t most = usage_reserve(rules, text, &why);
    require(most >= 0 ? why[0] == '\0' : why[0] != '\0');
    mf_free(copy);
    return 0;
}
