/*
 * grants.c - what a stage may use: policies, upstreams with their credentials, leases and uses
 *
 * Policies and upstreams are shared and counted: replacing one leaves those that began with it with theirs. A grant has the
 * only token that selects it; when it ends, the token dies first.
 */
#include "gateway/proxy.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <string.h>

#define GRANT_SECRETS_MAX 16u
#define UPSTREAM_BYTES_MAX 1024u

/* --- policies --- */

static struct shared_policy *find_policy(struct gateway *gateway, uint64_t id)
{
    struct shared_policy *policy = gateway->policies;
    while (policy != NULL && policy->id != id)
        policy = policy->next;
    return policy;
}

static void release_policy(struct shared_policy *policy)
{
    if (policy == NULL || --policy->users > 0)
        return;
    usage_rules_destroy(policy->rules);
    policy_destroy(policy->policy);
    mf_free(policy);
}

static void forget_policy(struct gateway *gateway, uint64_t id)
{
    struct shared_policy **link = &gateway->policies;
    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    struct shared_policy *policy = *link;
    if (policy == NULL)
        return;
    *link = policy->next;
    release_policy(policy);
}

int gateway_add_policy(struct gateway *gateway, uint64_t id, struct mf_span json, struct mf_error *error)
{
    struct shared_policy *policy = mf_calloc(1, sizeof *policy);
    if (policy == NULL)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    policy->id = id;
    policy->users = 1;
    int result = policy_create(&policy->policy, json, error);
    if (result == 0 && policy_usage_json(policy->policy).length > 0)
        result = usage_rules_create(&policy->rules, policy_usage_json(policy->policy),
                                    policy_prices_json(policy->policy), error);
    for (uint32_t i = 0; result == 0 && i < policy_canary_count(policy->policy); i++)
        result = tokens_add_canary(gateway->tokens, policy_canary(policy->policy, i), error);
    if (result != 0) {
        release_policy(policy);
        return -1;
    }
    forget_policy(gateway, id);
    policy->next = gateway->policies;
    gateway->policies = policy;
    return 0;
}

void policies_free(struct gateway *gateway)
{
    while (gateway->policies != NULL)
        forget_policy(gateway, gateway->policies->id);
}

/* --- upstreams --- */

struct upstream *upstream_hold(struct upstream *upstream)
{
    upstream->users++;
    return upstream;
}

void upstream_release(struct upstream *upstream)
{
    if (upstream == NULL || --upstream->users > 0)
        return;
    finder_destroy(upstream->finder);
    mf_free_secret(upstream->block, upstream->block_bytes);
    mf_free(upstream->base);
    mf_free(upstream);
}

/* "Bearer abc" hides abc; a value of one word hides itself. */
static struct mf_span secret_of(struct mf_span value)
{
    size_t start = value.length;
    while (start > 0 && value.data[start - 1] != ' ')
        start--;
    return (struct mf_span){value.data + start, value.length - start};
}

static struct mf_span put(char **at, struct mf_span text)
{
    struct mf_span copy = {*at, text.length};
    if (text.length > 0)
        memcpy(*at, text.data, text.length);
    *at += text.length;
    return copy;
}

static int copy_headers(struct upstream *upstream, const struct gateway_header *headers, uint32_t count,
                        struct mf_error *error)
{
    size_t bytes = 1;
    if (count > GRANT_HEADERS_MAX)
        return mf_fail(error, MF_LIMIT, "gateway: more than %u headers for one credential", GRANT_HEADERS_MAX);
    for (uint32_t i = 0; i < count; i++)
        bytes += headers[i].name.length + headers[i].value.length;
    upstream->block = mf_alloc(bytes);
    if (upstream->block == NULL)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    upstream->block_bytes = bytes;
    char *at = upstream->block;
    for (uint32_t i = 0; i < count; i++) {
        struct mf_span name = put(&at, headers[i].name), value = put(&at, headers[i].value);
        for (size_t k = 0; k < name.length; k++)
            if (name.data[k] >= 'A' && name.data[k] <= 'Z')
                upstream->block[(size_t)(name.data - upstream->block) + k] |= 0x20;
        upstream->headers[upstream->header_count++] = (struct net_header){name, value};
    }
    return 0;
}

static int make_finder(struct upstream *upstream, const struct mf_span *secrets, uint32_t count, struct mf_error *error)
{
    struct mf_span all[GRANT_SECRETS_MAX + GRANT_HEADERS_MAX];
    uint32_t total = 0;
    if (count > GRANT_SECRETS_MAX)
        return mf_fail(error, MF_LIMIT, "gateway: more than %u secrets of one lease", GRANT_SECRETS_MAX);
    for (uint32_t i = 0; i < upstream->header_count; i++)
        all[total++] = secret_of(upstream->headers[i].value);
    for (uint32_t i = 0; i < count; i++)
        all[total++] = secrets[i];
    return finder_create(&upstream->finder, all, total, error);
}

