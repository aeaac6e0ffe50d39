/*
 * report/least.h - the smallest permission lists that would have sufficed, as a change of the graph
 *
 * For every list of permissions in the graph: the fewest rules that allow what the log shows to have been done with it. Lists of
 * verify and of borrowers stay within those that they must lie in. A list of a task of which no instance succeeded is left
 * alone: what it did is no evidence of what it needs.
 */
#ifndef MF_REPORT_LEAST_H
#define MF_REPORT_LEAST_H

#include "report/evidence.h"

struct least;

struct least_options {
    bool refused; /* also what was refused for want of a permission; tasks that did not succeed, too */
};

struct least_change {
    uint32_t task, slot;
    bool verify;
    uint32_t node;          /* of the list; JSON_NONE: the account has none, and one goes into `object` */
    uint32_t object;        /* the account, or `verify` */
    const char *const *elements; /* JSON text of each */
    uint32_t element_count;
    const char *taken, *added;   /* names, with commas between; "" for none */
};

int least_create(struct least **out, const struct evidence *evidence, const struct least_options *options,
                 struct mf_error *error);
void least_destroy(struct least *least); /* NULL is fine */
uint32_t least_count(const struct least *least); /* lists that would change */
const struct least_change *least_change(const struct least *least, uint32_t index);
/* Tasks with permissions that could not be judged, because nothing of them succeeded. */
uint32_t least_unjudged(const struct least *least);

/* A unified diff of the graph's text; `name` stands in its head. Empty when there is no change. */
int least_diff(const struct least *least, const char *name, struct mf_buf *out, struct mf_error *error);
/* A JSON patch (RFC 6902): an array. */
struct json_writer;
int least_json_patch(const struct least *least, struct json_writer *writer, struct mf_error *error);

#endif
