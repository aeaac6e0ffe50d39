/* recipe/shipped.h - the files of shipped/, embedded by the build (private to recipe/) */
#ifndef MF_RECIPE_SHIPPED_H
#define MF_RECIPE_SHIPPED_H

#include <stddef.h>

struct recipe_shipped_file {
    const char *name; /* without .json; "permissions-NAME" is a table that recipes share */
    const unsigned char *data;
    size_t length;
};

extern const struct recipe_shipped_file recipe_shipped_files[]; /* sorted; the last has a NULL name */

#endif
