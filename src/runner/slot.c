/* slot.c - the directory that an agent works in: .work/@N/{ws,home}, made once, used again as long as it stays empty */
#include "runner/slot.h"

#include "runner/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What an owner may set on a directory (chattr); those that only root may set are not an agent's. */
#define FLAGS_OF_USERS                                                                                                 \
    (FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_NOTAIL_FL |               \
     FS_DIRSYNC_FL | FS_TOPDIR_FL | FS_NOCOW_FL)
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static void make_group(struct slot *slot, uint32_t number, int run_group_fd)
{
    char name[48];
    snprintf(name, sizeof name, "%u.%u", number, slot->group_number);
    cgroup_make(run_group_fd, name, &slot->group);
}

/*
 * Some kernels (6.18) kill whatever is cloned into a group that cgroup.kill was ever written to: they compare the group's
 * count of kills with that of the parent's group. So a killed group is used no more.
 */
static void drop_killed_group(struct slot *slot, uint32_t number, int run_group_fd)
{
    char name[32];
    snprintf(name, sizeof name, "%u.%u", number, slot->group_number);
    cgroup_close(&slot->group);
    if (unlinkat(run_group_fd, name, AT_REMOVEDIR) != 0)
        slot->group_number++; /* something dies in it still: it goes with the run's */
    slot->group_killed = false;
}

int slot_make(struct slot *slot, uint32_t number, int work_fd, int run_group_fd)
{
    if (slot->group_killed && run_group_fd >= 0)
        drop_killed_group(slot, number, run_group_fd);
    if (slot->group.dir_fd < 0 && run_group_fd >= 0)
        make_group(slot, number, run_group_fd);
    if (slot->made)
        return 0;
    char name[32];
    snprintf(name, sizeof name, PATHS_SLOT_FORMAT, number);
    slot->ws_fd = slot->home_fd = -1;
    slot->dir_fd = paths_make(work_fd, name);
    if (slot->dir_fd >= 0)
        slot->ws_fd = paths_make(slot->dir_fd, "ws");
    if (slot->ws_fd >= 0)
        slot->home_fd = paths_make(slot->dir_fd, "home");
    slot->made = true;
    struct stat about;
    bool known = slot->dir_fd >= 0 && fstat(slot->dir_fd, &about) == 0;
    slot->owner = known ? about.st_uid : geteuid();
    slot->bytes = known ? about.st_size : 0;
    if (slot->home_fd >= 0)
        return 0;
    int os_errno = errno;
    slot_close(slot);
    errno = os_errno;
    return -1;
}

/* Entries besides "." and ".."; *found is set when one is called `name` (may be NULL). At most one buffer is read. */
static unsigned count_entries(int fd, const char *name, bool *found)
{
    struct entry {
        uint64_t inode;
        int64_t offset;
        uint16_t bytes;
        uint8_t type;
        char name[];
    };
    _Alignas(struct entry) char buffer[2048];
    unsigned count = 0;
    lseek(fd, 0, SEEK_SET);
    long got = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (got < 0)
        return 1; /* unreadable is not empty */
    for (long at = 0; at < got;) {
        const struct entry *entry = (const struct entry *)(const void *)(buffer + at);
        at += entry->bytes;
        if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
            continue;
        count++;
        if (name != NULL && strcmp(entry->name, name) == 0)
            *found = true;
    }
    return count;
}

/* The directory that we hold is still the one at its name: an agent may have moved it away and made another. */
static bool still_there(int dir_fd, const char *name, int fd)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && fstatat(dir_fd, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_mode == (S_IFDIR | 0700);
}

