/* validate.c - mayfly validate: every problem of every file, nothing started or sent */
#include "app/recipes.h"
#include "base/buf.h"
#include "cmd/commands.h"
#include "cmd/graphs.h"
#include "json/write.h"

#include <stdio.h>

/* The loader knows no recipes: names of providers and permissions are checked here. */
static int check_recipes(const struct graph *graph, const char *base_dir)
{
    int code = 0;
    for (uint32_t i = 0; i < graph_provider_count(graph) && code == 0; i++) {
        struct recipe *recipe = NULL;
        struct mf_error error;
        if (!graph_provider(graph, i)->used)
            continue;
        if (recipes_load(&recipe, graph_provider(graph, i)->recipe, base_dir, &error) != 0) {
            mf_wrap(&error, "provider `%s`", graph_provider(graph, i)->name);
            code = complain(&error);
        }
        for (uint32_t s = 0; code == 0 && s < graph_slot_count(graph); s++) {
            const struct graph_slot *slot = &graph_slots(graph)[s];
            for (uint32_t p = 0;
                 slot->provider == i && code == 0 && p < graph_permission_count(graph, slot->permissions); p++) {
                struct mf_span name = graph_permission(graph, slot->permissions, p).name;
                if (!recipe_has_permission(recipe, name) &&
                    recipes_unknown_permission(recipe, slot->name, name, graph_provider(graph, i)->name, &error) != 0)
                    code = complain(&error);
            }
        }
        recipe_destroy(recipe);
    }
    return code;
}

static char *directory_of(const char *path, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s", path);
    char *slash = NULL;
    for (char *at = out; *at != '\0'; at++)
        if (*at == '/')
            slash = at;
    if (slash == NULL)
        return NULL;
    slash[slash == out ? 1 : 0] = '\0';
    return out;
}

static int validate(const struct options *options, const char *path, const struct pairs *params,
                    struct mf_buf *problems)
{
    struct graph *graph = NULL;
    char directory[4096];
    int code = graphs_read(&graph, path, params, option_value(options, "provider"), problems);
    if (code == 0)
        code = check_recipes(graph, directory_of(path, directory, sizeof directory));
    if (code == 0 && problems == NULL)
        printf("%s: fine: %u tasks in %u waves%s\n", path, graph_task_count(graph), graph_level_count(graph),
               graph_task_count(graph) == 0 ? " (nothing to do)" : "");
    graph_destroy(graph);
    return code;
}

int cmd_validate(const struct options *options)
{
    struct pairs params = {0};
    bool json = option_set(options, "json");
    int code = pairs_take(&params, options, "set", true) == 0 ? 0 : 2;
    for (size_t i = 0; i < options->argument_count && code != 7; i++) {
        struct mf_buf problems, line;
        struct json_writer writer;
        mf_buf_init(&problems, 8u << 20);
        mf_buf_init(&line, 16u << 20);
        int one = validate(options, options->arguments[i], &params, json ? &problems : NULL);
        code = one > code ? one : code;
        if (json) {
            json_begin(&writer, &line);
            json_open_object(&writer);
            json_member_u64(&writer, "mayfly", 1);
            json_member_string(&writer, "file", options->arguments[i]);
            json_member_bool(&writer, "valid", one == 0);
            json_key(&writer, "problems");
            json_raw_value(&writer, problems.length > 0 ? mf_buf_view(&problems) : MF_SPAN("[]"));
            json_close_object(&writer);
            printf("%s\n", mf_buf_cstr(&line));
        }
        mf_buf_free(&problems);
        mf_buf_free(&line);
    }
    pairs_free(&params);
    return code;
}
