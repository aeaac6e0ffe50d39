/* usage.c - what services cost so far: linear probing over a power of two, at most half full */
#include "app/usage.h"

#include "base/alloc.h"
#include "base/assert.h"

int usage_book_open(struct usage_book *book, uint32_t service_count)
{
    *book = (struct usage_book){.service_count = service_count};
    if (service_count == 0)
        return 0;
    book->sums = mf_calloc(service_count, sizeof *book->sums);
    return book->sums != NULL ? 0 : -1;
}

void usage_book_close(struct usage_book *book)
{
    mf_free(book->entries);
    mf_free(book->sums);
    *book = (struct usage_book){0};
}

static uint64_t hash(const struct usage_key *key)
{
    uint64_t mixed =
        (uint64_t)key->node << 32 ^ (uint64_t)key->attempt << 8 ^ (uint64_t)key->service << 3 ^ key->stage_kind;
    return (mixed * 0x9e3779b97f4a7c15u) >> 32;
}

static int same(const struct usage_key *left, const struct usage_key *right)
{
    return left->node == right->node && left->attempt == right->attempt && left->service == right->service &&
           left->stage_kind == right->stage_kind;
}

/* The entry of the key, or the free place where it belongs. */
static struct usage_entry *place(struct usage_entry *entries, size_t capacity, const struct usage_key *key)
{
    size_t i = (size_t)hash(key) & (capacity - 1);
    while (entries[i].used && !same(&entries[i].key, key))
        i = (i + 1) & (capacity - 1);
    return &entries[i];
}

static int grow(struct usage_book *book)
{
    size_t capacity = book->capacity > 0 ? book->capacity * 2 : 64;
    struct usage_entry *entries = mf_calloc(capacity, sizeof *entries);
    if (entries == NULL)
        return -1;
    for (size_t i = 0; i < book->capacity; i++)
        if (book->entries[i].used)
            *place(entries, capacity, &book->entries[i].key) = book->entries[i];
    mf_free(book->entries);
    book->entries = entries;
    book->capacity = capacity;
    return 0;
}

/* Takes the old figures out of a sum and puts the new ones in: unsigned differences wrap and come out right. */
static void replace(struct usage_figures *sum, const struct usage_figures *old, const struct usage_figures *new)
{
#define X(name, member) sum->member += new->member - old->member;
    USAGE_COUNTS(X)
#undef X
    sum->micro_usd += (new->micro_usd > 0 ? new->micro_usd : 0) - (old->micro_usd > 0 ? old->micro_usd : 0);
}

int usage_book_put(struct usage_book *book, const struct usage_key *key, const struct usage_figures *figures)
{
    mf_assert(key->service < book->service_count);
    if ((book->count + 1) * 2 > book->capacity && grow(book) != 0)
        return -1;
    struct usage_entry *entry = place(book->entries, book->capacity, key);
    book->count += !entry->used;
    replace(&book->sums[key->service], &entry->figures, figures);
    *entry = (struct usage_entry){.key = *key, .used = 1, .figures = *figures};
    return 0;
}

const struct usage_figures *usage_book_get(const struct usage_book *book, const struct usage_key *key)
{
    if (book->capacity == 0)
        return NULL;
    const struct usage_entry *entry = place(book->entries, book->capacity, key);
    return entry->used ? &entry->figures : NULL;
}

int64_t usage_book_spent(const struct usage_book *book, uint32_t node, uint32_t attempt, uint32_t stage_kind)
{
    int64_t spent = 0;
    for (uint32_t service = 0; service < book->service_count; service++) {
        struct usage_key key = {node, attempt, service, stage_kind};
        const struct usage_figures *figures = usage_book_get(book, &key);
        spent += figures != NULL && figures->micro_usd > 0 ? figures->micro_usd : 0;
    }
    return spent;
}
