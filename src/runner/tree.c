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

#define ENTRY_BYTES_KEPT (sizeof TREE_MARK_NAME + TREE_MARK_BYTES_MAX)

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
    if (rest == NULL ||
        sscanf(rest + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
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
        if (!isdigit((unsigned char)entry->d_name[0]) ||
            tree_read((pid_t)strtol(entry->d_name, NULL, 10), &process) != 0)
            continue;
        if (mf_grow(&list, &capacity, *count + 1, sizeof process, 256) != 0)
            break;
        ((struct tree_process *)list)[(*count)++] = process;
    }
    closedir(dir);
    return list;
}

/* Looks for NAME at the start of an entry of `text`; its value to *mark. True when it is there with its end. */
static bool find_mark(const char *text, size_t length, bool at_start, char mark[TREE_MARK_BYTES_MAX])
{
    size_t name_bytes = sizeof TREE_MARK_NAME - 1;
    for (size_t from = 0; from + name_bytes <= length;) {
        const char *found = memmem(text + from, length - from, TREE_MARK_NAME, name_bytes);
        if (found == NULL)
            return false;
        size_t at = (size_t)(found - text);
        const char *end = memchr(found, '\0', length - at);
        bool entry = at > 0 ? text[at - 1] == '\0' : at_start;
        if (entry && end != NULL && (size_t)(end - found) - name_bytes < TREE_MARK_BYTES_MAX) {
            memcpy(mark, found + name_bytes, (size_t)(end - found) - name_bytes + 1);
            return true;
        }
        from = at + 1;
    }
    return false;
}

int tree_mark(pid_t pid, char mark[TREE_MARK_BYTES_MAX])
{
    static char text[64 << 10]; /* one thread */
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t kept = 0;
    bool found = false, first = true;
    ssize_t got;
    while (!found && (got = read(fd, text + kept, sizeof text - kept)) > 0) {
        size_t length = kept + (size_t)got;
        found = find_mark(text, length, first, mark);
        kept = length < ENTRY_BYTES_KEPT ? length : ENTRY_BYTES_KEPT; /* an entry may lie across two reads */
        memmove(text, text + length - kept, kept);
        first &= length == kept;
    }
    close(fd);
    mf_wipe(text, sizeof text); /* agents' environments hold credentials */
    return found ? 0 : -1;
}

bool tree_marked(pid_t pid, const char *prefix)
{
    char mark[TREE_MARK_BYTES_MAX];
    return tree_mark(pid, mark) == 0 && strncmp(mark, prefix, strlen(prefix)) == 0;
}

/* --- children --- */

static int add_children_of_thread(pid_t pid, const char *thread, pid_t *children, size_t max, size_t *count)
{
    static char text[64 << 10];
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/task/%s/children", (int)pid, thread);
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    char *end;
    for (char *at = text; *count < max; at = end) {
        long child = strtol(at, &end, 10);
        if (end == at)
            break;
        children[(*count)++] = (pid_t)child;
    }
    return 0;
}

int tree_children(pid_t pid, pid_t *children, size_t max)
{
    char path[48];
    size_t count = 0;
    int result = -1;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        if (isdigit((unsigned char)entry->d_name[0]) &&
            add_children_of_thread(pid, entry->d_name, children, max, &count) == 0)
            result = 0;
    closedir(dir);
    return result == 0 ? (int)count : -1;
}

/* --- closure --- */

static int by_pid(const void *left, const void *right)
{
    pid_t a = ((const struct tree_process *)left)->pid, b = ((const struct tree_process *)right)->pid;
    return a < b ? -1 : a > b;
}

static bool parent_is_member(const struct tree_process *list, size_t count, pid_t parent)
{
    struct tree_process wanted = {.pid = parent};
    const struct tree_process *found = bsearch(&wanted, list, count, sizeof wanted, by_pid);
    return found != NULL && found->member;
}

void tree_close_over(struct tree_process *list, size_t count)
{
    bool more = count > 0;
    if (count > 0)
        qsort(list, count, sizeof list[0], by_pid);
    while (more) { /* a parent is usually older and so has the smaller number: few rounds */
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
