/* gateway_resolve.c - names to addresses in threads: answers, cancelling, how many at once, ends in the middle */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/resolve.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static struct net_loop *loop;
static sem_t gate; /* "slow" names wait here */
static _Atomic unsigned at_work, most_at_work, finished;

static uint32_t fake(const char *host, struct egress_address addresses[RESOLVE_ADDRESSES_MAX], const char **trouble)
{
    unsigned now = atomic_fetch_add(&at_work, 1) + 1;
    if (now > atomic_load(&most_at_work))
        atomic_store(&most_at_work, now);
    if (strncmp(host, "slow", 4) == 0)
        while (sem_wait(&gate) != 0)
            continue;
    atomic_fetch_sub(&at_work, 1);
    atomic_fetch_add(&finished, 1);
    if (strcmp(host, "none") == 0) {
        *trouble = "no such name";
        return 0;
    }
    addresses[0] = (struct egress_address){.bytes = {1, 2, 3, (uint8_t)strlen(host)}};
    addresses[1] = (struct egress_address){.six = true, .bytes = {0x20, 1}};
    return 2;
}

struct answer {
    unsigned calls;
    uint32_t count;
    uint8_t last;
    bool six;
    char trouble[64];
};

static void on_done(void *context, const struct egress_address *addresses, uint32_t count, const char *trouble)
{
    struct answer *answer = context;
    answer->calls++;
    answer->count = count;
    answer->last = count > 0 ? addresses[0].bytes[3] : 0;
    answer->six = count > 1 && addresses[1].six;
    snprintf(answer->trouble, sizeof answer->trouble, "%s", count == 0 ? trouble : "");
    net_loop_again(loop);
}

static unsigned wanted_calls;
static const struct answer *watched;
static uint32_t watched_count;

static void on_turn(void *context)
{
    int64_t until_ms = *(int64_t *)context;
    unsigned calls = 0;
    for (uint32_t i = 0; i < watched_count; i++)
        calls += watched[i].calls;
    if (calls >= wanted_calls || net_now_ms() >= until_ms)
        net_loop_stop(loop);
}

/* Runs until so many of the answers came. */
static void await(const struct answer *answers, uint32_t count, unsigned calls)
{
    int64_t until_ms = net_now_ms() + PATIENCE_MS;
    watched = answers;
    watched_count = count;
    wanted_calls = calls;
    net_loop_on_turn(loop, on_turn, &until_ms);
    net_loop_deadline(loop, until_ms);
    net_loop_run(loop);
    net_loop_on_turn(loop, NULL, NULL);
    unsigned came = 0;
    for (uint32_t i = 0; i < count; i++)
        came += answers[i].calls;
    assert_int_equal(came, calls);
}

static void let_go(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sem_post(&gate);
}

