/*
 * http1/match.h - which requests a lease may make: a provider's table of rules, and one lease's grant of them
 *
 * A table is compiled once for each provider: every rule of every permission, also of those that nobody was given, so that a
 * refusal can name what would have been needed. A grant is what one lease has: a set of permissions, the ids that are its own
 * ({account_id} in a rule), and values by which single permissions are narrowed. Everything that no rule of a granted
 * permission matches is refused. HEAD is matched as GET. Segments are compared in their canonical spelling (http1/path.h),
 * byte by byte, with case.
 *
 * A rule is "METHOD /path" with one of HTTP1_RULE_METHODS. A segment of it is a literal, `*` (one segment), `**` (the rest, at
 * least one), or `{name}`: the bound value of that name where the grant has one, else any one segment, which a narrowing of that
 * name may fix. Segments written `{name:opaque}` and those of `**:opaque` may hold bytes that elsewhere are refused (an object
 * key with %2F). Values of bindings and narrowings are compared with what the segment decodes to.
 *
 * A permission that is narrowed by {name} holds only where a rule of it has {name} and the value is among those given; a rule
 * without that segment (a list of all names, a create whose name stands in the body) is refused then, unless it is marked
 * HTTP1_RULE_SHARED. Narrowings by several names must hold together.
 *
 * Where several rules match, the most specific decides: literal before `{name}` and `*` before `**`, from the left; the order of
 * the rules never changes a verdict.
 */
#ifndef MF_HTTP1_MATCH_H
#define MF_HTTP1_MATCH_H

#include "base/error.h"
#include "base/str.h"
#include "http1/path.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP1_PERMISSIONS_MAX 256u /* the longest shipped table has about 40 */
#define HTTP1_RULES_MAX 4096u
#define HTTP1_BINDINGS_MAX 16u
#define HTTP1_RULE_BYTES_MAX 2048u /* the longest shipped rule has 90 */

enum http1_rule_flag {
    HTTP1_RULE_AGENT_CREDENTIAL = 1, /* the request carries a credential that the provider handed to this agent, not the account's */
    HTTP1_RULE_BENIGN = 2,           /* an identity probe of real clients: refused, but no violation; `permission` does not count */
    HTTP1_RULE_SHARED = 4,           /* about nothing that has a name: holds also where its permission is narrowed by a name that it lacks */
    HTTP1_RULE_FREE = 8,             /* costs nothing at a service that is paid for: no budget is asked, no usage expected */
};

#define HTTP1_RULE_METHODS(X) X(GET, "GET") X(POST, "POST") X(PUT, "PUT") X(PATCH, "PATCH") X(DELETE, "DELETE")

struct http1_rule {
    struct mf_span text; /* "GET /accounts/{account_id}/workers/scripts" */
    uint32_t permission; /* number of the permission that it belongs to, < HTTP1_PERMISSIONS_MAX */
    uint32_t flags;
};

/* The place of a method in the list above; UINT32_MAX: none of them. */
uint32_t http1_rule_method(struct mf_span name);

/* One segment of a rule's path: a literal, any one (with the name of a `{name}`, else empty), or the rest. */
struct http1_rule_part {
    enum { HTTP1_PART_LITERAL, HTTP1_PART_ANY, HTTP1_PART_REST } kind;
    struct mf_span text, name;
    bool opaque;
};
/* The path of a rule's text; -1 with MF_INPUT when the method is none or no path follows. */
int http1_rule_path(struct mf_span text, struct mf_span *path, struct mf_error *error);
/* Takes the next segment off *path: 1, or 0 at its end, or -1 with MF_INPUT for one that cannot be read. */
int http1_rule_next(struct mf_span *path, struct http1_rule_part *part, struct mf_error *error);

struct http1_table;

/* Copies what it needs. -1 with MF_INPUT for a rule that cannot be read, MF_LIMIT, MF_MEMORY. */
int http1_table_create(struct http1_table **out, const struct http1_rule *rules, uint32_t count, struct mf_error *error);
void http1_table_destroy(struct http1_table *table); /* NULL is fine */

struct http1_binding { /* the plain, unescaped value of {name} */
    struct mf_span name, value;
};

struct http1_narrowing { /* the permission holds only where its {name} is the value; several values of one name: any of them */
    uint32_t permission;
    struct mf_span name, value;
};

struct http1_grant { /* all borrowed */
    uint64_t permissions[HTTP1_PERMISSIONS_MAX / 64]; /* bit set */
    const struct http1_binding *bindings;
    uint32_t binding_count;
    const struct http1_narrowing *narrowings;
    uint32_t narrowing_count;
};

/* verdict, name in audit records, status of the refusal */
#define HTTP1_VERDICTS(X)                                                                                              \
    X(ALLOWED, "allowed", 0)                                                                                           \
    X(BENIGN, "benign", 403)               /* a probe: refused quietly */                                              \
    X(NOT_GRANTED, "not_granted", 403)     /* a route of a permission that the task did not declare */                 \
    X(NARROWED, "narrowed", 403)           /* declared, but for another name */                                        \
    X(FOREIGN_ACCOUNT, "foreign_account", 403) /* a route of the provider with an id that is not this lease's */       \
    X(NO_RULE, "no_rule", 403)             /* nothing that anybody could be given */                                   \
    X(BAD_PATH, "bad_path", 400)           /* a spelling that two servers may read differently */
enum http1_verdict {
#define X(verdict, name, status) HTTP1_VERDICT_##verdict,
    HTTP1_VERDICTS(X)
#undef X
};

struct http1_match {
    enum http1_verdict verdict;
    uint32_t rule;       /* the rule that decided: granted one, else the nearest that would have been needed; UINT32_MAX: none */
    uint32_t permission; /* of that rule; UINT32_MAX: none */
    uint32_t flags;      /* of that rule */
    uint64_t opaque;     /* ALLOWED: which segments of the path are opaque names */
};

/* Decides. ALLOWED implies that http1_path_check(path, match->opaque) holds: path->text is what goes upstream. */
void http1_table_match(const struct http1_table *table, struct mf_span method, const struct http1_path *path, const struct http1_grant *grant, struct http1_match *out);

const char *http1_verdict_name(enum http1_verdict verdict);
int http1_verdict_status(enum http1_verdict verdict);

#endif
