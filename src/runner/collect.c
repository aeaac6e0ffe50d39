/*
 * collect.c - the helper's side of an agent's end: its result, and the files that its globs name
 *
 * The tree is dead, but what it left is hostile: entries are opened beneath the workspace without following a link or
 * crossing a mount, looked at by descriptor, and copied for as many bytes as were charged. Regular files with one name
 * are taken; everything else that matched is listed in outputs.refused. Names must be UTF-8 without control characters.
 * A limit that is passed ends the job as the agent's failure with the limit's name; what was copied until then stays.
 */
#include "runner/copy.h"
#include "runner/glob.h"
#include "runner/paths.h"
#include "runner/result.h"

#include "base/alloc.h"
#include "base/crash.h"
#include "json/write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GLOBS_MAX 64
#define PATH_BYTES_MAX 4096
#define REFUSED_MAX 1000 /* lines; then one that says how many more */
#define WALK_ENTRIES_MAX 2000000

struct collector {
    struct job_answer *answer;
    struct copy_budget budget;
    struct glob *globs; /* owned */
    uint32_t glob_count;
    int attempt_fd; /* TASK/ATTEMPT; -1 before the first output */
    int outputs_fd; /* outputs/ in it */
    const struct job_place *place;
    const char *instance;
    unsigned attempt;
    struct mf_buf refused;
    uint32_t refused_count, entries;
    char path[PATH_BYTES_MAX]; /* of the directory being walked, relative, with a trailing slash or empty */
    size_t path_length;
};

/* --- refusals --- */

static void refuse(struct collector *collector, const char *name, const char *why)
{
    if (collector->refused_count++ >= REFUSED_MAX)
        return;
    json_escape_shown(&collector->refused, (struct mf_span){collector->path, collector->path_length}, PATH_BYTES_MAX);
    json_escape_shown(&collector->refused, mf_span(name), 300);
    mf_buf_printf(&collector->refused, ": %s\n", why);
}

static bool name_valid(const char *name)
{
    struct mf_span span = mf_span(name);
    if (!mf_utf8_valid(span.data, span.length))
        return false;
    for (size_t i = 0; i < span.length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

/* --- directories of the run, made with the first thing to put there --- */

static int open_attempt(struct collector *collector)
{
    if (collector->attempt_fd < 0)
        collector->attempt_fd = paths_make_attempt(collector->place->run_fd, collector->instance, collector->attempt);
    return collector->attempt_fd;
}

static int open_output_directory(struct collector *collector)
{
    if (collector->outputs_fd < 0 && open_attempt(collector) >= 0)
        collector->outputs_fd = paths_make(collector->attempt_fd, "outputs");
    if (collector->outputs_fd < 0)
        return -1;
    char path[PATH_BYTES_MAX];
    memcpy(path, collector->path, collector->path_length);
    path[collector->path_length] = '\0';
    return paths_make(collector->outputs_fd, path);
}

/* --- the walk --- */

static int take_file(struct collector *collector, int fd, const char *name, const struct stat *about)
{
    if (copy_charge(&collector->budget, (uint64_t)about->st_size, "agent", collector->answer) != 0)
        return -1;
    int to_fd = open_output_directory(collector);
    if (to_fd < 0)
        return job_fail_os(collector->answer, "collect: cannot make outputs/");
    int result =
        copy_file(fd, (uint64_t)about->st_size, to_fd, name, (about->st_mode & 0100) | 0400, collector->answer);
    close(to_fd);
    CRASH_POINT(12);
    return result;
}

/* A match: taken, or listed as refused. */
static int take_match(struct collector *collector, int dir_fd, const char *name)
{
    struct stat about;
    int fd = paths_open_beneath(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, true);
    int os_errno = errno;
    if (fd < 0) {
        refuse(collector, name,
               os_errno == ELOOP   ? "a symbolic link"
               : os_errno == ENXIO ? "a socket or a device"
                                   : strerror(os_errno));
        return 0;
    }
    int result = 0;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        refuse(collector, name, "no regular file");
    else if (about.st_nlink != 1)
        refuse(collector, name, "a hard link");
    else if (!name_valid(name))
        refuse(collector, name, "the name is not UTF-8 or holds a control character");
    else
        result = take_file(collector, fd, name, &about);
    close(fd);
    return result;
}

static int walk(struct collector *collector, int dir_fd, const glob_state *states, int depth);

static int walk_into(struct collector *collector, int dir_fd, const char *name, const glob_state *states, int depth)
{
    size_t length = strlen(name);
    if (depth + 1 >= COPY_DEPTH_MAX || collector->path_length + length + 2 > sizeof collector->path) {
        refuse(collector, name, "too deep");
        return 0;
    }
    if (!name_valid(name)) {
        refuse(collector, name, "the name is not UTF-8 or holds a control character");
        return 0;
    }
    int fd = paths_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, true);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0) /* an agent may have shut it */
        fd = paths_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, true);
    if (fd < 0) {
        refuse(collector, name, strerror(errno));
        return 0;
    }
    memcpy(collector->path + collector->path_length, name, length);
    collector->path[collector->path_length + length] = '/';
    collector->path_length += length + 1;
    int result = walk(collector, fd, states, depth + 1);
    collector->path_length -= length + 1;
    close(fd);
    return result;
}

static bool is_directory(int dir_fd, const struct dirent *entry)
{
    struct stat about;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dir_fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
}

