/* rerun.c - mayfly rerun: tasks of a finished run again, on the same journal */
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/launch.h"

int cmd_rerun(const struct options *options)
{
    struct mf_error error;
    struct graph *graph = NULL;
    struct pairs credentials = {0};
    char id[13];
    long running = 0;
    if (pairs_take(&credentials, options, "credential", false) != 0 ||
        option_number(options, "running", 1, 100000, &running) != 0) {
        pairs_free(&credentials);
        return 2;
    }
    int code;
    if (app_load_run(option_value(options, "state"), options->arguments[0], id, &graph, &error) != 0) {
        code = complain(&error);
    } else {
        struct app_options app_options = {.mode = APP_RERUN,
                                          .graph = graph,
                                          .run = id,
                                          .tasks = options->arguments + 1,
                                          .task_count = (uint32_t)(options->argument_count - 1),
                                          .running = (uint32_t)running,
                                          .with_dependents = option_set(options, "with-dependents"),
                                          .credentials = credentials.items,
                                          .credential_count = credentials.count};
        code = launch(&app_options, options);
    }
    graph_destroy(graph);
    pairs_free(&credentials);
    return code;
}
