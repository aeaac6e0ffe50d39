/* store_rate.c - tests of the shared request budget: never more in any window, all of it used, many processes, damage */
#include "store_help.h"

#include "store/rate.h"

#include <sys/wait.h>
#include <time.h>

#define BUDGET 100u
#define WINDOW_MS 6300u
#define RESERVE 10u

static int setup(void **state)
{
    (void)state;
    help_make_base();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    help_remove_base();
    return 0;
}

static struct store_rate *open_rate(uint32_t requests)
{
    struct mf_error error;
    struct store_rate *rate;
    assert_ok(store_rate_open(&rate, help_path("x.rate"), requests, WINDOW_MS, RESERVE, &error));
    return rate;
}

static int64_t boot_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_no_window_holds_more_than_the_budget(void **state)
{
    (void)state;
    struct store_rate *rate = open_rate(BUDGET);
    static int64_t taken[10000];
    size_t count = 0;
    int64_t start = boot_ms(), now = start, end = start + 20 * WINDOW_MS;
    while (now < end) {
        int64_t again = store_rate_take(rate, now, true);
        if (again == 0) {
            taken[count++] = now;
            continue;
        }
        assert_true(again > now);
        assert_true(again <= now + 2 * WINDOW_MS);
        now = again;
    }
    for (size_t first = 0, last = 0; last < count; last++) {
        while (taken[last] - taken[first] >= WINDOW_MS)
            first++;
        assert_true(last - first + 1 <= BUDGET);
    }
    assert_true(count >= 20 * BUDGET * 9 / 10); /* and nearly all of it can be used */
    assert_true(taken[BUDGET - 1] == start);    /* the burst at once */
    store_rate_close(rate);
}

static void test_the_reserve_is_for_teardown(void **state)
{
    (void)state;
    struct store_rate *rate = open_rate(BUDGET);
    int64_t now = boot_ms();
    unsigned plain = 0, reserved = 0;
    while (store_rate_take(rate, now, false) == 0)
        plain++;
    while (store_rate_take(rate, now, true) == 0)
        reserved++;
    assert_int_equal(plain, BUDGET - RESERVE);
    assert_int_equal(reserved, RESERVE);
    store_rate_close(rate);
}

static void test_a_gate_is_shut_for_everybody(void **state)
{
    (void)state;
    struct store_rate *one = open_rate(BUDGET), *two = open_rate(0);
    int64_t now = boot_ms();
    store_rate_shut(one, now + 5000);
    store_rate_shut(two, now + 3000); /* only ever later */
    assert_int_equal(store_rate_take(two, now, true), now + 5000);
    assert_int_equal(store_rate_take(one, now + 4999, false), now + 5000);
    assert_int_equal(store_rate_take(one, now + 5000, false), 0);
    assert_int_equal(store_rate_take(two, now + 5000, false), 0);
    store_rate_shut(one, now + 1000000000); /* damage or malice: not believed */
    assert_int_equal(store_rate_take(two, now + 5000, true), 0);
    store_rate_close(one);
    store_rate_close(two);
}

static void test_damage_counts_as_empty(void **state)
{
    (void)state;
    uint64_t random = 7;
    for (int round = 0; round < 200; round++) {
        char bytes[400];
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)(random >> 33);
        }
        struct store_rate *rate = open_rate(BUDGET);
        int64_t now = boot_ms();
        assert_int_equal(store_rate_take(rate, now, true), 0); /* a valid file to begin with */
        int fd = open(help_path("x.rate"), O_RDWR | O_CLOEXEC);
        size_t at = round % 2 == 0 ? 0 : 48; /* the header, or all behind magic and boot id */
        assert_true(pwrite(fd, bytes, sizeof bytes - at, (off_t)at) > 0);
        if (round % 5 == 0)
            assert_int_equal(ftruncate(fd, round), 0);
        close(fd);
        int64_t again = store_rate_take(rate, now, true);
        assert_true(again == 0 || (again > now && again <= now + 3600000 + 2 * WINDOW_MS));
        store_rate_close(rate);
    }
}

static void test_many_processes_share_one_budget(void **state)
{
    (void)state;
    enum { PROCESSES = 8 };
    pid_t children[PROCESSES];
    int64_t now = boot_ms();
    int total = 0;
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        struct store_rate *rate;
        int taken = 0;
        if (store_rate_open(&rate, help_path("x.rate"), BUDGET, WINDOW_MS, 0, NULL) != 0)
            _exit(255);
        for (int tries = 0; tries < 2000; tries++)
            taken += store_rate_take(rate, now, true) == 0;
        _exit(taken);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        total += WEXITSTATUS(status);
    }
    assert_int_equal(total, BUDGET);
}

static void test_a_stopped_holder_does_not_stop_us(void **state)
{
    (void)state;
    struct store_rate *rate = open_rate(BUDGET);
    int fd = open(help_path("x.rate"), O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    int64_t now = boot_ms(), again = store_rate_take(rate, now, true);
    assert_true(again > now && again <= now + 10);
    store_rate_shut(rate, now + 5000);
    assert_true(boot_ms() - now < 1000);
    close(fd);
    assert_int_equal(store_rate_take(rate, now, true), 0);
    store_rate_close(rate);
}

static void test_unsafe_files_are_refused(void **state)
{
    (void)state;
    struct mf_error error;
    struct store_rate *rate;
    store_rate_close(open_rate(BUDGET));
    assert_int_equal(chmod(help_path("x.rate"), 0666), 0);
    assert_int_equal(store_rate_open(&rate, help_path("x.rate"), 1, 1, 0, &error), -1);
    assert_int_equal(unlink(help_path("x.rate")), 0);
    assert_int_equal(symlink("y", help_path("x.rate")), 0);
    assert_int_equal(store_rate_open(&rate, help_path("x.rate"), 1, 1, 0, &error), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_window_holds_more_than_the_budget),
        TEST(test_the_reserve_is_for_teardown),
        TEST(test_a_gate_is_shut_for_everybody),
        TEST(test_damage_counts_as_empty),
        TEST(test_many_processes_share_one_budget),
        TEST(test_a_stopped_holder_does_not_stop_us),
        TEST(test_unsafe_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
