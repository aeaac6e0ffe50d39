/* unit/app_usage.c - figures replace each other, and the sums follow */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/usage.h"
#include "base/alloc.h"

static struct usage_figures figures(uint64_t requests, uint64_t input, int64_t micro_usd)
{
    return (struct usage_figures){.requests = requests, .input_tokens = input, .output_tokens = 2 * input, .micro_usd = micro_usd};
}

static void put(struct usage_book *book, struct usage_key key, struct usage_figures told)
{
    assert_int_equal(usage_book_put(book, &key, &told), 0);
}

static void test_sums(void **state)
{
    (void)state;
    struct usage_book book;
    assert_int_equal(usage_book_open(&book, 2), 0);
    put(&book, (struct usage_key){.node = 1, .attempt = 1, .service = 0, .stage_kind = 2}, figures(1, 100, 7));
    put(&book, (struct usage_key){.node = 1, .attempt = 1, .service = 0, .stage_kind = 2}, figures(3, 300, 21));
    put(&book, (struct usage_key){.node = 1, .attempt = 1, .service = 0, .stage_kind = 3}, figures(1, 5, 1));
    put(&book, (struct usage_key){.node = 1, .attempt = 2, .service = 0, .stage_kind = 2}, figures(1, 50, 2));
    put(&book, (struct usage_key){.node = 1, .attempt = 1, .service = 1, .stage_kind = 2}, figures(9, 1, -1));
    assert_int_equal(book.sums[0].requests, 5);
    assert_int_equal(book.sums[0].input_tokens, 355);
    assert_int_equal(book.sums[0].output_tokens, 710);
    assert_int_equal(book.sums[0].micro_usd, 24);
    assert_int_equal(book.sums[1].requests, 9);
    assert_int_equal(book.sums[1].micro_usd, 0); /* without a price it adds nothing */
    assert_int_equal(usage_book_spent(&book, 1, 1, 2), 21);
    assert_int_equal(usage_book_spent(&book, 1, 3, 2), 0);
    usage_book_close(&book);
}

/* What a rebuild finds may be less than what was told: the sum goes down with it. */
static void test_less(void **state)
{
    (void)state;
    struct usage_book book;
    struct usage_key key = {.node = 4, .attempt = 1};
    assert_int_equal(usage_book_open(&book, 1), 0);
    put(&book, key, figures(5, 500, 50));
    put(&book, key, figures(2, 200, 20));
    assert_int_equal(book.sums[0].requests, 2);
    assert_int_equal(book.sums[0].micro_usd, 20);
    put(&book, key, figures(2, 200, -1));
    assert_int_equal(book.sums[0].micro_usd, 0);
    usage_book_close(&book);
}

static void test_many(void **state)
{
    (void)state;
    struct usage_book book;
    assert_int_equal(usage_book_open(&book, 3), 0);
    for (uint32_t round = 1; round <= 2; round++)
        for (uint32_t node = 0; node < 5000; node++)
            put(&book, (struct usage_key){.node = node, .attempt = 1 + node % 3, .service = node % 3}, figures(round, round, round));
    assert_int_equal(book.count, 5000);
    assert_int_equal(book.sums[0].requests + book.sums[1].requests + book.sums[2].requests, 10000);
    for (uint32_t node = 0; node < 5000; node++) {
        struct usage_key key = {.node = node, .attempt = 1 + node % 3, .service = node % 3};
        assert_int_equal(usage_book_get(&book, &key)->requests, 2);
        key.attempt += 7;
        assert_null(usage_book_get(&book, &key));
    }
    usage_book_close(&book);
}

static void test_no_services(void **state)
{
    (void)state;
    struct usage_book book;
    struct usage_key key = {.node = 1};
    assert_int_equal(usage_book_open(&book, 0), 0);
    assert_null(usage_book_get(&book, &key));
    assert_int_equal(usage_book_spent(&book, 1, 1, 1), 0);
    usage_book_close(&book);
    usage_book_close(&book);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int64_t nth = 0; nth < 4; nth++) { /* the sums, the entries, and then nothing more */
        struct usage_book book;
        struct usage_key key = {.node = 1};
        struct usage_figures told = figures(1, 1, 1);
        mf_alloc_fail_after(nth, 0);
        int result = usage_book_open(&book, 1);
        if (result == 0)
            result = usage_book_put(&book, &key, &told);
        mf_alloc_fail_after(-1, 0);
        assert_int_equal(result == 0, nth >= 2);
        usage_book_close(&book);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums), cmocka_unit_test(test_less), cmocka_unit_test(test_many), cmocka_unit_test(test_no_services),
                                       cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
