/*
 * tree.c - removes a directory tree by descriptor: no link is followed, no mount is entered
 *
 * Agents wrote parts of the tree, so it may be thousands of levels deep and hold directories without permissions. Each level
 * costs one descriptor; below TREE_DEPTH_MAX a directory is moved up to the root of the tree and removed from there, so
 * neither stack nor descriptors grow with the depth.
 */
#include "store/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TREE_DEPTH_MAX 32

struct tree {
    int root_fd;
    uint64_t moved; /* directories that were moved up: makes their new names */
    struct mf_error *error;
};

static int open_directory(int parent_fd, const char *name)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
    int fd = (int)syscall(SYS_openat2, parent_fd, name, &how, sizeof how);
    if (fd < 0 && errno == EACCES && fchmodat(parent_fd, name, 0700, 0) == 0)
        fd = (int)syscall(SYS_openat2, parent_fd, name, &how, sizeof how);
    return fd;
}

static int remove_children(struct tree *tree, int fd, unsigned depth);

static int fail(struct tree *tree, const char *name)
{
    return mf_fail_os(tree->error, errno, "%s: cannot remove", name);
}

static int move_up(struct tree *tree, int fd, const char *name)
{
    char moved[32];
    snprintf(moved, sizeof moved, ".deep-%llu", (unsigned long long)tree->moved++);
    return renameat(fd, name, tree->root_fd, moved) == 0 ? 0 : fail(tree, name);
}

static int remove_directory(struct tree *tree, int fd, const char *name, unsigned depth)
{
    if (depth >= TREE_DEPTH_MAX)
        return move_up(tree, fd, name);
    int child = open_directory(fd, name);
    if (child < 0)
        return fail(tree, name);
    int status = remove_children(tree, child, depth + 1); /* takes the descriptor */
    if (status == 0 && unlinkat(fd, name, AT_REMOVEDIR) != 0)
        status = fail(tree, name);
    return status;
}

static int remove_entry(struct tree *tree, int fd, const char *name, unsigned depth)
{
    if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return fail(tree, name);
    return remove_directory(tree, fd, name, depth);
}

/* Closes `fd`. A directory that was read-only for us is opened up first. */
static int remove_children(struct tree *tree, int fd, unsigned depth)
{
    fchmod(fd, 0700);
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        int status = fail(tree, "directory");
        close(fd);
        return status;
    }
    int status = 0;
    struct dirent *entry;
    while (status == 0 && (entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = remove_entry(tree, dirfd(directory), entry->d_name, depth);
    closedir(directory);
    return status;
}

int tree_remove(int parent_fd, const char *name, struct mf_error *error)
{
    int root_fd = open_directory(parent_fd, name);
    if (root_fd < 0)
        return mf_fail_os(error, errno, "%s: cannot open", name);
    struct tree tree = {.root_fd = root_fd, .error = error};
    int status = 0;
    uint64_t moved_before;
    do { /* once more while directories were moved up */
        moved_before = tree.moved;
        int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = fd < 0 ? fail(&tree, name) : remove_children(&tree, fd, 0);
    } while (status == 0 && tree.moved != moved_before);
    close(root_fd);
    if (status == 0 && unlinkat(parent_fd, name, AT_REMOVEDIR) != 0)
        status = mf_fail_os(error, errno, "%s: cannot remove", name);
    return status;
}
