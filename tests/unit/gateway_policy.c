/* gateway_policy.c - a policy's text is read as it says, and refused where it does not say one thing */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "gateway/policy.h"

#include <string.h>

static const char full[] = "{\"policy\":1,\"name\":\"test\",\"base_path\":\"/client/"
                           "v4\",\"token\":[{\"header\":\"authorization\",\"scheme\":\"Bearer\"},"
                           "{\"header\":\"x-api-key\"}],\"permissions\":[\"a:read\",\"a:write\"],\"rules\":[[\"GET "
                           "/x/{id}\",0],[\"PUT /x/{id}\",1,\"agent\",\"shared\"],"
                           "[\"GET /free\",0,\"free\"]],\"benign\":[\"GET "
                           "/user\"],\"forward\":[\"x-custom\"],\"refusal\":{\"type\":\"application/problem+json\","
                           "\"body\":\"{\\\"c\\\":{{code}},\\\"m\\\":{{message}},\\\"x\\\":\\\"{{other}}\\\"}\"},"
                           "\"hand_on\":{\"pointer\":\"/result/jwt\"},"
                           "\"usage\":{\"input\":\"/i\"},\"prices\":{\"models\":{}}}";

static void reads(void **state)
{
    (void)state;
    struct policy *policy;
    struct mf_error error;
    struct mf_span token;
    if (policy_create(&policy, MF_SPAN(full), &error) != 0)
        fail_msg("%s", error.text);
    assert_true(mf_span_is(policy_name(policy), "test"));
    assert_true(mf_span_is(policy_base_path(policy), "/client/v4"));
    assert_int_equal(policy_permission(policy, MF_SPAN("a:write")), 1);
    assert_int_equal(policy_permission(policy, MF_SPAN("b")), UINT32_MAX);
    assert_true(mf_span_is(policy_permission_name(policy, 0), "a:read"));
    assert_int_equal(policy_permission_name(policy, UINT32_MAX).length, 0);
    assert_true(mf_span_is(policy_rule_text(policy, 1), "PUT /x/{id}"));
    assert_true(mf_span_is(policy_rule_text(policy, 3), "GET /user"));
    assert_int_equal(policy_rule_text(policy, UINT32_MAX).length, 0);
    assert_true(policy_token(policy, MF_SPAN("authorization"), MF_SPAN("bearer  abc"), &token) &&
                mf_span_is(token, "abc"));
    assert_false(policy_token(policy, MF_SPAN("authorization"), MF_SPAN("Basic abc"), &token));
    assert_false(policy_token(policy, MF_SPAN("authorization"), MF_SPAN("Bearerabc"), &token));
    assert_true(policy_token(policy, MF_SPAN("x-api-key"), MF_SPAN("abc"), &token) && mf_span_is(token, "abc"));
    assert_false(policy_token(policy, MF_SPAN("cookie"), MF_SPAN("abc"), &token));
    assert_true(policy_forwards(policy, MF_SPAN("x-custom")));
    assert_false(policy_forwards(policy, MF_SPAN("x-other")));
    assert_true(mf_span_is(policy_hand_on(policy), "/result/jwt"));
    assert_true(mf_span_is(policy_usage_json(policy), "{\"input\":\"/i\"}"));
    assert_true(mf_span_is(policy_prices_json(policy), "{\"models\":{}}"));
    policy_destroy(policy);
    policy_destroy(NULL);
}

static void flags(void **state)
{
    (void)state;
    struct policy *policy;
    struct http1_path path;
    struct http1_match match;
    struct http1_grant grant = {.permissions = {3}};
    assert_int_equal(policy_create(&policy, MF_SPAN(full), NULL), 0);
    assert_int_equal(http1_path_parse(&path, MF_SPAN("/x/1"), NULL), 0);
    http1_table_match(policy_table(policy), MF_SPAN("PUT"), &path, &grant, &match);
    assert_int_equal(match.verdict, HTTP1_VERDICT_ALLOWED);
    assert_int_equal(match.flags, HTTP1_RULE_AGENT_CREDENTIAL | HTTP1_RULE_SHARED);
    assert_int_equal(http1_path_parse(&path, MF_SPAN("/free"), NULL), 0);
    http1_table_match(policy_table(policy), MF_SPAN("GET"), &path, &grant, &match);
    assert_int_equal(match.flags, HTTP1_RULE_FREE);
    assert_int_equal(http1_path_parse(&path, MF_SPAN("/user"), NULL), 0);
    http1_table_match(policy_table(policy), MF_SPAN("GET"), &path, &grant, &match);
    assert_int_equal(match.verdict, HTTP1_VERDICT_BENIGN);
    policy_destroy(policy);
}

