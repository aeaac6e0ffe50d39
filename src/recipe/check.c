/* check.c - the installed check of a provider file */
#include "mayfly/recipe.h"

#include "recipe/recipe.h"

#include <string.h>

#define PROBLEMS_BYTES_MAX (256u * 1024u) /* 100 lines of at most 1 KiB, twice over */

static void tell(char *lines, void (*problem)(void *context, const char *line), void *context)
{
    for (char *line = lines, *end; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        problem(context, line);
    }
}

int mayfly_recipe_check(const char *text, size_t bytes, const char *file_name, void (*problem)(void *context, const char *line), void *context,
                        struct mf_error *error)
{
    struct recipe *recipe;
    struct mf_buf problems;
    mf_buf_init(&problems, PROBLEMS_BYTES_MAX);
    int result = recipe_load(&recipe, (struct mf_span){text, bytes}, file_name, &problems, error);
    if (problem != NULL && problems.data != NULL)
        tell(problems.data, problem, context);
    mf_buf_free(&problems);
    recipe_destroy(recipe);
    return result;
}
