/*
 * recipe_load.c - unit tests of recipe/load*.c, template.c, permission.c and shipped.c: what loads, and what every bad file is told
 *
 * tests/data/recipes/bad/expected.txt names each bad file and a part of its first message; a file without a line fails.
 */
#include "base/alloc.h"
#include "recipe/recipe.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA MAYFLY_SOURCE_DIR "/tests/data/recipes/"

static struct mf_span read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    char *data = mf_alloc(4u << 20);
    size_t length = fread(data, 1, 4u << 20, file);
    fclose(file);
    char *exact = mf_strndup(data, length);
    mf_free(data);
    return (struct mf_span){exact, length};
}

static void release(struct mf_span text)
{
    char *data;
    memcpy(&data, &text.data, sizeof data);
    mf_free(data);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static size_t list_json(const char *folder, char **names, size_t room)
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL && count < room;)
        if (strstr(entry->d_name, ".json") != NULL)
            names[count++] = mf_strdup(entry->d_name);
    closedir(directory);
    qsort(names, count, sizeof *names, compare_names);
    return count;
}

static struct recipe *load(struct mf_span text, const char *name)
{
    struct recipe *recipe = NULL;
    struct mf_error error = {0};
    struct mf_buf problems;
    mf_buf_init(&problems, 100000);
    if (recipe_load(&recipe, text, name, &problems, &error) != 0)
        fail_msg("%s", mf_buf_cstr(&problems));
    assert_int_equal(problems.length, 0);
    mf_buf_free(&problems);
    return recipe;
}

static struct recipe *shipped(const char *name)
{
    struct mf_span text = recipe_shipped(name);
    assert_true(text.length > 0);
    return load(text, name);
}

static void test_shipped(void **state)
{
    (void)state;
    static const char *const names[] = {"anthropic",         "bearer",           "cloudflare-temporary", "cloudflare-tenant",
                                        "cloudflare-token",  "emulator",         "openai"};
    uint32_t count = 0;
    for (; recipe_shipped_name(count) != NULL; count++) {
        assert_string_equal(recipe_shipped_name(count), names[count]);
        struct recipe *recipe = shipped(names[count]);
        assert_string_equal(recipe_info(recipe)->name, names[count]);
        assert_non_null(recipe_info(recipe)->description);
        assert_true(recipe_text(recipe).length == recipe_shipped(names[count]).length);
        recipe_destroy(recipe);
    }
    assert_int_equal(count, 7);
    assert_int_equal(recipe_shipped("permissions-cloudflare").length, 0);
    assert_int_equal(recipe_shipped("nothing").length, 0);
}

static void test_info(void **state)
{
    (void)state;
    struct recipe *recipe = shipped("cloudflare-temporary");
    const struct recipe_info *info = recipe_info(recipe);
    assert_int_equal(info->kind, RECIPE_KIND_ACCOUNT);
    assert_string_equal(info->base_url, "https://api.cloudflare.com/client/v4");
    assert_string_equal(info->base_url_env, "CLOUDFLARE_API_BASE_URL");
    assert_int_equal(info->terms_count, 2);
    assert_int_equal(info->lifetime_ms, 3600000);
    assert_int_equal(info->requests_per_window, 1200);
    assert_int_equal(info->window_ms, 300000);
    assert_true(info->has[RECIPE_CREATE] && info->has[RECIPE_DELETE] && !info->has[RECIPE_FIND] && !info->has[RECIPE_REVOKE]);
    assert_true(info->delete_ends_expiring && info->has_claim && info->has_proof_of_work && !info->needs_credential && !info->scoped_tokens);
    recipe_destroy(recipe);
    recipe = shipped("cloudflare-token");
    info = recipe_info(recipe);
    assert_int_equal(info->kind, RECIPE_KIND_CREDENTIAL);
    assert_int_equal(info->inputs_count, 1);
    assert_string_equal(info->inputs[0], "account_id");
    assert_true(info->needs_credential && info->scoped_tokens && !info->has[RECIPE_DELETE] && info->has[RECIPE_REVOKE]);
    assert_int_equal(info->consistency_ms, 10000);
    recipe_destroy(recipe);
}

