/* json_scan.c - the strict scanner: what it takes, what it refuses and where, and what the table says */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "json/scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that may hold NUL: the length comes from the literal. */
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

static const struct mf_span accepted[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT("0"),
    TEXT("-0"),
    TEXT("1"),
    TEXT("-1"),
    TEXT("10"),
    TEXT("0.0"),
    TEXT("0.5"),
    TEXT("-0.5"),
    TEXT("1e0"),
    TEXT("1E5"),
    TEXT("1e+5"),
    TEXT("1e-5"),
    TEXT("0e0"),
    TEXT("0e+00"),
    TEXT("123.456e-78"),
    TEXT("1e9999"),
    TEXT("123456789012345678901234567890"),
    TEXT("\"\""),
    TEXT("\"a\""),
    TEXT("\"\x7f\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0001\""),
    TEXT("\"\\u00e9\""),
    TEXT("\"\\uABCD\\uabcd\""),
    TEXT("\"\\ud83d\\ude00\""),
    TEXT("\"\\uD800\\uDC00\""),
    TEXT("\"\\uDBFF\\uDFFF\""),
    TEXT("\"\\ufeff\""),
    TEXT("\"\\uffff\""),
    TEXT("\"\xc3\xa9\""),
    TEXT("\"\xe2\x82\xac\""),
    TEXT("\"\xf0\x9f\x98\x80\""),
    TEXT("\"\xf4\x8f\xbf\xbf\""),
    TEXT("\"\xef\xbf\xbf\""),
    TEXT("\"\xed\x9f\xbf\""),
    TEXT("\"\xee\x80\x80\""),
    TEXT("\"/* not a comment */ // neither\""),
    TEXT("[]"),
    TEXT("[ ]"),
    TEXT("[1]"),
    TEXT("[1,2]"),
    TEXT("[[]]"),
    TEXT("[[],[],{}]"),
    TEXT("[null,true,false,0,\"\",[],{}]"),
    TEXT("{}"),
    TEXT("{ }"),
    TEXT("{\"\":0}"),
    TEXT("{\"a\":1}"),
    TEXT("{\"a\":1,\"b\":2}"),
    TEXT("{\"a\":{\"a\":{\"a\":1}}}"),
    TEXT("{\"a\":[{\"a\":1},{\"a\":1}]}"),
    TEXT("{\"a\":1,\"A\":2}"),
    TEXT("{\"\\u0061\":1,\"b\":2}"),
    TEXT(" \t\r\n{ \"a\" \n:\t[ 1 ,\r2 ] } \n"),
    TEXT("\n1\n"),
    TEXT("[1,\n2]"),
};

