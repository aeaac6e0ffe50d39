/*
 * recipe/compiled.h - a recipe as the loader leaves it: every name resolved, nothing to look up any more (private to recipe/)
 *
 * All of it lives in the recipe's arena and never changes after loading, so any number of executions may share it.
 */
#ifndef MF_RECIPE_COMPILED_H
#define MF_RECIPE_COMPILED_H

#include "http1/match.h"
#include "json/scan.h"
#include "recipe/arena.h"
#include "recipe/recipe.h"

#define RECIPE_NONE UINT32_MAX

#define RECIPE_TEXT_BYTES_MAX (1u << 20)      /* the file */
#define RECIPE_STEPS_MAX 16u                  /* of one operation; the longest shipped one has 14 */
#define RECIPE_NAMES_MAX 16u                  /* ids, secrets, inputs, values of one step: each */
#define RECIPE_HEADERS_MAX 24u                /* of one request */
#define RECIPE_PERMISSIONS_MAX HTTP1_PERMISSIONS_MAX
#define RECIPE_TOKEN_PLACES_MAX 4u           /* no client in use has more than two */
#define RECIPE_FORWARD_MAX 32u                /* further request headers */
#define RECIPE_REACH_MAX 16u
#define RECIPE_BENIGN_MAX 64u
#define RECIPE_TEMPLATE_BYTES_MAX 4096u       /* as written */
#define RECIPE_VALUE_BYTES_MAX 8192u          /* one value out of an answer: tokens are below 4 KiB */
#define RECIPE_BODY_BYTES_MAX (1u << 20)      /* of a request: the longest proof of work is 853,376 characters */
#define RECIPE_URL_BYTES_MAX 8192u
#define RECIPE_ROWS_OF_PAGE_MAX 256u          /* rows that one answer may add to a list */
#define RECIPE_ROWS_MAX 4096u                 /* rows of a list over all its pages */
#define RECIPE_TIMES_MAX 200u                 /* repeat */
#define RECIPE_RETRY_AFTER_MS_MAX 300000      /* a longer Retry-After is taken as this */

/* What stands between {{ and }}. */
enum recipe_source {
    RECIPE_SOURCE_TAG,
    RECIPE_SOURCE_OWNER_PREFIX,
    RECIPE_SOURCE_CREDENTIAL,
    RECIPE_SOURCE_RANDOM,
    RECIPE_SOURCE_EXPIRES_ON,
    RECIPE_SOURCE_PERMISSIONS,
    RECIPE_SOURCE_BASE_URL,
    RECIPE_SOURCE_BASE_ORIGIN, /* of the base URL: in reach */
    RECIPE_SOURCE_TOKEN,  /* the mark for the gateway's token: in a service's inject.environment */
    RECIPE_SOURCE_PAGE,   /* 1, 2, ... in a step with repeat */
    RECIPE_SOURCE_GRANTS, /* {{ids}} inside permissions.scopes */
    RECIPE_SOURCE_INPUT,  /* index: recipe->info.inputs */
    RECIPE_SOURCE_ID,     /* {{account.NAME}}; index: recipe->ids */
    RECIPE_SOURCE_SECRET, /* {{secret.NAME}}; index: recipe->secrets */
    RECIPE_SOURCE_SLOT,   /* {{STEP.NAME}}; index: operation->slots */
    RECIPE_SOURCE_ITEM,   /* {{item}} or {{item.FIELD}}; index: field of the list that for_each walks */
};

struct recipe_reference {
    enum recipe_source source;
    uint32_t index;
};

struct recipe_part { /* of a template: a literal, or a reference */
    struct mf_span literal;
    struct recipe_reference reference;
    bool is_reference;
};

struct recipe_template {
    struct recipe_part *parts;
    uint32_t count;
    bool whole; /* one reference and nothing else: keeps its JSON type */
};

struct recipe_pair {
    const char *name;
    struct recipe_template value;
};

struct recipe_pairs {
    struct recipe_pair *items;
    uint32_t count;
};

