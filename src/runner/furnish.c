/*
 * furnish.c - the helper's side of SPAWN: what an agent finds under in/ of its slot, and verify's own files
 *
 *   in/prompt                                  stdin and $MAYFLY_PROMPT
 *   in/inputs/TASK[/KEY]/{result.json,outputs/}
 *   in/previous/{outcome,stdout.log,stderr.log,verify.log,setup.log,outputs/}
 *   in/subject/{workspace,outputs,result.json} of the agent, which is dead: in a sandbox its workspace is mounted
 *                                              read-only and outputs are copies, without one both are links
 *
 * Without a sandbox an agent can reach the originals anyway; what can be done is that nothing it does *to what it was
 * shown* changes them: copies of small files, clones or read-only hard links of large ones (copy.h), never a link to a
 * directory of results.
 */
#include "runner/copy.h"
#include "runner/paths.h"
#include "runner/slot.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUTS_BYTES_MAX ((off_t)64 << 20)

/* What an agent of another uid is shown becomes its own. */
static enum copy_show show_for(const struct job_place *place)
{
    return place->agent_uid == geteuid() ? COPY_SHOW_SHARED : COPY_SHOW_OWN;
}

/* --- prompt --- */

static int furnish_prompt_file(const struct runner_spawn *spawn, int in_fd, struct job_answer *answer)
{
    char base[4096], path[4096];
    struct stat about;
    if (mf_span_copy(spawn->base, base, sizeof base) != 0 || mf_span_copy(spawn->prompt_file, path, sizeof path) != 0)
        return job_fail(answer, "refused", "prompt: its path is no text");
    int base_fd = copy_open_base(base, answer);
    if (base_fd < 0)
        return -1;
    int fd = paths_open_beneath(base_fd, path, O_RDONLY | O_NONBLOCK, false);
    close(base_fd);
    int result;
    if (fd < 0)
        result = job_fail(answer, "agent", "prompt: `%s`: %s", path, strerror(errno));
    else if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        result = job_fail(answer, "agent", "prompt: `%s` is no regular file", path);
    else
        result = copy_file(fd, (uint64_t)about.st_size, in_fd, "prompt", 0400, answer);
    if (fd >= 0)
        close(fd);
    return result;
}

static int furnish_prompt(const struct runner_spawn *spawn, int in_fd, struct job_answer *answer)
{
    if (spawn->prompt_file.length > 0)
        return furnish_prompt_file(spawn, in_fd, answer);
    if (spawn->prompt.data != NULL && paths_write_file(in_fd, "prompt", spawn->prompt.data, spawn->prompt.length) != 0)
        return job_fail_os(answer, "prompt: cannot write it");
    return 0;
}

/* --- inputs --- */