static const struct rejected {
    struct mf_span text;
    uint32_t offset;
    const char *reason; /* a fragment */
} rejected[] = {
    /* nothing, or too much */
    {TEXT(""), 0, "expected a value"},
    {TEXT(" "), 1, "end of the text"},
    {TEXT("1 2"), 2, "expected the end of the text"},
    {TEXT("{} {}"), 3, "expected the end"},
    {TEXT("[]]"), 2, "expected the end"},
    {TEXT("{}}"), 2, "expected the end"},
    {TEXT("null,"), 4, "expected the end"},
    {TEXT("\"a\"b"), 3, "expected the end"},
    {TEXT("1\0"), 1, "U+0000"},
    {TEXT("\0"), 0, "U+0000"},
    {TEXT("\xef\xbb\xbf{}"), 0, "byte-order mark"},
    {TEXT("{}\xef\xbb\xbf"), 2, "expected the end"},
    {TEXT("\xfe\xff\0{\0}"), 0, "not UTF-8"},
    {TEXT("\xff"), 0, "not UTF-8"},
    {TEXT("\xc2\xa0null"), 0, "U+00A0"},
    {TEXT("\xe2\x80\xa8[]"), 0, "U+2028"},
    {TEXT("\x0c[]"), 0, "U+000C"},
    {TEXT("\x0b[]"), 0, "U+000B"},
    {TEXT("[]\x1b[31m"), 2, "U+001B"},
    /* words */
    {TEXT("nul"), 0, "expected a value"},
    {TEXT("Null"), 0, "found `N`"},
    {TEXT("NULL"), 0, "found `N`"},
    {TEXT("nulll"), 4, "found `l`"},
    {TEXT("tru"), 0, "expected a value"},
    {TEXT("True"), 0, "found `T`"},
    {TEXT("truefalse"), 4, "found `f`"},
    {TEXT("fals"), 0, "expected a value"},
    {TEXT("undefined"), 0, "found `u`"},
    {TEXT("NaN"), 0, "found `N`"},
    {TEXT("nan"), 0, "found `n`"},
    {TEXT("Infinity"), 0, "found `I`"},
    {TEXT("-Infinity"), 0, "bad number"},
    {TEXT("a"), 0, "found `a`"},
    {TEXT("*"), 0, "found `*`"},
    {TEXT("[a]"), 1, "found `a`"},
    {TEXT("[tru]"), 1, "expected a value"},
    {TEXT("<null>"), 0, "found `<`"},
    /* numbers */
    {TEXT("-"), 0, "bad number"},
    {TEXT("--1"), 0, "bad number"},
    {TEXT("+1"), 0, "found `+`"},
    {TEXT("- 1"), 0, "bad number"},
    {TEXT("00"), 0, "bad number"},
    {TEXT("01"), 0, "bad number"},
    {TEXT("-01"), 0, "bad number"},
    {TEXT("-00"), 0, "bad number"},
    {TEXT("[012]"), 1, "bad number"},
    {TEXT(".5"), 0, "found `.`"},
    {TEXT("-.5"), 0, "bad number"},
    {TEXT("1."), 0, "bad number"},
    {TEXT("1.e5"), 0, "bad number"},
    {TEXT("1.2."), 3, "found `.`"},
    {TEXT("1.2.3"), 3, "found `.`"},
    {TEXT("1e"), 0, "bad number"},
    {TEXT("1e+"), 0, "bad number"},
    {TEXT("1e-"), 0, "bad number"},
    {TEXT("1e1.5"), 3, "found `.`"},
    {TEXT("1ee2"), 0, "bad number"},
    {TEXT("1e+-2"), 0, "bad number"},
    {TEXT("0x10"), 1, "found `x`"},
    {TEXT("0b1"), 1, "found `b`"},
    {TEXT("1_000"), 1, "found `_`"},
    {TEXT("1 000"), 2, "expected the end"},
    {TEXT("12abc"), 2, "found `a`"},
    {TEXT("[1,000]"), 3, "bad number"},
    {TEXT("1f"), 1, "found `f`"},
    {TEXT("1/2"), 1, "comments"},
    {TEXT("\xef\xbc\x91"), 0, "U+FF11"},
    /* strings */
    {TEXT("\""), 0, "not closed"},
    {TEXT("\"a"), 0, "not closed"},
    {TEXT("\"a\\\""), 0, "not closed"},
    {TEXT("'a'"), 0, "double quotes"},
    {TEXT("`a`"), 0, "found ```"},
    {TEXT("\"\\"), 1, "bad escape"},
    {TEXT("\"\\a\""), 1, "bad escape"},
    {TEXT("\"\\v\""), 1, "bad escape"},
    {TEXT("\"\\0\""), 1, "bad escape"},
    {TEXT("\"\\\0\""), 1, "bad escape"},
    {TEXT("\"\\'\""), 1, "bad escape"},
    {TEXT("\"\\x41\""), 1, "bad escape"},
    {TEXT("\"\\ \""), 1, "bad escape"},
    {TEXT("\"\\U0041\""), 1, "bad escape"},
    {TEXT("\"\\u\""), 1, "bad escape"},
    {TEXT("\"\\u1\""), 1, "bad escape"},
    {TEXT("\"\\u12\""), 1, "bad escape"},
    {TEXT("\"\\u123\""), 1, "bad escape"},
    {TEXT("\"\\u12g4\""), 1, "bad escape"},
    {TEXT("\"\\u+041\""), 1, "bad escape"},
    {TEXT("\"\\u 041\""), 1, "bad escape"},
    {TEXT("\"\\u{41}\""), 1, "bad escape"},
    {TEXT("\"\\u004"), 1, "bad escape"},
    {TEXT("\"\\u0000\""), 1, "\\u0000"},
    {TEXT("{\"a\\u0000b\":1}"), 3, "\\u0000"},
    {TEXT("\"a\0b\""), 2, "U+0000"},
    {TEXT("\"\\ud800\""), 1, "lone surrogate"},
    {TEXT("\"\\udc00\""), 1, "lone surrogate"},
    {TEXT("\"\\ud800a\""), 1, "lone surrogate"},
    {TEXT("\"\\ud800\\n\""), 1, "lone surrogate"},
    {TEXT("\"\\ud800\\u\""), 1, "lone surrogate"},
    {TEXT("\"\\ud800\\ud800\""), 1, "lone surrogate"},
    {TEXT("\"\\udc00\\ud800\""), 1, "lone surrogate"},
    {TEXT("\"\\ud800\\u0041\""), 1, "lone surrogate"},
    {TEXT("\"\\ud83d\\ude0"), 1, "lone surrogate"},
    {TEXT("\"\n\""), 1, "U+000A"},
    {TEXT("\"\t\""), 1, "U+0009"},
    {TEXT("\"\r\""), 1, "U+000D"},
    {TEXT("\"\x01\""), 1, "U+0001"},
    {TEXT("\"\x1f\""), 1, "U+001F"},
    {TEXT("\"\x1b[2J\""), 1, "U+001B"},
    {TEXT("\"12345678\x08\""), 9, "U+0008"},
    {TEXT("\"\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xc0\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xc0\xaf\""), 1, "invalid UTF-8"},
    {TEXT("\"\xc1\xbf\""), 1, "invalid UTF-8"},
    {TEXT("\"\xc3\""), 1, "invalid UTF-8"},
    {TEXT("\"\xc3(\""), 1, "invalid UTF-8"},
    {TEXT("\"\xe0\x80\xaf\""), 1, "invalid UTF-8"},
    {TEXT("\"\xe0\x9f\xbf\""), 1, "invalid UTF-8"},
    {TEXT("\"\xe2\x82\""), 1, "invalid UTF-8"},
    {TEXT("\"\xed\xa0\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xed\xbf\xbf\""), 1, "invalid UTF-8"},
    {TEXT("\"\xf0\x80\x80\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xf0\x8f\xbf\xbf\""), 1, "invalid UTF-8"},
    {TEXT("\"\xf0\x9f\x98\""), 1, "invalid UTF-8"},
    {TEXT("\"\xf4\x90\x80\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xf5\x80\x80\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xf8\x88\x80\x80\x80\""), 1, "invalid UTF-8"},
    {TEXT("\"\xfe\""), 1, "invalid UTF-8"},
    {TEXT("\"abcdefgh\xff\""), 9, "invalid UTF-8"},
    {TEXT("\"\xe9\""), 1, "invalid UTF-8"},
    /* arrays */
    {TEXT("["), 1, "end of the text"},
    {TEXT("]"), 0, "found `]`"},
    {TEXT("[1"), 2, "end of the text"},
    {TEXT("[1,"), 3, "end of the text"},
    {TEXT("[,"), 1, "found `,`"},
    {TEXT("[,1]"), 1, "found `,`"},
    {TEXT("[1,]"), 3, "found `]`"},
    {TEXT("[1,,2]"), 3, "found `,`"},
    {TEXT("[1 2]"), 3, "expected `,` or `]`"},
    {TEXT("[1:2]"), 2, "expected `,` or `]`"},
    {TEXT("[\"a\":1]"), 4, "expected `,` or `]`"},
    {TEXT("[1}"), 2, "expected `,` or `]`"},
    {TEXT("[}"), 1, "found `}`"},
    {TEXT("[[1]"), 4, "end of the text"},
    {TEXT("[1;2]"), 2, "found `;`"},
    {TEXT("[\"a\" \"b\"]"), 5, "expected `,` or `]`"},
    {TEXT("[\"a]"), 1, "not closed"},
    {TEXT("[...]"), 1, "found `.`"},
    /* objects */
    {TEXT("{"), 1, "end of the text"},
    {TEXT("}"), 0, "found `}`"},
    {TEXT("{\"a\""), 4, "expected `:`"},
    {TEXT("{\"a\":"), 5, "expected a value"},
    {TEXT("{\"a\":1"), 6, "expected `,` or `}`"},
    {TEXT("{\"a\":1,"), 7, "expected a key"},
    {TEXT("{\"a\":1,}"), 7, "expected a key, found `}`"},
    {TEXT("{,}"), 1, "expected a key or `}`"},
    {TEXT("{\"a\"}"), 4, "expected `:`"},
    {TEXT("{\"a\" 1}"), 5, "expected `:`"},
    {TEXT("{\"a\",1}"), 4, "expected `:`"},
    {TEXT("{\"a\"::1}"), 5, "found `:`"},
    {TEXT("{\"a\":}"), 5, "expected a value"},
    {TEXT("{:1}"), 1, "expected a key"},
    {TEXT("{a:1}"), 1, "expected a key"},
    {TEXT("{'a':1}"), 1, "double quotes"},
    {TEXT("{1:1}"), 1, "expected a key"},
    {TEXT("{null:1}"), 1, "expected a key"},
    {TEXT("{[]:1}"), 1, "expected a key"},
    {TEXT("{\"a\":1 \"b\":2}"), 7, "expected `,` or `}`"},
    {TEXT("{\"a\":1,,\"b\":2}"), 7, "expected a key"},
    {TEXT("{\"a\":1]"), 6, "expected `,` or `}`"},
    {TEXT("{]"), 1, "expected a key"},
    {TEXT("{\"a\":1;}"), 6, "found `;`"},
    {TEXT("{\"a\"=1}"), 4, "expected `:`"},
    {TEXT("{\"a\":\"b"), 5, "not closed"},
    {TEXT("{\"a\":[}"), 6, "found `}`"},
    /* the same key twice, however it is spelt */
    {TEXT("{\"a\":1,\"a\":2}"), 7, "duplicate key `a`"},
    {TEXT("{\"a\":1,\"a\":1}"), 7, "duplicate key `a`"},
    {TEXT("{\"\":1,\"\":2}"), 6, "duplicate key ``"},
    {TEXT("{\"x\":{\"a\":1,\"b\":2,\"a\":3}}"), 18, "duplicate key `a`"},
    {TEXT("[{\"a\":1,\"a\":2}]"), 8, "duplicate key `a`"},
    {TEXT("{\"permissions\":1,\"\\u0070ermissions\":2}"), 17, "duplicate key `permissions`"},
    {TEXT("{\"\\u0061\":1,\"\\u0061\":2}"), 12, "duplicate key `a`"},
    {TEXT("{\"\xc3\xa9\":1,\"\\u00e9\":2}"), 8, "duplicate key"},
    {TEXT("{\"\\/\":1,\"/\":2}"), 8, "duplicate key `/`"},
    {TEXT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), 18, "duplicate key"},
    {TEXT("{\"\x7f\":1,\"\x7f\":2}"), 7, "duplicate key `\\u007f`"},
    /* comments, where nobody asked for them */
    {TEXT("// no\n1"), 0, "comments are not allowed"},
    {TEXT("/* no */1"), 0, "comments are not allowed"},
    {TEXT("1 // no"), 2, "comments are not allowed"},
    {TEXT("{/**/}"), 1, "comments are not allowed"},
    {TEXT("# no\n1"), 0, "found `#`"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct json_document document;
        struct json_failure failure = {0};
        char *exact = mf_strndup(accepted[i].data, accepted[i].length); /* so that a read behind the end is seen */
        if (json_scan(&document, (struct mf_span){exact, accepted[i].length}, &json_limits_default, &failure) != 0)
            fail_msg("%s: %s at %u", accepted[i].data, failure.reason, failure.offset);
        assert_int_equal(document.nodes[0].end, document.count);
        json_document_free(&document);
        mf_free(exact);
    }
}

