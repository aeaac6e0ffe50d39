/* emulator_fault.c - the fault language: what parses, which requests a rule hits, and that a seed is a replay */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulator/fault.h"

#include <string.h>

static struct emu_faults *parse(const char *script)
{
    struct emu_faults *faults;
    struct mf_error error = {0};
    if (emu_faults_parse(&faults, mf_span(script), &error) < 0)
        fail_msg("%s: %s", script, error.text);
    return faults;
}

static struct emu_plan plan(struct emu_faults *faults, const char *method, const char *path)
{
    struct emu_plan out;
    emu_faults_plan(faults, mf_span(method), mf_span(path), &out);
    return out;
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool fits;
    } rows[] = {
        {"/accounts", "/accounts", true},        {"/accounts", "/accounts/x", false},    {"/accounts/*", "/accounts/x", true},
        {"/accounts/*", "/accounts", false},     {"/accounts/*", "/accounts/x/y", false}, {"/accounts/**", "/accounts/x/y", true},
        {"/accounts/**", "/accounts", true},     {"/**", "/anything/at/all", true},      {"/accounts/*/tokens", "/accounts/x/tokens", true},
        {"/accounts/*/tokens", "/accounts/x/y", false}, {"/a%2Fb", "/a%2Fb", true},      {"/a/b", "/a%2Fb", false},
    };
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++)
        if (emu_path_fits(rows[each].pattern, mf_span(rows[each].path)) != rows[each].fits)
            fail_msg("%s with %s", rows[each].pattern, rows[each].path);
}

static void test_counters(void **state)
{
    (void)state;
    struct emu_faults *faults = parse("{\"rules\":[{\"method\":\"POST\",\"path\":\"/accounts\",\"after\":2,\"every\":2,\"times\":2,\"action\":\"lost_after\"}]}");
    static const bool hit[] = {false, false, false, true, false, true, false, false, false};
    for (size_t each = 0; each < sizeof(hit) / sizeof(hit[0]); each++) {
        assert_null(plan(faults, "GET", "/accounts").end);
        if ((plan(faults, "POST", "/accounts").end != NULL) != hit[each])
            fail_msg("request %zu", each + 1);
    }
    emu_faults_free(faults);
}

static void test_combined(void **state)
{
    (void)state;
    struct emu_faults *faults = parse(
        "{\"rules\":[{\"action\":\"latency\",\"delay\":\"20ms\"},{\"action\":\"latency\",\"delay\":\"30ms\"},{\"action\":\"latency\",\"delay\":\"5ms\",\"before\":true},"
        "{\"action\":\"edit\",\"pointer\":\"/result/id\",\"value\":1},{\"action\":\"truncate\"},{\"action\":\"reset\"},{\"action\":\"second_id\"},"
        "{\"action\":\"pending\",\"delay\":\"1s\"}]}");
    struct emu_plan both = plan(faults, "GET", "/x");
    assert_int_equal(both.after_ms, 50);
    assert_int_equal(both.before_ms, 5);
    assert_int_equal(both.edit_count, 1);
    assert_true(both.second_id);
    assert_int_equal(both.pending_ms, 1000);
    assert_int_equal(both.end->action, EMU_ACTION_TRUNCATE);
    assert_true(emu_rule_has_effect(both.end));
    emu_faults_free(faults);
}

static void test_seed(void **state)
{
    (void)state;
    static const char script[] =
        "{\"seed\":42,\"rules\":[{\"probability\":0.3,\"action\":\"reset\"},{\"probability\":0.5,\"action\":\"latency\",\"uniform\":[\"1ms\",\"9s\"]},"
        "{\"action\":\"latency\",\"exponential\":\"50ms\"}]}";
    struct emu_faults *left = parse(script), *right = parse(script);
    unsigned resets = 0;
    int64_t sum = 0;
    for (int each = 0; each < 2000; each++) {
        struct emu_plan a = plan(left, "GET", "/x"), b = plan(right, "GET", "/x");
        assert_int_equal(a.end != NULL, b.end != NULL);
        assert_true(a.after_ms == b.after_ms && a.after_ms >= 0);
        resets += a.end != NULL;
        sum += a.after_ms;
    }
    assert_in_range(resets, 500, 700);               /* 600 +- 20 */
    assert_in_range(sum / 2000, 2000, 2600);          /* half of 4.5 s, and 50 ms */
    emu_faults_free(left);
    emu_faults_free(right);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]", "{\"rule\":[]}", "{\"rules\":{}}", "{\"rules\":[{}]}", "{\"rules\":[{\"action\":\"explode\"}]}", "{\"rules\":[{\"action\":\"reset\",\"status\":500}]}",
        "{\"rules\":[{\"action\":\"status\",\"status\":99}]}", "{\"rules\":[{\"action\":\"status\",\"status\":\"500\"}]}", "{\"rules\":[{\"action\":\"edit\",\"value\":1}]}",
        "{\"rules\":[{\"action\":\"edit\",\"pointer\":\"/x\"}]}", "{\"rules\":[{\"action\":\"latency\",\"uniform\":[\"2s\",\"1s\"]}]}",
        "{\"rules\":[{\"action\":\"latency\",\"uniform\":[\"2s\"]}]}", "{\"rules\":[{\"action\":\"reset\",\"probability\":2}]}", "{\"rules\":[{\"action\":\"reset\",\"nth\":-1}]}",
        "{\"rules\":[{\"action\":\"reset\",\"nth\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}]}", "{\"rules\":[{\"action\":\"headers\",\"headers\":{\"a\":1}}]}",
        "{\"seed\":\"x\"}", "{\"list_lag\":5}", "{", "{\"rules\":[{\"action\":\"reset\",\"surprise\":1}]}",
    };
    for (size_t each = 0; each < sizeof(bad) / sizeof(bad[0]); each++) {
        struct emu_faults *faults;
        struct mf_error error = {0};
        if (emu_faults_parse(&faults, mf_span(bad[each]), &error) == 0)
            fail_msg("accepted: %s", bad[each]);
        assert_int_not_equal(error.code, MF_NONE);
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct emu_faults *faults = parse("");
    assert_int_equal(faults->count, 0);
    emu_faults_free(faults);
    faults = parse("// a comment\n{\"description\": \"nothing\", \"list_lag\": \"20s\", \"rules\": []}");
    assert_int_equal(faults->list_lag_ms, 20000);
    emu_faults_free(faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_counters), cmocka_unit_test(test_combined),
        cmocka_unit_test(test_seed),     cmocka_unit_test(test_refused),  cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
