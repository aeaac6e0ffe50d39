/*
 * duplicate.c - finds a key that stands twice in one object
 *
 * Small objects are compared pair by pair, large ones through a hash table. The hash is seeded with an address, because
 * a peer that could foretell it could choose keys that all fall into one slot.
 */
#include "json/duplicate.h"

#include "base/alloc.h"
#include "json/write.h"

#include <string.h>

#define SMALL_OBJECT_MEMBERS 16

static bool same_key(const struct json_document *document, uint32_t left, uint32_t right)
{
    const struct json_node *nodes = document->nodes;
    if (nodes[left].escaped || nodes[right].escaped)
        return json_same_text(document, left, right);
    return nodes[left].length == nodes[right].length &&
           memcmp(document->text.data + nodes[left].start, document->text.data + nodes[right].start,
                  nodes[left].length) == 0;
}

static uint32_t find_in_small(const struct json_document *document, uint32_t object)
{
    uint32_t keys[SMALL_OBJECT_MEMBERS];
    uint32_t key = object + 1;
    for (uint32_t i = 0; i < document->nodes[object].children; i++, key = document->nodes[key + 1].end) {
        for (uint32_t j = 0; j < i; j++) {
            if (same_key(document, keys[j], key))
                return key;
        }
        keys[i] = key;
    }
    return JSON_NONE;
}

/* An empty table of at least twice the members. */
static int make_room(struct json_duplicates *duplicates, uint32_t members)
{
    size_t wanted = 64;
    while (wanted < 2 * (size_t)members)
        wanted *= 2;
    if (wanted > duplicates->capacity) {
        struct json_duplicate_slot *slots = mf_calloc(wanted, sizeof *slots);
        if (slots == NULL)
            return -1;
        json_duplicates_free(duplicates);
        *duplicates = (struct json_duplicates){slots, wanted};
        return 0;
    }
    memset(duplicates->slots, 0, wanted * sizeof *duplicates->slots);
    return 0;
}

static uint32_t find_in_large(struct json_duplicates *duplicates, const struct json_document *document, uint32_t object,
                              size_t mask)
{
    uint32_t key = object + 1;
    uint64_t seed = (uint64_t)(uintptr_t)document->nodes;
    for (uint32_t i = 0; i < document->nodes[object].children; i++, key = document->nodes[key + 1].end) {
        uint64_t hash = json_text_hash(document, key, seed);
        uint32_t check = (uint32_t)(hash >> 32);
        size_t slot = (size_t)hash & mask;
        for (; duplicates->slots[slot].key != 0; slot = (slot + 1) & mask) {
            if (duplicates->slots[slot].hash == check && same_key(document, duplicates->slots[slot].key, key))
                return key;
        }
        duplicates->slots[slot] = (struct json_duplicate_slot){check, key};
    }
    return JSON_NONE;
}

int json_find_duplicate(struct json_duplicates *duplicates, const struct json_document *document, uint32_t object,
                        uint32_t *duplicate)
{
    uint32_t members = document->nodes[object].children;
    if (members <= SMALL_OBJECT_MEMBERS) {
        *duplicate = find_in_small(document, object);
        return 0;
    }
    if (make_room(duplicates, members) != 0)
        return -1;
    size_t mask = 63;
    while (mask + 1 < 2 * (size_t)members)
        mask = 2 * mask + 1;
    *duplicate = find_in_large(duplicates, document, object, mask);
    return 0;
}

void json_describe_duplicate(const struct json_document *document, uint32_t key, char *out, size_t out_bytes)
{
    char name[256];
    struct mf_buf shown;
    mf_buf_init(&shown, sizeof name);
    if (json_copy(document, key, name, sizeof name) != 0)
        mf_format(name, sizeof name, "%.*s", 200, json_raw(document, key).data + 1);
    json_escape_shown(&shown, mf_span(name), 64);
    mf_format(out, out_bytes, "duplicate key `%s`", mf_buf_cstr(&shown));
    mf_buf_free(&shown);
}

void json_duplicates_free(struct json_duplicates *duplicates)
{
    mf_free(duplicates->slots);
    *duplicates = (struct json_duplicates){0};
}
