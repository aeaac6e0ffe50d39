/*
 * limits.c - what an agent may use of the machine: memory, processes and processor time, by whatever the machine has
 *
 * Version 2 of cgroups: the agent is born in a group of its own, whose files take the limits where the group above hands the
 * controllers down. Version 1: each controller has a hierarchy of its own; a group `mayfly-NAME` is made below ours, and the
 * child enters it before it executes anything. The number of processes is also a limit that mayfly-init sets inside, where
 * it counts this sandbox's processes alone; it needs no group.
 *
 * What a graph states and cannot be written is an error; nothing is tried that was not stated.
 */
#include "sandbox/sandbox_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CPU_PERIOD_US 100000u
#define NAME_BYTES_MAX 160

const struct sandbox_limits sandbox_limits_default = {.pids = 4096, .disk_bytes = 1ull << 30};

const char *const sandbox_controller_names[SANDBOX_CONTROLLER_COUNT] = {
#define X(name, text, file) text,
    SANDBOX_CONTROLLERS(X)
#undef X
};

/* --- where groups can be made --- */

static ssize_t read_text(const char *path, char *out, size_t out_bytes)
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

/* True when the comma or space separated `list` of `length` bytes holds `word`. */
static bool has_word(const char *list, size_t length, const char *word)
{
    size_t bytes = strlen(word);
    for (size_t at = 0; at < length;) {
        size_t end = at;
        while (end < length && list[end] != ',' && list[end] != ' ' && list[end] != '\n')
            end++;
        if (end - at == bytes && memcmp(list + at, word, bytes) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

/* Our own group by a line "N:controllers:/path" of /proc/self/cgroup; `controller` NULL: version 2. "" for the root. */
static int own_group(const char *controller, char *out, size_t out_bytes)
{
    char text[8192];
    if (read_text("/proc/self/cgroup", text, sizeof text) < 0)
        return -1;
    for (char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        const char *names = memchr(line, ':', length);
        const char *path = names != NULL ? memchr(names + 1, ':', length - (size_t)(names + 1 - line)) : NULL;
        size_t names_bytes = path != NULL ? (size_t)(path - names - 1) : 0;
        bool found = path != NULL && (controller == NULL ? names_bytes == 0 && line[0] == '0'
                                                         : has_word(names + 1, names_bytes, controller));
        if (found) {
            size_t bytes = length - (size_t)(path + 1 - line);
            if (bytes == 1)
                bytes = 0;
            if (bytes >= out_bytes)
                return -1;
            memcpy(out, path + 1, bytes);
            out[bytes] = '\0';
            return 0;
        }
        line += length + (line[length] == '\n');
    }
    return -1;
}

int limits_open_v1(enum sandbox_controller controller)
{
    static const char *const tails[] = {"", ",cpuacct"};
    const char *name = sandbox_controller_names[controller];
    char mounted[64], own[2048], path[sizeof mounted + sizeof own];
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct statfs about;
        snprintf(mounted, sizeof mounted, "/sys/fs/cgroup/%s%s", name, tails[i]);
        if (statfs(mounted, &about) != 0 || about.f_type != CGROUP_SUPER_MAGIC)
            continue;
        if (own_group(name, own, sizeof own) != 0)
            own[0] = '\0';
        for (int whole = 0; whole < 2; whole++) { /* in a container our group may have another name than we are told */
            snprintf(path, sizeof path, "%s%s", mounted, whole == 0 ? own : "");
            int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd >= 0 && faccessat(fd, ".", W_OK, AT_EACCESS) == 0)
                return fd;
            if (fd >= 0)
                close(fd);
        }
    }
    return -1;
}

static void read_controllers(const char *directory, const char *file, bool has[SANDBOX_CONTROLLER_COUNT])
{
    char path[2200], text[512];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    ssize_t length = read_text(path, text, sizeof text);
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++)
        has[i] = length > 0 && has_word(text, (size_t)length, sandbox_controller_names[i]);
}

