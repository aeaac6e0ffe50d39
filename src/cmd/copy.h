/* cmd/copy.h - copies files that agents made: regular files only, through no link, into a directory of the user */
#ifndef MF_CMD_COPY_H
#define MF_CMD_COPY_H

#include "base/error.h"

/* Makes "deploy/web" below `to_fd` and opens it; the caller closes it. -1 with *error. */
int copy_make_directory(int to_fd, const char *path, struct mf_error *error);
int outputs_copy_file(int from_fd, const char *from, int to_fd, const char *to, struct mf_error *error);
/* All of a directory; links, sockets and devices are left out. */
int outputs_copy_tree(int from_fd, const char *from, int to_fd, struct mf_error *error);

#endif
