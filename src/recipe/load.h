/* recipe/load.h - what the files of the loader share (private to recipe/) */
#ifndef MF_RECIPE_LOAD_H
#define MF_RECIPE_LOAD_H

#include "recipe/compiled.h"

#define RECIPE_COUNT(array) (sizeof(array) / sizeof *(array))
#define RECIPE_PROBLEMS_MAX 100u /* more are not reported: the file is of another kind */

struct recipe_loader {
    struct recipe *recipe;
    const struct json_document *document; /* the one that is being read: the recipe, or the shared permission table */
    const char *file_name;
    struct mf_buf *problems; /* may be NULL */
    struct mf_error *error;  /* may be NULL */
    uint32_t problem_count;
    bool no_memory;
};

/* --- load_basic.c: problems and typed values; all of them report and go on --- */

void recipe_problem(struct recipe_loader *loader, uint32_t node, const char *format, ...) __attribute__((format(printf, 3, 4)));
void *recipe_take(struct recipe_loader *loader, size_t count, size_t bytes);
char *recipe_copy(struct recipe_loader *loader, struct mf_span text); /* terminated; lives as long as the recipe */
/* The node is an object with no key but these (unknown ones are reported with the nearest). False when it is no object. */
bool recipe_keys(struct recipe_loader *loader, uint32_t node, const char *const *names, size_t count);
/* The member, or JSON_NONE after a problem. */
uint32_t recipe_required(struct recipe_loader *loader, uint32_t object, const char *name);
bool recipe_is(struct recipe_loader *loader, uint32_t node, enum json_kind kind);
/* A string of 1 to bytes_max bytes without control characters; NULL after a problem, and without one for JSON_NONE. */
const char *recipe_string(struct recipe_loader *loader, uint32_t node, size_t bytes_max);
/* A name of lower-case letters, digits, `_` and `-`, beginning with a letter. */
const char *recipe_name(struct recipe_loader *loader, uint32_t node);
bool recipe_name_valid(struct mf_span text);
struct mf_span recipe_pointer(struct recipe_loader *loader, uint32_t node); /* data NULL after a problem */
const char *recipe_header_name(struct recipe_loader *loader, uint32_t node); /* lower case */
bool recipe_header_is_own(const char *name); /* set by the client itself: host, content-length ... */
bool recipe_boolean(struct recipe_loader *loader, uint32_t node, bool otherwise);
int64_t recipe_number(struct recipe_loader *loader, uint32_t node, int64_t min, int64_t max, int64_t otherwise);
int64_t recipe_duration(struct recipe_loader *loader, uint32_t node, int64_t max_ms);
/* The index of the string in a list of names, or -1 after a problem that names the nearest. */
int recipe_choice(struct recipe_loader *loader, uint32_t node, const char *const *names, size_t count);
/* `, did you mean "x"?` or nothing; the text lives until the next call with the same room. */
const char *recipe_hint(struct mf_span wanted, const char *const *names, size_t count, char *room, size_t room_bytes);

/* --- template.c --- */

/* What a template may name at its place. */
struct recipe_place {
    struct recipe_operation *operation; /* NULL: none */
    uint32_t step;      /* slots of earlier steps only; RECIPE_NONE: in the result, all of them */
    uint32_t each;      /* LIST slot of {{item}}, or RECIPE_NONE */
    bool page;
    bool secrets;       /* a secret may stand here */
    bool permissions;   /* {{permissions}} may stand here, as a whole string */
    bool path;          /* values become path segments */
    bool grants;        /* {{ids}} */
    bool environment;   /* inject: {{base_url}}, account, secret, inputs */
    bool token;         /* {{token}} */
    bool origin;        /* {{base_origin}} */
};

/* Compiles a string node. False after a problem. */
bool recipe_template_load(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct recipe_template *out);
bool recipe_tree_load(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, struct recipe_tree *out);
bool recipe_pairs_load(struct recipe_loader *loader, const struct recipe_place *place, uint32_t node, bool headers, struct recipe_pairs *out);
bool recipe_reference_secret(const struct recipe *recipe, const struct recipe_operation *operation, struct recipe_reference reference);

/* --- load_operation.c, load_step.c, load_extract.c, load_outcome.c, load_check.c, permission.c --- */

void recipe_names_load(struct recipe_loader *loader);
void recipe_operation_load(struct recipe_loader *loader, enum recipe_op op);
void recipe_step_load(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t index, uint32_t node, uint32_t common_headers);
void recipe_extract_load(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t step, uint32_t node);
uint32_t recipe_list_load(struct recipe_loader *loader, struct recipe_operation *operation, uint32_t before, uint32_t node);
void recipe_outcomes_load(struct recipe_loader *loader, struct recipe_step *step, enum recipe_op op, uint32_t node);
bool recipe_match_load(struct recipe_loader *loader, uint32_t node, struct recipe_match *out);
void recipe_permissions_load(struct recipe_loader *loader, uint32_t node);
/* An array of rules. `everything`: a rule may begin with `**`. */
void recipe_rules_load(struct recipe_loader *loader, uint32_t node, bool everything, struct recipe_rules *out);
/* --- load_gateway.c, load_usage.c --- */
void recipe_gateway_load(struct recipe_loader *loader);
void recipe_gateway_check(struct recipe_loader *loader);
void recipe_usage_load(struct recipe_loader *loader);
const char *recipe_variable_name(struct recipe_loader *loader, uint32_t node);
void recipe_check(struct recipe_loader *loader);

/* Text of a shipped permission table; the empty span when there is none. */
struct mf_span recipe_shipped_table(const char *name);

/* --- url.c --- */

/* The literal parts of a path. */
const char *recipe_path_problem(struct mf_span path);

#endif
