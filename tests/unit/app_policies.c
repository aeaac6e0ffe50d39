/* unit/app_policies.c - what an agent gets to see: marks where tokens and addresses belong, and no secret in any way */
#include "app/app_private.h"
#include "app_help.h"
#include "gateway/gateway.h"
#include "recipe/shipped.h"

static void open_provider(struct app_provider *provider, const char *name)
{
    struct mf_error error;
    *provider = (struct app_provider){.name = name, .base_url = mf_strdup("http://127.0.0.1:1/client/v4")};
    if (recipe_load(&provider->recipe, recipe_shipped(name), name, NULL, &error) != 0)
        fail_msg("%s", error.text);
}

static struct mf_span value_of(struct strings *variables, const char *name)
{
    const struct runner_variable *list = strings_variables(variables);
    for (uint32_t i = 0; i < variables->count; i++)
        if (mf_span_is(list[i].name, name))
            return list[i].value;
    return (struct mf_span){NULL, 0};
}

static void test_account(void **state)
{
    (void)state;
    struct app_provider provider;
    struct strings variables;
    struct mf_error error;
    open_provider(&provider, "emulator");
    strings_init(&variables, 65536, false);
    int result = app_agent_variables(&provider, MF_SPAN("{\"account_id\":\"0123456789abcdef0123456789abcdef\",\"token_id\":\"t1\"}"),
                                     MF_SPAN("{\"token\":\"REALTOKEN\",\"other\":\"REALTOO\"}"), &variables, &error);
    if (result != 0)
        fail_msg("%s", error.text);
    assert_true(mf_span_is(value_of(&variables, "CLOUDFLARE_API_TOKEN"), GATEWAY_TOKEN_MARK));
    assert_true(mf_span_is(value_of(&variables, "CLOUDFLARE_API_BASE_URL"), GATEWAY_URL_MARK));
    assert_true(mf_span_is(value_of(&variables, "CLOUDFLARE_ACCOUNT_ID"), "0123456789abcdef0123456789abcdef"));
    assert_null(memmem(variables.bytes.data, variables.bytes.length, "REAL", 4));
    assert_null(memmem(variables.bytes.data, variables.bytes.length, "127.0.0.1:1", 11));
    strings_free(&variables);
    app_provider_close(&provider);
}

static void test_service(void **state)
{
    (void)state;
    struct app_provider provider;
    struct strings variables;
    struct mf_error error;
    struct mf_span none = {"", 0};
    open_provider(&provider, "anthropic");
    provider.service = true;
    mf_buf_init_secret(&provider.credential, 100);
    mf_buf_text(&provider.credential, "REALKEY");
    strings_init(&variables, 65536, false);
    assert_int_equal(app_agent_variables(&provider, none, none, &variables, &error), 0);
    assert_true(mf_span_is(value_of(&variables, "ANTHROPIC_API_KEY"), GATEWAY_TOKEN_MARK));
    assert_true(mf_span_is(value_of(&variables, "ANTHROPIC_BASE_URL"), GATEWAY_URL_MARK));
    assert_null(memmem(variables.bytes.data, variables.bytes.length, "REAL", 4));
    strings_free(&variables);
    app_provider_close(&provider);
}

static void test_bad_values(void **state)
{
    (void)state;
    struct app_provider provider;
    struct strings variables;
    struct mf_error error;
    open_provider(&provider, "emulator");
    strings_init(&variables, 65536, false);
    assert_int_equal(app_agent_variables(&provider, MF_SPAN("{}"), MF_SPAN("{\"token\":"), &variables, &error), -1);
    assert_int_equal(app_agent_variables(&provider, MF_SPAN("{}"), MF_SPAN("{\"token\":\"x\"}"), &variables, &error), -1); /* no account_id */
    assert_null(strstr(error.text, "x\""));
    strings_free(&variables);
    strings_init(&variables, 65536, false);
    assert_int_equal(strings_add(&variables, (struct mf_span){"a\0b", 3}), -1); /* would be two texts */
    assert_int_equal(variables.count, 0);
    strings_free(&variables);
    app_provider_close(&provider);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct app_provider provider;
    bool done = false;
    open_provider(&provider, "emulator");
    for (int64_t nth = 0; !done; nth++) {
        struct strings variables;
        struct mf_error error;
        strings_init(&variables, 65536, false);
        mf_alloc_fail_after(nth, 0);
        int result = app_agent_variables(&provider, MF_SPAN("{\"account_id\":\"0123456789abcdef0123456789abcdef\"}"), MF_SPAN("{\"token\":\"REAL\"}"), &variables, &error);
        mf_alloc_fail_after(-1, 0);
        done = result == 0;
        if (done) /* all of it, or nothing was said to be there */
            assert_true(value_of(&variables, "CLOUDFLARE_API_TOKEN").data != NULL);
        strings_free(&variables);
        assert_true(nth < 1000);
    }
    app_provider_close(&provider);
}

/* A limit that nobody can count against is refused before anything starts. */
static void test_budgets(void **state)
{
    (void)state;
    static const struct {
        const char *recipe, *graph, *says; /* says NULL: fine */
    } cases[] = {
        {"bearer", "{\"mayfly\":1,\"services\":{\"s\":{\"recipe\":\"bearer\"}},\"tasks\":{\"first\":{\"command\":[\"true\"],\"uses\":[\"s\"]}}}", NULL},
        {"bearer", "{\"mayfly\":1,\"services\":{\"s\":{\"recipe\":\"bearer\",\"budget_usd\":1}},\"tasks\":{\"first\":{\"command\":[\"true\"],\"uses\":[\"s\"]}}}", "service `s`"},
        {"bearer", "{\"mayfly\":1,\"limits\":{\"budget_usd\":1},\"services\":{\"s\":{\"recipe\":\"bearer\"}},\"tasks\":{\"first\":{\"command\":[\"true\"],\"uses\":[\"s\"]}}}", "limits.budget_usd"},
        {"bearer", "{\"mayfly\":1,\"services\":{\"s\":{\"recipe\":\"bearer\"}},\"tasks\":{\"first\":{\"command\":[\"true\"],\"budget_usd\":1,\"uses\":[\"s\"]}}}", "task `first`"},
        {"anthropic", "{\"mayfly\":1,\"services\":{\"s\":{\"recipe\":\"anthropic\",\"budget_usd\":1}},\"tasks\":{\"first\":{\"command\":[\"true\"],\"budget_usd\":1,\"uses\":[\"s\"]}}}", NULL},
    };
    static const char *const names[] = {"first"};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct help_app help;
        struct app_provider provider;
        struct mf_error error = {0};
        help_app_open(&help, cases[c].graph, names, 1);
        open_provider(&provider, cases[c].recipe);
        int result = app_check_budget(help.app.graph, 0, provider.recipe, &error);
        assert_int_equal(result, cases[c].says == NULL ? 0 : -1);
        if (cases[c].says != NULL) {
            assert_int_equal(error.code, MF_INPUT);
            assert_non_null(strstr(error.text, cases[c].says));
        }
        app_provider_close(&provider);
        help_app_close(&help);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_account), cmocka_unit_test(test_service), cmocka_unit_test(test_bad_values), cmocka_unit_test(test_no_memory),
                                       cmocka_unit_test(test_budgets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
