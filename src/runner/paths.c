/* paths.c - directories by descriptor: made on first use, opened without leaving them, removed whatever is inside */
#include "runner/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool name_valid(struct mf_span name)
{
    if (name.length == 0 || name.length > 64 || mf_span_is(name, ".") || mf_span_is(name, ".."))
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '_' && c != '-' && c != '.')
            return false;
    }
    return true;
}

bool paths_instance_valid(struct mf_span path)
{
    const char *slash = path.length > 0 ? memchr(path.data, '/', path.length) : NULL;
    if (slash == NULL)
        return name_valid(path) && path.data[0] != '.';
    size_t first = (size_t)(slash - path.data);
    struct mf_span key = {slash + 1, path.length - first - 1};
    return name_valid((struct mf_span){path.data, first}) && path.data[0] != '.' && name_valid(key);
}

static int make_one(int dir_fd, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mkdirat(dir_fd, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(dir_fd, name, flags);
}

int paths_make(int root_fd, const char *path)
{
    int at = root_fd;
    while (*path != '\0') {
        char name[256];
        size_t length = strcspn(path, "/");
        if (length == 0 || length >= sizeof name) {
            errno = EINVAL;
            length = 0;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        int next = length > 0 ? make_one(at, name) : -1;
        int os_errno = errno;
        if (at != root_fd)
            close(at);
        errno = os_errno;
        if (next < 0)
            return -1;
        at = next;
        path += length;
        while (*path == '/')
            path++;
    }
    return at == root_fd ? fcntl(root_fd, F_DUPFD_CLOEXEC, 3) : at;
}

int paths_make_attempt(int run_fd, const char *instance, unsigned attempt)
{
    char path[PATHS_INSTANCE_BYTES_MAX + 16];
    snprintf(path, sizeof path, "%s/%u", instance, attempt);
    return paths_make(run_fd, path);
}

int paths_open_beneath(int dir_fd, const char *path, int flags, bool one_mount)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | (one_mount ? RESOLVE_NO_XDEV : 0U),
    };
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

int paths_write_file(int dir_fd, const char *name, const void *data, size_t bytes)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    const char *at = data;
    while (bytes > 0) {
        ssize_t written = write(fd, at, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        at += written;
        bytes -= (size_t)written;
    }
    int os_errno = errno;
    close(fd);
    errno = os_errno;
    return bytes == 0 ? 0 : -1;
}

/* --- removal --- */

/* Below this depth a directory is moved to the top instead of descended into: a descriptor is held for each level. */
#define REMOVE_DEPTH_MAX 48

struct removal {
    int top_fd;
    unsigned moved; /* names the directories that were moved up */
    bool incomplete;
};

static int open_to_empty(int dir_fd, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = openat(dir_fd, name, flags);
    if (fd >= 0)
        fchmod(fd, 0700); /* entries of a directory without w or x cannot be unlinked */
    return fd;
}

static void empty_level(struct removal *removal, int dir_fd, int depth);

static void remove_directory(struct removal *removal, int dir_fd, const char *name, int depth)
{
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return;
    if (depth >= REMOVE_DEPTH_MAX) {
        char up[32];
        snprintf(up, sizeof up, "@deep%u", removal->moved++);
        if (renameat(dir_fd, name, removal->top_fd, up) == 0)
            return;
    }
    int fd = open_to_empty(dir_fd, name);
    if (fd >= 0) {
        empty_level(removal, fd, depth + 1);
        close(fd);
    }
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0)
        removal->incomplete = true;
}

static void remove_entry(struct removal *removal, int dir_fd, const struct dirent *entry, int depth)
{
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return;
    if (entry->d_type != DT_DIR && unlinkat(dir_fd, entry->d_name, 0) == 0)
        return;
    if (entry->d_type == DT_DIR || errno == EISDIR || errno == EPERM)
        remove_directory(removal, dir_fd, entry->d_name, depth);
    else if (errno != ENOENT)
        removal->incomplete = true;
}

static void empty_level(struct removal *removal, int dir_fd, int depth)
{
    int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        if (own >= 0)
            close(own);
        removal->incomplete = true;
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        remove_entry(removal, dir_fd, entry, depth);
    closedir(dir);
}

int paths_empty(int dir_fd)
{
    struct removal removal = {.top_fd = dir_fd};
    unsigned before;
    do { /* again as long as deep directories came up */
        before = removal.moved;
        removal.incomplete = false;
        empty_level(&removal, dir_fd, 0);
    } while (removal.moved != before);
    return removal.incomplete ? -1 : 0;
}

/* --- size --- */

#define MEASURE_DEPTH_MAX 200

int paths_tree_bytes(int dir_fd, int depth, uint64_t *bytes)
{
    int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 && depth < MEASURE_DEPTH_MAX ? fdopendir(own) : NULL;
    if (dir == NULL) {
        if (own >= 0)
            close(own);
        return -1;
    }
    int result = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && result == 0; entry = readdir(dir)) {
        struct stat about;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dir_fd, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(about.st_mode))
            *bytes += (uint64_t)about.st_size;
        int fd = S_ISDIR(about.st_mode) ? openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                                        : -1;
        if (fd >= 0) {
            result = paths_tree_bytes(fd, depth + 1, bytes);
            close(fd);
        }
    }
    closedir(dir);
    return result;
}