static void await_finished(unsigned count)
{
    int64_t until_ms = net_now_ms() + PATIENCE_MS;
    while (atomic_load(&finished) < count && net_now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_true(atomic_load(&finished) >= count);
}

static int set_up(void **state)
{
    (void)state;
    at_work = most_at_work = finished = 0;
    sem_init(&gate, 0, 0);
    return net_loop_create(&loop, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    net_loop_destroy(loop);
    sem_destroy(&gate);
    return 0;
}

static void test_answers(void **state)
{
    struct resolver *resolver;
    struct answer answers[3] = {{0}};
    struct lookup *lookup;
    (void)state;
    assert_int_equal(resolver_create(&resolver, loop, fake, NULL), 0);
    assert_int_equal(resolver_ask(resolver, "a", on_done, &answers[0], &lookup, NULL), 0);
    assert_int_equal(resolver_ask(resolver, "none", on_done, &answers[1], &lookup, NULL), 0);
    assert_int_equal(resolver_ask(resolver, "abc", on_done, &answers[2], &lookup, NULL), 0);
    await(answers, 3, 3);
    assert_int_equal(answers[0].count, 2);
    assert_int_equal(answers[0].last, 1);
    assert_true(answers[0].six);
    assert_int_equal(answers[1].count, 0);
    assert_string_equal(answers[1].trouble, "no such name");
    assert_int_equal(answers[2].last, 3);
    char name[EGRESS_HOST_BYTES_MAX + 2];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(resolver_ask(resolver, name, on_done, &answers[0], &lookup, NULL), -1);
    resolver_destroy(resolver);
}

static void test_the_system_knows_localhost(void **state)
{
    struct resolver *resolver;
    struct answer answers[2] = {{0}};
    struct lookup *lookup;
    (void)state;
    assert_int_equal(resolver_create(&resolver, loop, NULL, NULL), 0);
    assert_int_equal(resolver_ask(resolver, "localhost", on_done, &answers[0], &lookup, NULL), 0);
    assert_int_equal(resolver_ask(resolver, "no-such-name.invalid", on_done, &answers[1], &lookup, NULL), 0);
    await(answers, 2, 2);
    assert_true(answers[0].count >= 1);
    assert_int_equal(answers[1].count, 0);
    assert_true(answers[1].trouble[0] != '\0');
    resolver_destroy(resolver);
}

static void test_only_some_at_once(void **state)
{
    struct resolver *resolver;
    struct answer answers[10] = {{0}};
    struct lookup *lookup;
    (void)state;
    assert_int_equal(resolver_create(&resolver, loop, fake, NULL), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(resolver_ask(resolver, "slow", on_done, &answers[i], &lookup, NULL), 0);
    let_go(10);
    await(answers, 10, 10);
    assert_true(most_at_work <= RESOLVE_RUNNING_MAX);
    resolver_destroy(resolver);
}

/* Who asks and gives up again and again does not gather threads. */
static void test_cancelled_ones_count_until_they_end(void **state)
{
    struct resolver *resolver;
    struct answer answers[21] = {{0}};
    struct lookup *lookups[21];
    (void)state;
    assert_int_equal(resolver_create(&resolver, loop, fake, NULL), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(resolver_ask(resolver, "slow", on_done, &answers[i], &lookups[i], NULL), 0);
        lookup_cancel(resolver, lookups[i]);
    }
    assert_int_equal(resolver_ask(resolver, "abcd", on_done, &answers[20], &lookups[20], NULL), 0);
    let_go(RESOLVE_RUNNING_MAX);
    await(answers, 21, 1);
    assert_int_equal(answers[20].last, 4);
    assert_true(most_at_work <= RESOLVE_RUNNING_MAX);
    resolver_destroy(resolver);
}

static void test_an_answered_one_may_be_cancelled(void **state)
{
    struct resolver *resolver;
    struct answer answers[2] = {{0}};
    struct lookup *lookups[2];
    (void)state;
    assert_int_equal(resolver_create(&resolver, loop, fake, NULL), 0);
    assert_int_equal(resolver_ask(resolver, "a", on_done, &answers[0], &lookups[0], NULL), 0);
    await_finished(1);
    lookup_cancel(resolver, lookups[0]);
    assert_int_equal(resolver_ask(resolver, "ab", on_done, &answers[1], &lookups[1], NULL), 0);
    await(answers, 2, 1);
    assert_int_equal(answers[1].last, 2);
    resolver_destroy(resolver);
}

static void test_an_end_in_the_middle(void **state)
{
    struct resolver *resolver;
    struct answer answers[8] = {{0}};
    struct lookup *lookup;
    (void)state;
    assert_int_equal(resolver_create(&resolver, loop, fake, NULL), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(resolver_ask(resolver, "slow", on_done, &answers[i], &lookup, NULL), 0);
    resolver_destroy(resolver);
    let_go(RESOLVE_RUNNING_MAX);
    await_finished(RESOLVE_RUNNING_MAX);
    nanosleep(&(struct timespec){.tv_nsec = 20000000},
              NULL); /* what the threads do after that belongs to the leak checker */
    for (int i = 0; i < 8; i++)
        assert_int_equal(answers[i].calls, 0);
    resolver_destroy(NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    int failures = 0;
    for (int64_t n = 0; n < 20; n++) {
        struct resolver *resolver = NULL;
        struct answer answer = {0};
        struct lookup *lookup;
        mf_alloc_fail_after(n, 1);
        int result = resolver_create(&resolver, loop, fake, NULL);
        if (result == 0)
            result = resolver_ask(resolver, "abc", on_done, &answer, &lookup, NULL);
        mf_alloc_fail_after(-1, 0);
        if (result == 0)
            await(&answer, 1, 1);
        resolver_destroy(resolver);
        if (result == 0)
            break;
        failures++;
    }
    assert_true(failures >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_system_knows_localhost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_some_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled_ones_count_until_they_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_answered_one_may_be_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_end_in_the_middle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
