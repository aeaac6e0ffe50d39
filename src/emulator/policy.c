/*
 * policy.c - what a token may do: policies compiled to sets
 *
 * A policy is compiled when the token is created, changed or loaded, so that a request costs two 64-bit ANDs. Zone and
 * bucket grants are rare and kept as a list.
 */
#include "emulator/policy.h"

#include "base/alloc.h"
#include "json/write.h"

#include <string.h>

/* --- reading a resource key --- */

struct resource {
    enum emu_scope scope;
    bool any, foreign; /* foreign: names another account */
    struct mf_span rest;
};

static bool after_prefix(struct mf_span key, enum emu_scope scope, struct mf_span *rest)
{
    const char *prefix = emu_scope_name(scope);
    size_t length = strlen(prefix);
    if (!mf_span_starts(key, prefix) || key.length <= length + 1 || key.data[length] != '.')
        return false;
    *rest = (struct mf_span){key.data + length + 1, key.length - length - 1};
    return true;
}

/* The longest scope name that the key begins with decides: an account's name is a prefix of a zone's. */
static int read_resource(struct mf_span key, const char *account_id, struct resource *out)
{
    static const enum emu_scope order[] = {EMU_SCOPE_ZONE, EMU_SCOPE_ACCOUNT, EMU_SCOPE_USER, EMU_SCOPE_R2_BUCKET};
    for (size_t each = 0; each < sizeof(order) / sizeof(order[0]); each++) {
        struct mf_span rest;
        if (!after_prefix(key, order[each], &rest))
            continue;
        bool any = mf_span_is(rest, "*");
        bool foreign = (order[each] == EMU_SCOPE_ACCOUNT && !any && !mf_span_is(rest, account_id)) ||
                       (order[each] == EMU_SCOPE_R2_BUCKET && !any && !mf_span_starts(rest, account_id));
        *out = (struct resource){order[each], any, foreign, rest};
        return rest.length < EMU_RESOURCE_BYTES ? 0 : -1;
    }
    return -1;
}

/* --- normalising a request --- */

static int normalise_group(const struct json_document *document, uint32_t group, struct json_writer *writer, struct mf_error *error)
{
    struct mf_span id;
    if (json_plain(document, json_member(document, group, "id"), &id) < 0)
        return mf_fail(error, MF_INPUT, "permission group: id is missing");
    enum emu_group found = emu_group_find(id);
    if (found == EMU_GROUP_COUNT)
        return mf_fail(error, MF_INPUT, "permission group: no such id");
    json_open_object(writer);
    json_member_string(writer, "id", emu_group_id(found));
    json_member_string(writer, "name", emu_group_name(found));
    json_close_object(writer);
    return 0;
}

static int normalise_groups(const struct json_document *document, uint32_t groups, struct json_writer *writer, struct mf_error *error)
{
    if (groups == JSON_NONE || json_kind(document, groups) != JSON_ARRAY || json_first(document, groups) == JSON_NONE)
        return mf_fail(error, MF_INPUT, "policy: permission_groups must be a list that is not empty");
    json_key(writer, "permission_groups");
    json_open_array(writer);
    for (uint32_t each = json_first(document, groups); each != JSON_NONE; each = json_next(document, groups, each))
        if (normalise_group(document, each, writer, error) < 0)
            return -1;
    json_close_array(writer);
    return 0;
}

static int check_resource(const struct json_document *document, uint32_t key, const char *account_id, struct mf_error *error)
{
    struct mf_span name;
    struct resource resource;
    uint32_t value = json_value(document, key);
    if (json_plain(document, key, &name) < 0 || read_resource(name, account_id, &resource) < 0)
        return mf_fail(error, MF_INPUT, "policy: resource is not of a known form");
    if (resource.foreign)
        return mf_fail(error, MF_INPUT, "policy: resource is outside the account of the token");
    bool nested = json_kind(document, value) == JSON_OBJECT && resource.scope == EMU_SCOPE_ACCOUNT;
    if (!nested && !json_is(document, value, "*"))
        return mf_fail(error, MF_INPUT, "policy: value of a resource must be \"*\"");
    for (uint32_t inner = nested ? json_first(document, value) : JSON_NONE; inner != JSON_NONE; inner = json_next(document, value, inner)) {
        if (json_kind(document, json_value(document, inner)) != JSON_STRING)
            return mf_fail(error, MF_INPUT, "policy: nested resource must have the value \"*\"");
        if (check_resource(document, inner, account_id, error) < 0)
            return -1;
    }
    return 0;
}

