/*
 * policy.c - a provider's policy, read from its JSON text
 *
 * The text comes from the orchestrator, which made it from a recipe that was checked; it is checked again all the same,
 * because what is wrong here would be a hole later. Nothing in it is secret.
 */
#include "gateway/policy.h"

#include "base/alloc.h"
#include "http1/write.h"
#include "json/scan.h"
#include "json/write.h"

#include <string.h>

#define PLACES_MAX 4u /* no client in use has more than two */
#define FORWARDS_MAX 64u
#define CANARIES_MAX 32u /* as many as a graph may have */
#define POLICY_BYTES_MAX (4u << 20) /* 4,096 rules of 1 KiB */

struct place {
    char *header, *scheme; /* owned; scheme NULL: the whole value is the token */
};

struct policy {
    char *name, *base_path;
    struct place places[PLACES_MAX];
    uint32_t place_count;
    char **permissions;
    uint32_t permission_count;
    char **rules; /* those of permissions, then the benign ones */
    uint32_t rule_count;
    struct http1_table *table;
    char *forwards[FORWARDS_MAX];
    uint32_t forward_count;
    char *canaries[CANARIES_MAX];
    uint32_t canary_count;
    char *refusal_type, *refusal_body;
    char *hand_on, *usage_json, *prices_json; /* NULL: none */
};

/* --- reading --- */

static int bad(struct mf_error *error, const char *what)
{
    return mf_fail(error, MF_INPUT, "policy: %s", what);
}

static int no_memory(struct mf_error *error)
{
    return mf_fail(error, MF_MEMORY, "policy: no memory");
}

/* A string member; *out stays NULL when it is not there. */
static int read_text(const struct json_document *json, uint32_t object, const char *name, char **out,
                     struct mf_error *error)
{
    uint32_t node = json_member(json, object, name);
    if (node == JSON_NONE)
        return 0;
    if (json_kind(json, node) != JSON_STRING)
        return mf_fail(error, MF_INPUT, "policy: member `%s` is no string", name);
    *out = json_dup(json, node);
    return *out != NULL ? 0 : no_memory(error);
}

static int read_raw(const struct json_document *json, const char *name, char **out, struct mf_error *error)
{
    uint32_t node = json_member(json, 0, name);
    if (node == JSON_NONE)
        return 0;
    if (json_kind(json, node) != JSON_OBJECT)
        return mf_fail(error, MF_INPUT, "policy: member `%s` is no object", name);
    struct mf_span raw = json_raw(json, node);
    *out = mf_strndup(raw.data, raw.length);
    return *out != NULL ? 0 : no_memory(error);
}

/* The text of a node that must be a string; NULL: it is none, or no memory. */
static char *dup_text(const struct json_document *json, uint32_t node, const char *otherwise, struct mf_error *error)
{
    char *text = json_kind(json, node) == JSON_STRING ? json_dup(json, node) : NULL;
    if (text == NULL && json_kind(json, node) == JSON_STRING)
        no_memory(error);
    else if (text == NULL)
        bad(error, otherwise);
    return text;
}

static bool is_header_name(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            return false;
    return http1_header_valid(mf_span(name), MF_SPAN("x"));
}

/* --- members --- */

static int add_place(struct policy *policy, const struct json_document *json, uint32_t node, struct mf_error *error)
{
    if (policy->place_count == PLACES_MAX || json_kind(json, node) != JSON_OBJECT)
        return bad(error, "member `token` is no list of at most four objects");
    struct place *place = &policy->places[policy->place_count++];
    if (read_text(json, node, "header", &place->header, error) != 0 ||
        read_text(json, node, "scheme", &place->scheme, error) != 0)
        return -1;
    if (place->header == NULL || !is_header_name(place->header))
        return bad(error, "a place of the token has no header in lower case");
    return 0;
}

static int read_places(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    uint32_t list = json_member(json, 0, "token");
    if (list == JSON_NONE) {
        struct place *place = &policy->places[policy->place_count++];
        place->header = mf_strdup("authorization");
        place->scheme = mf_strdup("Bearer");
        return place->header != NULL && place->scheme != NULL ? 0 : no_memory(error);
    }
    if (json_kind(json, list) != JSON_ARRAY)
        return bad(error, "member `token` is no list");
    for (uint32_t node = json_first(json, list); node != JSON_NONE; node = json_next(json, list, node))
        if (add_place(policy, json, node, error) != 0)
            return -1;
    return policy->place_count > 0 ? 0 : bad(error, "member `token` is empty");
}

