/* provider.c - mayfly provider list | show NAME | check FILE...: what the shipped recipes are, and whether a file is one */
#include "app/recipes.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "mayfly/recipe.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1u << 20) /* as the loader */

static const char *const kinds[] = {
    [RECIPE_KIND_ACCOUNT] = "account", [RECIPE_KIND_CREDENTIAL] = "credential", [RECIPE_KIND_SERVICE] = "service"};

/* --- as JSON --- */

static void write_names(struct json_writer *writer, const struct recipe *recipe)
{
    const char *name, *text;
    json_key(writer, "permissions");
    json_open_object(writer);
    for (uint32_t i = 0; (name = recipe_permission_name(recipe, i)) != NULL; i++) {
        json_key(writer, name);
        json_open_object(writer);
        json_key(writer, "parameters");
        json_open_array(writer);
        for (uint32_t n = 0; (text = recipe_permission_parameter(recipe, mf_span(name), n)) != NULL; n++)
            json_string(writer, text);
        json_close_array(writer);
        json_key(writer, "rules");
        json_open_array(writer);
        for (uint32_t n = 0; (text = recipe_permission_rule(recipe, mf_span(name), n)) != NULL; n++)
            json_string(writer, text);
        json_close_array(writer);
        json_close_object(writer);
    }
    json_close_object(writer);
}

static void write_lists(struct json_writer *writer, const struct recipe_info *info)
{
    json_key(writer, "terms");
    json_open_array(writer);
    for (uint32_t i = 0; i < info->terms_count; i++)
        json_string(writer, info->terms[i].url);
    json_close_array(writer);
    json_key(writer, "inputs");
    json_open_array(writer);
    for (uint32_t i = 0; i < info->inputs_count; i++)
        json_string(writer, info->inputs[i]);
    json_close_array(writer);
    json_key(writer, "operations");
    json_open_array(writer);
    for (uint32_t op = 0; op < RECIPE_OP_COUNT; op++)
        if (info->has[op])
            json_string(writer, recipe_op_name((enum recipe_op)op));
    json_close_array(writer);
}

static void print_json(const struct recipe *recipe)
{
    const struct recipe_info *info = recipe_info(recipe);
    struct json_writer writer;
    struct mf_buf line;
    mf_buf_init(&line, 4u << 20);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_u64(&writer, "mayfly", 1);
    json_member_string(&writer, "name", info->name);
    json_member_string(&writer, "kind", kinds[info->kind]);
    json_member_string(&writer, "description", info->description);
    json_member_string(&writer, "base_url", info->base_url);
    json_member_string(&writer, "base_url_env", info->base_url_env);
    json_member_bool(&writer, "needs_credential", info->needs_credential);
    json_member_bool(&writer, "proof_of_work", info->has_proof_of_work);
    json_member_bool(&writer, "enforces_permissions", info->scoped_tokens);
    json_member_string(&writer, "delete_ends", info->delete_ends_expiring ? "expiring" : "gone");
    json_member_i64(&writer, "lifetime_ms", info->lifetime_ms);
    json_member_u64(&writer, "requests_max", info->requests_per_window);
    json_member_u64(&writer, "window_ms", info->window_ms);
    write_lists(&writer, info);
    write_names(&writer, recipe);
    json_close_object(&writer);
    printf("%s\n", mf_buf_cstr(&line));
    mf_buf_free(&line);
}

/* --- for people --- */

static void print_line(const struct recipe_info *info)
{
    printf("%-22s %-11s %s%s%s%s\n", info->name, kinds[info->kind],
           info->emulated           ? "no key needed, runs here"
           : info->needs_credential ? "operator's credential"
                                    : "no key needed",
           info->has_proof_of_work ? ", proof of work" : "", info->terms_count > 0 ? ", terms to accept" : "",
           info->kind != RECIPE_KIND_SERVICE && !info->scoped_tokens ? ", permissions not enforced" : "");
}

static void print_limits(const struct recipe_info *info)
{
    char text[24];
    if (info->requests_per_window > 0)
        printf("requests     at most %u in %s\n", info->requests_per_window, mf_format_duration(info->window_ms, text));
    if (info->creating_max > 0)
        printf("creating     at most %u at the same time\n", info->creating_max);
    if (info->lifetime_ms > 0)
        printf("lifetime     %s\n", mf_format_duration(info->lifetime_ms, text));
    if (info->kind == RECIPE_KIND_ACCOUNT)
        printf("teardown     %s\n", info->delete_ends_expiring
                                        ? "resources are removed, the account dies at its own end of life"
                                        : "the account is deleted");
    if (info->kind == RECIPE_KIND_CREDENTIAL)
        printf("teardown     the token is revoked, resources stay\n");
}

