/* app_tag.c - unit tests of app/tag.c: only what tag_format makes is a tag */
#include "app/tag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const owners[] = {"a", "0", "abcdefghijklmnopqrstuvwx"};
    static const uint32_t numbers[] = {1, 9, 10, 4294967294u};
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++)
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            char text[TAG_BYTES];
            struct tag tag;
            tag_format(owners[i], "abcdef012345", numbers[k], text);
            assert_true(tag_parse(mf_span(text), &tag));
            assert_string_equal(tag.owner, owners[i]);
            assert_string_equal(tag.run, "abcdef012345");
            assert_int_equal(tag.n, numbers[k]);
        }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "mayfly-", "mayfly-a", "mayfly-a-", "mayfly-a-abcdef012345", "mayfly-a-abcdef012345-", "mayfly-a-abcdef012345-0",
        "mayfly-a-abcdef012345-01", "mayfly-a-abcdef012345-+1", "mayfly-a-abcdef012345-1 ", "mayfly-a-abcdef012345-1x",
        "mayfly-a-abcdef012345-1-2", "mayfly-a-abcdef012345-4294967295", "mayfly-a-abcdef012345-18446744073709551617",
        "mayfly-a-abcdef01234-1", "mayfly-a-abcdef0123456-1", "mayfly-a-ABCDEF012345-1", "mayfly--abcdef012345-1",
        "mayfly-abcdefghijklmnopqrstuvwxy-abcdef012345-1", "mayfly-A-abcdef012345-1", "Mayfly-a-abcdef012345-1",
        "xmayfly-a-abcdef012345-1", " mayfly-a-abcdef012345-1", "mayfly-a_b-abcdef012345-1", "mayfly-\xc3\xa4-abcdef012345-1",
    };
    struct tag tag;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (tag_parse(mf_span(texts[i]), &tag))
            fail_msg("`%s` was taken for a tag", texts[i]);
    assert_false(tag_parse((struct mf_span){"mayfly-a-abcdef012345-1\0", 24}, &tag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
