/*
 * recipe_policy.c - unit tests of recipe/policy.c, inject.c and the shipped rules: what the gateway is told, row by row
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "http1/match.h"
#include "json/scan.h"
#include "recipe/recipe.h"

#include <stdio.h>
#include <string.h>

#define POLICY_BYTES_MAX (1u << 20)

static const char *const cloudflare[] = {"emulator", "cloudflare-temporary", "cloudflare-tenant", "cloudflare-token"};

static struct recipe *load(struct mf_span text)
{
    struct recipe *recipe;
    struct mf_error error;
    if (recipe_load(&recipe, text, "test", NULL, &error) != 0)
        fail_msg("%s", error.text);
    return recipe;
}

static struct recipe *shipped(const char *name)
{
    return load(recipe_shipped(name));
}

/* --- the policy as the gateway reads it --- */

struct policy {
    struct mf_buf text;
    struct json_document json;
    struct http1_table *table;
    uint32_t permission_count;
};

static void add_rules(const struct policy *policy, struct http1_rule *rules, uint32_t *count)
{
    uint32_t list = json_member(&policy->json, 0, "rules"), benign = json_member(&policy->json, 0, "benign");
    for (uint32_t rule = json_first(&policy->json, list); rule != JSON_NONE; rule = json_next(&policy->json, list, rule)) {
        int64_t permission;
        struct http1_rule *out = &rules[(*count)++];
        assert_int_equal(json_plain(&policy->json, json_element(&policy->json, rule, 0), &out->text), 0);
        assert_int_equal(json_int(&policy->json, json_element(&policy->json, rule, 1), &permission), 0);
        assert_true(permission >= 0 && permission < policy->permission_count);
        out->permission = (uint32_t)permission;
        for (uint32_t i = 2; i < policy->json.nodes[rule].children; i++) {
            uint32_t word = json_element(&policy->json, rule, i);
            bool agent = json_is(&policy->json, word, "agent"), shared = json_is(&policy->json, word, "shared");
            assert_true(agent || shared || json_is(&policy->json, word, "free"));
            out->flags |= agent ? HTTP1_RULE_AGENT_CREDENTIAL : shared ? HTTP1_RULE_SHARED : HTTP1_RULE_FREE;
        }
    }
    for (uint32_t rule = json_first(&policy->json, benign); rule != JSON_NONE; rule = json_next(&policy->json, benign, rule)) {
        rules[*count].flags = HTTP1_RULE_BENIGN;
        assert_int_equal(json_plain(&policy->json, rule, &rules[(*count)++].text), 0);
    }
}

static void policy_open(struct policy *policy, const struct recipe *recipe)
{
    static struct http1_rule rules[HTTP1_RULES_MAX];
    uint32_t count = 0;
    memset(rules, 0, sizeof rules);
    mf_buf_init(&policy->text, POLICY_BYTES_MAX);
    assert_int_equal(recipe_policy(recipe, &policy->text, NULL), 0);
    assert_int_equal(json_scan(&policy->json, mf_buf_view(&policy->text), &json_limits_default, NULL), 0);
    policy->permission_count = policy->json.nodes[json_member(&policy->json, 0, "permissions")].children;
    add_rules(policy, rules, &count);
    assert_int_equal(http1_table_create(&policy->table, rules, count, NULL), 0);
}

static void policy_close(struct policy *policy)
{
    http1_table_destroy(policy->table);
    json_document_free(&policy->json);
    mf_buf_free(&policy->text);
}

static bool policy_has(const struct policy *policy, const char *pointer, const char *raw)
{
    uint32_t node = json_pointer(&policy->json, mf_span(pointer));
    if (node != JSON_NONE && mf_span_is(json_raw(&policy->json, node), raw))
        return true;
    print_message("%s is %.*s\n", pointer, node == JSON_NONE ? 4 : (int)json_raw(&policy->json, node).length, node == JSON_NONE ? "none" : json_raw(&policy->json, node).data);
    return false;
}

static void grant_permission(struct http1_grant *grant, const struct policy *policy, struct mf_span name)
{
    uint32_t list = json_member(&policy->json, 0, "permissions"), number = 0;
    for (uint32_t item = json_first(&policy->json, list); item != JSON_NONE; item = json_next(&policy->json, list, item), number++) {
        struct mf_span text;
        assert_int_equal(json_plain(&policy->json, item, &text), 0);
        if (mf_span_equal(text, name)) {
            grant->permissions[number / 64] |= UINT64_C(1) << number % 64;
            return;
        }
    }
    fail_msg("no permission %.*s", MF_SPAN_ARGS(name));
}

