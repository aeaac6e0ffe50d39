/*
 * document/graph.h - a task graph read from JSON: checked as a whole, kept compact
 *
 * Loading reports every mistake at once and resolves every name: tasks, edges, accounts and providers are arrays of numbers,
 * defaults are merged. What an attempt needs later (command, env, files, ...) stays in the JSON table and is read through the
 * accessors below; after a successful load these cannot meet a wrong type. Nothing here reads a file: paths are kept as
 * written, relative to the graph file, and are checked to stay below it.
 */
#ifndef MF_DOCUMENT_GRAPH_H
#define MF_DOCUMENT_GRAPH_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "document/diagnostics.h"
#include "json/scan.h"

#include <stdbool.h>
#include <stdint.h>

struct graph;

#define GRAPH_NONE UINT32_MAX

/* What holds when the file says nothing; the schema repeats these. */
#define GRAPH_TIMEOUT_MS (10 * 60 * 1000)
#define GRAPH_SETUP_TIMEOUT_MS (10 * 60 * 1000)
#define GRAPH_VERIFY_TIMEOUT_MS (5 * 60 * 1000)
#define GRAPH_GRACE_MS (10 * 1000)
#define GRAPH_ATTEMPTS 1
#define GRAPH_RUNNING 8
#define GRAPH_FOR_EACH_MAX 100000
#define GRAPH_OUTPUTS_BYTES_MAX (256ull << 20)
#define GRAPH_OUTPUTS_FILES_MAX 10000
#define GRAPH_FILES_BYTES_MAX (256ull << 20)
/* One argument or variable after expansion: Linux takes 128 KiB with the terminator (MAX_ARG_STRLEN). */
#define GRAPH_ARGUMENT_BYTES_MAX (120u << 10)
/* A prompt after expansion. */
#define GRAPH_PROMPT_BYTES_MAX (1u << 20)
/* Planted credentials: what a header of a client holds, and a handful of them. */
#define GRAPH_CANARY_BYTES_MIN 16
#define GRAPH_CANARY_BYTES_MAX 512
#define GRAPH_CANARIES_MAX 32
/* The JSON text of an evaluated for_each list. */
#define GRAPH_LIST_BYTES_MAX (64u << 20)
/* The text of a graph file. */
#define GRAPH_TEXT_BYTES_MAX (512ull << 20)

struct graph_setting { /* --set NAME=VALUE */
    struct mf_span name, value;
};

struct graph_options {
    const struct graph_setting *settings; /* replace values of `params`; each must be declared there */
    uint32_t setting_count;
    const char *provider; /* --provider: instead of the file's default; NULL: none */
    bool comments;        /* the file is a .jsonc */
};

/*
 * Loads and checks. The bytes of `text` are taken over, also on failure. `diagnostics` gets all errors and notes. -1 with
 * MF_INPUT naming the first error, or MF_MEMORY.
 */
int graph_load(struct graph **out, struct mf_buf *text, const struct graph_options *options, struct diagnostics *diagnostics,
               struct mf_error *error);
void graph_destroy(struct graph *graph); /* NULL is fine */

/* --- the file --- */

struct mf_span graph_text(const struct graph *graph);                  /* the bytes, for hashing and for the journal */
const struct json_document *graph_document(const struct graph *graph); /* every `node` below is one of this table */
struct mf_span graph_name(const struct graph *graph);                  /* empty when not given */
/* "canaries": planted credentials that nobody has a reason to use: array of strings, or JSON_NONE. */
uint32_t graph_canaries(const struct graph *graph);
uint32_t graph_labels(const struct graph *graph);                      /* object of strings or JSON_NONE */
bool graph_has_prepare(const struct graph *graph);                     /* some task has something to do before its spawn */
/* The value of a parameter as JSON after --set; the empty span when there is none of that name. */
struct mf_span graph_parameter(const struct graph *graph, struct mf_span name);

struct graph_limits {
    uint32_t running_max;
    uint32_t accounts_max;     /* 0: unlimited */
    int64_t run_timeout_ms;    /* 0: none */
    uint64_t outputs_bytes_max; /* per attempt */
    uint32_t outputs_files_max; /* per attempt */
    uint64_t files_bytes_max;  /* what may be copied into one workspace */
    uint32_t for_each_max;     /* instances of one template */
};
const struct graph_limits *graph_limits(const struct graph *graph);

#define GRAPH_CREDENTIALS(X) X(NONE, "none") X(ENV, "env") X(FILE, "file") X(COMMAND, "command")
enum graph_credential {
#define X(kind, name) GRAPH_CREDENTIAL_##kind,
    GRAPH_CREDENTIALS(X)
#undef X
};