/* A JSON value whose strings and keys may be templates. */
struct recipe_tree {
    const struct json_document *document;
    uint32_t root;
    struct recipe_leaf {
        uint32_t node;
        struct recipe_template template;
    } *leaves; /* in document order */
    uint32_t leaf_count;
};

enum recipe_test {
    RECIPE_TEST_NONE,
    RECIPE_TEST_EQUALS,
    RECIPE_TEST_CONTAINS,
    RECIPE_TEST_FEWER_THAN, /* elements of an array */
};

struct recipe_condition { /* on the body (pointer) or on a header */
    enum recipe_test test;
    bool has_pointer;       /* false: the body as text */
    struct mf_span pointer;
    const char *header;     /* lower case */
    struct mf_span text;    /* EQUALS, CONTAINS: decoded text of a string, raw text of another scalar */
    enum json_kind kind;
    uint32_t number;
};

struct recipe_match { /* of an answer; every part that is given must hold */
    struct recipe_range {
        uint16_t first, last;
    } *statuses;
    uint32_t status_count;
    struct recipe_condition body, header;
};

struct recipe_outcome {
    struct recipe_match match;
    bool after_expiry, rate_limited;
    enum recipe_verdict verdict;
};

enum recipe_slot_kind { RECIPE_SLOT_POINTER, RECIPE_SLOT_HEADER, RECIPE_SLOT_LIST, RECIPE_SLOT_COMPUTED };

/* A value that a step leaves behind. */
struct recipe_slot {
    const char *name;
    uint32_t step;
    enum recipe_slot_kind kind;
    bool secret, optional, opaque;
    bool identifier;         /* used in a path or recorded: must look like an identifier unless opaque */
    struct mf_span pointer;  /* POINTER; LIST: of the array */
    const char *header;      /* lower case */
    enum recipe_test where;  /* LIST: NONE, EQUALS, CONTAINS (here: starts with) */
    struct mf_span where_pointer;
    struct recipe_template where_value;
    struct recipe_field {
        const char *name;    /* NULL: the row is the value, {{item}} */
        struct mf_span pointer;
        bool opaque, optional, identifier;
    } *fields;
    uint32_t field_count, rows_max;
};

struct recipe_repeat {
    struct recipe_match until;
    uint32_t every_ms, times_max; /* times_max 0: no repeat */
};

enum recipe_step_kind { RECIPE_STEP_HTTP, RECIPE_STEP_PROOF_OF_WORK, RECIPE_STEP_BASE64 };
enum recipe_body_kind { RECIPE_BODY_NONE, RECIPE_BODY_JSON, RECIPE_BODY_FORM };

struct recipe_step {
    const char *name;
    enum recipe_step_kind kind;
    uint32_t node;            /* in the document, for messages of later checks */
    const char *method;
    const char *path_text;    /* as written, for messages: never expanded */
    struct recipe_template path;
    struct recipe_pairs query, headers, form;
    enum recipe_body_kind body_kind;
    struct recipe_tree body;
    struct recipe_template with[3]; /* builtin: seed, k, g; or text */
    bool effect, go_on, undone_by_delete;
    uint32_t slot_first, slot_count;
    struct recipe_outcome *outcomes;
    uint32_t outcome_count;
    uint32_t for_each;        /* a LIST slot, or RECIPE_NONE */
    struct recipe_repeat repeat;
    struct recipe_reference *only_with; /* IDs and SECRETs without which the step is skipped */
    uint32_t only_with_count;
};

struct recipe_use { /* a reference that stands in a step: for the checks of the loader and of recipe_begin */
    struct recipe_reference reference;
    uint32_t step; /* RECIPE_NONE: in the result */
    uint32_t node;
    bool shared;   /* node is of the shared permission table */
};

struct recipe_operation {
    bool present;
    enum recipe_op op;
    uint32_t node;
    struct recipe_step *steps;
    uint32_t step_count;
    struct recipe_slot *slots;
    uint32_t slot_count;
    struct recipe_use *uses; /* growing array, owned by the operation */
    size_t use_count, use_capacity;
    /* FIND, LIST, CHECK: what was found */
    uint32_t rows;                 /* a LIST slot, or RECIPE_NONE: the whole answer is one account */
    struct recipe_template *ids;   /* one for each of recipe->ids; count 0: not given */
    struct recipe_template *secrets;
    struct recipe_template tag, created;
};

