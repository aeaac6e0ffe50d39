/*
 * base/wiped.h - memory that wipes itself when it is freed or moved: for the allocator hooks of libraries
 *
 * curl, OpenSSL and SQLite copy what passes through them (headers, TLS records, pages) and free the copies as they are. With
 * these functions under them a credential does not outlive its use. They stand on base/alloc.h, so that the failing allocator
 * of the tests reaches into the libraries too. Each block costs 16 bytes more.
 */
#ifndef MF_BASE_WIPED_H
#define MF_BASE_WIPED_H

#include <stddef.h>

void *mf_wiped_alloc(size_t bytes);                 /* uninitialised; NULL without memory */
void *mf_wiped_resize(void *memory, size_t bytes);  /* always moves; the old block stays on failure; NULL memory: a new block */
void mf_wiped_free(void *memory);                   /* NULL is fine */
size_t mf_wiped_size(const void *memory);           /* as asked for */

#endif
