/* shipped.c - recipes and permission tables that come with the program */
#include "recipe/shipped.h"

#include "recipe/load.h"

#include <string.h>

#define TABLE_PREFIX "permissions-"

static struct mf_span text_of(const struct recipe_shipped_file *file)
{
    return (struct mf_span){(const char *)file->data, file->length};
}

static bool is_table(const struct recipe_shipped_file *file)
{
    return strncmp(file->name, TABLE_PREFIX, strlen(TABLE_PREFIX)) == 0;
}

struct mf_span recipe_shipped(const char *name)
{
    for (const struct recipe_shipped_file *file = recipe_shipped_files; file->name != NULL; file++)
        if (!is_table(file) && strcmp(file->name, name) == 0)
            return text_of(file);
    return (struct mf_span){NULL, 0};
}

const char *recipe_shipped_name(uint32_t index)
{
    for (const struct recipe_shipped_file *file = recipe_shipped_files; file->name != NULL; file++)
        if (!is_table(file) && index-- == 0)
            return file->name;
    return NULL;
}

struct mf_span recipe_shipped_table(const char *name)
{
    for (const struct recipe_shipped_file *file = recipe_shipped_files; file->name != NULL; file++)
        if (is_table(file) && strcmp(file->name + strlen(TABLE_PREFIX), name) == 0)
            return text_of(file);
    return (struct mf_span){NULL, 0};
}
