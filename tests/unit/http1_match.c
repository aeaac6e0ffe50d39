/*
 * http1_match.c - which requests a lease may make: every verdict, every kind of segment, and that nothing but the rules decides
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http1/match.h"

#include <stdio.h>
#include <string.h>

enum permission { SCRIPTS_READ, SCRIPTS_WRITE, KV_READ, KV_WRITE, R2_READ, ROOT, FAR = 255 };

static const struct {
    const char *text;
    uint32_t permission, flags;
} table_of_rules[] = {
    {"GET /accounts/{account_id}/workers/scripts", SCRIPTS_READ, 0},
    {"GET /accounts/{account_id}/workers/scripts/{script}", SCRIPTS_READ, 0},
    {"GET /accounts/{account_id}/workers/subdomain", SCRIPTS_READ, HTTP1_RULE_SHARED},
    {"GET /accounts/{account_id}/workers/scripts", SCRIPTS_WRITE, 0},
    {"GET /accounts/{account_id}/workers/scripts/{script}", SCRIPTS_WRITE, 0},
    {"PUT /accounts/{account_id}/workers/scripts/{script}", SCRIPTS_WRITE, 0},
    {"PUT /accounts/{account_id}/workers/scripts/{script}/versions/*", SCRIPTS_WRITE, 0},
    {"GET /accounts/{account_id}/workers/subdomain", SCRIPTS_WRITE, HTTP1_RULE_SHARED},
    {"POST /accounts/{account_id}/workers/assets/upload", SCRIPTS_WRITE, HTTP1_RULE_AGENT_CREDENTIAL | HTTP1_RULE_SHARED},
    {"GET /accounts/{account_id}/kv/{namespace}/values/{key:opaque}", KV_READ, 0},
    {"PUT /accounts/{account_id}/kv/{namespace}/values/{key:opaque}", KV_WRITE, 0},
    {"DELETE /accounts/{account_id}/kv/{namespace}", KV_WRITE, 0},
    {"PATCH /accounts/{account_id}/kv/{namespace}", KV_WRITE, 0},
    {"GET /r2/{bucket}/**:opaque", R2_READ, 0},
    {"GET /plain/**", R2_READ, 0},
    {"GET /", ROOT, 0},
    {"POST /v1/users", FAR, 0},
    {"GET /user", 0, HTTP1_RULE_BENIGN},
    {"GET /accounts/{account_id}/tokens/verify", 9999, HTTP1_RULE_BENIGN},
    {"GET /accounts/{account_id}/workers/scripts", 0, HTTP1_RULE_BENIGN},
};
#define RULES (sizeof table_of_rules / sizeof *table_of_rules)

static struct http1_path path;
static struct http1_match match;

static const struct http1_binding own[] = {{{"account_id", 10}, {"acc1", 4}}};

static struct http1_table *table_new(bool reversed)
{
    struct http1_rule rules[RULES];
    struct http1_table *table;
    for (size_t i = 0; i < RULES; i++) {
        size_t from = reversed ? RULES - 1 - i : i;
        rules[i] = (struct http1_rule){mf_span(table_of_rules[from].text), table_of_rules[from].permission, table_of_rules[from].flags};
    }
    assert_int_equal(http1_table_create(&table, rules, RULES, NULL), 0);
    return table;
}

static void grant_permission(struct http1_grant *grant, uint32_t permission)
{
    grant->permissions[permission / 64] |= UINT64_C(1) << permission % 64;
}

static struct http1_grant grant_of(const char *permissions) /* "01" */
{
    struct http1_grant grant = {.bindings = own, .binding_count = 1};
    for (; *permissions != '\0'; permissions++)
        grant_permission(&grant, *permissions == 'F' ? (uint32_t)FAR : (uint32_t)(*permissions - '0'));
    return grant;
}

