/* gateway_usage.c - tokens and money: answers and streams of model APIs, cut anywhere; reservations; budgets */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rng.h"
#include "gateway/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char messages_usage[] =
    "{\"model\":[\"/model\",\"/message/model\"],\"input\":\"/usage/input_tokens\",\"output\":\"/usage/output_tokens\","
    "\"cached\":\"/usage/cache_read_input_tokens\",\"cache_write\":\"/usage/cache_creation_input_tokens\","
    "\"stream\":{\"input\":[\"/message/usage/input_tokens\",\"/usage/input_tokens\"],\"output\":[\"/usage/"
    "output_tokens\"],"
    "\"cached\":[\"/message/usage/cache_read_input_tokens\"],\"cache_write\":\"/message/usage/"
    "cache_creation_input_tokens\"},"
    "\"request\":{\"model\":\"/model\",\"output_max\":[\"/max_tokens\"]},\"output_default\":8192}";
static const char messages_prices[] =
    "{\"date\":\"2026-11-01\",\"models\":{\"claude-x\":{\"input\":3.0,\"output\":15.0,\"cached\":0.3,\"cache_write\":3."
    "75},"
    "\"claude-x-mini\":{\"input\":0.25,\"output\":1.25},\"*\":{\"input\":15,\"output\":75}}}";
static const char chat_usage[] =
    "{\"model\":\"/model\",\"input\":\"/usage/prompt_tokens\",\"output\":\"/usage/completion_tokens\","
    "\"cached\":\"/usage/prompt_tokens_details/cached_tokens\",\"input_includes_cached\":true,"
    "\"request\":{\"model\":\"/model\",\"output_max\":[\"/max_tokens\",\"/max_completion_tokens\"],\"times\":[\"/n\"]},"
    "\"output_default\":4096,"
    "\"ask\":{\"when\":{\"pointer\":\"/stream\",\"equals\":true},\"has\":\"/messages\",\"missing\":\"/stream_options/"
    "include_usage\"}}";
static const char chat_prices[] =
    "{\"date\":\"2026-11-01\",\"models\":{\"gpt-9\":{\"input\":2,\"output\":8,\"cached\":0.5}}}";

static const char messages_answer[] =
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x-20261101\",\"content\":[{"
    "\"type\":\"text\","
    "\"text\":\"\\\"usage\\\":{\\\"input_tokens\\\":9} \\u0000 \\ud83d "
    "{[\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
    "\"usage\":{\"input_tokens\":2095,\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":1000,"
    "\"cache_creation\":{\"ephemeral_5m_input_tokens\":100},\"output_tokens\":503,\"service_tier\":\"standard\"}}";
static const char messages_stream[] =
    "event: message_start\n"
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x-20261101\",\"content\":[],"
    "\"usage\":{\"input_tokens\":2095,\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":1000,\"output_"
    "tokens\":1}}}\n\n"
    ": a comment, data: {\"usage\":{\"output_tokens\":77}}\n"
    "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    "event: content_block_delta\n"
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"data: "
    "{\\\"usage\\\":1}\\n\\n\"}}\n\n"
    "event: message_delta\n"
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":15}}\n\n"
    "event: message_delta\nid: 7\nretry: 10\n"
    "data: {\"type\":\"message_delta\",\n"
    "data:\"delta\":{\"stop_reason\":\"end_turn\"},\n"
    "data:  \"usage\":{\"output_tokens\":503}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
static const char chat_answer[] = "{\"id\":\"c-1\",\"object\":\"chat.completion\",\"model\":\"gpt-9-2026\",\"choices\":"
                                  "[{\"index\":0,\"message\":{\"content\":\"hi\"}}],"
                                  "\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29,"
                                  "\"prompt_tokens_details\":{\"cached_tokens\":9}}}";