static void refusals(void **state)
{
    (void)state;
    struct policy *policy;
    struct mf_buf body;
    const char *type;
    assert_int_equal(policy_create(&policy, MF_SPAN(full), NULL), 0);
    mf_buf_init(&body, 4096);
    assert_int_equal(policy_refusal(policy, 403, "say \"no\"\n", &body, &type), 0);
    assert_string_equal(type, "application/problem+json");
    assert_string_equal(mf_buf_cstr(&body), "{\"c\":403,\"m\":\"say \\\"no\\\"\\n\",\"x\":\"{{other}}\"}");
    mf_buf_clear(&body);
    assert_int_equal(policy_refusal(NULL, 401, "no", &body, &type), 0);
    assert_string_equal(type, "application/json");
    assert_string_equal(mf_buf_cstr(&body), "{\"error\":{\"code\":401,\"message\":\"no\"}}\n");
    mf_buf_free(&body);
    mf_buf_init(&body, 8); /* too little room */
    assert_int_equal(policy_refusal(policy, 403, "no", &body, &type), -1);
    mf_buf_free(&body);
    policy_destroy(policy);
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"policy\":2}",
                                      "{\"policy\":\"1\"}",
                                      "{\"policy\":1,\"policy\":1}",
                                      "{\"policy\":1,\"name\":1}",
                                      "{\"policy\":1,\"base_path\":\"/a/\"}",
                                      "{\"policy\":1,\"base_path\":\"a\"}",
                                      "{\"policy\":1,\"base_path\":\"/a/../b\"}",
                                      "{\"policy\":1,\"base_path\":\"/%61\"}",
                                      "{\"policy\":1,\"token\":[]}",
                                      "{\"policy\":1,\"token\":[{}]}",
                                      "{\"policy\":1,\"token\":[{\"header\":\"Authorization\"}]}",
                                      "{\"policy\":1,\"token\":[{\"header\":\"a b\"}]}",
                                      "{\"policy\":1,\"token\":{}}",
                                      "{\"policy\":1,\"permissions\":[1]}",
                                      "{\"policy\":1,\"rules\":[[\"GET /\",0]]}",
                                      "{\"policy\":1,\"permissions\":[\"a\"],\"rules\":[[\"GET /\",1]]}",
                                      "{\"policy\":1,\"permissions\":[\"a\"],\"rules\":[[\"GET /\",-1]]}",
                                      "{\"policy\":1,\"permissions\":[\"a\"],\"rules\":[[1,0]]}",
                                      "{\"policy\":1,\"permissions\":[\"a\"],\"rules\":[\"GET /\"]}",
                                      "{\"policy\":1,\"permissions\":[\"a\"],\"rules\":[[\"nonsense\",0]]}",
                                      "{\"policy\":1,\"permissions\":[\"a\"],\"rules\":[[\"GET /x\",0,\"other\"]]}",
                                      "{\"policy\":1,\"benign\":[1]}",
                                      "{\"policy\":1,\"forward\":[\"X\"]}",
                                      "{\"policy\":1,\"forward\":\"x\"}",
                                      "{\"policy\":1,\"refusal\":{}}",
                                      "{\"policy\":1,\"refusal\":{\"type\":\"a\\r\\nb\",\"body\":\"\"}}",
                                      "{\"policy\":1,\"usage\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct policy *policy;
        struct mf_error error;
        if (policy_create(&policy, mf_span(bad[i]), &error) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(error.code, MF_INPUT);
    }
}

static void no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        struct policy *policy;
        struct mf_error error;
        mf_alloc_fail_after(n, 1);
        int result = policy_create(&policy, MF_SPAN(full), &error);
        mf_alloc_fail_after(-1, 0);
        if (result == 0) {
            policy_destroy(policy);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(error.code, MF_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(flags), cmocka_unit_test(refusals),
                                       cmocka_unit_test(refuses), cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