/* `permissions`: names with a space between, "*" for all. The request's first {a} stands for the own account. */
static struct http1_match decide(const struct policy *policy, const char *permissions, const char *request)
{
    static struct http1_path path;
    struct http1_binding own = {MF_SPAN("account_id"), MF_SPAN("acc1")};
    struct http1_grant grant = {.bindings = &own, .binding_count = 1};
    struct http1_match match;
    char text[300];
    const char *account = strstr(request, "{a}"), *space = strchr(request, ' ');
    snprintf(text, sizeof text, "%.*s%s%s", account == NULL ? (int)strlen(space + 1) : (int)(account - space - 1), space + 1,
             account == NULL ? "" : "acc1", account == NULL ? "" : account + 3);
    if (strcmp(permissions, "*") == 0)
        memset(grant.permissions, 0xff, sizeof grant.permissions);
    for (const char *at = permissions; *at != '\0' && *at != '*'; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        grant_permission(&grant, policy, (struct mf_span){at, length});
        at += length;
    }
    assert_int_equal(http1_path_parse(&path, mf_span(text), NULL), 0);
    http1_table_match(policy->table, (struct mf_span){request, (size_t)(space - request)}, &path, &grant, &match);
    return match;
}

/* --- the table of permissions --- */

/* Rows of the provider's own table: what opens a route, each name alone; what does not. */
static const struct {
    int row;
    const char *requests; /* with a newline between */
    const char *open, *closed;
} rows[] = {
#define S "/accounts/{a}/workers/scripts/s"
    {1, "GET /accounts/{a}/workers/scripts\nGET /accounts/{a}/workers/scripts-search", "workers_tail:read workers_scripts:read workers_scripts:write", "queues:write"},
    {2, "GET " S "\nGET " S "/content\nGET " S "/settings\nGET " S "/script-settings", "workers_tail:read workers_scripts:read workers_scripts:write", "d1:write"},
    {3, "PUT " S, "workers_scripts:write", "workers_scripts:read workers_tail:read"},
    {4, "PUT " S "/content", "workers_scripts:write", "workers_scripts:read"},
    {5, "DELETE " S, "workers_scripts:write", "workers_scripts:read"},
    {6, "PATCH " S "/settings\nPATCH " S "/script-settings", "workers_scripts:write", "workers_scripts:read"},
    {7, "GET /accounts/{a}/workers/services/s\nGET /accounts/{a}/workers/services/s/environments/e", "workers_scripts:read workers_scripts:write", "workers_tail:read"},
    {8, "DELETE /accounts/{a}/workers/services/s", "workers_scripts:write", "workers_scripts:read"},
    {9, "GET /accounts/{a}/workers/workers\nGET /accounts/{a}/workers/workers/s", "workers_tail:read workers_scripts:read workers_scripts:write", "workers_kv:read"},
    {10, "POST /accounts/{a}/workers/workers\nPUT /accounts/{a}/workers/workers/s\nPATCH /accounts/{a}/workers/workers/s\nDELETE /accounts/{a}/workers/workers/s",
     "workers_scripts:write", "workers_scripts:read"},
    {11, "GET " S "/versions\nGET " S "/versions/v", "workers_tail:read workers_scripts:read workers_scripts:write", "r2:read"},
    {12, "POST " S "/versions", "workers_scripts:write", "workers_scripts:read"},
    {13, "GET " S "/deployments\nGET " S "/deployments/d", "workers_tail:read workers_scripts:read workers_scripts:write", "r2:read"},
    {14, "POST " S "/deployments", "workers_scripts:write", "workers_scripts:read"},
    {15, "GET " S "/secrets\nGET " S "/secrets/k", "workers_scripts:read workers_scripts:write", "workers_tail:read"},
    {16, "PUT " S "/secrets\nPATCH " S "/secrets-bulk\nDELETE " S "/secrets/k", "workers_scripts:write", "workers_scripts:read"},
    {17, "GET " S "/subdomain", "workers_tail:read workers_scripts:read workers_scripts:write", "r2:read"},
    {18, "POST " S "/subdomain\nDELETE " S "/subdomain", "workers_scripts:write", "workers_scripts:read"},
    {19, "GET /accounts/{a}/workers/subdomain", "workers_scripts:read workers_scripts:write", "workers_tail:read"},
    {20, "PUT /accounts/{a}/workers/subdomain", "workers_scripts:write", "workers_scripts:read"},
    {21, "GET /accounts/{a}/workers/subdomains/n", "workers_scripts:read workers_scripts:write", "workers_tail:read"},
    {22, "POST " S "/assets-upload-session", "workers_scripts:write", "workers_scripts:read"},
    {23, "POST /accounts/{a}/workers/assets/upload", "workers_scripts:write", "workers_scripts:read"},
    {24, "GET " S "/schedules", "workers_scripts:read workers_scripts:write", "workers_tail:read"},
    {24, "PUT " S "/schedules", "workers_scripts:write", "workers_scripts:read"},
    {25, "POST " S "/tails\nDELETE " S "/tails/t", "workers_tail:read workers_scripts:write", "workers_scripts:read"},
    {26, "PUT " S "/usage-model", "workers_scripts:write", "workers_scripts:read"},
    {27, "GET /accounts/{a}/workers/domains\nGET /accounts/{a}/workers/domains/records", "workers_scripts:read workers_scripts:write", "zone:read"},
    {28, "PUT /accounts/{a}/workers/domains\nDELETE /accounts/{a}/workers/domains/d", "workers_scripts:write", "workers_scripts:read"},
    {29, "GET /accounts/{a}/workers/durable_objects/namespaces\nGET /accounts/{a}/workers/durable_objects/namespaces/n/objects", "workers_scripts:read workers_scripts:write",
     "workers_tail:read"},
    {30, "GET /accounts/{a}/workers/dispatch/namespaces\nGET /accounts/{a}/workers/dispatch/namespaces/n", "workers_tail:read workers_scripts:read workers_scripts:write", "r2:read"},
    {30, "POST /accounts/{a}/workers/dispatch/namespaces\nPUT /accounts/{a}/workers/dispatch/namespaces/n/scripts/s\nDELETE /accounts/{a}/workers/dispatch/namespaces/n",
     "workers_scripts:write", "workers_scripts:read"},
    {31, "GET /zones/z/workers/routes\nGET /zones/z/workers/routes/r", "workers_routes:read workers_routes:write", "zone:write"},
    {32, "POST /zones/z/workers/routes\nPUT /zones/z/workers/routes/r\nDELETE /zones/z/workers/routes/r", "workers_routes:write", "workers_routes:read"},
#define K "/accounts/{a}/storage/kv/namespaces"
    {33, "GET " K "\nGET " K "/n", "workers_kv:read workers_kv:write", "workers_scripts:write"},
    {34, "POST " K "\nPUT " K "/n\nDELETE " K "/n", "workers_kv:write", "workers_kv:read"},
    {35, "GET " K "/n/keys\nGET " K "/n/values/a%2Fb%20c\nGET " K "/n/metadata/a%2Fb", "workers_kv:read workers_kv:write", "d1:read"},
    {36, "PUT " K "/n/values/a%2Fb\nDELETE " K "/n/values/k", "workers_kv:write", "workers_kv:read"},
    {37, "PUT " K "/n/bulk\nPOST " K "/n/bulk/delete", "workers_kv:write", "workers_kv:read"},
    {38, "POST " K "/n/bulk/get", "workers_kv:read workers_kv:write", "d1:write"},
#define D "/accounts/{a}/d1/database"
    {39, "GET " D "\nGET " D "/d\nGET " D "/d/time_travel/bookmark", "d1:read d1:write", "workers_kv:write"},
    {40, "POST " D "\nPUT " D "/d\nPATCH " D "/d\nDELETE " D "/d", "d1:write", "d1:read"},
    {41, "POST " D "/d/query\nPOST " D "/d/raw", "d1:write", "d1:read"},
    {42, "POST " D "/d/import\nPOST " D "/d/export\nPOST " D "/d/time_travel/restore", "d1:write", "d1:read"},
#define Q "/accounts/{a}/queues"
    {43, "GET " Q "\nGET " Q "/q\nGET " Q "/q/purge\nGET " Q "/q/consumers\nGET /accounts/{a}/event_subscriptions/subscriptions", "queues:read queues:write", "r2:read"},
    {44, "POST " Q "\nPUT " Q "/q\nPATCH " Q "/q\nDELETE " Q "/q", "queues:write", "queues:read"},
    {45, "POST " Q "/q/messages\nPOST " Q "/q/messages/batch\nPOST " Q "/q/messages/pull\nPOST " Q "/q/messages/ack", "queues:write", "queues:read"},
    {46, "POST " Q "/q/consumers\nPUT " Q "/q/consumers/c\nDELETE " Q "/q/consumers/c\nPOST " Q "/q/purge", "queues:write", "queues:read"},
#define B "/accounts/{a}/r2/buckets"
    {47, "GET " B "\nGET " B "/b\nGET " B "/b/objects/dir%2Fa/%C3%A4", "r2:read r2:write", "workers_kv:read"},
    {48, "POST " B "\nPATCH " B "/b\nDELETE " B "/b", "r2:write", "r2:read"},
    {49, "PUT " B "/b/objects/dir/k\nDELETE " B "/b/objects/dir%2Fk", "r2:write", "r2:read"},
    {50, "PUT " B "/b/domains/managed\nDELETE " B "/b/domains/custom/d\nPUT " B "/b/sippy\nDELETE " B "/b/cors\nPUT " B "/b/lifecycle\nPUT " B "/b/lock", "r2:write", "r2:read"},
    {51, "GET /zones\nGET /zones/z", "zone:read zone:write zone_settings:read zone_settings:write dns:read dns:write workers_routes:read workers_routes:write", "workers_scripts:write"},
    {52, "POST /zones", "zone:write", "zone:read"},
    {53, "PATCH /zones/z\nDELETE /zones/z", "zone:write", "zone:read zone_settings:write"},
    {54, "GET /zones/z/settings\nGET /zones/z/settings/s", "zone_settings:read zone_settings:write", "dns:write"},
    {55, "PATCH /zones/z/settings/s", "zone_settings:write", "zone_settings:read"},
    {56, "GET /zones/z/dns_records\nGET /zones/z/dns_records/r\nGET /zones/z/dns_records/export", "dns:read dns:write", "zone:write"},
    {57, "POST /zones/z/dns_records\nPUT /zones/z/dns_records/r\nPATCH /zones/z/dns_records/r\nDELETE /zones/z/dns_records/r\nPOST /zones/z/dns_records/import\n"
         "POST /zones/z/dns_records/scan\nPOST /zones/z/dns_records/scan/review\nPOST /zones/z/dns_records/batch", "dns:write", "dns:read"},
    {58, "GET /zones/z/dnssec", "dns:read dns:write", "zone:write"},
    {58, "PATCH /zones/z/dnssec\nDELETE /zones/z/dnssec", "dns:write", "dns:read"},
    {59, "POST /zones/z/purge_cache", "cache:purge", "zone:write"},
    {60, "GET /accounts/{a}/hyperdrive/configs\nGET /accounts/{a}/hyperdrive/configs/h", "hyperdrive:read hyperdrive:write", "d1:write"},
    {60, "POST /accounts/{a}/hyperdrive/configs\nPUT /accounts/{a}/hyperdrive/configs/h\nPATCH /accounts/{a}/hyperdrive/configs/h\nDELETE /accounts/{a}/hyperdrive/configs/h",
     "hyperdrive:write", "hyperdrive:read"},
    {61, "GET /accounts/{a}/mtls_certificates", "certificates:read certificates:write", "r2:read"},
    {61, "POST /accounts/{a}/mtls_certificates\nDELETE /accounts/{a}/mtls_certificates/c", "certificates:write", "certificates:read"},
    {62, "GET /accounts/{a}/pages/projects\nGET /accounts/{a}/pages/projects/p/deployments", "pages:read pages:write", "workers_scripts:write"},
    {62, "POST /accounts/{a}/pages/projects\nPOST /accounts/{a}/pages/projects/p/deployments\nPUT /accounts/{a}/pages/projects/p\nDELETE /accounts/{a}/pages/projects/p", "pages:write",
     "pages:read"},
    {64, "GET /accounts/{a}/tokens/verify\nGET /user/tokens/verify", "account_settings:read", ""},
    {65, "GET /accounts\nGET /accounts/{a}", "account_settings:read", ""},
    {68, "GET /accounts/{a}/workflows\nGET /accounts/{a}/workflows/w/instances", "workers_tail:read workers_scripts:read workers_scripts:write", "r2:read"},
    {68, "PUT /accounts/{a}/workflows/w\nPOST /accounts/{a}/workflows/w/instances\nPATCH /accounts/{a}/workflows/w/instances/i\nDELETE /accounts/{a}/workflows/w", "workers_scripts:write",
     "workers_scripts:read workers_tail:read"},
};

