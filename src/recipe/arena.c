/* arena.c - memory that lives as long as a recipe */
#include "recipe/arena.h"

#include "base/alloc.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_BYTES 16384u /* a shipped recipe takes one to three of them */

struct recipe_block {
    struct recipe_block *next;
    size_t used, capacity;
    alignas(max_align_t) char data[];
};

static struct recipe_block *block_of(struct recipe_arena *arena, size_t bytes)
{
    struct recipe_block *block = arena->blocks;
    if (block != NULL && block->capacity - block->used >= bytes)
        return block;
    size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    if (capacity > SIZE_MAX - sizeof *block)
        return NULL;
    block = mf_calloc(1, sizeof *block + capacity);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *recipe_arena_take(struct recipe_arena *arena, size_t count, size_t bytes)
{
    size_t align = alignof(max_align_t), total;
    if (__builtin_mul_overflow(count, bytes, &total) || total > SIZE_MAX - align)
        return NULL;
    total = (total + align - 1) / align * align;
    struct recipe_block *block = block_of(arena, total > 0 ? total : align);
    if (block == NULL)
        return NULL;
    void *memory = block->data + block->used;
    block->used += total;
    return memory;
}

char *recipe_arena_text(struct recipe_arena *arena, struct mf_span text)
{
    char *copy = recipe_arena_take(arena, text.length + 1, 1);
    if (copy != NULL && text.length > 0)
        memcpy(copy, text.data, text.length);
    return copy;
}

void recipe_arena_free(struct recipe_arena *arena)
{
    while (arena->blocks != NULL) {
        struct recipe_block *block = arena->blocks;
        arena->blocks = block->next;
        mf_free(block);
    }
}
