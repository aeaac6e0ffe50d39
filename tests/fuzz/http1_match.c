/*
 * http1_match.c - fuzz: the permission matcher against a slow one that walks all rules and splits their text each time
 *
 * Input, line by line; any byte means something, so that no mutation is lost:
 *   rPFM...   a rule: permission, flag, method, a segment for each byte of "abc*xyXY+#" ({x}, {x:opaque} for X, ** for +, **:opaque for #)
 *   oNvalue   a bound id: name x, y or z
 *   nPNvalue  a narrowing
 *   g...      granted permissions
 *   pMpath    a request
 *
 * Checked for each request: the same verdict; the rule that is named has that verdict on its own; of the rules that allow none
 * is more specific; what is allowed has a path that passes the check, is its own canonical form and is allowed again as such.
 */
#include "http1/match.h"

#include <stdlib.h>
#include <string.h>

#define RULES_MAX 48u
#define VALUES_MAX 8u
#define TEXT_MAX 512u

static struct http1_path path, again;

struct reference_rule {
    char text[TEXT_MAX];
    char method[8];
    char segments[HTTP1_SEGMENTS_MAX][20];
    uint32_t count, permission, flags;
};

struct world {
    struct reference_rule rules[RULES_MAX];
    struct http1_binding bindings[VALUES_MAX];
    struct http1_narrowing narrowings[VALUES_MAX];
    struct http1_grant grant;
    uint32_t rule_count;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* --- reading the input --- */

static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "get"};
static const char *const names[] = {"x", "y", "z"};
static const char *const tokens[] = {"a", "b", "c", "*", "{x}", "{y}", "{x:opaque}", "{y:opaque}", "**", "**:opaque"};

static size_t pick(char byte, const char *letters, size_t count)
{
    const char *found = byte == '\0' ? NULL : strchr(letters, byte);
    return found != NULL ? (size_t)(found - letters) : (unsigned char)byte % count;
}

static uint32_t flags_of(char byte)
{
    static const uint32_t flags[] = {0, HTTP1_RULE_AGENT_CREDENTIAL, HTTP1_RULE_SHARED, HTTP1_RULE_BENIGN, HTTP1_RULE_AGENT_CREDENTIAL | HTTP1_RULE_SHARED};
    return flags[pick(byte, "-asbA", 5)];
}

static void read_rule(struct world *world, struct mf_span line)
{
    if (line.length < 4 || world->rule_count == RULES_MAX)
        return;
    struct reference_rule *rule = &world->rules[world->rule_count];
    memset(rule, 0, sizeof *rule);
    rule->permission = (uint32_t)line.data[0] & 7u;
    rule->flags = flags_of(line.data[1]);
    strcpy(rule->method, methods[pick(line.data[2], "GPUAD", 5)]);
    strcpy(rule->text, rule->method);
    strcat(rule->text, " ");
    for (size_t i = 3; i < line.length && rule->count < 24; i++) {
        const char *token = tokens[pick(line.data[i], "abc*xyXY+#", 10)];
        strcpy(rule->segments[rule->count++], token);
        strcat(rule->text, "/");
        strcat(rule->text, token);
        if (strncmp(token, "**", 2) == 0)
            break;
    }
    world->rule_count++;
}

static void read_line(struct world *world, struct mf_span line)
{
    char kind = line.data[0];
    struct http1_grant *grant = &world->grant;
    struct mf_span rest = {line.data + 1, line.length - 1};
    if (kind == 'r')
        read_rule(world, rest);
    if (kind == 'o' && rest.length >= 1 && grant->binding_count < VALUES_MAX)
        world->bindings[grant->binding_count++] =
            (struct http1_binding){mf_span(names[pick(rest.data[0], "xyz", 3)]), {rest.data + 1, rest.length - 1}};
    if (kind == 'n' && rest.length >= 2 && grant->narrowing_count < VALUES_MAX)
        world->narrowings[grant->narrowing_count++] = (struct http1_narrowing){
            (uint32_t)rest.data[0] & 7u, mf_span(names[pick(rest.data[1], "xyz", 3)]), {rest.data + 2, rest.length - 2}};
    for (size_t i = 0; kind == 'g' && i < rest.length; i++)
        grant->permissions[0] |= UINT64_C(1) << ((unsigned)rest.data[i] & 7u);
}

/* --- the slow one --- */

