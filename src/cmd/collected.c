/* collected.c - the files that were collected from a task, as a list */
#include "cmd/collected.h"

#include "cmd/read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64 /* as copy.c: what mayfly collects is a few levels deep */

static int walk(int fd, struct mf_buf *path, unsigned depth, struct strings *out,
                struct mf_error *error); /* closes `fd` */

static int enter(int above, const char *name, struct mf_buf *path, unsigned depth, struct strings *out,
                 struct mf_error *error)
{
    if (depth >= DEPTH_MAX)
        return mf_fail(error, MF_LIMIT, "%s: more than %d directories deep", mf_buf_cstr(path), DEPTH_MAX);
    int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : mf_fail_os(error, errno, "%s", mf_buf_cstr(path));
    return walk(fd, path, depth + 1, out, error);
}

/* `path` holds the directory and is the same again afterwards. */
static int take_entry(int fd, const char *name, struct mf_buf *path, unsigned depth, struct strings *out,
                      struct mf_error *error)
{
    struct stat status;
    size_t before = path->length;
    int result = 0;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    if (mf_buf_char(path, '/') != 0 || mf_buf_text(path, name) != 0)
        return mf_fail(error, MF_LIMIT, "%s: its path is too long", name);
    if (S_ISDIR(status.st_mode))
        result = enter(fd, name, path, depth, out, error);
    else if (S_ISREG(status.st_mode) && strings_add(out, mf_buf_view(path)) != 0)
        result = mf_fail(error, MF_LIMIT, "%s: too many files to list", mf_buf_cstr(path));
    path->length = before;
    path->data[before] = '\0';
    return result;
}

static int walk(int fd, struct mf_buf *path, unsigned depth, struct strings *out, struct mf_error *error)
{
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        int cause = errno;
        close(fd);
        return mf_fail_os(error, cause, "%s", mf_buf_cstr(path));
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(directory)) != NULL)
        result = take_entry(dirfd(directory), entry->d_name, path, depth, out, error);
    closedir(directory);
    return result;
}

int collected_paths(int dir_fd, const char *dir, struct strings *out, struct mf_error *error)
{
    struct mf_buf path;
    int fd = read_open_beneath(dir_fd, dir, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return 0;
    mf_buf_init(&path, 65536);
    mf_buf_text(&path, dir);
    int result = walk(fd, &path, 0, out, error);
    mf_buf_free(&path);
    return result;
}

static int by_bytes(const void *left, const void *right)
{
    return mf_span_compare(*(const struct mf_span *)left, *(const struct mf_span *)right);
}

const struct mf_span *collected_sorted(struct strings *paths)
{
    if (strings_spans(paths) == NULL)
        return NULL;
    qsort(paths->spans, paths->count, sizeof *paths->spans, by_bytes);
    return paths->spans;
}
