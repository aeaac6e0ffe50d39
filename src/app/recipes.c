/* recipes.c - finding a recipe: a shipped one by name, or a file */
#include "app/recipes.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECIPE_FILE_BYTES_MAX (1u << 20)
#define NAMES_MAX 512u

static int read_file(const char *path, struct mf_buf *out, struct mf_error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mf_fail(error, MF_INPUT, "recipe: open `%s`: %s", path, strerror(errno));
    int result = fstat(fd, &status) == 0 && S_ISREG(status.st_mode)
                     ? 0
                     : mf_fail(error, MF_INPUT, "recipe: `%s` is not a regular file", path);
    char bytes[16384];
    ssize_t got = 0;
    while (result == 0 && (got = read(fd, bytes, sizeof bytes)) > 0)
        if (mf_buf_append(out, bytes, (size_t)got) != 0)
            result = mf_fail(error, MF_LIMIT, "recipe: `%s` is larger than %u bytes", path, RECIPE_FILE_BYTES_MAX);
    close(fd);
    return result;
}

static int load_file(struct recipe **out, const char *name, const char *base_dir, struct mf_error *error)
{
    struct mf_buf path, text;
    mf_buf_init(&path, 8192);
    mf_buf_init(&text, RECIPE_FILE_BYTES_MAX);
    if (name[0] == '/' || base_dir == NULL)
        mf_buf_text(&path, name);
    else
        mf_buf_printf(&path, "%s/%s", base_dir, name);
    int result = read_file(mf_buf_cstr(&path), &text, error);
    if (result == 0)
        result = recipe_load(out, mf_buf_view(&text), name, NULL, error);
    mf_buf_free(&path);
    mf_buf_free(&text);
    return result;
}

int recipes_load(struct recipe **out, const char *name, const char *base_dir, struct mf_error *error)
{
    if (strchr(name, '/') != NULL || mf_span_ends(mf_span(name), ".json"))
        return load_file(out, name, base_dir, error);
    struct mf_span text = recipe_shipped(name);
    if (text.data != NULL)
        return recipe_load(out, text, name, NULL, error);
    const char *names[NAMES_MAX];
    size_t count = 0;
    while (count < NAMES_MAX && (names[count] = recipe_shipped_name((uint32_t)count)) != NULL)
        count++;
    const char *near = mf_nearest(mf_span(name), names, count);
    return mf_fail(error, MF_INPUT, "no recipe `%s`%s%s%s; `mayfly provider list` shows them", name,
                   near != NULL ? "; did you mean `" : "", near != NULL ? near : "", near != NULL ? "`?" : "");
}

int recipes_unknown_permission(const struct recipe *recipe, struct mf_span task, struct mf_span name,
                               const char *provider, struct mf_error *error)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    while (count < NAMES_MAX && (names[count] = recipe_permission_name(recipe, (uint32_t)count)) != NULL)
        count++;
    const char *near = mf_nearest(name, names, count);
    return mf_fail(error, MF_INPUT, "task `%.*s`: provider `%s` knows no permission `%.*s`%s%s%s", MF_SPAN_ARGS(task),
                   provider, MF_SPAN_ARGS(name), near != NULL ? "; did you mean `" : "", near != NULL ? near : "",
                   near != NULL ? "`?" : "");
}
