/* files.c - small files and directories by descriptor, never through a link */
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* From linux/magic.h and the file systems' own headers: those whose locks or syncs cannot be trusted across machines. */
#define NETWORK_FILE_SYSTEMS(X)                                                                                        \
    X(0x6969u, "NFS")                                                                                                  \
    X(0xff534d42u, "CIFS")                                                                                             \
    X(0xfe534d42u, "SMB2")                                                                                             \
    X(0x517bu, "SMB")                                                                                                  \
    X(0x01021997u, "9p")                                                                                               \
    X(0x5346414fu, "AFS")                                                                                              \
    X(0x6b414653u, "AFS")                                                                                              \
    X(0x73757245u, "Coda")                                                                                             \
    X(0x564cu, "NCP")                                                                                                  \
    X(0x00c36400u, "Ceph")                                                                                             \
    X(0x65735546u, "FUSE (sshfs or the like)")                                                                         \
    X(0x0bd00bd0u, "Lustre")                                                                                           \
    X(0x47504653u, "GPFS")                                                                                             \
    X(0x7461636fu, "OCFS2")                                                                                            \
    X(0x01161970u, "GFS2")

#define ALPHABET "abcdefghijklmnopqrstuvwxyz0123456789"

static int check_owner(const struct stat *status, const char *shown, struct mf_error *error)
{
    if (status->st_uid != geteuid())
        return mf_fail(error, MF_STATE, "%s: belongs to user %lu, not to user %lu: take another one with --state", shown,
                       (unsigned long)status->st_uid, (unsigned long)geteuid());
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return mf_fail(error, MF_STATE, "%s: others may write it: run chmod go-w %s", shown, shown);
    return 0;
}

static int check_regular(const struct stat *status, const char *shown, struct mf_error *error)
{
    if (!S_ISREG(status->st_mode))
        return mf_fail(error, MF_STATE, "%s: is not a regular file", shown);
    if (status->st_nlink > 1)
        return mf_fail(error, MF_STATE, "%s: has a second name (hard link): remove that one", shown);
    return check_owner(status, shown, error);
}

int files_check_directory(int fd, const char *shown, struct mf_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return mf_fail_os(error, errno, "%s", shown);
    return check_owner(&status, shown, error);
}

int files_check_file(int fd, const char *shown, struct mf_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return mf_fail_os(error, errno, "%s", shown);
    return check_regular(&status, shown, error);
}

int files_check_name(int dir_fd, const char *name, const char *shown, struct mf_error *error)
{
    struct stat status;
    if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return mf_fail(error, MF_NOT_FOUND, "%s: does not exist", shown);
        return mf_fail_os(error, errno, "%s", shown);
    }
    if (S_ISLNK(status.st_mode))
        return mf_fail(error, MF_STATE, "%s: is a symbolic link", shown);
    return check_regular(&status, shown, error);
}

int files_check_local(int fd, const char *shown, struct mf_error *error)
{
    struct statfs status;
    if (fstatfs(fd, &status) != 0)
        return mf_fail_os(error, errno, "%s", shown);
    static const struct {
        uint32_t magic;
        const char *name;
    } systems[] = {
#define X(magic, name) {magic, name},
        NETWORK_FILE_SYSTEMS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof systems / sizeof systems[0]; i++)
        if ((uint32_t)status.f_type == systems[i].magic)
            return mf_fail(error, MF_STATE,
                           "%s: lies on a network file system (%s), where locks and syncs cannot be trusted: "
                           "point --state or MAYFLY_STATE at a local disk",
                           shown, systems[i].name);
    return 0;
}

static int read_all(int fd, struct mf_buf *out)
{
    char chunk[4096];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        int status = mf_buf_append(out, chunk, (size_t)got);
        explicit_bzero(chunk, (size_t)got); /* it may be the key */
        if (status != 0) {
            errno = EFBIG;
            return -1;
        }
    }
    return 0;
}