/* How many elements a list member has; JSON_NONE in *list: not there. */
static int find_list(const struct json_document *json, const char *name, uint32_t *list, uint32_t *count,
                     struct mf_error *error)
{
    *list = json_member(json, 0, name);
    *count = 0;
    if (*list == JSON_NONE)
        return 0;
    if (json_kind(json, *list) != JSON_ARRAY)
        return mf_fail(error, MF_INPUT, "policy: member `%s` is no list", name);
    *count = json->nodes[*list].children;
    return 0;
}

/* A list of strings: `texts` has room for `count_max`, and owns what *count says. */
static int read_texts(const struct json_document *json, const char *name, char **texts, uint32_t count_max,
                      uint32_t *count, struct mf_error *error)
{
    uint32_t list, wanted;
    if (find_list(json, name, &list, &wanted, error) != 0)
        return -1;
    if (wanted > count_max)
        return mf_fail(error, MF_INPUT, "policy: member `%s` is too long", name);
    for (uint32_t node = wanted > 0 ? json_first(json, list) : JSON_NONE; node != JSON_NONE;
         node = json_next(json, list, node)) {
        texts[*count] = dup_text(json, node, "a list that holds only strings holds something else", error);
        if (texts[*count] == NULL)
            return -1;
        ++*count;
    }
    return 0;
}

static int read_permissions(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    policy->permissions = mf_calloc(HTTP1_PERMISSIONS_MAX, sizeof *policy->permissions);
    return policy->permissions != NULL ? read_texts(json, "permissions", policy->permissions, HTTP1_PERMISSIONS_MAX,
                                                    &policy->permission_count, error)
                                       : no_memory(error);
}

static int read_flag(const struct json_document *json, uint32_t node, uint32_t *flags, struct mf_error *error)
{
    if (json_is(json, node, "agent"))
        *flags |= HTTP1_RULE_AGENT_CREDENTIAL;
    else if (json_is(json, node, "shared"))
        *flags |= HTTP1_RULE_SHARED;
    else if (json_is(json, node, "free"))
        *flags |= HTTP1_RULE_FREE;
    else
        return bad(error, "a rule has a flag that is not known");
    return 0;
}

/* ["GET /path", 0, "agent"] */
static int read_rule(struct policy *policy, const struct json_document *json, uint32_t node, struct http1_rule *rule,
                     struct mf_error *error)
{
    uint32_t text = json_element(json, node, 0), number = json_element(json, node, 1);
    int64_t permission = -1;
    if (text == JSON_NONE || number == JSON_NONE || json_int(json, number, &permission) != 0 || permission < 0 ||
        permission >= (int64_t)policy->permission_count)
        return bad(error, "a rule is no list of a text and the number of a permission");
    for (uint32_t i = 2; i < json->nodes[node].children; i++)
        if (read_flag(json, json_element(json, node, i), &rule->flags, error) != 0)
            return -1;
    char *copy = dup_text(json, text, "the text of a rule is no string", error);
    if (copy == NULL)
        return -1;
    policy->rules[policy->rule_count++] = copy;
    rule->text = mf_span(copy);
    rule->permission = (uint32_t)permission;
    return 0;
}

static int read_benign(struct policy *policy, const struct json_document *json, uint32_t node, struct http1_rule *rule,
                       struct mf_error *error)
{
    char *copy = dup_text(json, node, "a benign rule is no string", error);
    if (copy == NULL)
        return -1;
    policy->rules[policy->rule_count++] = copy;
    rule->text = mf_span(copy);
    rule->flags = HTTP1_RULE_BENIGN;
    return 0;
}

static int fill_rules(struct policy *policy, const struct json_document *json, struct http1_rule *rules,
                      uint32_t rule_list, uint32_t benign_list, struct mf_error *error)
{
    for (uint32_t node = rule_list != JSON_NONE ? json_first(json, rule_list) : JSON_NONE; node != JSON_NONE;
         node = json_next(json, rule_list, node))
        if (read_rule(policy, json, node, &rules[policy->rule_count], error) != 0)
            return -1;
    for (uint32_t node = benign_list != JSON_NONE ? json_first(json, benign_list) : JSON_NONE; node != JSON_NONE;
         node = json_next(json, benign_list, node))
        if (read_benign(policy, json, node, &rules[policy->rule_count], error) != 0)
            return -1;
    return http1_table_create(&policy->table, rules, policy->rule_count, error);
}