struct graph_provider {       /* texts owned by the graph */
    const char *name;
    const char *recipe;       /* a shipped recipe's name, or a path when it holds a slash or ends with .json; `name` if not said */
    bool declared;            /* stands in `providers` */
    bool used;                /* some task has an account of it */
    uint32_t inputs;          /* node: object of strings, or JSON_NONE */
    enum graph_credential credential;
    const char *credential_source; /* ENV: variable, FILE: path as written; else NULL */
    uint32_t credential_command;   /* COMMAND: node, array of strings; else JSON_NONE */
};
uint32_t graph_provider_count(const struct graph *graph);
const struct graph_provider *graph_provider(const struct graph *graph, uint32_t provider);

/*
 * "services": {"anthropic": {"recipe": …, "credential": …, "inputs": …, "running": 10, "budget_usd": 50}}: upstreams whose key
 * the operator owns; a task uses one by "uses": ["anthropic"]. What a service shares with a provider is in `source`.
 */
struct graph_service {
    struct graph_provider source;
    uint32_t running_max;      /* requests in flight over all agents; 0: unlimited */
    int64_t budget_micro_usd;  /* -1: none */
};
uint32_t graph_service_count(const struct graph *graph);
const struct graph_service *graph_service(const struct graph *graph, uint32_t service);
int64_t graph_budget_micro_usd(const struct graph *graph); /* limits.budget_usd: of all services in the run; -1: none */
/* The services of a task, by index, in the order of `uses`. */
uint32_t graph_use_count(const struct graph *graph, uint32_t task);
uint32_t graph_use(const struct graph *graph, uint32_t task, uint32_t index);
int64_t graph_task_budget_micro_usd(const struct graph *graph, uint32_t task); /* "budget_usd" of each attempt, also in defaults; -1: none */

/* A task's object is laid over the default's, member by member. "sandbox": false | true | {"read": [...], "root": DIR, "memory": "2G", "pids": 512, "cpus": 1.5, "disk": "1G"}; also in defaults. */
struct graph_sandbox {
    bool off;
    uint32_t read;             /* node: array of absolute paths, or JSON_NONE */
    struct mf_span root;       /* empty: none; raw text without escapes is guaranteed */
    uint64_t memory_bytes, disk_bytes; /* 0: not said */
    uint32_t pids, cpu_millis;
};
struct graph_sandbox graph_sandbox(const struct graph *graph, uint32_t task);

/* "egress": ["host:port", "*.suffix:port", {"host": "host:port", "private": true}]; also in defaults, for tasks without a list. "!" stands before private ones. */
uint32_t graph_egress_count(const struct graph *graph, uint32_t task);
int graph_egress(const struct graph *graph, uint32_t task, uint32_t index, struct mf_buf *out); /* appends "host:port" or "!host:port" */

/* --- tasks: in the order of the file --- */

#define GRAPH_ONS(X) X(SUCCEEDED, "succeeded") X(FAILED, "failed") X(ENDED, "ended")
enum graph_on {
#define X(on, name) GRAPH_ON_##on,
    GRAPH_ONS(X)
#undef X
};

/* Failure classes that `retry.on` may name. */
#define GRAPH_CLASSES(X) X(AGENT, "agent") X(VERIFY, "verify") X(TIMEOUT, "timeout") X(SETUP, "setup")
enum graph_class {
#define X(class, name) GRAPH_CLASS_##class,
    GRAPH_CLASSES(X)
#undef X
};

#define GRAPH_RETAINS(X) X(NEVER, "never") X(ON_FAILURE, "on_failure") X(ALWAYS, "always")
enum graph_retain {
#define X(retain, name) GRAPH_RETAIN_##retain,
    GRAPH_RETAINS(X)
#undef X
};

struct graph_edge {    /* one entry of `needs` */
    uint32_t from;     /* task */
    uint32_t at_least; /* 0: not said; else a count, or a percentage when `percent` */
    uint8_t on;        /* enum graph_on */
    bool percent;
};

struct graph_slot {        /* one account that a task needs: `account`, or one entry of `accounts` */
    struct mf_span name;   /* key in `accounts`; "account" for the only one */
    uint32_t node;         /* its object */
    uint32_t permissions;  /* node: array, or JSON_NONE: nothing is allowed; see graph_permission */
    uint32_t provider;     /* index; of the lender for a borrowed one */
    uint32_t lender;       /* borrowed: task; else GRAPH_NONE */
    uint32_t lender_slot;  /* index among the lender's slots */
    bool keep_on_success;
    bool environment;      /* this one gets the recipe's `inject` variables: the first, or the one that says "env": true */
};

struct graph_profile { /* numbers that many tasks share */
    int64_t timeout_ms, setup_timeout_ms, verify_timeout_ms, grace_ms;
    uint32_t attempts_max;
    uint32_t retry_on; /* set of 1u << enum graph_class */
};

