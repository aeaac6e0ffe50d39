/* resume.c - mayfly resume: goes on with a run where it stopped, on the same journal */
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/launch.h"

int cmd_resume(const struct options *options)
{
    struct mf_error error;
    struct graph *graph = NULL;
    struct pairs credentials = {0};
    char id[13];
    long running = 0;
    int code = 2;
    if (pairs_take(&credentials, options, "credential", false) != 0 ||
        option_number(options, "running", 1, 100000, &running) != 0) {
        code = 2;
    } else if (app_load_run(option_value(options, "state"), options->arguments[0], id, &graph, &error) != 0) {
        code = complain(&error);
    } else {
        struct app_options app_options = {.mode = APP_RESUME,
                                          .graph = graph,
                                          .run = id,
                                          .running = (uint32_t)running,
                                          .strict_teardown = option_set(options, "strict-teardown"),
                                          .credentials = credentials.items,
                                          .credential_count = credentials.count};
        code = launch(&app_options, options);
    }
    graph_destroy(graph);
    pairs_free(&credentials);
    return code;
}