static void print_permissions(const struct recipe *recipe)
{
    const char *name, *text;
    for (uint32_t i = 0; (name = recipe_permission_name(recipe, i)) != NULL; i++) {
        uint32_t rules = 0;
        while (recipe_permission_rule(recipe, mf_span(name), rules) != NULL)
            rules++;
        printf("%-12s %-24s %3u routes", i == 0 ? "permissions" : "", name, rules);
        for (uint32_t n = 0; (text = recipe_permission_parameter(recipe, mf_span(name), n)) != NULL; n++)
            printf("%s%s", n == 0 ? ", can be narrowed by " : ", ", text);
        printf("\n");
    }
}

static void print_all(const struct recipe *recipe)
{
    const struct recipe_info *info = recipe_info(recipe);
    print_line(info);
    if (info->description != NULL)
        printf("\n%s\n\n", info->description);
    printf("base url     %s%s%s\n", info->base_url, info->base_url_env != NULL ? ", or $" : "",
           info->base_url_env != NULL ? info->base_url_env : "");
    for (uint32_t i = 0; i < info->terms_count; i++)
        printf("%-12s %s: %s\n", i == 0 ? "terms" : "", info->terms[i].title, info->terms[i].url);
    for (uint32_t i = 0; i < info->inputs_count; i++)
        printf("%-12s %s\n", i == 0 ? "inputs" : "", info->inputs[i]);
    print_limits(info);
    print_permissions(recipe);
}

static int list(bool json)
{
    const char *name;
    struct mf_error error;
    for (uint32_t i = 0; (name = recipe_shipped_name(i)) != NULL; i++) {
        struct recipe *recipe;
        if (recipes_load(&recipe, name, NULL, &error) != 0)
            return complain(&error);
        if (json)
            print_json(recipe);
        else
            print_line(recipe_info(recipe));
        recipe_destroy(recipe);
    }
    return 0;
}

static int show(const char *name, bool json)
{
    struct recipe *recipe;
    struct mf_error error;
    if (recipes_load(&recipe, name, NULL, &error) != 0)
        return complain(&error);
    if (json)
        print_json(recipe);
    else
        print_all(recipe);
    recipe_destroy(recipe);
    return 0;
}

/* --- check --- */

static int read_all(const char *path, struct mf_buf *out, struct mf_error *error)
{
    struct stat status;
    char bytes[16384];
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mf_fail(error, MF_INPUT, "%s: %s", path, strerror(errno));
    int result = fstat(fd, &status) == 0 && S_ISREG(status.st_mode)
                     ? 0
                     : mf_fail(error, MF_INPUT, "%s: not a regular file", path);
    while (result == 0 && (got = read(fd, bytes, sizeof bytes)) > 0)
        if (mf_buf_append(out, bytes, (size_t)got) != 0)
            result = mf_fail(error, MF_INPUT, "%s: larger than %u bytes", path, FILE_BYTES_MAX);
    if (result == 0 && got < 0)
        result = mf_fail(error, MF_INPUT, "%s: cannot be read", path);
    close(fd);
    return result;
}

static void print_problem(void *context, const char *line)
{
    struct json_writer *writer = context;
    if (writer != NULL)
        json_string(writer, line);
    else
        fprintf(stderr, "%s\n", line);
}

static int check(const char *path, bool json)
{
    struct mf_error error;
    struct json_writer writer;
    struct mf_buf text, line;
    mf_buf_init(&text, FILE_BYTES_MAX);
    mf_buf_init(&line, 4u << 20);
    json_begin(&writer, &line);
    json_open_object(&writer);
    json_member_u64(&writer, "mayfly", 1);
    json_member_string(&writer, "file", path);
    json_key(&writer, "problems");
    json_open_array(&writer);
    int result = read_all(path, &text, &error);
    if (result != 0)
        print_problem(json ? &writer : NULL, error.text);
    else
        result =
            mayfly_recipe_check(mf_buf_cstr(&text), text.length, path, print_problem, json ? &writer : NULL, &error);
    json_close_array(&writer);
    json_member_bool(&writer, "valid", result == 0);
    json_close_object(&writer);
    if (json)
        printf("%s\n", mf_buf_cstr(&line));
    else if (result == 0)
        printf("%s: fine\n", path);
    mf_buf_free(&text);
    mf_buf_free(&line);
    return result == 0 ? 0 : 2;
}

static int usage(void)
{
    fprintf(stderr, "mayfly: provider: give `list`, `show NAME` or `check FILE...`\n");
    return 2;
}

int cmd_provider(const struct options *options)
{
    const char *what = options->arguments[0];
    bool json = option_set(options, "json");
    size_t count = options->argument_count;
    if (strcmp(what, "list") == 0)
        return count == 1 ? list(json) : usage();
    if (strcmp(what, "show") == 0)
        return count == 2 ? show(options->arguments[1], json) : usage();
    if (strcmp(what, "check") != 0 || count < 2)
        return usage();
    int code = 0;
    for (size_t i = 1; i < count; i++)
        if (check(options->arguments[i], json) != 0)
            code = 2;
    return code;
}
