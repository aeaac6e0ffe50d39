/*
 * app/tag.h - the name that every account carries at its provider: mayfly-<owner>-<run>-<n>
 *
 * A tag is parsed whole, never matched by a prefix: owner `ab` must not find what belongs to owner `abc`, and a name that a person
 * made up must not look like one of ours by chance.
 */
#ifndef MF_APP_TAG_H
#define MF_APP_TAG_H

#include "base/str.h"

#include <stdbool.h>

#define TAG_BYTES 64 /* "mayfly-", an owner of 24, a run of 12, two dashes, a number of 10, a terminator */

struct tag {
    char owner[25]; /* 1 to 24 of [a-z0-9] */
    char run[13];   /* 12 of [a-z0-9] */
    uint32_t n;     /* from 1 on, as core/core.h counts accounts */
};

/* False for everything that tag_format would not have made. */
bool tag_parse(struct mf_span text, struct tag *out);
void tag_format(const char *owner, const char *run, uint32_t n, char out[TAG_BYTES]);

#endif
