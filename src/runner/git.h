/*
 * runner/git.h - a git workspace: from a mirror that all runs of the host share, without a credential left in it
 */
#ifndef MF_RUNNER_GIT_H
#define MF_RUNNER_GIT_H

#include "runner/copy.h"

/* Clones URL at REF into the empty workspace; answer->text becomes the commit. 0, or -1 with *answer filled. */
int git_workspace(const struct runner_prepare *prepare, const char *base, int ws_fd, const struct job_place *place,
                  struct copy_budget *budget, struct job_answer *answer);

/* Parts of a URL, for tests: the credential between "//" and "@" is cut out. -1 when it does not fit. */
int git_split_url(const char *url, char *stripped, size_t stripped_bytes, char *credential, size_t credential_bytes);
/* True for "/dir", "./dir", "../dir" and "file://": what the file protocol is opened for. */
bool git_url_is_local(const char *url);

#endif
