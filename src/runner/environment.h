/*
 * runner/environment.h - the variables of one process, from nothing: each name once, the last value wins
 */
#ifndef MF_RUNNER_ENVIRONMENT_H
#define MF_RUNNER_ENVIRONMENT_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

/* One entry, "NAME=VALUE" with its terminator: the kernel takes 128 KiB for a string, the graph promises 120 KiB. */
#define ENVIRONMENT_ENTRY_BYTES_MAX ((size_t)127 << 10)
#define ENVIRONMENT_BYTES_MAX ((size_t)1 << 20)
#define ENVIRONMENT_ENTRIES_MAX 4096

struct environment {
    struct mf_buf text; /* all entries, each with its NUL; secret */
    struct environment_entry {
        uint32_t offset, length, name_length; /* length counts the NUL */
    } * entries;                              /* owned */
    size_t capacity;
    uint32_t count;
    struct mf_span *spans; /* owned: made by environment_spans */
};

void environment_init(struct environment *environment);
void environment_free(struct environment *environment);

/* A name without "=" or NUL and not empty, a value without NUL; -1 with MF_INPUT, MF_LIMIT or MF_MEMORY. */
int environment_set(struct environment *environment, struct mf_span name, struct mf_span value, struct mf_error *error);
int environment_set_text(struct environment *environment, const char *name, const char *value, struct mf_error *error);
/* The value, or a span with data NULL. */
struct mf_span environment_get(const struct environment *environment, const char *name);
/* `count` spans, each "NAME=VALUE" with its NUL inside; valid until the next set. NULL without memory. */
const struct mf_span *environment_spans(struct environment *environment);

#endif
