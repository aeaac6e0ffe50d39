/* app_content.c - unit tests of app/content.c, content_files.c and revise.c: what changes a key, what does not, what a run can take */
#include "app/content_private.h"

#include "app_help.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"a", "b"};

struct place {
    char dir[64];
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->dir, sizeof place->dir, "/tmp/mfy-content-XXXXXX");
    *state = place;
    return place != NULL && mkdtemp(place->dir) != NULL ? 0 : -1;
}

static void write_file(const struct place *place, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", place->dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int remove_place(void **state)
{
    struct place *place = *state;
    static const char *const made[] = {"file", "tree/one", "tree/two", "tree/link", "tree", "."};
    char path[128];
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", place->dir, made[i]);
        if (i + 1 < sizeof made / sizeof made[0])
            remove(path);
    }
    rmdir(place->dir);
    free(place);
    return 0;
}

/* The key of the first task of a graph; false: none. */
static bool key_of(const struct place *place, const char *top, const char *a, uint8_t out[32])
{
    struct help_app help;
    char text[2048];
    snprintf(text, sizeof text, "{\"mayfly\": 1, %s \"tasks\": {\"a\": {%s}, \"b\": {\"command\": [\"true\"]}}}", top, a);
    help_app_open(&help, text, names, 2);
    help.app.base_dir = mf_strdup(place->dir);
    help.app.contents = contents_create();
    assert_non_null(help.app.contents);
    bool well = app_content_key(&help.app, 0, out);
    contents_destroy(help.app.contents);
    mf_free(help.app.base_dir);
    mf_free(help.app.nodes);
    help_app_close(&help);
    return well;
}

static void assert_same(const struct place *place, const char *left, const char *right, bool same)
{
    uint8_t a[32], b[32];
    assert_true(key_of(place, "", left, a));
    assert_true(key_of(place, "", right, b));
    if ((memcmp(a, b, sizeof a) == 0) != same)
        fail_msg("%s\nand\n%s\nhave %s key", left, right, same ? "not the same" : "the same");
}

static void test_definition(void **state)
{
    const struct place *place = *state;
    assert_same(place, "\"command\": [\"x\"], \"env\": {\"A\": \"1\", \"B\": \"2\"}", "\"env\":{\"B\":\"\\u0032\",\"A\":\"1\"},\"command\":[\"x\"]", true);
    assert_same(place, "\"command\": [\"x\"]", "\"command\": [\"x\"], \"timeout\": \"9s\", \"attempts\": 3, \"description\": \"d\", \"labels\": {\"l\": \"v\"}", true);
    assert_same(place, "\"command\": [\"x\"]", "\"command\": [\"y\"]", false);
    assert_same(place, "\"command\": [\"x\", \"y\"]", "\"command\": [\"y\", \"x\"]", false);
    assert_same(place, "\"command\": [\"x\"]", "\"command\": [\"x\"], \"collect\": [\"*\"]", false);
    assert_same(place, "\"command\": [\"x\"]", "\"command\": [\"x\"], \"verify\": {\"command\": [\"true\"]}", false);
    assert_same(place, "\"command\": [\"x\"]", "\"command\": [\"x\"], \"prompt\": \"words\"", false);
}

static void test_parameters(void **state)
{
    const struct place *place = *state;
    uint8_t a[32], b[32], c[32], d[32];
    const char *used = "\"command\": [\"x\", \"{{params.used}}\"]";
    assert_true(key_of(place, "\"params\": {\"used\": \"1\", \"other\": \"1\"},", used, a));
    assert_true(key_of(place, "\"params\": {\"used\": \"1\", \"other\": \"2\"},", used, b));
    assert_true(key_of(place, "\"params\": {\"used\": \"2\", \"other\": \"1\"},", used, c));
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    assert_true(key_of(place, "\"params\": {\"used\": \"1\"}, \"defaults\": {\"timeout\": \"5s\"},", used, d));
    assert_true(key_of(place, "\"params\": {\"used\": \"1\"}, \"defaults\": {\"timeout\": \"6s\"},", used, c));
    assert_memory_equal(c, d, sizeof c);
}

