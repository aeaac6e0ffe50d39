/*
 * recipe/recipe.h - a provider in one file: compiled from JSON, executed as a step machine
 *
 * No provider's name stands in C. A recipe says, for each operation, which requests to send, what to take from the answers and
 * what an answer means (one of five verdicts). Loading resolves everything: an error names file, position, pointer and the
 * nearest known name. Executing is pure: the caller sends what `recipe_next` wants and hands the reply back.
 *
 * src/recipe/README.md documents the format; the shipped recipes are its examples.
 */
#ifndef MF_RECIPE_RECIPE_H
#define MF_RECIPE_RECIPE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct recipe;
struct recipe_exec;

#define RECIPE_OPS(X) X(CREATE, "create") X(FIND, "find") X(CHECK, "check") X(REVOKE, "revoke") X(DELETE, "delete") X(LIST, "list")
enum recipe_op {
#define X(op, name) RECIPE_##op,
    RECIPE_OPS(X)
#undef X
    RECIPE_OP_COUNT
};

#define RECIPE_VERDICTS(X)                                                                                             \
    X(SUCCESS, "success") /* it happened */                                                                            \
    X(GONE, "gone")       /* it is not there */                                                                        \
    X(RETRY, "retry")     /* it did not happen, try later */                                                           \
    X(REFUSED, "refused") /* it will not happen */                                                                     \
    X(UNKNOWN, "unknown") /* it may have happened */
enum recipe_verdict {
#define X(verdict, name) RECIPE_VERDICT_##verdict,
    RECIPE_VERDICTS(X)
#undef X
};

enum recipe_kind { RECIPE_KIND_ACCOUNT, RECIPE_KIND_CREDENTIAL, RECIPE_KIND_SERVICE };

/* --- loading --- */

/* Text is copied. Every problem is reported: `problems` (may be NULL) gets one line each, *error the first. */
int recipe_load(struct recipe **out, struct mf_span text, const char *file_name, struct mf_buf *problems, struct mf_error *error);
void recipe_destroy(struct recipe *recipe); /* NULL is fine */
/* A shipped recipe's text by name; the empty span when there is none. recipe_shipped_name(i) is NULL behind the last. */
struct mf_span recipe_shipped(const char *name);
const char *recipe_shipped_name(uint32_t index);

struct recipe_terms {
    const char *title, *url;
};
struct recipe_info { /* views into the recipe */
    const char *name, *description;
    enum recipe_kind kind;
    const char *base_url, *base_url_env;
    bool base_url_input;       /* SERVICE: base_url is the template of an input; recipe_upstream tells where it is */
    bool emulated;             /* without base_url_env set, a run starts an emulator of its own for it */
    const struct recipe_terms *terms;
    uint32_t terms_count;
    const char *const *inputs; /* names of operator values that must be given */
    uint32_t inputs_count;
    bool needs_credential;     /* the operator's credential stands in a request */
    uint32_t creating_max, deleting_max, creates_per_minute; /* 0: unlimited */
    uint32_t requests_per_window, window_ms; /* the provider's request budget, e.g. 1200 in 300000; 0: unlimited */
    int64_t lifetime_ms;       /* 0: never */
    int64_t consistency_ms;
    bool has[RECIPE_OP_COUNT];
    bool delete_ends_expiring; /* delete.ends = "expiring" */
    bool lists_created;        /* `list` says when each account was made */
    bool has_claim;
    bool has_proof_of_work;
    bool scoped_tokens;        /* the provider enforces the permissions; else `not enforced` is printed */
};
const struct recipe_info *recipe_info(const struct recipe *recipe);
/* SHA-256 hex of the text is made by the caller; this is the text. */
struct mf_span recipe_text(const struct recipe *recipe);

/* Permission names, for checks and suggestions. NULL behind the last. */
const char *recipe_permission_name(const struct recipe *recipe, uint32_t index);
bool recipe_has_permission(const struct recipe *recipe, struct mf_span name);
/* Parameters that a permission can be narrowed by ("script"); NULL behind the last. */
const char *recipe_permission_parameter(const struct recipe *recipe, struct mf_span name, uint32_t index);
/* The gateway rules of a permission as text "GET /accounts/{account}/workers/scripts", for `plan` and the gateway. */
const char *recipe_permission_rule(const struct recipe *recipe, struct mf_span name, uint32_t index);

