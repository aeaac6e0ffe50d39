/* net_loop.c - turns, the deadline, timers, wake-ups, signals and watches */
#include "net_world.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

static struct net_loop *loop;

static int setup(void **state)
{
    (void)state;
    return net_loop_create(&loop, NULL);
}

static int teardown(void **state)
{
    (void)state;
    net_loop_destroy(loop);
    return 0;
}

struct turns {
    int count, stop_after, callbacks, seen_callbacks;
    bool again;
};

static void on_turn(void *context)
{
    struct turns *turns = context;
    turns->count++;
    turns->seen_callbacks = turns->callbacks;
    if (turns->count >= turns->stop_after)
        net_loop_stop(loop);
    else if (turns->again)
        net_loop_again(loop);
}

static void test_again(void **state)
{
    (void)state;
    struct turns turns = {.stop_after = 1000, .again = true};
    net_loop_on_turn(loop, on_turn, &turns);
    net_loop_run(loop);
    assert_int_equal(turns.count, 1000);
}

static void test_deadline(void **state)
{
    (void)state;
    struct turns turns = {.stop_after = 2};
    int64_t start = net_now_ms();
    net_loop_on_turn(loop, on_turn, &turns);
    net_loop_deadline(loop, start + 60000);
    net_loop_deadline(loop, start + 50);
    net_loop_run(loop);
    assert_in_range(net_now_ms() - start, 50, 500);
    turns = (struct turns){.stop_after = 2};
    net_loop_deadline(loop, net_now_ms() - 100000); /* past: at once */
    net_loop_run(loop);
    turns = (struct turns){.stop_after = 2};
    net_loop_deadline(loop, 0);
    net_loop_run(loop);
}

struct alarm {
    struct net_timer *timer;
    int64_t fired_at;
    int fired, order, *next_order, stop_at;
    bool again;
};

static void on_alarm(void *context)
{
    struct alarm *alarm = context;
    alarm->fired++;
    alarm->fired_at = net_now_ms();
    alarm->order = (*alarm->next_order)++;
    if (alarm->again && alarm->fired < 10)
        net_timer_set(alarm->timer, net_now_ms());
    if (*alarm->next_order >= alarm->stop_at)
        net_loop_stop(loop);
}

static void test_timers(void **state)
{
    (void)state;
    struct alarm alarms[40];
    int order = 0;
    int64_t start = net_now_ms();
    for (int i = 0; i < 40; i++) {
        alarms[i] = (struct alarm){.next_order = &order, .stop_at = 40};
        assert_int_equal(net_timer_create(&alarms[i].timer, loop, on_alarm, &alarms[i], NULL), 0);
        net_timer_set(alarms[i].timer, start + 1000);
        net_timer_set(alarms[i].timer, start + 100 - 2 * i); /* the last one first */
    }
    net_loop_run(loop);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(alarms[i].fired, 1);
        assert_int_equal(alarms[i].order, 39 - i);
        assert_in_range(alarms[i].fired_at - (start + 100 - 2 * i), 0, 60);
        net_timer_destroy(alarms[i].timer);
    }
    net_timer_destroy(NULL);
}

static void test_timer_that_sets_itself(void **state)
{
    (void)state;
    int order = 0;
    struct alarm alarm = {.next_order = &order, .stop_at = 10, .again = true};
    assert_int_equal(net_timer_create(&alarm.timer, loop, on_alarm, &alarm, NULL), 0);
    net_timer_set(alarm.timer, net_now_ms());
    net_loop_run(loop);
    assert_int_equal(alarm.fired, 10);
    net_timer_destroy(alarm.timer);
}

static void *wake_later(void *context)
{
    struct timespec pause = {.tv_nsec = 20000000};
    (void)context;
    nanosleep(&pause, NULL);
    net_loop_wake(loop);
    return NULL;
}

static void on_wake(void *context)
{
    int *woken = context;
    (*woken)++;
    net_loop_stop(loop);
}

static void test_wake(void **state)
{
    (void)state;
    int woken = 0;
    pthread_t thread;
    net_loop_on_wake(loop, on_wake, &woken);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, NULL), 0);
    net_loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(woken, 1);
}

static void on_signal(void *context, int signal_number)
{
    *(int *)context = signal_number;
    net_loop_stop(loop);
}

static void test_signal(void **state)
{
    (void)state;
    int caught = 0;
    assert_int_equal(net_loop_on_signal(loop, SIGUSR1, on_signal, &caught, NULL), 0);
    raise(SIGUSR1);
    net_loop_run(loop);
    assert_int_equal(caught, SIGUSR1);
}

static void on_ready(void *context, int events)
{
    struct turns *turns = context;
    assert_int_equal(events, NET_READ);
    turns->callbacks++;
}

static void test_turn_after_all_callbacks(void **state)
{
    (void)state;
    struct turns turns = {.stop_after = 2};
    struct net_watch *watches[8];
    int ends[8][2];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pipe2(ends[i], O_CLOEXEC), 0);
        assert_int_equal(write(ends[i][1], "x", 1), 1);
        assert_int_equal(
            net_watch_create(&watches[i], loop, ends[i][0], i % 2 == 0 ? NET_READ : 0, on_ready, &turns, NULL), 0);
        net_watch_set(watches[i], NET_READ);
    }
    net_watch_set(watches[7], 0);
    net_loop_on_turn(loop, on_turn, &turns);
    net_loop_run(loop);
    assert_int_equal(turns.seen_callbacks, 7); /* all of one iteration, then the turn */
    for (int i = 0; i < 8; i++) {
        net_watch_destroy(watches[i]);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    net_watch_destroy(NULL);
}

static void test_memory(void **state)
{
    (void)state;
    struct net_loop *other = NULL;
    struct net_timer *timer = NULL;
    int failures = 0;
    for (int64_t n = 0; n < 10; n++) {
        mf_alloc_fail_after(n, 1);
        int result = net_loop_create(&other, NULL);
        int timed = result == 0 ? net_timer_create(&timer, other, on_wake, NULL, NULL) : -1;
        mf_alloc_fail_after(-1, 0);
        failures += timed != 0;
        if (timed == 0)
            net_timer_destroy(timer);
        if (result == 0)
            net_loop_destroy(other);
    }
    assert_in_range(failures, 4, 9);
    net_loop_destroy(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_again),
        TEST(test_deadline),
        TEST(test_timers),
        TEST(test_timer_that_sets_itself),
        TEST(test_wake),
        TEST(test_signal),
        TEST(test_turn_after_all_callbacks),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