static void test_permissions(void **state)
{
    (void)state;
    struct recipe *recipe = shipped("emulator");
    assert_true(recipe_has_permission(recipe, mf_span("workers_scripts:write")));
    assert_true(recipe_has_permission(recipe, mf_span("dns:write")));
    assert_false(recipe_has_permission(recipe, mf_span("workers_scripts")));
    assert_string_equal(recipe_permission_name(recipe, 0), "account_settings:read");
    assert_string_equal(recipe_permission_rule(recipe, mf_span("account_settings:read"), 1), "GET /accounts/{account_id}");
    assert_null(recipe_permission_rule(recipe, mf_span("account_settings:read"), 4));
    assert_string_equal(recipe_permission_parameter(recipe, mf_span("workers_scripts:write"), 0), "script");
    assert_null(recipe_permission_parameter(recipe, mf_span("workers_scripts:write"), 1));
    assert_null(recipe_permission_parameter(recipe, mf_span("account_settings:read"), 0)); /* bound to the account, not a parameter */
    assert_string_equal(recipe_permission_parameter(recipe, mf_span("workers_kv:read"), 1), "key");
    assert_null(recipe_permission_rule(recipe, mf_span("none"), 0));
    recipe_destroy(recipe);
}

static void test_good_files(void **state)
{
    (void)state;
    char *names[200];
    size_t count = list_json(DATA "good", names, 200);
    assert_true(count >= 3);
    for (size_t i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, DATA "good/%s", names[i]);
        struct mf_span text = read_file(path);
        recipe_destroy(load(text, names[i]));
        release(text);
        mf_free(names[i]);
    }
}

/* The expected part of the message of a bad file. */
static bool expected(const char *list, const char *name, char *out, size_t out_bytes)
{
    char key[300];
    snprintf(key, sizeof key, "\n%s\t", name);
    const char *line = strstr(list, key);
    if (line == NULL)
        return false;
    line += strlen(key);
    snprintf(out, out_bytes, "%.*s", (int)strcspn(line, "\n"), line);
    return true;
}

static void test_bad_files(void **state)
{
    (void)state;
    char *names[200];
    size_t count = list_json(DATA "bad", names, 200);
    assert_true(count >= 40);
    struct mf_span list = read_file(DATA "bad/expected.txt");
    for (size_t i = 0; i < count; i++) {
        char path[1024], wanted[400];
        struct mf_error error = {0};
        struct recipe *recipe;
        struct mf_buf problems;
        mf_buf_init(&problems, 100000);
        snprintf(path, sizeof path, DATA "bad/%s", names[i]);
        if (!expected(list.data, names[i], wanted, sizeof wanted))
            fail_msg("%s has no line in expected.txt", names[i]);
        struct mf_span text = read_file(path);
        if (recipe_load(&recipe, text, names[i], &problems, &error) == 0)
            fail_msg("%s was accepted", names[i]);
        assert_null(recipe);
        assert_int_equal(error.code, MF_INPUT);
        if (strstr(error.text, wanted) == NULL)
            fail_msg("%s:\n  got    %s\n  wanted %s", names[i], error.text, wanted);
        assert_true(strncmp(error.text, names[i], strlen(names[i])) == 0 && error.text[strlen(names[i])] == ':');
        assert_true(problems.length > 0);
        mf_buf_free(&problems);
        release(text);
        mf_free(names[i]);
    }
    release(list);
}

static void test_all_problems_are_told(void **state)
{
    (void)state;
    static const char text[] = "{\"recipe\": 2, \"name\": \"X\", \"kind\": \"acount\", \"base_url\": \"http://example.com\",\n \"creates\": {}}";
    struct mf_error error;
    struct recipe *recipe;
    struct mf_buf problems;
    mf_buf_init(&problems, 10000);
    assert_int_equal(recipe_load(&recipe, mf_span(text), "p.json", &problems, &error), -1);
    const char *all = mf_buf_cstr(&problems);
    assert_non_null(strstr(all, "p.json:2:2: /creates: unknown key `creates`, did you mean `create`?\n"));
    assert_non_null(strstr(all, "p.json:1:12: /recipe: must be a whole number from 1 to 1\n"));
    assert_non_null(strstr(all, "name `X` must match"));
    assert_non_null(strstr(all, "`acount` must be one of account, credential, service, did you mean `account`?"));
    assert_non_null(strstr(all, "/base_url: base_url http:// is only for this machine: use https://\n"));
    mf_buf_free(&problems);
}

