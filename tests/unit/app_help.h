/* app_help.h - a run without a world: a graph, a core, a name; for tests of what observers and reports say */
#ifndef MF_TESTS_APP_HELP_H
#define MF_TESTS_APP_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/app_private.h"
#include "base/alloc.h"
#include "document/diagnostics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_TASKS_MAX 8

struct help_app {
    struct app app;
    const char *names[HELP_TASKS_MAX];
};

static inline void help_app_open(struct help_app *help, const char *graph_text, const char *const *names, uint32_t name_count)
{
    struct mf_buf text;
    struct mf_error error = {0};
    struct graph_options options = {0};
    struct diagnostics *problems = NULL;
    memset(help, 0, sizeof *help);
    mf_buf_init(&text, 65536);
    mf_buf_text(&text, graph_text);
    assert_int_equal(diagnostics_create(&problems, "graph.json", DIAGNOSTICS_SHOWN_MAX, &error), 0);
    if (graph_load(&help->app.graph, &text, &options, problems, &error) != 0)
        fail_msg("%s", error.text);
    diagnostics_destroy(problems);
    mf_buf_free(&text);
    help->app.options.running = 2;
    assert_int_equal(app_build_core_graph(&help->app, &error), 0);
    assert_int_equal(core_create(&help->app.core, &help->app.core_graph, &help->app.limits, 1, &error), 0);
    snprintf(help->app.run_id, sizeof help->app.run_id, "abcdefgh2345");
    memcpy(help->names, names, name_count * sizeof *names);
    help->app.task_names = help->names;
    help->app.base_ms = 1700000000000;
    help->app.opened_ms = help->app.base_ms;
    help->app.start_ms = net_now_ms();
}

static inline void help_app_close(struct help_app *help)
{
    core_destroy(help->app.core);
    app_free_core_graph(&help->app);
    graph_destroy(help->app.graph);
}

/* What was written to a FILE of memory. */
struct help_file {
    FILE *file;
    char *text;
    size_t bytes;
};

static inline FILE *help_file_open(struct help_file *help)
{
    *help = (struct help_file){0};
    help->file = open_memstream(&help->text, &help->bytes);
    assert_non_null(help->file);
    return help->file;
}

static inline const char *help_file_text(struct help_file *help)
{
    assert_int_equal(fflush(help->file), 0);
    return help->text;
}

static inline void help_file_close(struct help_file *help)
{
    fclose(help->file);
    free(help->text);
}

#endif
