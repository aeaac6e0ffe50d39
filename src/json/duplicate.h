/* json/duplicate.h - finds a key that stands twice in one object (private to json/) */
#ifndef MF_JSON_DUPLICATE_H
#define MF_JSON_DUPLICATE_H

#include "json/scan.h"

/* A hash table that the large objects of one scan share; all zero is empty. */
struct json_duplicates {
    struct json_duplicate_slot {
        uint32_t hash;
        uint32_t key; /* node, 0 when the slot is free: the root is never a key */
    } * slots;        /* owned */
    size_t capacity;
};

/* Sets *duplicate to the first key of a closed object that repeats an earlier one, or to JSON_NONE. -1 without memory.
 */
int json_find_duplicate(struct json_duplicates *duplicates, const struct json_document *document, uint32_t object,
                        uint32_t *duplicate);
void json_describe_duplicate(const struct json_document *document, uint32_t key, char *out, size_t out_bytes);
void json_duplicates_free(struct json_duplicates *duplicates);

#endif
