/*
 * base/heap.h - a min-heap of deadlines over items that are known by a dense index
 *
 * Each item is in the heap at most once; setting it again moves it. Equal deadlines come out in the order of the index, so
 * that a run is reproducible. All memory is taken by mf_heap_reserve; the other calls cannot fail.
 */
#ifndef MF_BASE_HEAP_H
#define MF_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_NEVER INT64_MAX

struct mf_heap {
    struct mf_heap_node {
        int64_t at;
        uint32_t item;
    } *nodes;           /* owned */
    uint32_t *position; /* owned: item -> index in nodes + 1, 0 when absent */
    uint32_t count;
    uint32_t item_capacity;
};

void mf_heap_init(struct mf_heap *heap);
void mf_heap_free(struct mf_heap *heap);
int mf_heap_reserve(struct mf_heap *heap, uint32_t items); /* room for items 0..items-1; -1 without memory */
void mf_heap_set(struct mf_heap *heap, uint32_t item, int64_t at); /* MF_NEVER removes */
void mf_heap_remove(struct mf_heap *heap, uint32_t item);          /* fine when absent */
int64_t mf_heap_at(const struct mf_heap *heap, uint32_t item);     /* MF_NEVER when absent */
bool mf_heap_peek(const struct mf_heap *heap, uint32_t *item, int64_t *at); /* false when empty */

#endif