static const char chat_stream[] =
    "data: {\"id\":\"c-1\",\"model\":\"gpt-9-2026\",\"choices\":[{\"delta\":{\"content\":\"h\"}}],\"usage\":null}\n\n"
    "data: {\"id\":\"c-1\",\"model\":\"gpt-9-2026\",\"choices\":[{\"delta\":{\"content\":\"i\"}}],\"usage\":null}\n\n"
    "data: "
    "{\"id\":\"c-1\",\"model\":\"gpt-9-2026\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,"
    "\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":9}}}\n\n"
    "data: [DONE]\n\n";

static struct mf_error error;

static struct usage_rules *rules_of(const char *usage, const char *prices)
{
    struct usage_rules *rules;
    if (usage_rules_create(&rules, mf_span(usage), mf_span(prices), &error) != 0)
        fail_msg("%s", error.text);
    return rules;
}

/* An answer in three pieces; the model is copied to `model`. */
static struct audit_usage read_cut(const struct usage_rules *rules, const char *type, struct mf_span text, size_t first,
                                   size_t second, char model[128])
{
    struct usage_reader *reader;
    struct audit_usage usage;
    assert_int_equal(usage_reader_create(&reader, rules, mf_span(type)), 0);
    usage_reader_take(reader, (struct mf_span){text.data, first});
    usage_reader_take(reader, (struct mf_span){text.data + first, second - first});
    usage_reader_take(reader, (struct mf_span){text.data + second, text.length - second});
    usage_reader_end(reader, &usage);
    snprintf(model, 128, "%.*s", MF_SPAN_ARGS(usage.model));
    usage_reader_destroy(reader);
    return usage;
}

static struct audit_usage read_whole(const struct usage_rules *rules, const char *type, const char *text)
{
    char model[128];
    return read_cut(rules, type, mf_span(text), 0, 0, model);
}

static void expect_numbers(const struct audit_usage *usage, uint64_t input, uint64_t output, uint64_t cached,
                           uint64_t cache_write, int64_t micro_usd)
{
    assert_true(usage->known);
    assert_int_equal(usage->input_tokens, input);
    assert_int_equal(usage->output_tokens, output);
    assert_int_equal(usage->cached_tokens, cached);
    assert_int_equal(usage->cache_write_tokens, cache_write);
    assert_int_equal(usage->micro_usd, micro_usd);
}

static void expect_messages(const struct audit_usage *usage, const char *model)
{
    assert_string_equal(model, "claude-x-20261101");
    /* 2095 * 3 + 503 * 15 + 1000 * 0.3 + 100 * 3.75 */
    expect_numbers(usage, 2095, 503, 1000, 100, 14505);
}

static void expect_chat(const struct audit_usage *usage, const char *model)
{
    assert_string_equal(model, "gpt-9-2026");
    /* 10 * 2 + 10 * 8 + 9 * 0.5, rounded up */
    expect_numbers(usage, 10, 10, 9, 0, 105);
}

/* --- answers --- */

static void any_cut_gives_the_same_numbers(void **state)
{
    (void)state;
    char model[128];
    struct usage_rules *messages = rules_of(messages_usage, messages_prices);
    struct usage_rules *chat = rules_of(chat_usage, chat_prices);
    const struct {
        const struct usage_rules *rules;
        const char *type;
        struct mf_span text;
        void (*expect)(const struct audit_usage *usage, const char *model);
    } cases[] = {
        {messages, "application/json", MF_SPAN(messages_answer), expect_messages},
        {messages, "text/event-stream; charset=utf-8", MF_SPAN(messages_stream), expect_messages},
        {chat, "application/json", MF_SPAN(chat_answer), expect_chat},
        {chat, "Text/Event-Stream", MF_SPAN(chat_stream), expect_chat},
    };
    struct mf_rng rng;
    mf_rng_seed(&rng, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = cases[i].text.length;
        for (size_t first = 0; first <= length; first++) {
            size_t second = first + mf_rng_below(&rng, length - first + 1);
            struct audit_usage usage = read_cut(cases[i].rules, cases[i].type, cases[i].text, first, second, model);
            cases[i].expect(&usage, model);
        }
    }
    usage_rules_destroy(messages);
    usage_rules_destroy(chat);
}

