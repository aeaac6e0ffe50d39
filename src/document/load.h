/* document/load.h - the parts of the graph loader (private to document/) */
#ifndef MF_DOCUMENT_LOAD_H
#define MF_DOCUMENT_LOAD_H

#include "document/graph_private.h"
#include "document/template.h"

/* Ranges that the schema repeats. */
#define LOAD_DURATION_MS_MAX (INT64_C(30) * 24 * 60 * 60 * 1000)
#define LOAD_ATTEMPTS_MAX 100
#define LOAD_RUNNING_MAX 100000
#define LOAD_ACCOUNTS_MAX 100000
#define LOAD_FOR_EACH_MAX 1000000
#define LOAD_FILES_MAX 1000000
#define LOAD_BYTES_MAX (1ull << 40)
#define LOAD_PROVIDERS_MAX 100
#define LOAD_PARAMETERS_MAX 1000
#define LOAD_SLOTS_MAX 16
#define LOAD_PERMISSIONS_MAX 500
#define LOAD_SERVICES_MAX 32 /* as many as one agent may use */
#define LOAD_ONLY_VALUES_MAX 100
#define LOAD_READ_MAX 64
#define LOAD_EGRESS_MAX 256

struct loader_loan { /* an account that is borrowed, resolved when all tasks are read */
    uint32_t slot, task;
    uint32_t from; /* node */
};

#define PROFILE_CACHE 1024 /* profiles that are found again; a further one may be stored twice, which is harmless */

struct loader {
    struct graph *graph;
    const struct json_document *document;
    const struct graph_options *options;
    struct diagnostics *diagnostics;
    bool no_memory;
    bool ordered; /* there is no cycle: levels can be trusted */

    struct graph_profile profile; /* of `defaults` */
    uint8_t retain;
    bool keep_on_success;
    bool stop_on_violation;
    bool continue_workspace;
    bool no_sandbox;
    uint32_t tasks;            /* node */
    uint32_t provider;         /* node of the default's name, or JSON_NONE */
    uint32_t default_provider; /* index once it was asked for */

    struct loader_loan *loans; /* owned */
    size_t loan_count, loan_capacity;
    uint32_t *seen_in; /* owned; by task: a mark of the last task whose needs name it, or of the last walk */
    uint32_t stamp;    /* the last mark */
    uint32_t profile_cache[PROFILE_CACHE]; /* index + 1 */
    uint64_t near_left;                    /* names that may still be compared for suggestions */
    uint64_t walk_left;                    /* edges that may still be walked for ancestors */
};

/* --- fields.c: saying what is wrong, and readers of single values --- */

