/*
 * cgroup.c - kill-all by cgroup v2: one group for the run, one pooled group for each slot
 *
 * Two layouts are in use: cgroup2 at /sys/fs/cgroup, or next to version 1 controllers at /sys/fs/cgroup/unified. The
 * run's group is made below our own, which a user owns under systemd with delegation and root always does, or below one
 * above it that hands controllers down, so that its groups can limit (sandbox/limits.c).
 */
#include "runner/cgroup.h"

#include "sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* So that groups below can limit; one at a time, because one that is not handed down must not spoil the others. */
static void hand_down(int dir_fd)
{
    static const char *const controllers[] = {"+memory", "+pids", "+cpu"};
    int fd = openat(dir_fd, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (size_t i = 0; i < sizeof controllers / sizeof controllers[0]; i++) {
        ssize_t written = write(fd, controllers[i], strlen(controllers[i]));
        (void)written; /* what is not there is seen when a limit is written */
    }
    close(fd);
}

int cgroup_make_run(const char *name, char path[CGROUP_PATH_BYTES_MAX])
{
    char place[CGROUP_PATH_BYTES_MAX - 128];
    bool handed_down[3];
    if (sandbox_limits_place(place, sizeof place, handed_down) != 0)
        return -1;
    int written = snprintf(path, CGROUP_PATH_BYTES_MAX, "%s/mayfly-%s", place, name);
    if (written < 0 || written >= CGROUP_PATH_BYTES_MAX)
        return -1;
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && faccessat(fd, "cgroup.kill", W_OK, 0) == 0) {
        hand_down(fd);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    rmdir(path);
    return -1;
}

int cgroup_make(int run_fd, const char *name, struct cgroup *out)
{
    *out = (struct cgroup){-1, -1};
    if (mkdirat(run_fd, name, 0755) != 0 && errno != EEXIST)
        return -1;
    out->dir_fd = openat(run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out->dir_fd >= 0)
        out->events_fd = openat(out->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (out->events_fd >= 0)
        return 0;
    cgroup_close(out);
    return -1;
}

void cgroup_close(struct cgroup *group)
{
    if (group->dir_fd >= 0)
        close(group->dir_fd);
    if (group->events_fd >= 0)
        close(group->events_fd);
    *group = (struct cgroup){-1, -1};
}

bool cgroup_empty(const struct cgroup *group)
{
    if (group->dir_fd < 0)
        return true;
    char text[256];
    ssize_t got = pread(group->events_fd, text, sizeof text - 1, 0);
    if (got < 0)
        return errno == ENODEV; /* the group was removed */
    text[got] = '\0';
    return strstr(text, "populated 0") != NULL;
}

int cgroup_kill(int dir_fd)
{
    int fd = openat(dir_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, "1", 1);
    close(fd);
    return written == 1 ? 0 : -1;
}

int cgroup_signal(int dir_fd, int signal_number)
{
    int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *list = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (list == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int count = 0;
    char line[32];
    while (fgets(line, sizeof line, list) != NULL) {
        long pid = strtol(line, NULL, 10);
        if (pid <= 1) /* 0: a process that our pid namespace does not see */
            continue;
        count += kill((pid_t)pid, signal_number) == 0 ? 1 : 0;
        if (signal_number != 0 && signal_number != SIGKILL)
            kill((pid_t)pid, SIGCONT);
    }
    fclose(list);
    return count;
}

/* Removes the child groups; rmdir refuses as long as something lives in one. */
static void remove_children(int dir_fd, int *killed)
{
    int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        if (own >= 0)
            close(own);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        int child = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child >= 0 && killed != NULL) {
            int alive = cgroup_signal(child, 0);
            *killed += alive > 0 ? alive : 0;
        }
        if (child >= 0) {
            remove_children(child, NULL);
            close(child);
        }
        unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

int cgroup_remove(const char *path, int wait_ms, int *killed)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    remove_children(fd, killed);
    bool gone = rmdir(path) == 0;
    for (int waited_ms = 0; !gone && waited_ms <= wait_ms; waited_ms++) {
        cgroup_kill(fd);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        remove_children(fd, NULL);
        gone = rmdir(path) == 0 || errno == ENOENT;
    }
    close(fd);
    return gone ? 0 : -1;
}