int files_read(int dir_fd, const char *name, struct mf_buf *out, struct mf_error *error)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return mf_fail(error, MF_NOT_FOUND, "%s: does not exist", name);
    if (fd < 0)
        return mf_fail(error, MF_STATE, "%s: %s", name, errno == ELOOP ? "is a symbolic link" : strerror(errno));
    int status = files_check_file(fd, name, error);
    if (status == 0 && read_all(fd, out) != 0)
        status = mf_fail_os(error, errno, "%s", name);
    close(fd);
    return status;
}

int files_write_all(int fd, const void *data, size_t bytes)
{
    const char *next = data;
    while (bytes > 0) {
        ssize_t written = write(fd, next, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        next += written;
        bytes -= (size_t)written;
    }
    return 0;
}

/* A complete, synced file under a random name. */
static int write_aside(int dir_fd, const char *aside, struct mf_span text)
{
    int fd = openat(dir_fd, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int status = files_write_all(fd, text.data, text.length);
    if (status == 0)
        status = fsync(fd);
    int cause = errno;
    close(fd);
    errno = cause;
    return status;
}

static int aside_name(char *out, size_t out_bytes, const char *name, struct mf_error *error)
{
    char random[13];
    if (files_random_name(random, 12, error) != 0)
        return -1;
    int length = snprintf(out, out_bytes, ".%s.%s", name, random);
    return length > 0 && (size_t)length < out_bytes ? 0 : mf_fail(error, MF_LIMIT, "%s: name too long", name);
}

int files_replace(int dir_fd, const char *name, struct mf_span text, struct mf_error *error)
{
    char aside[300];
    if (aside_name(aside, sizeof aside, name, error) != 0)
        return -1;
    if (write_aside(dir_fd, aside, text) == 0 && renameat(dir_fd, aside, dir_fd, name) == 0 && fsync(dir_fd) == 0)
        return 0;
    int cause = errno;
    unlinkat(dir_fd, aside, 0);
    return mf_fail_os(error, cause, "%s: cannot write", name);
}

int files_publish(int dir_fd, const char *name, struct mf_span text, struct mf_error *error)
{
    char aside[300];
    if (aside_name(aside, sizeof aside, name, error) != 0)
        return -1;
    int status = write_aside(dir_fd, aside, text);
    if (status == 0) /* renameat2 rather than linkat: there is never a moment with two names */
        status = renameat2(dir_fd, aside, dir_fd, name, RENAME_NOREPLACE);
    if (status == 0 && fsync(dir_fd) == 0)
        return 0;
    int cause = errno;
    unlinkat(dir_fd, aside, 0);
    return mf_fail_os(error, cause, "%s: cannot make", name);
}

int files_lock(int dir_fd, const char *name, bool wait, int *out, struct mf_error *error)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return mf_fail_os(error, errno, "%s", name);
    if (files_check_file(fd, name, error) != 0) {
        close(fd);
        return -1;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) != 0) {
        if (errno == EINTR)
            continue;
        int cause = errno;
        close(fd);
        if (cause == EAGAIN || cause == EACCES)
            return mf_fail(error, MF_LOCKED, "%s: another process holds the lock", name);
        return mf_fail_os(error, cause, "%s: cannot lock", name);
    }
    *out = fd;
    return 0;
}

bool files_locked(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return locked;
}

int files_random_name(char *out, size_t count, struct mf_error *error)
{
    for (size_t filled = 0; filled < count;) {
        uint8_t bytes[32];
        ssize_t got = getrandom(bytes, sizeof bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mf_fail_os(error, errno, "random numbers");
        for (ssize_t i = 0; i < got && filled < count; i++)
            if (bytes[i] < 252) /* 7 x 36: no letter is more likely than another */
                out[filled++] = ALPHABET[bytes[i] % 36];
    }
    out[count] = '\0';
    return 0;
}
