/* base_str.c - spans, UTF-8, numbers, dates, encodings, near names */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/str.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_spans(void **state)
{
    (void)state;
    char out[4];
    assert_int_equal(mf_span(NULL).length, 0);
    assert_true(mf_span_is(MF_SPAN("ab"), "ab"));
    assert_false(mf_span_is(MF_SPAN("ab"), "abc"));
    assert_true(mf_span_equal(mf_span(NULL), mf_span("")));
    assert_true(mf_span_starts(MF_SPAN("abc"), "ab") && mf_span_starts(MF_SPAN("abc"), ""));
    assert_false(mf_span_starts(MF_SPAN("a"), "ab"));
    assert_true(mf_span_ends(MF_SPAN("abc"), "bc") && mf_span_ends(MF_SPAN(""), ""));
    assert_false(mf_span_ends(MF_SPAN("c"), "bc"));
    assert_true(mf_span_compare(MF_SPAN("a"), MF_SPAN("b")) < 0);
    assert_true(mf_span_compare(MF_SPAN("ab"), MF_SPAN("a")) > 0);
    assert_int_equal(mf_span_compare(MF_SPAN(""), mf_span(NULL)), 0);
    assert_int_equal(mf_span_copy(MF_SPAN("abc"), out, sizeof out), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(mf_span_copy(MF_SPAN("abcd"), out, sizeof out), -1);
    assert_int_equal(mf_span_copy(MF_SPAN("a\0b"), out, sizeof out), -1);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain ascii that is longer than a word",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "12345678\xff",
                                      "\xf0\x9f\x98"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(mf_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(mf_utf8_valid(bad[i], strlen(bad[i])));
    uint32_t code_point;
    assert_int_equal(mf_utf8_step("\xe2\x82\xac", 3, &code_point), 3);
    assert_int_equal(code_point, 0x20ac);
    assert_int_equal(mf_utf8_step("\xf0\x9f\x98\x80", 4, &code_point), 4);
    assert_int_equal(code_point, 0x1f600);
    assert_int_equal(mf_utf8_step("\xe2\x82\xac", 2, NULL), 0);
}

static void test_integers(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "01", "00", "-0", "-01", "1a", "0x1", "--1", "1.0"};
    assert_int_equal(mf_parse_u64(MF_SPAN("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(mf_parse_u64(MF_SPAN("18446744073709551616"), &u), -1);
    assert_int_equal(mf_parse_u64(MF_SPAN("-1"), &u), -1);
    assert_int_equal(mf_parse_u64(MF_SPAN("0"), &u), 0);
    assert_int_equal(mf_parse_i64(MF_SPAN("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(mf_parse_i64(MF_SPAN("9223372036854775807"), &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(mf_parse_i64(MF_SPAN("9223372036854775808"), &i), -1);
    assert_int_equal(mf_parse_i64(MF_SPAN("-9223372036854775809"), &i), -1);
    for (size_t at = 0; at < COUNT(bad); at++) {
        assert_int_equal(mf_parse_u64(mf_span(bad[at]), &u), -1);
        assert_int_equal(mf_parse_i64(mf_span(bad[at]), &i), -1);
    }
}

static void test_doubles(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "0x10", "-inf", "nan", "1e", "1e999", " 1", "1 ", "+1", ".5", "1.5.5"};
    double number;
    char out[32];
    assert_int_equal(mf_parse_double(MF_SPAN("-12.5e1"), &number), 0);
    assert_true(number == -125.0);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(mf_parse_double(mf_span(bad[i]), &number), -1);
    assert_string_equal(mf_format_double(0.1, out), "0.1");
    assert_string_equal(mf_format_double(-1e300, out), "-1e+300");
    mf_format(out, 4, "%d", 12345);
    assert_string_equal(out, "123");
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"250ms", 250},     {"30s", 30000}, {"5m", 300000}, {"2h", 7200000},           {"1d", 86400000},
                {"1h30m", 5400000}, {"7", 7000},    {"0", 0},       {"1d2h3m4s5ms", 93784005}, {"1s1ms", 1001}};
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "1",
                                      "5x",
                                      "1.5s",
                                      "30m1h",
                                      "1s1s",
                                      "1h30",
                                      "99999999999999999999s",
                                      "9223372036854775807s",
                                      " 1s",
                                      "1s ",
                                      "1 s",
                                      "1M"};
    int64_t ms;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(mf_parse_duration_ms(mf_span(good[i].text), &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(mf_parse_duration_ms(mf_span(bad[i]), &ms), strcmp(bad[i], "1") == 0 ? 0 : -1);
    static const struct {
        int64_t ms;
        const char *text;
    } shown[] = {{0, "0ms"},
                 {850, "850ms"},
                 {4200, "4.2s"},
                 {59999, "59.9s"},
                 {200000, "3m20s"},
                 {3900000, "1h05m"},
                 {90000000, "1d01h"},
                 {-1500, "-1.5s"},
                 {INT64_MAX, "9999999d00h"},
                 {INT64_MIN, "-9999999d00h"}};
    for (size_t i = 0; i < COUNT(shown); i++) {
        char out[16];
        assert_string_equal(mf_format_duration(shown[i].ms, out), shown[i].text);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    uint64_t bytes;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},        {"512", 512},    {"512B", 512},     {"64K", 65536},
                {"64KB", 65536}, {"2M", 2 << 20}, {"1GiB", 1 << 30}, {"1T", UINT64_C(1) << 40}};
    static const char *const bad[] = {"",   "K", "1k", "1iB", "1.5K", "1KiBx", "-1", "01K", "18446744073709551615K",
                                      "1 K"};
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(mf_parse_bytes(mf_span(good[i].text), &bytes), 0);
        assert_true(bytes == good[i].bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(mf_parse_bytes(mf_span(bad[i]), &bytes), -1);
}

static void test_dates(void **state)
{
    (void)state;
    int64_t ms;
    static const struct {
        const char *text;
        int64_t ms;
        const char *shown;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"},
        {"2026-11-23T19:00:00.123Z", 1795460400123, "2026-11-23T19:00:00.123Z"},
        {"2026-11-23t19:00:00.1z", 1795460400100, "2026-11-23T19:00:00.100Z"},
        {"2026-11-23T19:00:00.1239999Z", 1795460400123, "2026-11-23T19:00:00.123Z"},
        {"2000-02-29T12:00:00+02:00", 951818400000, "2000-02-29T10:00:00Z"},
        {"1969-12-31T19:59:59.999-04:00", -1, "1969-12-31T23:59:59.999Z"},
        {"2016-12-31T23:59:60Z", 1483228800000, "2017-01-01T00:00:00Z"},
        {"0000-01-01T00:00:00Z", -62167219200000, "0000-01-01T00:00:00Z"},
        {"9999-12-31T23:59:59Z", 253402300799000, "9999-12-31T23:59:59Z"},
    };
    static const char *const bad[] = {"",
                                      "2026-11-23",
                                      "2026-11-23T19:00:00",
                                      "2026-11-23 19:00:00Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "2026-04-31T00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:60:00Z",
                                      "2026-01-01T00:00:61Z",
                                      "2026-01-01T00:00:00.Z",
                                      "2026-01-01T00:00:00+2:00",
                                      "2026-01-01T00:00:00+24:00",
                                      "2026-01-01T00:00:00Zx",
                                      "26-01-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z"};
    for (size_t i = 0; i < COUNT(good); i++) {
        char out[32];
        assert_int_equal(mf_parse_rfc3339_ms(mf_span(good[i].text), &ms), 0);
        assert_int_equal(ms, good[i].ms);
        assert_string_equal(mf_format_rfc3339(ms, out), good[i].shown);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(mf_parse_rfc3339_ms(mf_span(bad[i]), &ms), -1);
    assert_int_equal(mf_parse_http_date_ms(MF_SPAN("Sun, 06 Nov 1994 08:49:37 GMT"), &ms), 0);
    assert_int_equal(ms, 784111777000);
    assert_int_equal(mf_parse_http_date_ms(MF_SPAN("Sunday, 06-Nov-94 08:49:37 GMT"), &ms), -1);
    assert_int_equal(mf_parse_http_date_ms(MF_SPAN("Sun, 06 Nov 1994 08:49:37 UTC"), &ms), -1);
    assert_int_equal(mf_parse_http_date_ms(MF_SPAN("Sun, 31 Nov 1994 08:49:37 GMT"), &ms), -1);
}

static void test_dates_round_trip(void **state)
{
    (void)state;
    struct mf_rng rng;
    mf_rng_seed(&rng, 7);
    for (int i = 0; i < 5000; i++) {
        int64_t at = (int64_t)mf_rng_below(&rng, 315569520000000u) - 62167219200000;
        int64_t back;
        char out[32];
        assert_int_equal(mf_parse_rfc3339_ms(mf_span(mf_format_rfc3339(at, out)), &back), 0);
        assert_int_equal(back, at);
    }
}

static void test_hex(void **state)
{
    (void)state;
    char text[8];
    uint8_t bytes[3];
    mf_hex("\x00\xab\xff", 3, text);
    assert_string_equal(text, "00abff");
    assert_int_equal(mf_unhex(MF_SPAN("00ABff"), bytes, 3), 0);
    assert_memory_equal(bytes, "\x00\xab\xff", 3);
    assert_int_equal(mf_unhex(MF_SPAN("00ab"), bytes, 3), -1);
    assert_int_equal(mf_unhex(MF_SPAN("00abf"), bytes, 3), -1);
    assert_int_equal(mf_unhex(MF_SPAN("00abfg"), bytes, 3), -1);
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *encoded, *url;
    } cases[] = {{"", "", ""},
                 {"f", "Zg==", "Zg"},
                 {"fo", "Zm8=", "Zm8"},
                 {"foo", "Zm9v", "Zm9v"},
                 {"foob", "Zm9vYg==", "Zm9vYg"},
                 {"\xfb\xff\xbf", "+/+/", "-_-_"}};
    static const char *const bad[] = {
        "Z", "Zg=", "Zg===", "Z===", "=", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Zm9v====", "Zm9*"};
    char out[16];
    uint8_t back[16];
    size_t bytes;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t length = strlen(cases[i].plain);
        mf_base64(cases[i].plain, length, out);
        assert_string_equal(out, cases[i].encoded);
        assert_int_equal(strlen(out), mf_base64_length(length));
        mf_base64url(cases[i].plain, length, out);
        assert_string_equal(out, cases[i].url);
        assert_int_equal(mf_unbase64(mf_span(cases[i].encoded), back, sizeof back, &bytes), 0);
        assert_int_equal(bytes, length);
        assert_memory_equal(back, cases[i].plain, length);
        assert_int_equal(mf_unbase64(mf_span(cases[i].url), back, sizeof back, &bytes), 0);
        assert_int_equal(bytes, length);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(mf_unbase64(mf_span(bad[i]), back, sizeof back, &bytes), -1);
    assert_int_equal(mf_unbase64(MF_SPAN("Zm9v"), back, 2, &bytes), -1);
}

static void test_near(void **state)
{
    (void)state;
    static const char *const names[] = {"timeout", "attempts", "grace", "env", "key"};
    assert_int_equal(mf_edit_distance(MF_SPAN("abcd"), MF_SPAN("abdc"), 3), 1);
    assert_int_equal(mf_edit_distance(MF_SPAN("kitten"), MF_SPAN("sitting"), 3), 3);
    assert_int_equal(mf_edit_distance(MF_SPAN("kitten"), MF_SPAN("sitting"), 2), 3);
    assert_int_equal(mf_edit_distance(MF_SPAN(""), MF_SPAN("ab"), 3), 2);
    assert_int_equal(mf_edit_distance(MF_SPAN("same"), MF_SPAN("same"), 0), 0);
    char far[66];
    memset(far, 'a', sizeof far);
    assert_int_equal(mf_edit_distance((struct mf_span){far, 65}, (struct mf_span){far, 65}, 2), 3);
    assert_string_equal(mf_nearest(MF_SPAN("tmeout"), names, COUNT(names)), "timeout");
    assert_string_equal(mf_nearest(MF_SPAN("evn"), names, COUNT(names)), "env");
    assert_string_equal(mf_nearest(MF_SPAN("atempst"), names, COUNT(names)), "attempts");
    assert_null(mf_nearest(MF_SPAN("colour"), names, COUNT(names)));
    assert_null(mf_nearest(MF_SPAN("xyz"), names, COUNT(names)));
    assert_null(mf_nearest(MF_SPAN("x"), NULL, 0));
    assert_true(mf_hash("a", 1, 0) != mf_hash("b", 1, 0));
    assert_true(mf_hash("a", 1, 0) != mf_hash("a", 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),     cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_integers),  cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_durations), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_dates),     cmocka_unit_test(test_dates_round_trip),
        cmocka_unit_test(test_hex),       cmocka_unit_test(test_base64),
        cmocka_unit_test(test_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
