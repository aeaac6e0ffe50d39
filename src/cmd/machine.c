/* machine.c - what this machine has: kernel features, limits, and how many agents it can hold */
#include "cmd/machine.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* The first number of a small file; `missing` when there is none (or it says "max"). */
static uint64_t file_number(const char *path, uint64_t missing)
{
    char text[64];
    uint64_t number;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return missing;
    ssize_t got = read(fd, text, sizeof text);
    close(fd);
    size_t length = 0;
    while (got > 0 && length < (size_t)got && text[length] >= '0' && text[length] <= '9')
        length++;
    return mf_parse_u64((struct mf_span){text, length}, &number) == 0 ? number : missing;
}

/* "Name:   123 kB" of /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *name)
{
    char line[128];
    uint64_t kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        size_t length = strlen(name);
        if (strncmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *digits = line + length + 1 + strspn(line + length + 1, " ");
        mf_parse_u64((struct mf_span){digits, strspn(digits, "0123456789")}, &kilobytes);
        break;
    }
    fclose(file);
    return kilobytes * 1024;
}

static bool in_path(const char *program)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        char file[4096];
        size_t length = strcspn(path, ":");
        int written = snprintf(file, sizeof file, "%.*s/%s", (int)length, path, program);
        if (length > 0 && written > 0 && (size_t)written < sizeof file && access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static void look_at_calls(struct machine *out)
{
    struct utsname names;
    if (uname(&names) == 0)
        snprintf(out->kernel, sizeof out->kernel, "%.64s", names.release);
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    out->pidfd = fd >= 0;
    if (fd >= 0)
        close(fd);
    struct open_how how = {.flags = O_PATH | O_CLOEXEC};
    fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
    out->openat2 = fd >= 0;
    if (fd >= 0)
        close(fd);
    out->close_range = syscall(SYS_close_range, ~0u, ~0u, (unsigned)CLOSE_RANGE_CLOEXEC) == 0;
}

/* Our own cgroup, as "0::/path" of /proc/self/cgroup, below the root of version 2; "" without one. */
static void own_cgroup(char *out, size_t out_bytes)
{
    char line[1024];
    out[0] = '\0';
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "0::/", 4) == 0)
            snprintf(out, out_bytes, CGROUP_ROOT "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (file != NULL)
        fclose(file);
}

static void look_at_cgroup(struct machine *out)
{
    char own[1100], path[1200];
    own_cgroup(own, sizeof own);
    if (access(CGROUP_ROOT "/cgroup.controllers", F_OK) == 0)
        out->cgroup = MACHINE_CGROUP_V2;
    else if (access(CGROUP_ROOT "/cpu", F_OK) == 0 || access(CGROUP_ROOT "/pids", F_OK) == 0)
        out->cgroup = MACHINE_CGROUP_V1;
    if (out->cgroup != MACHINE_CGROUP_V2 || own[0] == '\0')
        return;
    snprintf(path, sizeof path, "%s/cgroup.kill", own);
    out->cgroup_kill = access(path, F_OK) == 0;
    snprintf(path, sizeof path, "%s/pids.max", own);
    out->processes_max = smaller(out->processes_max, file_number(path, UINT64_MAX));
    snprintf(path, sizeof path, "%s/memory.max", own);
    out->memory_bytes = smaller(out->memory_bytes, file_number(path, UINT64_MAX));
}

static void look_at_limits(struct machine *out)
{
    struct rlimit limit;
    out->descriptors_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : 1024;
    out->processes_max = file_number("/proc/sys/kernel/pid_max", 32768);
    out->processes_max = smaller(out->processes_max, file_number("/proc/sys/kernel/threads-max", UINT64_MAX));
    if (geteuid() != 0 && getrlimit(RLIMIT_NPROC, &limit) == 0)
        out->processes_max = smaller(out->processes_max, limit.rlim_max);
    out->memory_bytes = meminfo("MemAvailable");
    out->swap_bytes = meminfo("SwapTotal");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    out->cores = cores > 0 ? (uint32_t)cores : 1;
}

static uint64_t hold(uint64_t have, uint64_t own, uint64_t each)
{
    return have > own ? (have - own) / each : 0;
}

void machine_look(struct machine *out)
{
    memset(out, 0, sizeof *out);
    look_at_calls(out);
    look_at_limits(out);
    look_at_cgroup(out);
    out->git = in_path("git");
    out->agents_by_descriptors = hold(out->descriptors_max, MACHINE_OWN_DESCRIPTORS, MACHINE_AGENT_DESCRIPTORS);
    out->agents_by_processes = hold(out->processes_max, MACHINE_OWN_PROCESSES, MACHINE_AGENT_PROCESSES);
    out->agents_by_memory = out->memory_bytes / MACHINE_AGENT_BYTES;
    out->agents_max = smaller(out->agents_by_descriptors, smaller(out->agents_by_processes, out->agents_by_memory));
}
