/*
 * base/alloc.h - the one way to get memory, so that tests can let the n-th allocation fail
 *
 * Every function returns NULL when there is no memory; callers turn that into MF_MEMORY. Sizes are multiplied with an
 * overflow check. Memory is freed with mf_free (NULL is fine). Secrets are freed with mf_free_secret, which wipes.
 */
#ifndef MF_BASE_ALLOC_H
#define MF_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mf_alloc(size_t bytes);                                /* uninitialised */
void *mf_calloc(size_t count, size_t bytes);                 /* zeroed */
void *mf_realloc(void *memory, size_t count, size_t bytes);  /* count * bytes, checked; the old block stays on failure */
char *mf_strdup(const char *text);
char *mf_strndup(const char *text, size_t length);           /* always terminated */
void mf_free(void *memory);
void mf_free_secret(void *memory, size_t bytes);             /* wipes `bytes` bytes first; NULL is fine */
void mf_wipe(void *memory, size_t bytes);                    /* a memset that the compiler may not drop */

/*
 * Makes room for at least `needed` elements in a growing array: *capacity doubles from `first`. Returns 0, or -1 without
 * memory (the array is unchanged then).
 */
int mf_grow(void **array, size_t *capacity, size_t needed, size_t element_bytes, size_t first);

/* Test hook: the allocation after `countdown` more ones fails, `times` times (0: for good). countdown < 0 switches off. */
void mf_alloc_fail_after(int64_t countdown, uint64_t times);

/* Test hook: what this thread asks for in between neither counts nor fails, for a library that does not survive it. */
void mf_alloc_spare(bool spared);

/* Test hook: how many allocations were asked for since the start. */
uint64_t mf_alloc_count(void);

#endif