static int read_rules(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    uint32_t rule_list, rule_count, benign_list, benign_count;
    if (find_list(json, "rules", &rule_list, &rule_count, error) != 0 ||
        find_list(json, "benign", &benign_list, &benign_count, error) != 0)
        return -1;
    if (rule_count > HTTP1_RULES_MAX || benign_count > HTTP1_RULES_MAX - rule_count)
        return bad(error, "too many rules");
    size_t total = (size_t)rule_count + benign_count;
    struct http1_rule *rules = mf_calloc(total + 1, sizeof *rules);
    policy->rules = mf_calloc(total + 1, sizeof *policy->rules);
    int result = rules != NULL && policy->rules != NULL ? fill_rules(policy, json, rules, rule_list, benign_list, error)
                                                        : no_memory(error);
    mf_free(rules);
    return result;
}

static int read_forwards(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    if (read_texts(json, "forward", policy->forwards, FORWARDS_MAX, &policy->forward_count, error) != 0)
        return -1;
    for (uint32_t i = 0; i < policy->forward_count; i++)
        if (!is_header_name(policy->forwards[i]))
            return bad(error, "a header to forward is no header's name in lower case");
    return 0;
}

static int read_refusal(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    uint32_t node = json_member(json, 0, "refusal");
    if (node == JSON_NONE)
        return 0;
    if (read_text(json, node, "type", &policy->refusal_type, error) != 0 ||
        read_text(json, node, "body", &policy->refusal_body, error) != 0)
        return -1;
    if (policy->refusal_type == NULL || policy->refusal_body == NULL ||
        !http1_header_valid(MF_SPAN("content-type"), mf_span(policy->refusal_type)))
        return bad(error, "member `refusal` has no type or no body");
    return 0;
}

static int read_hand_on(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    uint32_t node = json_member(json, 0, "hand_on");
    return node != JSON_NONE ? read_text(json, node, "pointer", &policy->hand_on, error) : 0;
}

static int check_base_path(const char *base, struct mf_error *error)
{
    struct http1_path path;
    if (base[0] == '\0')
        return 0;
    if (http1_path_parse(&path, mf_span(base), NULL) != 0 || http1_path_check(&path, 0, NULL) != 0 ||
        !path.was_canonical || path.count == 0)
        return bad(error, "member `base_path` is neither empty nor a plain path without a slash at its end");
    return 0;
}

static int read_names(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    int64_t version = 0;
    uint32_t node = json_member(json, 0, "policy");
    if (node == JSON_NONE || json_int(json, node, &version) != 0 || version != 1)
        return bad(error, "member `policy` is not 1");
    if (read_text(json, 0, "name", &policy->name, error) != 0 ||
        read_text(json, 0, "base_path", &policy->base_path, error) != 0)
        return -1;
    if (policy->name == NULL)
        policy->name = mf_strdup("");
    if (policy->base_path == NULL)
        policy->base_path = mf_strdup("");
    if (policy->name == NULL || policy->base_path == NULL)
        return no_memory(error);
    return check_base_path(policy->base_path, error);
}

static int read_policy(struct policy *policy, const struct json_document *json, struct mf_error *error)
{
    if (json_kind(json, 0) != JSON_OBJECT)
        return bad(error, "the text is no object");
    if (read_names(policy, json, error) != 0 || read_places(policy, json, error) != 0 ||
        read_permissions(policy, json, error) != 0 || read_rules(policy, json, error) != 0 ||
        read_forwards(policy, json, error) != 0 || read_texts(json, "canaries", policy->canaries, CANARIES_MAX, &policy->canary_count, error) != 0 || read_refusal(policy, json, error) != 0 ||
        read_hand_on(policy, json, error) != 0)
        return -1;
    return read_raw(json, "usage", &policy->usage_json, error) != 0 ||
                   read_raw(json, "prices", &policy->prices_json, error) != 0
               ? -1
               : 0;
}

int policy_create(struct policy **out, struct mf_span text, struct mf_error *error)
{
    struct json_limits limits = json_limits_default;
    struct json_document json = {0};
    limits.text_bytes_max = POLICY_BYTES_MAX;
    if (json_scan_error(&json, text, &limits, error) != 0)
        return mf_wrap(error, "policy");
    struct policy *policy = mf_calloc(1, sizeof *policy);
    int result = policy != NULL ? read_policy(policy, &json, error) : no_memory(error);
    json_document_free(&json);
    if (result != 0) {
        policy_destroy(policy);
        return -1;
    }
    *out = policy;
    return 0;
}

static void free_list(char **list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mf_free(list[i]);
}