static void line_ends_do_not_matter(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    struct usage_rules *rules = rules_of(messages_usage, messages_prices);
    for (size_t i = 0; i < 3; i++) {
        char model[128];
        struct mf_buf text;
        mf_buf_init(&text, 1 << 16);
        mf_buf_text(&text, "\xef\xbb\xbf"); /* a byte-order mark is passed over */
        for (const char *at = messages_stream; *at != '\0'; at++) {
            if (*at == '\n')
                mf_buf_text(&text, ends[i]);
            else
                mf_buf_char(&text, *at);
        }
        for (size_t first = 0; first <= text.length; first++) {
            struct audit_usage usage = read_cut(rules, "text/event-stream", mf_buf_view(&text), first, first, model);
            expect_messages(&usage, model);
        }
        mf_buf_free(&text);
    }
    usage_rules_destroy(rules);
}

static void a_broken_answer_says_nothing(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "{",
        "[1,2}",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}} x",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":2},nope}",
        "{\"usage\":{\"input_tokens\":1,,\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\" 1,\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":2},\"a\":tru}",
        "{\"usage\":{\"input_tokens\":\"1\",\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\":-1,\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\":1.5,\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\":null,\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\":99999999999999999999,\"output_tokens\":2}}",
        "{\"usage\":{\"input_\\u0074okens\":1,\"output_tokens\":2}}", /* nobody writes so: not read, so charged in full */
        "{\"usage\":[{\"input_tokens\":1,\"output_tokens\":2}]}",
        "{\"Usage\":{\"input_tokens\":1,\"output_tokens\":2}}",
        "{\"x\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}",
        "{\"usage/input_tokens\":1,\"usage\":3}",
        "3",
        "null",
    };
    struct usage_rules *rules = rules_of(messages_usage, messages_prices);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct audit_usage usage = read_whole(rules, "application/json", broken[i]);
        if (usage.known || usage.micro_usd != -1)
            fail_msg("%s", broken[i]);
    }
    /* deeper than any answer */
    char deep[200];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_false(read_whole(rules, "application/json", deep).known);
    usage_rules_destroy(rules);
}

static void a_stream_that_breaks_off_is_not_known(void **state)
{
    (void)state;
    char model[128];
    struct usage_rules *rules = rules_of(messages_usage, messages_prices);
    struct mf_span text = MF_SPAN(messages_stream);
    size_t first_delta = (size_t)(strstr(messages_stream, "event: message_delta") - messages_stream);
    text.length = first_delta;
    struct audit_usage usage = read_cut(rules, "text/event-stream", text, 0, 0, model);
    assert_false(usage.known);
    assert_int_equal(usage.micro_usd, -1);
    /* the last event may lack its empty line */
    usage = read_whole(rules, "text/event-stream", "data: {\"usage\":{\"input_tokens\":4,\"output_tokens\":5}}");
    assert_true(usage.known);
    usage = read_whole(rules, "text/event-stream", "data: {\"usage\":{\"input_tokens\":4,\"output_tokens\":5}\n\n");
    assert_false(usage.known);
    usage = read_whole(rules, "text/event-stream",
                       "data\ndata: {\"usage\":{\"input_tokens\":4,\"output_tokens\":5}}\n\ndata\n\n");
    assert_true(usage.known);
    usage = read_whole(rules, "text/event-stream", "datum: {\"usage\":{\"input_tokens\":4,\"output_tokens\":5}}\n\n");
    assert_false(usage.known);
    usage_rules_destroy(rules);
}

static void what_is_not_said_is_nothing(void **state)
{
    (void)state;
    struct usage_rules *rules = rules_of(chat_usage, chat_prices);
    struct audit_usage usage = read_whole(rules, "application/json",
                                          "{\"model\":\"gpt-9\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}");
    expect_numbers(&usage, 8, 0, 0, 0, 16); /* embeddings have no output */
    usage = read_whole(rules, "application/json",
                       "{\"model\":\"other\",\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1}}");
    expect_numbers(&usage, 8, 1, 0, 0, -1);
    usage = read_whole(rules, "application/json",
                       "{\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_"
                       "tokens\":80}},\"model\":\"gpt-9\"}");
    expect_numbers(&usage, 0, 1, 80, 0, 48); /* more cached than there was: no underflow */
    usage = read_whole(rules, "",
                       "{\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":18446744073709551615},"
                       "\"model\":\"gpt-9\"}");
    expect_numbers(&usage, UINT64_MAX, UINT64_MAX, 0, 0, INT64_MAX);
    usage_rules_destroy(rules);
}

