/*
 * logs.c - mayfly logs: what agents wrote, as it was captured; with --follow also what they are writing
 *
 * One stream is one file of one attempt. A header names the stream whenever another one begins, unless there is only one.
 * What agents wrote is hostile to terminals: there, control characters are shown and not sent.
 */
#include "base/alloc.h"
#include "cmd/commands.h"
#include "cmd/read.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLLOW_POLL_MS 100
#define CHUNK_BYTES 65536

/* file, chosen by: the file of an agent's stdout alone, its stderr alone, or all */
#define LOG_FILES(X) X("setup.log", ALL) X("stdout.log", STDOUT) X("stderr.log", STDERR) X("verify.log", ALL)
enum choice { ALL = 1, STDOUT = 2, STDERR = 4 };

static const struct {
    const char *name;
    unsigned choice;
} log_files[] = {
#define X(name, choice) {name, choice},
    LOG_FILES(X)
#undef X
};
#define LOG_FILE_COUNT (sizeof log_files / sizeof log_files[0])

struct stream {
    uint32_t node, attempt;
    size_t file;
    off_t offset; /* printed so far */
};

struct logs {
    struct reader reader;
    int dir_fd;
    uint32_t only_node; /* CORE_NONE: all */
    long attempt;       /* 0: the last */
    unsigned choice;
    bool terminal;
    struct stream *streams; /* owned */
    size_t stream_count, stream_capacity;
    size_t shown; /* stream whose header stands above; SIZE_MAX before the first */
    bool headers;
    bool failed; /* standard output is gone */
};

/* --- streams --- */

static int open_stream(const struct logs *logs, const struct stream *stream)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%u/%s", view_task(logs->reader.view, stream->node)->path, stream->attempt,
             log_files[stream->file].name);
    int fd = read_open_beneath(logs->dir_fd, path, O_RDONLY);
    struct stat status;
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static struct stream *find_stream(struct logs *logs, uint32_t node, uint32_t attempt, size_t file)
{
    for (size_t i = logs->stream_count; i > 0; i--)
        if (logs->streams[i - 1].node == node && logs->streams[i - 1].attempt == attempt &&
            logs->streams[i - 1].file == file)
            return &logs->streams[i - 1];
    if (mf_grow((void **)&logs->streams, &logs->stream_capacity, logs->stream_count + 1, sizeof logs->streams[0], 16) !=
        0)
        return NULL;
    logs->streams[logs->stream_count] = (struct stream){.node = node, .attempt = attempt, .file = file};
    return &logs->streams[logs->stream_count++];
}

static void print_header(struct logs *logs, const struct stream *stream)
{
    size_t index = (size_t)(stream - logs->streams);
    if (!logs->headers || logs->shown == index)
        return;
    printf("%s==> %s, attempt %u, %s <==\n", logs->shown == SIZE_MAX ? "" : "\n",
           view_task(logs->reader.view, stream->node)->path, stream->attempt, log_files[stream->file].name);
    logs->shown = index;
}

/* Line ends and tabs pass; everything between goes through the escaper. */
static void print_escaped(const char *data, size_t length)
{
    struct mf_buf shown;
    mf_buf_init(&shown, 8 * CHUNK_BYTES);
    while (length > 0) {
        size_t plain = 0;
        while (plain < length && data[plain] != '\n' && data[plain] != '\t')
            plain++;
        json_escape_shown(&shown, (struct mf_span){data, plain}, plain + 1);
        if (plain < length)
            mf_buf_char(&shown, data[plain++]);
        data += plain;
        length -= plain;
    }
    fwrite(mf_buf_cstr(&shown), 1, shown.length, stdout);
    mf_buf_free(&shown);
}

static void print_stream(struct logs *logs, struct stream *stream)
{
    static char chunk[CHUNK_BYTES];
    int fd = open_stream(logs, stream);
    if (fd < 0)
        return;
    ssize_t got;
    while (!logs->failed && (got = pread(fd, chunk, sizeof chunk, stream->offset)) > 0) {
        print_header(logs, stream);
        if (logs->terminal)
            print_escaped(chunk, (size_t)got);
        else
            fwrite(chunk, 1, (size_t)got, stdout);
        stream->offset += got;
        logs->failed = ferror(stdout) != 0;
    }
    close(fd);
}

