/* base_memory.c - allocations that fail on request, buffers with a maximum, errors with context */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

static void test_alloc(void **state)
{
    (void)state;
    char *copy = mf_strndup("abcdef", 3);
    assert_string_equal(copy, "abc");
    mf_free_secret(copy, 3);
    mf_free(NULL);
    mf_free_secret(NULL, 10);
    assert_null(mf_realloc(NULL, SIZE_MAX / 2, 4));
    uint64_t before = mf_alloc_count();
    mf_alloc_fail_after(1, 2);
    void *first = mf_alloc(0);
    assert_non_null(first);
    assert_null(mf_calloc(1, 1));
    assert_null(mf_strdup("x"));
    void *second = mf_alloc(1);
    assert_non_null(second);
    assert_int_equal(mf_alloc_count() - before, 4);
    mf_alloc_fail_after(0, 0);
    assert_null(mf_alloc(1));
    assert_null(mf_alloc(1));
    mf_alloc_fail_after(-1, 0);
    mf_free(first);
    mf_free(second);
}

static void test_grow(void **state)
{
    (void)state;
    uint32_t *numbers = NULL;
    size_t capacity = 0;
    void *array = numbers;
    assert_int_equal(mf_grow(&array, &capacity, 3, sizeof *numbers, 2), 0);
    assert_int_equal(capacity, 4);
    void *same = array;
    assert_int_equal(mf_grow(&array, &capacity, 4, sizeof *numbers, 2), 0);
    assert_ptr_equal(array, same);
    mf_alloc_fail_after(0, 1);
    assert_int_equal(mf_grow(&array, &capacity, 5, sizeof *numbers, 2), -1);
    assert_int_equal(capacity, 4);
    assert_int_equal(mf_grow(&array, &capacity, SIZE_MAX, sizeof *numbers, 2), -1);
    mf_alloc_fail_after(-1, 0);
    mf_free(array);
}

static void test_buf(void **state)
{
    (void)state;
    struct mf_buf buf;
    mf_buf_init(&buf, 10);
    assert_string_equal(mf_buf_cstr(&buf), "");
    assert_int_equal(mf_buf_reserve(&buf, 4), 0);
    assert_string_equal(mf_buf_cstr(&buf), "");
    assert_int_equal(mf_buf_text(&buf, "abc"), 0);
    assert_int_equal(mf_buf_char(&buf, 'd'), 0);
    assert_int_equal(mf_buf_printf(&buf, "%d", 42), 0);
    assert_int_equal(mf_buf_span(&buf, mf_span(NULL)), 0);
    assert_string_equal(mf_buf_cstr(&buf), "abcd42");
    mf_buf_consume(&buf, 2);
    assert_string_equal(mf_buf_cstr(&buf), "cd42");
    assert_int_equal(mf_buf_append(&buf, "1234567", 7), -1);
    assert_true(buf.failed);
    assert_string_equal(mf_buf_cstr(&buf), "cd42");
    assert_int_equal(mf_buf_char(&buf, 'x'), -1);
    assert_null(mf_buf_take(&buf));
    mf_buf_clear(&buf);
    assert_int_equal(mf_buf_append(&buf, "1234567890", 10), 0);
    assert_int_equal(mf_buf_printf(&buf, "%s", "x"), -1);
    mf_buf_clear(&buf);
    mf_buf_text(&buf, "taken");
    char *taken = mf_buf_take(&buf);
    assert_string_equal(taken, "taken");
    mf_free(taken);
    assert_int_equal(buf.length, 0);
    mf_buf_free(&buf);
}

static void test_secret_buf(void **state)
{
    (void)state;
    struct mf_buf buf;
    mf_buf_init_secret(&buf, 1000);
    for (int i = 0; i < 200; i++)
        assert_int_equal(mf_buf_text(&buf, "abc"), 0);
    assert_int_equal(buf.length, 600);
    mf_buf_consume(&buf, 599);
    assert_string_equal(mf_buf_cstr(&buf), "c");
    assert_int_equal(buf.data[300], 0); /* what moved away is wiped */
    mf_buf_clear(&buf);
    assert_int_equal(buf.data[0], 0);
    mf_buf_free(&buf);
    mf_buf_init_secret(&buf, 1000);
    mf_alloc_fail_after(0, 1);
    assert_int_equal(mf_buf_text(&buf, "abc"), -1);
    mf_alloc_fail_after(-1, 0);
    mf_buf_free(&buf);
}

static void test_error(void **state)
{
    (void)state;
    struct mf_error error = {0};
    assert_int_equal(mf_fail(&error, MF_INPUT, "graph %s: %d", "g", 5), -1);
    assert_string_equal(error.text, "graph g: 5");
    assert_int_equal(error.code, MF_INPUT);
    assert_int_equal(mf_wrap(&error, "run %d", 7), -1);
    assert_string_equal(error.text, "run 7: graph g: 5");
    assert_int_equal(mf_fail_os(&error, ENOENT, "open x"), -1);
    assert_string_equal(error.text, "open x: No such file or directory");
    assert_int_equal(error.os_errno, ENOENT);
    assert_int_equal(mf_fail(NULL, MF_INPUT, "x"), -1);
    assert_int_equal(mf_fail_os(NULL, 1, "x"), -1);
    assert_int_equal(mf_wrap(NULL, "x"), -1);
    assert_string_equal(mf_code_name(MF_SANDBOX), "sandbox");
    assert_string_equal(mf_code_name((enum mf_code)1000), "internal");
    char large[3000];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    mf_fail(&error, MF_LIMIT, "%s", large);
    mf_wrap(&error, "%s", large);
    assert_int_equal(strlen(error.text), MF_ERROR_TEXT_MAX - 1);
}

static jmp_buf failed;
static const char *failed_condition;

static void hook(const char *condition, const char *file, int line, const char *function)
{
    (void)file;
    (void)line;
    (void)function;
    failed_condition = condition;
    longjmp(failed, 1);
}

static void test_assert(void **state)
{
    (void)state;
    mf_assert_set_hook(hook);
    mf_assert(1 + 1 == 2);
    if (setjmp(failed) == 0)
        mf_assert(state == NULL && "never");
    assert_non_null(strstr(failed_condition, "never"));
    mf_assert_set_hook(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),      cmocka_unit_test(test_grow),  cmocka_unit_test(test_buf),
        cmocka_unit_test(test_secret_buf), cmocka_unit_test(test_error), cmocka_unit_test(test_assert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
