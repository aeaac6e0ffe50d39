/*
 * state.c - finds the state directory, opens it without following links and checks that it is ours alone
 *
 * The path is resolved once (a home directory behind a link is usual); from then on every component is opened with O_NOFOLLOW,
 * so what was checked is what is used. The directory itself must not be a link.
 */
#include "store/state.h"

#include "base/alloc.h"
#include "store/files.h"
#include "store/state_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int from_environment(char *out, size_t out_bytes, struct mf_error *error)
{
    const char *direct = getenv("MAYFLY_STATE");
    const char *state_home = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (direct != NULL && direct[0] != '\0')
        length = snprintf(out, out_bytes, "%s", direct);
    else if (state_home != NULL && state_home[0] == '/') /* the specification says to ignore relative ones */
        length = snprintf(out, out_bytes, "%s/mayfly", state_home);
    else if (home != NULL && home[0] == '/')
        length = snprintf(out, out_bytes, "%s/.local/state/mayfly", home);
    else
        return mf_fail(error, MF_STATE, "state directory: HOME is not set: name one with --state or MAYFLY_STATE");
    if (length < 0 || (size_t)length >= out_bytes)
        return mf_fail(error, MF_STATE, "state directory: path too long");
    return 0;
}

/* mkdir -p with 0700 for what is missing. */
static int make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int status = mkdir(path, 0700);
        *slash = '/';
        if (status != 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static void trim_slashes(char *path)
{
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
}

/* Resolves all of the path but its last component, which must not be a link. */
static int resolve(char path[PATH_MAX], bool create, struct mf_error *error)
{
    trim_slashes(path);
    if (create && make_parents(path) != 0)
        return mf_fail_os(error, errno, "state directory %s: cannot make", path);
    char resolved[PATH_MAX];
    char *slash = strrchr(path, '/');
    const char *last = slash != NULL ? slash + 1 : path;
    if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0) {
        if (realpath(path, resolved) == NULL)
            return mf_fail_os(error, errno, "state directory %s", path);
        memcpy(path, resolved, strlen(resolved) + 1);
        return 0;
    }
    char parent[PATH_MAX] = ".";
    if (slash != NULL)
        snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (realpath(parent, resolved) == NULL) {
        if (errno == ENOENT)
            return mf_fail(error, MF_NOT_FOUND, "state directory %s: does not exist: nothing was run with it yet", path);
        return mf_fail_os(error, errno, "state directory %s", path);
    }
    char whole[PATH_MAX + 8];
    int length = snprintf(whole, sizeof whole, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, last);
    if (length < 0 || length >= PATH_MAX)
        return mf_fail(error, MF_STATE, "state directory: path too long");
    memcpy(path, whole, (size_t)length + 1);
    return 0;
}

int state_open_below(int parent, const char *name, bool create, int *out, struct mf_error *error)
{
    if (create && mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
        return mf_fail_os(error, errno, "%s: cannot make", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return mf_fail(error, MF_NOT_FOUND, "%s: does not exist", name);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return mf_fail(error, MF_STATE, "%s: is a symbolic link or no directory", name);
    if (fd < 0)
        return mf_fail_os(error, errno, "%s", name);
    if (files_check_directory(fd, name, error) != 0) {
        close(fd);
        return -1;
    }
    *out = fd;
    return 0;
}

/* Walks the resolved path; a component that became a link meanwhile fails. Returns the parent's descriptor. */
static int open_parent(const char *path, const char **last, struct mf_error *error)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *next = path + 1;
    for (const char *slash; fd >= 0 && (slash = strchr(next, '/')) != NULL; next = slash + 1) {
        char component[NAME_MAX + 1];
        snprintf(component, sizeof component, "%.*s", (int)(slash - next), next);
        int below = openat(fd, component, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int cause = errno;
        close(fd);
        errno = cause;
        fd = below;
    }
    *last = next[0] != '\0' ? next : ".";
    return fd >= 0 ? fd : mf_fail_os(error, errno, "state directory %s", path);
}

static int open_and_check(struct state_dir *state, bool create, struct mf_error *error)
{
    const char *last;
    int parent = open_parent(state->path, &last, error);
    if (parent < 0)
        return -1;
    struct mf_error cause = {0};
    int status = state_open_below(parent, last, create, &state->fd, &cause);
    close(parent);
    if (status != 0 && cause.code == MF_NOT_FOUND)
        return mf_fail(error, MF_NOT_FOUND, "state directory %s: does not exist: nothing was run with it yet", state->path);
    if (status != 0)
        return mf_fail(error, cause.code, "state directory %s: %s", state->path, cause.text);
    if (files_check_local(state->fd, state->path, error) != 0)
        return -1;
    status = state_open_below(state->fd, "runs", create, &state->runs_fd, &cause);
    if (status != 0 && cause.code == MF_NOT_FOUND)
        return 0; /* a reader of a directory without a run */
    if (status == 0 && create) {
        int providers;
        status = state_open_below(state->fd, "providers", true, &providers, &cause);
        if (status == 0)
            close(providers);
    }
    return status == 0 ? 0 : mf_fail(error, cause.code, "state directory %s: %s", state->path, cause.text);
}

int state_open(struct state_dir **out, const char *path, bool create, struct mf_error *error)
{
    char text[PATH_MAX];
    if (path != NULL && (path[0] == '\0' || strlen(path) >= sizeof text))
        return mf_fail(error, MF_STATE, "state directory: %s", path[0] == '\0' ? "the path is empty" : "path too long");
    if (path != NULL)
        memcpy(text, path, strlen(path) + 1);
    else if (from_environment(text, sizeof text, error) != 0)
        return -1;
    if (resolve(text, create, error) != 0)
        return -1;
    struct state_dir *state = mf_calloc(1, sizeof *state);
    if (state == NULL)
        return mf_fail(error, MF_MEMORY, "state directory: no memory");
    state->fd = state->runs_fd = state->created_lock = -1;
    state->path = mf_strdup(text);
    if (state->path == NULL)
        mf_fail(error, MF_MEMORY, "state directory: no memory");
    if (state->path == NULL || open_and_check(state, create, error) != 0) {
        state_close(state);
        return -1;
    }
    *out = state;
    return 0;
}

void state_close(struct state_dir *state)
{
    if (state == NULL)
        return;
    if (state->created_lock >= 0)
        close(state->created_lock);
    if (state->runs_fd >= 0)
        close(state->runs_fd);
    if (state->fd >= 0)
        close(state->fd);
    mf_free(state->path);
    mf_free(state);
}

const char *state_path(const struct state_dir *state)
{
    return state->path;
}