static void elements_of_arrays_have_their_index(void **state)
{
    (void)state;
    struct usage_rules *rules = rules_of("{\"input\":\"/a/0/1/x~1y\",\"output\":[\"/a/10/~0\"]}", NULL);
    struct audit_usage usage =
        read_whole(rules, "application/json",
                   "{\"a\":[[9,{\"x/y\":3,\"x\":4}],1,2,3,4,5,6,7,8,9,{\"~\":7},{\"~\":8}],\"output\":1}");
    expect_numbers(&usage, 3, 7, 0, 0, -1);
    usage_rules_destroy(rules);
}

static void a_long_answer_costs_no_more_memory(void **state)
{
    (void)state;
    struct usage_rules *rules = rules_of(chat_usage, chat_prices);
    struct usage_reader *reader;
    struct audit_usage usage;
    char block[4096];
    memset(block, 'x', sizeof block);
    assert_int_equal(usage_reader_create(&reader, rules, MF_SPAN("application/json")), 0);
    uint64_t before = mf_alloc_count();
    usage_reader_take(reader, MF_SPAN("{\"model\":\""));
    for (int i = 0; i < 4096; i++) /* 16 MiB */
        usage_reader_take(reader, (struct mf_span){block, sizeof block});
    usage_reader_take(reader, MF_SPAN("\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}"));
    assert_int_equal(mf_alloc_count(), before);
    usage_reader_end(reader, &usage);
    assert_true(usage.known);
    assert_int_equal(usage.model.length, 0); /* no model has such a name */
    usage_reader_destroy(reader);
    usage_rules_destroy(rules);
}

/* --- reservations --- */

static void expect_reserve(const struct usage_rules *rules, const char *body, int64_t wanted, const char *reason)
{
    const char *why;
    int64_t got = usage_reserve(rules, mf_span(body), &why);
    if (got != wanted || strstr(why, reason) == NULL)
        fail_msg("%s gave %lld (%s), wanted %lld (%s)", body, (long long)got, why, (long long)wanted, reason);
}

/* As many input tokens as the body has bytes, at a price in thousandths of a micro-dollar, and so much for the output. */
static void expect_most(const struct usage_rules *rules, const char *body, int64_t price, int64_t output)
{
    expect_reserve(rules, body, ((int64_t)strlen(body) * price + 999) / 1000 + output, "");
}

static void the_most_that_a_request_can_cost(void **state)
{
    (void)state;
    struct usage_rules *rules = rules_of(messages_usage, messages_prices);
    expect_most(rules, "{\"model\":\"claude-x-1\",\"max_tokens\":100}", 3750,
                100 * 15); /* writing to the cache is dearest */
    expect_most(rules, "{\"model\":\"claude-x-1\",\"max_tokens\":null}", 3750, 8192 * 15);
    expect_most(rules, "{\"model\":\"claude-x-1\"}", 3750, 8192 * 15);
    expect_most(rules, "{\"model\":\"claude-x-mini-2\",\"max_tokens\":4}", 250, 5);
    expect_most(rules, "{\"model\":\"unheard-of\",\"max_tokens\":1}", 15000, 75);
    expect_reserve(rules, "{\"max_tokens\":9223372036854775807}", INT64_MAX, "");
    expect_reserve(rules, "{\"max_tokens\":\"1\"}", -1, "whole number");
    expect_reserve(rules, "{\"max_tokens\":1e3}", -1, "whole number");
    expect_reserve(rules, "{\"max_tokens\":0}", -1, "whole number");
    expect_reserve(rules, "{\"max_tokens\":-1}", -1, "whole number");
    expect_reserve(rules, "{\"max_tokens\":1,\"max_tokens\":2}", -1,
                   "no JSON"); /* which of them would the provider take? */
    expect_reserve(rules, "{\"max_tokens\":1", -1, "no JSON");
    expect_reserve(rules, "", -1, "no JSON");
    expect_reserve(rules, "[1]", -1, "no JSON object");
    expect_reserve(rules, "{\"model\":7}", -1, "name");
    usage_rules_destroy(rules);
}