void policy_destroy(struct policy *policy)
{
    if (policy == NULL)
        return;
    for (uint32_t i = 0; i < policy->place_count; i++) {
        mf_free(policy->places[i].header);
        mf_free(policy->places[i].scheme);
    }
    http1_table_destroy(policy->table);
    free_list(policy->permissions, policy->permission_count);
    free_list(policy->rules, policy->rule_count);
    free_list(policy->forwards, policy->forward_count);
    free_list(policy->canaries, policy->canary_count);
    free_list((char *[]){policy->name, policy->base_path, policy->refusal_type, policy->refusal_body, policy->hand_on,
                         policy->usage_json, policy->prices_json},
              7);
    mf_free(policy->permissions);
    mf_free(policy->rules);
    mf_free(policy);
}

/* --- asking --- */

struct mf_span policy_name(const struct policy *policy)
{
    return mf_span(policy->name);
}

struct mf_span policy_base_path(const struct policy *policy)
{
    return mf_span(policy->base_path);
}

const struct http1_table *policy_table(const struct policy *policy)
{
    return policy->table;
}

uint32_t policy_permission(const struct policy *policy, struct mf_span name)
{
    for (uint32_t i = 0; i < policy->permission_count; i++)
        if (mf_span_is(name, policy->permissions[i]))
            return i;
    return UINT32_MAX;
}

struct mf_span policy_permission_name(const struct policy *policy, uint32_t permission)
{
    return permission < policy->permission_count ? mf_span(policy->permissions[permission]) : (struct mf_span){0};
}

struct mf_span policy_rule_text(const struct policy *policy, uint32_t rule)
{
    return rule < policy->rule_count ? mf_span(policy->rules[rule]) : (struct mf_span){0};
}

/* "Bearer abc": schemes have no case (RFC 9110, 11.1). */
static bool take_scheme(struct mf_span value, const char *scheme, struct mf_span *token)
{
    size_t length = strlen(scheme);
    if (value.length <= length || value.data[length] != ' ')
        return false;
    for (size_t i = 0; i < length; i++)
        if ((value.data[i] | 0x20) != (scheme[i] | 0x20))
            return false;
    while (length < value.length && value.data[length] == ' ')
        length++;
    *token = (struct mf_span){value.data + length, value.length - length};
    return true;
}

bool policy_token(const struct policy *policy, struct mf_span header, struct mf_span value, struct mf_span *token)
{
    for (uint32_t i = 0; i < policy->place_count; i++) {
        const struct place *place = &policy->places[i];
        if (!mf_span_is(header, place->header))
            continue;
        if (place->scheme != NULL)
            return take_scheme(value, place->scheme, token);
        *token = value;
        return true;
    }
    return false;
}

bool policy_forwards(const struct policy *policy, struct mf_span header)
{
    for (uint32_t i = 0; i < policy->forward_count; i++)
        if (mf_span_is(header, policy->forwards[i]))
            return true;
    return false;
}

struct mf_span policy_hand_on(const struct policy *policy)
{
    return mf_span(policy->hand_on);
}

uint32_t policy_canary_count(const struct policy *policy)
{
    return policy->canary_count;
}

struct mf_span policy_canary(const struct policy *policy, uint32_t index)
{
    return mf_span(policy->canaries[index]);
}

struct mf_span policy_usage_json(const struct policy *policy)
{
    return mf_span(policy->usage_json);
}

struct mf_span policy_prices_json(const struct policy *policy)
{
    return mf_span(policy->prices_json);
}

/* --- refusals --- */

static int fill_refusal(const char *form, int status, const char *message, struct mf_buf *body)
{
    while (*form != '\0') {
        const char *mark = strstr(form, "{{");
        size_t length = mark != NULL ? (size_t)(mark - form) : strlen(form);
        mf_buf_append(body, form, length);
        form += length;
        if (mark == NULL)
            break;
        if (strncmp(form, "{{code}}", 8) == 0) {
            mf_buf_printf(body, "%d", status);
            form += 8;
        } else if (strncmp(form, "{{message}}", 11) == 0) {
            json_escape(body, mf_span(message));
            form += 11;
        } else {
            mf_buf_append(body, form, 2);
            form += 2;
        }
    }
    return body->failed ? -1 : 0;
}

int policy_refusal(const struct policy *policy, int status, const char *message, struct mf_buf *body, const char **type)
{
    bool own = policy == NULL || policy->refusal_body == NULL;
    *type = own ? "application/json" : policy->refusal_type;
    return fill_refusal(own ? "{\"error\":{\"code\":{{code}},\"message\":{{message}}}}\n" : policy->refusal_body,
                        status, message, body);
}
