/* outputs.c - mayfly outputs: results and collected files of tasks, listed, printed or copied */
#include "cmd/collected.h"
#include "cmd/commands.h"
#include "cmd/copy.h"
#include "cmd/read.h"
#include "cmd/table.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_BYTES_MAX (64u << 20) /* paths of one task: limits.outputs_files times a long path */

struct outputs {
    struct reader reader;
    int dir_fd;
    uint32_t only_node; /* CORE_NONE: all */
    struct table *table;
    struct mf_buf json;
    struct json_writer writer;
    bool json_wanted;
    int to_fd; /* --to; -1 without */
};

/* What a task's last success left: the result as "results/SHA256.json", the outputs as a directory; empty when there is none. */
struct left {
    struct mf_buf result, outputs;
    struct strings files; /* what lies below `outputs`, with it in front */
};

static void left_free(struct left *left)
{
    mf_buf_free(&left->result);
    mf_buf_free(&left->outputs);
    strings_free(&left->files);
}

static int left_read(struct outputs *outputs, uint32_t node, struct left *left, struct mf_error *error)
{
    struct mf_buf sha256;
    mf_buf_init(&sha256, 64);
    mf_buf_init(&left->result, 128);
    mf_buf_init(&left->outputs, 4096);
    strings_init(&left->files, LIST_BYTES_MAX, false);
    int status = journal_get_result(outputs->reader.journal, node, &sha256, &left->outputs, error);
    if (status == 0 && sha256.length > 0)
        mf_buf_printf(&left->result, "results/%s.json", mf_buf_cstr(&sha256));
    mf_buf_free(&sha256);
    return status;
}

/* --- one result --- */

static int print_result(struct outputs *outputs, struct mf_error *error)
{
    struct left left;
    char chunk[4096];
    ssize_t got;
    if (outputs->only_node == CORE_NONE)
        return mf_fail(error, MF_USAGE, "outputs: --result needs a TASK");
    int status = left_read(outputs, outputs->only_node, &left, error);
    if (status == 0 && left.result.length == 0)
        status = mf_fail(error, MF_NOT_FOUND, "task %s: has no result",
                         view_task(outputs->reader.view, outputs->only_node)->path);
    int fd = status == 0 ? read_open_beneath(outputs->dir_fd, mf_buf_cstr(&left.result), O_RDONLY) : -1;
    if (status == 0 && fd < 0)
        status = mf_fail_os(error, errno, "%s/%s", outputs->reader.dir, mf_buf_cstr(&left.result));
    while (status == 0 && (got = read(fd, chunk, sizeof chunk)) > 0)
        fwrite(chunk, 1, (size_t)got, stdout);
    if (fd >= 0)
        close(fd);
    left_free(&left);
    return status;
}

/* --- all of them --- */

static int64_t bytes_of(const struct outputs *outputs, const char *path)
{
    struct stat status;
    int fd = read_open_beneath(outputs->dir_fd, path, O_PATH);
    int64_t bytes = fd >= 0 && fstat(fd, &status) == 0 ? (int64_t)status.st_size : 0;
    if (fd >= 0)
        close(fd);
    return bytes;
}

static void list_row(struct outputs *outputs, const struct view_task *task, const char *path)
{
    table_cell(outputs->table, "%s", task->path);
    table_cell(outputs->table, "%lld", (long long)bytes_of(outputs, path));
    table_cell(outputs->table, "%s/%s", outputs->reader.dir, path);
}

static void list_table(struct outputs *outputs, const struct view_task *task, const struct left *left,
                       const struct mf_span *files)
{
    if (left->result.length > 0)
        list_row(outputs, task, mf_buf_cstr(&left->result));
    for (uint32_t i = 0; i < left->files.count; i++)
        list_row(outputs, task, files[i].data);
}

static void member_path(struct outputs *outputs, const char *name, const struct mf_buf *below)
{
    struct mf_buf path;
    if (below->length == 0)
        return;
    mf_buf_init(&path, 16384);
    mf_buf_printf(&path, "%s/%s", outputs->reader.dir, mf_buf_cstr(below));
    json_member_span(&outputs->writer, name, mf_buf_view(&path));
    mf_buf_free(&path);
}

/* Paths of `files` are relative to `outputs`. */
static void list_json(struct outputs *outputs, const struct view_task *task, const struct left *left,
                      const struct mf_span *files)
{
    struct json_writer *writer = &outputs->writer;
    json_open_object(writer);
    json_member_string(writer, "task", task->path);
    member_path(outputs, "result", &left->result);
    member_path(outputs, "outputs", &left->outputs);
    json_key(writer, "files");
    json_open_array(writer);
    for (uint32_t i = 0; i < left->files.count; i++) {
        json_open_object(writer);
        json_member_string(writer, "path", files[i].data + left->outputs.length + 1);
        json_member_i64(writer, "bytes", bytes_of(outputs, files[i].data));
        json_close_object(writer);
    }
    json_close_array(writer);
    json_close_object(writer);
}

