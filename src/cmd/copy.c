/* copy.c - copies files that agents made: regular files only, through no link, into a directory of the user */
#include "cmd/copy.h"

#include "cmd/read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_DEPTH_MAX 64 /* one descriptor pair a level; what mayfly collects is a few levels deep */
#define CHUNK_BYTES 65536

static int make_one(int at, const char *name)
{
    if (mkdirat(at, name, 0777) != 0 && errno != EEXIST)
        return -1;
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int copy_make_directory(int to_fd, const char *path, struct mf_error *error)
{
    int at = -1;
    for (const char *next = path; *next != '\0';) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(next, "/");
        bool leaves = length == 0 || length > NAME_MAX || (length <= 2 && strspn(next, ".") >= length);
        snprintf(name, sizeof name, "%.*s", leaves ? 0 : (int)length, next);
        int below = leaves ? -1 : make_one(at >= 0 ? at : to_fd, name);
        int cause = leaves ? EINVAL : errno;
        if (at >= 0)
            close(at);
        if (below < 0)
            return mf_fail_os(error, cause, "%s: cannot make", path);
        at = below;
        next += length + (next[length] == '/');
    }
    return at >= 0 ? at : mf_fail(error, MF_STATE, "a task without a name");
}

static int pour(int from, int to)
{
    static char chunk[CHUNK_BYTES];
    for (;;) {
        ssize_t got = read(from, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        if (read_write_all(to, chunk, (size_t)got) != 0)
            return -1;
    }
}

int outputs_copy_file(int from_fd, const char *from, int to_fd, const char *to, struct mf_error *error)
{
    struct stat status;
    int in = read_open_beneath(from_fd, from, O_RDONLY);
    if (in < 0 || fstat(in, &status) != 0 || !S_ISREG(status.st_mode)) {
        int cause = errno;
        if (in >= 0)
            close(in);
        return in >= 0 ? 0 : mf_fail_os(error, cause, "%s", from); /* not a regular file: left out */
    }
    int out = openat(to_fd, to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                     (status.st_mode & 0111) != 0 ? 0777 : 0666);
    int result = out >= 0 ? pour(in, out) : -1;
    int cause = errno;
    if (out >= 0 && close(out) != 0 && result == 0) {
        cause = errno;
        result = -1;
    }
    close(in);
    return result == 0 ? 0 : mf_fail_os(error, cause, "%s", to);
}

static int copy_directory(int from, int to, unsigned depth, struct mf_error *error); /* closes `from` */

static int copy_below(int from, const char *name, int to, unsigned depth, struct mf_error *error)
{
    if (depth >= COPY_DEPTH_MAX)
        return mf_fail(error, MF_LIMIT, "%s: more than %d directories deep", name, COPY_DEPTH_MAX);
    int child_from = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child_from < 0)
        return mf_fail_os(error, errno, "%s", name);
    int child_to = make_one(to, name);
    if (child_to < 0) {
        int cause = errno;
        close(child_from);
        return mf_fail_os(error, cause, "%s: cannot make", name);
    }
    int status = copy_directory(child_from, child_to, depth + 1, error);
    close(child_to);
    return status;
}

static int copy_entry(int from, const char *name, int to, unsigned depth, struct mf_error *error)
{
    struct stat status;
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return mf_fail_os(error, errno, "%s", name);
    if (S_ISDIR(status.st_mode))
        return copy_below(from, name, to, depth, error);
    return S_ISREG(status.st_mode) ? outputs_copy_file(from, name, to, name, error) : 0;
}

static int copy_directory(int from, int to, unsigned depth, struct mf_error *error)
{
    DIR *directory = fdopendir(from);
    if (directory == NULL) {
        int cause = errno;
        close(from);
        return mf_fail_os(error, cause, "directory");
    }
    int status = 0;
    struct dirent *entry;
    while (status == 0 && (entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = copy_entry(dirfd(directory), entry->d_name, to, depth, error);
    closedir(directory);
    return status;
}

int outputs_copy_tree(int from_fd, const char *from, int to_fd, struct mf_error *error)
{
    int fd = read_open_beneath(from_fd, from, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return mf_fail_os(error, errno, "%s", from);
    return copy_directory(fd, to_fd, 0, error);
}
