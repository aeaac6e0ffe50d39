/*
 * runs.c - the runs of a state directory: made, found, locked, listed, removed
 *
 * runs/ID/run.lock carries the time of creation (so `last` needs no database) and the writer's OFD lock; runs/ID/.name carries
 * the --name. Both are plain files beside the database: a lookup opens no database, and nothing global can go stale.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "store/files.h"
#include "store/state_private.h"
#include "store/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME "run.lock"
#define NAME_NAME ".name"
#define REMOVED_PREFIX ".removed-"
#define NAME_BYTES_MAX 256
#define RUNS_MAX 1000000 /* listed at once: 32 bytes each */
#define ID_TRIES_MAX 16  /* 36^12 ids: a second try is already a miracle */

static bool is_id(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");
    return length == STATE_RUN_ID_BYTES - 1 && text[length] == '\0';
}

/* Writes the time of creation into a new lock file and takes the lock. */
static int make_lock(int dir_fd, int *lock_fd, struct mf_error *error)
{
    if (files_lock(dir_fd, LOCK_NAME, false, lock_fd, error) != 0)
        return -1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char text[40];
    int length = snprintf(text, sizeof text, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    if (files_write_all(*lock_fd, text, (size_t)length) == 0)
        return 0;
    mf_fail_os(error, errno, "%s: cannot write", LOCK_NAME);
    close(*lock_fd);
    return -1;
}

static int make_directory(struct state_dir *state, char id[STATE_RUN_ID_BYTES], int *dir_fd, struct mf_error *error)
{
    for (int tries = 0; tries < ID_TRIES_MAX; tries++) {
        if (files_random_name(id, STATE_RUN_ID_BYTES - 1, error) != 0)
            return -1;
        if (mkdirat(state->runs_fd, id, 0700) == 0)
            return state_open_below(state->runs_fd, id, false, dir_fd, error);
        if (errno != EEXIST)
            break;
    }
    return mf_fail_os(error, errno, "%s/runs: cannot make a run directory", state->path);
}

int state_run_create(struct state_dir *state, char id[STATE_RUN_ID_BYTES], int *dir_fd, struct mf_error *error)
{
    if (state->runs_fd < 0)
        return mf_fail(error, MF_STATE, "state directory %s: was opened for reading", state->path);
    int lock_fd;
    if (make_directory(state, id, dir_fd, error) != 0)
        return -1;
    if (make_lock(*dir_fd, &lock_fd, error) != 0 || fsync(state->runs_fd) != 0) {
        close(*dir_fd);
        unlinkat(state->runs_fd, id, AT_REMOVEDIR);
        return -1;
    }
    if (state->created_lock >= 0)
        close(state->created_lock);
    state->created_lock = lock_fd;
    return 0;
}

int state_run_open(struct state_dir *state, const char *id, int *dir_fd, struct mf_error *error)
{
    if (!is_id(id) || state->runs_fd < 0)
        return mf_fail(error, MF_NOT_FOUND, "run %s: does not exist", id);
    struct mf_error cause = {0};
    if (state_open_below(state->runs_fd, id, false, dir_fd, &cause) == 0)
        return 0;
    return mf_fail(error, cause.code, "run %s", cause.text);
}

int state_run_lock(struct state_dir *state, const char *id, int *lock_fd, struct mf_error *error)
{
    int dir_fd;
    if (state_run_open(state, id, &dir_fd, error) != 0)
        return -1;
    struct mf_error cause = {0};
    int status = files_lock(dir_fd, LOCK_NAME, false, lock_fd, &cause);
    close(dir_fd);
    if (status == 0)
        return 0;
    if (cause.code == MF_LOCKED)
        return mf_fail(error, MF_LOCKED, "run %s: another mayfly works on it: see mayfly show %s, or end it with mayfly cancel %s", id,
                       id, id);
    return mf_fail(error, cause.code, "run %s: %s", id, cause.text);
}

void state_unlock(int lock_fd)
{
    if (lock_fd >= 0)
        close(lock_fd);
}

bool state_run_locked(struct state_dir *state, const char *id)
{
    int dir_fd;
    if (state_run_open(state, id, &dir_fd, NULL) != 0)
        return false;
    bool locked = files_locked(dir_fd, LOCK_NAME);
    close(dir_fd);
    return locked;
}

/* --- listing --- */

struct listed {
    uint64_t created_ns;
    char id[STATE_RUN_ID_BYTES];
};

struct listing {
    struct listed *runs; /* owned */
    size_t count, capacity;
};

/* From the lock file, else from the directory: an interrupted creation is listed too, so that it can be removed. */
static uint64_t created_ns(int runs_fd, const char *id)
{
    char path[64];
    snprintf(path, sizeof path, "%.12s/" LOCK_NAME, id);
    struct mf_buf text;
    mf_buf_init(&text, 64);
    uint64_t created = 0;
    struct stat status;
    if (files_read(runs_fd, path, &text, NULL) == 0 && text.length > 1)
        mf_parse_u64((struct mf_span){text.data, text.length - 1}, &created);
    if (created == 0 && fstatat(runs_fd, id, &status, AT_SYMLINK_NOFOLLOW) == 0)
        created = (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec;
    mf_buf_free(&text);
    return created;
}

static int newest_first(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    if (a->created_ns != b->created_ns)
        return a->created_ns > b->created_ns ? -1 : 1;
    return strcmp(a->id, b->id);
}

static int list_entry(struct listing *listing, int runs_fd, const char *name, struct mf_error *error)
{
    if (!is_id(name))
        return 0;
    if (listing->count >= RUNS_MAX)
        return mf_fail(error, MF_LIMIT, "runs: more than %d: remove some with mayfly rm", RUNS_MAX);
    if (mf_grow((void **)&listing->runs, &listing->capacity, listing->count + 1, sizeof listing->runs[0], 64) != 0)
        return mf_fail(error, MF_MEMORY, "runs: no memory");
    struct listed *listed = &listing->runs[listing->count++];
    memcpy(listed->id, name, STATE_RUN_ID_BYTES);
    listed->created_ns = created_ns(runs_fd, name);
    return 0;
}

static DIR *open_listing(const struct state_dir *state, struct mf_error *error)
{
    int fd = openat(state->runs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        mf_fail_os(error, errno, "%s/runs", state->path);
        if (fd >= 0)
            close(fd);
    }
    return directory;
}

static int list(struct state_dir *state, struct listing *listing, struct mf_error *error)
{
    if (state->runs_fd < 0)
        return 0;
    DIR *directory = open_listing(state, error);
    if (directory == NULL)
        return -1;
    int status = 0;
    struct dirent *entry;
    while (status == 0 && (entry = readdir(directory)) != NULL)
        status = list_entry(listing, state->runs_fd, entry->d_name, error);
    closedir(directory);
    if (listing->count > 1)
        qsort(listing->runs, listing->count, sizeof listing->runs[0], newest_first);
    return status;
}

int state_runs(struct state_dir *state, int (*each)(void *context, const char *id), void *context, struct mf_error *error)
{
    struct listing listing = {0};
    int status = list(state, &listing, error);
    for (size_t i = 0; status == 0 && i < listing.count; i++)
        if (each(context, listing.runs[i].id) != 0)
            break;
    mf_free(listing.runs);
    return status;
}

/* --- finding --- */

struct search {
    struct state_dir *state;
    const char *name; /* NULL: any */
    char *id;
    bool found;
};

static bool has_name(const struct state_dir *state, const char *id, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%.12s/" NAME_NAME, id);
    struct mf_buf text;
    mf_buf_init(&text, NAME_BYTES_MAX);
    bool same = files_read(state->runs_fd, path, &text, NULL) == 0 && mf_span_is(mf_buf_view(&text), name);
    mf_buf_free(&text);
    return same;
}

static int match(void *context, const char *id)
{
    struct search *search = context;
    if (search->name != NULL && !has_name(search->state, id, search->name))
        return 0;
    memcpy(search->id, id, STATE_RUN_ID_BYTES);
    search->found = true;
    return 1;
}

static bool exists(const struct state_dir *state, const char *id)
{
    struct stat status;
    return state->runs_fd >= 0 && fstatat(state->runs_fd, id, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int state_run_find(struct state_dir *state, const char *name, char id[STATE_RUN_ID_BYTES], struct mf_error *error)
{
    if (is_id(name) && exists(state, name)) {
        memcpy(id, name, STATE_RUN_ID_BYTES);
        return 0;
    }
    bool last = strcmp(name, "last") == 0;
    struct search search = {.state = state, .name = last ? NULL : name, .id = id};
    if (state_runs(state, match, &search, error) != 0)
        return -1;
    if (search.found)
        return 0;
    if (last)
        return mf_fail(error, MF_NOT_FOUND, "state directory %s: no run yet", state->path);
    return mf_fail(error, MF_NOT_FOUND, "run %.64s: no run has this id or name: see mayfly ps", name);
}

/* --- removing --- */

/* What an interrupted removal left; failures do not matter here. */
static void remove_remains(struct state_dir *state)
{
    DIR *directory = open_listing(state, NULL);
    if (directory == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (strncmp(entry->d_name, REMOVED_PREFIX, strlen(REMOVED_PREFIX)) == 0)
            tree_remove(state->runs_fd, entry->d_name, NULL);
    closedir(directory);
}

int state_run_remove(struct state_dir *state, const char *id, struct mf_error *error)
{
    if (!is_id(id) || !exists(state, id))
        return mf_fail(error, MF_NOT_FOUND, "run %s: does not exist", id);
    remove_remains(state);
    char removed[64];
    snprintf(removed, sizeof removed, REMOVED_PREFIX "%s", id);
    if (renameat(state->runs_fd, id, state->runs_fd, removed) != 0) /* gone from every list at once, or not at all */
        return mf_fail_os(error, errno, "run %s: cannot remove", id);
    if (tree_remove(state->runs_fd, removed, error) != 0)
        return mf_wrap(error, "run %s", id);
    return 0;
}

char *state_run_path(const struct state_dir *state, const char *id, const char *below)
{
    struct mf_buf path;
    mf_buf_init(&path, 1u << 16);
    mf_buf_printf(&path, "%s/runs/%s%s%s", state->path, id, below != NULL ? "/" : "", below != NULL ? below : "");
    char *text = mf_buf_take(&path);
    mf_buf_free(&path);
    return text;
}