static int list(struct outputs *outputs, const struct view_task *task, struct left *left, struct mf_error *error)
{
    if (left->outputs.length > 0 &&
        collected_paths(outputs->dir_fd, mf_buf_cstr(&left->outputs), &left->files, error) != 0)
        return mf_wrap(error, "task %s", task->path);
    const struct mf_span *files = collected_sorted(&left->files);
    if (files == NULL && left->files.count > 0)
        return mf_fail(error, MF_MEMORY, "task %s: no memory for the list of its files", task->path);
    if (outputs->json_wanted)
        list_json(outputs, task, left, files);
    else
        list_table(outputs, task, left, files);
    return 0;
}

/* DIR/TASK[/KEY]/result.json and DIR/TASK[/KEY]/FILES. */
static int copy(struct outputs *outputs, const struct view_task *task, const struct left *left, struct mf_error *error)
{
    int task_fd = copy_make_directory(outputs->to_fd, task->path, error);
    int status = task_fd >= 0 ? 0 : -1;
    if (status == 0 && left->result.length > 0)
        status = outputs_copy_file(outputs->dir_fd, mf_buf_cstr(&left->result), task_fd, "result.json", error);
    if (status == 0 && left->outputs.length > 0)
        status = outputs_copy_tree(outputs->dir_fd, mf_buf_cstr(&left->outputs), task_fd, error);
    if (task_fd >= 0)
        close(task_fd);
    return status == 0 ? 0 : mf_wrap(error, "task %s", task->path);
}

static int take(struct outputs *outputs, uint32_t node, struct mf_error *error)
{
    const struct view_task *task = view_task(outputs->reader.view, node);
    struct left left;
    int status = left_read(outputs, node, &left, error);
    if (status == 0 && left.result.length + left.outputs.length > 0) {
        if (outputs->to_fd >= 0)
            status = copy(outputs, task, &left, error);
        if (status == 0)
            status = list(outputs, task, &left, error);
    }
    left_free(&left);
    return status;
}

static int take_all(struct outputs *outputs, struct mf_error *error)
{
    for (uint32_t node = 0; node < view_task_count(outputs->reader.view); node++) {
        const struct view_task *task = view_task(outputs->reader.view, node);
        bool wanted =
            outputs->only_node == CORE_NONE || outputs->only_node == node || task->template_node == outputs->only_node;
        if (wanted && take(outputs, node, error) != 0)
            return -1;
    }
    if (!outputs->json_wanted)
        return table_print(outputs->table, stdout, error);
    json_close_array(&outputs->writer);
    json_close_object(&outputs->writer);
    if (outputs->json.failed)
        return mf_fail(error, MF_MEMORY, "outputs: no memory");
    puts(mf_buf_cstr(&outputs->json));
    return 0;
}

static int prepare(struct outputs *outputs, const struct options *options, struct mf_error *error)
{
    const char *task = options->argument_count > 1 ? options->arguments[1] : NULL, *to = option_value(options, "to");
    if (reader_open(&outputs->reader, options, options->arguments[0], error) != 0 ||
        table_create(&outputs->table, "TASK BYTES> PATH", error) != 0)
        return -1;
    if (task != NULL && (outputs->only_node = view_find(outputs->reader.view, task)) == CORE_NONE)
        return mf_fail(error, MF_NOT_FOUND, "task %.64s: run %s has none of this name: see mayfly show %s", task,
                       outputs->reader.id, outputs->reader.id);
    if ((outputs->dir_fd = reader_directory(&outputs->reader, error)) < 0)
        return -1;
    if (to == NULL)
        return 0;
    if (mkdir(to, 0777) != 0 && errno != EEXIST)
        return mf_fail_os(error, errno, "%s", to);
    outputs->to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return outputs->to_fd >= 0 ? 0 : mf_fail_os(error, errno, "%s", to);
}

int cmd_outputs(const struct options *options)
{
    struct mf_error error = {0};
    struct outputs outputs = {
        .dir_fd = -1, .to_fd = -1, .only_node = CORE_NONE, .json_wanted = option_set(options, "json")};
    mf_buf_init(&outputs.json, 1u << 30);
    json_begin(&outputs.writer, &outputs.json);
    json_open_object(&outputs.writer);
    json_member_i64(&outputs.writer, "mayfly", 1);
    json_key(&outputs.writer, "outputs");
    json_open_array(&outputs.writer);
    int status = prepare(&outputs, options, &error);
    if (status == 0)
        reader_notice(&outputs.reader);
    if (status == 0)
        status = option_set(options, "result") ? print_result(&outputs, &error) : take_all(&outputs, &error);
    if (outputs.dir_fd >= 0)
        close(outputs.dir_fd);
    if (outputs.to_fd >= 0)
        close(outputs.to_fd);
    table_destroy(outputs.table);
    mf_buf_free(&outputs.json);
    reader_close(&outputs.reader);
    return status == 0 ? 0 : read_fail(&error);
}