/* --- what to print --- */

static void print_attempt(struct logs *logs, uint32_t node, uint32_t attempt)
{
    for (size_t file = 0; file < LOG_FILE_COUNT; file++) {
        if ((log_files[file].choice & logs->choice) == 0)
            continue;
        struct stream *stream = find_stream(logs, node, attempt, file);
        if (stream != NULL)
            print_stream(logs, stream);
    }
}

/* All attempts when following: an attempt may end and the next begin between two looks. */
static void print_node(struct logs *logs, uint32_t node, bool following)
{
    const struct view_task *task = view_task(logs->reader.view, node);
    uint32_t last = logs->attempt > 0 ? (uint32_t)logs->attempt : task->attempt;
    uint32_t first = following && logs->attempt == 0 ? 1 : last;
    for (uint32_t attempt = first; attempt >= 1 && attempt <= last; attempt++)
        print_attempt(logs, node, attempt);
}

static void print_all(struct logs *logs, bool following)
{
    for (uint32_t node = 0; node < view_task_count(logs->reader.view) && !logs->failed; node++) {
        const struct view_task *task = view_task(logs->reader.view, node);
        bool wanted = logs->only_node == CORE_NONE || logs->only_node == node || task->template_node == logs->only_node;
        if (wanted && task->attempt > 0)
            print_node(logs, node, following);
    }
}

static int follow(struct logs *logs, struct mf_error *error)
{
    for (;;) {
        bool over = reader_over(&logs->reader); /* before the last look */
        if (view_update(logs->reader.view, logs->reader.journal, NULL, NULL, error) != 0)
            return -1;
        print_all(logs, true);
        if (fflush(stdout) != 0 || logs->failed)
            return mf_fail(error, MF_OS, "standard output: cannot be written");
        if (over)
            return 0;
        poll(NULL, 0, FOLLOW_POLL_MS);
    }
}

static int choose(struct logs *logs, const struct options *options, struct mf_error *error)
{
    const char *task = options->argument_count > 1 ? options->arguments[1] : NULL;
    bool out = option_set(options, "stdout"), err = option_set(options, "stderr");
    logs->only_node = CORE_NONE;
    logs->choice = (out ? STDOUT : 0u) | (err ? STDERR : 0u);
    if (logs->choice == 0)
        logs->choice = ALL | STDOUT | STDERR;
    if (task != NULL && (logs->only_node = view_find(logs->reader.view, task)) == CORE_NONE)
        return mf_fail(error, MF_NOT_FOUND, "task %.64s: run %s has none of this name: see mayfly show %s", task,
                       logs->reader.id, logs->reader.id);
    bool one_file = logs->choice == STDOUT || logs->choice == STDERR;
    bool one_task = logs->only_node != CORE_NONE && !view_task(logs->reader.view, logs->only_node)->is_template;
    logs->headers = !one_file || !one_task;
    return 0;
}

int cmd_logs(const struct options *options)
{
    struct mf_error error = {0};
    struct logs logs = {.dir_fd = -1, .shown = SIZE_MAX, .terminal = isatty(STDOUT_FILENO) != 0};
    if (option_number(options, "attempt", 1, 1000000, &logs.attempt) != 0)
        return 2;
    int status = reader_open(&logs.reader, options, options->arguments[0], &error);
    if (status == 0)
        status = choose(&logs, options, &error);
    if (status == 0 && (logs.dir_fd = reader_directory(&logs.reader, &error)) < 0)
        status = -1;
    if (status == 0 && option_set(options, "follow"))
        status = follow(&logs, &error);
    else if (status == 0)
        print_all(&logs, false);
    if (status == 0)
        reader_notice(&logs.reader);
    if (logs.dir_fd >= 0)
        close(logs.dir_fd);
    mf_free(logs.streams);
    reader_close(&logs.reader);
    return status == 0 ? 0 : read_fail(&error);
}