static void test_rejected(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rejected / sizeof rejected[0]; i++) {
        struct json_document document;
        struct json_failure failure = {0};
        struct mf_span text = rejected[i].text;
        char *exact = memcpy(mf_alloc(text.length), text.data, text.length);
        if (json_scan(&document, (struct mf_span){exact, text.length}, &json_limits_default, &failure) == 0)
            fail_msg("accepted: %s", rejected[i].text.data);
        if (failure.offset != rejected[i].offset || strstr(failure.reason, rejected[i].reason) == NULL)
            fail_msg("%s: got \"%s\" at %u, wanted \"%s\" at %u", text.data, failure.reason, failure.offset,
                     rejected[i].reason, rejected[i].offset);
        assert_null(document.nodes);
        mf_free(exact);
    }
}

/* No proper start of a document that is not a bare number is a document. */
static void test_every_prefix_is_rejected(void **state)
{
    (void)state;
    struct mf_span text = MF_SPAN("{\"a\":[1,-2.5e+3,\"x\\n\\ud83d\\ude00\xe2\x82\xac\",{\"b\":null}],\"c\":true}");
    struct json_document document;
    for (size_t length = 0; length < text.length; length++) {
        char *exact = mf_strndup(text.data, length);
        assert_int_equal(json_scan(&document, (struct mf_span){exact, length}, &json_limits_default, NULL), -1);
        mf_free(exact);
    }
    assert_int_equal(json_scan(&document, text, &json_limits_default, NULL), 0);
    json_document_free(&document);
}

