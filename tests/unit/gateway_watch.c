/* gateway_watch.c - what looks wrong: stories of siblings, what is told once, what is full */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/watch.h"

#include <stdio.h>
#include <string.h>

#define READ MF_SPAN("GET /a")
#define PUT MF_SPAN("PUT /a")
#define DELETE MF_SPAN("DELETE /a")

static struct watch *make_watch(void)
{
    struct watch *watch;
    assert_int_equal(watch_create(&watch), 0);
    return watch;
}

static struct mf_span sibling(unsigned n)
{
    static char names[8][32];
    static unsigned next;
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "deploy/site-%u", n);
    return mf_span(name);
}

/* Ends an instance; what is told, as "task what", or "". */
static const char *end(struct watch *watch, struct mf_span task)
{
    static char said[512];
    char who[WATCH_TASK_BYTES_MAX], what[WATCH_WHAT_BYTES_MAX];
    if (!watch_peer_ended(watch, task, who, sizeof who, what, sizeof what))
        return "";
    snprintf(said, sizeof said, "%s %s", who, what);
    return said;
}

static void kinds_have_names(void **state)
{
    (void)state;
    for (int kind = 0; kind < WATCH_KIND_COUNT; kind++) {
        assert_true(strlen(watch_name((enum watch_kind)kind)) > 0);
        assert_true(strlen(watch_text((enum watch_kind)kind)) > 0);
    }
    assert_true(watch_is_violation(WATCH_OUTSIDE));
    assert_false(watch_is_violation(WATCH_PEER));
    assert_string_equal(watch_name(WATCH_CANARY), "canary");
}

static void one_of_five_deletes_when_the_others_went_on(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    for (unsigned n = 0; n < 5; n++)
        assert_false(watch_peer(watch, sibling(n), READ));
    for (unsigned n = 0; n < 4; n++)
        assert_false(watch_peer(watch, sibling(n), PUT));
    assert_true(watch_peer(watch, sibling(4), DELETE));
    assert_false(watch_peer(watch, sibling(4), DELETE)); /* told */
    assert_false(watch_peer(watch, sibling(3), READ));
    assert_false(watch_peer(watch, sibling(0), DELETE)); /* no longer alone */
    watch_destroy(watch);
}

static void one_of_five_deletes_before_the_others_end(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    for (unsigned n = 0; n < 5; n++)
        assert_false(watch_peer(watch, sibling(n), READ));
    assert_false(watch_peer(watch, sibling(2), DELETE)); /* merely first, so far */
    assert_string_equal(end(watch, sibling(2)), "");
    assert_string_equal(end(watch, sibling(0)), "");
    assert_string_equal(end(watch, sibling(1)), "");
    assert_string_equal(end(watch, sibling(3)), "");
    assert_string_equal(end(watch, sibling(4)), "deploy/site-2 DELETE /a");
    assert_string_equal(end(watch, sibling(4)), "");
    watch_destroy(watch);
}

static void several_things_that_one_did_are_told_one_by_one(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    watch_peer(watch, sibling(0), READ);
    watch_peer(watch, sibling(0), PUT);
    watch_peer(watch, sibling(0), DELETE);
    for (unsigned n = 1; n < 4; n++) {
        watch_peer(watch, sibling(n), READ);
        assert_string_equal(end(watch, sibling(n)), "");
    }
    assert_string_equal(end(watch, sibling(4)), "deploy/site-0 PUT /a"); /* it did nothing at all */
    assert_string_equal(end(watch, sibling(4)), "deploy/site-0 DELETE /a");
    assert_string_equal(end(watch, sibling(4)), "");
    watch_destroy(watch);
}

static void all_do_the_same_one_after_the_other(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    for (unsigned n = 0; n < 50; n++) {
        assert_false(watch_peer(watch, sibling(n), READ));
        assert_false(watch_peer(watch, sibling(n), PUT));
        assert_false(watch_peer(watch, sibling(n), DELETE));
        assert_string_equal(end(watch, sibling(n)), "");
    }
    watch_destroy(watch);
}

static void one_that_is_ahead_is_not_told(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    for (unsigned n = 0; n < 20; n++)
        assert_false(watch_peer(watch, sibling(n), READ));
    assert_false(watch_peer(watch, sibling(0), PUT));
    assert_false(watch_peer(watch, sibling(0), DELETE));
    for (unsigned n = 1; n < 20; n++) {
        assert_false(watch_peer(watch, sibling(n), PUT));
        assert_false(watch_peer(watch, sibling(n), DELETE));
    }
    for (unsigned n = 0; n < 20; n++)
        assert_string_equal(end(watch, sibling(n)), "");
    watch_destroy(watch);
}

static void few_siblings_tell_nothing(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    for (unsigned n = 0; n < 3; n++) {
        for (unsigned i = 0; i < 10; i++)
            assert_false(watch_peer(watch, sibling(n), READ));
    }
    assert_false(watch_peer(watch, sibling(1), DELETE));
    for (unsigned n = 0; n < 3; n++)
        assert_string_equal(end(watch, sibling(n)), "");
    /* nor do other tasks, nor tasks that are no fan-out */
    for (unsigned n = 0; n < 10; n++) {
        char name[32];
        snprintf(name, sizeof name, "other/%u", n);
        assert_false(watch_peer(watch, mf_span(name), READ));
        snprintf(name, sizeof name, "single%u", n);
        assert_false(watch_peer(watch, mf_span(name), n == 0 ? DELETE : READ));
    }
    assert_false(watch_peer(watch, sibling(1), DELETE));
    watch_destroy(watch);
}

