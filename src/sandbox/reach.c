/*
 * reach.c - as root: how an agent's uid gets at a slot below directories that are root's alone
 *
 * A state directory is 0700, often below a 0700 home, and bubblewrap, which runs as the agent's uid, opens what it binds
 * by its path. So the process that starts agents enters a mount namespace of its own, in which the directory of the slots
 * stands a second time below a place that anybody may pass. Nothing of it is seen outside, and it ends with the process.
 * In the same namespace a slot can be a file system of limited size.
 */
#include "sandbox/sandbox_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOT_INODES "1048576" /* as many entries as a workspace may have */

/* A directory that every user may pass and nobody else may have made; made when it is missing. */
static int open_place(char path[PATH_MAX])
{
    static const char *const places[] = {"/run/mayfly-agents", "/var/tmp/.mayfly-agents", "/tmp/.mayfly-agents"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct stat about;
        if (mkdir(places[i], 0755) != 0 && errno != EEXIST)
            continue;
        int fd = open(places[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &about) == 0 && about.st_uid == 0) {
            snprintf(path, PATH_MAX, "%s", places[i]);
            return fd;
        }
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

bool sandbox_enter_namespace(void)
{
    static bool entered; /* it is the process's, as the namespace is */
    if (!entered && geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
        entered = mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
    return entered;
}

/* Without the right to mount the slots stay where they are; then it is decided by their path whether agents reach them. */
int reach_make(struct sandbox_base *base, struct mf_error *error)
{
    char place[PATH_MAX], link[40], reach[PATH_MAX];
    if (!sandbox_enter_namespace())
        return 0;
    int fd = open_place(place);
    if (fd < 0)
        return mf_fail_os(error, errno, "sandbox: cannot make /run/mayfly-agents");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int result = mount("mayfly", link, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711,size=65536");
    close(fd);
    if (result != 0)
        return mf_fail_os(error, errno, "%s: cannot mount on it", place);
    if (snprintf(reach, sizeof reach, "%s/work", place) >= (int)sizeof reach)
        return mf_fail(error, MF_LIMIT, "%s: is too long", place);
    if (mkdir(reach, 0711) != 0 || chmod(base->work, 0711) != 0 || mount(base->work, reach, NULL, MS_BIND, NULL) != 0)
        return mf_fail_os(error, errno, "%s: cannot be shown to agents", base->work);
    memcpy(base->reach, reach, sizeof reach);
    return 0;
}

static int slot_paths(const struct sandbox_base *base, const char *name, char slot[PATH_MAX], char reached[PATH_MAX])
{
    return snprintf(slot, PATH_MAX, "%s/%s", base->work, name) < PATH_MAX &&
                   snprintf(reached, PATH_MAX, "%s/%s", base->reach, name) < PATH_MAX
               ? 0
               : -1;
}

int sandbox_disk_limit(const struct sandbox_base *base, const char *name, uint64_t bytes, struct mf_error *error)
{
    char slot[PATH_MAX], reached[PATH_MAX], options[128];
    if (base->reach[0] == '\0' || slot_paths(base, name, slot, reached) != 0)
        return mf_fail(error, MF_SANDBOX, "sandbox: a limit of the disk needs the right to mount");
    snprintf(options, sizeof options, "mode=0700,size=%llu,nr_inodes=" SLOT_INODES, (unsigned long long)bytes);
    if (mount("mayfly-slot", slot, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        return mf_fail_os(error, errno, "%s: cannot mount on it", slot);
    if (mount(slot, reached, NULL, MS_BIND, NULL) == 0)
        return 0;
    mf_fail_os(error, errno, "%s: cannot mount on it", reached);
    umount2(slot, MNT_DETACH);
    return -1;
}

void sandbox_disk_unlimit(const struct sandbox_base *base, const char *name)
{
    char slot[PATH_MAX], reached[PATH_MAX];
    if (base->reach[0] == '\0' || slot_paths(base, name, slot, reached) != 0)
        return;
    umount2(reached, MNT_DETACH | UMOUNT_NOFOLLOW);
    umount2(slot, MNT_DETACH | UMOUNT_NOFOLLOW);
}