/* --- executing --- */

struct recipe_value {
    struct mf_span name, value;
};

struct recipe_vars {
    enum recipe_op op;
    struct mf_span base_url;          /* without a trailing slash */
    struct mf_span tag;               /* mayfly-<owner>-<run>-<n> */
    struct mf_span owner_prefix;      /* LIST: "mayfly-<owner>-" */
    struct mf_span credential;        /* the operator's; secret */
    struct mf_span random;            /* CREATE: 32 or more URL-safe characters, fresh for each execution, for providers that are told a password; secret */
    const struct recipe_value *inputs;
    uint32_t input_count;
    struct mf_span ids_json;          /* JSON object of what create recorded; empty before */
    struct mf_span secrets_json;      /* JSON object of secrets that create recorded; secret */
    const struct mf_span *permissions; /* names the token is to carry; none = a token that may do nothing */
    uint32_t permission_count;
    int64_t expires_ms;               /* CREATE: when the credential should die at the latest (epoch ms), 0: as the provider does */
    int64_t now_ms;                   /* epoch ms, for templates such as expires_on */
    bool terms_accepted;
    bool expired;                     /* teardown after the account's end of life: 401/403/404 may mean gone */
};

struct recipe_request { /* views, valid until the next recipe_next */
    const char *step;   /* name, for messages */
    const char *method;
    const char *url;    /* never holds a secret */
    const struct recipe_value *headers;
    uint32_t header_count;
    struct mf_span body;
    bool effect;        /* may change something at the provider */
    bool reads_only;
};

struct recipe_proof { /* builtin proof_of_work */
    uint8_t seed[32];
    uint64_t k, g;
};

struct recipe_result {
    enum recipe_verdict verdict;
    struct mf_span ids_json;      /* CREATE, FIND: what is to be recorded; JSON object, no secret in it */
    struct mf_span secrets_json;  /* secret */
    int64_t expires_ms;           /* epoch ms by our clock (the answer's Date gives the offset), capped by the lifetime; 0: never or not said */
    struct mf_span claim_url;     /* secret; empty: none */
    int64_t claim_expires_ms;     /* as expires_ms */
    int64_t after_ms;             /* RETRY: Retry-After in ms, 0 when not given */
    bool rate_limited;            /* the retry came from 429 or the like: a gate for all */
    uint32_t found_count;         /* FIND and LIST: accounts; recipe_found(i) gives each */
    char reason[200];             /* "made: POST /previews: HTTP 403 (code 1017)": no secret, no body */
};

struct recipe_want {
    enum { RECIPE_WANT_HTTP, RECIPE_WANT_PROOF, RECIPE_WANT_WAIT, RECIPE_WANT_COMMIT, RECIPE_WANT_DONE } kind;
    struct recipe_request http;
    struct recipe_proof proof;
    int64_t wait_ms;               /* between polls of a `repeat` */
    struct recipe_result result;   /* DONE; COMMIT: ids_json and secrets_json of the effect steps so far */
    uint32_t step_index;           /* COMMIT */
};

struct recipe_reply {
    enum { RECIPE_REPLY_NONE, RECIPE_REPLY_HTTP, RECIPE_REPLY_PROOF } kind;
    bool sent;                     /* some byte of the request left */
    bool answered;                 /* a complete answer came */
    bool untrusted;                /* the peer could not be verified: nothing was sent, and nothing will be */
    struct mf_span failure;        /* without an answer: what happened, for people; no secret; may be empty */
    int status;
    const struct recipe_value *headers; /* names in lower case */
    uint32_t header_count;
    struct mf_span body;
    struct mf_span proof;          /* base64; empty: it could not be solved */
    int64_t received_ms;           /* epoch ms of our clock; with the Date header: the provider's offset */
};