static enum http1_verdict decide(const struct http1_table *table, const struct http1_grant *grant, const char *request)
{
    const char *space = strchr(request, ' ');
    if (http1_path_parse(&path, mf_span(space + 1), NULL) != 0)
        fail_msg("%s cannot be parsed", request);
    memset(&match, 0xa5, sizeof match);
    http1_table_match(table, (struct mf_span){request, (size_t)(space - request)}, &path, grant, &match);
    if (match.verdict == HTTP1_VERDICT_ALLOWED)
        assert_int_equal(http1_path_check(&path, match.opaque, NULL), 0);
    else
        assert_int_equal(match.opaque, 0);
    return match.verdict;
}

static const struct {
    const char *permissions, *request;
    enum http1_verdict verdict;
} cases[] = {
#define V(name) HTTP1_VERDICT_##name
    /* granted, not granted, nothing granted */
    {"1", "PUT /accounts/acc1/workers/scripts/web", V(ALLOWED)},
    {"0", "PUT /accounts/acc1/workers/scripts/web", V(NOT_GRANTED)},
    {"", "PUT /accounts/acc1/workers/scripts/web", V(NOT_GRANTED)},
    {"0", "GET /accounts/acc1/workers/scripts/web", V(ALLOWED)},
    {"F", "POST /v1/users", V(ALLOWED)},
    {"012345", "POST /v1/users", V(NOT_GRANTED)},
    /* methods */
    {"0", "HEAD /accounts/acc1/workers/scripts/web", V(ALLOWED)},
    {"2", "HEAD /accounts/acc1/workers/scripts/web", V(NOT_GRANTED)},
    {"01", "OPTIONS /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"01", "put /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"01", "Get /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"01", "GETX /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"01", "CONNECT /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"01", " /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"1", "DELETE /accounts/acc1/workers/scripts/web", V(NO_RULE)},
    {"3", "DELETE /accounts/acc1/kv/ns", V(ALLOWED)},
    {"3", "PATCH /accounts/acc1/kv/ns", V(ALLOWED)},
    {"3", "POST /accounts/acc1/kv/ns", V(NO_RULE)},
    /* segments are whole, and as many as the rule has */
    {"F", "POST /v1/users2", V(NO_RULE)},
    {"F", "POST /v1/user", V(NO_RULE)},
    {"F", "POST /v1/users/x", V(NO_RULE)},
    {"F", "POST /v1", V(NO_RULE)},
    {"F", "POST /v1/Users", V(NO_RULE)},
    {"F", "POST /V1/users", V(NO_RULE)},
    {"1", "PUT /accounts/acc1/workers/scripts/web/versions/v1", V(ALLOWED)},
    {"1", "PUT /accounts/acc1/workers/scripts/web/versions/v1/x", V(NO_RULE)},
    {"1", "PUT /accounts/acc1/workers/scripts/web/versions", V(NO_RULE)},
    {"1", "PUT /accounts/acc1/workers/scripts/a/b", V(NO_RULE)},
    /* the rest is at least one */
    {"4", "GET /plain/a", V(ALLOWED)},
    {"4", "GET /plain/a/b/c/d", V(ALLOWED)},
    {"4", "GET /plain", V(NO_RULE)},
    {"5", "GET /", V(ALLOWED)},
    {"4", "GET /", V(NOT_GRANTED)},
    /* escapes of what needs none are the same path; others are not */
    {"F", "POST /%761/users", V(ALLOWED)},
    {"F", "POST /v1/%75sers", V(ALLOWED)},
    {"F", "POST /v1/user%73%20", V(NO_RULE)},
    {"0", "GET /accounts/acc1/workers/scripts/a%20b", V(ALLOWED)},
    {"0", "GET /accounts/acc1/workers/scripts/a:b", V(ALLOWED)},
    /* what two servers may read differently */
    {"1", "PUT /accounts/acc1/workers/scripts/../web", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/..", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/.", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/%2e%2e", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/%2E./x", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1//workers/scripts/web", V(BAD_PATH)},
    {"1", "PUT //accounts/acc1/workers/scripts/web", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/web/", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/a%2fb", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/a%5cb", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/%252e", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/100%25", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/%c0%ae", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/%00", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/a%0d%0ab", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/a;x", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1;x/workers/scripts/a", V(BAD_PATH)},
    {"1", "PUT /accounts/acc1/workers/scripts/%C3%A4", V(BAD_PATH)},
    {"", "BREW /a;x", V(BAD_PATH)},
    {"4", "GET /plain/a/%2e%2e/b", V(BAD_PATH)},
    {"4", "GET /plain/a%2fb", V(BAD_PATH)},
    /* opaque names */
    {"2", "GET /accounts/acc1/kv/ns/values/a%2Fb%20c", V(ALLOWED)},
    {"2", "GET /accounts/acc1/kv/ns/values/%C3%A4;v=1%5C", V(ALLOWED)},
    {"2", "GET /accounts/acc1/kv/ns/values/100%25", V(ALLOWED)},
    {"2", "GET /accounts/acc1/kv/ns/values/a%252Fb", V(BAD_PATH)},
    {"2", "GET /accounts/acc1/kv/ns/values/..%2Fb", V(BAD_PATH)},
    {"2", "GET /accounts/acc1/kv/ns/values/a%2F..%2Fb", V(BAD_PATH)},
    {"2", "GET /accounts/acc1/kv/ns/values/a%00", V(BAD_PATH)},
    {"2", "GET /accounts/acc1/kv/ns/values/a/b", V(NO_RULE)},
    {"2", "GET /accounts/acc1/kv/n%2Fs/values/a", V(BAD_PATH)},
    {"2", "PUT /accounts/acc1/kv/ns/values/a%2Fb", V(NOT_GRANTED)},
    {"2", "GET /accounts/acc2/kv/ns/values/a%2Fb", V(FOREIGN_ACCOUNT)},
    {"4", "GET /r2/b/objects/a/%C3%A4/c%2Fd", V(ALLOWED)},
    {"4", "GET /r2/b/objects/a//c", V(BAD_PATH)},
    {"4", "GET /r2/b%2Fc/objects", V(BAD_PATH)},
    /* another account */
    {"1", "PUT /accounts/acc2/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"", "PUT /accounts/acc2/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"1", "PUT /accounts/ACC1/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"1", "PUT /accounts/acc11/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"1", "PUT /accounts/acc/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"1", "PUT /accounts/%61cc1/workers/scripts/web", V(ALLOWED)},
    {"1", "PUT /accounts/acc1%20/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"1", "PUT /accounts/*/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"1", "PUT /accounts/%7Baccount_id%7D/workers/scripts/web", V(FOREIGN_ACCOUNT)},
    {"0", "GET /accounts/acc2/workers/scripts", V(FOREIGN_ACCOUNT)},
    {"0", "GET /accounts/acc2/nothing", V(NO_RULE)},
    /* identity probes: never a violation, and never in the way of what is granted */
    {"", "GET /user", V(BENIGN)},
    {"", "HEAD /user", V(BENIGN)},
    {"", "POST /user", V(NO_RULE)},
    {"0", "GET /accounts/acc1/tokens/verify", V(BENIGN)},
    {"0", "GET /accounts/acc2/tokens/verify", V(FOREIGN_ACCOUNT)},
    {"0", "GET /accounts/acc1/workers/scripts", V(ALLOWED)},
    {"2", "GET /accounts/acc1/workers/scripts", V(BENIGN)},
#undef V
};

/* The verdict is the same whatever the order of the rules. */
static void test_table(void **state)
{
    (void)state;
    for (int reversed = 0; reversed < 2; reversed++) {
        struct http1_table *table = table_new(reversed != 0);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct http1_grant grant = grant_of(cases[i].permissions);
            enum http1_verdict verdict = decide(table, &grant, cases[i].request);
            if (verdict != cases[i].verdict)
                fail_msg("[%s] %s: %s, not %s", cases[i].permissions, cases[i].request, http1_verdict_name(verdict), http1_verdict_name(cases[i].verdict));
        }
        http1_table_destroy(table);
    }
}

/* An empty grant allows nothing that any rule has. */
static void test_nothing_granted(void **state)
{
    (void)state;
    struct http1_table *table = table_new(false);
    struct http1_grant grant = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_not_equal(decide(table, &grant, cases[i].request), HTTP1_VERDICT_ALLOWED);
    http1_table_destroy(table);
    assert_int_equal(http1_table_create(&table, NULL, 0, NULL), 0);
    memset(grant.permissions, 0xff, sizeof grant.permissions);
    assert_int_equal(decide(table, &grant, "GET /"), HTTP1_VERDICT_NO_RULE);
    assert_int_equal(decide(table, &grant, "GET /a;b"), HTTP1_VERDICT_BAD_PATH);
    http1_table_destroy(table);
}

/* What a refusal names: the first permission of the table that has the route. */
static void test_what_was_needed(void **state)
{
    (void)state;
    struct http1_table *table = table_new(false);
    struct http1_grant grant = grant_of("2");
    assert_int_equal(decide(table, &grant, "GET /accounts/acc1/workers/scripts/web"), HTTP1_VERDICT_NOT_GRANTED);
    assert_int_equal(match.rule, 1);
    assert_int_equal(match.permission, SCRIPTS_READ);
    assert_int_equal(decide(table, &grant, "POST /accounts/acc1/workers/assets/upload"), HTTP1_VERDICT_NOT_GRANTED);
    assert_int_equal(match.permission, SCRIPTS_WRITE);
    assert_int_equal(match.flags, HTTP1_RULE_AGENT_CREDENTIAL | HTTP1_RULE_SHARED);
    assert_int_equal(decide(table, &grant, "GET /user"), HTTP1_VERDICT_BENIGN);
    assert_int_equal(match.rule, 17);
    assert_int_equal(match.permission, UINT32_MAX);
    assert_int_equal(decide(table, &grant, "GET /nowhere"), HTTP1_VERDICT_NO_RULE);
    assert_int_equal(match.rule, UINT32_MAX);
    assert_int_equal(match.permission, UINT32_MAX);
    assert_int_equal(decide(table, &grant, "GET /user/.."), HTTP1_VERDICT_BAD_PATH);
    assert_int_equal(match.rule, UINT32_MAX);
    grant = grant_of("1");
    assert_int_equal(decide(table, &grant, "GET /accounts/acc1/workers/scripts/web"), HTTP1_VERDICT_ALLOWED);
    assert_int_equal(match.rule, 4);
    assert_int_equal(match.permission, SCRIPTS_WRITE);
    grant = grant_of("2");
    assert_int_equal(decide(table, &grant, "GET /accounts/acc1/kv/ns/values/a%2Fb"), HTTP1_VERDICT_ALLOWED);
    assert_int_equal(match.opaque, UINT64_C(1) << 5);
    http1_table_destroy(table);
}

#define N(permission, name, value) {permission, {name, sizeof name - 1}, {value, sizeof value - 1}}

static void test_narrowing(void **state)
{
    (void)state;
    static const struct http1_narrowing one[] = {N(SCRIPTS_WRITE, "script", "svc a")},
                                        two[] = {N(SCRIPTS_WRITE, "script", "svc-a"), N(SCRIPTS_WRITE, "script", "svc-b")},
                                        keys[] = {N(KV_READ, "namespace", "ns"), N(KV_READ, "key", "a/b"), N(KV_READ, "key", "c")},
                                        odd[] = {N(SCRIPTS_WRITE, "nothing", "x")}, empty[] = {N(SCRIPTS_WRITE, "script", "")},
                                        account[] = {N(SCRIPTS_WRITE, "account_id", "acc2")};
    static const struct {
        const struct http1_narrowing *narrowings;
        uint32_t count;
        const char *permissions, *request;
        enum http1_verdict verdict;
    } narrowed[] = {
#define V(name) HTTP1_VERDICT_##name
        {one, 1, "1", "PUT /accounts/acc1/workers/scripts/svc%20a", V(ALLOWED)},
        {one, 1, "1", "PUT /accounts/acc1/workers/scripts/svc%20a/versions/1", V(ALLOWED)},
        {one, 1, "1", "PUT /accounts/acc1/workers/scripts/svc%20b", V(NARROWED)},
        {one, 1, "1", "PUT /accounts/acc1/workers/scripts/svc", V(NARROWED)},
        {one, 1, "1", "PUT /accounts/acc1/workers/scripts/svc%20a%20", V(NARROWED)},
        {one, 1, "1", "PUT /accounts/acc1/workers/scripts/Svc%20a", V(NARROWED)},
        {one, 1, "1", "PUT /accounts/acc2/workers/scripts/svc%20a", V(FOREIGN_ACCOUNT)},
        {one, 1, "0", "PUT /accounts/acc1/workers/scripts/svc%20a", V(NOT_GRANTED)},
        /* without the name: refused, unless the rule is about nothing that has one; a probe stays one */
        {one, 1, "1", "GET /accounts/acc1/workers/scripts", V(BENIGN)},
        {one, 1, "1", "GET /accounts/acc1/workers/subdomain", V(ALLOWED)},
        {one, 1, "1", "POST /accounts/acc1/workers/assets/upload", V(ALLOWED)},
        /* another permission is not narrowed by it */
        {one, 1, "01", "GET /accounts/acc1/workers/scripts", V(ALLOWED)},
        {one, 1, "01", "GET /accounts/acc1/workers/scripts/other", V(ALLOWED)},
        {one, 1, "01", "PUT /accounts/acc1/workers/scripts/other", V(NARROWED)},
        /* any of several values */
        {two, 2, "1", "PUT /accounts/acc1/workers/scripts/svc-a", V(ALLOWED)},
        {two, 2, "1", "PUT /accounts/acc1/workers/scripts/svc-b", V(ALLOWED)},
        {two, 2, "1", "PUT /accounts/acc1/workers/scripts/svc-c", V(NARROWED)},
        /* all of several names; an opaque one is compared decoded */
        {keys, 3, "2", "GET /accounts/acc1/kv/ns/values/a%2Fb", V(ALLOWED)},
        {keys, 3, "2", "GET /accounts/acc1/kv/ns/values/c", V(ALLOWED)},
        {keys, 3, "2", "GET /accounts/acc1/kv/ns/values/d", V(NARROWED)},
        {keys, 3, "2", "GET /accounts/acc1/kv/other/values/c", V(NARROWED)},
        /* what no rule has, or no segment can be, opens nothing; an own id can only be narrowed away */
        {odd, 1, "1", "PUT /accounts/acc1/workers/scripts/x", V(NARROWED)},
        {odd, 1, "1", "GET /accounts/acc1/workers/subdomain", V(ALLOWED)},
        {empty, 1, "1", "PUT /accounts/acc1/workers/scripts/x", V(NARROWED)},
        {account, 1, "1", "PUT /accounts/acc1/workers/scripts/x", V(NARROWED)},
        {account, 1, "1", "PUT /accounts/acc2/workers/scripts/x", V(FOREIGN_ACCOUNT)},
#undef V
    };
    struct http1_table *table = table_new(false);
    for (size_t i = 0; i < sizeof narrowed / sizeof *narrowed; i++) {
        struct http1_grant grant = grant_of(narrowed[i].permissions);
        grant.narrowings = narrowed[i].narrowings;
        grant.narrowing_count = narrowed[i].count;
        enum http1_verdict verdict = decide(table, &grant, narrowed[i].request);
        if (verdict != narrowed[i].verdict)
            fail_msg("%zu [%s] %s: %s", i, narrowed[i].permissions, narrowed[i].request, http1_verdict_name(verdict));
    }
    http1_table_destroy(table);
}

/* Specific before general, and the account's credential last: whatever the order. */
static void test_most_specific(void **state)
{
    (void)state;
    static const struct http1_rule rules[] = {
        {{"POST /**", 8}, 0, 0},
        {{"POST /a/*", 9}, 1, 0},
        {{"POST /a/b", 9}, 2, HTTP1_RULE_AGENT_CREDENTIAL},
        {{"POST /a/{x}/c", 13}, 3, 0},
        {{"POST /a/{y}/c", 13}, 4, HTTP1_RULE_AGENT_CREDENTIAL},
    };
    static const struct {
        const char *request;
        uint32_t permission;
    } wanted[] = {{"POST /a/b", 2}, {"POST /a/c", 1}, {"POST /a/b/c", 4}, {"POST /b", 0}, {"POST /a/b/d", 0}, {"POST /a", 0}};
    for (int reversed = 0; reversed < 2; reversed++) {
        struct http1_rule given[5];
        struct http1_table *table;
        struct http1_grant grant = grant_of("01234");
        for (int i = 0; i < 5; i++)
            given[i] = rules[reversed ? 4 - i : i];
        assert_int_equal(http1_table_create(&table, given, 5, NULL), 0);
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            assert_int_equal(decide(table, &grant, wanted[i].request), HTTP1_VERDICT_ALLOWED);
            assert_int_equal(match.permission, wanted[i].permission);
        }
        grant = grant_of("0"); /* and the general one is found behind what is not granted */
        assert_int_equal(decide(table, &grant, "POST /a/b/c"), HTTP1_VERDICT_ALLOWED);
        assert_int_equal(match.permission, 0);
        http1_table_destroy(table);
    }
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "GET",        "GET ",          "GET a",         "get /a",        "HEAD /a",       "OPTIONS /a",   "GET  /a",   "GET /a b",
        "GET /a/",   "GET //a",    "GET /./a",      "GET /a/..",     "GET /a%20b",    "GET /a?b",      "GET /{}",      "GET /{A}",  "GET /{a",
        "GET /a}",   "GET /{a:b}", "GET /{:opaque}", "GET /**/a",    "GET /a*",       "GET /***",      "GET /*:opaque", "GET /**:x", "GET /a\xc3\xa4",
        "GET /{a}{b}", "GET /{a:opaque:opaque}", " /a", "GET\t/a",
    };
    static const char *const good[] = {"GET /", "GET /*", "GET /**", "GET /**:opaque", "POST /a/{b-c_1}/*/{d:opaque}/**", "DELETE /a.b~c"};
    struct http1_table *table;
    struct mf_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http1_rule rule = {mf_span(bad[i]), 0, 0};
        if (http1_table_create(&table, &rule, 1, &error) != -1 || error.code != MF_INPUT || table != NULL)
            fail_msg("'%s' was taken", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct http1_rule rule = {mf_span(good[i]), 255, 0};
        if (http1_table_create(&table, &rule, 1, &error) != 0)
            fail_msg("'%s': %s", good[i], error.text);
        http1_table_destroy(table);
    }
    struct http1_rule rule = {MF_SPAN("GET /a"), HTTP1_PERMISSIONS_MAX, 0};
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), -1);
    rule.flags = HTTP1_RULE_BENIGN;
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), 0);
    http1_table_destroy(table);
}