struct graph_task {
    struct mf_span name;
    uint32_t node;                     /* its object */
    uint32_t edge_first, edge_count;   /* in graph_edges */
    uint32_t slot_first, slot_count;   /* in graph_slots */
    uint32_t profile;                  /* in graph_profiles */
    uint32_t level;                    /* longest way from a task without needs: the wave of `plan` */
    uint8_t retain;                    /* enum graph_retain */
    bool for_each : 1;                 /* a template */
    bool prepare : 1;                  /* files, workspace or setup: something to do before the spawn */
    bool verify : 1;
    bool allow_failure : 1;
    bool stop_on_violation : 1;
    bool continue_workspace : 1;       /* retry.workspace = "continue" */
    bool no_sandbox : 1;               /* "sandbox": false */
};

uint32_t graph_task_count(const struct graph *graph);
const struct graph_task *graph_tasks(const struct graph *graph);
uint32_t graph_edge_count(const struct graph *graph);
const struct graph_edge *graph_edges(const struct graph *graph);
uint32_t graph_slot_count(const struct graph *graph);
const struct graph_slot *graph_slots(const struct graph *graph);
uint32_t graph_profile_count(const struct graph *graph);
const struct graph_profile *graph_profiles(const struct graph *graph);

/* The index of a task or GRAPH_NONE. */
uint32_t graph_find(const struct graph *graph, struct mf_span name);
/* All tasks, every task behind what it needs, by level and then by place in the file. */
const uint32_t *graph_order(const struct graph *graph);
uint32_t graph_level_count(const struct graph *graph);

/* --- the parts of a task, read when they are needed --- */

#define GRAPH_PARTS(X)                                                                                                 \
    X(COMMAND, "command")         /* array of strings; templates from the second on */                                 \
    X(ENV, "env")                 /* object of strings with templates */                                               \
    X(PASS_ENV, "pass_env")       /* array of names */                                                                 \
    X(FILES, "files")             /* array of relative paths; a directory may end with a slash */                      \
    X(COLLECT, "collect")         /* array of relative globs */                                                        \
    X(SETUP, "setup")             /* array of strings: the command, also when the file has the object form */          \
    X(VERIFY_COMMAND, "command")  /* of `verify`, as above */                                                          \
    X(VERIFY_ENV, "env")                                                                                               \
    X(VERIFY_FILES, "files")                                                                                           \
    X(VERIFY_PERMISSIONS, "permissions") /* see graph_permission; they hold for the slot with `environment` */         \
    X(LABELS, "labels")           /* object of strings */                                                              \
    X(DESCRIPTION, "description") /* string */                                                                         \
    X(FOR_EACH, "for_each")       /* array, or a string that is one template */                                        \
    X(KEY, "key")                 /* string with templates */                                                          \
    X(PROMPT, "prompt")           /* string with templates; JSON_NONE for a file */                                    \
    X(PROMPT_FILE, "file")        /* string: relative path; JSON_NONE for a text */
enum graph_part {
#define X(part, name) GRAPH_PART_##part,
    GRAPH_PARTS(X)
#undef X
    GRAPH_PART_COUNT
};
/* The node of a part or JSON_NONE. Lists are read with json_first and json_next, texts with json_text and the like. */
uint32_t graph_part(const struct graph *graph, uint32_t task, enum graph_part part);

struct graph_permission {
    struct mf_span name;
    uint32_t only; /* node: object parameter -> string with templates, or an array of them; JSON_NONE: not narrowed */
};
uint32_t graph_permission_count(const struct graph *graph, uint32_t permissions); /* 0 for JSON_NONE */
struct graph_permission graph_permission(const struct graph *graph, uint32_t permissions, uint32_t index);

/* --- rules that also hold at run time --- */

/* "[A-Za-z][A-Za-z0-9_-]{0,63}": tasks, accounts, parameters. */
bool graph_is_id(struct mf_span text);
/* "[A-Za-z0-9._-]{1,64}" but not "." and "..": keys of instances. */
bool graph_is_key(struct mf_span text);
/* Relative, not empty, no "..", no control character: NULL when fine, else what is wrong with it. */
const char *graph_path_fault(struct mf_span path);
/*
 * "host:port" of `egress`: a name in small letters, "*.suffix", four decimal parts or "[IPv6]", each in its one spelling; this
 * machine and private addresses only where they are asked for. NULL when fine, else what is wrong with it.
 */
const char *graph_egress_fault(struct mf_span text, bool private_allowed);
/* Absolute, in its shortest form, no place that every sandbox makes anew: NULL when fine, else what is wrong with it. */
const char *graph_host_path_fault(struct mf_span path);
/* A place to clone from and a ref: no option, no credential, no command transport. NULL when fine, else what is wrong. */
const char *graph_git_fault(struct mf_span url, struct mf_span ref);

#endif