static void scan(struct json_document *document, const char *text)
{
    struct mf_error error = {0};
    if (json_scan_error(document, mf_span(text), &json_limits_default, &error) != 0)
        fail_msg("%s", error.text);
}

static void test_limits(void **state)
{
    (void)state;
    struct json_limits limits = json_limits_default;
    struct json_document document;
    struct json_failure failure;
    char text[100];
    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    struct mf_span deep = {text, 66};
    assert_int_equal(json_scan(&document, deep, &limits, &failure), -1);
    assert_int_equal(failure.offset, 32);
    assert_non_null(strstr(failure.reason, "deeper than 32"));
    assert_int_equal(json_scan(&document, (struct mf_span){text + 1, 64}, &limits, &failure), 0);
    json_document_free(&document);
    limits.string_bytes_max = 3;
    assert_int_equal(json_scan(&document, MF_SPAN("\"abc\""), &limits, &failure), 0);
    json_document_free(&document);
    assert_int_equal(json_scan(&document, MF_SPAN("\"abcd\""), &limits, &failure), -1);
    assert_non_null(strstr(failure.reason, "longer than 3 bytes"));
    limits.nodes_max = 3;
    assert_int_equal(json_scan(&document, MF_SPAN("[1,2]"), &limits, &failure), 0);
    json_document_free(&document);
    assert_int_equal(json_scan(&document, MF_SPAN("[1,2,3]"), &limits, &failure), -1);
    assert_non_null(strstr(failure.reason, "more than 3 values"));
    limits.text_bytes_max = 2;
    assert_int_equal(json_scan(&document, MF_SPAN("[] "), &limits, &failure), -1);
    assert_non_null(strstr(failure.reason, "longer than 2 bytes"));
}

