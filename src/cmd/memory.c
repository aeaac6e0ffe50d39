/*
 * memory.c - OpenSSL and SQLite get memory that is wiped when it is freed, as curl does (net/memory.c)
 *
 * OpenSSL keeps decrypted TLS records and keys, SQLite pages and bound values. Called once, before either is used: later
 * both refuse. OpenSSL refuses too where something used it before main; then what it frees stays as it was until it is
 * used again, and `doctor` says so.
 */
#include "cmd/memory.h"

#include "base/alloc.h"
#include "base/wiped.h"

#include <openssl/crypto.h>
#include <sqlite3.h>

#define ROUND_BYTES 8 /* SQLite counts in these */

static bool crypto_is_wiped, database_is_wiped;

/*
 * OpenSSL also hands over file and line. It is spared by the tests' failing allocator: 3.0 takes a lock that it could not make
 * when its first allocations fail, and dies of it in its own code.
 */
static void *crypto_alloc(size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    mf_alloc_spare(true);
    void *memory = bytes > 0 ? mf_wiped_alloc(bytes) : NULL;
    mf_alloc_spare(false);
    return memory;
}

static void *crypto_resize(void *memory, size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    if (bytes == 0) {
        mf_wiped_free(memory);
        return NULL;
    }
    mf_alloc_spare(true);
    void *moved = mf_wiped_resize(memory, bytes);
    mf_alloc_spare(false);
    return moved;
}

static void crypto_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    mf_wiped_free(memory);
}

static void *database_alloc(int bytes)
{
    return bytes > 0 ? mf_wiped_alloc((size_t)bytes) : NULL;
}

static void *database_resize(void *memory, int bytes)
{
    return mf_wiped_resize(memory, (size_t)bytes);
}

static int database_size(void *memory)
{
    return memory != NULL ? (int)mf_wiped_size(memory) : 0;
}

static int database_round(int bytes)
{
    return (bytes + ROUND_BYTES - 1) & ~(ROUND_BYTES - 1);
}

static int database_begin(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static void database_end(void *unused)
{
    (void)unused;
}

void memory_wipe_in_libraries(void)
{
    static const sqlite3_mem_methods methods = {
        .xMalloc = database_alloc,
        .xFree = mf_wiped_free,
        .xRealloc = database_resize,
        .xSize = database_size,
        .xRoundup = database_round,
        .xInit = database_begin,
        .xShutdown = database_end,
    };
    crypto_is_wiped = CRYPTO_set_mem_functions(crypto_alloc, crypto_resize, crypto_free) == 1;
    database_is_wiped = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK;
}

bool memory_is_wiped(void)
{
    return crypto_is_wiped && database_is_wiped;
}
