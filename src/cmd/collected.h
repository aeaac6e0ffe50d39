/* cmd/collected.h - the files that were collected from a task, as a list */
#ifndef MF_CMD_COLLECTED_H
#define MF_CMD_COLLECTED_H

#include "app/strings.h"
#include "base/error.h"

/*
 * Adds the path of every regular file below `dir`, itself relative to `dir_fd`, to `out`, which the caller has made. Links, sockets
 * and devices are left out, and what vanishes meanwhile; a `dir` that is not there, or lies elsewhere, has no files. The order is
 * the directory's: collected_sorted has them by bytes.
 */
int collected_paths(int dir_fd, const char *dir, struct strings *out, struct mf_error *error);
/* Views of all paths, sorted; NULL without memory. */
const struct mf_span *collected_sorted(struct strings *paths);

#endif