/* -1: a value is missing or does not fit its place (MF_INPUT), or no memory. Views in vars must live as long as the execution. */
int recipe_begin(struct recipe_exec **out, const struct recipe *recipe, const struct recipe_vars *vars, struct mf_error *error);
/* First call with reply NULL. Never fails: trouble ends as DONE with the verdict that the rules of certainty give. */
void recipe_next(struct recipe_exec *exec, const struct recipe_reply *reply, struct recipe_want *want);
/*
 * What the reply to the last HTTP want means, without taking it: so that a caller may repeat a request without effect before
 * it hands the reply over. No memory counts as retry.
 */
enum recipe_verdict recipe_judge(const struct recipe_exec *exec, const struct recipe_reply *reply);
/*
 * Builds the last HTTP want anew with another credential of the operator (after a 401); the execution stays where it is. The
 * new span must live as long as the execution. False when the last want was no HTTP or cannot be built.
 */
bool recipe_rebuild(struct recipe_exec *exec, struct mf_span credential, struct recipe_want *want);
/* Retry-After of a reply in ms: whole seconds or a date, the longest of several, at most 300,000; 0 when it is not given or nonsense. */
int64_t recipe_retry_after_ms(const struct recipe_reply *reply);
const char *recipe_verdict_name(enum recipe_verdict verdict);
const char *recipe_op_name(enum recipe_op op);
/* Why a base URL (from the recipe or from the environment) cannot be used: https, or http to this machine; NULL when it can. */
const char *recipe_base_url_problem(struct mf_span url);
/* FIND and LIST after DONE: ids of the i-th account (JSON object), its tag (LIST) or empty. */
bool recipe_found(const struct recipe_exec *exec, uint32_t index, struct mf_span *ids_json, struct mf_span *tag);
/* LIST: when the i-th account was made, epoch ms of our clock; 0 when the list does not say it. */
int64_t recipe_found_created_ms(const struct recipe_exec *exec, uint32_t index);
void recipe_exec_destroy(struct recipe_exec *exec); /* wipes */

/* --- for the gateway --- */

#define RECIPE_TOKEN_MARK "{{gateway.token}}" /* what {{token}} of a service becomes: GATEWAY_TOKEN_MARK of gateway/gateway.h */

/*
 * The policy of this recipe as the JSON that gateway/policy.h describes: every permission with its rules, benign probes, where
 * tokens stand, the envelope of refusals, usage and prices. No secret in it. The same text for the same recipe.
 */
int recipe_policy(const struct recipe *recipe, struct mf_buf *out, struct mf_error *error);
/* Where the gateway sends to: `inject.upstream` expanded, else vars->base_url, without `inject.base_path` at its end. */
int recipe_upstream(const struct recipe *recipe, const struct recipe_vars *vars, struct mf_buf *out, struct mf_error *error);
/* What carries the real credential upstream: expands `inject.headers`. The values are secret. */
int recipe_inject_headers(const struct recipe *recipe, const struct recipe_vars *vars, int (*put)(void *context, struct mf_span name, struct mf_span value), void *context, struct mf_error *error);
/* The origins of what agents deploy: expands `reach`: an https origin whose first label may be a star, or "http://127.0.0.1:8123/__workers/". */
int recipe_reach(const struct recipe *recipe, const struct recipe_vars *vars, int (*put)(void *context, struct mf_span origin), void *context, struct mf_error *error);
/* SERVICE: does an answer say what it used, and is there a price table? */
bool recipe_has_usage(const struct recipe *recipe);
bool recipe_has_prices(const struct recipe *recipe);
/* "2026-11-01" of the price table; NULL: none. */
const char *recipe_price_date(const struct recipe *recipe);

/*
 * What an agent gets: expands `inject.environment`. Appends name/value pairs by calling `put`. The caller gives the marks of
 * gateway/gateway.h as base_url and as every secret, so that no real value comes out of it.
 */
int recipe_inject(const struct recipe *recipe, const struct recipe_vars *vars, int (*put)(void *context, struct mf_span name, struct mf_span value), void *context, struct mf_error *error);

#endif
