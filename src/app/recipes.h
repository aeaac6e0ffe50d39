/* app/recipes.h - finding a recipe: a shipped one by name, or a file */
#ifndef MF_APP_RECIPES_H
#define MF_APP_RECIPES_H

#include "recipe/recipe.h"

/* `name` is a shipped recipe, or a path (with a slash or ending in .json), relative to `base_dir` (NULL: the working directory). */
int recipes_load(struct recipe **out, const char *name, const char *base_dir, struct mf_error *error);
/* Raises "task: provider does not know the permission ...; did you mean ...". */
int recipes_unknown_permission(const struct recipe *recipe, struct mf_span task, struct mf_span name, const char *provider, struct mf_error *error);

#endif
