/*
 * workspace.c - the helper's side of PREPARE: what is to be in the workspace before anything runs in it
 *
 * Order: the slot is emptied if it is the previous attempt's (all but ws), then `copy` or git, then `files` on top. A
 * file that exists already is an error of the graph and says so.
 */
#include "runner/copy.h"
#include "runner/git.h"
#include "runner/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A slot that goes on with the next attempt: home is fresh, the old result and what was shown are gone. */
static int empty_but_workspace(const struct job_place *place, struct job_answer *answer)
{
    static const char *const directories[] = {"home", "in"};
    for (size_t i = 0; i < 2; i++) {
        int fd = openat(place->slot_fd, directories[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        fchmod(fd, 0700);
        int result = paths_empty(fd);
        close(fd);
        if (result != 0)
            return job_fail_os(answer, "workspace: cannot empty %s", directories[i]);
    }
    unlinkat(place->slot_fd, "in", AT_REMOVEDIR);
    if (unlinkat(place->slot_fd, "result.json", 0) != 0 && errno == EISDIR) {
        int fd = openat(place->slot_fd, "result.json", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            paths_empty(fd);
            close(fd);
        }
        unlinkat(place->slot_fd, "result.json", AT_REMOVEDIR);
    }
    return 0;
}

static int copy_directory_of_graph(const struct runner_prepare *prepare, const char *base, int ws_fd,
                                   struct copy_budget *budget, struct job_answer *answer)
{
    char path[4096];
    int base_fd = copy_open_base(base, answer);
    if (base_fd < 0)
        return -1;
    int fd = mf_span_copy(prepare->copy, path, sizeof path) == 0
                 ? paths_open_beneath(base_fd, path, O_RDONLY | O_DIRECTORY, false)
                 : -1;
    int result = fd >= 0 ? copy_tree(fd, ws_fd, COPY_LINKS_KEEP, budget, "workspace", answer)
                         : job_fail(answer, "setup", "workspace: `%s` is not a directory below the graph's: %s", path,
                                    strerror(errno));
    if (fd >= 0)
        close(fd);
    close(base_fd);
    return result;
}

static int bring(const struct message_job *job, const struct runner_prepare *prepare, const struct job_place *place,
                 struct job_answer *answer)
{
    char base[4096];
    if (job->again)
        return empty_but_workspace(place, answer);
    if (mf_span_copy(prepare->base, base, sizeof base) != 0)
        return job_fail(answer, "refused", "workspace: the graph's directory is no path");
    int ws_fd = openat(place->slot_fd, "ws", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (ws_fd < 0)
        return job_fail_os(answer, "workspace: cannot open it");
    struct copy_budget budget = {.bytes_max =
                                     prepare->workspace_bytes_max > 0 ? prepare->workspace_bytes_max : UINT64_MAX,
                                 .files_max = COPY_ENTRIES_MAX,
                                 .bytes_limit = "limits.files_bytes",
                                 .files_limit = "workspace_entries_max"};
    int result = 0;
    if (prepare->git_url.length > 0)
        result = git_workspace(prepare, base, ws_fd, place, &budget, answer);
    else if (prepare->copy.length > 0)
        result = copy_directory_of_graph(prepare, base, ws_fd, &budget, answer);
    if (result == 0)
        result = copy_listed(base, ws_fd, prepare->files, prepare->file_count, &budget, answer);
    close(ws_fd);
    return result;
}

int job_workspace(const struct message_job *job, const struct job_place *place, struct job_answer *answer)
{
    struct runner_prepare prepare;
    struct message_memory memory;
    if (message_take_prepare(job->payload, &prepare, &memory) != 0)
        return job_fail(answer, "infrastructure", "workspace: the message is bad");
    int result = bring(job, &prepare, place, answer);
    if (result == 0 && prepare.walls.sandbox)
        result = job_hand_over(place, "ws", answer);
    message_memory_free(&memory);
    return result;
}
