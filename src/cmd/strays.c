/*
 * strays.c - what runs have left on this machine outside of the state directory: processes and cgroups
 *
 * An agent carries MAYFLY_SPAWN=<run>-..., and its cgroup is called mayfly-<run>.<n>. Those of a run that is going on are where
 * they belong; the caller knows which runs these are.
 */
#include "cmd/strays.h"

#include "base/alloc.h"
#include "runner/tree.h"
#include "store/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_PREFIX "mayfly-"
#define CGROUP_DEPTH_MAX 12 /* a session of a container in a container has seven */

#define RUN_BYTES (STATE_RUN_ID_BYTES - 1)

static struct stray *stray_of(struct strays *strays, const char *run)
{
    for (size_t i = 0; i < strays->count; i++)
        if (strncmp(strays->items[i].run, run, RUN_BYTES) == 0)
            return &strays->items[i];
    if (mf_grow((void **)&strays->items, &strays->capacity, strays->count + 1, sizeof *strays->items, 8) != 0)
        return NULL;
    struct stray *stray = &strays->items[strays->count++];
    *stray = (struct stray){0};
    memcpy(stray->run, run, RUN_BYTES);
    return stray;
}

/* A run's id with `end` behind it. */
static bool names_run(const char *text, char end)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") == RUN_BYTES && text[RUN_BYTES] == end;
}

static void look_at_processes(struct strays *strays)
{
    size_t count = 0;
    struct tree_process *list = tree_list(&count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        char mark[TREE_MARK_BYTES_MAX];
        struct stray *stray = NULL;
        if (list[i].state != 'Z' && tree_mark(list[i].pid, mark) == 0 && names_run(mark, '-'))
            stray = stray_of(strays, mark);
        if (stray != NULL && stray->processes++ == 0)
            stray->pid = list[i].pid;
    }
    mf_free(list);
}

static void look_at_cgroups(struct strays *strays, int dir_fd, unsigned depth)
{
    DIR *directory = fdopendir(dir_fd);
    struct dirent *entry;
    if (directory == NULL)
        close(dir_fd);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        const char *run = entry->d_name + strlen(CGROUP_PREFIX);
        if (strncmp(entry->d_name, CGROUP_PREFIX, strlen(CGROUP_PREFIX)) == 0 && names_run(run, '.')) {
            struct stray *stray = stray_of(strays, run);
            if (stray != NULL)
                stray->cgroups++;
            continue;
        }
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && depth > 0)
            look_at_cgroups(strays, fd, depth - 1);
        else if (fd >= 0)
            close(fd);
    }
    if (directory != NULL)
        closedir(directory);
}

void strays_look(struct strays *out)
{
    *out = (struct strays){0};
    look_at_processes(out);
    int fd = open(CGROUP_ROOT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        look_at_cgroups(out, fd, CGROUP_DEPTH_MAX);
}

void strays_free(struct strays *strays)
{
    mf_free(strays->items);
    *strays = (struct strays){0};
}