static void test_comments(void **state)
{
    (void)state;
    static const char *const good[] = {
        "// a\n1", "/* a */1", "1// a", "1/**/", "{/* a */\"a\"// b\n:/***/1/* c\nd */,\"b\":2}", "//\r\n1"};
    static const char *const bad[] = {"/* a 1",       "/",   "/ a\n1",     "// a",     "/*/1",
                                      "/* /* */ */1", "1 /", "// \xff\n1", "\"a/*\"*/"};
    struct json_limits limits = json_limits_default;
    struct json_document document;
    limits.comments = true;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(json_scan(&document, mf_span(good[i]), &limits, NULL), 0);
        json_document_free(&document);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(json_scan(&document, mf_span(bad[i]), &limits, NULL), -1);
    assert_int_equal(json_scan(&document, MF_SPAN("/* a\0 */1"), &limits, NULL), -1);
}

static void test_walk(void **state)
{
    (void)state;
    struct json_document d;
    scan(&d, "{\"a\":[1,[2,3],{\"x\":null}],\"b\\u0063\":\"t\\u00e9\\n\",\"n\":-12,\"f\":2.5,\"y\":true}");
    assert_int_equal(d.nodes[0].children, 5);
    uint32_t a = json_member(&d, 0, "a");
    assert_int_equal(json_kind(&d, a), JSON_ARRAY);
    assert_int_equal(d.nodes[a].children, 3);
    assert_true(mf_span_is(json_raw(&d, json_element(&d, a, 1)), "[2,3]"));
    assert_int_equal(json_element(&d, a, 3), JSON_NONE);
    assert_int_equal(json_member(&d, a, "a"), JSON_NONE);
    assert_int_equal(json_member(&d, JSON_NONE, "a"), JSON_NONE);
    uint32_t count = 0;
    for (uint32_t child = json_first(&d, a); child != JSON_NONE; child = json_next(&d, a, child))
        count++;
    assert_int_equal(count, 3);
    count = 0;
    for (uint32_t key = json_first(&d, 0); key != JSON_NONE; key = json_next(&d, 0, key))
        count += json_kind(&d, key) == JSON_STRING;
    assert_int_equal(count, 5);
    uint32_t text = json_member(&d, 0, "bc");
    assert_true(json_is(&d, text, "t\xc3\xa9\n"));
    assert_false(json_is(&d, text, "t\xc3\xa9"));
    char copy[8];
    assert_int_equal(json_copy(&d, text, copy, 5), 0);
    assert_string_equal(copy, "t\xc3\xa9\n");
    assert_int_equal(json_copy(&d, text, copy, 4), -1);
    char *dup = json_dup(&d, text);
    assert_string_equal(dup, "t\xc3\xa9\n");
    mf_free(dup);
    struct mf_span plain;
    assert_int_equal(json_plain(&d, text, &plain), -1);
    assert_int_equal(json_plain(&d, json_member(&d, 0, "n"), &plain), -1);
    int64_t number;
    double real;
    bool flag;
    assert_int_equal(json_int(&d, json_member(&d, 0, "n"), &number), 0);
    assert_int_equal(number, -12);
    assert_int_equal(json_int(&d, json_member(&d, 0, "f"), &number), -1);
    assert_int_equal(json_double(&d, json_member(&d, 0, "f"), &real), 0);
    assert_true(real == 2.5);
    assert_int_equal(json_bool(&d, json_member(&d, 0, "y"), &flag), 0);
    assert_true(flag);
    assert_int_equal(json_bool(&d, json_member(&d, 0, "n"), &flag), -1);
    json_document_free(&d);
}

