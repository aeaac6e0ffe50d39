/* gateway_finder.c - a grant's secrets are found in every spelling, across every border, and nothing else is held back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "gateway/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "s3cr3t/+value=0123456789abcdef"

static struct finder *make(const char *secret)
{
    struct finder *finder;
    struct mf_error error;
    struct mf_span span = mf_span(secret);
    assert_int_equal(finder_create(&finder, &span, 1, &error), 0);
    return finder;
}

static void url_encode(const char *text, char *out)
{
    for (; *text != '\0'; text++)
        out += strchr("/+=", *text) != NULL ? sprintf(out, "%%%02X", (unsigned)*text) : sprintf(out, "%c", *text);
}

/* Every spelling, at every place, cut into pieces of every size; true: found in all of them. */
static bool found_in(const struct finder *finder, const char *text, size_t piece)
{
    struct finder_tail tail = {0};
    size_t length = strlen(text), pass;
    for (size_t at = 0; at < length; at += piece) {
        size_t some = length - at < piece ? length - at : piece;
        if (finder_take(finder, &tail, (struct mf_span){text + at, some}, &pass))
            return true;
    }
    return false;
}

static void spellings(void **state)
{
    (void)state;
    struct finder *finder = make(SECRET);
    char text[512], plain[256], spelled[4][256];
    snprintf(spelled[0], sizeof spelled[0], "%s", SECRET);
    url_encode(SECRET, spelled[1]);
    for (size_t before = 0; before < 40; before++) {
        for (int alignment = 0; alignment < 2; alignment++) {
            memset(plain, 'p', before);
            snprintf(plain + before, sizeof plain - before, "%s and more", SECRET);
            (alignment == 0 ? mf_base64 : mf_base64url)(plain, strlen(plain), spelled[2 + alignment]);
        }
        for (int how = 0; how < 4; how++) {
            snprintf(text, sizeof text, "%*s%s tail", (int)before, "", spelled[how]);
            for (size_t piece = 1; piece < 80; piece++)
                if (!found_in(finder, text, piece))
                    fail_msg("spelling %d after %zu bytes in pieces of %zu", how, before, piece);
        }
    }
    finder_destroy(finder);
}

/* What passes is the text, byte for byte, however it is cut; a beginning of a secret that goes on otherwise too. */
static void passes_all(void **state)
{
    (void)state;
    struct finder *finder = make(SECRET);
    struct mf_rng rng;
    mf_rng_seed(&rng, 5);
    for (int round = 0; round < 2000; round++) {
        char text[400], out[600];
        size_t length = 0, at = 0, there = 0, pass;
        struct finder_tail tail = {0};
        while (length < 300) { /* beginnings of the secret, and other things */
            size_t some = (size_t)mf_rng_below(&rng, strlen(SECRET) - 1);
            memcpy(text + length, SECRET, some);
            length += some;
            text[length++] = (char)('A' + mf_rng_below(&rng, 26));
        }
        while (at < length) {
            size_t some = 1 + (size_t)mf_rng_below(&rng, 70);
            char joined[200];
            some = some < length - at ? some : length - at;
            memcpy(joined, tail.bytes, tail.length);
            memcpy(joined + tail.length, text + at, some);
            assert_false(finder_take(finder, &tail, (struct mf_span){text + at, some}, &pass));
            memcpy(out + there, joined, pass);
            there += pass;
            at += some;
            assert_true(tail.length < FINDER_PATTERN_MAX);
        }
        memcpy(out + there, tail.bytes, tail.length);
        there += tail.length;
        assert_int_equal(there, length);
        assert_memory_equal(out, text, length);
    }
    finder_destroy(finder);
}

/* An event that ends like no secret begins is passed on at once. */
static void holds_nothing_else(void **state)
{
    (void)state;
    struct finder *finder = make(SECRET);
    struct finder_tail tail = {0};
    size_t pass;
    assert_false(finder_take(finder, &tail, MF_SPAN("data: {}\n\n"), &pass));
    assert_int_equal(pass, 10);
    assert_int_equal(tail.length, 0);
    finder_destroy(finder);
}

static void short_and_none(void **state)
{
    (void)state;
    struct finder *finder = make("short");
    assert_false(finder_has(finder, MF_SPAN("a short text")));
    finder_destroy(finder);
    struct mf_error error;
    assert_int_equal(finder_create(&finder, NULL, 0, &error), 0);
    assert_false(finder_has(finder, MF_SPAN("anything at all")));
    finder_destroy(finder);
    finder_destroy(NULL);
}

/* Against memmem. */
static void random_texts(void **state)
{
    (void)state;
    struct mf_rng rng;
    mf_rng_seed(&rng, 9);
    for (int round = 0; round < 20000; round++) {
        char secret[24], text[200];
        size_t length = 12 + (size_t)mf_rng_below(&rng, 8), bytes = (size_t)mf_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < length; i++)
            secret[i] = (char)('a' + mf_rng_below(&rng, 2));
        secret[length] = '\0';
        for (size_t i = 0; i < bytes; i++)
            text[i] = (char)('a' + mf_rng_below(&rng, 2));
        if (bytes > length && mf_rng_below(&rng, 2) == 0)
            memcpy(text + mf_rng_below(&rng, bytes - length), secret, length);
        struct finder *finder = make(secret);
        bool wanted = memmem(text, bytes, secret, length) != NULL;
        assert_int_equal(finder_has(finder, (struct mf_span){text, bytes}), wanted);
        finder_destroy(finder);
    }
}

static void no_memory(void **state)
{
    (void)state;
    struct mf_span span = MF_SPAN(SECRET);
    for (int64_t n = 0; n < 2; n++) {
        struct finder *finder;
        struct mf_error error;
        mf_alloc_fail_after(n, 1);
        assert_int_equal(finder_create(&finder, &span, 1, &error), -1);
        mf_alloc_fail_after(-1, 0);
        assert_int_equal(error.code, MF_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spellings),          cmocka_unit_test(passes_all),
                                       cmocka_unit_test(holds_nothing_else), cmocka_unit_test(short_and_none),
                                       cmocka_unit_test(random_texts),       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