static int show_result(const struct job_place *place, struct mf_span sha256, int to_fd, struct job_answer *answer)
{
    char name[80];
    uint8_t bytes[32];
    if (sha256.length == 0)
        return 0;
    if (mf_unhex(sha256, bytes, sizeof bytes) != 0)
        return job_fail(answer, "infrastructure", "inputs: a result's name is no SHA-256");
    snprintf(name, sizeof name, "%.*s.json", MF_SPAN_ARGS(sha256));
    int results_fd = openat(place->run_fd, "results", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = results_fd >= 0 ? copy_show_file(results_fd, name, to_fd, "result.json", show_for(place), answer)
                                 : job_fail_os(answer, "inputs: cannot open the results");
    if (results_fd >= 0)
        close(results_fd);
    return result;
}

static int show_outputs(const struct job_place *place, struct mf_span outputs, int to_fd, struct job_answer *answer)
{
    char path[4096];
    if (outputs.length == 0)
        return 0;
    if (mf_span_copy(outputs, path, sizeof path) != 0)
        return job_fail(answer, "infrastructure", "inputs: the path of some outputs is too long");
    int from = paths_open_beneath(place->run_fd, path, O_RDONLY | O_DIRECTORY, true);
    if (from < 0 && errno == ENOENT)
        return 0; /* nothing was collected */
    int to = from >= 0 ? paths_make(to_fd, "outputs") : -1;
    int result = to >= 0 ? copy_show_tree(from, to, 0, show_for(place), answer) : job_fail_os(answer, "inputs: cannot show outputs");
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return result;
}

static int show_input(const struct job_place *place, const struct runner_input *input, int inputs_fd,
                      struct job_answer *answer)
{
    char path[PATHS_INSTANCE_BYTES_MAX];
    if (!paths_instance_valid(input->path) || mf_span_copy(input->path, path, sizeof path) != 0)
        return job_fail(answer, "infrastructure", "inputs: a path is no instance");
    int fd = paths_make(inputs_fd, path);
    if (fd < 0)
        return job_fail_os(answer, "inputs: cannot make %s", path);
    int result = show_result(place, input->result, fd, answer);
    if (result == 0)
        result = show_outputs(place, input->outputs, fd, answer);
    close(fd);
    return result;
}

static int show_inputs(const struct job_place *place, const struct runner_input *inputs, uint32_t count, int in_fd,
                       struct job_answer *answer)
{
    int fd = paths_make(in_fd, "inputs");
    if (fd < 0)
        return job_fail_os(answer, "inputs: cannot make the directory");
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = show_input(place, &inputs[i], fd, answer);
    close(fd);
    return result;
}

/* The list that was too long for a frame; the file is removed. */
static int show_listed_inputs(const struct job_place *place, struct mf_span file, int in_fd, struct job_answer *answer)
{
    char path[64];
    struct stat about;
    snprintf(path, sizeof path, PATHS_WORK "/%.*s", MF_SPAN_ARGS(file));
    int fd = paths_open_beneath(place->run_fd, path, O_RDONLY, true);
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &about) == 0 && about.st_size <= INPUTS_BYTES_MAX)
        text = mf_alloc((size_t)about.st_size + 1);
    size_t length = 0;
    ssize_t got;
    while (text != NULL && length < (size_t)about.st_size &&
           (got = read(fd, text + length, (size_t)about.st_size - length)) > 0)
        length += (size_t)got;
    if (fd >= 0)
        close(fd);
    unlinkat(place->run_fd, path, 0);
    struct frame_reader reader;
    const struct runner_input *inputs = NULL;
    uint32_t count = 0;
    struct message_memory memory = {.count = 0};
    frame_read(&reader, (struct mf_span){text, text != NULL ? length : 0});
    int result = message_take_inputs(&reader, &inputs, &count, &memory) == 0
                     ? show_inputs(place, inputs, count, in_fd, answer)
                     : job_fail(answer, "infrastructure", "inputs: the list cannot be read");
    message_memory_free(&memory);
    mf_free(text);
    return result;
}

/* --- previous --- */

