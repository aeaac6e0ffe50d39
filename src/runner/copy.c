/*
 * copy.c - copies of files and directories within a budget, by descriptor, following nothing
 *
 * Sources may change while they are read and may be anything: every entry is opened without following a link and
 * without blocking, looked at by descriptor, and read for at most the bytes that were charged for it.
 */
#include "runner/copy.h"

#include "runner/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOW_COPY_BYTES_MAX ((off_t)1 << 20)

/* --- one file --- */

/* For file systems between which the kernel does not copy. */
static int copy_by_hand(int from_fd, int to_fd, uint64_t bytes)
{
    static char buffer[64 << 10];
    while (bytes > 0) {
        ssize_t got = read(from_fd, buffer, bytes < sizeof buffer ? (size_t)bytes : sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return (int)got;
        for (ssize_t at = 0; at < got;) {
            ssize_t written = write(to_fd, buffer + at, (size_t)(got - at));
            if (written < 0 && errno != EINTR)
                return -1;
            at += written > 0 ? written : 0;
        }
        bytes -= (uint64_t)got;
    }
    return 0;
}

static int copy_bytes(int from_fd, int to_fd, uint64_t bytes)
{
    while (bytes > 0) {
        ssize_t copied = copy_file_range(from_fd, NULL, to_fd, NULL, bytes < 1u << 30 ? (size_t)bytes : 1u << 30, 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
            return copy_by_hand(from_fd, to_fd, bytes);
        if (copied <= 0)
            return (int)copied;
        bytes -= (uint64_t)copied;
    }
    return 0;
}

int copy_file(int from_fd, uint64_t bytes, int to_dir_fd, const char *name, mode_t mode, struct job_answer *answer)
{
    int fd = openat(to_dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode | 0200);
    if (fd < 0)
        return job_fail_os(answer, "copy: cannot make %s", name);
    int result = copy_bytes(from_fd, fd, bytes);
    if (result == 0)
        result = fchmod(fd, mode);
    if (result != 0)
        job_fail_os(answer, "copy: cannot write %s", name);
    close(fd);
    return result;
}

int copy_charge(struct copy_budget *budget, uint64_t bytes, const char *class_name, struct job_answer *answer)
{
    if (budget->files >= budget->files_max)
        return job_fail(answer, class_name, "more than %u files (%s)", budget->files_max, budget->files_limit);
    if (bytes > budget->bytes_max - budget->bytes)
        return job_fail(answer, class_name, "more than %llu bytes (%s)", (unsigned long long)budget->bytes_max,
                        budget->bytes_limit);
    budget->files++;
    budget->bytes += bytes;
    return 0;
}

static mode_t owner_mode(mode_t mode)
{
    return (mode & 0700) | 0600;
}

/* --- a directory --- */

struct copy_walk {
    enum copy_links links;
    struct copy_budget *budget;
    struct job_answer *answer;
    const char *shown;
    uint32_t entries;
};

static int copy_level(struct copy_walk *walk, int from_fd, int to_fd, int depth);

static int copy_link(struct copy_walk *walk, int from_fd, int to_fd, const char *name)
{
    char target[4096];
    if (walk->links == COPY_LINKS_REFUSE)
        return job_fail(walk->answer, "setup", "%s: %s is a symbolic link", walk->shown, name);
    ssize_t length = readlinkat(from_fd, name, target, sizeof target - 1);
    if (length < 0)
        return job_fail_os(walk->answer, "%s: cannot read %s", walk->shown, name);
    target[length] = '\0';
    if (symlinkat(target, to_fd, name) != 0)
        return job_fail_os(walk->answer, "%s: cannot make %s", walk->shown, name);
    return copy_charge(walk->budget, 0, "setup", walk->answer);
}

static int copy_directory(struct copy_walk *walk, int from_fd, int to_fd, const char *name, int depth)
{
    if (depth + 1 >= COPY_DEPTH_MAX)
        return job_fail(walk->answer, "setup", "%s: deeper than %d directories", walk->shown, COPY_DEPTH_MAX);
    int made = paths_make(to_fd, name);
    int result = made >= 0 ? copy_level(walk, from_fd, made, depth + 1)
                           : job_fail_os(walk->answer, "%s: cannot make %s", walk->shown, name);
    if (made >= 0)
        close(made);
    return result;
}

/* An entry that is open; `fd` stays the caller's. */
static int copy_opened(struct copy_walk *walk, int fd, int to_fd, const char *name, int depth)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return job_fail_os(walk->answer, "%s: %s", walk->shown, name);
    if (S_ISDIR(about.st_mode))
        return copy_directory(walk, fd, to_fd, name, depth);
    if (!S_ISREG(about.st_mode))
        return job_fail(walk->answer, "setup", "%s: %s is neither a file nor a directory", walk->shown, name);
    if (copy_charge(walk->budget, (uint64_t)about.st_size, "setup", walk->answer) != 0)
        return -1;
    return copy_file(fd, (uint64_t)about.st_size, to_fd, name, owner_mode(about.st_mode), walk->answer);
}

static int copy_entry(struct copy_walk *walk, int from_fd, int to_fd, const char *name, int depth)
{
    if (++walk->entries > COPY_ENTRIES_MAX)
        return job_fail(walk->answer, "setup", "%s: more than %d entries", walk->shown, COPY_ENTRIES_MAX);
    int fd = openat(from_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ELOOP)
        return copy_link(walk, from_fd, to_fd, name);
    if (fd < 0)
        return job_fail(walk->answer, "setup", "%s: cannot open %s: %s", walk->shown, name, strerror(errno));
    int result = copy_opened(walk, fd, to_fd, name, depth);
    close(fd);
    return result;
}

static DIR *open_listing(int fd)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL && own >= 0)
        close(own);
    return dir;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int copy_level(struct copy_walk *walk, int from_fd, int to_fd, int depth)
{
    DIR *dir = open_listing(from_fd);
    if (dir == NULL)
        return job_fail_os(walk->answer, "%s: cannot list", walk->shown);
    int result = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && result == 0; entry = readdir(dir))
        if (!is_dots(entry->d_name))
            result = copy_entry(walk, from_fd, to_fd, entry->d_name, depth);
    closedir(dir);
    return result;
}