static void memory_has_its_bounds(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    char task[64], what[64];
    for (unsigned n = 0; n < 3 * WATCH_TEMPLATES_MAX; n++) {
        snprintf(task, sizeof task, "family%u/x", n);
        watch_peer(watch, mf_span(task), READ);
    }
    for (unsigned n = 0; n < 3 * WATCH_RULES_MAX; n++) {
        snprintf(what, sizeof what, "GET /%u", n);
        watch_peer(watch, MF_SPAN("family1/y"), mf_span(what));
    }
    for (unsigned n = 0; n < 3 * WATCH_INSTANCES_MAX; n++) {
        snprintf(task, sizeof task, "family2/%u", n);
        watch_peer(watch, mf_span(task), READ);
    }
    /* one that is not counted is told by those who are and ended, not by their requests */
    assert_false(watch_peer(watch, MF_SPAN("family2/last"), DELETE));
    for (unsigned n = 0; n < 4; n++) {
        snprintf(task, sizeof task, "family2/%u", n);
        const char *said = end(watch, mf_span(task));
        assert_string_equal(said, n < 3 ? "" : "family2/last DELETE /a");
    }
    char large[1000];
    memset(large, 'x', sizeof large);
    for (unsigned n = 0; n < 5; n++)
        watch_peer(watch, sibling(n), READ);
    memcpy(large, "family3/", 8);
    assert_false(watch_peer(watch, (struct mf_span){large, sizeof large}, READ));
    assert_false(watch_peer(watch, MF_SPAN("family3/z"), (struct mf_span){large, sizeof large}));
    watch_destroy(watch);
}

static void an_anomaly_is_told_once(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), READ));
    assert_false(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), READ));
    assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), PUT));
    assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("b"), READ));
    assert_true(watch_first(watch, WATCH_TRICK, MF_SPAN("a"), READ));
    assert_true(watch_first(watch, WATCH_TRICK, MF_SPAN("aG"), MF_SPAN("ET /a")));
    assert_int_equal(watch_count(watch, WATCH_OUTSIDE), 4);
    assert_int_equal(watch_count(watch, WATCH_TRICK), 2);
    assert_int_equal(watch_count(watch, WATCH_PEER), 0);
    watch_destroy(watch);
}

static void what_is_full_still_tells_the_kind(void **state)
{
    (void)state;
    struct watch *watch = make_watch();
    char detail[32];
    for (unsigned n = 0; n < WATCH_FIRST_MAX; n++) {
        snprintf(detail, sizeof detail, "%u", n);
        assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), mf_span(detail)));
    }
    assert_false(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), MF_SPAN("7"))); /* known */
    assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), MF_SPAN("new")));
    assert_false(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), MF_SPAN("newer")));
    assert_true(watch_first(watch, WATCH_TRICK, MF_SPAN("a"), MF_SPAN("new")));
    assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("b"), MF_SPAN("new")));
    for (unsigned n = 3; n < WATCH_FIRST_MAX; n++) {
        snprintf(detail, sizeof detail, "task%u", n);
        assert_true(watch_first(watch, WATCH_OUTSIDE, mf_span(detail), MF_SPAN("new")));
    }
    assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("one more"), MF_SPAN("new")));
    assert_false(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("another"), MF_SPAN("new")));
    assert_true(watch_first(watch, WATCH_CANARY, MF_SPAN("another"), MF_SPAN("new")));
    watch_destroy(watch);
}

static void without_memory_anomalies_are_told_and_peers_are_not(void **state)
{
    (void)state;
    struct watch *watch;
    mf_alloc_fail_after(0, 1);
    assert_int_equal(watch_create(&watch), -1);
    assert_null(watch);
    mf_alloc_fail_after(-1, 0);
    for (int64_t n = 0; n < 12; n++) {
        watch = make_watch();
        mf_alloc_fail_after(n, 0);
        for (unsigned i = 0; i < 40; i++)
            watch_peer(watch, sibling(i), i == 7 ? DELETE : READ);
        assert_true(watch_first(watch, WATCH_OUTSIDE, MF_SPAN("a"), READ));
        end(watch, sibling(50));
        mf_alloc_fail_after(-1, 0);
        watch_destroy(watch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(one_of_five_deletes_when_the_others_went_on),
        cmocka_unit_test(one_of_five_deletes_before_the_others_end),
        cmocka_unit_test(several_things_that_one_did_are_told_one_by_one),
        cmocka_unit_test(all_do_the_same_one_after_the_other),
        cmocka_unit_test(one_that_is_ahead_is_not_told),
        cmocka_unit_test(few_siblings_tell_nothing),
        cmocka_unit_test(memory_has_its_bounds),
        cmocka_unit_test(an_anomaly_is_told_once),
        cmocka_unit_test(what_is_full_still_tells_the_kind),
        cmocka_unit_test(without_memory_anomalies_are_told_and_peers_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