/* Takes the next item off a list; false at its end. */
static bool next_item(const char **list, char end, char *out, size_t out_bytes)
{
    char ends[2] = {end, '\0'};
    size_t length = strcspn(*list, ends);
    if (length == 0)
        return false;
    snprintf(out, out_bytes, "%.*s", (int)length, *list);
    *list += length + ((*list)[length] != '\0');
    return true;
}

static void expect_each(const struct policy *policy, int row, const char *names, const char *request, enum http1_verdict verdict)
{
    char name[64];
    while (next_item(&names, ' ', name, sizeof name)) {
        enum http1_verdict found = decide(policy, name, request).verdict;
        if (found != verdict)
            fail_msg("row %d, %s: %s: %s", row, name, request, http1_verdict_name(found));
    }
}

static void test_rows(void **state)
{
    (void)state;
    struct policy policy;
    struct recipe *recipe = shipped("emulator");
    bool seen[69] = {[63] = true, [66] = true, [67] = true}; /* never, never, probes: see below */
    policy_open(&policy, recipe);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *requests = rows[i].requests;
        char request[200];
        while (next_item(&requests, '\n', request, sizeof request)) {
            expect_each(&policy, rows[i].row, rows[i].open, request, HTTP1_VERDICT_ALLOWED);
            expect_each(&policy, rows[i].row, rows[i].closed, request, HTTP1_VERDICT_NOT_GRANTED);
        }
        seen[rows[i].row] = true;
    }
    for (int row = 1; row <= 68; row++)
        if (!seen[row])
            fail_msg("row %d is not tested", row);
    struct http1_match upload = decide(&policy, "workers_scripts:write", "POST /accounts/{a}/workers/assets/upload");
    assert_int_equal(upload.flags, HTTP1_RULE_AGENT_CREDENTIAL | HTTP1_RULE_SHARED);
    assert_int_equal(decide(&policy, "workers_scripts:write", "PUT " S).flags, 0);
    assert_int_equal(decide(&policy, "workers_scripts:write", "GET /accounts/{a}/workers/subdomain").flags, HTTP1_RULE_SHARED);
    policy_close(&policy);
    recipe_destroy(recipe);
}