static void test_files(void **state)
{
    const struct place *place = *state;
    const char *file = "\"command\": [\"x\"], \"files\": [\"file\"]", *tree = "\"command\": [\"x\"], \"files\": [\"tree/\"]";
    uint8_t a[32], b[32];
    char path[128], target[128];
    assert_false(key_of(place, "", file, a)); /* it is not there */
    write_file(place, "file", "one");
    assert_true(key_of(place, "", file, a));
    write_file(place, "file", "two");
    assert_true(key_of(place, "", file, b));
    assert_memory_not_equal(a, b, sizeof a);
    write_file(place, "file", "one");
    assert_true(key_of(place, "", file, b));
    assert_memory_equal(a, b, sizeof a);
    snprintf(path, sizeof path, "%s/file", place->dir);
    assert_int_equal(chmod(path, 0700), 0);
    assert_true(key_of(place, "", file, b));
    assert_memory_not_equal(a, b, sizeof a);

    snprintf(path, sizeof path, "%s/tree", place->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(place, "tree/one", "x");
    assert_true(key_of(place, "", tree, a));
    write_file(place, "tree/two", "");
    assert_true(key_of(place, "", tree, b));
    assert_memory_not_equal(a, b, sizeof a);
    snprintf(target, sizeof target, "%s/tree/link", place->dir);
    assert_int_equal(symlink("one", target), 0);
    assert_false(key_of(place, "", tree, b)); /* nobody copies links */
    assert_false(key_of(place, "", "\"command\": [\"x\"], \"workspace\": {\"git\": \"https://example.com/a.git\", \"ref\": \"main\"}", a));
    assert_true(key_of(place, "", "\"command\": [\"x\"], \"workspace\": {\"git\": \"https://example.com/a.git\", \"ref\": \"0123456789abcdef0123456789abcdef01234567\"}", a));
}

static struct graph *load(const char *tasks)
{
    struct help_app help;
    char text[2048];
    snprintf(text, sizeof text, "{\"mayfly\": 1, \"provider\": \"emulator\", \"tasks\": {%s}}", tasks);
    memset(&help, 0, sizeof help);
    struct mf_buf bytes;
    struct mf_error error = {0};
    struct graph_options options = {.comments = true};
    struct diagnostics *problems = NULL;
    struct graph *graph = NULL;
    mf_buf_init(&bytes, 65536);
    mf_buf_text(&bytes, text);
    assert_int_equal(diagnostics_create(&problems, "graph.json", DIAGNOSTICS_SHOWN_MAX, &error), 0);
    if (graph_load(&graph, &bytes, &options, problems, &error) != 0)
        fail_msg("%s", error.text);
    diagnostics_destroy(problems);
    mf_buf_free(&bytes);
    return graph;
}

static void assert_taken(const char *old_tasks, const char *new_tasks, const char *why_not)
{
    struct graph *old = load(old_tasks), *graph = load(new_tasks);
    struct mf_error error = {0};
    int result = app_revise_check(old, graph, &error);
    if (why_not == NULL)
        assert_int_equal(result, 0);
    else if (result == 0 || strstr(error.text, why_not) == NULL)
        fail_msg("%s: wanted %s", error.text, why_not);
    graph_destroy(old);
    graph_destroy(graph);
}

static void test_what_a_run_takes(void **state)
{
    (void)state;
    const char *a = "\"a\": {\"command\": [\"x\"]}", *both = "\"a\": {\"command\": [\"x\"]}, \"b\": {\"command\": [\"x\"]}";
    assert_taken(both, "\"b\": {\"command\": [\"y\"], \"needs\": [\"a\"]}, \"a\": {\"command\": [\"z\"], \"timeout\": \"3s\"}", NULL);
    assert_taken(a, both, "task `b`: the run has no such task");
    assert_taken(both, a, "task `b`: the graph has it no more");
    assert_taken(a, "\"a\": {\"command\": [\"x\"], \"for_each\": [1]}", "`for_each`");
    assert_taken(a, "\"a\": {\"command\": [\"x\"], \"account\": {\"permissions\": []}}", "number of accounts");
    assert_taken("\"a\": {\"command\": [\"x\"], \"account\": {\"permissions\": []}}",
                 "\"a\": {\"command\": [\"x\"], \"account\": {\"permissions\": [], \"provider\": \"cloudflare-temporary\"}}", "provider");
}

static void test_text_in_the_order_of_the_run(void **state)
{
    (void)state;
    struct graph *old = load("\"a\": {\"command\": [\"x\"]}, \"b\": {\"command\": [\"x\"]}"),
                 *graph = load("\"b\": {\"command\": [\"y\"] /* } */}, \"a\": {\"command\": [\"z\"]}");
    struct mf_error error = {0};
    struct mf_buf text;
    mf_buf_init(&text, 65536);
    assert_int_equal(app_revise_text(old, graph, &text, &error), 0);
    const char *a = strstr(mf_buf_cstr(&text), "\"a\": {\"command\": [\"z\"]}"), *b = strstr(mf_buf_cstr(&text), "\"b\": {\"command\": [\"y\"]");
    assert_true(a != NULL && b != NULL && a < b);
    assert_non_null(strstr(mf_buf_cstr(&text), "\"provider\": \"emulator\""));
    mf_buf_free(&text);
    graph_destroy(old);
    graph_destroy(graph);
}

/* Without memory there is no key, and never another one. */
static void test_memory(void **state)
{
    const struct place *place = *state;
    struct help_app help;
    uint8_t right[32], out[32];
    write_file(place, "file", "one");
    help_app_open(&help, "{\"mayfly\": 1, \"tasks\": {\"a\": {\"command\": [\"x\"], \"files\": [\"file\"], \"env\": {\"B\": \"1\", \"A\": \"2\"}}, \"b\": {\"command\": [\"true\"]}}}", names, 2);
    help.app.base_dir = mf_strdup(place->dir);
    help.app.contents = contents_create();
    assert_true(app_content_key(&help.app, 0, right));
    for (int64_t n = 0; n < 100; n++) {
        mf_alloc_fail_after(n, 1);
        if (app_content_key(&help.app, 0, out))
            assert_memory_equal(out, right, sizeof right);
    }
    mf_alloc_fail_after(-1, 0);
    assert_true(app_content_key(&help.app, 0, out));
    contents_destroy(help.app.contents);
    mf_free(help.app.base_dir);
    mf_free(help.app.nodes);
    help_app_close(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_definition, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_parameters, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_files, make_place, remove_place),
        cmocka_unit_test(test_what_a_run_takes),
        cmocka_unit_test(test_text_in_the_order_of_the_run),
        cmocka_unit_test_setup_teardown(test_memory, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