static void test_limits(void **state)
{
    (void)state;
    static char text[HTTP1_RULES_MAX + 1][24];
    static struct http1_rule rules[HTTP1_RULES_MAX + 1];
    char deep[8 + 2 * (HTTP1_SEGMENTS_MAX + 1)] = "GET ";
    struct http1_table *table;
    struct mf_error error;
    for (uint32_t i = 0; i <= HTTP1_RULES_MAX; i++) {
        snprintf(text[i], sizeof text[i], "GET /r%u/{x}", i);
        rules[i] = (struct http1_rule){mf_span(text[i]), i % HTTP1_PERMISSIONS_MAX, 0};
    }
    assert_int_equal(http1_table_create(&table, rules, HTTP1_RULES_MAX + 1, &error), -1);
    assert_int_equal(error.code, MF_LIMIT);
    assert_int_equal(http1_table_create(&table, rules, HTTP1_RULES_MAX, &error), 0);
    struct http1_grant grant = grant_of("");
    grant_permission(&grant, 4000 % HTTP1_PERMISSIONS_MAX);
    assert_int_equal(decide(table, &grant, "GET /r4000/a"), HTTP1_VERDICT_ALLOWED);
    assert_int_equal(match.rule, 4000);
    assert_int_equal(decide(table, &grant, "GET /r4001/a"), HTTP1_VERDICT_NOT_GRANTED);
    assert_int_equal(match.rule, 4001);
    assert_int_equal(decide(table, &grant, "GET /r4096/a"), HTTP1_VERDICT_NO_RULE);
    http1_table_destroy(table);
    for (uint32_t i = 0; i < HTTP1_SEGMENTS_MAX; i++)
        strcat(deep, "/a");
    struct http1_rule rule = {mf_span(deep), 0, 0};
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), 0);
    grant = grant_of("0");
    assert_int_equal(decide(table, &grant, deep), HTTP1_VERDICT_ALLOWED);
    http1_table_destroy(table);
    strcat(deep, "/a");
    rule.text = mf_span(deep);
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), -1);
    static char longest[HTTP1_RULE_BYTES_MAX + 2] = "GET /";
    memset(longest + 5, 'a', HTTP1_RULE_BYTES_MAX - 5);
    rule.text = mf_span(longest);
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), 0);
    http1_table_destroy(table);
    longest[HTTP1_RULE_BYTES_MAX] = 'a';
    rule.text = mf_span(longest);
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), -1);
}

