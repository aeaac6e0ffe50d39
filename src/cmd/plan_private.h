/* cmd/plan_private.h - the figures of a plan, made in plan.c, printed in plan_print.c */
#ifndef MF_CMD_PLAN_PRIVATE_H
#define MF_CMD_PLAN_PRIVATE_H

#include "document/graph.h"
#include "recipe/recipe.h"

struct plan {
    struct recipe **recipes; /* by provider; NULL where it is not used; owned */
    struct recipe **services; /* by service; the same */
    uint32_t *before;        /* by task: the one before it on its longest way; owned */
    uint32_t critical_last;
    int64_t critical_ms;
    uint32_t accounts, agents, running;
    bool accounts_open_ended, agents_open_ended; /* plus those of lists that are not known yet */
    double hashes_per_second, proof_ms_each, proof_ms, budget_ms, create_ms;
};

/* Instances of a task, as far as the file tells; *known false: the list comes from a result. */
uint32_t plan_instances(const struct graph *graph, uint32_t task, bool *known);
/* plan_guard.c */
void plan_print_permissions(const struct graph *graph, const struct plan *plan);
void plan_print_rules(const struct graph *graph, const struct plan *plan);
void plan_print_walls(const struct graph *graph, const struct plan *plan);
struct json_writer;
void plan_json_slot(struct json_writer *writer, const struct graph *graph, const struct plan *plan, uint32_t task,
                    const struct graph_slot *slot);
void plan_json_task(struct json_writer *writer, const struct graph *graph, uint32_t task);
void plan_json_services(struct json_writer *writer, const struct graph *graph, const struct plan *plan);

void plan_print(const struct graph *graph, const struct plan *plan);
void plan_print_json(const struct graph *graph, const struct plan *plan);

#endif
