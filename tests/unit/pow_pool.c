/* pow_pool.c - one callback for every challenge, in every order of solving, cancelling and destroying */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "pow/pow.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORKS 60

struct job {
    struct pow_challenge challenge;
    struct pow_work *work;
    uint32_t callbacks;
    bool cancelled, right;
};

static int wake_fd;
static uint32_t done_count;

static void wake(void *context)
{
    uint64_t one = 1;
    (void)context;
    assert_int_equal(write(wake_fd, &one, sizeof one), sizeof one);
}

static void on_done(void *context, struct mf_span solution, bool cancelled)
{
    struct job *job = context;
    done_count++;
    job->callbacks++;
    job->cancelled = cancelled;
    if (cancelled)
        return;
    size_t bytes = ((size_t)job->challenge.k + 1) * 32, got = 0;
    uint8_t *checkpoints = malloc(bytes);
    assert_non_null(checkpoints);
    job->right = mf_unbase64(solution, checkpoints, bytes, &got) == 0 && got == bytes &&
                 pow_verify(&job->challenge, checkpoints, 0, NULL, NULL);
    free(checkpoints);
}

static void collect_until(struct pow_pool *pool, uint32_t count)
{
    while (done_count < count) {
        struct pollfd ready = {.fd = wake_fd, .events = POLLIN};
        uint64_t woken;
        assert_int_equal(poll(&ready, 1, 60000), 1);
        assert_int_equal(read(wake_fd, &woken, sizeof woken), sizeof woken);
        pow_pool_collect(pool);
    }
}

static int setup(void **state)
{
    (void)state;
    done_count = 0;
    wake_fd = eventfd(0, EFD_CLOEXEC);
    return wake_fd < 0;
}

static int teardown(void **state)
{
    (void)state;
    return close(wake_fd);
}

static void submit(struct pow_pool *pool, struct job *job, uint8_t seed, uint32_t k, uint32_t g)
{
    memset(job, 0, sizeof *job);
    memset(job->challenge.seed, seed, sizeof job->challenge.seed);
    job->challenge.k = k;
    job->challenge.g = g;
    assert_int_equal(pow_pool_submit(pool, &job->challenge, on_done, job, &job->work, NULL), 0);
}

static void test_all_are_solved(void **state)
{
    (void)state;
    static struct job jobs[WORKS];
    for (uint32_t threads = 1; threads <= 4; threads++) {
        struct pow_pool *pool;
        done_count = 0;
        assert_int_equal(pow_pool_create(&pool, threads, wake, NULL, NULL), 0);
        assert_int_equal(pow_pool_threads(pool), threads);
        for (uint32_t i = 0; i < WORKS; i++) /* lengths differ, so lanes come and go at different times */
            submit(pool, &jobs[i], (uint8_t)i, 1 + i * 7 % 23, 1 + i * 13 % 97);
        collect_until(pool, WORKS);
        for (uint32_t i = 0; i < WORKS; i++) {
            assert_int_equal(jobs[i].callbacks, 1);
            assert_true(jobs[i].right);
        }
        assert_int_equal(pow_pool_waiting(pool), 0);
        pow_pool_destroy(pool);
    }
}

static void test_cancel(void **state)
{
    (void)state;
    static struct job jobs[WORKS];
    struct pow_pool *pool;
    assert_int_equal(pow_pool_create(&pool, 2, wake, NULL, NULL), 0);
    for (uint32_t i = 0; i < WORKS; i++)
        submit(pool, &jobs[i], (uint8_t)i, 2, i % 2 == 0 ? POW_HASHES_MAX / 2 : 100);
    for (uint32_t i = 0; i < WORKS; i += 2) {
        pow_work_cancel(jobs[i].work);
        pow_work_cancel(jobs[i].work);
    }
    collect_until(pool, WORKS);
    for (uint32_t i = 0; i < WORKS; i++) {
        assert_int_equal(jobs[i].callbacks, 1);
        assert_int_equal(jobs[i].cancelled, i % 2 == 0);
        assert_true(jobs[i].cancelled || jobs[i].right);
    }
    pow_pool_destroy(pool);
}

static void test_destroy_at_work(void **state)
{
    (void)state;
    static struct job jobs[20];
    struct pow_pool *pool;
    assert_int_equal(pow_pool_create(&pool, 0, wake, NULL, NULL), 0);
    assert_true(pow_pool_threads(pool) > 0);
    for (uint32_t i = 0; i < 20; i++)
        submit(pool, &jobs[i], (uint8_t)i, 1, POW_HASHES_MAX);
    assert_int_equal(pow_pool_waiting(pool), 20);
    pow_pool_destroy(pool);
    assert_int_equal(done_count, 0);
    pow_pool_destroy(NULL);
}

static void test_refused(void **state)
{
    (void)state;
    struct pow_pool *pool;
    struct pow_challenge challenge = {.k = 2, .g = UINT32_MAX};
    assert_int_equal(pow_pool_create(&pool, 1, wake, NULL, NULL), 0);
    assert_int_equal(pow_pool_submit(pool, &challenge, on_done, NULL, NULL, NULL), -1);
    challenge.g = 1;
    for (int64_t n = 0; n < 3; n++) {
        mf_alloc_fail_after(n, 1);
        assert_int_equal(pow_pool_submit(pool, &challenge, on_done, NULL, NULL, NULL), -1);
        mf_alloc_fail_after(-1, 0);
    }
    pow_pool_destroy(pool);
    mf_alloc_fail_after(0, 1);
    assert_int_equal(pow_pool_create(&pool, 1, wake, NULL, NULL), -1);
    mf_alloc_fail_after(-1, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_all_are_solved), TEST(test_cancel), TEST(test_destroy_at_work),
                                       TEST(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
