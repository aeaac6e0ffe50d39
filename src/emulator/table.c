/* table.c - open addressing with linear probing and backward shift */
#include "emulator/table.h"

#include "base/alloc.h"

enum { CAPACITY_FIRST = 64 };

struct emu_table_entry {
    uint64_t hash;
    struct mf_span key;
    void *value; /* NULL: free */
};

void emu_table_init(struct emu_table *table, uint64_t seed, uint32_t count_max)
{
    *table = (struct emu_table){.seed = seed, .count_max = count_max};
}

void emu_table_free(struct emu_table *table)
{
    mf_free(table->entries);
    table->entries = NULL;
    table->count = table->capacity = 0;
}

/* The slot of the key, or the free slot where it would go. */
static uint32_t slot_of(const struct emu_table *table, uint64_t hash, struct mf_span key)
{
    uint32_t slot = (uint32_t)hash & (table->capacity - 1);
    while (table->entries[slot].value != NULL &&
           (table->entries[slot].hash != hash || !mf_span_equal(table->entries[slot].key, key)))
        slot = (slot + 1) & (table->capacity - 1);
    return slot;
}

void *emu_table_get(const struct emu_table *table, struct mf_span key)
{
    if (table->capacity == 0)
        return NULL;
    return table->entries[slot_of(table, mf_hash(key.data, key.length, table->seed), key)].value;
}

static int resize(struct emu_table *table)
{
    struct emu_table old = *table;
    uint32_t capacity = old.capacity == 0 ? CAPACITY_FIRST : old.capacity * 2;
    struct emu_table_entry *entries = mf_calloc(capacity, sizeof(*entries));
    if (entries == NULL)
        return -1;
    table->entries = entries;
    table->capacity = capacity;
    for (uint32_t slot = 0; slot < old.capacity; slot++)
        if (old.entries[slot].value != NULL)
            entries[slot_of(table, old.entries[slot].hash, old.entries[slot].key)] = old.entries[slot];
    mf_free(old.entries);
    return 0;
}

int emu_table_put(struct emu_table *table, struct mf_span key, void *value)
{
    if (table->count * 2 >= table->capacity && resize(table) < 0)
        return -1;
    uint64_t hash = mf_hash(key.data, key.length, table->seed);
    uint32_t slot = slot_of(table, hash, key);
    if (table->entries[slot].value == NULL) {
        if (table->count >= table->count_max)
            return -1;
        table->count++;
    }
    table->entries[slot] = (struct emu_table_entry){hash, key, value};
    return 0;
}

/* Moves later entries of the same cluster back, so that no search stops early at the hole. */
static void close_hole(struct emu_table *table, uint32_t hole)
{
    uint32_t mask = table->capacity - 1;
    for (uint32_t slot = (hole + 1) & mask; table->entries[slot].value != NULL; slot = (slot + 1) & mask) {
        uint32_t home = (uint32_t)table->entries[slot].hash & mask;
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            table->entries[hole] = table->entries[slot];
            hole = slot;
        }
    }
    table->entries[hole] = (struct emu_table_entry){0};
}

void *emu_table_remove(struct emu_table *table, struct mf_span key)
{
    if (table->capacity == 0)
        return NULL;
    uint32_t slot = slot_of(table, mf_hash(key.data, key.length, table->seed), key);
    void *value = table->entries[slot].value;
    if (value != NULL) {
        table->count--;
        close_hole(table, slot);
    }
    return value;
}