static int normalise_resources(const struct json_document *document, uint32_t resources, const char *account_id, struct json_writer *writer, struct mf_error *error)
{
    if (resources == JSON_NONE || json_kind(document, resources) != JSON_OBJECT || json_first(document, resources) == JSON_NONE)
        return mf_fail(error, MF_INPUT, "policy: resources must be an object that is not empty");
    for (uint32_t key = json_first(document, resources); key != JSON_NONE; key = json_next(document, resources, key))
        if (check_resource(document, key, account_id, error) < 0)
            return -1;
    json_key(writer, "resources");
    json_raw_value(writer, json_raw(document, resources));
    return 0;
}

static int normalise_policy(const struct json_document *document, uint32_t policy, const char *account_id, struct emu_identity *identity, struct json_writer *writer, struct mf_error *error)
{
    uint32_t effect = json_member(document, policy, "effect");
    bool deny = json_is(document, effect, "deny");
    if (!deny && !json_is(document, effect, "allow"))
        return mf_fail(error, MF_INPUT, "policy: effect must be allow or deny");
    char id[EMU_HEX_ID_BYTES];
    emu_hex_id(identity, id);
    json_open_object(writer);
    json_member_string(writer, "id", id);
    json_member_string(writer, "effect", deny ? "deny" : "allow");
    if (normalise_resources(document, json_member(document, policy, "resources"), account_id, writer, error) < 0 ||
        normalise_groups(document, json_member(document, policy, "permission_groups"), writer, error) < 0)
        return -1;
    json_close_object(writer);
    return 0;
}

int emu_policy_normalise(const struct json_document *document, uint32_t policies, const char *account_id, struct emu_identity *identity, struct mf_buf *out, struct mf_error *error)
{
    struct json_writer writer;
    if (policies == JSON_NONE || json_kind(document, policies) != JSON_ARRAY || json_first(document, policies) == JSON_NONE)
        return mf_fail(error, MF_INPUT, "policies must be a list that is not empty");
    json_begin(&writer, out);
    json_open_array(&writer);
    for (uint32_t each = json_first(document, policies); each != JSON_NONE; each = json_next(document, policies, each))
        if (normalise_policy(document, each, account_id, identity, &writer, error) < 0)
            return -1;
    json_close_array(&writer);
    return out->failed ? mf_fail(error, MF_LIMIT, "policies are too long") : 0;
}

/* --- compiling --- */

struct compiler {
    struct emu_policy *policy;
    struct emu_group_set allow, deny; /* of the account scope */
    struct mf_error *error;
    const char *account_id;
};

static struct emu_group_set groups_of_scope(const struct json_document *document, uint32_t groups, enum emu_scope scope)
{
    struct emu_group_set set = {{0, 0}};
    for (uint32_t each = json_first(document, groups); each != JSON_NONE; each = json_next(document, groups, each)) {
        struct mf_span id;
        enum emu_group group = json_plain(document, json_member(document, each, "id"), &id) == 0 ? emu_group_find(id) : EMU_GROUP_COUNT;
        if (group != EMU_GROUP_COUNT && emu_group_scope(group) == scope)
            emu_set_add(&set, group);
    }
    return set;
}

static int add_grant(struct compiler *compiler, const struct resource *resource, bool deny, struct emu_group_set groups)
{
    struct emu_policy *policy = compiler->policy;
    if (policy->grant_count >= EMU_GRANTS_MAX)
        return mf_fail(compiler->error, MF_LIMIT, "policies name more than %u resources", EMU_GRANTS_MAX);
    struct emu_grant *grants = mf_realloc(policy->grants, policy->grant_count + 1, sizeof(*grants));
    if (grants == NULL)
        return mf_fail(compiler->error, MF_MEMORY, "no memory");
    policy->grants = grants;
    struct emu_grant *grant = &grants[policy->grant_count++];
    *grant = (struct emu_grant){.scope = resource->scope, .deny = deny, .any = resource->any, .groups = groups};
    (void)mf_span_copy(resource->rest, grant->resource, sizeof(grant->resource)); /* the length was checked on reading */
    return 0;
}

