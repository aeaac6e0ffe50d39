/*
 * handover.c - a directory tree gets another owner: what helpers wrote to the agent, what an agent wrote back to us
 *
 * Called in helper processes, as root. What an agent left is hostile: every entry is looked at without following it, a
 * directory is opened without following a link and left alone when it is another file system's, and a file with a second
 * name is left alone, because the other name may be anywhere. Deeper than a descriptor for each level allows is refused.
 */
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 200

struct handing {
    uid_t uid;
    gid_t gid;
    dev_t device;
};

static int hand_level(const struct handing *handing, int dir_fd, int depth);

/* An agent may have shut a directory; its owner is we now, so it can be opened after a look at its mode. */
static int open_below(int dir_fd, const char *name)
{
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int hand_entry(const struct handing *handing, int dir_fd, const char *name, int depth)
{
    struct stat about;
    if (fstatat(dir_fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -1;
    if (about.st_dev != handing->device || (!S_ISDIR(about.st_mode) && about.st_nlink > 1))
        return 0;
    if (!S_ISDIR(about.st_mode))
        return about.st_uid == handing->uid && about.st_gid == handing->gid
                   ? 0
                   : fchownat(dir_fd, name, handing->uid, handing->gid, AT_SYMLINK_NOFOLLOW);
    int fd = open_below(dir_fd, name);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? 0 : -1;
    int result = fstat(fd, &about) == 0 && about.st_dev == handing->device ? hand_level(handing, fd, depth + 1) : 0;
    close(fd);
    return result;
}

/* The entries first, the directory last: a new owner cannot move under us what we have not seen. */
static int hand_level(const struct handing *handing, int dir_fd, int depth)
{
    int own = depth < DEPTH_MAX ? openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        if (own >= 0)
            close(own);
        return -1;
    }
    int result = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && result == 0; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = hand_entry(handing, dir_fd, entry->d_name, depth);
    closedir(dir);
    return result == 0 ? fchown(dir_fd, handing->uid, handing->gid) : -1;
}

int sandbox_hand_over(int dir_fd, uid_t uid, gid_t gid)
{
    struct stat about;
    if (fstat(dir_fd, &about) != 0)
        return -1;
    struct handing handing = {.uid = uid, .gid = gid, .device = about.st_dev};
    return hand_level(&handing, dir_fd, 0);
}