/* With every permission there is. */
static void test_never(void **state)
{
    (void)state;
    static const char *const never[] = {
        "GET /accounts/{a}/tokens", "GET /accounts/{a}/tokens/t", "GET /accounts/{a}/tokens/permission_groups", "POST /accounts/{a}/tokens", "PUT /accounts/{a}/tokens/t",
        "PUT /accounts/{a}/tokens/t/value", "DELETE /accounts/{a}/tokens/t", "POST /accounts/{a}/tokens/verify", "GET /user/tokens", "POST /user/tokens", "GET /user/tokens/permission_groups",
        "POST /accounts", "DELETE /accounts/{a}", "PUT /accounts/{a}", "PATCH /accounts/{a}", "GET /accounts/{a}/members", "POST /accounts/{a}/members", "GET /accounts/{a}/roles",
        "POST /provisioning/previews", "POST /provisioning/previews/challenge", "POST /memberships", "PATCH /user", "GET /accounts/{a}/audit_logs", "GET /", "DELETE /zones",
    };
    for (size_t r = 0; r < sizeof cloudflare / sizeof *cloudflare; r++) {
        struct policy policy;
        struct recipe *recipe = shipped(cloudflare[r]);
        policy_open(&policy, recipe);
        for (size_t i = 0; i < sizeof never / sizeof *never; i++)
            if (decide(&policy, "*", never[i]).verdict != HTTP1_VERDICT_NO_RULE)
                fail_msg("%s: %s", cloudflare[r], never[i]);
        static const char *const probes[] = {"GET /user", "GET /memberships", "GET /user/tokens/verify", "GET /accounts/{a}/tokens/verify", "GET /accounts"};
        for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
            assert_int_equal(decide(&policy, "workers_scripts:write", probes[i]).verdict, HTTP1_VERDICT_BENIGN);
        assert_int_equal(decide(&policy, "*", "GET /accounts/other/workers/scripts").verdict, HTTP1_VERDICT_FOREIGN_ACCOUNT);
        assert_true(policy_has(&policy, "/base_path", "\"/client/v4\""));
        assert_true(policy_has(&policy, "/hand_on/pointer", "\"/result/jwt\""));
        assert_true(policy_has(&policy, "/refusal/type", "\"application/json\""));
        assert_true(policy_has(&policy, "/refusal/body",
                               "\"{\\\"success\\\":false,\\\"errors\\\":[{\\\"code\\\":10000,\\\"message\\\":{{message}}}],\\\"messages\\\":[],\\\"result\\\":null}\""));
        assert_true(policy_has(&policy, "/token", "[{\"header\":\"authorization\",\"scheme\":\"Bearer\"}]"));
        policy_close(&policy);
        recipe_destroy(recipe);
    }
}