static void choices_and_streams(void **state)
{
    (void)state;
    struct usage_rules *rules = rules_of(chat_usage, chat_prices);
    expect_most(rules, "{\"model\":\"gpt-9\",\"max_tokens\":5,\"max_completion_tokens\":7}", 2000, 7 * 8);
    expect_most(rules, "{\"model\":\"gpt-9\",\"max_tokens\":10,\"n\":3}", 2000, 3 * 10 * 8);
    expect_reserve(rules, "{\"model\":\"gpt-9\",\"max_tokens\":10,\"n\":0}", -1, "whole number");
    expect_reserve(rules, "{\"model\":\"other\"}", -1, "no price");
    expect_reserve(rules, "{}", -1, "no price");
    expect_reserve(rules, "{\"model\":\"gpt-9\",\"messages\":[],\"stream\":true}", -1, "ask for usage");
    expect_reserve(rules,
                   "{\"model\":\"gpt-9\",\"messages\":[],\"stream\":true,\"stream_options\":{\"include_usage\":false}}",
                   -1, "ask for usage");
    expect_most(rules,
                "{\"model\":\"gpt-9\",\"messages\":[],\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                2000, 4096 * 8);
    expect_most(rules, "{\"model\":\"gpt-9\",\"stream\":false}", 2000, 4096 * 8);
    expect_most(rules, "{\"model\":\"gpt-9\",\"input\":1,\"stream\":true}", 2000, 4096 * 8); /* says it unasked */
    usage_rules_destroy(rules);
    rules = rules_of(chat_usage, NULL);
    assert_false(usage_rules_priced(rules));
    expect_reserve(rules, "{\"model\":\"gpt-9\"}", -1, "no prices");
    usage_rules_destroy(rules);
}

static void texts_that_are_no_rules_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *usage, *prices;
    } bad[] = {
        {"[]", NULL},
        {"{", NULL},
        {"{\"input\":1}", NULL},
        {"{\"input\":\"no slash\"}", NULL},
        {"{\"input\":[\"/a\",\"\"]}", NULL},
        {"{\"input\":\"/1/2/3/4/5/6/7/8/9\"}", NULL},
        {"{\"output_default\":-1}", NULL},
        {"{\"output_default\":\"1\"}", NULL},
        {"{\"input_includes_cached\":1}", NULL},
        {"{\"ask\":{}}", NULL},
        {"{\"ask\":{\"when\":{\"pointer\":\"/a\",\"equals\":1}}}", NULL},
        {"{\"request\":{\"times\":[\"/1\",\"/2\",\"/3\",\"/4\",\"/5\",\"/6\",\"/7\",\"/8\",\"/9\"]}}", NULL},
        {NULL, "{\"models\":{}}"},
        {"{}", "{}"},
        {"{}", "{\"models\":[]}"},
        {"{}", "{\"models\":{\"m\":1}}"},
        {"{}", "{\"models\":{\"m\":{\"input\":1}}}"},
        {"{}", "{\"models\":{\"m\":{\"input\":1,\"output\":-1}}}"},
        {"{}", "{\"models\":{\"m\":{\"input\":1,\"output\":1e7}}}"},
        {"{}", "{\"models\":{\"m\":{\"input\":1,\"output\":\"1\"}}}"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct usage_rules *rules;
        if (usage_rules_create(&rules, mf_span(bad[i].usage), mf_span(bad[i].prices), &error) == 0)
            fail_msg("%s %s", bad[i].usage, bad[i].prices);
        assert_null(rules);
    }
    struct mf_buf many;
    mf_buf_init(&many, 1000);
    mf_buf_text(&many, "{\"input\":[\"/a\"");
    for (int i = 0; i < 32; i++)
        mf_buf_text(&many, ",\"/a\"");
    mf_buf_text(&many, "]}");
    struct usage_rules *rules;
    assert_int_equal(usage_rules_create(&rules, mf_buf_view(&many), MF_SPAN(""), &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
    mf_buf_free(&many);
}

static void without_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        struct usage_rules *rules;
        struct usage_reader *reader = NULL;
        const char *why;
        mf_alloc_fail_after(n, 1);
        done = usage_rules_create(&rules, MF_SPAN(chat_usage), MF_SPAN(chat_prices), &error) == 0;
        if (done) {
            mf_alloc_fail_after(0, 1);
            assert_int_equal(usage_reader_create(&reader, rules, MF_SPAN("")), -1);
            mf_alloc_fail_after(0, 1);
            assert_int_equal(usage_reserve(rules, MF_SPAN("{\"model\":\"gpt-9\"}"), &why), -1);
        } else {
            assert_int_equal(error.code, MF_MEMORY);
        }
        mf_alloc_fail_after(-1, 0);
        usage_rules_destroy(rules);
    }
}

