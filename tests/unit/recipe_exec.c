/*
 * recipe_exec.c - unit tests of recipe/exec*.c, expand.c, body.c and outcome.c: scripted answers in, requests and verdicts out
 */
#include "base/alloc.h"
#include "recipe/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1795464000000) /* 2026-11-23T20:00:00Z */
#define ID "0123456789abcdef0123456789abcdef"
#define TOKEN_ID "fedcba9876543210fedcba9876543210"

static struct recipe *load_text(const char *text)
{
    struct recipe *recipe;
    struct mf_error error;
    if (recipe_load(&recipe, mf_span(text), "test.json", NULL, &error) != 0)
        fail_msg("%s", error.text);
    return recipe;
}

static struct recipe *load_shipped(const char *name)
{
    struct recipe *recipe;
    struct mf_error error;
    if (recipe_load(&recipe, recipe_shipped(name), name, NULL, &error) != 0)
        fail_msg("%s", error.text);
    return recipe;
}

static struct recipe_vars vars_for(enum recipe_op op)
{
    return (struct recipe_vars){
        .op = op,
        .base_url = MF_SPAN("http://127.0.0.1:8787/client/v4"),
        .tag = MF_SPAN("mayfly-me-abcdefghijkl-7"),
        .owner_prefix = MF_SPAN("mayfly-me-"),
        .credential = MF_SPAN("operator-secret"),
        .random = MF_SPAN("random-secret"),
        .now_ms = NOW_MS,
        .terms_accepted = true,
    };
}

static struct recipe_exec *begin(const struct recipe *recipe, const struct recipe_vars *vars)
{
    struct recipe_exec *exec;
    struct mf_error error;
    if (recipe_begin(&exec, recipe, vars, &error) != 0)
        fail_msg("%s", error.text);
    return exec;
}

static const char *begin_error(const struct recipe *recipe, const struct recipe_vars *vars)
{
    static struct mf_error error;
    struct recipe_exec *exec;
    if (recipe_begin(&exec, recipe, vars, &error) == 0)
        fail_msg("began");
    assert_null(exec);
    return error.text;
}

static struct recipe_want next(struct recipe_exec *exec, const struct recipe_reply *reply)
{
    struct recipe_want want;
    recipe_next(exec, reply, &want);
    return want;
}

static struct recipe_want answer_with(struct recipe_exec *exec, int status, const char *body, const struct recipe_value *headers, uint32_t count)
{
    struct recipe_reply reply = {.kind = RECIPE_REPLY_HTTP, .sent = true, .answered = true, .status = status, .headers = headers,
                                 .header_count = count, .body = mf_span(body), .received_ms = NOW_MS};
    return next(exec, &reply);
}

static struct recipe_want answer(struct recipe_exec *exec, int status, const char *body)
{
    return answer_with(exec, status, body, NULL, 0);
}

static struct recipe_want lost(struct recipe_exec *exec, bool sent)
{
    struct recipe_reply reply = {.kind = RECIPE_REPLY_HTTP, .sent = sent, .received_ms = NOW_MS};
    return next(exec, &reply);
}

static bool is(struct mf_span text, const char *wanted)
{
    if (!mf_span_is(text, wanted))
        print_error("got %.*s\nwanted %s\n", (int)text.length, text.data, wanted);
    return mf_span_is(text, wanted);
}

static void expect_request(const struct recipe_want *want, const char *method, const char *url, const char *body)
{
    assert_int_equal(want->kind, RECIPE_WANT_HTTP);
    assert_string_equal(want->http.method, method);
    assert_string_equal(want->http.url, url);
    assert_true(is(want->http.body, body));
}

static const char *header(const struct recipe_want *want, const char *name)
{
    static char text[512];
    for (uint32_t i = 0; i < want->http.header_count; i++)
        if (mf_span_is(want->http.headers[i].name, name)) {
            assert_int_equal(mf_span_copy(want->http.headers[i].value, text, sizeof text), 0);
            return text;
        }
    return NULL;
}

static void expect_done(const struct recipe_want *want, enum recipe_verdict verdict, const char *reason)
{
    assert_int_equal(want->kind, RECIPE_WANT_DONE);
    if (want->result.verdict != verdict || (reason != NULL && strcmp(want->result.reason, reason) != 0))
        fail_msg("%s: %s", recipe_verdict_name(want->result.verdict), want->result.reason);
}

#define BASE "http://127.0.0.1:8787/client/v4"

/* --- the emulator's whole life --- */

