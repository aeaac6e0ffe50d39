/* runner_glob.c - globs, environments, instance paths, git URLs: the small parsers of the runner */
#include "base/alloc.h"
#include "runner/environment.h"
#include "runner/git.h"
#include "runner/glob.h"
#include "runner/paths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void globs_match_paths(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *path;
        bool matches;
    } cases[] = {
        {"dist/**", "dist/a", true},
        {"dist/**", "dist/a/b/c", true},
        {"dist/**", "other/a", false},
        {"dist/**", "distant/a", false},
        {"dist/", "dist/a/b", true},
        {"*.txt", "a.txt", true},
        {"*.txt", "d/a.txt", false},
        {"**/*.txt", "a.txt", true},
        {"**/*.txt", "d/e/a.txt", true},
        {"**", "a/b", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXbYbZ", false},
        {"*", ".hidden", true},
        {"./x", "x", true},
        {"a/**/z", "a/z", true},
        {"a/**/z", "a/b/c/z", true},
        {"a/**/z", "a/b/c/y", false},
        {"**/b/**", "a/b/c", true},
        {"a**", "abc", true},
        {"a**", "abc/d", false},
        {"x/*/y", "x/a/b/y", false},
        {"[a]", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct glob glob;
        assert_int_equal(glob_compile(&glob, mf_span(cases[i].glob)), 0);
        if (glob_matches(&glob, mf_span(cases[i].path)) != cases[i].matches)
            fail_msg("%s %s", cases[i].glob, cases[i].path);
    }
}

static void bad_globs_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/abs", "a//b", "../x", "a/../b", ".", "a/.."};
    struct glob glob;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(glob_compile(&glob, mf_span(bad[i])), -1);
    char many[2 * GLOB_SEGMENTS_MAX + 3] = "";
    for (int i = 0; i < GLOB_SEGMENTS_MAX; i++)
        strcat(many, "a/");
    assert_int_equal(glob_compile(&glob, mf_span(many)), -1);
    many[2 * GLOB_SEGMENTS_MAX - 1] = '\0';
    assert_int_equal(glob_compile(&glob, mf_span(many)), 0);
}

static void a_hostile_glob_costs_little(void **state)
{
    (void)state;
    struct glob glob;
    char path[4000];
    assert_int_equal(glob_compile(&glob, mf_span("**/*a*a*a*a*a*a*a*a*b/**/*a*a*a*a*b/**/c")), 0);
    for (size_t i = 0; i < sizeof path; i++)
        path[i] = i % 100 == 99 ? '/' : 'a';
    for (int i = 0; i < 100; i++)
        assert_false(glob_matches(&glob, (struct mf_span){path, sizeof path}));
}

static void a_walk_leaves_out_what_cannot_match(void **state)
{
    (void)state;
    struct glob glob;
    assert_int_equal(glob_compile(&glob, mf_span("dist/*/x")), 0);
    glob_state top = glob_start(&glob);
    assert_true(glob_step(&glob, top, mf_span("node_modules")) == 0);
    glob_state dist = glob_step(&glob, top, mf_span("dist"));
    assert_true(dist != 0 && !glob_matched(&glob, dist));
    assert_true(glob_matched(&glob, glob_step(&glob, glob_step(&glob, dist, mf_span("a")), mf_span("x"))));
}

static void instances_are_what_the_design_names(void **state)
{
    (void)state;
    static const char *const good[] = {"plan", "deploy/web", "deploy/1.2.3", "a/.x", "A_b-c/0"};
    static const char *const bad[] = {"",    "/",  "a/",  "/a",    "a/b/c", "..",  "a/..",
                                      "a/.", ".a", "a b", "a/b c", "@0",    "a\n", "a/b\0c"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(paths_instance_valid(mf_span(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strcmp(bad[i], "a/b") != 0)
            assert_false(paths_instance_valid(mf_span(bad[i])));
    assert_false(paths_instance_valid((struct mf_span){"a/b\0c", 5}));
    char key[140];
    memset(key, 'k', sizeof key);
    memcpy(key, "a/", 2);
    assert_true(paths_instance_valid((struct mf_span){key, 66}));
    assert_false(paths_instance_valid((struct mf_span){key, 67}));
}

static void an_environment_has_each_name_once(void **state)
{
    (void)state;
    struct environment environment;
    struct mf_error error;
    environment_init(&environment);
    assert_int_equal(environment_set_text(&environment, "A", "1", NULL), 0);
    assert_int_equal(environment_set_text(&environment, "AB", "2", NULL), 0);
    assert_int_equal(environment_set_text(&environment, "A", "three", NULL), 0);
    const struct mf_span *spans = environment_spans(&environment);
    assert_int_equal(environment.count, 2);
    assert_int_equal(spans[0].length, 8);
    assert_string_equal(spans[0].data, "A=three");
    assert_string_equal(spans[1].data, "AB=2");
    assert_true(mf_span_is(environment_get(&environment, "AB"), "2"));
    assert_null(environment_get(&environment, "B").data);
    assert_int_equal(environment_set_text(&environment, "", "x", &error), -1);
    assert_int_equal(environment_set_text(&environment, "A=B", "x", &error), -1);
    assert_int_equal(environment_set(&environment, MF_SPAN("X"), (struct mf_span){"a\0b", 3}, &error), -1);
    assert_int_equal(error.code, MF_INPUT);
    environment_free(&environment);
}

static void a_credential_is_cut_out_of_a_url(void **state)
{
    (void)state;
    char stripped[256], credential[64];
    assert_int_equal(
        git_split_url("https://u:p%40@h.example/x@y.git", stripped, sizeof stripped, credential, sizeof credential), 0);
    assert_string_equal(stripped, "https://h.example/x@y.git");
    assert_string_equal(credential, "u:p%40");
    assert_int_equal(git_split_url("https://h.example/x", stripped, sizeof stripped, credential, sizeof credential), 0);
    assert_string_equal(stripped, "https://h.example/x");
    assert_string_equal(credential, "");
    assert_int_equal(git_split_url("ssh://git@h/x", stripped, sizeof stripped, credential, sizeof credential), 0);
    assert_string_equal(stripped, "ssh://git@h/x");
    assert_int_equal(git_split_url("https://a@b@h/x", stripped, sizeof stripped, credential, sizeof credential), 0);
    assert_string_equal(stripped, "https://h/x");
    assert_true(git_url_is_local("/srv/x") && git_url_is_local("./x") && git_url_is_local("file:///x"));
    assert_false(git_url_is_local("https://x") || git_url_is_local("git@h:x") || git_url_is_local("ext::sh"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_paths),
        cmocka_unit_test(bad_globs_are_refused),
        cmocka_unit_test(a_hostile_glob_costs_little),
        cmocka_unit_test(a_walk_leaves_out_what_cannot_match),
        cmocka_unit_test(instances_are_what_the_design_names),
        cmocka_unit_test(an_environment_has_each_name_once),
        cmocka_unit_test(a_credential_is_cut_out_of_a_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
