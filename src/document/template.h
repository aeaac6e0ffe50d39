/*
 * document/template.h - {{path}} in a task graph: where it may stand, what it may name, and its expansion
 *
 * One pass: what a template expands to is never looked at again. "{{{{" stands for "{{". A path is a root and steps, with
 * dots between: names of members and indexes of elements.
 *
 *   params.NAME...      a parameter of the graph, after --set
 *   item...             the element of for_each
 *   key                 the instance's key
 *   run.id  task.name   "k3v9x0q2m1ab"  "deploy/web"
 *   TASK.result...      what a task wrote to $MAYFLY_RESULT; of a for_each task: an array in list order, null where it failed
 *
 * In a text a string stands as it is and any other value as compact JSON. A string that is one template as a whole keeps the
 * value's type where the place takes JSON (for_each, elements of a list).
 */
#ifndef MF_DOCUMENT_TEMPLATE_H
#define MF_DOCUMENT_TEMPLATE_H

#include "document/graph.h"

#define TEMPLATE_ROOTS(X)                                                                                              \
    X(PARAMS, "params")                                                                                                \
    X(ITEM, "item")                                                                                                    \
    X(KEY, "key")                                                                                                      \
    X(RUN, "run")                                                                                                      \
    X(TASK, "task")                                                                                                    \
    X(RESULT, "result") /* the first step is the task's name */
enum template_root {
#define X(root, name) TEMPLATE_##root,
    TEMPLATE_ROOTS(X)
#undef X
};

/* What the templates of one task or instance stand for. Unset members are an error where a template names them. */
struct template_values {
    struct mf_span item_json; /* JSON text */
    struct mf_span key;
    struct mf_span run_id;
    struct mf_span task_name; /* "deploy" or "deploy/web" */
    /*
     * Appends the JSON of a task's result, "null" where it succeeded without one or where its failure is allowed. -1 with an
     * error that names the task when there can be none. The buffer has room for GRAPH_LIST_BYTES_MAX.
     */
    int (*result)(void *context, uint32_t task, struct mf_buf *json_out, struct mf_error *error);
    void *context;
};

/*
 * Expands a text (already decoded). The buffer's maximum bounds the result: when it is passed, MF_LIMIT naming `limit_name`
 * ("argument_bytes_max"). A missing value is MF_NOT_FOUND and names template and producer.
 */
int template_expand(const struct graph *graph, struct mf_span text, const struct template_values *values, struct mf_buf *out,
                    const char *limit_name, struct mf_error *error);
/* As template_expand, for a string node of the graph. */
int template_expand_node(const struct graph *graph, uint32_t node, const struct template_values *values, struct mf_buf *out,
                         const char *limit_name, struct mf_error *error);
/* Appends a node as JSON with all templates in its strings expanded; a whole-string template gives the value itself. */
int template_expand_json(const struct graph *graph, uint32_t node, const struct template_values *values, struct mf_buf *out,
                         struct mf_error *error);

/*
 * Appends a command (node: array of strings) as NUL-terminated arguments one behind the other, and counts them. Each is at
 * most GRAPH_ARGUMENT_BYTES_MAX; an argument with a NUL is refused.
 */
int template_expand_command(const struct graph *graph, uint32_t node, const struct template_values *values, struct mf_buf *out,
                            uint32_t *count, struct mf_error *error);
/* Appends variables (node: object of strings, or JSON_NONE for none) as "NAME=VALUE" texts, each NUL-terminated. */
int template_expand_env(const struct graph *graph, uint32_t node, const struct template_values *values, struct mf_buf *out,
                        uint32_t *count, struct mf_error *error);
/*
 * Calls `take` for every value of an `only` object (node, or JSON_NONE for none) with its templates expanded: "script", "svc-a".
 * A parameter with several values is given once for each: any of them is meant. Ends with the first -1 of `take`.
 */
int template_expand_only(const struct graph *graph, uint32_t node, const struct template_values *values,
                         int (*take)(void *context, struct mf_span name, struct mf_span value, struct mf_error *error),
                         void *context, struct mf_error *error);

#define GRAPH_WORKSPACES(X) X(EMPTY, "empty") X(COPY, "copy") X(GIT, "git")
enum graph_workspace_kind {
#define X(kind, name) GRAPH_WORKSPACE_##kind,
    GRAPH_WORKSPACES(X)
#undef X
};
struct graph_workspace {
    enum graph_workspace_kind kind;
    char *location; /* owned; COPY: relative directory, GIT: where to clone from; NULL when EMPTY */
    char *ref;      /* owned; GIT: "HEAD" when not said */
};
/* Expands and checks `workspace` of a task. Free it with graph_workspace_free. */
int graph_workspace(const struct graph *graph, uint32_t task, const struct template_values *values,
                    struct graph_workspace *out, struct mf_error *error);
void graph_workspace_free(struct graph_workspace *workspace);

/*
 * Checks the templates of a text that is not in the graph file, such as a prompt file: syntax, and that every path may stand
 * in a prompt of this task. Errors go to `diagnostics` with places in `text`. -1 when there is one.
 */
int template_check_prompt(const struct graph *graph, uint32_t task, struct mf_span text, struct diagnostics *diagnostics,
                          struct mf_error *error);

/* --- for_each --- */

struct graph_list; /* an evaluated list: elements and their keys, in order */

/*
 * Evaluates for_each and key of a template task. `values` needs run_id and result; item and key are ignored. Errors name the
 * task and the element: not an array, more than limits.for_each, a bad key, a key twice.
 */
int graph_list_evaluate(struct graph_list **out, const struct graph *graph, uint32_t task,
                        const struct template_values *values, struct mf_error *error);
/* The same from the text of a list that was evaluated before (graph_list_json), as after a restart. */
int graph_list_from_json(struct graph_list **out, const struct graph *graph, uint32_t task, struct mf_span json,
                         const struct template_values *values, struct mf_error *error);
void graph_list_destroy(struct graph_list *list); /* NULL is fine */
uint32_t graph_list_count(const struct graph_list *list);
struct mf_span graph_list_key(const struct graph_list *list, uint32_t index);  /* "web" */
struct mf_span graph_list_item(const struct graph_list *list, uint32_t index); /* JSON text, for template_values */
struct mf_span graph_list_json(const struct graph_list *list);                 /* the whole list, for its hash */

#endif
