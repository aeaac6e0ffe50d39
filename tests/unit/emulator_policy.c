/* emulator_policy.c - what a token may do: groups, scopes, denial, resources outside the account, addresses */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emulator/policy.h"

#include <stdio.h>
#include <string.h>

#define ACCOUNT "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"
#define ZONE "0123456789abcdef0123456789abcdef"
#define KV_READ "8b47d2786a534c08a1f94ee8f9f599ef"
#define KV_WRITE "f7f0eda5697f475c90846e879bab8666"
#define DNS_WRITE "4755a26eedb94da69e1066d98aa820be"
#define ALLOW(resource, group) "{\"effect\":\"allow\",\"resources\":{" resource "},\"permission_groups\":[{\"id\":\"" group "\"}]}"
#define DENY(resource, group) "{\"effect\":\"deny\",\"resources\":{" resource "},\"permission_groups\":[{\"id\":\"" group "\"}]}"
#define OWN "\"com.cloudflare.api.account." ACCOUNT "\":\"*\""

static struct emu_identity *identity;

static int set_up(void **state)
{
    (void)state;
    return emu_identity_create(&identity, true, 1, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    emu_identity_destroy(identity);
    return 0;
}

static int normalise(const char *policies, struct mf_buf *out, struct mf_error *error)
{
    struct json_document document;
    assert_int_equal(json_scan(&document, mf_span(policies), &json_limits_default, NULL), 0);
    int done = emu_policy_normalise(&document, 0, ACCOUNT, identity, out, error);
    json_document_free(&document);
    return done;
}

static struct emu_policy compile(const char *policies, const char *condition)
{
    struct emu_policy policy;
    struct mf_buf text;
    struct mf_error error = {0};
    mf_buf_init(&text, 65536);
    if (normalise(policies, &text, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(emu_policy_compile(&policy, mf_buf_view(&text), mf_span(condition), ACCOUNT, &error), 0);
    mf_buf_free(&text);
    return policy;
}

static bool allows(const struct emu_policy *policy, enum emu_access access, const char *zone)
{
    return emu_policy_allows(policy, emu_access_groups(access), zone, NULL);
}

static void test_one_group(void **state)
{
    (void)state;
    struct emu_policy policy = compile("[" ALLOW(OWN, KV_WRITE) "]", "");
    assert_true(allows(&policy, EMU_ACCESS_KV_WRITE, NULL));
    assert_true(allows(&policy, EMU_ACCESS_KV_READ, NULL));
    assert_false(allows(&policy, EMU_ACCESS_D1_READ, NULL));
    assert_false(allows(&policy, EMU_ACCESS_TOKENS_WRITE, NULL));
    emu_policy_free(&policy);
    policy = compile("[" ALLOW(OWN, KV_READ) "]", "");
    assert_true(allows(&policy, EMU_ACCESS_KV_READ, NULL));
    assert_false(allows(&policy, EMU_ACCESS_KV_WRITE, NULL));
    emu_policy_free(&policy);
}

static void test_denial_wins(void **state)
{
    (void)state;
    struct emu_policy policy = compile("[" DENY(OWN, KV_WRITE) "," ALLOW(OWN, KV_WRITE) "," ALLOW(OWN, KV_READ) "]", "");
    assert_false(allows(&policy, EMU_ACCESS_KV_WRITE, NULL));
    assert_true(allows(&policy, EMU_ACCESS_KV_READ, NULL));
    emu_policy_free(&policy);
}

static void test_scopes(void **state)
{
    (void)state;
    struct emu_policy policy = compile("[" ALLOW("\"com.cloudflare.api.account.zone." ZONE "\":\"*\"", DNS_WRITE) "]", "");
    assert_true(allows(&policy, EMU_ACCESS_DNS_WRITE, ZONE));
    assert_false(allows(&policy, EMU_ACCESS_DNS_WRITE, OTHER));
    assert_false(allows(&policy, EMU_ACCESS_DNS_WRITE, NULL));
    emu_policy_free(&policy);
    policy = compile("[" ALLOW("\"com.cloudflare.api.account." ACCOUNT "\":{\"com.cloudflare.api.account.zone.*\":\"*\"}", DNS_WRITE) "]", "");
    assert_true(allows(&policy, EMU_ACCESS_DNS_WRITE, OTHER));
    emu_policy_free(&policy);
    /* an account group on a zone, a zone group on an account: nothing */
    policy = compile("[" ALLOW("\"com.cloudflare.api.account.zone." ZONE "\":\"*\"", KV_WRITE) "," ALLOW(OWN, DNS_WRITE) "]", "");
    assert_false(allows(&policy, EMU_ACCESS_KV_WRITE, ZONE));
    assert_false(allows(&policy, EMU_ACCESS_DNS_WRITE, ZONE));
    emu_policy_free(&policy);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]", "{}", "[1]", "[{}]",
        "[" ALLOW("\"com.cloudflare.api.account." OTHER "\":\"*\"", KV_READ) "]",
        "[" ALLOW("\"com.example\":\"*\"", KV_READ) "]",
        "[" ALLOW("\"com.cloudflare.api.account." ACCOUNT "\":\"x\"", KV_READ) "]",
        "[" ALLOW("\"com.cloudflare.api.account." ACCOUNT "\":{\"com.cloudflare.api.account.zone.*\":{}}", KV_READ) "]",
        "[" ALLOW("", KV_READ) "]",
        "[" ALLOW(OWN, "00000000000000000000000000000000") "]",
        "[{\"effect\":\"permit\",\"resources\":{" OWN "},\"permission_groups\":[{\"id\":\"" KV_READ "\"}]}]",
        "[{\"effect\":\"allow\",\"resources\":{" OWN "},\"permission_groups\":[]}]",
    };
    for (size_t each = 0; each < sizeof(bad) / sizeof(bad[0]); each++) {
        struct mf_buf text;
        struct mf_error error = {0};
        mf_buf_init(&text, 65536);
        if (normalise(bad[each], &text, &error) == 0)
            fail_msg("accepted: %s", bad[each]);
        assert_int_equal(error.code, MF_INPUT);
        mf_buf_free(&text);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *address;
        bool admitted;
    } rows[] = {
        {"", "192.0.2.1", true},
        {"{}", "192.0.2.1", true},
        {"{\"request_ip\":{\"in\":[\"192.0.2.0/24\"]}}", "192.0.2.1", true},
        {"{\"request_ip\":{\"in\":[\"192.0.2.0/24\"]}}", "192.0.3.1", false},
        {"{\"request_ip\":{\"in\":[\"192.0.2.0/25\"]}}", "192.0.2.128", false},
        {"{\"request_ip\":{\"in\":[\"192.0.2.7\"]}}", "192.0.2.7", true},
        {"{\"request_ip\":{\"not_in\":[\"192.0.2.0/24\"]}}", "192.0.2.1", false},
        {"{\"request_ip\":{\"not_in\":[\"192.0.2.0/24\"]}}", "192.0.3.1", true},
        {"{\"request_ip\":{\"in\":[\"0.0.0.0/0\"],\"not_in\":[\"10.0.0.0/8\"]}}", "10.1.2.3", false},
        {"{\"request_ip\":{\"in\":[\"2001:db8::/32\"]}}", "2001:db8::1", true},
        {"{\"request_ip\":{\"in\":[\"2001:db8::/32\"]}}", "192.0.2.1", false},
        {"{\"request.ip\":{\"in\":[\"127.0.0.1/32\"]}}", "127.0.0.1", true},
        {"{\"request_ip\":{\"in\":[\"127.0.0.1/32\"]}}", "unix", false},
    };
    for (size_t each = 0; each < sizeof(rows) / sizeof(rows[0]); each++) {
        struct emu_policy policy = compile("[" ALLOW(OWN, KV_READ) "]", rows[each].condition);
        if (emu_policy_admits(&policy, rows[each].address) != rows[each].admitted)
            fail_msg("%s with %s", rows[each].condition, rows[each].address);
        emu_policy_free(&policy);
    }
    struct emu_policy policy;
    assert_int_equal(emu_policy_compile(&policy, MF_SPAN(""), MF_SPAN("{\"request_ip\":{\"in\":[\"192.0.2.0/33\"]}}"), ACCOUNT, NULL), -1);
    assert_int_equal(emu_policy_compile(&policy, MF_SPAN(""), MF_SPAN("{\"request_ip\":{\"in\":[\"here\"]}}"), ACCOUNT, NULL), -1);
}

/* Every group can be named, ids are well formed, and no two are the same. */
static void test_table(void **state)
{
    (void)state;
    for (unsigned each = 0; each < EMU_GROUP_COUNT; each++) {
        const char *id = emu_group_id((enum emu_group)each);
        uint8_t bytes[16];
        assert_int_equal(mf_unhex(mf_span(id), bytes, sizeof(bytes)), 0);
        assert_int_equal(emu_group_find(mf_span(id)), each);
    }
    assert_int_equal(emu_group_find(MF_SPAN("nothing")), EMU_GROUP_COUNT);
}

static void test_credentials(void **state)
{
    (void)state;
    struct emu_identity *marked;
    char value[EMU_VALUE_BYTES], other[EMU_VALUE_BYTES];
    assert_int_equal(emu_identity_create(&marked, false, 0, "CANARY", NULL), 0);
    emu_credential(marked, "cfat_", value);
    emu_credential(marked, "cfat_", other);
    assert_memory_equal(value, "cfat_CANARY", 11);
    assert_int_equal(strlen(value), 5 + 40 + 8);
    assert_string_not_equal(value, other);
    emu_identity_destroy(marked);
    assert_int_equal(emu_identity_create(&marked, false, 0, "not a mark", NULL), -1);
    assert_int_equal(emu_identity_create(&marked, false, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_group), cmocka_unit_test(test_denial_wins), cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_addresses),   cmocka_unit_test(test_table),
        cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