static void test_base_urls(void **state)
{
    (void)state;
    static const char *const good[] = {"https://api.example.com",     "https://api.example.com/v4",  "https://api.example.com:8443/v4", "http://127.0.0.1:8080",
                                       "http://127.1.2.3/a/b",        "http://localhost:1/x",        "http://[::1]:9/v1",               "https://10.1.2.3/x",
                                       "https://[2001:db8::1]:443/x", "https://xn--bcher-kva.ch/v1", "https://a.b/client/v4.1_x~y"};
    static const char *const bad[] = {
        "", "api.example.com", "ftp://x.test", "file:///etc/passwd", "HTTPS://x.test", "https:/x.test", "https://", "https:///x",
        "http://example.com", "http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.", "http://localhost.example.com",
        "https://user@x.test", "https://user:pw@x.test", "https://x.test%2Fevil", "https://x%2etest", "https://x.test:0", "https://x.test:65536",
        "https://x.test:", "https://x.test:8a", "https://x.test:+1", "https://0177.0.0.1", "https://0x7f.0.0.1", "https://2130706433", "https://127.1",
        "https://1.2.3.4.5", "https://1.2.3.256", "https://x.test/", "https://x.test/a/", "https://x.test//a", "https://x.test/../a", "https://x.test/a?b",
        "https://x.test#a", "https://x.test/a b", "https://x.test/a%2fb", "https://x..test", "https://.x.test", "https://x.test.", "https://-x.test",
        "https://x-.test", "https://x_y.test", "https://x.test\\@evil", "https://x.test\r\nHost: y", "https://[::1", "https://[::1]x", "https://[g]",
        "http://[::2]", "https://\xc3\xa9.test", "https://x.test/\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (recipe_base_url_problem(mf_span(good[i])) != NULL)
            fail_msg("%s: %s", good[i], recipe_base_url_problem(mf_span(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (recipe_base_url_problem(mf_span(bad[i])) == NULL)
            fail_msg("accepted: %s", bad[i]);
}

/* Every prefix of a recipe is refused and frees what it took. */
static void test_every_cut(void **state)
{
    (void)state;
    struct mf_span text = recipe_shipped("cloudflare-token");
    while (text.data[text.length - 1] != '}')
        text.length--;
    for (size_t length = 0; length < text.length; length += 7) {
        struct recipe *recipe;
        char *exact = mf_strndup(text.data, length);
        assert_int_equal(recipe_load(&recipe, (struct mf_span){exact, length}, "cut", NULL, NULL), -1);
        mf_free(exact);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    struct mf_span text = recipe_shipped("cloudflare-temporary");
    struct recipe *recipe;
    uint64_t before = mf_alloc_count();
    assert_int_equal(recipe_load(&recipe, text, "x", NULL, NULL), 0);
    int64_t needed = (int64_t)(mf_alloc_count() - before);
    recipe_destroy(recipe);
    for (int64_t n = 0; n < needed; n++) {
        struct mf_error error = {0};
        mf_alloc_fail_after(n, 1);
        int result = recipe_load(&recipe, text, "x", NULL, &error);
        mf_alloc_fail_after(-1, 0);
        if (result == 0 || error.code != MF_MEMORY)
            fail_msg("allocation %lld: %s", (long long)n, result == 0 ? "loaded" : error.text);
    }
    recipe_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped),    cmocka_unit_test(test_info),
        cmocka_unit_test(test_permissions), cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_bad_files),  cmocka_unit_test(test_all_problems_are_told),
        cmocka_unit_test(test_base_urls),  cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