int copy_tree(int from_fd, int to_fd, enum copy_links links, struct copy_budget *budget, const char *shown,
              struct job_answer *answer)
{
    struct copy_walk walk = {.links = links, .budget = budget, .answer = answer, .shown = shown};
    return copy_level(&walk, from_fd, to_fd, 0);
}

/* --- `files` --- */

int copy_open_base(const char *base, struct job_answer *answer)
{
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        job_fail(answer, "setup", "%s: cannot open the graph's directory: %s", base, strerror(errno));
    return fd;
}

/* "./a//b/" to "a/b"; -1 when nothing is left or a segment is "..". */
static int normalise(struct mf_span name, char *out, size_t out_bytes)
{
    size_t length = 0;
    for (size_t start = 0; start < name.length;) {
        const char *slash = memchr(name.data + start, '/', name.length - start);
        size_t end = slash != NULL ? (size_t)(slash - name.data) : name.length;
        struct mf_span segment = {name.data + start, end - start};
        start = end + 1;
        if (segment.length == 0 || mf_span_is(segment, "."))
            continue;
        if (mf_span_is(segment, "..") || length + segment.length + 2 > out_bytes ||
            memchr(segment.data, '\0', segment.length) != NULL)
            return -1;
        if (length > 0)
            out[length++] = '/';
        memcpy(out + length, segment.data, segment.length);
        length += segment.length;
    }
    out[length] = '\0';
    return length > 0 ? 0 : -1;
}