/* --- services --- */

static void test_services(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *request;
        enum http1_verdict verdict;
        uint32_t flags;
    } requests[] = {
        {"anthropic", "POST /v1/messages", HTTP1_VERDICT_ALLOWED, 0},
        {"anthropic", "POST /v1/messages/count_tokens", HTTP1_VERDICT_ALLOWED, HTTP1_RULE_FREE},
        {"anthropic", "GET /v1/models/claude-x", HTTP1_VERDICT_ALLOWED, HTTP1_RULE_FREE},
        {"anthropic", "POST /v1/messages/batches", HTTP1_VERDICT_NO_RULE, 0},
        {"anthropic", "GET /v1/organizations/users", HTTP1_VERDICT_NO_RULE, 0},
        {"openai", "POST /chat/completions", HTTP1_VERDICT_ALLOWED, 0},
        {"openai", "POST /responses", HTTP1_VERDICT_ALLOWED, 0},
        {"openai", "POST /embeddings", HTTP1_VERDICT_ALLOWED, 0},
        {"openai", "GET /models", HTTP1_VERDICT_ALLOWED, HTTP1_RULE_FREE},
        {"openai", "GET /responses/r", HTTP1_VERDICT_NO_RULE, 0},
        {"openai", "GET /files", HTTP1_VERDICT_NO_RULE, 0},
        {"bearer", "GET /", HTTP1_VERDICT_ALLOWED, 0},
        {"bearer", "DELETE /a/b%2Fc", HTTP1_VERDICT_ALLOWED, 0},
        {"bearer", "DELETE /a/../c", HTTP1_VERDICT_BAD_PATH, 0},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct policy policy;
        struct recipe *recipe = shipped(requests[i].recipe);
        policy_open(&policy, recipe);
        assert_int_equal(policy.permission_count, 1);
        struct http1_match match = decide(&policy, "use", requests[i].request);
        if (match.verdict != requests[i].verdict || match.flags != requests[i].flags)
            fail_msg("%s %s: %s, %u", requests[i].recipe, requests[i].request, http1_verdict_name(match.verdict), match.flags);
        assert_int_not_equal(decide(&policy, "", requests[i].request).verdict, HTTP1_VERDICT_ALLOWED);
        assert_true(recipe_info(recipe)->needs_credential);
        bool priced = strcmp(requests[i].recipe, "bearer") != 0;
        assert_int_equal(recipe_has_usage(recipe), priced);
        assert_int_equal(recipe_has_prices(recipe), priced);
        assert_int_equal(recipe_price_date(recipe) != NULL, priced);
        assert_int_equal(json_pointer(&policy.json, MF_SPAN("/prices/models/*/output")) != JSON_NONE, priced);
        policy_close(&policy);
        recipe_destroy(recipe);
    }
}

