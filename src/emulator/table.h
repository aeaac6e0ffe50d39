/*
 * emulator/table.h - a hash table from bytes to pointers
 *
 * Open addressing, at most half full; removal shifts back, so there are no tombstones. The key's bytes belong to the value
 * and must live as long as the entry.
 */
#ifndef MF_EMULATOR_TABLE_H
#define MF_EMULATOR_TABLE_H

#include "base/str.h"

#include <stdint.h>

struct emu_table {
    struct emu_table_entry *entries; /* owned */
    uint64_t seed;
    uint32_t count, capacity, count_max;
};

void emu_table_init(struct emu_table *table, uint64_t seed, uint32_t count_max);
void emu_table_free(struct emu_table *table); /* the values are the caller's */
void *emu_table_get(const struct emu_table *table, struct mf_span key); /* NULL when absent */
/* Puts or replaces; -1 without memory or above count_max (nothing changed then). */
int emu_table_put(struct emu_table *table, struct mf_span key, void *value);
void *emu_table_remove(struct emu_table *table, struct mf_span key); /* the value that was there, or NULL */

#endif
