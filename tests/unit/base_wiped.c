/* base_wiped.c - memory that wipes itself: what was in a block is gone when it is freed or moved */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/wiped.h"

#include <string.h>

static void sizes_and_contents_survive_a_move(void **state)
{
    (void)state;
    char *memory = mf_wiped_resize(NULL, 5);
    memcpy(memory, "abcde", 5);
    assert_int_equal(mf_wiped_size(memory), 5);
    assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
    memory = mf_wiped_resize(memory, 5000);
    assert_memory_equal(memory, "abcde", 5);
    memory = mf_wiped_resize(memory, 2);
    assert_memory_equal(memory, "ab", 2);
    assert_int_equal(mf_wiped_size(memory), 2);
    mf_wiped_free(memory);
    memory = mf_wiped_alloc(0);
    assert_non_null(memory);
    mf_wiped_free(memory);
    mf_wiped_free(NULL);
}

static void without_memory_the_old_block_stays(void **state)
{
    (void)state;
    char *memory = mf_wiped_alloc(3);
    memcpy(memory, "abc", 3);
    mf_alloc_fail_after(0, 2);
    assert_null(mf_wiped_resize(memory, 10));
    assert_null(mf_wiped_alloc(1));
    mf_alloc_fail_after(-1, 0);
    assert_memory_equal(memory, "abc", 3);
    mf_wiped_free(memory);
    assert_null(mf_wiped_alloc(SIZE_MAX));
    assert_null(mf_wiped_alloc(SIZE_MAX - 8));
}

/*
 * The bytes of a freed block are looked for where glibc gives the same block out again. A sanitizer's allocator keeps freed
 * blocks back, so there the next block says nothing.
 */
static void a_freed_block_holds_nothing(void **state)
{
    (void)state;
#ifdef MAYFLY_SANITIZED
    skip();
#else
    static const char secret[] = "a secret that must not stay";
    for (size_t bytes = sizeof secret; bytes <= 4096; bytes *= 2) {
        char *memory = mf_wiped_alloc(bytes);
        uintptr_t where = (uintptr_t)memory;
        memset(memory, 'x', bytes);
        memcpy(memory + bytes - sizeof secret, secret, sizeof secret);
        mf_wiped_free(memory);
        char *again = mf_wiped_alloc(bytes);
        assert_int_equal((uintptr_t)again, where);
        assert_null(memmem(again, bytes, secret, sizeof secret - 1));
        mf_wiped_free(again);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_contents_survive_a_move),
        cmocka_unit_test(without_memory_the_old_block_stays),
        cmocka_unit_test(a_freed_block_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