/* --- upstream, headers, environment, reach --- */

static int collect_pair(void *context, struct mf_span name, struct mf_span value)
{
    return mf_buf_printf(context, "%.*s=%.*s\n", MF_SPAN_ARGS(name), MF_SPAN_ARGS(value));
}

static int collect_origin(void *context, struct mf_span origin)
{
    return mf_buf_printf(context, "%.*s\n", MF_SPAN_ARGS(origin));
}

enum part { UPSTREAM, HEADERS, ENVIRONMENT, REACH };

static int give(enum part part, const struct recipe *recipe, const struct recipe_vars *vars, struct mf_buf *out, struct mf_error *error)
{
    switch (part) {
    case UPSTREAM:
        return recipe_upstream(recipe, vars, out, error);
    case HEADERS:
        return recipe_inject_headers(recipe, vars, collect_pair, out, error);
    case ENVIRONMENT:
        return recipe_inject(recipe, vars, collect_pair, out, error);
    case REACH:
        return recipe_reach(recipe, vars, collect_origin, out, error);
    }
    return -1;
}

/* `wanted` begins with "!": a part of the message of a failure. */
static void expect(enum part part, const char *name, const struct recipe_vars *vars, const char *wanted)
{
    struct recipe *recipe = shipped(name);
    struct mf_error error = {0};
    struct mf_buf out;
    mf_buf_init_secret(&out, 10000);
    int result = give(part, recipe, vars, &out, &error);
    if (wanted[0] == '!' ? result == 0 || strstr(error.text, wanted + 1) == NULL : result != 0 || strcmp(mf_buf_cstr(&out), wanted) != 0)
        fail_msg("%s: got %d %s / %s\nwanted %s", name, result, mf_buf_cstr(&out), error.text, wanted);
    mf_buf_free(&out);
    recipe_destroy(recipe);
}

