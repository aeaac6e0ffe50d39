/*
 * cmd/outlet.h - a stream whose writer never waits: a reader that is slow, or stopped, must not keep a run from its accounts
 *
 * What is written is queued and goes out in a thread of its own. Beyond OUTLET_BYTES_MAX of it the newest lines are dropped; the
 * stream's end says how many. Closing waits until the rest is out: everything else is over then.
 */
#ifndef MF_CMD_OUTLET_H
#define MF_CMD_OUTLET_H

#include <stdio.h>

#define OUTLET_BYTES_MAX (64u << 20) /* a run of 100,000 tasks says about 60 MiB */

struct outlet;

/* NULL when there is nothing to wait for (a file, /dev/null), or no thread or memory: then `fd`'s own stream is good enough. */
struct outlet *outlet_create(int fd);
FILE *outlet_stream(struct outlet *outlet);
void outlet_destroy(struct outlet *outlet); /* NULL is fine */

#endif
