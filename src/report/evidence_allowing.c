/* evidence_allowing.c - which permissions of a provider would have allowed a request: asked of the gateway's own matcher */
#include "report/evidence_private.h"

#include "json/scan.h"

#include <string.h>

int evidence_count_rules(struct evidence_provider *provider, struct mf_span policy_json, struct mf_error *error)
{
    struct json_document document;
    if (json_scan_error(&document, policy_json, &json_limits_default, error) != 0)
        return mf_wrap(error, "policy");
    uint32_t rules = json_member(&document, 0, "rules");
    for (uint32_t rule = rules != JSON_NONE ? json_first(&document, rules) : JSON_NONE; rule != JSON_NONE;
         rule = json_next(&document, rules, rule)) {
        int64_t permission;
        uint32_t node = json_element(&document, rule, 1);
        if (node != JSON_NONE && json_int(&document, node, &permission) == 0 && permission >= 0 &&
            permission < HTTP1_PERMISSIONS_MAX)
            provider->rules[permission]++;
    }
    json_document_free(&document);
    return 0;
}

static bool has(const uint64_t *set, uint32_t permission)
{
    return (set[permission / 64] >> permission % 64 & 1) != 0;
}

static bool allows(const struct policy *policy, uint32_t permission, struct mf_span method,
                   const struct http1_path *path)
{
    struct http1_grant grant = {.bindings = NULL};
    struct http1_match match;
    grant.permissions[permission / 64] = UINT64_C(1) << permission % 64;
    http1_table_match(policy_table(policy), method, path, &grant, &match);
    return match.verdict == HTTP1_VERDICT_ALLOWED;
}

/* A refused request stands as it came: with the base path and a query. */
static struct mf_span bare_path(const struct policy *policy, struct mf_span path)
{
    struct mf_span base = policy_base_path(policy);
    const char *query = path.length > 0 ? memchr(path.data, '?', path.length) : NULL;
    if (query != NULL)
        path.length = (size_t)(query - path.data);
    if (base.length > 0 && path.length > base.length && memcmp(path.data, base.data, base.length) == 0 &&
        path.data[base.length] == '/')
        return (struct mf_span){path.data + base.length, path.length - base.length};
    return path;
}

void evidence_allowing(const struct policy *policy, const struct trail_line *line, struct evidence_use *use,
                       bool narrow)
{
    struct http1_path path;
    uint32_t recorded = line->permission.length > 0 ? policy_permission(policy, line->permission) : UINT32_MAX;
    bool whole = recorded != UINT32_MAX && line->path_bytes == 0 &&
                 http1_path_parse(&path, bare_path(policy, line->path), NULL) == 0;
    for (uint32_t i = 0; i < HTTP1_PERMISSIONS_MAX && policy_permission_name(policy, i).length > 0; i++) {
        bool asked = whole && i != recorded && (!narrow || has(use->allowing, i));
        bool allowed = i == recorded || (asked && allows(policy, i, line->method, &path));
        if (allowed)
            use->allowing[i / 64] |= UINT64_C(1) << i % 64;
        else
            use->allowing[i / 64] &= ~(UINT64_C(1) << i % 64);
    }
}
