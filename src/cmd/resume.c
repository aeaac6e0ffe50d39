/* resume.c - mayfly resume: goes on with a run where it stopped, on the same journal */
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/launch.h"

int cmd_resume(const struct options *options)
{
    struct mf_error error;
    struct graph *graph = NULL, *previous = NULL;
    struct pairs credentials = {0};
    char id[13];
    long running = 0;
    const char *path = options->argument_count > 1 ? options->arguments[1] : NULL;
    int code = 2;
    if (pairs_take(&credentials, options, "credential", false) != 0 ||
        option_number(options, "running", 1, 100000, &running) != 0) {
        code = 2;
    } else if (path != NULL &&
               (code = graphs_read_revision(options, options->arguments[0], id, path, &previous, &graph)) != 0) {
        /* said what is wrong */
    } else if (path == NULL &&
               app_load_run(option_value(options, "state"), options->arguments[0], id, &graph, &error) != 0) {
        code = complain(&error);
    } else {
        struct app_options app_options = {.mode = APP_RESUME,
                                          .graph = graph,
                                          .graph_path = path,
                                          .previous = previous,
                                          .run = id,
                                          .running = (uint32_t)running,
                                          .strict_teardown = option_set(options, "strict-teardown"),
                                          .credentials = credentials.items,
                                          .credential_count = credentials.count};
        code = launch(&app_options, options);
    }
    graph_destroy(graph);
    graph_destroy(previous);
    pairs_free(&credentials);
    return code;
}
