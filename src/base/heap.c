/* heap.c - a min-heap of deadlines over items that are known by a dense index */
#include "base/heap.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

void mf_heap_init(struct mf_heap *heap)
{
    *heap = (struct mf_heap){0};
}

void mf_heap_free(struct mf_heap *heap)
{
    mf_free(heap->nodes);
    mf_free(heap->position);
    mf_heap_init(heap);
}

int mf_heap_reserve(struct mf_heap *heap, uint32_t items)
{
    if (items <= heap->item_capacity)
        return 0;
    uint32_t capacity = heap->item_capacity > 0 ? heap->item_capacity : 16;
    while (capacity < items)
        capacity = capacity > UINT32_MAX / 2 ? UINT32_MAX : capacity * 2;
    struct mf_heap_node *nodes = mf_realloc(heap->nodes, capacity, sizeof *nodes);
    if (nodes == NULL)
        return -1;
    heap->nodes = nodes;
    uint32_t *position = mf_realloc(heap->position, capacity, sizeof *position);
    if (position == NULL)
        return -1;
    memset(position + heap->item_capacity, 0, (capacity - heap->item_capacity) * sizeof *position);
    heap->position = position;
    heap->item_capacity = capacity;
    return 0;
}

static bool before(struct mf_heap_node left, struct mf_heap_node right)
{
    return left.at < right.at || (left.at == right.at && left.item < right.item);
}

static void place(struct mf_heap *heap, uint32_t index, struct mf_heap_node node)
{
    heap->nodes[index] = node;
    heap->position[node.item] = index + 1;
}

static void sift_up(struct mf_heap *heap, uint32_t index)
{
    struct mf_heap_node node = heap->nodes[index];
    while (index > 0 && before(node, heap->nodes[(index - 1) / 2])) {
        place(heap, index, heap->nodes[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, node);
}

static void sift_down(struct mf_heap *heap, uint32_t index)
{
    struct mf_heap_node node = heap->nodes[index];
    for (;;) {
        uint64_t child = 2 * (uint64_t)index + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!before(heap->nodes[child], node))
            break;
        place(heap, index, heap->nodes[child]);
        index = (uint32_t)child;
    }
    place(heap, index, node);
}

void mf_heap_remove(struct mf_heap *heap, uint32_t item)
{
    if (item >= heap->item_capacity || heap->position[item] == 0)
        return;
    uint32_t index = heap->position[item] - 1;
    heap->position[item] = 0;
    heap->count--;
    if (index == heap->count)
        return;
    place(heap, index, heap->nodes[heap->count]);
    sift_up(heap, index);
    sift_down(heap, heap->position[heap->nodes[index].item] - 1);
}

void mf_heap_set(struct mf_heap *heap, uint32_t item, int64_t at)
{
    mf_assert(item < heap->item_capacity);
    mf_heap_remove(heap, item);
    if (at == MF_NEVER)
        return;
    place(heap, heap->count, (struct mf_heap_node){at, item});
    heap->count++;
    sift_up(heap, heap->count - 1);
}

int64_t mf_heap_at(const struct mf_heap *heap, uint32_t item)
{
    if (item >= heap->item_capacity || heap->position[item] == 0)
        return MF_NEVER;
    return heap->nodes[heap->position[item] - 1].at;
}

bool mf_heap_peek(const struct mf_heap *heap, uint32_t *item, int64_t *at)
{
    if (heap->count == 0)
        return false;
    *item = heap->nodes[0].item;
    *at = heap->nodes[0].at;
    return true;
}