static void test_create(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    const struct mf_span permissions[] = {MF_SPAN("workers_scripts:write"), MF_SPAN("dns:read"), MF_SPAN("workers_kv:read")};
    vars.permissions = permissions;
    vars.permission_count = 3;
    vars.expires_ms = NOW_MS + 600001;
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "POST", BASE "/accounts", "{\"name\":\"mayfly-me-abcdefghijkl-7\",\"type\":\"standard\"}");
    assert_string_equal(header(&want, "authorization"), "Bearer operator-secret");
    assert_string_equal(header(&want, "idempotency-key"), "mayfly-me-abcdefghijkl-7");
    assert_string_equal(header(&want, "content-type"), "application/json");
    assert_string_equal(header(&want, "accept"), "application/json");
    assert_true(want.http.effect);
    want = answer(exec, 200, "{\"success\":true,\"result\":{\"id\":\"" ID "\"}}");
    assert_int_equal(want.kind, RECIPE_WANT_COMMIT);
    assert_int_equal(want.step_index, 0);
    assert_true(is(want.result.ids_json, "{\"account_id\":\"" ID "\"}"));
    assert_true(is(want.result.secrets_json, "{}"));
    want = next(exec, NULL);
    expect_request(&want, "POST", BASE "/accounts/" ID "/tokens",
                   "{\"name\":\"mayfly-me-abcdefghijkl-7\",\"policies\":["
                   "{\"effect\":\"allow\",\"resources\":{\"com.cloudflare.api.account." ID "\":\"*\"},\"permission_groups\":["
                   "{\"id\": \"e086da7e2179491d91ee5f35b3ca210a\"},{\"id\": \"8b47d2786a534c08a1f94ee8f9f599ef\"}]},"
                   "{\"effect\":\"allow\",\"resources\":{\"com.cloudflare.api.account." ID "\":{\"com.cloudflare.api.account.zone.*\":\"*\"}},"
                   "\"permission_groups\":[{\"id\": \"82e64a83756745bbbb1c9c2701bf816b\"}]}],\"expires_on\":\"2026-11-23T20:10:01Z\"}");
    want = answer(exec, 200, "{\"result\":{\"id\":\"" TOKEN_ID "\",\"value\":\"cfat_\\u0061\",\"expires_on\":\"2026-11-23T20:10:01Z\"}}");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, "");
    assert_true(is(want.result.ids_json, "{\"account_id\":\"" ID "\",\"token_id\":\"" TOKEN_ID "\"}"));
    assert_true(is(want.result.secrets_json, "{\"token\":\"cfat_a\"}"));
    assert_true(want.result.expires_ms == NOW_MS + 601000);
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_create_without_permissions_or_end(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    struct recipe_exec *exec = begin(recipe, &vars);
    next(exec, NULL);
    answer(exec, 200, "{\"result\":{\"id\":\"" ID "\"}}");
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "POST", BASE "/accounts/" ID "/tokens",
                   "{\"name\":\"mayfly-me-abcdefghijkl-7\",\"policies\":[{\"effect\":\"deny\",\"resources\":{\"com.cloudflare.api.account." ID
                   "\":\"*\"},\"permission_groups\":[{\"id\":\"c1fde68c7bcc44588cbb6ddbc16d6480\"}]}]}");
    want = answer(exec, 200, "{\"result\":{\"id\":\"" TOKEN_ID "\",\"value\":\"cfat_a\",\"expires_on\":null}}");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, "");
    assert_true(want.result.expires_ms == 0);
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_teardown(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    static const struct {
        enum recipe_op op;
        const char *method, *url;
        int status;
        const char *body;
        enum recipe_verdict verdict;
    } cases[] = {
        {RECIPE_REVOKE, "DELETE", BASE "/accounts/" ID "/tokens/" TOKEN_ID, 200, "{}", RECIPE_VERDICT_SUCCESS},
        {RECIPE_REVOKE, "DELETE", BASE "/accounts/" ID "/tokens/" TOKEN_ID, 404, "Not Found", RECIPE_VERDICT_GONE},
        {RECIPE_REVOKE, "DELETE", BASE "/accounts/" ID "/tokens/" TOKEN_ID, 403, "{\"errors\":[{\"code\":9109}]}", RECIPE_VERDICT_GONE},
        {RECIPE_REVOKE, "DELETE", BASE "/accounts/" ID "/tokens/" TOKEN_ID, 403, "{\"errors\":[{\"code\":10000}]}", RECIPE_VERDICT_REFUSED},
        {RECIPE_DELETE, "DELETE", BASE "/accounts/" ID, 204, "", RECIPE_VERDICT_SUCCESS},
        {RECIPE_DELETE, "DELETE", BASE "/accounts/" ID, 410, "", RECIPE_VERDICT_GONE},
        {RECIPE_DELETE, "DELETE", BASE "/accounts/" ID, 409, "", RECIPE_VERDICT_REFUSED},
        {RECIPE_DELETE, "DELETE", BASE "/accounts/" ID, 500, "", RECIPE_VERDICT_UNKNOWN},
        {RECIPE_DELETE, "DELETE", BASE "/accounts/" ID, 429, "", RECIPE_VERDICT_RETRY},
        {RECIPE_CHECK, "GET", BASE "/accounts/" ID, 200, "{}", RECIPE_VERDICT_SUCCESS},
        {RECIPE_CHECK, "GET", BASE "/accounts/" ID, 404, "", RECIPE_VERDICT_GONE},
        {RECIPE_CHECK, "GET", BASE "/accounts/" ID, 503, "<html>", RECIPE_VERDICT_RETRY},
        {RECIPE_CHECK, "GET", BASE "/accounts/" ID, 301, "", RECIPE_VERDICT_REFUSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recipe_vars vars = vars_for(cases[i].op);
        vars.ids_json = MF_SPAN("{\"account_id\":\"" ID "\",\"token_id\":\"" TOKEN_ID "\"}");
        struct recipe_exec *exec = begin(recipe, &vars);
        struct recipe_want want = next(exec, NULL);
        expect_request(&want, cases[i].method, cases[i].url, "");
        want = answer(exec, cases[i].status, cases[i].body);
        expect_done(&want, cases[i].verdict, NULL);
        want = next(exec, NULL); /* asked again, it says the same */
        expect_done(&want, cases[i].verdict, NULL);
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

static void test_revoke_of_a_found_account_does_nothing(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_REVOKE);
    vars.ids_json = MF_SPAN("{\"account_id\":\"" ID "\"}");
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_done(&want, RECIPE_VERDICT_SUCCESS, "");
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_find(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_FIND);
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "GET", BASE "/accounts?name=mayfly-me-abcdefghijkl-7&per_page=50", "");
    want = answer(exec, 200, "{\"result\":[{\"id\":\"aa\",\"name\":\"mayfly-me-abcdefghijkl-7\"},{\"id\":\"bb\",\"name\":\"mayfly-me-abcdefghijkl-70\"},"
                             "{\"id\":\"cc\",\"name\":\"mayfly-me-abcdefghijkl-7\"}]}");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    assert_int_equal(want.result.found_count, 2);
    struct mf_span ids, tag;
    assert_true(recipe_found(exec, 0, &ids, &tag) && is(ids, "{\"account_id\":\"aa\"}"));
    assert_true(recipe_found(exec, 1, &ids, &tag) && is(ids, "{\"account_id\":\"cc\"}"));
    assert_false(recipe_found(exec, 2, &ids, &tag));
    assert_true(is(want.result.ids_json, "{\"account_id\":\"aa\"}"));
    recipe_exec_destroy(exec);
    exec = begin(recipe, &vars);
    next(exec, NULL);
    want = answer(exec, 200, "{\"result\":[]}");
    expect_done(&want, RECIPE_VERDICT_GONE, NULL);
    recipe_exec_destroy(exec);
    static const char *const nonsense[] = {"", "<html>", "{\"result\":[", "{\"result\":null}", "{\"result\":{}}", "{\"result\":[],\"result\":[]}",
                                           "{\"result\":[{\"name\":\"mayfly-me-abcdefghijkl-7\"}]}",
                                           "{\"result\":[{\"name\":\"mayfly-me-abcdefghijkl-7\",\"id\":\"a/b\"}]}", "\xef\xbb\xbf{\"result\":[]}"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        exec = begin(recipe, &vars);
        next(exec, NULL);
        want = answer(exec, 200, nonsense[i]);
        expect_done(&want, RECIPE_VERDICT_RETRY, NULL); /* never "not there" */
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

static void page_of(struct mf_buf *out, const char *prefix, int first, int count)
{
    mf_buf_clear(out);
    mf_buf_text(out, "{\"result\":[");
    for (int i = 0; i < count; i++)
        mf_buf_printf(out, "%s{\"id\":\"id%d\",\"name\":\"%s%d\"}", i > 0 ? "," : "", first + i, prefix, first + i);
    mf_buf_text(out, "]}");
}

static void test_list_pages(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_LIST);
    struct recipe_exec *exec = begin(recipe, &vars);
    struct mf_buf page;
    mf_buf_init(&page, 100000);
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "GET", BASE "/accounts?page=1&per_page=50", "");
    page_of(&page, "mayfly-me-run-", 0, 50);
    want = answer(exec, 200, mf_buf_cstr(&page));
    expect_request(&want, "GET", BASE "/accounts?page=2&per_page=50", "");
    page_of(&page, "mayfly-you-run-", 50, 50);
    want = answer(exec, 200, mf_buf_cstr(&page));
    expect_request(&want, "GET", BASE "/accounts?page=3&per_page=50", "");
    page_of(&page, "mayfly-me-run-", 100, 3);
    want = answer(exec, 200, mf_buf_cstr(&page));
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    assert_int_equal(want.result.found_count, 53);
    struct mf_span ids, tag;
    assert_true(recipe_found(exec, 52, &ids, &tag));
    assert_true(is(ids, "{\"account_id\":\"id102\"}") && is(tag, "mayfly-me-run-102"));
    assert_true(recipe_found_created_ms(exec, 52) == 0); /* not said */
    recipe_exec_destroy(exec);
    exec = begin(recipe, &vars);
    next(exec, NULL);
    want = answer(exec, 200, "{\"result\":[{\"id\":\"a\",\"name\":\"mayfly-me-x-1\",\"created_on\":\"2026-11-23T20:00:00Z\"}]}");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    assert_true(recipe_found_created_ms(exec, 0) == NOW_MS);
    recipe_exec_destroy(exec);
    mf_buf_free(&page);
    recipe_destroy(recipe);
}

static void test_find_in_pages_that_never_end(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-token");
    struct recipe_vars vars = vars_for(RECIPE_FIND);
    const struct recipe_value input = {MF_SPAN("account_id"), MF_SPAN(ID)};
    vars.inputs = &input;
    vars.input_count = 1;
    struct recipe_exec *exec = begin(recipe, &vars);
    struct mf_buf page;
    mf_buf_init(&page, 100000);
    page_of(&page, "other-", 0, 50);
    struct recipe_want want = next(exec, NULL);
    int pages = 0;
    for (; want.kind == RECIPE_WANT_HTTP; pages++)
        want = answer(exec, 200, mf_buf_cstr(&page));
    assert_int_equal(pages, 20);
    expect_done(&want, RECIPE_VERDICT_RETRY, "find: the list was cut");
    recipe_exec_destroy(exec);
    mf_buf_free(&page);
    recipe_destroy(recipe);
}

/* --- certainty --- */

static void test_certainty_of_effects(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    static const struct {
        int status; /* 0: lost after sending, -1: not sent */
        const char *body;
        enum recipe_verdict verdict;
        const char *reason;
    } cases[] = {
        {0, "", RECIPE_VERDICT_UNKNOWN, "made: POST /accounts: sent, no complete answer"},
        {-1, "", RECIPE_VERDICT_RETRY, "made: POST /accounts: not sent"},
        {500, "", RECIPE_VERDICT_UNKNOWN, "made: POST /accounts: HTTP 500"},
        {503, "{\"errors\":[{\"code\":1}]}", RECIPE_VERDICT_UNKNOWN, "made: POST /accounts: HTTP 503 (code 1)"},
        {408, "", RECIPE_VERDICT_UNKNOWN, NULL},
        {429, "", RECIPE_VERDICT_RETRY, "made: POST /accounts: HTTP 429"},
        {400, "{\"errors\":[{\"code\":1035,\"message\":\"no operator-secret\"}]}", RECIPE_VERDICT_REFUSED, "made: POST /accounts: HTTP 400 (code 1035)"},
        {403, "<html>", RECIPE_VERDICT_REFUSED, NULL},
        {302, "", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"success\":false,\"errors\":[]}", RECIPE_VERDICT_REFUSED, NULL},
        {200, "<html>hello</html>", RECIPE_VERDICT_UNKNOWN, "made: POST /accounts: HTTP 200: id is missing or malformed in the answer"},
        {200, "", RECIPE_VERDICT_UNKNOWN, NULL},
        {201, "{\"result\":{\"id\":\"a\"", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"a\",\"id\":\"b\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"..\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\".\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"../../other\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"a/b\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"a?b\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"a%2fb\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"a\\nb\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":null}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":\"x-operator-secret\"}}", RECIPE_VERDICT_UNKNOWN, NULL},
        {200, "{\"result\":{\"id\":[\"a\"]}}", RECIPE_VERDICT_UNKNOWN, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recipe_exec *exec = begin(recipe, &vars);
        next(exec, NULL);
        struct recipe_want want = cases[i].status > 0 ? answer(exec, cases[i].status, cases[i].body) : lost(exec, cases[i].status == 0);
        expect_done(&want, cases[i].verdict, cases[i].reason);
        assert_int_equal(want.result.ids_json.length, 0);
        assert_null(strstr(want.result.reason, "secret"));
        assert_int_equal(want.result.rate_limited, cases[i].status == 429);
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

static void test_long_id_is_refused(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    static const size_t lengths[] = {128, 129, 8193, 65536};
    for (size_t i = 0; i < 4; i++) {
        struct mf_buf body;
        mf_buf_init(&body, 100000);
        mf_buf_text(&body, "{\"result\":{\"id\":\"");
        for (size_t n = 0; n < lengths[i]; n++)
            mf_buf_char(&body, 'a');
        mf_buf_text(&body, "\"}}");
        struct recipe_exec *exec = begin(recipe, &vars);
        next(exec, NULL);
        struct recipe_want want = answer(exec, 200, mf_buf_cstr(&body));
        assert_int_equal(want.kind, lengths[i] == 128 ? RECIPE_WANT_COMMIT : RECIPE_WANT_DONE);
        recipe_exec_destroy(exec);
        mf_buf_free(&body);
    }
    recipe_destroy(recipe);
}

/* The second effect fails: the first one's id is in the result, whatever the verdict. */
static void test_half_created(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-tenant");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    struct recipe_exec *exec = begin(recipe, &vars);
    next(exec, NULL);
    answer(exec, 200, "{\"result\":{\"id\":\"" ID "\"}}");
    next(exec, NULL);
    struct recipe_want want = answer(exec, 403, "{\"errors\":[{\"code\":9109}]}");
    expect_done(&want, RECIPE_VERDICT_REFUSED, "minted: POST /accounts/{{made.id}}/tokens: HTTP 403 (code 9109)");
    assert_true(is(want.result.ids_json, "{\"account_id\":\"" ID "\"}"));
    recipe_exec_destroy(exec);
    /* an answer of which the id can be read but not the token: the id is handed out before the verdict */
    exec = begin(recipe, &vars);
    next(exec, NULL);
    answer(exec, 200, "{\"result\":{\"id\":\"" ID "\"}}");
    next(exec, NULL);
    want = answer(exec, 200, "{\"result\":{\"id\":\"" TOKEN_ID "\"}}");
    assert_int_equal(want.kind, RECIPE_WANT_COMMIT);
    assert_true(is(want.result.ids_json, "{\"account_id\":\"" ID "\",\"token_id\":\"" TOKEN_ID "\"}"));
    want = next(exec, NULL);
    expect_done(&want, RECIPE_VERDICT_UNKNOWN, NULL);
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

/* The account is an input: a lost answer names nothing, although one id is known. */
static void test_lost_credential_names_nothing(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-token");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    const struct recipe_value input = {MF_SPAN("account_id"), MF_SPAN(ID)};
    vars.inputs = &input;
    vars.input_count = 1;
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    assert_string_equal(want.http.url, BASE "/accounts/" ID "/tokens");
    want = lost(exec, true);
    expect_done(&want, RECIPE_VERDICT_UNKNOWN, NULL);
    assert_int_equal(want.result.ids_json.length, 0);
    recipe_exec_destroy(exec);
    exec = begin(recipe, &vars);
    next(exec, NULL);
    want = answer(exec, 200, "{\"result\":{\"id\":\"" TOKEN_ID "\",\"value\":\"v\"}}");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    assert_true(is(want.result.ids_json, "{\"account_id\":\"" ID "\",\"token_id\":\"" TOKEN_ID "\"}"));
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *date;
        int64_t after_ms;
    } cases[] = {
        {"2", NULL, NULL, 2000},
        {"0", NULL, NULL, 0},
        {"-5", NULL, NULL, 0},
        {"soon", NULL, NULL, 0},
        {"1.5", NULL, NULL, 0},
        {"", NULL, NULL, 0},
        {"2, 5", NULL, NULL, 0},
        {"1000000000", NULL, NULL, 300000},
        {"99999999999999999999999", NULL, NULL, 300000},
        {"2", "7", NULL, 7000},
        {"2", "garbage", NULL, 2000},
        {"Mon, 23 Nov 2026 20:00:30 GMT", NULL, NULL, 30000},
        {"Mon, 23 Nov 2026 19:00:30 GMT", NULL, NULL, 0},
        {"Sun, 23 Nov 2036 20:00:30 GMT", NULL, NULL, 300000},
        {"Tue, 24 Nov 2026 20:00:30 GMT", NULL, "Tue, 24 Nov 2026 20:00:00 GMT", 30000}, /* a clock that is a day off */
        {NULL, NULL, NULL, 0},
    };
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recipe_value headers[3];
        uint32_t count = 0;
        const char *const values[] = {cases[i].first, cases[i].second};
        for (size_t n = 0; n < 2; n++)
            if (values[n] != NULL)
                headers[count++] = (struct recipe_value){MF_SPAN("retry-after"), mf_span(values[n])};
        if (cases[i].date != NULL)
            headers[count++] = (struct recipe_value){MF_SPAN("date"), mf_span(cases[i].date)};
        struct recipe_exec *exec = begin(recipe, &vars);
        next(exec, NULL);
        struct recipe_want want = answer_with(exec, 429, "", headers, count);
        expect_done(&want, RECIPE_VERDICT_RETRY, NULL);
        if (want.result.after_ms != cases[i].after_ms)
            fail_msg("%zu: %lld", i, (long long)want.result.after_ms);
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

/* --- proof of work, claim, times --- */

#define SEED "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define CHALLENGE "{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"" SEED "\",\"k\":1000,\"g\":2000}}"

static struct recipe_want solve(struct recipe_exec *exec, struct mf_span solution)
{
    struct recipe_reply reply = {.kind = RECIPE_REPLY_PROOF, .proof = solution, .received_ms = NOW_MS};
    return next(exec, &reply);
}

static struct recipe_exec *begin_temporary(const struct recipe *recipe)
{
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    vars.credential = (struct mf_span){NULL, 0};
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "POST", BASE "/provisioning/previews/challenge", "{}");
    assert_false(want.http.effect);
    assert_null(header(&want, "authorization"));
    return exec;
}

static void test_temporary(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-temporary");
    struct recipe_exec *exec = begin_temporary(recipe);
    struct recipe_want want = answer(exec, 200, CHALLENGE);
    assert_int_equal(want.kind, RECIPE_WANT_PROOF);
    assert_int_equal(want.proof.k, 1000);
    assert_int_equal(want.proof.g, 2000);
    for (uint8_t i = 0; i < 32; i++)
        assert_int_equal(want.proof.seed[i], i);
    char *solution = mf_alloc(853376); /* the longest there is */
    memset(solution, 'A', 853376);
    want = solve(exec, (struct mf_span){solution, 853376});
    mf_free(solution);
    assert_int_equal(want.kind, RECIPE_WANT_HTTP);
    assert_string_equal(want.http.url, BASE "/provisioning/previews");
    assert_true(want.http.body.length > 853376 && want.http.effect);
    assert_true(mf_span_starts(want.http.body, "{\"termsOfService\":\"https://www.cloudflare.com/terms/\",\"privacyPolicy\":\"https://www.cloudflare.com/"
                                               "privacypolicy/\",\"acceptTermsOfService\":\"yes\",\"challengeToken\":\"ct\",\"solution\":{\"checkpoints\":\"AAAA"));
    want = answer(exec, 200, "{\"result\":{\"account\":{\"id\":\"" ID "\",\"apiToken\":\"cfat_x\",\"expiresAt\":\"2026-11-23T20:59:00Z\"},"
                             "\"claim\":{\"url\":\"https://dash.cloudflare.com/claim-preview?claimToken=x\",\"expiresAt\":\"2026-11-23T20:58:00Z\"}}}");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    assert_true(is(want.result.claim_url, "https://dash.cloudflare.com/claim-preview?claimToken=x"));
    assert_true(want.result.expires_ms == NOW_MS + 59 * 60000 && want.result.claim_expires_ms == NOW_MS + 58 * 60000);
    assert_true(is(want.result.ids_json, "{\"account_id\":\"" ID "\"}") && is(want.result.secrets_json, "{\"token\":\"cfat_x\"}"));
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_challenges(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-temporary");
    static const struct {
        const char *body;
        enum recipe_verdict verdict;
    } bad[] = {
        {"{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"AAEC\",\"k\":1000,\"g\":2000}}", RECIPE_VERDICT_REFUSED},
        {"{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"" SEED "\",\"k\":-1,\"g\":2000}}", RECIPE_VERDICT_REFUSED},
        {"{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"" SEED "\",\"k\":1.5,\"g\":2000}}", RECIPE_VERDICT_REFUSED},
        {"{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"" SEED "\",\"k\":99999999999999999999999,\"g\":2000}}", RECIPE_VERDICT_REFUSED},
        {"{\"result\":{\"challengeToken\":\"ct\",\"seed\":\"" SEED "\",\"k\":1000}}", RECIPE_VERDICT_RETRY},
        {"<html>", RECIPE_VERDICT_RETRY},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct recipe_exec *exec = begin_temporary(recipe);
        struct recipe_want want = answer(exec, 200, bad[i].body);
        expect_done(&want, bad[i].verdict, NULL);
        recipe_exec_destroy(exec);
    }
    struct recipe_exec *exec = begin_temporary(recipe);
    answer(exec, 200, CHALLENGE);
    struct recipe_want want = solve(exec, (struct mf_span){NULL, 0});
    expect_done(&want, RECIPE_VERDICT_REFUSED, "proof: challenge could not be solved");
    recipe_exec_destroy(exec);
    static const struct {
        const char *message;
        enum recipe_verdict verdict;
    } refused[] = {{"challenge_expired", RECIPE_VERDICT_RETRY}, {"challenge_already_used", RECIPE_VERDICT_RETRY}, {"invalid_solution", RECIPE_VERDICT_REFUSED}};
    for (size_t i = 0; i < 3; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"errors\":[{\"code\":1017,\"message\":\"%s\"}]}", refused[i].message);
        exec = begin_temporary(recipe);
        answer(exec, 200, CHALLENGE);
        solve(exec, MF_SPAN("AAAA"));
        want = answer(exec, 400, body);
        expect_done(&want, refused[i].verdict, "made: POST /provisioning/previews: HTTP 400 (code 1017)");
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

static int64_t expiry(const struct recipe *recipe, const char *json, const char *date)
{
    struct recipe_exec *exec = begin_temporary(recipe);
    const struct recipe_value header_of_date = {MF_SPAN("date"), mf_span(date)};
    char body[500];
    answer(exec, 200, CHALLENGE);
    solve(exec, MF_SPAN("AAAA"));
    snprintf(body, sizeof body, "{\"result\":{\"account\":{\"id\":\"a\",\"apiToken\":\"t\",\"expiresAt\":%s},\"claim\":{\"url\":\"u\",\"expiresAt\":\"x\"}}}", json);
    struct recipe_want want = answer_with(exec, 200, body, &header_of_date, date == NULL ? 0 : 1);
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    int64_t at_ms = want.result.expires_ms;
    recipe_exec_destroy(exec);
    return at_ms;
}

static void test_expiry(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-temporary");
    const int64_t minute = 60000, hour = 60 * minute;
    static const struct {
        const char *json, *date;
        int64_t after_ms;
    } cases[] = {
        {"\"2026-11-23T20:30:00Z\"", NULL, 30 * 60000},
        {"\"2026-11-23T21:30:00+01:00\"", NULL, 30 * 60000},
        {"1795465800", NULL, 30 * 60000},
        {"1795465800000", NULL, 30 * 60000},
        {"\"1795465800\"", NULL, 30 * 60000},
        {"\"2026-11-23T19:00:00Z\"", NULL, 0},
        {"\"1970-01-01T00:00:00Z\"", NULL, 0},
        {"\"9999-12-31T23:59:59Z\"", NULL, 60 * 60000},
        {"\"2026-11-23T20:30:00\"", NULL, 60 * 60000}, /* no zone: unreadable, so the lifetime counts */
        {"\"whenever\"", NULL, 60 * 60000},
        {"-1", NULL, 60 * 60000},
        {"\"2026-11-24T20:30:00Z\"", "Tue, 24 Nov 2026 20:00:00 GMT", 30 * 60000},
        {"\"2026-11-22T20:30:00Z\"", "Sun, 22 Nov 2026 20:00:00 GMT", 30 * 60000},
        {"\"2026-11-23T20:30:00Z\"", "Mon, 23 Nov 2026 19:59:59 GMT", 30 * 60000},
        {"\"2026-11-23T20:30:00Z\"", "yesterday", 30 * 60000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at_ms = expiry(recipe, cases[i].json, cases[i].date);
        if (at_ms != NOW_MS + cases[i].after_ms)
            fail_msg("%s: %lld", cases[i].json, (long long)(at_ms - NOW_MS));
    }
    assert_true(hour == 60 * minute);
    recipe_destroy(recipe);
}

static void test_purge(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-temporary");
    struct recipe_vars vars = vars_for(RECIPE_DELETE);
    vars.ids_json = MF_SPAN("{\"account_id\":\"" ID "\"}");
    vars.secrets_json = MF_SPAN("{\"token\":\"cfat_x\"}");
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "GET", BASE "/accounts/" ID "/workers/scripts", "");
    assert_string_equal(header(&want, "authorization"), "Bearer cfat_x");
    want = answer(exec, 200, "{\"result\":[{\"id\":\"a.b\"},{\"id\":\"c/d e\"}]}");
    expect_request(&want, "DELETE", BASE "/accounts/" ID "/workers/scripts/a.b?force=true", "");
    want = answer(exec, 500, "");
    expect_request(&want, "DELETE", BASE "/accounts/" ID "/workers/scripts/c%2Fd%20e?force=true", ""); /* the others are not forgotten */
    want = answer(exec, 404, "");
    expect_request(&want, "GET", BASE "/accounts/" ID "/queues?page=1&per_page=100", "");
    int requests = 0;
    for (; want.kind == RECIPE_WANT_HTTP; requests++)
        want = answer(exec, 200, requests == 3 ? "{\"result\":{\"buckets\":[{\"name\":\"b\"}]}}" : "{\"result\":[]}");
    assert_int_equal(requests, 7); /* six lists and one bucket */
    expect_done(&want, RECIPE_VERDICT_UNKNOWN, "scripts-deleted: DELETE /accounts/{{account.account_id}}/workers/scripts/{{item}}: HTTP 500");
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_purge_after_expiry(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("cloudflare-temporary");
    struct recipe_vars vars = vars_for(RECIPE_DELETE);
    vars.ids_json = MF_SPAN("{\"account_id\":\"" ID "\"}");
    vars.secrets_json = MF_SPAN("{\"token\":\"cfat_x\"}");
    for (int expired = 0; expired < 2; expired++) {
        vars.expired = expired == 1;
        struct recipe_exec *exec = begin(recipe, &vars);
        struct recipe_want want = next(exec, NULL);
        while (want.kind == RECIPE_WANT_HTTP)
            want = answer(exec, 401, "{}");
        expect_done(&want, expired == 1 ? RECIPE_VERDICT_SUCCESS : RECIPE_VERDICT_REFUSED, NULL);
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

/* --- templates --- */

#define HEAD "{\"recipe\":1,\"name\":\"t\",\"kind\":\"account\",\"base_url\":\"http://127.0.0.1:1\",\"limits\":{\"lifetime\":\"1h\"},\"inputs\":{\"zone\":\"x\"},"
#define TAIL ",\"delete\":{\"steps\":[{\"name\":\"d\",\"http\":{\"method\":\"DELETE\",\"path\":\"/x\"}}]}}"

static void test_places(void **state)
{
    (void)state;
    struct recipe *recipe = load_text(
        HEAD "\"create\":{\"steps\":[{\"name\":\"a\",\"effect\":false,\"http\":{\"method\":\"POST\",\"path\":\"/a\",\"form\":{\"q\":\"x={{inputs.zone}}&\",\"n\":5}},"
             "\"extract\":{\"id\":{\"pointer\":\"/id\",\"opaque\":true},\"n\":\"/n\",\"b\":\"/b\",\"text\":\"/text\",\"none\":{\"pointer\":\"/none\",\"optional\":true},"
             "\"session\":{\"header\":\"X-Session\",\"secret\":true}}},"
             "{\"name\":\"c\",\"builtin\":\"base64\",\"with\":{\"text\":\"{{a.text}}:{{random}}\"}},"
             "{\"name\":\"m\",\"http\":{\"method\":\"PUT\",\"path\":\"/b/{{a.id}}/x-{{tag}}\",\"query\":{\"t\":\"{{a.text}}\",\"none\":\"{{a.none}}\"},"
             "\"headers\":{\"X-Session\":\"{{a.session}}\",\"X-None\":\"{{a.none}}\",\"Authorization\":\"Basic {{c.text}}\"},"
             "\"body\":{\"n\":\"{{a.n}}\",\"b\":\"{{a.b}}\",\"s\":\"<{{a.n}}>\",\"t\":\"{{a.text}}\",\"none\":\"{{a.none}}\",\"{{tag}}\":[\"{{{{\",null,1.50,\"\\n\"]}}}],"
             "\"result\":{\"ids\":{\"id\":\"{{a.id}}\",\"n\":\"{{a.n}}\"}}}" TAIL);
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    const struct recipe_value input = {MF_SPAN("zone"), MF_SPAN("a b+c")};
    vars.inputs = &input;
    vars.input_count = 1;
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_request(&want, "POST", BASE "/a", "q=x%3Da%20b%2Bc%26&n=5");
    assert_string_equal(header(&want, "content-type"), "application/x-www-form-urlencoded");
    const struct recipe_value session = {MF_SPAN("x-session"), MF_SPAN("s3")};
    /* what an answer brings is never expanded again */
    want = answer_with(exec, 200, "{\"id\":\"a/../b.\",\"n\":12,\"b\":true,\"text\":\"{{credential}}\\\"\\u0001\"}", &session, 1);
    expect_request(&want, "PUT", BASE "/b/a%2F..%2Fb./x-mayfly-me-abcdefghijkl-7?t=%7B%7Bcredential%7D%7D%22%01",
                   "{\"n\":12,\"b\":true,\"s\":\"<12>\",\"t\":\"{{credential}}\\\"\\u0001\",\"mayfly-me-abcdefghijkl-7\":[\"{{\",null,1.50,\"\\n\"]}");
    assert_string_equal(header(&want, "x-session"), "s3");
    assert_null(header(&want, "x-none"));
    assert_string_equal(header(&want, "authorization"), "Basic e3tjcmVkZW50aWFsfX0iATpyYW5kb20tc2VjcmV0");
    want = answer(exec, 204, "");
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    assert_true(is(want.result.ids_json, "{\"id\":\"a/../b.\",\"n\":12}"));
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

static void test_header_injection(void **state)
{
    (void)state;
    struct recipe *recipe = load_text(
        HEAD "\"create\":{\"steps\":[{\"name\":\"a\",\"effect\":false,\"http\":{\"path\":\"/a\"},\"extract\":{\"t\":\"/t\"}},"
             "{\"name\":\"m\",\"http\":{\"method\":\"PUT\",\"path\":\"/b\",\"headers\":{\"X-T\":\"{{a.t}}\"}},\"extract\":{\"id\":\"/id\"}}],"
             "\"result\":{\"ids\":{\"id\":\"{{m.id}}\"}}}" TAIL);
    static const char *const values[] = {"a\\r\\nAuthorization: x", "a\\nb", "a\\rb", "\\u0007"};
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    for (size_t i = 0; i < 4; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"t\":\"%s\"}", values[i]);
        struct recipe_exec *exec = begin(recipe, &vars);
        next(exec, NULL);
        struct recipe_want want = answer(exec, 200, body);
        expect_done(&want, RECIPE_VERDICT_REFUSED, "m: PUT /b: x-t does not fit into a header");
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

static void test_poll(void **state)
{
    (void)state;
    struct recipe *recipe = load_text(
        HEAD "\"create\":{\"steps\":[{\"name\":\"m\",\"http\":{\"method\":\"PUT\",\"path\":\"/b\"},\"extract\":{\"id\":\"/id\"}}],\"result\":{\"ids\":{\"id\":\"{{m.id}}\"}}},"
             "\"delete\":{\"steps\":[{\"name\":\"d\",\"http\":{\"method\":\"DELETE\",\"path\":\"/x/{{account.id}}\"}},"
             "{\"name\":\"w\",\"http\":{\"path\":\"/x/{{account.id}}\"},\"outcomes\":[{\"status\":[404],\"is\":\"gone\"}],"
             "\"repeat\":{\"until\":{\"status\":[404]},\"every_ms\":250,\"times_max\":3}}]}}");
    struct recipe_vars vars = vars_for(RECIPE_DELETE);
    vars.ids_json = MF_SPAN("{\"id\":\"a\"}");
    for (int ready = 0; ready < 2; ready++) {
        struct recipe_exec *exec = begin(recipe, &vars);
        next(exec, NULL);
        struct recipe_want want = answer(exec, 202, "");
        for (int i = 0; i < 2; i++) {
            assert_int_equal(want.kind, RECIPE_WANT_HTTP);
            want = answer(exec, 200, "{}");
            assert_int_equal(want.kind, RECIPE_WANT_WAIT);
            assert_int_equal(want.wait_ms, 250);
            want = next(exec, NULL);
        }
        want = answer(exec, ready == 1 ? 404 : 200, "{}");
        expect_done(&want, ready == 1 ? RECIPE_VERDICT_SUCCESS : RECIPE_VERDICT_RETRY, NULL);
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

/* --- begin --- */

static void test_begin(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator"), *temporary = load_shipped("cloudflare-temporary"), *token = load_shipped("cloudflare-token");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    vars.credential = (struct mf_span){NULL, 0};
    assert_string_equal(begin_error(recipe, &vars), "create of provider emulator needs the operator's credential");
    vars = vars_for(RECIPE_CREATE);
    const struct mf_span wrong = MF_SPAN("workers:all");
    vars.permissions = &wrong;
    vars.permission_count = 1;
    assert_string_equal(begin_error(recipe, &vars), "provider emulator has no permission `workers:all`");
    vars = vars_for(RECIPE_CREATE);
    vars.terms_accepted = false;
    assert_string_equal(begin_error(temporary, &vars), "terms of provider cloudflare-temporary are not accepted");
    vars.op = RECIPE_FIND;
    assert_string_equal(begin_error(temporary, &vars), "provider cloudflare-temporary has no find");
    assert_string_equal(begin_error(token, &vars), "find of provider cloudflare-token needs input `account_id`");
    vars = vars_for(RECIPE_DELETE);
    assert_string_equal(begin_error(recipe, &vars), "delete of provider emulator needs `account_id`, which was not recorded");
    vars.ids_json = MF_SPAN("[1]");
    assert_string_equal(begin_error(recipe, &vars), "recorded ids are no JSON object");
    vars.ids_json = MF_SPAN("{\"account_id\":\"a/b\"}"); /* a journal that somebody edited */
    struct recipe_exec *exec = begin(recipe, &vars);
    struct recipe_want want = next(exec, NULL);
    expect_done(&want, RECIPE_VERDICT_REFUSED, "deleted: DELETE /accounts/{{account.account_id}}: account_id does not fit into a path");
    recipe_exec_destroy(exec);
    recipe_exec_destroy(NULL);
    recipe_destroy(recipe);
    recipe_destroy(temporary);
    recipe_destroy(token);
}

static int collect(void *context, struct mf_span name, struct mf_span value)
{
    mf_buf_printf(context, "%.*s=%.*s\n", MF_SPAN_ARGS(name), MF_SPAN_ARGS(value));
    return 0;
}

static void test_inject(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    struct mf_error error;
    struct mf_buf text;
    mf_buf_init_secret(&text, 1000);
    vars.ids_json = MF_SPAN("{\"account_id\":\"" ID "\"}");
    assert_int_equal(recipe_inject(recipe, &vars, collect, &text, &error), -1);
    assert_string_equal(error.text, "variable CLOUDFLARE_API_TOKEN of provider emulator: token is not known");
    vars.secrets_json = MF_SPAN("{\"token\":\"cfat_x\"}");
    mf_buf_clear(&text);
    assert_int_equal(recipe_inject(recipe, &vars, collect, &text, &error), 0);
    assert_string_equal(mf_buf_cstr(&text),
                        "CLOUDFLARE_API_BASE_URL=" BASE "\nCLOUDFLARE_BASE_URL=" BASE "\nCLOUDFLARE_API_TOKEN=cfat_x\nCLOUDFLARE_ACCOUNT_ID=" ID "\n");
    mf_buf_free(&text);
    recipe_destroy(recipe);
}

static void test_judge(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CHECK);
    vars.ids_json = MF_SPAN("{\"account_id\":\"" ID "\"}");
    struct recipe_exec *exec = begin(recipe, &vars);
    next(exec, NULL);
    struct recipe_reply reply = {.kind = RECIPE_REPLY_HTTP, .sent = true, .answered = true, .status = 503};
    assert_int_equal(recipe_judge(exec, &reply), RECIPE_VERDICT_RETRY);
    reply.status = 404;
    assert_int_equal(recipe_judge(exec, &reply), RECIPE_VERDICT_GONE);
    struct recipe_want want = answer(exec, 200, "{}"); /* judging took nothing */
    expect_done(&want, RECIPE_VERDICT_SUCCESS, NULL);
    recipe_exec_destroy(exec);
    recipe_destroy(recipe);
}

/* Whatever allocation fails, an execution ends, and a create whose request was answered is never called absent. */
static void test_without_memory(void **state)
{
    (void)state;
    struct recipe *recipe = load_shipped("emulator");
    struct recipe_vars vars = vars_for(RECIPE_CREATE);
    for (int64_t n = 0; n < 200; n++) {
        struct recipe_exec *exec;
        mf_alloc_fail_after(n, 1);
        int begun = recipe_begin(&exec, recipe, &vars, NULL);
        struct recipe_want want = {0};
        int answers = 0;
        for (int i = 0; begun == 0 && i < 10 && want.kind != RECIPE_WANT_DONE; i++) {
            bool http = i > 0 && want.kind == RECIPE_WANT_HTTP;
            if (http)
                want = answer(exec, 200, answers++ == 0 ? "{\"result\":{\"id\":\"" ID "\"}}" : "{\"result\":{\"id\":\"" TOKEN_ID "\",\"value\":\"v\"}}");
            else
                want = next(exec, NULL);
        }
        mf_alloc_fail_after(-1, 0);
        if (begun != 0)
            continue;
        assert_int_equal(want.kind, RECIPE_WANT_DONE);
        if (answers == 1 && want.result.ids_json.length == 0)
            assert_int_equal(want.result.verdict, RECIPE_VERDICT_UNKNOWN);
        recipe_exec_destroy(exec);
    }
    recipe_destroy(recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_create_without_permissions_or_end),
        cmocka_unit_test(test_teardown),
        cmocka_unit_test(test_revoke_of_a_found_account_does_nothing),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_list_pages),
        cmocka_unit_test(test_find_in_pages_that_never_end),
        cmocka_unit_test(test_certainty_of_effects),
        cmocka_unit_test(test_long_id_is_refused),
        cmocka_unit_test(test_half_created),
        cmocka_unit_test(test_lost_credential_names_nothing),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_temporary),
        cmocka_unit_test(test_challenges),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_purge_after_expiry),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_header_injection),
        cmocka_unit_test(test_poll),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_inject),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
