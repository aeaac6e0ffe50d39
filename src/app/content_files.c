/*
 * content_files.c - the files that a task names, as names and hashes
 *
 * A file is read once; later its size, number and times say that it is the same. One that changed in the last second is read again,
 * because the next change may have the same times.
 */
#include "app/content_private.h"

#include "app/app_private.h"
#include "base/alloc.h"
#include "store/hash.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 32u

struct walk {
    struct contents *contents;
    struct mf_buf *out;
    uint32_t files;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct content_file *known_file(struct contents *contents, const struct stat *status)
{
    for (size_t i = 0; i < contents->file_count; i++)
        if (contents->files[i].status.st_ino == status->st_ino && contents->files[i].status.st_dev == status->st_dev)
            return &contents->files[i];
    return NULL;
}

static bool hash_file(struct contents *contents, int fd, const struct stat *status, char sha256[65])
{
    char bytes[65536];
    ssize_t got = 0;
    struct store_hash *hash = store_hash_create();
    bool well = hash != NULL && contents->bytes + (uint64_t)status->st_size <= CONTENT_BYTES_MAX;
    while (well && (got = read(fd, bytes, sizeof bytes)) > 0) {
        contents->bytes += (uint64_t)got;
        store_hash_add(hash, (struct mf_span){bytes, (size_t)got});
        well = contents->bytes <= CONTENT_BYTES_MAX;
    }
    well = well && got == 0;
    if (well)
        store_hash_end(hash, sha256);
    store_hash_destroy(hash);
    return well;
}

static bool add_file(struct walk *walk, int fd, const struct stat *status)
{
    char sha256[65];
    struct contents *contents = walk->contents;
    struct content_file *known = known_file(contents, status);
    bool old = status->st_mtim.tv_sec + 1 < time(NULL) && status->st_ctim.tv_sec + 1 < time(NULL);
    if (++walk->files > CONTENT_FILES_MAX)
        return false;
    if (known != NULL && old && same_file(&known->status, status))
        return mf_buf_printf(walk->out, " %s%s", known->sha256, (status->st_mode & S_IXUSR) != 0 ? "x" : "") == 0;
    if (!hash_file(contents, fd, status, sha256))
        return false;
    if (known == NULL && contents->file_count < CONTENT_FILES_MAX &&
        mf_grow((void **)&contents->files, &contents->file_capacity, contents->file_count + 1, sizeof *contents->files,
                16) == 0)
        known = &contents->files[contents->file_count++];
    if (known != NULL) {
        known->status = *status;
        memcpy(known->sha256, sha256, sizeof known->sha256);
    }
    return mf_buf_printf(walk->out, " %s%s", sha256, (status->st_mode & S_IXUSR) != 0 ? "x" : "") == 0;
}

struct names {
    char **items; /* owned, each too */
    size_t count, capacity;
};

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* All but the dots, sorted. */
static bool read_names(int fd, struct names *names)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir takes it with it */
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    bool well = dir != NULL;
    if (dir == NULL && copy >= 0)
        close(copy);
    while (well && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *name = mf_strdup(entry->d_name);
        well = name != NULL && names->count < CONTENT_FILES_MAX &&
               mf_grow((void **)&names->items, &names->capacity, names->count + 1, sizeof *names->items, 16) == 0;
        if (well)
            names->items[names->count++] = name;
        else
            mf_free(name);
    }
    if (dir != NULL)
        closedir(dir);
    if (names->count > 1)
        qsort(names->items, names->count, sizeof *names->items, by_name);
    return well;
}

static bool add_entry(struct walk *walk, int dir_fd, const char *name, unsigned depth);

static bool add_directory(struct walk *walk, int fd, unsigned depth)
{
    struct names names = {0};
    bool well = depth < DEPTH_MAX && read_names(fd, &names) && mf_buf_text(walk->out, " (") == 0;
    for (size_t i = 0; i < names.count; i++) {
        well = well && add_entry(walk, fd, names.items[i], depth + 1);
        mf_free(names.items[i]);
    }
    mf_free(names.items);
    return well && mf_buf_text(walk->out, ")") == 0;
}

/* Links and devices are copied by nobody: a task that names one has no key. */
static bool add_entry(struct walk *walk, int dir_fd, const char *name, unsigned depth)
{
    struct stat status;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool well =
        fd >= 0 && fstat(fd, &status) == 0 && mf_buf_printf(walk->out, "\nfile %zu %s", strlen(name), name) == 0;
    if (well)
        well = S_ISREG(status.st_mode) ? add_file(walk, fd, &status)
                                       : S_ISDIR(status.st_mode) && add_directory(walk, fd, depth);
    if (fd >= 0)
        close(fd);
    return well;
}

static bool add_paths(struct walk *walk, int base_fd, const struct json_document *document, uint32_t list)
{
    for (uint32_t at = list != JSON_NONE ? json_first(document, list) : JSON_NONE; at != JSON_NONE;
         at = json_next(document, list, at)) {
        char *path = json_dup(document, at);
        bool well = path != NULL && add_entry(walk, base_fd, path, 0);
        mf_free(path);
        if (!well)
            return false;
    }
    return true;
}

static bool is_commit(const char *ref)
{
    return ref != NULL && strlen(ref) == 40 && strspn(ref, "0123456789abcdef") == 40;
}

/* `copy` is a directory; a git ref that is a commit says all by itself. */
static bool add_workspace(struct walk *walk, int base_fd, const struct json_document *document, uint32_t task)
{
    uint32_t workspace = json_member(document, task, "workspace");
    if (workspace == JSON_NONE)
        return true;
    uint32_t copy = json_member(document, workspace, "copy"), ref = json_member(document, workspace, "ref");
    char *path = copy != JSON_NONE ? json_dup(document, copy) : NULL;
    char *commit = ref != JSON_NONE ? json_dup(document, ref) : NULL;
    bool well = copy != JSON_NONE ? path != NULL && strstr(path, "{{") == NULL && add_entry(walk, base_fd, path, 0)
                                  : is_commit(commit);
    mf_free(path);
    mf_free(commit);
    return well;
}

bool content_add_files(struct app *app, uint32_t task, struct mf_buf *out)
{
    const struct json_document *document = graph_document(app->graph);
    struct walk walk = {app->contents, out, 0};
    int base_fd = open(app->base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base_fd < 0)
        return false;
    struct mf_span prompt = app_prompt_file(app, task);
    char sha256[65];
    store_sha256(prompt, sha256);
    bool well = mf_buf_printf(out, "\nprompt %s", sha256) == 0 &&
                add_paths(&walk, base_fd, document, graph_part(app->graph, task, GRAPH_PART_FILES)) &&
                add_paths(&walk, base_fd, document, graph_part(app->graph, task, GRAPH_PART_VERIFY_FILES)) &&
                add_workspace(&walk, base_fd, document, graph_tasks(app->graph)[task].node);
    close(base_fd);
    return well;
}
