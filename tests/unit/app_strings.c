/* app_strings.c - unit tests of app/strings.c */
#include "app/strings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_spans(void **state)
{
    (void)state;
    struct strings strings;
    strings_init(&strings, 64, false);
    assert_int_equal(strings_add(&strings, mf_span("one")), 0);
    assert_int_equal(strings_add(&strings, mf_span("")), 0);
    assert_int_equal(strings_add(&strings, mf_span("three")), 0);
    for (int again = 0; again < 2; again++) {
        const struct mf_span *spans = strings_spans(&strings);
        assert_int_equal(strings.count, 3);
        assert_true(mf_span_is(spans[0], "one") && mf_span_is(spans[1], "") && mf_span_is(spans[2], "three"));
    }
    strings_free(&strings);
}

static void test_list(void **state)
{
    (void)state;
    static const char text[] = "[\"a\", \"\\u00e9\\n\", \"\"]";
    struct strings strings;
    struct json_document document;
    assert_int_equal(json_scan(&document, mf_span(text), &json_limits_default, NULL), 0);
    strings_init(&strings, 64, false);
    assert_int_equal(strings_add_list(&strings, &document, JSON_NONE), 0);
    assert_int_equal(strings.count, 0);
    assert_int_equal(strings_add_list(&strings, &document, 0), 0);
    const struct mf_span *spans = strings_spans(&strings);
    assert_int_equal(strings.count, 3);
    assert_true(mf_span_is(spans[0], "a") && mf_span_is(spans[1], "\xc3\xa9\n") && mf_span_is(spans[2], ""));
    json_document_free(&document);
    strings_free(&strings);
}

static void test_variables(void **state)
{
    (void)state;
    struct strings strings;
    strings_init(&strings, 64, true);
    assert_int_equal(strings_add_variable(&strings, mf_span("A"), mf_span("b=c")), 0);
    assert_int_equal(strings_add_variable(&strings, mf_span("EMPTY"), mf_span("")), 0);
    assert_int_equal(strings_add(&strings, mf_span("BARE")), 0);
    const struct runner_variable *variables = strings_variables(&strings);
    assert_true(mf_span_is(variables[0].name, "A") && mf_span_is(variables[0].value, "b=c"));
    assert_true(mf_span_is(variables[1].name, "EMPTY") && mf_span_is(variables[1].value, ""));
    assert_true(mf_span_is(variables[2].name, "BARE") && mf_span_is(variables[2].value, ""));
    strings_free(&strings);
}

static void test_maximum(void **state)
{
    (void)state;
    struct strings strings;
    strings_init(&strings, 8, false);
    assert_int_equal(strings_add(&strings, mf_span("1234")), 0);
    assert_int_equal(strings_add(&strings, mf_span("5678")), -1);
    assert_int_equal(strings_add_variable(&strings, mf_span("NAME"), mf_span("x")), -1);
    assert_int_equal(strings.count, 1);
    strings_free(&strings);
    assert_int_equal(strings.count, 0);
    strings_free(&strings); /* twice is fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
