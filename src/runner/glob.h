/*
 * runner/glob.h - which paths `collect` takes: segments with * and ?, and ** for any number of segments
 *
 * A glob is matched against a relative path segment by segment, so that a walk can leave out directories in which
 * nothing can match. `*` and `?` match within a segment, also a leading dot; a trailing "/" stands for "/" and "**"
 * behind it.
 */
#ifndef MF_RUNNER_GLOB_H
#define MF_RUNNER_GLOB_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define GLOB_SEGMENTS_MAX 63 /* one bit each, and one for the end */

struct glob {
    struct mf_span segments[GLOB_SEGMENTS_MAX]; /* into the pattern: it must outlive the glob */
    uint32_t count;
};

/* -1: empty, absolute, too many segments, or a "." or ".." segment. */
int glob_compile(struct glob *glob, struct mf_span pattern);

/* The set of positions in the glob that a path so far can stand at; 0: nothing below can match. */
typedef uint64_t glob_state;
glob_state glob_start(const struct glob *glob);
glob_state glob_step(const struct glob *glob, glob_state state, struct mf_span segment);
bool glob_matched(const struct glob *glob, glob_state state); /* the path so far is a match */

/* A whole path at once, for tests and for names at hand. */
bool glob_matches(const struct glob *glob, struct mf_span path);

#endif
