/* graphs.c - reading a graph file and the options that concern it */
#include "cmd/graphs.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_FILE_BYTES_MAX (1u << 20)

int complain(const struct mf_error *error)
{
    struct mf_buf shown;
    mf_buf_init(&shown, 8192);
    json_escape_shown(&shown, mf_span(error->text), MF_ERROR_TEXT_MAX);
    fprintf(stderr, "mayfly: %s\n", shown.failed ? "no memory" : mf_buf_cstr(&shown));
    mf_buf_free(&shown);
    return app_error_exit(error);
}

/* A regular file (or standard input) up to a size; devices, directories and pipes by name are refused at once. */
static int read_text(const char *path, size_t bytes_max, struct mf_buf *out, struct mf_error *error)
{
    bool standard_input = strcmp(path, "-") == 0;
    struct stat status;
    int fd = standard_input ? 0 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mf_fail(error, MF_INPUT, "open `%s`: %s", path, strerror(errno));
    int result = 0;
    if (!standard_input && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)))
        result = mf_fail(error, MF_INPUT, "`%s` is not a regular file", path);
    else if (!standard_input && (size_t)status.st_size > bytes_max)
        result = mf_fail(error, MF_LIMIT, "`%s` is larger than %zu MiB", path, bytes_max >> 20);
    else if (!standard_input && mf_buf_reserve(out, (size_t)status.st_size) != 0)
        result = mf_fail(error, MF_MEMORY, "`%s`: no memory", path);
    char bytes[65536];
    ssize_t got = 0;
    while (result == 0 && (got = read(fd, bytes, sizeof bytes)) > 0)
        if (mf_buf_append(out, bytes, (size_t)got) != 0)
            result = mf_fail(error, MF_LIMIT, "`%s` is larger than %zu MiB", path, bytes_max >> 20);
    if (result == 0 && got < 0)
        result = mf_fail(error, MF_INPUT, "read `%s`: %s", path, strerror(errno));
    if (!standard_input)
        close(fd);
    return result;
}

/* --- NAME=VALUE --- */

static char *keep(struct pairs *pairs, char *text)
{
    if (text != NULL)
        pairs->texts[pairs->text_count++] = text;
    return text;
}

static int take_file(struct pairs *pairs, struct app_pair *pair)
{
    struct mf_buf text;
    struct mf_error error;
    mf_buf_init(&text, VALUE_FILE_BYTES_MAX);
    if (read_text(pair->value + 1, VALUE_FILE_BYTES_MAX, &text, &error) != 0) {
        complain(&error);
        mf_buf_free(&text);
        return -1;
    }
    pair->value = keep(pairs, mf_buf_take(&text));
    return pair->value != NULL ? 0 : -1;
}

int pairs_take(struct pairs *pairs, const struct options *options, const char *option, bool files)
{
    *pairs = (struct pairs){0};
    const char *given;
    for (size_t i = 0; (given = option_nth(options, option, i)) != NULL; i++) {
        const char *equals = strchr(given, '=');
        if (equals == NULL || equals == given || pairs->count == PAIRS_MAX) {
            fprintf(stderr, "mayfly: --%s %s: it must be NAME=%s; see 'mayfly %s --help'\n", option,
                    equals == NULL ? "without `=`" : "", files ? "VALUE or NAME=@FILE" : "SOURCE", options->command);
            return -1;
        }
        struct app_pair *pair = &pairs->items[pairs->count++];
        pair->name = keep(pairs, mf_strndup(given, (size_t)(equals - given)));
        pair->value = equals + 1;
        if (files && pair->value[0] == '@' && take_file(pairs, pair) != 0)
            return -1;
    }
    return 0;
}

void pairs_free(struct pairs *pairs)
{
    for (uint32_t i = 0; i < pairs->text_count; i++)
        mf_free(pairs->texts[i]);
    pairs->text_count = pairs->count = 0;
}

/* --- the graph --- */

static void show_problems(const struct diagnostics *diagnostics, struct mf_buf *problems)
{
    struct mf_buf shown;
    if (problems != NULL) {
        diagnostics_json(diagnostics, problems);
        return;
    }
    mf_buf_init(&shown, 4u << 20);
    diagnostics_print(diagnostics, &shown);
    fwrite(mf_buf_cstr(&shown), 1, shown.length, stderr);
    mf_buf_free(&shown);
}

int graphs_read(struct graph **out, const char *path, const struct pairs *params, const char *provider,
                struct mf_buf *problems)
{
    struct mf_error error = {0};
    struct mf_buf text;
    struct diagnostics *diagnostics = NULL;
    struct graph_setting settings[PAIRS_MAX];
    for (uint32_t i = 0; params != NULL && i < params->count; i++)
        settings[i] = (struct graph_setting){mf_span(params->items[i].name), mf_span(params->items[i].value)};
    struct graph_options options = {.settings = settings,
                                    .setting_count = params != NULL ? params->count : 0,
                                    .provider = provider,
                                    .comments = mf_span_ends(mf_span(path), ".jsonc")};
    mf_buf_init(&text, GRAPH_TEXT_BYTES_MAX);
    int result = read_text(path, GRAPH_TEXT_BYTES_MAX, &text, &error);
    if (result == 0)
        result = diagnostics_create(&diagnostics, strcmp(path, "-") == 0 ? "standard input" : path,
                                    DIAGNOSTICS_SHOWN_MAX, &error);
    if (result == 0) {
        result = graph_load(out, &text, &options, diagnostics, &error);
        if (diagnostics_count(diagnostics) > 0 || problems != NULL)
            show_problems(diagnostics, problems);
        result = result != 0 && diagnostics_errors(diagnostics) > 0 ? 2 : result;
    }
    if (result < 0)
        result = complain(&error);
    mf_buf_free(&text);
    diagnostics_destroy(diagnostics);
    return result;
}

int graphs_read_revision(const struct options *options, const char *run, char id[13], const char *path, struct graph **old,
                         struct graph **graph)
{
    struct mf_error error = {0};
    struct mf_buf text;
    struct diagnostics *diagnostics = NULL;
    mf_buf_init(&text, GRAPH_TEXT_BYTES_MAX);
    int result = read_text(path, GRAPH_TEXT_BYTES_MAX, &text, &error);
    if (result == 0)
        result = diagnostics_create(&diagnostics, path, DIAGNOSTICS_SHOWN_MAX, &error);
    if (result == 0) {
        result = app_load_revision(option_value(options, "state"), run, id, &text, mf_span_ends(mf_span(path), ".jsonc"), diagnostics, old,
                                   graph, &error);
        if (diagnostics_count(diagnostics) > 0)
            show_problems(diagnostics, NULL);
        result = result != 0 && diagnostics_errors(diagnostics) > 0 ? 2 : result;
    }
    if (result < 0)
        result = complain(&error);
    mf_buf_free(&text);
    diagnostics_destroy(diagnostics);
    return result;
}