static bool usable(const char *directory)
{
    char path[2200];
    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    return access(directory, W_OK) == 0 && access(path, W_OK) == 0;
}

static unsigned count(const bool has[SANDBOX_CONTROLLER_COUNT])
{
    unsigned sum = 0;
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++)
        sum += has[i];
    return sum;
}

int sandbox_limits_place(char *out, size_t out_bytes, bool handed_down[3])
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char own[2048], path[2100];
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        struct statfs about;
        if (statfs(mounts[i], &about) != 0 || about.f_type != CGROUP2_SUPER_MAGIC)
            continue;
        size_t mount_bytes = strlen(mounts[i]);
        if (own_group(NULL, own, sizeof own) != 0)
            return -1;
        snprintf(path, sizeof path, "%s%s", mounts[i], own);
        if (snprintf(out, out_bytes, "%s", path) >= (int)out_bytes)
            return -1;
        read_controllers(path, "cgroup.subtree_control", handed_down);
        /* a group with processes cannot hand controllers down: one above may, when we may make groups there */
        for (char *slash;
             count(handed_down) < 2 && (slash = strrchr(path, '/')) != NULL && slash > path + mount_bytes - 1;) {
            bool above[SANDBOX_CONTROLLER_COUNT];
            *slash = '\0';
            if (strlen(path) < mount_bytes || !usable(path))
                break;
            read_controllers(path, "cgroup.subtree_control", above);
            if (count(above) > count(handed_down)) {
                memcpy(handed_down, above, sizeof above);
                snprintf(out, out_bytes, "%s", path);
            }
        }
        return 0;
    }
    return -1;
}

void limits_find(struct limits_ways *ways)
{
    char path[2100];
    *ways = (struct limits_ways){.v2 = {false}};
    if (sandbox_limits_place(path, sizeof path, ways->v2) != 0 || !usable(path))
        memset(ways->v2, 0, sizeof ways->v2);
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++) {
        int fd = limits_open_v1((enum sandbox_controller)i);
        ways->v1[i] = fd >= 0;
        if (fd >= 0)
            close(fd);
    }
}

/* --- writing them --- */

static int write_limit(int dir_fd, const char *file, const char *text)
{
    int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = strlen(text);
    ssize_t written = write(fd, text, length);
    close(fd);
    return written == (ssize_t)length ? 0 : -1;
}

static int write_number(int dir_fd, const char *file, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return write_limit(dir_fd, file, text);
}

static uint64_t stated(const struct sandbox_limits *limits, enum sandbox_controller controller)
{
    switch (controller) {
    case SANDBOX_CONTROLLER_MEMORY:
        return limits->memory_bytes;
    case SANDBOX_CONTROLLER_PIDS:
        return limits->pids;
    case SANDBOX_CONTROLLER_CPU:
        return limits->cpu_millis;
    case SANDBOX_CONTROLLER_COUNT:
        break;
    }
    return 0;
}

/* 0 takes the limit away. */
static int write_v2(int dir_fd, enum sandbox_controller controller, uint64_t value)
{
    static const char *const files[] = {
#define X(name, text, file) file,
        SANDBOX_CONTROLLERS(X)
#undef X
    };
    char text[64];
    if (controller == SANDBOX_CONTROLLER_CPU && value > 0)
        snprintf(text, sizeof text, "%" PRIu64 " %u", value * (CPU_PERIOD_US / 1000), CPU_PERIOD_US);
    else if (value > 0)
        snprintf(text, sizeof text, "%" PRIu64, value);
    else
        snprintf(text, sizeof text, "max");
    if (controller == SANDBOX_CONTROLLER_MEMORY)
        write_limit(dir_fd, "memory.swap.max",
                    value > 0 ? "0" : "max"); /* a kernel without swap accounting has no file */
    return write_limit(dir_fd, files[controller], text);
}

