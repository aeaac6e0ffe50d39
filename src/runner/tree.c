/* tree.c - processes found through /proc: whose child, which session, which mark, born when */
#include "runner/tree.h"

#include "base/alloc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENVIRONMENT_BYTES_MAX ((size_t)4 << 20) /* twice what execve takes by default */

static ssize_t read_file(const char *path, char *out, size_t out_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = 0;
    ssize_t got;
    while (length < out_bytes - 1 && (got = read(fd, out + length, out_bytes - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    out[length] = '\0';
    return (ssize_t)length;
}

int tree_read(pid_t pid, struct tree_process *out)
{
    char path[48];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_file(path, text, sizeof text) <= 0)
        return -1;
    const char *rest = strrchr(text, ')'); /* the name in front may hold anything */
    int parent, group, session;
    *out = (struct tree_process){.pid = pid};
    if (rest == NULL || sscanf(rest + 1,
                               " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
                               &out->state, &parent, &group, &session, &out->birth) != 5)
        return -1;
    out->parent = parent;
    out->group = group;
    out->session = session;
    return 0;
}

struct tree_process *tree_list(size_t *count)
{
    *count = 0;
    DIR *dir = opendir("/proc");
    if (dir == NULL)
        return NULL;
    void *list = NULL;
    size_t capacity = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct tree_process process;
        if (!isdigit((unsigned char)entry->d_name[0]) || tree_read((pid_t)strtol(entry->d_name, NULL, 10), &process) != 0)
            continue;
        if (mf_grow(&list, &capacity, *count + 1, sizeof process, 256) != 0)
            break;
        ((struct tree_process *)list)[(*count)++] = process;
    }
    closedir(dir);
    return list;
}

bool tree_marked(pid_t pid, const char *prefix)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    char *text = mf_alloc(ENVIRONMENT_BYTES_MAX);
    if (text == NULL)
        return false;
    ssize_t length = read_file(path, text, ENVIRONMENT_BYTES_MAX);
    bool found = false;
    size_t name_bytes = sizeof TREE_MARK_NAME - 1;
    for (ssize_t at = 0; at < length && !found; at += (ssize_t)strlen(text + at) + 1)
        found = strncmp(text + at, TREE_MARK_NAME, name_bytes) == 0 &&
                strncmp(text + at + name_bytes, prefix, strlen(prefix)) == 0;
    if (length > 0)
        mf_wipe(text, (size_t)length);
    mf_free(text);
    return found;
}

static bool parent_is_member(const struct tree_process *list, size_t count, pid_t parent)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == parent)
            return list[i].member;
    return false;
}

void tree_close_over(struct tree_process *list, size_t count)
{
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            if (!list[i].member && parent_is_member(list, count, list[i].parent)) {
                list[i].member = true;
                more = true;
            }
        }
    }
}

int tree_signal(const struct tree_process *process, int signal_number)
{
    int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (pidfd < 0)
        return -1;
    struct tree_process now;
    int result = -1;
    if (tree_read(process->pid, &now) == 0 && now.birth == process->birth)
        result = (int)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
    close(pidfd);
    return result == 0 ? 0 : -1;
}