static void test_numbers(void **state)
{
    (void)state;
    struct json_document d;
    int64_t number;
    double real;
    scan(&d, "[9223372036854775807,-9223372036854775808,9223372036854775808,99999999999999999999,-0,1e3,1e999,"
             "0.00000000000000000000000000000000000000000000000000000000000000000000001]");
    assert_int_equal(json_int(&d, 1, &number), 0);
    assert_true(number == INT64_MAX);
    assert_int_equal(json_int(&d, 2, &number), 0);
    assert_true(number == INT64_MIN);
    assert_int_equal(json_int(&d, 3, &number), -1);
    assert_int_equal(json_int(&d, 4, &number), -1);
    assert_int_equal(json_int(&d, 5, &number), 0);
    assert_int_equal(number, 0);
    assert_int_equal(json_int(&d, 6, &number), -1);
    assert_int_equal(json_double(&d, 6, &real), 0);
    assert_true(real == 1000.0);
    assert_int_equal(json_double(&d, 7, &real), -1);
    assert_int_equal(json_double(&d, 8, &real), 0);
    assert_true(real > 0 && real < 1e-60);
    json_document_free(&d);
}

static void check_pointer(const struct json_document *d, const char *pointer, const char *raw)
{
    uint32_t node = json_pointer(d, mf_span(pointer));
    if (raw == NULL) {
        assert_int_equal(node, JSON_NONE);
        return;
    }
    assert_int_not_equal(node, JSON_NONE);
    struct mf_span found = json_raw(d, node);
    assert_int_equal(found.length, strlen(raw));
    assert_memory_equal(found.data, raw, found.length);
    struct mf_buf back;
    mf_buf_init(&back, 1000);
    assert_int_equal(json_pointer_of(d, node, &back), 0);
    assert_string_equal(mf_buf_cstr(&back), pointer);
    mf_buf_free(&back);
}

static void test_pointers(void **state)
{
    (void)state;
    struct json_document d;
    scan(&d, "{\"a/b\":1,\"m~n\":2,\"\":3,\"l\":[10,[20,21]],\"\\u0061\":{\"k\":{\"l\":4}}}");
    check_pointer(&d, "/a~1b", "1");
    check_pointer(&d, "/m~0n", "2");
    check_pointer(&d, "/", "3");
    check_pointer(&d, "/l/1/0", "20");
    check_pointer(&d, "/l/1", "[20,21]");
    check_pointer(&d, "/a/k/l", "4");
    check_pointer(&d, "/l/2", NULL);
    check_pointer(&d, "/l/01", NULL);
    check_pointer(&d, "/l/-", NULL);
    check_pointer(&d, "/l/0/0", NULL);
    check_pointer(&d, "a", NULL);
    check_pointer(&d, "/m~n", NULL);
    check_pointer(&d, "/m~2n", NULL);
    check_pointer(&d, "/zz", NULL);
    assert_int_equal(json_pointer(&d, mf_span("")), 0);
    json_document_free(&d);
}

