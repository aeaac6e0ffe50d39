/*
 * app/credential.h - an operator's credential: where it comes from, and reading it
 *
 * A source is "env:NAME", "file:PATH" or "command:JSON array". A value never stands in an argv or in a file of ours.
 */
#ifndef MF_APP_CREDENTIAL_H
#define MF_APP_CREDENTIAL_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

/* NULL when the source is well formed, else what is wrong with it. */
const char *credential_fault(const char *source);
/*
 * Reads into `out` (a secret buffer, emptied first), without trailing line ends. A file must be regular, of this user and not
 * readable by others. A variable is taken out of the environment. A command runs without shell, at most 30 s, stdout is the value.
 */
int credential_read(const char *source, struct mf_buf *out, struct mf_error *error);
/* As above with a time limit of the caller's for file and command. */
int credential_read_within(const char *source, int64_t wait_ms, struct mf_buf *out, struct mf_error *error);

#endif
