/* runner_redact.c - the redactor: every border, every encoding, overlaps, and a slow and simple one beside it */
#include "runner/redact.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds `text` in pieces that end at each of the cuts; the result to free. */
static char *redact_cut(const struct redactor *redactor, struct mf_span text, size_t first, size_t second)
{
    struct redact_stream stream;
    struct mf_buf out;
    mf_buf_init(&out, 1 << 20);
    assert_int_equal(redact_stream_init(&stream, redactor), 0);
    redact_feed(&stream, (struct mf_span){text.data, first}, &out);
    redact_feed(&stream, (struct mf_span){text.data + first, second - first}, &out);
    redact_feed(&stream, (struct mf_span){text.data + second, text.length - second}, &out);
    redact_end(&stream, &out);
    redact_stream_free(&stream);
    char *result = strdup(mf_buf_cstr(&out));
    mf_buf_free(&out);
    return result;
}

static struct redactor *redactor_of(const char *value, const char *second)
{
    struct redactor *redactor;
    struct mf_span values[] = {mf_span(value), mf_span(second)};
    assert_int_equal(redactor_create(&redactor, values, 2, NULL), 0);
    return redactor;
}

static void expect(const struct redactor *redactor, const char *text, const char *wanted)
{
    struct mf_span span = mf_span(text);
    for (size_t first = 0; first <= span.length; first++) {
        for (size_t second = first; second <= span.length; second++) {
            char *got = redact_cut(redactor, span, first, second);
            if (strcmp(got, wanted) != 0)
                fail_msg("`%s` cut at %zu and %zu gave `%s`", text, first, second, got);
            free(got);
        }
    }
}

static void values_go_at_every_border(void **state)
{
    (void)state;
    struct redactor *redactor = redactor_of("abcabd", "cabdxyz");
    expect(redactor, "1 abcabd 2", "1 [redacted] 2");
    expect(redactor, "abcabcabd", "abc[redacted]");
    expect(redactor, "abcab", "abcab");
    expect(redactor, "abcabdxyz!", "[redacted]!"); /* two values that overlap */
    expect(redactor, "abcabdabcabd", "[redacted]");
    expect(redactor, "aabcabd\nabcabe", "a[redacted]\nabcabe");
    redactor_destroy(redactor);
}

static void a_value_inside_a_longer_one_goes_with_it(void **state)
{
    (void)state;
    struct redactor *redactor = redactor_of("secret", "top-secret-thing");
    expect(redactor, "x top-secret-thing", "x [redacted]");
    expect(redactor, "top-secret-thin", "top-[redacted]-thin");
    redactor_destroy(redactor);
}

static void encodings_are_found(void **state)
{
    (void)state;
    static const char value[] = "tok/en+\"1?>~";
    struct redactor *redactor = redactor_of(value, "");
    char padded[64], encoded[128], line[256];
    for (size_t skip = 0; skip < 4; skip++) {
        for (size_t behind = 0; behind < 4; behind++) {
            memset(padded, 'p', sizeof padded);
            memcpy(padded + skip, value, sizeof value - 1);
            mf_base64(padded, skip + sizeof value - 1 + behind, encoded);
            snprintf(line, sizeof line, "[%s]", encoded);
            char *got = redact_cut(redactor, mf_span(line), 3, 7);
            assert_non_null(strstr(got, REDACT_MARK));
            free(got);
            mf_base64url(padded, skip + sizeof value - 1 + behind, encoded);
            got = redact_cut(redactor, mf_span(encoded), 1, 2);
            assert_non_null(strstr(got, REDACT_MARK));
            free(got);
        }
    }
    expect(redactor, "a tok%2Fen%2B%221%3F%3E~ b", "a [redacted] b");
    expect(redactor, "a tok%2fen%2b%221%3f%3e~ b", "a [redacted] b");
    expect(redactor, "{\"k\":\"tok/en+\\\"1?>~\"}", "{\"k\":\"[redacted]\"}");
    expect(redactor, "{\"k\":\"tok\\/en+\\\"1?>~\"}", "{\"k\":\"[redacted]\"}");
    redactor_destroy(redactor);
}

static void short_values_are_not_looked_for(void **state)
{
    (void)state;
    struct redactor *redactor = redactor_of("12345", "");
    assert_null(redactor);
    redactor = redactor_of("123456", "12345");
    expect(redactor, "12345 123456", "12345 [redacted]");
    redactor_destroy(redactor);
}

static void what_is_too_much_is_refused(void **state)
{
    (void)state;
    struct redactor *redactor;
    struct mf_error error;
    char *large = malloc(REDACT_VALUE_BYTES_MAX + 1);
    memset(large, 'x', REDACT_VALUE_BYTES_MAX + 1);
    struct mf_span value = {large, REDACT_VALUE_BYTES_MAX + 1};
    assert_int_equal(redactor_create(&redactor, &value, 1, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
    assert_null(redactor);
    value.length = 1000;
    for (int64_t n = 0; n < 12; n++) {
        mf_alloc_fail_after(n, 1);
        if (redactor_create(&redactor, &value, 1, &error) == 0)
            redactor_destroy(redactor);
    }
    mf_alloc_fail_after(-1, 0);
    free(large);
}

/* Marks the bytes of every occurrence of either value, the slow way, and writes runs of them as one mark. */
static void slow_redact(const char *text, const char *const *values, size_t count, char *out)
{
    char marked[256] = {0};
    for (size_t i = 0; i < count; i++)
        for (const char *at = strstr(text, values[i]); at != NULL; at = strstr(at + 1, values[i]))
            memset(marked + (at - text), 1, strlen(values[i]));
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (!marked[i])
            *out++ = text[i];
        else if (i == 0 || !marked[i - 1])
            out += sprintf(out, "%s", REDACT_MARK);
    }
    *out = '\0';
}

static void random_texts_agree_with_the_slow_way(void **state)
{
    (void)state;
    static const char *const values[] = {"aabaab", "abaababb", "bbbbbb"};
    struct mf_span spans[] = {mf_span(values[0]), mf_span(values[1]), mf_span(values[2])};
    struct redactor *redactor;
    struct mf_rng rng;
    assert_int_equal(redactor_create(&redactor, spans, 3, NULL), 0);
    mf_rng_seed(&rng, 42);
    for (int round = 0; round < 20000; round++) {
        char text[64], wanted[1024];
        size_t length = mf_rng_below(&rng, sizeof text - 1);
        for (size_t i = 0; i < length; i++)
            text[i] = mf_rng_below(&rng, 20) == 0 ? 'c' : mf_rng_below(&rng, 2) == 0 ? 'a' : 'b';
        text[length] = '\0';
        size_t second = mf_rng_below(&rng, length + 1), first = mf_rng_below(&rng, second + 1);
        slow_redact(text, values, 3, wanted);
        char *got = redact_cut(redactor, mf_span(text), first, second);
        assert_string_equal(got, wanted);
        free(got);
    }
    redactor_destroy(redactor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_at_every_border),   cmocka_unit_test(a_value_inside_a_longer_one_goes_with_it),
        cmocka_unit_test(encodings_are_found),         cmocka_unit_test(short_values_are_not_looked_for),
        cmocka_unit_test(what_is_too_much_is_refused), cmocka_unit_test(random_texts_agree_with_the_slow_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