struct recipe_name { /* of a recorded id or secret */
    const char *name;
    uint32_t node;
    uint32_t known_after; /* steps of create that must have run */
    bool opaque;
    bool killed;          /* secret: revoke makes it useless */
    bool found;           /* id: find gives it too */
};

struct recipe_scope { /* of permissions: one policy */
    const char *name;
    struct recipe_tree policy;
};

struct recipe_rule { /* for the gateway: http1/match.h */
    const char *text;
    bool agent;  /* HTTP1_RULE_AGENT_CREDENTIAL */
    bool shared; /* HTTP1_RULE_SHARED */
    bool free;   /* HTTP1_RULE_FREE */
};

struct recipe_rules {
    struct recipe_rule *items;
    uint32_t count;
};

struct recipe_permission {
    const char *name;
    uint32_t *grants;        /* for each scope: node of an array in the table's document, or RECIPE_NONE */
    struct recipe_rules rules;
    const char **parameters;
    uint32_t parameter_count;
};

struct recipe_permissions {
    const struct json_document *document;
    struct recipe_scope *scopes; /* none: {{permissions}} is the flat list of grants */
    uint32_t scope_count;
    struct recipe_tree none;     /* root RECIPE_NONE: [] */
    struct recipe_permission *items;
    uint32_t count;
};

struct recipe_variable { /* of an agent's environment */
    const char *name;
    uint32_t input; /* whose value is the name; RECIPE_NONE: `name` is */
    struct recipe_template value;
};

struct recipe_gateway { /* what the gateway is told; see policy.c */
    struct recipe_variable *environment;
    uint32_t environment_count;
    struct recipe_template base_url; /* SERVICE: one input; count 0: info.base_url is fixed */
    struct recipe_template upstream; /* count 0: the base URL */
    const char *base_path;           /* "" or "/client/v4" */
    struct recipe_pairs headers;
    struct recipe_token_place {
        const char *header; /* lower case */
        const char *scheme; /* NULL: the token is the whole value */
    } *tokens;
    uint32_t token_count;
    const char **forward; /* lower case */
    uint32_t forward_count;
    const char *refusal_type;
    struct mf_span refusal_body; /* with {{code}} and {{message}}; data NULL: none */
    struct mf_span hand_on;      /* pointer; data NULL: none */
    struct recipe_template *reach;
    uint32_t reach_count;
    struct recipe_rules benign;
    struct recipe_rules open;    /* SERVICE: what every task that uses it may do */
    uint32_t usage, prices;      /* nodes, or JSON_NONE */
    const char *price_date;
};

struct recipe {
    struct recipe_info info;
    struct recipe_arena arena;
    char *text;                        /* owned by the arena */
    size_t text_length;
    struct json_document document;     /* over text */
    struct json_document shared;       /* over a shipped permission table */
    struct recipe_operation operations[RECIPE_OP_COUNT];
    struct recipe_name ids[RECIPE_NAMES_MAX], secrets[RECIPE_NAMES_MAX];
    uint32_t id_count, secret_count;
    struct mf_span error_code;         /* pointer; data NULL: none */
    struct recipe_template expires, claim_url, claim_expires;
    struct recipe_permissions permissions;
    struct recipe_gateway gateway;
    bool asks_expiry;                  /* create uses {{expires_on}} */
};

/* --- checked at load and, where a value comes in, again when it is expanded --- */

/* "https://host:1" of a URL; the empty span when it is none. */
struct mf_span recipe_origin_of(struct mf_span url);
/* Why an origin of `reach` cannot be used; NULL when it can. */
const char *recipe_reach_problem(struct mf_span origin);
/* What the name of a variable may be; the program's own and the loader's are not for recipes. NULL: it may be one. */
const char *recipe_variable_problem(struct mf_span name);

#endif
