/*
 * mayfly/recipe.h - checks a provider file, for editors and for tests of those who write one
 *
 * The format is documented in src/recipe/README.md and by schemas/recipe.schema.json. This check is the one of the program: it
 * finds everything that the schema finds, and also what it cannot say (names, secrets in paths, teardown after a lost answer).
 */
#ifndef MAYFLY_RECIPE_H
#define MAYFLY_RECIPE_H

#include "mayfly/error.h"

#include <stddef.h>

/*
 * Returns 0 when the text is a recipe that `mayfly run` would take, else -1 with the first problem in *error (may be NULL).
 * `problem` (may be NULL) is called once for each problem with one line, "FILE:LINE:COLUMN: /pointer: what", that is valid
 * during the call. Nothing is sent and no file is read.
 */
int mayfly_recipe_check(const char *text, size_t bytes, const char *file_name, void (*problem)(void *context, const char *line), void *context,
                        struct mf_error *error);

#endif