void load_fail(struct loader *loader, uint32_t node, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* With a suggestion: a whole phrase or NULL. */
void load_fail_hint(struct loader *loader, uint32_t node, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* At `skip` bytes behind the start of the node; `secret` hides the source line. */
void load_fail_at(struct loader *loader, uint32_t node, uint32_t skip, bool secret, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void load_note(struct loader *loader, uint32_t node, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "did you mean `x`?" into `room`, or "" when no name is near. Returns room. */
#define LOAD_HINT_BYTES 160
const char *load_hint(char room[LOAD_HINT_BYTES], struct mf_span wanted, const char *const *names, size_t count);

typedef void load_reader(struct loader *loader, uint32_t node, void *target);
struct load_field {
    const char *name;
    load_reader *read;
};
/* Reads an object through a table; an unknown key is an error with the nearest name. False when it is no object. */
bool load_object(struct loader *loader, uint32_t node, const struct load_field *fields, size_t count, void *target);
#define LOAD_OBJECT(loader, node, fields, target)                                                                      \
    load_object(loader, node, fields, sizeof(fields) / sizeof(fields)[0], target)

load_reader load_ignore;        /* $schema */
load_reader load_description;   /* any string */
load_reader load_labels;        /* object of strings */

bool load_expect(struct loader *loader, uint32_t node, enum json_kind kind);
/* A string without escapes, as every name is; false after an error. */
bool load_name(struct loader *loader, uint32_t node, struct mf_span *out);
/* As load_name, and an id; `what` is "task id". */
bool load_id(struct loader *loader, uint32_t node, const char *what, struct mf_span *out);
bool load_duration(struct loader *loader, uint32_t node, int64_t *out_ms);
bool load_count(struct loader *loader, uint32_t node, uint32_t min, uint32_t max, uint32_t *out);
bool load_bytes(struct loader *loader, uint32_t node, uint64_t *out);
bool load_flag(struct loader *loader, uint32_t node, bool *out);
/* A decimal number as a whole number of units of 10^-digits; -1 when it is none, has more digits or does not fit. */
int load_parse_decimal(struct mf_span text, unsigned digits, int64_t *out);
bool load_decimal(struct loader *loader, uint32_t node, unsigned digits, int64_t min, int64_t max, int64_t *out);
/* One of some names; sets *out to its index. */
bool load_choice(struct loader *loader, uint32_t node, const char *const *names, size_t count, uint32_t *out);
/* False after an error when "{{" stands in a place where it is never expanded. */
bool load_without_template(struct loader *loader, uint32_t node);
/* Calls `check` for every element, after an error for what is no string. False when it is no array. */
bool load_strings(struct loader *loader, uint32_t node, void (*check)(struct loader *, uint32_t element));
void load_check_path(struct loader *loader, uint32_t node); /* an element: relative path without template */
void load_command(struct loader *loader, uint32_t node, bool templates); /* array of at least one string */
load_reader load_env;                                                    /* object NAME -> string */
load_reader load_pass_env;                                               /* array of names */
bool load_grow(struct loader *loader, void **array, size_t *capacity, size_t needed, size_t element_bytes);

/* --- top.c and providers.c: everything but the tasks --- */

void load_top(struct loader *loader);
/* Settles --set against `params`. */
void load_settings(struct loader *loader);
load_reader load_providers; /* no target */
/* Readers of members that providers and services share; target: struct graph_provider. */
load_reader load_recipe, load_inputs, load_credential;
/* Makes an entry that owns its name; false after an error. */
bool load_source(struct loader *loader, struct mf_span name, struct graph_provider *out);
/* The index of a provider by name (of a string node), added when it is new; GRAPH_NONE after an error. */
uint32_t load_provider(struct loader *loader, uint32_t node);
/* The provider of an account that names none; an error at `node` when there is no default. */
uint32_t load_default_provider(struct loader *loader, uint32_t node);
/* Readers that `defaults` and tasks share; target: struct graph_profile. */
load_reader load_timeout, load_grace, load_attempts;
struct load_retry {
    uint32_t *retry_on;
    bool *continue_workspace;
};
load_reader load_retry;        /* target: struct load_retry */
load_reader load_retain;       /* target: uint8_t */
load_reader load_keep;         /* target: bool */
load_reader load_on_violation; /* target: bool */

/* --- services.c --- */

load_reader load_services; /* no target */
void load_uses(struct loader *loader, uint32_t node);
bool load_usd(struct loader *loader, uint32_t node, int64_t *out_micro_usd);
/* When all tasks are read. */
void load_settle_services(struct loader *loader);

/* --- walls.c: sandbox and egress --- */

/* Checks `sandbox`; false after an error. */
bool load_sandbox(struct loader *loader, uint32_t node, bool *off);
load_reader load_egress; /* no target */

/* --- tasks.c: the tasks --- */

void load_tasks(struct loader *loader);

/* --- accounts.c: accounts, permissions, loans --- */

load_reader load_account;     /* target: struct graph_task */
load_reader load_accounts;    /* target: struct graph_task */
load_reader load_permissions; /* no target: checks the array */
/* When all tasks are read: loans and the permissions of `verify`. */
void load_settle_accounts(struct loader *loader);

/* --- edges.c: names, needs, order --- */

void load_names(struct loader *loader);
/* The task that a string node names; GRAPH_NONE after an error with a suggestion. */
uint32_t load_task_of(struct loader *loader, uint32_t node, struct mf_span name);
void load_needs(struct loader *loader, uint32_t node, uint32_t task);
/* Topological order and levels, then `ordered` is set; or an error for every cycle. */
void load_order(struct loader *loader);
/* Edges that may be walked to find out whether one task stands before another, over the whole graph. */
#define LOAD_WALK_EDGES_MAX 100000000
/* Makes ready for load_is_ancestor. */
void load_begin_walks(struct loader *loader);
/* True when `task` needs `other`, directly or through others. */
bool load_is_ancestor(struct loader *loader, uint32_t task, uint32_t other, bool *too_far);

/* --- places.c: templates and where they stand --- */

void load_check_templates(struct loader *loader);

#endif
