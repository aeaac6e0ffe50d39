/* report/diff.h - a unified diff of known edits, for `patch` and `git apply` */
#ifndef MF_REPORT_DIFF_H
#define MF_REPORT_DIFF_H

#include "base/buf.h"
#include "base/error.h"

struct diff_edit { /* bytes of the old text and what stands there instead */
    size_t offset, length;
    struct mf_span text;
};

/* The edits do not overlap; they are sorted here. "--- a/NAME", "+++ b/NAME", three lines of context. */
int diff_make(struct mf_span old, struct diff_edit *edits, size_t count, const char *name, struct mf_buf *out,
              struct mf_error *error);

#endif
