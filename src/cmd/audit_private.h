/* cmd/audit_private.h - the parts of mayfly audit */
#ifndef MF_CMD_AUDIT_PRIVATE_H
#define MF_CMD_AUDIT_PRIVATE_H

#include "report/audit.h"

/* --- audit_sources.c: what evidence is made from --- */

struct audit_sources {
    struct graph *graph;                 /* owned */
    struct evidence_provider *providers; /* owned, with their policies */
};
/* Of the run as its database tells it: nothing of today's recipes or files counts. */
int audit_sources_load(struct audit_sources *out, const char *state_path, const char *run, struct journal *journal,
                       struct mf_error *error);
void audit_sources_free(struct audit_sources *sources);

/* --- audit_print.c: for people --- */

/* One or two lines on the record: is it whole, how much of it is journaled. */
void audit_print_chain(const struct evidence *evidence, bool running);
int audit_print(const struct evidence *evidence, const struct least *least, const char *run, struct mf_error *error);

#endif