static struct recipe_vars vars_of(const char *base_url)
{
    return (struct recipe_vars){.base_url = mf_span(base_url), .credential = MF_SPAN("sk-real"), .secrets_json = MF_SPAN("{\"token\":\"cfat_real\"}"),
                                .ids_json = MF_SPAN("{\"account_id\":\"acc1\"}")};
}

static void test_upstream(void **state)
{
    (void)state;
    struct recipe_vars vars = vars_of("https://api.cloudflare.com/client/v4");
    expect(UPSTREAM, "cloudflare-tenant", &vars, "https://api.cloudflare.com");
    vars = vars_of("http://127.0.0.1:8123/client/v4");
    expect(UPSTREAM, "emulator", &vars, "http://127.0.0.1:8123");
    vars = vars_of("http://127.0.0.1:8123/other");
    expect(UPSTREAM, "emulator", &vars, "!must end with /client/v4");
    vars = vars_of("http://10.0.0.1/client/v4");
    expect(UPSTREAM, "emulator", &vars, "!http:// is only for this machine");
    vars = vars_of("https://host.example/api/v1");
    expect(UPSTREAM, "openai", &vars, "https://host.example/api");
    vars = vars_of("https://api.anthropic.com");
    expect(UPSTREAM, "anthropic", &vars, "https://api.anthropic.com");
}

static void test_bearer(void **state)
{
    (void)state;
    struct recipe_value inputs[] = {{MF_SPAN("base_url"), MF_SPAN("https://api.example.com/v2")},
                                    {MF_SPAN("base_url_variable"), MF_SPAN("EXAMPLE_URL")},
                                    {MF_SPAN("token_variable"), MF_SPAN("EXAMPLE_TOKEN")}};
    struct recipe_vars vars = {.base_url = MF_SPAN("{{gateway.url}}"), .credential = MF_SPAN("sk-real"), .inputs = inputs, .input_count = 3};
    expect(UPSTREAM, "bearer", &vars, "https://api.example.com/v2");
    expect(HEADERS, "bearer", &vars, "authorization=Bearer sk-real\n");
    expect(ENVIRONMENT, "bearer", &vars, "EXAMPLE_URL={{gateway.url}}\nEXAMPLE_TOKEN={{gateway.token}}\n");
    static const char *const bad_urls[] = {"http://api.example.com", "https://user@x.test", "https://x.test/", "ftp://x.test", "https://x.test/a?b", "x.test"};
    for (size_t i = 0; i < sizeof bad_urls / sizeof *bad_urls; i++) {
        inputs[0].value = mf_span(bad_urls[i]);
        expect(UPSTREAM, "bearer", &vars, "!base URL of provider bearer");
    }
    inputs[0].value = MF_SPAN("http://127.0.0.1:9/x");
    expect(UPSTREAM, "bearer", &vars, "http://127.0.0.1:9/x");
    static const char *const bad_names[] = {"LD_PRELOAD", "PATH", "lower", "A=B", "1A", "A B"};
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++) {
        inputs[2].value = mf_span(bad_names[i]);
        expect(ENVIRONMENT, "bearer", &vars, "!input token_variable of provider bearer names a variable: it ");
    }
    vars.input_count = 0;
    expect(UPSTREAM, "bearer", &vars, "!base_url is not known");
    expect(ENVIRONMENT, "bearer", &vars, "!is not given");
}