static int walk_entry(struct collector *collector, int dir_fd, const struct dirent *entry, const glob_state *states,
                      int depth)
{
    glob_state next[GLOBS_MAX];
    bool below = false, matched = false;
    if (++collector->entries > WALK_ENTRIES_MAX)
        return job_fail(collector->answer, "agent", "collect: more than %d entries in the workspace", WALK_ENTRIES_MAX);
    for (uint32_t i = 0; i < collector->glob_count; i++) {
        next[i] = glob_step(&collector->globs[i], states[i], mf_span(entry->d_name));
        below |= next[i] != 0;
        matched |= glob_matched(&collector->globs[i], next[i]);
    }
    if (is_directory(dir_fd, entry))
        return below ? walk_into(collector, dir_fd, entry->d_name, next, depth) : 0;
    return matched ? take_match(collector, dir_fd, entry->d_name) : 0;
}

static int walk(struct collector *collector, int dir_fd, const glob_state *states, int depth)
{
    int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        if (own >= 0)
            close(own);
        refuse(collector, "", strerror(errno));
        return 0;
    }
    int result = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && result == 0; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = walk_entry(collector, dir_fd, entry, states, depth);
    closedir(dir);
    return result;
}

/* --- the whole --- */

static int write_refused(struct collector *collector)
{
    if (collector->refused_count == 0)
        return 0;
    if (collector->refused_count > REFUSED_MAX)
        mf_buf_printf(&collector->refused, "and %u more\n", collector->refused_count - REFUSED_MAX);
    if (open_attempt(collector) < 0)
        return -1;
    unlinkat(collector->attempt_fd, "outputs.refused", 0);
    return paths_write_file(collector->attempt_fd, "outputs.refused", collector->refused.data,
                            collector->refused.length);
}

static int compile_globs(struct collector *collector, const struct runner_spawn *spawn, glob_state *states)
{
    if (spawn->collect_count > GLOBS_MAX)
        return job_fail(collector->answer, "refused", "collect: more than %d globs", GLOBS_MAX);
    collector->globs = mf_calloc(GLOBS_MAX, sizeof collector->globs[0]);
    if (collector->globs == NULL)
        return job_fail(collector->answer, "infrastructure", "collect: no memory");
    for (uint32_t i = 0; i < spawn->collect_count; i++, collector->glob_count++) {
        if (glob_compile(&collector->globs[i], spawn->collect[i]) != 0)
            return job_fail(collector->answer, "refused", "collect: `%.*s` is no glob",
                            (int)(spawn->collect[i].length < 200 ? spawn->collect[i].length : 200),
                            spawn->collect[i].data);
        states[i] = glob_start(&collector->globs[i]);
    }
    return 0;
}

static int collect_outputs(struct collector *collector, const struct runner_spawn *spawn)
{
    glob_state states[GLOBS_MAX];
    if (spawn->collect_count == 0)
        return 0;
    if (compile_globs(collector, spawn, states) != 0)
        return -1;
    int ws_fd = openat(collector->place->slot_fd, "ws", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ws_fd < 0 && errno == EACCES && fchmodat(collector->place->slot_fd, "ws", 0700, 0) == 0)
        ws_fd = openat(collector->place->slot_fd, "ws", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ws_fd < 0)
        return job_fail(collector->answer, "agent", "collect: the workspace is gone: %s", strerror(errno));
    int result = walk(collector, ws_fd, states, 0);
    close(ws_fd);
    if (write_refused(collector) != 0 && result == 0)
        result = job_fail_os(collector->answer, "collect: cannot write outputs.refused");
    return result;
}

static void close_collector(struct collector *collector)
{
    collector->answer->output_bytes = collector->budget.bytes;
    collector->answer->output_files = collector->budget.files;
    if (collector->outputs_fd >= 0)
        close(collector->outputs_fd);
    if (collector->attempt_fd >= 0)
        close(collector->attempt_fd);
    mf_free(collector->globs);
    mf_buf_free(&collector->refused);
}

/* Outputs are collected also when the result is not acceptable: they may say why. */
static int collect(const struct runner_spawn *spawn, const struct job_place *place, struct job_answer *answer)
{
    char instance[PATHS_INSTANCE_BYTES_MAX];
    if (!paths_instance_valid(spawn->path) || mf_span_copy(spawn->path, instance, sizeof instance) != 0)
        return job_fail(answer, "infrastructure", "path: is no instance");
    int result = result_take(place, answer);
    struct job_answer second = {.done = true};
    struct collector collector = {
        .answer = result == 0 ? answer : &second,
        .budget = {.bytes_max = spawn->outputs_bytes_max > 0 ? spawn->outputs_bytes_max : (uint64_t)256 << 20,
                   .files_max = spawn->outputs_files_max > 0 ? spawn->outputs_files_max : 10000,
                   .bytes_limit = "limits.outputs_bytes",
                   .files_limit = "limits.outputs_files"},
        .attempt_fd = -1,
        .outputs_fd = -1,
        .place = place,
        .instance = instance,
        .attempt = spawn->attempt,
    };
    mf_buf_init(&collector.refused, (size_t)1 << 20);
    int collected = collect_outputs(&collector, spawn);
    close_collector(&collector);
    if (result != 0) {
        answer->output_bytes = second.output_bytes;
        answer->output_files = second.output_files;
    }
    return result != 0 ? result : collected;
}

int job_collect(const struct message_job *job, const struct job_place *place, struct job_answer *answer)
{
    struct message_spawn message;
    struct message_memory memory;
    if (message_take_spawn(job->payload, &message, &memory) != 0)
        return job_fail(answer, "infrastructure", "collect: the message is bad");
    int result = collect(&message.spawn, place, answer);
    message_memory_free(&memory);
    return result;
}