static struct upstream *make_upstream(struct mf_span base, const struct gateway_header *headers, uint32_t header_count,
                                      const struct mf_span *secrets, uint32_t secret_count, struct mf_error *error)
{
    struct upstream *upstream = mf_calloc(1, sizeof *upstream);
    if (upstream == NULL || (upstream->base = mf_strndup(base.data, base.length)) == NULL) {
        mf_free(upstream);
        mf_fail(error, MF_MEMORY, "gateway: no memory");
        return NULL;
    }
    upstream->users = 1;
    upstream->base_length = base.length;
    bool good = base.length > 0 && base.length <= UPSTREAM_BYTES_MAX && base.data[base.length - 1] != '/';
    if (!good)
        mf_fail(error, MF_INPUT, "gateway: an upstream is an origin, without a slash at its end");
    good = good && net_check_base_url(upstream->base, NULL, error) == 0;
    if (!good || copy_headers(upstream, headers, header_count, error) != 0 ||
        make_finder(upstream, secrets, secret_count, error) != 0) {
        upstream_release(upstream);
        return NULL;
    }
    return upstream;
}

/* --- services --- */

static struct service *find_service(struct gateway *gateway, uint64_t id)
{
    struct service *service = gateway->services;
    while (service != NULL && service->id != id)
        service = service->next;
    return service;
}

static void free_service(struct service *service)
{
    mf_assert(service->waiting == NULL);
    release_policy(service->policy);
    upstream_release(service->upstream);
    net_timer_destroy(service->gate);
    mf_free(service->name);
    mf_free(service);
}

void services_free(struct gateway *gateway)
{
    while (gateway->services != NULL) {
        struct service *service = gateway->services;
        gateway->services = service->next;
        free_service(service);
    }
}

static struct service *make_service(struct gateway *gateway, const struct gateway_service *spec, struct mf_error *error)
{
    struct service *service = mf_calloc(1, sizeof *service);
    if (service == NULL || (service->name = mf_strndup(spec->name.data, spec->name.length)) == NULL ||
        service_gate_create(gateway, service, error) != 0) {
        mf_free(service != NULL ? service->name : NULL);
        mf_free(service);
        mf_fail(error, MF_MEMORY, "gateway: no memory");
        return NULL;
    }
    service->id = spec->service;
    restore_service(service);
    service->next = gateway->services;
    gateway->services = service;
    return service;
}

int gateway_add_service(struct gateway *gateway, const struct gateway_service *spec, struct mf_error *error)
{
    struct shared_policy *policy = find_policy(gateway, spec->policy);
    if (policy == NULL)
        return mf_fail(error, MF_INPUT, "gateway: the policy of a service is not there");
    struct upstream *upstream = make_upstream(spec->upstream, spec->headers, spec->header_count, NULL, 0, error);
    if (upstream == NULL)
        return -1;
    struct service *service = find_service(gateway, spec->service);
    if (service == NULL && (service = make_service(gateway, spec, error)) == NULL) {
        upstream_release(upstream);
        return -1;
    }
    release_policy(service->policy);
    upstream_release(service->upstream);
    service->policy = policy;
    policy->users++;
    service->upstream = upstream;
    service->running_max = spec->running_max;
    service->refused_told = false;
    service->budget.limit_micro_usd = spec->budget_micro_usd;
    gateway->run_budget.limit_micro_usd = spec->run_budget_micro_usd;
    return 0;
}

/* --- grants --- */

struct grant *grant_find(struct gateway *gateway, uint64_t lease)
{
    for (struct stage *stage = gateway->stages; stage != NULL; stage = stage->next)
        for (struct grant *grant = stage->grants; grant != NULL; grant = grant->next)
            if (grant->service == NULL && grant->lease == lease)
                return grant;
    return NULL;
}

void grant_subject(const struct grant *grant, struct audit_subject *out)
{
    stage_subject(grant->stage, out);
    out->provider = grant->service != NULL ? mf_span(grant->service->name) : policy_name(grant->policy->policy);
    out->account = grant->account;
}

void grant_hand_on(struct grant *grant, struct mf_span credential)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    token_hash(credential, hash);
    if (grant_was_handed(grant, hash))
        return;
    memcpy(grant->handed[grant->handed_next], hash, sizeof hash);
    grant->handed_next = (grant->handed_next + 1) % HANDED_MAX;
    if (grant->handed_count < HANDED_MAX)
        grant->handed_count++;
}

bool grant_was_handed(const struct grant *grant, const uint8_t hash[TOKEN_HASH_BYTES])
{
    bool found = false;
    for (uint32_t i = 0; i < grant->handed_count; i++)
        found = token_hash_equal(grant->handed[i], hash) || found;
    return found;
}

void grant_close(struct grant *grant)
{
    struct stage *stage = grant->stage;
    struct grant **link = &stage->grants;
    tokens_kill(stage->gateway->tokens, grant->hash);
    while (grant->exchanges != NULL)
        exchange_drop(grant->exchanges);
    while (*link != grant)
        link = &(*link)->next;
    *link = grant->next;
    release_policy(grant->policy);
    upstream_release(grant->upstream);
    mf_free(grant->rights_block);
    mf_free(grant);
}