static void test_headers_and_environment(void **state)
{
    (void)state;
    struct recipe_vars vars = vars_of("{{gateway.url}}");
    expect(HEADERS, "emulator", &vars, "authorization=Bearer cfat_real\n");
    expect(HEADERS, "anthropic", &vars, "x-api-key=sk-real\n");
    expect(HEADERS, "openai", &vars, "authorization=Bearer sk-real\n");
    expect(ENVIRONMENT, "anthropic", &vars, "ANTHROPIC_BASE_URL={{gateway.url}}\nANTHROPIC_API_KEY={{gateway.token}}\n");
    expect(ENVIRONMENT, "openai", &vars, "OPENAI_BASE_URL={{gateway.url}}\nOPENAI_API_BASE={{gateway.url}}\nOPENAI_API_KEY={{gateway.token}}\n");
    vars.credential = MF_SPAN("sk\r\nHost: evil");
    expect(HEADERS, "anthropic", &vars, "!does not fit into a header");
    vars.credential = (struct mf_span){NULL, 0};
    expect(HEADERS, "anthropic", &vars, "!credential is not known");
}

static void test_reach(void **state)
{
    (void)state;
    struct recipe_vars vars = vars_of("http://127.0.0.1:8123/client/v4");
    expect(REACH, "emulator", &vars, "http://127.0.0.1:8123/__workers/\n");
    expect(REACH, "cloudflare-token", &vars, "https://*.workers.dev\n");
    expect(REACH, "anthropic", &vars, "");
    vars = vars_of("https://emulator.example/client/v4"); /* a tunnel shows no path */
    expect(REACH, "emulator", &vars, "");
}

static void test_same_text(void **state)
{
    (void)state;
    const char *name;
    for (uint32_t i = 0; (name = recipe_shipped_name(i)) != NULL; i++) {
        struct mf_buf one, two, tight;
        struct recipe *first = shipped(name), *second = shipped(name);
        struct mf_error error;
        mf_buf_init(&one, POLICY_BYTES_MAX);
        mf_buf_init(&two, POLICY_BYTES_MAX);
        mf_buf_init(&tight, 100);
        assert_int_equal(recipe_policy(first, &one, NULL), 0);
        assert_int_equal(recipe_policy(second, &two, NULL), 0);
        assert_true(mf_span_equal(mf_buf_view(&one), mf_buf_view(&two)));
        assert_int_equal(recipe_policy(first, &tight, &error), -1);
        mf_buf_free(&one);
        mf_buf_free(&two);
        mf_buf_free(&tight);
        recipe_destroy(first);
        recipe_destroy(second);
    }
}

/* Whatever allocation fails: a failure, and nothing lost. */
static void test_without_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"openai", "anthropic", "bearer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct recipe *recipe;
        uint64_t before = mf_alloc_count();
        recipe_destroy(shipped(names[i]));
        int64_t needed = (int64_t)(mf_alloc_count() - before);
        for (int64_t n = 0; n < needed; n++) {
            struct mf_error error = {0};
            mf_alloc_fail_after(n, 1);
            int result = recipe_load(&recipe, recipe_shipped(names[i]), "x", NULL, &error);
            mf_alloc_fail_after(-1, 0);
            if (result == 0 || error.code != MF_MEMORY)
                fail_msg("%s, allocation %lld: %s", names[i], (long long)n, result == 0 ? "loaded" : error.text);
        }
    }
    struct recipe *recipe = shipped("emulator");
    struct recipe_vars vars = vars_of("http://127.0.0.1:8123/client/v4");
    for (int part = UPSTREAM; part <= REACH; part++) {
        int result = -1;
        for (int64_t n = 0; result != 0 && n < 200; n++) {
            struct mf_buf out;
            mf_buf_init_secret(&out, 10000);
            mf_alloc_fail_after(n, 1);
            result = give((enum part)part, recipe, &vars, &out, NULL);
            mf_alloc_fail_after(-1, 0);
            mf_buf_free(&out);
        }
        assert_int_equal(result, 0);
    }
    recipe_destroy(recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_never),     cmocka_unit_test(test_services),
        cmocka_unit_test(test_upstream), cmocka_unit_test(test_bearer),    cmocka_unit_test(test_headers_and_environment),
        cmocka_unit_test(test_reach),    cmocka_unit_test(test_same_text), cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
