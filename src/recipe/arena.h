/* recipe/arena.h - memory that lives as long as a recipe: taken piece by piece, freed at once (private to recipe/) */
#ifndef MF_RECIPE_ARENA_H
#define MF_RECIPE_ARENA_H

#include "base/str.h"

#include <stddef.h>

struct recipe_arena {
    struct recipe_block *blocks; /* owned, the newest first */
};

/* Zeroed memory for `count` elements, aligned for any type; NULL without memory. */
void *recipe_arena_take(struct recipe_arena *arena, size_t count, size_t bytes);
/* A terminated copy. */
char *recipe_arena_text(struct recipe_arena *arena, struct mf_span text);
void recipe_arena_free(struct recipe_arena *arena);

#endif