static struct grant *make_grant(struct stage *stage, struct shared_policy *policy, struct mf_error *error)
{
    struct grant *grant = mf_calloc(1, sizeof *grant);
    if (grant == NULL) {
        mf_fail(error, MF_MEMORY, "gateway: no memory");
        return NULL;
    }
    grant->stage = stage;
    grant->policy = policy;
    policy->users++;
    grant->next = stage->grants;
    stage->grants = grant;
    return grant;
}

static int grant_permission(struct grant *grant, struct mf_span name, uint32_t *out, struct mf_error *error)
{
    uint32_t permission = policy_permission(grant->policy->policy, name);
    if (permission == UINT32_MAX)
        return mf_fail(error, MF_INPUT, "gateway: the policy has no permission '%.*s'", MF_SPAN_ARGS(name));
    if (out != NULL)
        *out = permission;
    else
        grant->rights.permissions[permission / 64] |= 1ull << permission % 64;
    return 0;
}

static int set_rights(struct grant *grant, const struct gateway_lease *lease, struct mf_error *error)
{
    size_t bytes = lease->binding_count * sizeof(struct http1_binding) +
                   lease->narrowing_count * sizeof(struct http1_narrowing) + 1;
    for (uint32_t i = 0; i < lease->binding_count; i++)
        bytes += lease->bindings[i].name.length + lease->bindings[i].value.length;
    for (uint32_t i = 0; i < lease->narrowing_count; i++)
        bytes += lease->narrowings[i].name.length + lease->narrowings[i].value.length;
    if (lease->binding_count > HTTP1_BINDINGS_MAX)
        return mf_fail(error, MF_LIMIT, "gateway: more than %u ids of one lease", HTTP1_BINDINGS_MAX);
    grant->rights_block = mf_alloc(bytes);
    if (grant->rights_block == NULL)
        return mf_fail(error, MF_MEMORY, "gateway: no memory");
    struct http1_narrowing *narrowings = (struct http1_narrowing *)(void *)grant->rights_block;
    struct http1_binding *bindings = (struct http1_binding *)(narrowings + lease->narrowing_count);
    char *text = (char *)(bindings + lease->binding_count);
    for (uint32_t i = 0; i < lease->permission_count; i++)
        if (grant_permission(grant, lease->permissions[i], NULL, error) != 0)
            return -1;
    for (uint32_t i = 0; i < lease->binding_count; i++) {
        bindings[i].name = put(&text, lease->bindings[i].name);
        bindings[i].value = put(&text, lease->bindings[i].value);
    }
    for (uint32_t i = 0; i < lease->narrowing_count; i++) {
        if (grant_permission(grant, lease->narrowings[i].permission, &narrowings[i].permission, error) != 0)
            return -1;
        narrowings[i].name = put(&text, lease->narrowings[i].name);
        narrowings[i].value = put(&text, lease->narrowings[i].value);
    }
    grant->rights.bindings = bindings;
    grant->rights.binding_count = lease->binding_count;
    grant->rights.narrowings = narrowings;
    grant->rights.narrowing_count = lease->narrowing_count;
    return 0;
}

static int fill_lease(struct grant *grant, const struct gateway_lease *lease, struct mf_error *error)
{
    grant->lease = lease->lease;
    grant->account = lease->account;
    if (set_rights(grant, lease, error) != 0)
        return -1;
    grant->upstream =
        make_upstream(lease->upstream, lease->headers, lease->header_count, lease->secrets, lease->secret_count, error);
    return grant->upstream != NULL ? 0 : -1;
}

int gateway_open_lease(struct gateway *gateway, const struct gateway_lease *lease, char token[GATEWAY_TOKEN_BYTES],
                       struct mf_error *error)
{
    struct stage *stage = gateway_find_stage(gateway, lease->stage);
    struct shared_policy *policy = find_policy(gateway, lease->policy);
    token[0] = '\0';
    if (stage == NULL || policy == NULL || grant_find(gateway, lease->lease) != NULL)
        return mf_fail(error, MF_INPUT, "gateway: lease %llu has no stage or no policy, or is there already",
                       (unsigned long long)lease->lease);
    struct grant *grant = make_grant(stage, policy, error);
    if (grant == NULL)
        return -1;
    if (fill_lease(grant, lease, error) != 0 ||
        tokens_issue(gateway->tokens, grant, stage->id, token, grant->hash, error) != 0) {
        grant_close(grant);
        return -1;
    }
    return 0;
}

int gateway_open_use(struct gateway *gateway, uint64_t stage_id, uint64_t service_id, char token[GATEWAY_TOKEN_BYTES],
                     struct mf_error *error)
{
    struct stage *stage = gateway_find_stage(gateway, stage_id);
    struct service *service = find_service(gateway, service_id);
    token[0] = '\0';
    if (stage == NULL || service == NULL)
        return mf_fail(error, MF_INPUT, "gateway: a use has no stage or no service");
    struct grant *grant = make_grant(stage, service->policy, error);
    if (grant == NULL)
        return -1;
    grant->service = service;
    memset(grant->rights.permissions, 0xff, sizeof grant->rights.permissions);
    if (tokens_issue(gateway->tokens, grant, stage->id, token, grant->hash, error) != 0) {
        grant_close(grant);
        return -1;
    }
    return 0;
}