static int compile_resource(struct compiler *compiler, const struct json_document *document, uint32_t key, uint32_t groups, bool deny)
{
    struct mf_span name;
    struct resource resource;
    uint32_t value = json_value(document, key);
    if (json_plain(document, key, &name) < 0 || read_resource(name, compiler->account_id, &resource) < 0 || resource.foreign)
        return 0;
    if (json_kind(document, value) == JSON_OBJECT) {
        for (uint32_t inner = json_first(document, value); inner != JSON_NONE; inner = json_next(document, value, inner))
            if (json_kind(document, json_value(document, inner)) == JSON_STRING &&
                compile_resource(compiler, document, inner, groups, deny) < 0)
                return -1;
        return 0;
    }
    struct emu_group_set set = groups_of_scope(document, groups, resource.scope);
    if (resource.scope != EMU_SCOPE_ACCOUNT)
        return add_grant(compiler, &resource, deny, set);
    struct emu_group_set *into = deny ? &compiler->deny : &compiler->allow;
    into->words[0] |= set.words[0];
    into->words[1] |= set.words[1];
    return 0;
}

static int compile_policies(struct compiler *compiler, const struct json_document *document)
{
    for (uint32_t policy = json_first(document, 0); policy != JSON_NONE; policy = json_next(document, 0, policy)) {
        bool deny = json_is(document, json_member(document, policy, "effect"), "deny");
        uint32_t groups = json_member(document, policy, "permission_groups");
        uint32_t resources = json_member(document, policy, "resources");
        for (uint32_t key = json_first(document, resources); key != JSON_NONE; key = json_next(document, resources, key))
            if (compile_resource(compiler, document, key, groups, deny) < 0)
                return -1;
    }
    for (unsigned word = 0; word < 2; word++)
        compiler->policy->account.words[word] = compiler->allow.words[word] & ~compiler->deny.words[word];
    return 0;
}

int emu_policy_compile(struct emu_policy *policy, struct mf_span policies, struct mf_span condition, const char *account_id, struct mf_error *error)
{
    struct json_document document;
    *policy = (struct emu_policy){0};
    if (policies.length > 0) {
        struct compiler compiler = {.policy = policy, .error = error, .account_id = account_id};
        if (json_scan_error(&document, policies, &json_limits_default, error) < 0)
            return -1;
        int done = compile_policies(&compiler, &document);
        json_document_free(&document);
        if (done < 0) {
            emu_policy_free(policy);
            return -1;
        }
    }
    return emu_policy_compile_condition(policy, condition, error);
}

void emu_policy_free(struct emu_policy *policy)
{
    mf_free(policy->grants);
    mf_free(policy->networks);
    *policy = (struct emu_policy){0};
}

/* --- deciding --- */

static bool intersects(const struct emu_group_set *left, const struct emu_group_set *right)
{
    return ((left->words[0] & right->words[0]) | (left->words[1] & right->words[1])) != 0;
}

/* Collects allow and deny over the grants that name this resource. */
static bool grants_allow(const struct emu_policy *policy, const struct emu_group_set *groups, enum emu_scope scope, const char *resource)
{
    struct emu_group_set allow = {{0, 0}}, deny = {{0, 0}};
    for (uint32_t each = 0; each < policy->grant_count; each++) {
        const struct emu_grant *grant = &policy->grants[each];
        if (grant->scope != scope || (!grant->any && strcmp(grant->resource, resource) != 0))
            continue;
        struct emu_group_set *into = grant->deny ? &deny : &allow;
        into->words[0] |= grant->groups.words[0];
        into->words[1] |= grant->groups.words[1];
    }
    allow.words[0] &= ~deny.words[0];
    allow.words[1] &= ~deny.words[1];
    return intersects(&allow, groups);
}

bool emu_policy_allows(const struct emu_policy *policy, const struct emu_group_set *groups, const char *zone, const char *bucket)
{
    return intersects(&policy->account, groups) || (zone != NULL && grants_allow(policy, groups, EMU_SCOPE_ZONE, zone)) ||
           (bucket != NULL && grants_allow(policy, groups, EMU_SCOPE_R2_BUCKET, bucket));
}
