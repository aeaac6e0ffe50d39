/*
 * gateway/policy.h - what the gateway must know of a provider or service: compiled from one JSON text
 *
 * The orchestrator makes the text from a recipe (recipe_policy in recipe/recipe.h) and sends it once for each provider and
 * service. Nothing in it is secret. All members but `rules` may be missing:
 *
 *   { "policy": 1, "name": "cloudflare-temporary", "base_path": "/client/v4",
 *     "token": [{"header": "authorization", "scheme": "Bearer"}, {"header": "x-api-key"}],     where an agent may present its token
 *     "permissions": ["workers_scripts:read", ...],                      names; a rule names one by its place
 *     "rules": [["GET /accounts/{account_id}/workers/scripts", 0], ["POST /.../assets/upload", 1, "agent", "shared"]],   flags of http1/match.h
 *     "benign": ["GET /user"],
 *     "forward": ["x-custom"],                                           further request headers that go upstream
 *     "refusal": {"type": "application/json", "body": "{\"success\":false,\"errors\":[{\"code\":{{code}},\"message\":{{message}}}]}"},
 *     "hand_on": {"pointer": "/result/jwt"},                             an answer's value that "agent" rules accept as credential
 *     "canaries": ["cfat_planted_..."],                                  planted credentials: who presents one has been looking for it
 *     "usage": {...}, "prices": {...} }                                  see gateway/usage.h; kept as JSON here
 *
 * In `refusal.body` {{code}} becomes the HTTP status and {{message}} a JSON string.
 */
#ifndef MF_GATEWAY_POLICY_H
#define MF_GATEWAY_POLICY_H

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "http1/match.h"

#include <stdbool.h>
#include <stdint.h>

struct policy;

int policy_create(struct policy **out, struct mf_span json, struct mf_error *error);
void policy_destroy(struct policy *policy); /* NULL is fine */

struct mf_span policy_name(const struct policy *policy);
struct mf_span policy_base_path(const struct policy *policy); /* "" or "/client/v4" */
const struct http1_table *policy_table(const struct policy *policy);
uint32_t policy_permission(const struct policy *policy, struct mf_span name); /* UINT32_MAX: none of that name */
struct mf_span policy_permission_name(const struct policy *policy, uint32_t permission);
struct mf_span policy_rule_text(const struct policy *policy, uint32_t rule);
/* Is this a place where a token may stand? Gives the token inside the header's value. */
bool policy_token(const struct policy *policy, struct mf_span header, struct mf_span value, struct mf_span *token);
bool policy_forwards(const struct policy *policy, struct mf_span header); /* a further request header for upstream */
struct mf_span policy_hand_on(const struct policy *policy); /* JSON pointer; empty: none */
uint32_t policy_canary_count(const struct policy *policy);
struct mf_span policy_canary(const struct policy *policy, uint32_t index);
struct mf_span policy_usage_json(const struct policy *policy);  /* member `usage`; empty: none */
struct mf_span policy_prices_json(const struct policy *policy); /* member `prices`; empty: none */
/* The body of a refusal in the provider's own envelope; *type its media type. NULL policy: mayfly's own. */
int policy_refusal(const struct policy *policy, int status, const char *message, struct mf_buf *body, const char **type);

#endif
