/* tally.c - numbers for keys: linear probing over a power of two, at most half full */
#include "report/tally.h"

#include "base/alloc.h"

#include <string.h>

#define FIRST_SLOTS 64u

static struct tally_slot *place(struct tally_slot *slots, size_t capacity, const struct tally_key *keys, uint64_t hash,
                                struct mf_span key)
{
    size_t at = (size_t)hash & (capacity - 1);
    for (;; at = (at + 1) & (capacity - 1)) {
        const struct tally_key *known = slots[at].number > 0 ? &keys[slots[at].number - 1] : NULL;
        if (known == NULL || (slots[at].hash == hash && known->length == key.length &&
                              (key.length == 0 || memcmp(known->data, key.data, key.length) == 0)))
            return &slots[at];
    }
}

static int grow(struct tally *tally)
{
    size_t capacity = tally->capacity > 0 ? 2 * tally->capacity : FIRST_SLOTS;
    struct tally_slot *slots = mf_calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < tally->capacity; i++) {
        const struct tally_slot *slot = &tally->slots[i];
        if (slot->number == 0)
            continue;
        const struct tally_key *key = &tally->keys[slot->number - 1];
        *place(slots, capacity, tally->keys, slot->hash, (struct mf_span){key->data, key->length}) = *slot;
    }
    mf_free(tally->slots);
    tally->slots = slots;
    tally->capacity = capacity;
    return 0;
}

int tally_number(struct tally *tally, struct mf_span key, uint32_t *number, bool *fresh)
{
    uint64_t hash = mf_hash(key.data, key.length, 0);
    if (2 * (tally->count + 1) > tally->capacity && grow(tally) != 0)
        return -1;
    struct tally_slot *slot = place(tally->slots, tally->capacity, tally->keys, hash, key);
    *fresh = slot->number == 0;
    if (*fresh) {
        char *copy = mf_strndup(key.data, key.length);
        if (copy == NULL ||
            mf_grow((void **)&tally->keys, &tally->key_capacity, tally->count + 1, sizeof *tally->keys, 64) != 0) {
            mf_free(copy);
            return -1;
        }
        tally->keys[tally->count++] = (struct tally_key){copy, key.length};
        *slot = (struct tally_slot){hash, (uint32_t)tally->count};
    }
    *number = slot->number - 1;
    return 0;
}

bool tally_known(const struct tally *tally, struct mf_span key, uint32_t *number)
{
    if (tally->capacity == 0)
        return false;
    const struct tally_slot *slot =
        place(tally->slots, tally->capacity, tally->keys, mf_hash(key.data, key.length, 0), key);
    *number = slot->number - 1;
    return slot->number > 0;
}

void tally_free(struct tally *tally)
{
    for (size_t i = 0; i < tally->count; i++)
        mf_free(tally->keys[i].data);
    mf_free(tally->slots);
    mf_free(tally->keys);
    *tally = (struct tally){0};
}