struct slot_left slot_look(const struct slot *slot)
{
    struct slot_left left = {.has_result = false};
    struct stat about;
    if (fstat(slot->dir_fd, &about) == 0 && about.st_mode != (S_IFDIR | 0700))
        fchmod(slot->dir_fd, 0700); /* an agent has shut it, against us too */
    unsigned entries = count_entries(slot->dir_fd, SLOT_RESULT, &left.has_result);
    if (!left.has_result && entries > 2) /* many entries: the name may be behind the first buffer */
        left.has_result = faccessat(slot->dir_fd, SLOT_RESULT, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    left.pristine = entries == 2 && !left.has_result && count_entries(slot->ws_fd, NULL, NULL) == 0 &&
                    count_entries(slot->home_fd, NULL, NULL) == 0 && still_there(slot->dir_fd, "ws", slot->ws_fd) &&
                    still_there(slot->dir_fd, "home", slot->home_fd);
    return left;
}

static void close_directories(struct slot *slot)
{
    if (slot->dir_fd >= 0)
        close(slot->dir_fd);
    if (slot->ws_fd >= 0)
        close(slot->ws_fd);
    if (slot->home_fd >= 0)
        close(slot->home_fd);
    slot->dir_fd = slot->ws_fd = slot->home_fd = -1;
    slot->made = false;
}

void slot_shut(struct slot *slot)
{
    if (slot->made)
        close_directories(slot);
}

/* Nothing that only a writer could have left: on a file system that has no flags or attributes there is nothing to find. */
static bool is_plain(int fd, const struct stat *now, int64_t bytes)
{
    int flags = 0;
    if (now->st_size != bytes || flistxattr(fd, NULL, 0) > 0)
        return false;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0 || (flags & FLAGS_OF_USERS) == 0;
}

static bool same_time(struct timespec left, struct timespec right)
{
    return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

/* A directory as the next agent may find it: its times are set only when they moved, because that costs a write. */
static bool make_plain(int fd, const struct slot_times *given, int64_t bytes)
{
    struct stat now;
    if (fstat(fd, &now) != 0 || !is_plain(fd, &now, bytes))
        return false;
    bool untouched = same_time(now.st_ctim, given->changed) && same_time(now.st_mtim, given->modified) &&
                     same_time(now.st_atim, given->read);
    return untouched || futimens(fd, NULL) == 0;
}

int slot_renew(struct slot *slot, uint32_t number, int work_fd)
{
    char name[32];
    int fds[] = {slot->dir_fd, slot->ws_fd, slot->home_fd};
    bool plain = true;
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        plain = plain && make_plain(fds[i], &slot->given[i], slot->bytes);
    if (plain)
        return 0;
    snprintf(name, sizeof name, PATHS_SLOT_FORMAT, number);
    if (unlinkat(slot->dir_fd, "ws", AT_REMOVEDIR) != 0 || unlinkat(slot->dir_fd, "home", AT_REMOVEDIR) != 0 ||
        unlinkat(work_fd, name, AT_REMOVEDIR) != 0)
        return -1;
    close_directories(slot);
    return 0;
}

int slot_own(struct slot *slot, uid_t uid, gid_t gid)
{
    int fds[] = {slot->dir_fd, slot->ws_fd, slot->home_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        struct stat now;
        if (fstat(fds[i], &now) != 0)
            return -1;
        bool shut = now.st_mode != (S_IFDIR | 0700), foreign = now.st_uid != uid;
        if ((shut && fchmod(fds[i], 0700) != 0) || (foreign && fchown(fds[i], uid, gid) != 0) ||
            ((shut || foreign) && fstat(fds[i], &now) != 0))
            return -1;
        slot->given[i] = (struct slot_times){now.st_ctim, now.st_mtim, now.st_atim};
    }
    slot->owner = uid;
    return 0;
}

void slot_discard(struct slot *slot, uint32_t number, int work_fd, int trash_fd, uint64_t trash_name)
{
    if (!slot->made)
        return;
    char name[32], trash[32];
    snprintf(name, sizeof name, PATHS_SLOT_FORMAT, number);
    snprintf(trash, sizeof trash, "%llu", (unsigned long long)trash_name);
    close_directories(slot);
    renameat(work_fd, name, trash_fd, trash);
}

void slot_abandon_group(struct slot *slot)
{
    cgroup_close(&slot->group);
    slot->group_number++;
}

void slot_close(struct slot *slot)
{
    if (slot->made)
        close_directories(slot);
    cgroup_close(&slot->group);
}
