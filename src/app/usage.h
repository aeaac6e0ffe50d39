/*
 * app/usage.h - what services cost so far: the last figures of every stage, and their sums by service
 *
 * Figures replace what was told before of the same stage; the sums follow by the difference. Live messages and a replay of the
 * journal go through the same function, so that a resumed run goes on with the figures of the whole.
 */
#ifndef MF_APP_USAGE_H
#define MF_APP_USAGE_H

#include <stddef.h>
#include <stdint.h>

/* name in records and receipts, member */
#define USAGE_COUNTS(X)                                                                                                \
    X("requests", requests)                                                                                            \
    X("input_tokens", input_tokens)                                                                                    \
    X("output_tokens", output_tokens)                                                                                  \
    X("cached_tokens", cached_tokens)                                                                                  \
    X("cache_write_tokens", cache_write_tokens)

struct usage_figures {
#define X(name, member) uint64_t member;
    USAGE_COUNTS(X)
#undef X
    int64_t micro_usd; /* -1: no prices; in a sum: of what has a price */
};

struct usage_key {
    uint32_t node, attempt, service;
    uint32_t stage_kind; /* enum core_stage */
};

struct usage_book { /* zero-initialised */
    struct usage_entry {
        struct usage_key key;
        int used;
        struct usage_figures figures;
    } * entries; /* owned; open-addressed */
    size_t count, capacity;
    struct usage_figures *sums; /* by service; owned */
    uint32_t service_count;
};

/* Room for the sums of so many services. -1: no memory. */
int usage_book_open(struct usage_book *book, uint32_t service_count);
void usage_book_close(struct usage_book *book);
/* -1: no memory, nothing was taken. The service must be below service_count. */
int usage_book_put(struct usage_book *book, const struct usage_key *key, const struct usage_figures *figures);
/* NULL: nothing was told of it. */
const struct usage_figures *usage_book_get(const struct usage_book *book, const struct usage_key *key);
/* Money of all services of one stage; only what has a price. */
int64_t usage_book_spent(const struct usage_book *book, uint32_t node, uint32_t attempt, uint32_t stage_kind);

#endif