static bool decoded_is(struct mf_span segment, struct mf_span value)
{
    static char text[HTTP1_PATH_BYTES_MAX + 1];
    size_t length = 0;
    check(http1_percent_decode(segment, false, text, sizeof text, &length) == 0);
    return length == value.length && (length == 0 || memcmp(text, value.data, length) == 0);
}

/* The name of "{x}" or "{x:opaque}" in *name; empty for what has none. */
static struct mf_span name_of(const char *segment)
{
    if (segment[0] != '{')
        return (struct mf_span){NULL, 0};
    return (struct mf_span){segment + 1, strcspn(segment + 1, ":}")};
}

static bool has_shape(const struct reference_rule *rule, struct mf_span method, const struct http1_path *of)
{
    if (!mf_span_is(method, rule->method) && !(mf_span_is(method, "HEAD") && strcmp(rule->method, "GET") == 0))
        return false;
    for (uint32_t i = 0; i < rule->count; i++) {
        if (i == of->count)
            return false;
        if (strncmp(rule->segments[i], "**", 2) == 0)
            return true;
        if (rule->segments[i][0] != '{' && rule->segments[i][0] != '*' && !mf_span_is(http1_path_segment(of, i), rule->segments[i]))
            return false;
    }
    return rule->count == of->count;
}

static uint64_t opaque_of(const struct reference_rule *rule, const struct http1_path *of)
{
    uint64_t opaque = 0;
    for (uint32_t i = 0; i < of->count; i++) {
        const char *segment = rule->segments[i < rule->count ? i : rule->count - 1];
        if (strstr(segment, ":opaque") != NULL)
            opaque |= UINT64_C(1) << i;
    }
    return opaque;
}

static bool holds_narrowings(const struct world *world, const struct reference_rule *rule, const struct http1_path *of)
{
    for (uint32_t n = 0; n < world->grant.narrowing_count; n++) {
        const struct http1_narrowing *narrowing = &world->narrowings[n];
        bool found = false;
        if (narrowing->permission != rule->permission)
            continue;
        for (uint32_t i = 0; i < rule->count; i++) {
            bool among = false;
            if (!mf_span_equal(name_of(rule->segments[i]), narrowing->name))
                continue;
            found = true;
            for (uint32_t m = 0; m < world->grant.narrowing_count; m++)
                among = among || (world->narrowings[m].permission == rule->permission && mf_span_equal(world->narrowings[m].name, narrowing->name) &&
                                  decoded_is(http1_path_segment(of, i), world->narrowings[m].value));
            if (!among)
                return false;
        }
        if (!found && (rule->flags & HTTP1_RULE_SHARED) == 0)
            return false;
    }
    return true;
}

static enum http1_verdict judge(const struct world *world, const struct reference_rule *rule, struct mf_span method, const struct http1_path *of)
{
    if (!has_shape(rule, method, of))
        return HTTP1_VERDICT_NO_RULE;
    if (http1_path_check(of, opaque_of(rule, of), NULL) != 0)
        return HTTP1_VERDICT_BAD_PATH;
    for (uint32_t i = 0; i < rule->count; i++)
        for (uint32_t b = 0; b < world->grant.binding_count; b++)
            if (mf_span_equal(name_of(rule->segments[i]), world->bindings[b].name) && !decoded_is(http1_path_segment(of, i), world->bindings[b].value))
                return HTTP1_VERDICT_FOREIGN_ACCOUNT;
    if ((rule->flags & HTTP1_RULE_BENIGN) != 0)
        return HTTP1_VERDICT_BENIGN;
    if ((world->grant.permissions[0] >> rule->permission & 1) == 0)
        return HTTP1_VERDICT_NOT_GRANTED;
    return holds_narrowings(world, rule, of) ? HTTP1_VERDICT_ALLOWED : HTTP1_VERDICT_NARROWED;
}

static enum http1_verdict slow(const struct world *world, struct mf_span method, const struct http1_path *of)
{
    static const enum http1_verdict order[] = {HTTP1_VERDICT_ALLOWED, HTTP1_VERDICT_BENIGN, HTTP1_VERDICT_NARROWED, HTTP1_VERDICT_NOT_GRANTED,
                                               HTTP1_VERDICT_FOREIGN_ACCOUNT};
    for (size_t o = 0; o < sizeof order / sizeof *order; o++)
        for (uint32_t i = 0; i < world->rule_count; i++)
            if (judge(world, &world->rules[i], method, of) == order[o])
                return order[o];
    return http1_path_check(of, 0, NULL) != 0 ? HTTP1_VERDICT_BAD_PATH : HTTP1_VERDICT_NO_RULE;
}

