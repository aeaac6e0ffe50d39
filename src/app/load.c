/* load.c - the graph of an earlier run, from its database: rerun and teardown need no file */
#include "app/app.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "store/journal.h"
#include "store/state.h"
#include "json/scan.h"

#include <stdio.h>
#include <string.h>

#define SETTINGS_MAX 256u

struct loaded {
    char *names[SETTINGS_MAX], *values[SETTINGS_MAX]; /* owned */
    struct graph_setting settings[SETTINGS_MAX];
    uint32_t count;
    char *provider; /* owned */
};

static void loaded_free(struct loaded *loaded)
{
    for (uint32_t i = 0; i < loaded->count; i++) {
        mf_free(loaded->names[i]);
        mf_free(loaded->values[i]);
    }
    mf_free(loaded->provider);
}

static int take_settings(struct loaded *loaded, struct mf_span params, struct mf_span options, struct mf_error *error)
{
    struct json_document document;
    if (json_scan_error(&document, params, &json_limits_default, error) != 0)
        return mf_wrap(error, "params");
    for (uint32_t key = json_first(&document, 0); key != JSON_NONE && loaded->count < SETTINGS_MAX;
         key = json_next(&document, 0, key)) {
        loaded->names[loaded->count] = json_dup(&document, key);
        loaded->values[loaded->count] = json_dup(&document, json_value(&document, key));
        loaded->settings[loaded->count] =
            (struct graph_setting){mf_span(loaded->names[loaded->count]), mf_span(loaded->values[loaded->count])};
        loaded->count++;
    }
    json_document_free(&document);
    if (json_scan_error(&document, options, &json_limits_default, error) != 0)
        return mf_wrap(error, "options");
    uint32_t provider = json_member(&document, 0, "provider");
    if (provider != JSON_NONE && json_kind(&document, provider) == JSON_STRING)
        loaded->provider = json_dup(&document, provider);
    json_document_free(&document);
    return 0;
}

static int load(struct graph **out, const struct journal_run *run, struct mf_error *error)
{
    struct loaded loaded = {0};
    struct diagnostics *diagnostics = NULL;
    struct mf_buf text;
    mf_buf_init(&text, GRAPH_TEXT_BYTES_MAX);
    int result = take_settings(&loaded, run->params_json, run->options_json, error);
    if (result == 0 && mf_buf_span(&text, run->graph_text) != 0)
        result = mf_fail(error, MF_MEMORY, "no memory for the graph");
    if (result == 0)
        result = diagnostics_create(&diagnostics, "graph of the run", DIAGNOSTICS_SHOWN_MAX, error);
    if (result == 0) {
        struct graph_options options = {
            .settings = loaded.settings, .setting_count = loaded.count, .provider = loaded.provider, .comments = true};
        result = graph_load(out, &text, &options, diagnostics, error);
    }
    diagnostics_destroy(diagnostics);
    mf_buf_free(&text);
    loaded_free(&loaded);
    return result;
}

struct earlier { /* the run row of an earlier run, read */
    struct state_dir *state;
    struct journal *journal;
    struct journal_run run; /* views into `hold` */
    struct mf_buf hold;
    char *dir; /* owned */
};

static int open_earlier(struct earlier *earlier, const char *state_path_given, const char *name, char id[13],
                        struct mf_error *error)
{
    struct mf_buf key;
    *earlier = (struct earlier){0};
    mf_buf_init(&earlier->hold, GRAPH_TEXT_BYTES_MAX + (64u << 20));
    mf_buf_init(&key, 8192);
    int result = state_open(&earlier->state, state_path_given, false, error);
    if (result == 0)
        result = state_run_find(earlier->state, name, id, error);
    if (result == 0) {
        earlier->dir = state_run_path(earlier->state, id, NULL);
        mf_buf_printf(&key, "%s/key", state_path(earlier->state));
        result = earlier->dir != NULL ? journal_open(&earlier->journal, earlier->dir, mf_buf_cstr(&key), false, error)
                                      : mf_fail(error, MF_MEMORY, "no memory");
    }
    if (result == 0)
        result = journal_read_run(earlier->journal, &earlier->run, &earlier->hold, error);
    mf_buf_free(&key);
    return result;
}

static void close_earlier(struct earlier *earlier)
{
    journal_close(earlier->journal);
    state_close(earlier->state);
    mf_free(earlier->dir);
    mf_buf_free(&earlier->hold);
}

int app_load_run(const char *state_path_given, const char *name, char id[13], struct graph **out,
                 struct mf_error *error)
{
    struct earlier earlier;
    int result = open_earlier(&earlier, state_path_given, name, id, error);
    if (result == 0 && load(out, &earlier.run, error) != 0)
        result = mf_wrap(error, "run %s", id);
    close_earlier(&earlier);
    return result;
}

/* The settings of the run, for both graphs. */
static int load_both(const struct journal_run *run, struct mf_buf *text, bool comments, struct diagnostics *diagnostics,
                     struct graph **old, struct graph **graph, struct mf_error *error)
{
    struct loaded loaded = {0};
    struct graph *given = NULL;
    struct journal_run revised = *run;
    struct mf_buf ordered;
    mf_buf_init(&ordered, GRAPH_TEXT_BYTES_MAX);
    int result = load(old, run, error) != 0 ? mf_wrap(error, "graph of the run")
                                            : take_settings(&loaded, run->params_json, run->options_json, error);
    struct graph_options options = {
        .settings = loaded.settings, .setting_count = loaded.count, .provider = loaded.provider, .comments = comments};
    if (result == 0)
        result = graph_load(&given, text, &options, diagnostics, error);
    if (result == 0 &&
        (app_revise_check(*old, given, error) != 0 || app_revise_text(*old, given, &ordered, error) != 0))
        result = -1;
    revised.graph_text = mf_buf_view(&ordered);
    if (result == 0)
        result = load(graph, &revised, error);
    graph_destroy(given);
    loaded_free(&loaded);
    mf_buf_free(&ordered);
    return result;
}

int app_load_revision(const char *state_path_given, const char *name, char id[13], struct mf_buf *text, bool comments,
                      struct diagnostics *diagnostics, struct graph **old, struct graph **graph, struct mf_error *error)
{
    struct earlier earlier;
    int result = open_earlier(&earlier, state_path_given, name, id, error);
    if (result == 0)
        result = load_both(&earlier.run, text, comments, diagnostics, old, graph, error);
    close_earlier(&earlier);
    return result;
}