/* All bits of the path's last segments, as the opaque rest has them. */
static void test_deepest_opaque(void **state)
{
    (void)state;
    char text[8 + 6 * HTTP1_SEGMENTS_MAX] = "GET ";
    struct http1_rule rule = {MF_SPAN("GET /a/**:opaque"), 0, 0};
    struct http1_table *table;
    struct http1_grant grant = grant_of("0");
    strcat(text, "/a");
    for (uint32_t i = 1; i < HTTP1_SEGMENTS_MAX; i++)
        strcat(text, "/b%2F");
    assert_int_equal(http1_table_create(&table, &rule, 1, NULL), 0);
    assert_int_equal(decide(table, &grant, text), HTTP1_VERDICT_ALLOWED);
    assert_true(match.opaque == (UINT64_MAX & ~UINT64_C(1)));
    http1_table_destroy(table);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(http1_verdict_name(HTTP1_VERDICT_FOREIGN_ACCOUNT), "foreign_account");
    assert_string_equal(http1_verdict_name(HTTP1_VERDICT_BAD_PATH), "bad_path");
    assert_int_equal(http1_verdict_status(HTTP1_VERDICT_BENIGN), 403);
    assert_int_equal(http1_verdict_status(HTTP1_VERDICT_BAD_PATH), 400);
    assert_int_equal(http1_rule_method(MF_SPAN("GET")), 0);
    assert_int_equal(http1_rule_method(MF_SPAN("HEAD")), UINT32_MAX);
}

static void test_without_memory(void **state)
{
    (void)state;
    uint64_t before = mf_alloc_count();
    http1_table_destroy(table_new(false));
    int64_t needed = (int64_t)(mf_alloc_count() - before);
    struct http1_rule rule = {MF_SPAN("GET /a"), 0, 0};
    for (int64_t n = 0; n < needed; n++) {
        struct http1_table *table;
        struct mf_error error = {0};
        mf_alloc_fail_after(n, 1);
        int result = http1_table_create(&table, &rule, 1, &error);
        mf_alloc_fail_after(-1, 0);
        if (result == 0 || error.code != MF_MEMORY || table != NULL)
            fail_msg("allocation %lld", (long long)n);
    }
    http1_table_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),          cmocka_unit_test(test_nothing_granted), cmocka_unit_test(test_what_was_needed),
        cmocka_unit_test(test_narrowing),      cmocka_unit_test(test_most_specific),   cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_deepest_opaque),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