/* Bytes that sort as the rules rank: literal, any, rest; then the agent's own credential. */
static void rank_of(const struct reference_rule *rule, char out[HTTP1_SEGMENTS_MAX + 2])
{
    uint32_t i = 0;
    for (; i < rule->count; i++)
        out[i] = strncmp(rule->segments[i], "**", 2) == 0 ? '3' : rule->segments[i][0] == '*' || rule->segments[i][0] == '{' ? '2' : '1';
    out[i++] = (rule->flags & HTTP1_RULE_AGENT_CREDENTIAL) != 0 ? '0' : '1';
    out[i] = '\0';
}

/* --- one request --- */

static void check_allowed(const struct http1_table *table, const struct world *world, struct mf_span method, const struct http1_match *match)
{
    char chosen[HTTP1_SEGMENTS_MAX + 2], other[HTTP1_SEGMENTS_MAX + 2];
    struct http1_match second;
    check(http1_path_check(&path, match->opaque, NULL) == 0);
    check(http1_path_parse(&again, (struct mf_span){path.text, path.text_length}, NULL) == 0);
    check(again.was_canonical && again.text_length == path.text_length && memcmp(again.text, path.text, path.text_length) == 0);
    http1_table_match(table, method, &again, &world->grant, &second);
    check(memcmp(&second, match, sizeof second) == 0);
    rank_of(&world->rules[match->rule], chosen);
    for (uint32_t i = 0; i < world->rule_count; i++) {
        if (judge(world, &world->rules[i], method, &path) != HTTP1_VERDICT_ALLOWED)
            continue;
        rank_of(&world->rules[i], other);
        check(strcmp(chosen, other) < 0 || (strcmp(chosen, other) == 0 && match->rule <= i));
    }
}

static void request(const struct http1_table *table, const struct world *world, struct mf_span line)
{
    struct http1_match match;
    if (line.length < 2 || http1_path_parse(&path, (struct mf_span){line.data + 1, line.length - 1}, NULL) != 0)
        return;
    struct mf_span method = mf_span(methods[pick(line.data[0], "GPUADHOg", 8)]);
    memset(&match, 0, sizeof match);
    http1_table_match(table, method, &path, &world->grant, &match);
    check(match.verdict == slow(world, method, &path));
    bool ruled = match.verdict != HTTP1_VERDICT_NO_RULE && match.verdict != HTTP1_VERDICT_BAD_PATH;
    check(ruled == (match.rule != UINT32_MAX));
    if (!ruled)
        return;
    check(match.rule < world->rule_count);
    const struct reference_rule *rule = &world->rules[match.rule];
    check(judge(world, rule, method, &path) == match.verdict && match.flags == rule->flags);
    check(match.permission == ((rule->flags & HTTP1_RULE_BENIGN) != 0 ? UINT32_MAX : rule->permission));
    if (match.verdict == HTTP1_VERDICT_ALLOWED)
        check_allowed(table, world, method, &match);
}

static bool next_line(struct mf_span *rest, struct mf_span *line)
{
    if (rest->length == 0)
        return false;
    const char *end = memchr(rest->data, '\n', rest->length);
    size_t length = end == NULL ? rest->length : (size_t)(end - rest->data);
    *line = (struct mf_span){rest->data, length};
    length += end != NULL;
    *rest = (struct mf_span){rest->data + length, rest->length - length};
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct http1_rule rules[RULES_MAX];
    struct http1_table *table;
    struct mf_span rest = {(const char *)data, size}, line;
    memset(&world, 0, sizeof world);
    while (next_line(&rest, &line))
        if (line.length > 0)
            read_line(&world, line);
    world.grant.bindings = world.bindings;
    world.grant.narrowings = world.narrowings;
    for (uint32_t i = 0; i < world.rule_count; i++)
        rules[i] = (struct http1_rule){mf_span(world.rules[i].text), world.rules[i].permission, world.rules[i].flags};
    check(http1_table_create(&table, rules, world.rule_count, NULL) == 0);
    rest = (struct mf_span){(const char *)data, size};
    while (next_line(&rest, &line))
        if (line.length > 0 && line.data[0] == 'p')
            request(table, &world, (struct mf_span){line.data + 1, line.length - 1});
    http1_table_destroy(table);
    return 0;
}
