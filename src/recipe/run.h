/* recipe/run.h - one execution: values so far, and what the parts of the step machine share (private to recipe/) */
#ifndef MF_RECIPE_RUN_H
#define MF_RECIPE_RUN_H

#include "recipe/compiled.h"

/* A value that came out of an answer or of the journal; every one is treated as a secret in memory. */
struct recipe_cell {
    char *text; /* owned, wiped */
    size_t length;
    enum json_kind kind; /* STRING, NUMBER, TRUE, FALSE */
    bool present;
};

struct recipe_rows { /* a list: rows of field_count cells */
    struct recipe_cell *cells; /* owned */
    size_t capacity;
    uint32_t count;
    bool cut; /* there was more */
};

#define CLOCKS_AGREE_MS 2000 /* a Date header has whole seconds and travelled */

/* Everything that a reference can lead to. */
struct recipe_scope_of_values {
    const struct recipe *recipe;
    const struct recipe_operation *operation; /* NULL: inject */
    const struct recipe_vars *vars;
    struct recipe_cell ids[RECIPE_NAMES_MAX], secrets[RECIPE_NAMES_MAX];
    struct recipe_cell *slots;  /* operation->slot_count */
    struct recipe_rows *lists;  /* operation->slot_count */
    uint32_t each, row;         /* the list that {{item}} walks and the row it stands on */
    uint32_t page;
    char expires_on[32];
    char page_text[12];
};

struct recipe_view { /* what a reference leads to */
    struct mf_span text;
    enum json_kind kind;
    bool present;
};

enum recipe_place_kind { RECIPE_IN_PATH, RECIPE_IN_QUERY, RECIPE_IN_FORM, RECIPE_IN_HEADER, RECIPE_IN_TEXT };

/* Why an expansion failed: constant text and the name of the value. */
struct recipe_why {
    const char *text;
    char name[80];
};

struct recipe_exec {
    const struct recipe *recipe;
    const struct recipe_operation *operation;
    struct recipe_vars vars;
    struct recipe_scope_of_values values;
    enum { RECIPE_AT_START, RECIPE_AT_HTTP, RECIPE_AT_PROOF, RECIPE_AT_WAIT, RECIPE_AT_COMMIT, RECIPE_AT_END } at;
    uint32_t step, times;        /* times: answers of a repeated step; the row of a for_each is values.row */
    bool finished;               /* no further step: the result is to be settled */
    bool commit_due, wait_due;
    bool effect_done;            /* create: something exists that has a name */
    bool names_lost;             /* no memory for an id or a secret: what was made cannot be told in full */
    bool cut;                    /* a repeat ended before its `until` */
    bool row_failed;             /* in the current for_each */
    bool any;                    /* `worst` holds something */
    enum recipe_verdict worst;   /* revoke, delete: of the effects so far; else of the step that ended it */
    int reason_rank;             /* of the verdict that result.reason is about */
    int64_t offset_ms;           /* the provider's clock minus ours */
    int64_t received_ms;
    struct mf_buf url, body, headers_text, ids_json, secrets_json, claim_url, found;
    struct recipe_value headers[RECIPE_HEADERS_MAX + 2];
    struct recipe_found {
        size_t ids_at, ids_length, tag_at, tag_length;
        int64_t created_ms;
    } *founds; /* owned */
    size_t found_capacity;
    struct recipe_result result;
};

struct recipe_answer { /* one reply with its body scanned */
    const struct recipe_reply *reply;
    struct json_document document;
    bool parsed;
};

/* --- expand.c --- */

/* {{expires_on}} by a clock that is so far from ours. */
void recipe_values_clock(struct recipe_scope_of_values *values, int64_t offset_ms);
void recipe_values_init(struct recipe_scope_of_values *values, const struct recipe *recipe, const struct recipe_operation *operation,
                        const struct recipe_vars *vars);
void recipe_values_free(struct recipe_scope_of_values *values);
/* Ids and secrets that the journal kept. -1 when the text is no such object, or without memory. */
int recipe_values_read(struct recipe_scope_of_values *values, struct mf_error *error);
int recipe_cell_set(struct recipe_cell *cell, struct mf_span text, enum json_kind kind);
void recipe_cell_clear(struct recipe_cell *cell);
struct recipe_view recipe_resolve(const struct recipe_scope_of_values *values, struct recipe_reference reference);
/* The template's value for its place, appended and escaped. -1 with *why. */
int recipe_expand(const struct recipe_scope_of_values *values, const struct recipe_template *template, enum recipe_place_kind place,
                  struct mf_buf *out, struct recipe_why *why);
/* True when the template is one reference and that has no value now: the member that holds it is left out. */
bool recipe_is_absent(const struct recipe_scope_of_values *values, const struct recipe_template *template);
bool recipe_is_identifier(struct mf_span text); /* [A-Za-z0-9_-]{1,128} */

/* --- body.c --- */

int recipe_tree_expand(const struct recipe_scope_of_values *values, const struct recipe_tree *tree, struct mf_buf *out, struct recipe_why *why);

/* --- exec_request.c --- */

int recipe_request_build(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_request *out, struct recipe_why *why);
int recipe_proof_build(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_proof *out, struct recipe_why *why);
int recipe_base64_run(struct recipe_exec *exec, const struct recipe_step *step, struct recipe_why *why);

/* --- outcome.c --- */

int recipe_answer_read(struct recipe_answer *answer, const struct recipe_reply *reply);
void recipe_answer_free(struct recipe_answer *answer);
bool recipe_matches(const struct recipe_match *match, const struct recipe_answer *answer);
enum recipe_verdict recipe_verdict_of(const struct recipe_exec *exec, const struct recipe_step *step, const struct recipe_answer *answer,
                                      bool *rate_limited);
struct mf_span recipe_reply_header(const struct recipe_reply *reply, const char *name, uint32_t index);

/* --- exec_answer.c --- */

/* Takes the step's values out of an answer. False when one is missing or malformed: *why names it. */
bool recipe_extract(struct recipe_exec *exec, const struct recipe_step *step, const struct recipe_answer *answer, struct recipe_why *why);

/* --- exec_result.c --- */

/* Fills ids_json and secrets_json from what is known now; true when there is at least one id. */
bool recipe_settle_names(struct recipe_exec *exec);
/* The final result for a verdict; the reason is set by the caller. */
void recipe_settle(struct recipe_exec *exec, enum recipe_verdict verdict);

#endif