static int copy_one_listed(struct copy_walk *walk, int base_fd, int to_fd, struct mf_span file)
{
    char path[4096];
    if ((file.length > 0 && file.data[0] == '/') || normalise(file, path, sizeof path) != 0)
        return job_fail(walk->answer, "setup", "files: `%.*s` is not a path below the graph's directory",
                        (int)(file.length < 200 ? file.length : 200), file.data);
    int fd = paths_open_beneath(base_fd, path, O_RDONLY | O_NONBLOCK, false);
    if (fd < 0)
        return job_fail(walk->answer, "setup", "files: `%s`: %s", path,
                        errno == ELOOP ? "is or goes through a symbolic link" : strerror(errno));
    char *name = strrchr(path, '/');
    int dir_fd = to_fd;
    if (name != NULL) {
        *name = '\0';
        dir_fd = paths_make(to_fd, path);
        *name++ = '/';
    } else {
        name = path;
    }
    walk->shown = "files";
    int result = dir_fd >= 0 ? copy_opened(walk, fd, dir_fd, name, 0)
                             : job_fail_os(walk->answer, "files: cannot make the directory of `%s`", path);
    if (dir_fd >= 0 && dir_fd != to_fd)
        close(dir_fd);
    close(fd);
    return result;
}

int copy_listed(const char *base, int to_fd, const struct mf_span *files, uint32_t count, struct copy_budget *budget,
                struct job_answer *answer)
{
    struct copy_walk walk = {.links = COPY_LINKS_REFUSE, .budget = budget, .answer = answer, .shown = "files"};
    int base_fd = count > 0 ? copy_open_base(base, answer) : -1;
    if (count > 0 && base_fd < 0)
        return -1;
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = copy_one_listed(&walk, base_fd, to_fd, files[i]);
    if (base_fd >= 0)
        close(base_fd);
    return result;
}

/* --- showing --- */

/* A clone shares blocks but nothing that can be written through. */
static int clone_file(int from_fd, int to_dir_fd, const char *name, mode_t mode)
{
    int fd = openat(to_dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    int result = ioctl(fd, FICLONE, from_fd);
    close(fd);
    if (result != 0)
        unlinkat(to_dir_fd, name, 0);
    return result;
}

int copy_show_file(int from_dir_fd, const char *from_name, int to_dir_fd, const char *name, enum copy_show show,
                   struct job_answer *answer)
{
    struct stat about;
    int fd = openat(from_dir_fd, from_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        job_fail_os(answer, "inputs: cannot open %s", from_name);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    mode_t mode = (about.st_mode & 0500) | 0400;
    int result;
    if (about.st_size <= SHOW_COPY_BYTES_MAX)
        result = copy_file(fd, (uint64_t)about.st_size, to_dir_fd, name, mode, answer);
    else if (clone_file(fd, to_dir_fd, name, mode) == 0)
        result = 0;
    else if (show == COPY_SHOW_SHARED && linkat(from_dir_fd, from_name, to_dir_fd, name, 0) == 0)
        result = 0;
    else
        result = copy_file(fd, (uint64_t)about.st_size, to_dir_fd, name, mode, answer);
    close(fd);
    return result;
}

static int show_entry(int from_fd, int to_fd, const struct dirent *entry, int depth, enum copy_show show,
                      struct job_answer *answer)
{
    if (entry->d_type != DT_DIR)
        return copy_show_file(from_fd, entry->d_name, to_fd, entry->d_name, show, answer);
    int from = openat(from_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int to = from >= 0 ? paths_make(to_fd, entry->d_name) : -1;
    int result = to >= 0 ? copy_show_tree(from, to, depth + 1, show, answer)
                         : job_fail_os(answer, "inputs: cannot show %s", entry->d_name);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return result;
}

int copy_show_tree(int from_fd, int to_fd, int depth, enum copy_show show, struct job_answer *answer)
{
    DIR *dir = depth <= COPY_DEPTH_MAX ? open_listing(from_fd) : NULL;
    if (dir == NULL)
        return job_fail_os(answer, "inputs: cannot list a directory");
    int result = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL && result == 0; entry = readdir(dir))
        if (!is_dots(entry->d_name))
            result = show_entry(from_fd, to_fd, entry, depth, show, answer);
    closedir(dir);
    return result;
}
