/*
 * memory.c - curl's memory: every block is wiped when it is freed, and small blocks have a reserve
 *
 * curl copies request headers into its send buffers and answers into its receive buffers, and frees them as they are. A
 * credential would then stay in freed memory for as long as nothing overwrites it. So curl gets base/wiped.h.
 * bench/http_client measures what that costs.
 *
 * The reserve: curl 7.88 does not survive every failed allocation of its bookkeeping (a hash table that could not be
 * made is left without slots and then divided by them). So a small block that the system cannot give comes from a
 * stash, and net_client_submit takes no new request while the stash is not full: a lack of memory is noticed there,
 * where it can be said. The resolver's threads allocate too, hence the lock.
 */
#include "net/client_private.h"

#include "base/wiped.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define STASH_BLOCK_BYTES 1024 /* the largest table of curl's bookkeeping that is made in flight has 416 bytes */
#define STASH_BLOCKS 64

static atomic_flag stash_lock = ATOMIC_FLAG_INIT; /* held for a few instructions */
static void *stash[STASH_BLOCKS];
static uint32_t stash_count;
static uint32_t users; /* clients; only the loop's thread makes them */

static void lock_stash(void)
{
    while (atomic_flag_test_and_set_explicit(&stash_lock, memory_order_acquire))
        ;
}

static void unlock_stash(void)
{
    atomic_flag_clear_explicit(&stash_lock, memory_order_release);
}

static void *take_stashed(size_t bytes)
{
    void *block = NULL;
    if (bytes > STASH_BLOCK_BYTES)
        return NULL;
    lock_stash();
    if (stash_count > 0)
        block = stash[--stash_count];
    unlock_stash();
    return block;
}

/* False: it is full. */
static bool put_stashed(void *block)
{
    lock_stash();
    bool fits = stash_count < STASH_BLOCKS;
    if (fits)
        stash[stash_count++] = block;
    unlock_stash();
    return fits;
}

static bool stash_is_full(void)
{
    lock_stash();
    bool full = stash_count == STASH_BLOCKS;
    unlock_stash();
    return full;
}

int client_memory_refill(void)
{
    while (!stash_is_full()) {
        void *block = mf_wiped_alloc(STASH_BLOCK_BYTES);
        if (block == NULL)
            return -1;
        if (!put_stashed(block))
            mf_wiped_free(block);
    }
    return 0;
}

static void free_stash(void)
{
    void *block;
    while ((block = take_stashed(STASH_BLOCK_BYTES)) != NULL)
        mf_wiped_free(block);
}

static void *curl_allocate(size_t bytes)
{
    void *memory = mf_wiped_alloc(bytes);
    return memory != NULL ? memory : take_stashed(bytes);
}

static void *curl_resize(void *memory, size_t bytes)
{
    if (memory == NULL)
        return curl_allocate(bytes);
    size_t before = mf_wiped_size(memory);
    void *moved = curl_allocate(bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, before < bytes ? before : bytes);
    mf_wiped_free(memory);
    return moved;
}

static char *curl_duplicate(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = curl_allocate(bytes);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

static void *curl_allocate_zeroed(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    void *memory = curl_allocate(total);
    if (memory != NULL)
        memset(memory, 0, total);
    return memory;
}

int client_memory_begin(struct mf_error *error)
{
    CURLcode result = curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_allocate, mf_wiped_free, curl_resize,
                                           curl_duplicate, curl_allocate_zeroed);
    if (result != CURLE_OK)
        return mf_fail(error, MF_MEMORY, "http client: %s", curl_easy_strerror(result));
    users++;
    if (client_memory_refill() == 0)
        return 0;
    client_memory_end();
    return mf_fail(error, MF_MEMORY, "http client: no memory");
}

void client_memory_end(void)
{
    curl_global_cleanup();
    if (--users == 0)
        free_stash();
}