static void test_positions(void **state)
{
    (void)state;
    struct mf_span text = MF_SPAN("ab\n\xc3\xa9\xe2\x82\xacx\n\n");
    uint32_t line, column;
    json_position(text, 0, &line, &column);
    assert_int_equal(line * 100 + column, 101);
    json_position(text, 1, &line, &column);
    assert_int_equal(line * 100 + column, 102);
    json_position(text, 8, &line, &column);
    assert_int_equal(line * 100 + column, 203);
    json_position(text, (uint32_t)text.length, &line, &column);
    assert_int_equal(line * 100 + column, 401);
    json_position(text, 5000, &line, &column);
    assert_int_equal(line * 100 + column, 401);
    struct mf_error error;
    struct json_document d;
    assert_int_equal(json_scan_error(&d, MF_SPAN("{\n  \"a\" 1}"), &json_limits_default, &error), -1);
    assert_string_equal(error.text, "2:7: expected `:`, found `1`");
    assert_int_equal(error.code, MF_INPUT);
}

/* An object of `count` keys, the last of which repeats the one called `again` (negative: none does). */
static char *large_object(int count, int again, const char *spelling)
{
    struct mf_buf buf;
    mf_buf_init(&buf, 64u << 20);
    mf_buf_char(&buf, '{');
    for (int i = 0; i < count; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%d", spelling, i == count - 1 && again >= 0 ? again : i);
        mf_buf_printf(&buf, "%s\"%s\":%d", i > 0 ? "," : "", key, i);
    }
    mf_buf_char(&buf, '}');
    return mf_buf_take(&buf);
}

static void test_many_keys(void **state)
{
    (void)state;
    static const int counts[] = {2, 15, 16, 17, 18, 1000, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct json_document document;
        struct json_failure failure;
        char *text = large_object(counts[i], -1, "key");
        assert_int_equal(json_scan(&document, mf_span(text), &json_limits_default, NULL), 0);
        assert_int_equal(document.nodes[0].children, counts[i]);
        json_document_free(&document);
        mf_free(text);
        text = large_object(counts[i], counts[i] / 2 - (counts[i] == 2), "k\\u0065y");
        assert_int_equal(json_scan(&document, mf_span(text), &json_limits_default, &failure), -1);
        assert_non_null(strstr(failure.reason, "duplicate key `key"));
        mf_free(text);
    }
}

/* The hash must not care how a long key is spelt, wherever its blocks end. */
static void test_text_hash(void **state)
{
    (void)state;
    for (int length = 250; length < 520; length += 3) {
        char text[4096];
        int used = snprintf(text, sizeof text, "[\"%0*d\",\"", length, 7);
        for (int i = 1; i < length; i++)
            used += snprintf(text + used, sizeof text - (size_t)used, i % 2 ? "0" : "\\u0030");
        snprintf(text + used, sizeof text - (size_t)used, "7\"]");
        struct json_document d;
        scan(&d, text);
        assert_true(json_same_text(&d, 1, 2));
        assert_true(json_text_hash(&d, 1, 5) == json_text_hash(&d, 2, 5));
        assert_false(json_same_text(&d, 0, 2));
        json_document_free(&d);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    char *text = large_object(200, -1, "key");
    bool done = false;
    for (int n = 0; !done; n++) {
        struct json_document document;
        struct json_failure failure;
        mf_alloc_fail_after(n, 1);
        int result = json_scan(&document, mf_span(text), &json_limits_default, &failure);
        mf_alloc_fail_after(-1, 0);
        done = result == 0;
        if (!done)
            assert_int_equal(failure.code, MF_MEMORY);
        assert_true(done || document.nodes == NULL);
        json_document_free(&document);
    }
    mf_free(text);
    json_document_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_every_prefix_is_rejected),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_comments),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_text_hash),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
