/*
 * cancel.c - mayfly cancel: ask a running orchestrator to end agents and tear down; without one, do it ourselves
 *
 * A control socket that is silent for five seconds belongs to an orchestrator that is stuck: it is killed through a pidfd (after its
 * identity was checked against the run row) and its run is taken over.
 */
#include "cmd/cancel.h"

#include "app/control.h"
#include "base/alloc.h"
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "cmd/launch.h"
#include "cmd/read.h"
#include "runner/tree.h"
#include "store/journal.h"
#include "store/state.h"
#include "json/write.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LOCK_WAIT_MS 5000

int cancel_take_over(const struct options *options, const char *state_path, const char *id,
                     const struct app_observer *observer)
{
    struct mf_error error;
    struct graph *graph = NULL;
    char found[STATE_RUN_ID_BYTES];
    if (app_load_run(state_path, id, found, &graph, &error) != 0)
        return complain(&error);
    struct app_options app_options = {.mode = APP_TEARDOWN, .graph = graph, .run = found};
    if (observer != NULL)
        app_options.observers[app_options.observer_count++] = *observer;
    int code = launch(&app_options, options);
    graph_destroy(graph);
    return code;
}

/* A pid that another process has by now is left alone: that orchestrator is gone. */
static int kill_orchestrator(const struct journal_run *run, struct mf_error *error)
{
    const struct tree_process stuck = {.pid = (pid_t)run->pid, .birth = (uint64_t)run->birth};
    struct tree_process now;
    if (tree_read(stuck.pid, &now) != 0 || now.birth != stuck.birth || tree_signal(&stuck, SIGKILL) == 0)
        return 0;
    return mf_fail_os(error, errno, "kill orchestrator %lld", (long long)run->pid);
}

int cancel_kill_stuck(struct state_dir *state, const char *id)
{
    struct mf_error error = {0};
    struct reader reader;
    struct journal_run run;
    struct mf_buf hold;
    mf_buf_init(&hold, GRAPH_TEXT_BYTES_MAX);
    fprintf(stderr, "mayfly: run %s does not answer; taking it over\n", id);
    int result = reader_open_id(&reader, state, id, &error);
    if (result == 0 &&
        (journal_read_run_small(reader.journal, &run, &hold, &error) != 0 || kill_orchestrator(&run, &error) != 0))
        result = -1;
    reader_close(&reader);
    mf_buf_free(&hold);
    for (int waited = 0; result == 0 && state_run_locked(state, id) && waited < LOCK_WAIT_MS; waited += 20)
        poll(NULL, 0, 20);
    return result == 0 ? 0 : complain(&error);
}

static void write_request(struct mf_buf *out, const struct options *options)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_open_object(&writer);
    json_member_string(&writer, "op", "cancel");
    if (options->argument_count > 1) {
        json_key(&writer, "tasks");
        json_open_array(&writer);
        for (size_t i = 1; i < options->argument_count; i++)
            json_string(&writer, options->arguments[i]);
        json_close_array(&writer);
    }
    json_close_object(&writer);
    mf_buf_char(out, '\n');
}

static int ask(const struct options *options, struct state_dir *state, const char *id, const struct journal_run *run)
{
    struct mf_buf request, answer;
    struct mf_error error = {0};
    char socket_path[256];
    int code = 0;
    mf_buf_init(&request, 60000);
    mf_buf_init(&answer, 4096);
    write_request(&request, options);
    if (mf_span_copy(run->socket_path, socket_path, sizeof socket_path) != 0 ||
        control_request(socket_path, mf_buf_cstr(&request), CANCEL_SILENT_MS, &answer, &error) != 0) {
        code = cancel_kill_stuck(state, id);
        code = code == 0 ? cancel_take_over(options, option_value(options, "state"), id, NULL) : code;
    } else if (strstr(mf_buf_cstr(&answer), "\"ok\":true") == NULL) {
        fprintf(stderr, "mayfly: run %s knows no such task\n", id);
        code = 2;
    } else if (option_set(options, "json")) {
        printf("{\"mayfly\":1,\"run\":\"%s\",\"cancelled\":true}\n", id);
    } else {
        printf("run %s is being cancelled; `mayfly show %s` follows it\n", id, id);
    }
    mf_buf_free(&request);
    mf_buf_free(&answer);
    return code;
}

static int cancel_run(const struct options *options, struct state_dir *state, const char *id)
{
    struct mf_error error;
    struct mf_buf hold, key;
    struct journal *journal = NULL;
    struct journal_run run;
    if (!state_run_locked(state, id)) {
        if (options->argument_count > 1) {
            fprintf(stderr, "mayfly: run %s is not going on; `mayfly teardown %s` cleans what it left\n", id, id);
            return 2;
        }
        return cancel_take_over(options, option_value(options, "state"), id, NULL);
    }
    mf_buf_init(&hold, GRAPH_TEXT_BYTES_MAX);
    mf_buf_init(&key, 8192);
    mf_buf_printf(&key, "%s/key", state_path(state));
    char *dir = state_run_path(state, id, NULL);
    int code;
    if (dir == NULL || journal_open(&journal, dir, mf_buf_cstr(&key), false, &error) != 0 ||
        journal_read_run(journal, &run, &hold, &error) != 0)
        code = complain(&error);
    else
        code = ask(options, state, id, &run);
    journal_close(journal);
    mf_free(dir);
    mf_buf_free(&hold);
    mf_buf_free(&key);
    return code;
}

static int cancel_one(const struct options *options)
{
    struct state_dir *state = NULL;
    struct mf_error error;
    char id[STATE_RUN_ID_BYTES];
    if (state_open(&state, option_value(options, "state"), false, &error) != 0)
        return complain(&error);
    int code = state_run_find(state, options->arguments[0], id, &error) == 0 ? cancel_run(options, state, id)
                                                                             : complain(&error);
    state_close(state);
    return code;
}

int cmd_cancel(const struct options *options)
{
    bool all = option_set(options, "all");
    if (all == (options->argument_count > 0)) {
        fprintf(stderr, "mayfly: cancel: name a run or give --all%s; see 'mayfly cancel --help'\n",
                all ? ", not both" : "");
        return 2;
    }
    return all ? cancel_all(options) : cancel_one(options);
}