/* --- budgets --- */

static void a_budget_holds_what_is_reserved(void **state)
{
    (void)state;
    struct budget budget = {.limit_micro_usd = 100};
    assert_true(budget_allows(&budget, 100));
    assert_false(budget_allows(&budget, 101));
    assert_false(budget_allows(&budget, -1));
    budget_reserve(&budget, 60);
    assert_true(budget_allows(&budget, 40));
    assert_false(budget_allows(&budget, 41));
    budget_settle(&budget, 60, 10, 5);
    assert_int_equal(budget.reserved_micro_usd, 0);
    assert_int_equal(budget.spent_micro_usd, 10);
    assert_int_equal(budget.tokens, 5);
    assert_int_equal(budget.requests, 1);
    assert_true(budget_allows(&budget, 90));
    assert_false(budget_allows(&budget, 91));
    assert_false(budget_allows(&budget, INT64_MAX));
    budget_settle(&budget, INT64_MAX, INT64_MAX,
                  UINT64_MAX); /* more than was ever reserved, and all the money there is */
    assert_int_equal(budget.reserved_micro_usd, 0);
    assert_int_equal(budget.spent_micro_usd, INT64_MAX);
    assert_int_equal(budget.tokens, UINT64_MAX);
    assert_false(budget_allows(&budget, 0));
    budget_reserve(&budget, INT64_MAX);
    assert_false(budget_allows(&budget, INT64_MAX));
}

static void without_a_limit_all_is_allowed_and_counted(void **state)
{
    (void)state;
    struct budget budget = {.limit_micro_usd = -1};
    assert_true(budget_allows(&budget, -1));
    assert_true(budget_allows(&budget, INT64_MAX));
    budget_reserve(&budget, -1);
    budget_settle(&budget, -1, -1, 7);
    assert_int_equal(budget.spent_micro_usd, 0);
    assert_int_equal(budget.reserved_micro_usd, 0);
    budget.limit_tokens = 8;
    assert_true(budget_allows(&budget, -1));
    budget_settle(&budget, 0, 0, 1);
    assert_false(budget_allows(&budget, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_numbers),
        cmocka_unit_test(line_ends_do_not_matter),
        cmocka_unit_test(a_broken_answer_says_nothing),
        cmocka_unit_test(a_stream_that_breaks_off_is_not_known),
        cmocka_unit_test(what_is_not_said_is_nothing),
        cmocka_unit_test(elements_of_arrays_have_their_index),
        cmocka_unit_test(a_long_answer_costs_no_more_memory),
        cmocka_unit_test(the_most_that_a_request_can_cost),
        cmocka_unit_test(choices_and_streams),
        cmocka_unit_test(texts_that_are_no_rules_are_refused),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(a_budget_holds_what_is_reserved),
        cmocka_unit_test(without_a_limit_all_is_allowed_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
