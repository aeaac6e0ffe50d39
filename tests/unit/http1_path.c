/* http1_path.c - one spelling for each path, and what two servers may read differently is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "http1/path.h"

#include <string.h>

static struct http1_path path, again;

static int parse(const char *text)
{
    return http1_path_parse(&path, mf_span(text), NULL);
}

static void test_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/%61/%7e", "/a/~"},
        {"/a%2fb", "/a%2Fb"},
        {"/a%3ab", "/a%3Ab"},
        {"/a:b@c", "/a:b@c"},
        {"/a|b^[c]", "/a%7Cb%5E%5Bc%5D"},
        {"/A", "/A"},
        {"/%c3%a4", "/%C3%A4"},
        {"/a%20b", "/a%20b"},
        {"/a%2Bb+c", "/a%2Bb+c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].in), 0);
        assert_string_equal(path.text, cases[i].out);
        assert_int_equal(path.was_canonical, strcmp(cases[i].in, cases[i].out) == 0);
    }
    assert_int_equal(parse("/a/bc/d"), 0);
    assert_int_equal(path.count, 3);
    assert_true(mf_span_is(http1_path_segment(&path, 1), "bc"));
    assert_int_equal(parse("/"), 0);
    assert_int_equal(path.count, 0);
}

static void test_refused_by_parse(void **state)
{
    (void)state;
    static const char *const cases[] = {"",       "a",    "/%",  "/%2",   "/%zz", "/a b", "/a\\b", "/a\x80",
                                        "/a\x01", "/a\"", "/a<", "/a{b}", "/a`",  "/a?b", "/a#b",  "/%u0041"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (parse(cases[i]) != -1)
            fail_msg("'%s' was taken", cases[i]);
    char deep[3 * HTTP1_SEGMENTS_MAX] = "";
    for (uint32_t i = 0; i < HTTP1_SEGMENTS_MAX; i++)
        memcpy(deep + 2 * i, "/a", 3);
    assert_int_equal(parse(deep), 0);
    strcat(deep, "/a");
    assert_int_equal(parse(deep), -1);
    static char wide[HTTP1_PATH_BYTES_MAX + 2];
    memset(wide, '|', sizeof wide - 1);
    wide[0] = '/';
    assert_int_equal(parse(wide), -1);
    wide[HTTP1_PATH_BYTES_MAX] = '\0';
    assert_int_equal(parse(wide), -1); /* fits as it is, but not escaped */
}

static void test_traits(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool plain, opaque;
    } cases[] = {
        {"/x/a", true, true},           {"/x/a%2Fb", false, true},   {"/x/a%5Cb", false, true},
        {"/x/100%25", false, true},     {"/x/a;b", false, true},     {"/x/%3B", false, true},
        {"/x/%C3%A4", false, true},     {"/x/..", false, false},     {"/x/.", false, false},
        {"/x/%2e%2E", false, false},    {"/x/%2e", false, false},    {"/x/", false, false},
        {"/x//a", false, false},        {"//", false, false},        {"/x/%00", false, false},
        {"/x/%0d%0a", false, false},    {"/x/%7f", false, false},    {"/x/%252e", false, false},
        {"/x/%25%32%65", false, false}, {"/x/%C0%AE", false, false}, {"/x/a%2F..%2Fb", false, false},
        {"/x/a%5C..", false, false},    {"/x/...", true, true},      {"/x/a.", true, true},
        {"/x/%ED%A0%80", false, false}, {"/x/a%20", true, true},     {"/x/%2e%2e%2fetc", false, false},
        {"/x/%252f", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].in), 0);
        if ((http1_path_check(&path, 0, NULL) == 0) != cases[i].plain)
            fail_msg("'%s' as plain", cases[i].in);
        if ((http1_path_check(&path, ~(uint64_t)1, NULL) == 0) != cases[i].opaque)
            fail_msg("'%s' as opaque", cases[i].in);
    }
    struct mf_error error;
    assert_int_equal(parse("/a%2Fb/c"), 0);
    assert_int_equal(http1_path_check(&path, 2, &error), -1); /* another segment is opaque */
    assert_string_equal(error.text, "path has an encoded slash");
}

/* The canonical form of a canonical form is itself, with the same segments and traits. */
static void test_idempotent(void **state)
{
    (void)state;
    static const char alphabet[] = "/////aA.%%%%%%250cCfFeE;:|~-_";
    struct mf_rng rng;
    mf_rng_seed(&rng, 3);
    int taken = 0;
    for (int round = 0; round < 200000; round++) {
        char text[40] = "/";
        size_t length = 1 + mf_rng_below(&rng, 30);
        for (size_t i = 1; i < length; i++)
            text[i] = alphabet[mf_rng_below(&rng, sizeof alphabet - 1)];
        if (parse(text) != 0)
            continue;
        taken++;
        assert_int_equal(http1_path_parse(&again, mf_span(path.text), NULL), 0);
        assert_string_equal(again.text, path.text);
        assert_true(again.was_canonical);
        assert_int_equal(again.count, path.count);
        assert_memory_equal(again.traits, path.traits, path.count * sizeof path.traits[0]);
    }
    assert_true(taken > 10000);
}

static void test_decode_and_query(void **state)
{
    (void)state;
    char out[10];
    size_t length;
    assert_int_equal(http1_percent_decode(MF_SPAN("a%2Fb%20c"), false, out, sizeof out, &length), 0);
    assert_string_equal(out, "a/b c");
    assert_int_equal(http1_percent_decode(MF_SPAN("a+b%00"), true, out, sizeof out, &length), 0);
    assert_int_equal(length, 4);
    assert_memory_equal(out, "a b\0", 5);
    assert_int_equal(http1_percent_decode(MF_SPAN("%4"), false, out, sizeof out, &length), -1);
    assert_int_equal(http1_percent_decode(MF_SPAN("0123456789"), false, out, sizeof out, &length), -1);
    struct mf_span rest = MF_SPAN("a=1&&b&c=d=e&"), name, value;
    assert_true(http1_query_next(&rest, &name, &value));
    assert_true(mf_span_is(name, "a") && mf_span_is(value, "1"));
    assert_true(http1_query_next(&rest, &name, &value));
    assert_true(mf_span_is(name, "b") && value.length == 0);
    assert_true(http1_query_next(&rest, &name, &value));
    assert_true(mf_span_is(name, "c") && mf_span_is(value, "d=e"));
    assert_false(http1_query_next(&rest, &name, &value));
    struct mf_span nothing = {0};
    assert_false(http1_query_next(&nothing, &name, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),  cmocka_unit_test(test_refused_by_parse), cmocka_unit_test(test_traits),
        cmocka_unit_test(test_idempotent), cmocka_unit_test(test_decode_and_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
