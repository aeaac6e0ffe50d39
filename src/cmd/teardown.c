/* teardown.c - mayfly teardown: cancel what is not final, delete what is left, of one run, of all, or of an owner at a provider */
#include "base/alloc.h"
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/launch.h"
#include "cmd/sweep.h"
#include "store/state.h"

#include <stdio.h>
#include <string.h>

/* Its orchestrator was killed before it had a database; every effect follows a record in it. */
static int never_began(const char *id)
{
    fprintf(stderr, "mayfly: run %s never began: nothing was started; mayfly rm %s removes its directory\n", id, id);
    return 0;
}

/* What became of the tasks is no matter of a clean-up; one that broke off has not cleaned. */
static int result_of(int code)
{
    return code == 7 ? 4 : code == 1 || code == 3 || code == 8 ? 0 : code;
}

static int teardown_one(const struct options *options, const char *run, const struct pairs *credentials)
{
    struct mf_error error;
    struct graph *graph = NULL;
    char id[STATE_RUN_ID_BYTES] = "";
    if (app_load_run(option_value(options, "state"), run, id, &graph, &error) != 0)
        return error.code == MF_NOT_FOUND && id[0] != '\0' ? never_began(id) : result_of(complain(&error));
    struct app_options app_options = {.mode = APP_TEARDOWN,
                                      .graph = graph,
                                      .run = id,
                                      .include_kept = option_set(options, "include-kept"),
                                      .credentials = credentials->items,
                                      .credential_count = credentials->count,
                                      .strict_teardown = option_set(options, "strict-teardown")};
    int code = launch(&app_options, options);
    graph_destroy(graph);
    return result_of(code);
}

struct all_runs {
    char **ids;
    size_t count, capacity;
};

static int add_run(void *context, const char *id)
{
    struct all_runs *all = context;
    if (mf_grow((void **)&all->ids, &all->capacity, all->count + 1, sizeof *all->ids, 16) != 0)
        return 1;
    all->ids[all->count] = mf_strdup(id);
    return all->ids[all->count++] == NULL;
}

/* 4 (something may still exist) wins over all others; else the highest. A run that is going on is left alone. */
static int teardown_all(const struct options *options, const struct pairs *credentials)
{
    struct all_runs all = {0};
    struct state_dir *state = NULL;
    struct mf_error error;
    int code = 0;
    if (state_open(&state, option_value(options, "state"), false, &error) != 0)
        return result_of(complain(&error));
    if (state_runs(state, add_run, &all, &error) != 0)
        code = result_of(complain(&error));
    for (size_t i = 0; i < all.count; i++) {
        if (state_run_locked(state, all.ids[i])) {
            fprintf(stderr, "mayfly: run %s is going on; `mayfly cancel %s` ends it\n", all.ids[i], all.ids[i]);
            code = 4;
        } else {
            int one = teardown_one(options, all.ids[i], credentials);
            code = one == 4 || code == 4 ? 4 : one > code ? one : code;
        }
        mf_free(all.ids[i]);
    }
    mf_free(all.ids);
    state_close(state);
    return code;
}

/* --sweep stands alone: with a run beside it one of the two would be forgotten. */
static int sweep(const struct options *options, const struct pairs *credentials)
{
    struct pairs inputs = {0};
    int code = 2;
    if (option_set(options, "all") || options->argument_count > 0)
        fprintf(stderr, "mayfly: teardown: --sweep goes without RUN and --all; see 'mayfly teardown --help'\n");
    else if (pairs_take(&inputs, options, "input", false) == 0)
        code = teardown_sweep(options, credentials, &inputs);
    pairs_free(&inputs);
    return code;
}

static const char *misplaced_option(const struct options *options)
{
    static const char *const names[] = {"owner", "older-than", "input", "dry-run"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (option_set(options, names[i]))
            return names[i];
    return NULL;
}

int cmd_teardown(const struct options *options)
{
    struct pairs credentials = {0};
    int code = 2;
    bool swept = option_set(options, "sweep");
    if (!swept && misplaced_option(options) != NULL) {
        fprintf(stderr, "mayfly: teardown: --%s goes with --sweep PROVIDER; see 'mayfly teardown --help'\n",
                misplaced_option(options));
    } else if (pairs_take(&credentials, options, "credential", false) == 0) {
        if (swept)
            code = sweep(options, &credentials);
        else if (option_set(options, "all"))
            code = teardown_all(options, &credentials);
        else
            code = teardown_one(options, options->argument_count > 0 ? options->arguments[0] : "last", &credentials);
    }
    pairs_free(&credentials);
    return code;
}
