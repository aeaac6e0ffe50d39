/* document_corpus.c - every file of tests/data/graphs: the good ones load, the bad ones fail where and as their list
 * says */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "document/graph.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA MAYFLY_SOURCE_DIR "/tests/data/graphs/"

static void read_file(const char *path, struct mf_buf *out)
{
    char block[4096];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s: cannot open", path);
    mf_buf_init(out, 64u << 20);
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;)
        assert_int_equal(mf_buf_append(out, block, got), 0);
    fclose(file);
}

struct loaded {
    struct graph *graph;
    struct diagnostics *diagnostics;
    struct mf_buf printed;
};

static int load(const char *path, struct loaded *loaded)
{
    struct mf_buf text;
    struct mf_error error = {0};
    const char *name = strrchr(path, '/') + 1;
    const struct graph_options options = {.comments = mf_span_ends(mf_span(name), ".jsonc")};
    read_file(path, &text);
    *loaded = (struct loaded){0};
    assert_int_equal(diagnostics_create(&loaded->diagnostics, name, DIAGNOSTICS_SHOWN_MAX, &error), 0);
    int result = graph_load(&loaded->graph, &text, &options, loaded->diagnostics, &error);
    mf_buf_init(&loaded->printed, 4u << 20);
    assert_int_equal(diagnostics_print(loaded->diagnostics, &loaded->printed), 0);
    for (size_t i = 0; i < loaded->printed.length; i++) { /* whatever the file holds, a terminal stays safe */
        unsigned char byte = (unsigned char)loaded->printed.data[i];
        assert_true(byte >= 0x20 || byte == '\n');
        assert_true(byte != 0x7f);
    }
    return result;
}

static void unload(struct loaded *loaded)
{
    graph_destroy(loaded->graph);
    diagnostics_destroy(loaded->diagnostics);
    mf_buf_free(&loaded->printed);
}

static bool is_graph(const char *name)
{
    return name[0] != '.' && (mf_span_ends(mf_span(name), ".json") || mf_span_ends(mf_span(name), ".jsonc"));
}

static void test_good(void **state)
{
    (void)state;
    DIR *directory = opendir(DATA "good");
    int count = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[1024];
        struct loaded loaded;
        if (!is_graph(entry->d_name))
            continue;
        snprintf(path, sizeof path, DATA "good/%s", entry->d_name);
        if (load(path, &loaded) != 0)
            fail_msg("%s", mf_buf_cstr(&loaded.printed));
        unload(&loaded);
        count++;
    }
    closedir(directory);
    print_message("%d good graphs\n", count);
    assert_true(count >= 25);
}

/* One error of the file must stand at the place and hold the fragment. */
static void check_bad(const char *name, const char *place, const char *fragment)
{
    char path[1024];
    char head[1100];
    struct loaded loaded;
    snprintf(path, sizeof path, DATA "bad/%s", name);
    snprintf(head, sizeof head, "%s:%s: error: ", name, place);
    if (strcmp(place, "-") == 0)
        snprintf(head, sizeof head, "%s: error: ", name);
    if (load(path, &loaded) == 0)
        fail_msg("%s: was accepted", name);
    const char *line = strstr(mf_buf_cstr(&loaded.printed), head);
    const char *found = line != NULL ? strstr(line, fragment) : NULL;
    if (found == NULL || memchr(line, '\n', (size_t)(found - line)) != NULL)
        fail_msg("%s: wanted \"%s\" at %s, got:\n%s", name, fragment, place, mf_buf_cstr(&loaded.printed));
    unload(&loaded);
}

static int files_in(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += is_graph(entry->d_name);
    closedir(directory);
    return count;
}

static void test_bad(void **state)
{
    (void)state;
    struct mf_buf list;
    int count = 0;
    read_file(DATA "bad/expected.txt", &list);
    char *text = mf_buf_take(&list);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *name = strsep(&line, "\t");
        char *place = strsep(&line, "\t");
        if (line == NULL)
            continue;
        check_bad(name, place, line);
        count++;
    }
    mf_free(text);
    mf_buf_free(&list);
    print_message("%d bad graphs\n", count);
    assert_int_equal(count, files_in(DATA "bad"));
    assert_true(count >= 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