static int furnish_previous(const struct runner_spawn *spawn, const char *instance, const struct job_place *place,
                            int in_fd, struct job_answer *answer)
{
    static const char *const logs[] = {"stdout.log", "stderr.log", "verify.log", "setup.log"};
    char outputs[PATHS_INSTANCE_BYTES_MAX + 32];
    int fd = paths_make(in_fd, "previous");
    int from = paths_make_attempt(place->run_fd, instance, spawn->previous_attempt);
    int result = fd >= 0 && from >= 0 ? 0 : job_fail_os(answer, "previous: cannot show the attempt");
    if (result == 0 &&
        paths_write_file(fd, "outcome", spawn->previous_outcome.data, spawn->previous_outcome.length) != 0)
        result = job_fail_os(answer, "previous: cannot write the outcome");
    for (size_t i = 0; i < sizeof logs / sizeof logs[0] && result == 0; i++)
        if (faccessat(from, logs[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            result = copy_show_file(from, logs[i], fd, logs[i], show_for(place), answer);
    snprintf(outputs, sizeof outputs, "%s/%u/outputs", instance, spawn->previous_attempt);
    if (result == 0)
        result = show_outputs(place, mf_span(outputs), fd, answer);
    if (fd >= 0)
        close(fd);
    if (from >= 0)
        close(from);
    return result;
}

/* --- verify --- */

/* Without a sandbox: links to where they are. */
static int link_subject(const struct message_job *job, const char *instance, uint32_t attempt,
                        const struct job_place *place, int fd)
{
    char target[4300];
    int result;
    if (job->subject > 0) {
        snprintf(target, sizeof target, "%s/" PATHS_WORK "/" PATHS_SLOT_FORMAT "/ws", place->run_dir, job->subject - 1);
        result = symlinkat(target, fd, "workspace");
    } else {
        result = mkdirat(fd, "workspace", 0500);
    }
    snprintf(target, sizeof target, "%s/%s/%u/outputs", place->run_dir, instance, attempt);
    if (result == 0)
        result = access(target, F_OK) == 0 ? symlinkat(target, fd, "outputs") : mkdirat(fd, "outputs", 0500);
    return result;
}

/* In one: a directory on which the spawner shows the workspace, and outputs of its own. */
static int show_subject(const char *instance, uint32_t attempt, const struct job_place *place, int fd,
                        struct job_answer *answer)
{
    char outputs[PATHS_INSTANCE_BYTES_MAX + 32];
    snprintf(outputs, sizeof outputs, "%s/%u/outputs", instance, attempt);
    if (mkdirat(fd, "workspace", 0700) != 0 || show_outputs(place, mf_span(outputs), fd, answer) != 0)
        return -1;
    return mkdirat(fd, "outputs", 0700) == 0 || errno == EEXIST ? 0 : -1;
}

static int furnish_subject(const struct message_job *job, const struct runner_spawn *spawn, const char *instance,
                           const struct job_place *place, int in_fd, struct job_answer *answer)
{
    int fd = paths_make(in_fd, "subject");
    if (fd < 0)
        return job_fail_os(answer, "subject: cannot make the directory");
    int result = spawn->walls.sandbox ? show_subject(instance, spawn->attempt, place, fd, answer)
                                      : link_subject(job, instance, spawn->attempt, place, fd);
    if (result != 0)
        job_fail_os(answer, "subject: cannot show it");
    else
        result = show_result(place, job->result, fd, answer);
    close(fd);
    return result;
}

static int furnish_verify(const struct message_job *job, const struct runner_spawn *spawn, const char *instance,
                          const struct job_place *place, int in_fd, struct job_answer *answer)
{
    char base[4096];
    struct copy_budget budget = {.bytes_max = UINT64_MAX,
                                 .files_max = COPY_ENTRIES_MAX,
                                 .bytes_limit = "limits.files_bytes",
                                 .files_limit = "workspace_entries_max"};
    if (mf_span_copy(spawn->base, base, sizeof base) != 0)
        return job_fail(answer, "refused", "verify: the graph's directory is no path");
    int ws_fd = openat(place->slot_fd, "ws", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = ws_fd >= 0 ? copy_listed(base, ws_fd, spawn->files, spawn->file_count, &budget, answer)
                            : job_fail_os(answer, "verify: cannot open its workspace");
    if (ws_fd >= 0)
        close(ws_fd);
    return result == 0 ? furnish_subject(job, spawn, instance, place, in_fd, answer) : result;
}

static int furnish(const struct message_job *job, const struct message_spawn *message, const struct job_place *place,
                   int in_fd, struct job_answer *answer)
{
    const struct runner_spawn *spawn = &message->spawn;
    char instance[PATHS_INSTANCE_BYTES_MAX];
    if (!paths_instance_valid(spawn->path) || mf_span_copy(spawn->path, instance, sizeof instance) != 0)
        return job_fail(answer, "infrastructure", "path: is no instance");
    int result = furnish_prompt(spawn, in_fd, answer);
    if (result == 0 && message->inputs_file.length > 0)
        result = show_listed_inputs(place, message->inputs_file, in_fd, answer);
    else if (result == 0 && spawn->input_count > 0)
        result = show_inputs(place, spawn->inputs, spawn->input_count, in_fd, answer);
    if (result == 0 && spawn->previous_attempt > 0)
        result = furnish_previous(spawn, instance, place, in_fd, answer);
    if (result == 0 && spawn->verify)
        result = furnish_verify(job, spawn, instance, place, in_fd, answer);
    if (result == 0 && spawn->walls.sandbox)
        result = job_hand_over(place, "in", answer);
    if (result == 0 && spawn->walls.sandbox && spawn->verify)
        result = job_hand_over(place, "ws", answer);
    return result;
}

int job_furnish(const struct message_job *job, const struct job_place *place, struct job_answer *answer)
{
    struct message_spawn message;
    struct message_memory memory;
    if (message_take_spawn(job->payload, &message, &memory) != 0)
        return job_fail(answer, "infrastructure", "spawn: the message is bad");
    int in_fd = paths_make(place->slot_fd, "in");
    int result =
        in_fd >= 0 ? furnish(job, &message, place, in_fd, answer) : job_fail_os(answer, "workspace: cannot make in/");
    if (in_fd >= 0)
        close(in_fd);
    message_memory_free(&memory);
    return result;
}
