/* store/tree.h - removes a directory tree by descriptor: no link is followed, no mount is entered */
#ifndef MF_STORE_TREE_H
#define MF_STORE_TREE_H

#include "base/error.h"

/* Removes `name` below the open directory with all that is in it. Agents wrote parts of it: any depth, any mode. */
int tree_remove(int parent_fd, const char *name, struct mf_error *error);

#endif
