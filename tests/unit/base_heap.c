/* base_heap.c - the heap of deadlines against a plain list, the generator against its own bounds */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/heap.h"
#include "base/rng.h"

#define ITEMS 60

static void check_least(const struct mf_heap *heap, const int64_t *at)
{
    uint32_t least = ITEMS;
    uint32_t item;
    int64_t when;
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_true(mf_heap_at(heap, i) == at[i]);
        if (at[i] != MF_NEVER && (least == ITEMS || at[i] < at[least]))
            least = i;
    }
    assert_int_equal(mf_heap_peek(heap, &item, &when), least < ITEMS);
    if (least < ITEMS) {
        assert_int_equal(item, least);
        assert_true(when == at[least]);
    }
}

static void test_against_list(void **state)
{
    (void)state;
    struct mf_heap heap;
    struct mf_rng rng;
    int64_t at[ITEMS];
    mf_heap_init(&heap);
    mf_rng_seed(&rng, 11);
    assert_int_equal(mf_heap_reserve(&heap, ITEMS), 0);
    for (int i = 0; i < ITEMS; i++)
        at[i] = MF_NEVER;
    for (int step = 0; step < 5000; step++) {
        uint32_t item = (uint32_t)mf_rng_below(&rng, ITEMS);
        at[item] = mf_rng_below(&rng, 3) == 0 ? MF_NEVER : (int64_t)mf_rng_below(&rng, 40) - 20;
        if (at[item] == MF_NEVER && step % 2 == 0)
            mf_heap_remove(&heap, item);
        else
            mf_heap_set(&heap, item, at[item]);
        check_least(&heap, at);
    }
    mf_heap_free(&heap);
}

static void test_reserve(void **state)
{
    (void)state;
    struct mf_heap heap;
    uint32_t item;
    int64_t at;
    mf_heap_init(&heap);
    mf_heap_remove(&heap, 5);
    assert_true(mf_heap_at(&heap, 5) == MF_NEVER);
    assert_false(mf_heap_peek(&heap, &item, &at));
    for (int n = 0; n < 2; n++) {
        mf_alloc_fail_after(n, 1);
        assert_int_equal(mf_heap_reserve(&heap, 10), -1);
        mf_alloc_fail_after(-1, 0);
    }
    assert_int_equal(mf_heap_reserve(&heap, 10), 0);
    mf_heap_set(&heap, 9, 5);
    assert_int_equal(mf_heap_reserve(&heap, 1000), 0);
    mf_heap_set(&heap, 999, 4);
    assert_true(mf_heap_peek(&heap, &item, &at));
    assert_int_equal(item, 999);
    mf_heap_free(&heap);
}

static void test_rng(void **state)
{
    (void)state;
    struct mf_rng one, two;
    uint32_t counts[5] = {0};
    mf_rng_seed(&one, 42);
    mf_rng_seed(&two, 42);
    assert_int_equal(mf_rng_below(&one, 0), 0);
    for (int i = 0; i < 10000; i++) {
        assert_true(mf_rng_next(&one) == mf_rng_next(&two));
        double unit = mf_rng_unit(&one);
        assert_true(unit >= 0 && unit < 1);
        mf_rng_unit(&two);
        counts[mf_rng_below(&one, 5)]++;
        mf_rng_below(&two, 5);
    }
    for (int i = 0; i < 5; i++)
        assert_in_range(counts[i], 1800, 2200);
    assert_int_equal(mf_rng_below(&one, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_list),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_rng),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
