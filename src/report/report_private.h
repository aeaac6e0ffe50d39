/* report/report_private.h - what the writers share: how each attempt of a task ended */
#ifndef MF_REPORT_REPORT_PRIVATE_H
#define MF_REPORT_REPORT_PRIVATE_H

#include "base/buf.h"
#include "report/report.h"

struct report_node {
    int64_t first_ms, last_ms; /* first intent of an attempt, final state; core time */
    char *reason;              /* owned; of the last failure, or NULL */
};

struct report {
    char *path; /* owned; JUnit */
    FILE *out;  /* not owned; GitHub */
    struct report_node *nodes;
    size_t node_capacity;
    void (*write)(struct report *report, struct app *app, const struct app_receipt *receipt);
};

const struct report_node *report_node_of(struct report *report, uint32_t node); /* never NULL; zeros when nothing is known */
/* "failed (agent): exit 1": state, class and reason of a node; appended raw, not escaped. */
void report_outcome(struct report *report, struct app *app, uint32_t node, struct mf_buf *out);
/* True for failures that are not the agent's: provisioning, infrastructure. */
bool report_is_error(const struct core_node_view *view);

#endif
