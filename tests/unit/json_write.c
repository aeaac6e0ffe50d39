/* json_write.c - the writer: commas, escapes, numbers that read back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "json/scan.h"
#include "json/write.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void test_values(void **state)
{
    (void)state;
    struct mf_buf out;
    struct json_writer w;
    mf_buf_init(&out, 1000);
    json_begin(&w, &out);
    json_open_object(&w);
    json_member_string(&w, "s", "x");
    json_member_string(&w, "none", NULL);
    json_member_span(&w, "p", MF_SPAN("ab"));
    json_member_i64(&w, "i", INT64_MIN);
    json_member_u64(&w, "u", UINT64_MAX);
    json_member_bool(&w, "b", true);
    json_key(&w, "a");
    json_open_array(&w);
    json_null(&w);
    json_boolean(&w, false);
    json_open_array(&w);
    json_close_array(&w);
    json_open_object(&w);
    json_close_object(&w);
    json_raw_value(&w, MF_SPAN("[1]"));
    json_number(&w, 0.1);
    json_close_array(&w);
    json_key_span(&w, MF_SPAN("z\n"));
    json_string_span(&w, MF_SPAN(""));
    json_close_object(&w);
    assert_false(out.failed);
    assert_string_equal(mf_buf_cstr(&out),
                        "{\"s\":\"x\",\"none\":null,\"p\":\"ab\",\"i\":-9223372036854775808,\"u\":18446744073709551615,"
                        "\"b\":true,\"a\":[null,false,[],{},[1],0.1],\"z\\n\":\"\"}");
    mf_buf_free(&out);
}

static void check_escape(const char *text, size_t length, const char *wanted)
{
    struct mf_buf out;
    mf_buf_init(&out, 1000);
    assert_int_equal(json_escape(&out, (struct mf_span){text, length}), 0);
    assert_string_equal(mf_buf_cstr(&out), wanted);
    struct json_document document;
    assert_int_equal(json_scan(&document, mf_buf_view(&out), &json_limits_default, NULL),
                     memchr(text, '\0', length) != NULL ? -1 : 0);
    json_document_free(&document);
    mf_buf_free(&out);
}

#define CHECK_ESCAPE(text, wanted) check_escape(text, sizeof(text) - 1, wanted)

static void test_escapes(void **state)
{
    (void)state;
    CHECK_ESCAPE("", "\"\"");
    CHECK_ESCAPE("a/b", "\"a/b\"");
    CHECK_ESCAPE("\"\\", "\"\\\"\\\\\"");
    CHECK_ESCAPE("\b\t\n\f\r\v", "\"\\b\\t\\n\\f\\r\\u000b\"");
    CHECK_ESCAPE("\0x", "\"\\u0000x\"");
    CHECK_ESCAPE("\x1b[31m\x7f", "\"\\u001b[31m\\u007f\"");
    CHECK_ESCAPE("\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u0080\\u009f\xc2\xa0\"");
    CHECK_ESCAPE("\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\"");
    CHECK_ESCAPE("\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8f", "\"\\u202e\\u2066\\u200f\"");
    CHECK_ESCAPE("\xe2\x80\x8b\xe2\x80\x8d\xef\xbb\xbf\xc2\xad", "\"\\u200b\\u200d\\ufeff\\u00ad\"");
    CHECK_ESCAPE("\xf3\xa0\x80\xa0", "\"\\udb40\\udc20\"");
    CHECK_ESCAPE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    CHECK_ESCAPE("a\xff\xc3z\xed\xa0\x80", "\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_shown(void **state)
{
    (void)state;
    struct mf_buf out;
    mf_buf_init(&out, 1000);
    json_escape_shown(&out, MF_SPAN("\"a\\\x1b\xc3\xa9"), 5);
    assert_string_equal(mf_buf_cstr(&out), "\"a\\\\u001b\xc3\xa9");
    mf_buf_clear(&out);
    json_escape_shown(&out, MF_SPAN("\xc3\xa9\xc3\xa9x"), 2);
    assert_string_equal(mf_buf_cstr(&out), "\xc3\xa9\xc3\xa9...");
    mf_buf_clear(&out);
    json_escape_shown(&out, MF_SPAN(""), 0);
    assert_string_equal(mf_buf_cstr(&out), "");
    mf_buf_free(&out);
}

static void check_number(double number, const char *wanted)
{
    struct mf_buf out;
    struct json_writer w;
    struct json_document document;
    double back;
    mf_buf_init(&out, 100);
    json_begin(&w, &out);
    json_number(&w, number);
    if (wanted != NULL)
        assert_string_equal(mf_buf_cstr(&out), wanted);
    if (isfinite(number)) {
        assert_int_equal(json_scan(&document, mf_buf_view(&out), &json_limits_default, NULL), 0);
        assert_int_equal(json_double(&document, 0, &back), 0);
        assert_memory_equal(&back, &number, sizeof back);
        json_document_free(&document);
    }
    mf_buf_free(&out);
}

static void test_numbers(void **state)
{
    (void)state;
    check_number(0, "0");
    check_number(-0.0, "-0");
    check_number(1, "1");
    check_number(-2.5, "-2.5");
    check_number(0.1, "0.1");
    check_number(1.0 / 3, NULL);
    check_number(1e300, "1e+300");
    check_number(DBL_MIN, NULL);
    check_number(DBL_MAX, NULL);
    check_number(DBL_TRUE_MIN, NULL);
    check_number(INFINITY, "null");
    check_number(NAN, "null");
    struct mf_rng rng;
    mf_rng_seed(&rng, 1);
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = mf_rng_next(&rng);
        double number;
        memcpy(&number, &bits, sizeof number);
        check_number(number, NULL);
    }
}

static void test_full_buffer(void **state)
{
    (void)state;
    struct mf_buf out;
    struct json_writer w;
    mf_buf_init(&out, 4);
    json_begin(&w, &out);
    json_open_array(&w);
    json_string(&w, "abcdef");
    json_close_array(&w);
    assert_true(out.failed);
    assert_true(out.length <= 4);
    mf_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_escapes),     cmocka_unit_test(test_shown),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_full_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
