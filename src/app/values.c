/* values.c - what templates may name: items, keys, results of upstream tasks, prompt files */
#include "app/app_private.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESULT_BYTES_MAX (1u << 20) /* the runner takes no larger one */

/* Appends the whole of a regular file; -1 with an error that names it. */
static int append_file(int dir_fd, const char *name, size_t bytes_max, struct mf_buf *out, struct mf_error *error)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return mf_fail_os(error, errno, "open `%s`", name);
    struct stat status;
    int result = fstat(fd, &status) == 0 && S_ISREG(status.st_mode)
                     ? 0
                     : mf_fail(error, MF_INPUT, "`%s` is not a regular file", name);
    if (result == 0 && (size_t)status.st_size > bytes_max)
        result = mf_fail(error, MF_LIMIT, "`%s` is larger than %zu bytes", name, bytes_max);
    char bytes[16384];
    ssize_t got = 0;
    while (result == 0 && (got = read(fd, bytes, sizeof bytes)) > 0)
        if (mf_buf_append(out, bytes, (size_t)got) != 0)
            result = mf_fail(error, MF_LIMIT, "`%s` does not fit", name);
    if (result == 0 && got < 0)
        result = mf_fail_os(error, errno, "read `%s`", name);
    close(fd);
    return result;
}

static int append_result(struct app *app, uint32_t node, struct mf_buf *out, struct mf_error *error)
{
    const struct app_node *entry = app_node_at(app, node);
    char name[96];
    if (!entry->has_result)
        return mf_buf_text(out, "null");
    char hex[65];
    mf_hex(entry->sha256, sizeof entry->sha256, hex);
    snprintf(name, sizeof name, "results/%s.json", hex);
    if (append_file(app->run_dir_fd, name, RESULT_BYTES_MAX, out, error) != 0)
        return mf_wrap(error, "result of `%s`", app_node_path(app, node));
    return 0;
}

static bool succeeded(const struct app *app, uint32_t node)
{
    struct core_node_view view;
    return core_node(app->core, node, &view) && view.state == CORE_TASK_STATE_SUCCEEDED;
}

static int append_fan_out(struct app *app, uint32_t first, uint32_t count, struct mf_buf *out, struct mf_error *error)
{
    mf_buf_char(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            mf_buf_char(out, ',');
        int result = succeeded(app, first + i) ? append_result(app, first + i, out, error) : mf_buf_text(out, "null");
        if (result != 0)
            return result;
    }
    return mf_buf_char(out, ']') == 0 ? 0 : mf_fail(error, MF_LIMIT, "results do not fit");
}

static int result_of(void *context, uint32_t task, struct mf_buf *out, struct mf_error *error)
{
    struct app *app = context;
    uint32_t first, count;
    if (core_instances(app->core, task, &first, &count))
        return append_fan_out(app, first, count, out, error);
    if (succeeded(app, task))
        return append_result(app, task, out, error);
    if (graph_tasks(app->graph)[task].allow_failure)
        return mf_buf_text(out, "null");
    return mf_fail(error, MF_NOT_FOUND, "task `%s` did not succeed and has no result", app_node_path(app, task));
}

void app_values(struct app *app, uint32_t node, struct template_values *out)
{
    const char *path = app_node_path(app, node);
    const char *item = app_node_item(app, node);
    const char *slash = item != NULL ? strchr(path, '/') : NULL;
    *out = (struct template_values){
        .item_json = mf_span(item),
        .key = slash != NULL ? mf_span(slash + 1) : (struct mf_span){NULL, 0},
        .run_id = mf_span(app->run_id),
        .task_name = mf_span(path),
        .result = result_of,
        .context = app,
    };
}

/* --- prompt files: read once, so that the run uses what was checked --- */

static int read_prompt(struct app *app, int base_fd, uint32_t task, uint32_t part, struct mf_error *error)
{
    char name[4096];
    struct mf_buf text;
    struct diagnostics *diagnostics = NULL;
    mf_buf_init(&text, GRAPH_PROMPT_BYTES_MAX);
    int result = json_copy(graph_document(app->graph), part, name, sizeof name);
    mf_assert(result == 0); /* the loader bounds paths */
    if (append_file(base_fd, name, GRAPH_PROMPT_BYTES_MAX, &text, error) != 0)
        result = mf_wrap(error, "task `%s`: prompt", app_node_path(app, task));
    if (result == 0)
        result = diagnostics_create(&diagnostics, name, DIAGNOSTICS_SHOWN_MAX, error);
    if (result == 0)
        result = template_check_prompt(app->graph, task, mf_buf_view(&text), diagnostics, error);
    diagnostics_destroy(diagnostics);
    if (result == 0 &&
        mf_grow((void **)&app->prompts, &app->prompt_capacity, app->prompt_count + 1, sizeof *app->prompts, 8) != 0)
        result = mf_fail(error, MF_MEMORY, "prompts: no memory");
    if (result == 0)
        app->prompts[app->prompt_count++] = (struct app_prompt){task, mf_buf_take(&text)};
    mf_buf_free(&text);
    return result;
}

int app_prompts_open(struct app *app, struct mf_error *error)
{
    int base_fd = open(app->base_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base_fd < 0)
        return mf_fail_os(error, errno, "open `%s`", app->base_dir);
    int result = 0;
    for (uint32_t task = 0; result == 0 && task < graph_task_count(app->graph); task++) {
        uint32_t part = graph_part(app->graph, task, GRAPH_PART_PROMPT_FILE);
        if (part != JSON_NONE)
            result = read_prompt(app, base_fd, task, part, error);
    }
    close(base_fd);
    return result;
}

struct mf_span app_prompt_file(const struct app *app, uint32_t task)
{
    uint32_t low = 0, high = app->prompt_count; /* sorted: they were read in the order of the tasks */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (app->prompts[middle].task < task)
            low = middle + 1;
        else
            high = middle;
    }
    return low < app->prompt_count && app->prompts[low].task == task ? mf_span(app->prompts[low].text)
                                                                     : (struct mf_span){NULL, 0};
}

void app_prompts_free(struct app *app)
{
    for (uint32_t i = 0; i < app->prompt_count; i++)
        mf_free(app->prompts[i].text);
    mf_free(app->prompts);
    app->prompts = NULL;
    app->prompt_count = 0;
}
