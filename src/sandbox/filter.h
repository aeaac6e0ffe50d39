/*
 * sandbox/filter.h - the system calls that an agent has no business with
 *
 * A deny list over a ceiling: what is named here fails with its errno, every number that was not given out when this was
 * written fails as unknown, the rest is allowed. Agents run compilers, interpreters and test suites: an allow list of what
 * they may need breaks them, and what protects the host are the namespaces; the list takes away the kernel's corners that
 * namespaces do not cover, and everything that opens a namespace anew. Other instruction sets of the processor (i386, x32)
 * are unknown calls as a whole.
 */
#ifndef MF_SANDBOX_FILTER_H
#define MF_SANDBOX_FILTER_H

#include "base/error.h"

/* The filter as bubblewrap reads it, in an anonymous file that is sealed; the caller closes it. -1: *error says why. */
int filter_make(struct mf_error *error);

#endif
