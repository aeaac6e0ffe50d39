/* alloc.c - the one way to get memory, so that tests can let the n-th allocation fail */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int64_t fail_countdown = -1;
static _Atomic uint64_t fail_times;
static _Atomic uint64_t allocations;
static _Thread_local bool is_spared;

void mf_alloc_fail_after(int64_t countdown, uint64_t times)
{
    atomic_store(&fail_times, times);
    atomic_store(&fail_countdown, countdown);
}

void mf_alloc_spare(bool spared)
{
    is_spared = spared;
}

uint64_t mf_alloc_count(void)
{
    return atomic_load(&allocations);
}

static int must_fail(void)
{
    if (is_spared)
        return 0;
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    int64_t countdown = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    if (countdown < 0)
        return 0;
    if (countdown > 0) {
        atomic_store(&fail_countdown, countdown - 1);
        return 0;
    }
    uint64_t times = atomic_load(&fail_times);
    if (times == 1)
        atomic_store(&fail_countdown, -1);
    else if (times > 1)
        atomic_store(&fail_times, times - 1);
    return 1;
}

void *mf_alloc(size_t bytes)
{
    return must_fail() ? NULL : malloc(bytes > 0 ? bytes : 1);
}

void *mf_calloc(size_t count, size_t bytes)
{
    return must_fail() ? NULL : calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1);
}

void *mf_realloc(void *memory, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total) || must_fail())
        return NULL;
    return realloc(memory, total > 0 ? total : 1);
}

char *mf_strndup(const char *text, size_t length)
{
    char *copy = mf_alloc(length + 1);
    if (copy == NULL)
        return NULL;
    if (length > 0) /* an empty span may have no data */
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *mf_strdup(const char *text)
{
    return mf_strndup(text, strlen(text));
}

void mf_free(void *memory)
{
    free(memory);
}

void mf_wipe(void *memory, size_t bytes)
{
    if (memory != NULL)
        explicit_bzero(memory, bytes);
}

void mf_free_secret(void *memory, size_t bytes)
{
    mf_wipe(memory, bytes);
    free(memory);
}

int mf_grow(void **array, size_t *capacity, size_t needed, size_t element_bytes, size_t first)
{
    if (needed <= *capacity)
        return 0;
    size_t wanted = *capacity > 0 ? *capacity : first;
    while (wanted < needed) {
        if (__builtin_mul_overflow(wanted, (size_t)2, &wanted))
            return -1;
    }
    void *grown = mf_realloc(*array, wanted, element_bytes);
    if (grown == NULL)
        return -1;
    *array = grown;
    *capacity = wanted;
    return 0;
}
