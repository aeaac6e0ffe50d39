/* wiped.c - memory that wipes itself: the size stands in front of each block */
#include "base/wiped.h"

#include "base/alloc.h"

#include <stdint.h>
#include <string.h>

union prefix {
    size_t bytes;
    max_align_t align;
};

void *mf_wiped_alloc(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(union prefix))
        return NULL;
    union prefix *block = mf_alloc(sizeof *block + bytes);
    if (block == NULL)
        return NULL;
    block->bytes = bytes;
    return block + 1;
}

size_t mf_wiped_size(const void *memory)
{
    return ((const union prefix *)memory - 1)->bytes;
}

void mf_wiped_free(void *memory)
{
    if (memory == NULL)
        return;
    union prefix *block = (union prefix *)memory - 1;
    mf_free_secret(block, sizeof *block + block->bytes);
}

void *mf_wiped_resize(void *memory, size_t bytes)
{
    if (memory == NULL)
        return mf_wiped_alloc(bytes);
    size_t before = mf_wiped_size(memory);
    void *moved = mf_wiped_alloc(bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, before < bytes ? before : bytes);
    mf_wiped_free(memory);
    return moved;
}
