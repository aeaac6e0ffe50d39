/* app/content_private.h - what content.c and content_files.c share */
#ifndef MF_APP_CONTENT_PRIVATE_H
#define MF_APP_CONTENT_PRIVATE_H

#include "app/content.h"

#include <sys/stat.h>

struct content_member {
    char *name; /* owned */
    size_t name_bytes;
    uint32_t value;
};

struct content_file { /* a file whose hash is known as long as it looks like this */
    struct stat status;
    char sha256[65];
};

struct contents {
    struct content_file *files; /* owned */
    size_t file_count, file_capacity;
    uint64_t bytes;             /* read so far */
    uint32_t *occurrences;      /* owned; of the list whose first instance is occurrences_first (0: none) */
    uint32_t occurrences_first;
};

/* `without`: members of the outermost object that do not count; NULL: all count. */
bool content_canonical(const struct json_document *document, uint32_t node, const char *const *without, struct mf_buf *out);
/* Names and hashes of everything that the task's definition names in the file system. False: not known. */
bool content_add_files(struct app *app, uint32_t task, struct mf_buf *out);

#endif
