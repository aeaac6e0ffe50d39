/* run.c - mayfly run: one run of a task graph, from options to exit code */
#include "app/progress.h"
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/launch.h"
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_name(const char *name)
{
    if (name == NULL || graph_is_key(mf_span(name)))
        return 0;
    fprintf(stderr, "mayfly: --name `%s`: letters, digits, dots, dashes and underscores, at most 64\n", name);
    return -1;
}

static int take_options(const struct options *options, struct app_options *out, struct pairs *params,
                        struct pairs *credentials)
{
    long running = 0, agent_uid = 0;
    long long timeout_ms = 0;
    if (pairs_take(params, options, "set", true) != 0 || pairs_take(credentials, options, "credential", false) != 0 ||
        option_number(options, "running", 1, 100000, &running) != 0 ||
        option_number(options, "agent-uid", 1, 2147483647, &agent_uid) != 0 ||
        option_duration(options, "run-timeout", &timeout_ms) != 0 || check_name(option_value(options, "name")) != 0)
        return -1;
    out->mode = APP_RUN;
    out->graph_path = options->arguments[0];
    out->params = params->items;
    out->param_count = params->count;
    out->credentials = credentials->items;
    out->credential_count = credentials->count;
    out->name = option_value(options, "name");
    out->owner = option_value(options, "owner");
    out->faults = option_value(options, "faults");
    out->provider = option_value(options, "provider");
    out->running = (uint32_t)running;
    out->agent_uid = agent_uid;
    out->run_timeout_ms = timeout_ms;
    out->strict_teardown = option_set(options, "strict-teardown");
    return 0;
}

static int run(const struct options *options, struct app_options *app_options, const struct pairs *params)
{
    struct graph *graph = NULL;
    struct report *junit = NULL, *github = NULL;
    int code = graphs_read(&graph, options->arguments[0], params, app_options->provider, NULL);
    if (code != 0)
        return code;
    app_options->graph = graph;
    if (option_value(options, "junit") != NULL && (junit = report_junit_create(option_value(options, "junit"))) != NULL)
        app_options->observers[app_options->observer_count++] = report_observer(junit);
    if (getenv("GITHUB_ACTIONS") != NULL &&
        (github = report_github_create(option_set(options, "json") ? stderr : stdout)) != NULL)
        app_options->observers[app_options->observer_count++] = report_observer(github);
    code = launch(app_options, options);
    report_destroy(junit);
    report_destroy(github);
    graph_destroy(graph);
    return code;
}

int cmd_run(const struct options *options)
{
    struct app_options app_options = {0};
    struct pairs params = {0}, credentials = {0};
    int code =
        take_options(options, &app_options, &params, &credentials) == 0 ? run(options, &app_options, &params) : 2;
    pairs_free(&params);
    pairs_free(&credentials);
    return code;
}