static int write_v1(int dir_fd, enum sandbox_controller controller, uint64_t value)
{
    switch (controller) {
    case SANDBOX_CONTROLLER_MEMORY:
        write_limit(dir_fd, "memory.memsw.limit_in_bytes", "-1");
        if (write_limit(dir_fd, "memory.limit_in_bytes", "-1") != 0 ||
            write_number(dir_fd, "memory.limit_in_bytes", value) != 0)
            return -1;
        write_number(dir_fd, "memory.memsw.limit_in_bytes", value);
        return 0;
    case SANDBOX_CONTROLLER_PIDS:
        return write_number(dir_fd, "pids.max", value);
    case SANDBOX_CONTROLLER_CPU:
        return write_number(dir_fd, "cpu.cfs_period_us", CPU_PERIOD_US) == 0
                   ? write_number(dir_fd, "cpu.cfs_quota_us", value * (CPU_PERIOD_US / 1000))
                   : -1;
    case SANDBOX_CONTROLLER_COUNT:
        break;
    }
    return -1;
}

static void group_name(const char *name, char out[NAME_BYTES_MAX])
{
    snprintf(out, NAME_BYTES_MAX, "mayfly-%s", name);
}

static int apply_v1(const struct sandbox_base *base, const char *name, enum sandbox_controller controller,
                    uint64_t value)
{
    char group[NAME_BYTES_MAX];
    int parent_fd = base->v1_fds[controller];
    group_name(name, group);
    if (value == 0) {
        if (parent_fd >= 0)
            unlinkat(parent_fd, group, AT_REMOVEDIR);
        return 0;
    }
    if (parent_fd < 0 || (mkdirat(parent_fd, group, 0755) != 0 && errno != EEXIST))
        return -1;
    int fd = openat(parent_fd, group, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = fd >= 0 ? write_v1(fd, controller, value) : -1;
    if (fd >= 0)
        close(fd);
    return result;
}

int sandbox_limits_apply(struct sandbox_base *base, const char *name, int cgroup_fd,
                         const struct sandbox_limits *limits, struct mf_error *error)
{
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++) {
        enum sandbox_controller controller = (enum sandbox_controller)i;
        uint64_t value = stated(limits, controller);
        bool done = cgroup_fd >= 0 && write_v2(cgroup_fd, controller, value) == 0;
        if (!done && apply_v1(base, name, controller, value) != 0 && controller != SANDBOX_CONTROLLER_PIDS)
            return mf_fail_os(error, errno, "sandbox: the limit of %s cannot be set", sandbox_controller_names[i]);
    }
    return 0;
}

uint32_t sandbox_limits_join(struct sandbox_base *base, const char *name, int fds[4])
{
    char path[NAME_BYTES_MAX + 8];
    uint32_t joined = 0;
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++) {
        snprintf(path, sizeof path, "mayfly-%s/tasks",
                 name); /* `tasks`: moves the caller alone, without a lock on all */
        int fd = base->v1_fds[i] >= 0 ? openat(base->v1_fds[i], path, O_WRONLY | O_CLOEXEC) : -1;
        if (fd >= 0)
            fds[joined++] = fd;
    }
    return joined;
}

int sandbox_limits_sweep(const char *run_id)
{
    char prefix[NAME_BYTES_MAX];
    int left = 0;
    snprintf(prefix, sizeof prefix, "mayfly-%s.", run_id);
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++) {
        int fd = limits_open_v1((enum sandbox_controller)i);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (dir == NULL && fd >= 0)
            close(fd);
        for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir))
            if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
                unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT)
                left++;
        if (dir != NULL)
            closedir(dir);
    }
    return left;
}

void sandbox_limits_remove(struct sandbox_base *base, const char *name)
{
    char group[NAME_BYTES_MAX];
    group_name(name, group);
    for (size_t i = 0; i < SANDBOX_CONTROLLER_COUNT; i++)
        if (base->v1_fds[i] >= 0)
            unlinkat(base->v1_fds[i], group, AT_REMOVEDIR);
}
